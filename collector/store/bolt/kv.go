package bolt

import (
	"bytes"
	"fmt"

	"go.etcd.io/bbolt"
)

// kv is the store.KV on one bbolt transaction. Everything it hands out is a copy made under guard: the mapped file is
// touched nowhere else.
type kv struct {
	engine *engine
	bucket *bbolt.Bucket
	// undo is what the running closure changed, oldest first, as it was before.
	undo []change
	// total is that of all records as they are now.
	total   uint64
	changed bool
}

type change struct{ key, before []byte }

func (k *kv) Get(key []byte) (v []byte, err error) {
	err = k.engine.guard(func() error {
		v = bytes.Clone(k.bucket.Get(key))
		return nil
	})
	return v, err
}

func (k *kv) Put(key, value []byte) error {
	before, err := k.Get(key)
	if err != nil || before != nil && bytes.Equal(before, value) {
		return err
	}
	return k.write(key, before, value)
}

func (k *kv) Delete(key []byte) error {
	before, err := k.Get(key)
	if err != nil || before == nil {
		return err
	}
	return k.write(key, before, nil)
}

// write sets key to value, or removes it when value is nil, and remembers how to undo that.
func (k *kv) write(key, before, value []byte) error {
	k.undo = append(k.undo, change{key: bytes.Clone(key), before: before})
	if err := k.set(key, value); err != nil {
		return err
	}
	k.total += share(key, value) - share(key, before)
	k.changed = true
	return nil
}

func (k *kv) set(key, value []byte) error {
	return k.engine.guard(func() error {
		if value == nil {
			return k.bucket.Delete(key)
		}
		if err := k.bucket.Put(key, value); err != nil {
			return fmt.Errorf("write a record of %d bytes under a key of %d: %w", len(value), len(key), err)
		}
		return nil
	})
}

// revert undoes what the running closure changed, newest first.
func (k *kv) revert() error {
	for i := len(k.undo) - 1; i >= 0; i-- {
		c := k.undo[i]
		now, err := k.Get(c.key)
		if err != nil {
			return err
		}
		if err := k.set(c.key, c.before); err != nil {
			return err
		}
		k.total += share(c.key, c.before) - share(c.key, now)
	}
	k.undo = nil
	return nil
}

func (k *kv) Scan(from, to []byte, reverse bool, fn func(k, v []byte) (bool, error)) error {
	var cursor *bbolt.Cursor
	step := func() (key, value []byte) {
		switch {
		case cursor != nil && reverse:
			return cursor.Prev()
		case cursor != nil:
			return cursor.Next()
		}
		cursor = k.bucket.Cursor()
		if !reverse {
			return cursor.Seek(from)
		}
		if to == nil {
			return cursor.Last()
		}
		if key, _ = cursor.Seek(to); key == nil {
			return cursor.Last()
		}
		return cursor.Prev()
	}
	for {
		var key, value []byte
		err := k.engine.guard(func() error {
			key, value = step()
			key, value = bytes.Clone(key), bytes.Clone(value)
			return nil
		})
		if err != nil || key == nil || bytes.Compare(key, from) < 0 || to != nil && bytes.Compare(key, to) >= 0 {
			return err
		}
		if more, err := fn(key, value); err != nil || !more {
			return err
		}
	}
}
