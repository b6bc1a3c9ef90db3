package bolt

import (
	"bytes"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// kv is the store.KV on one bbolt transaction. Everything it hands out is a copy made under guard: the mapped file is
// touched nowhere else.
//
// What closures write is held back and brought to bbolt in the order of the keys, before the next scan or the commit:
// bbolt keeps a page's keys in one sorted list that a transaction lets grow, and a thousand tickets whose keys are
// spread over all tables would move the rest of it for every key. What was read once is not looked for again.
type kv struct {
	engine *engine
	bucket *bbolt.Bucket
	// known is what keys hold that were read or written; nil in a view, which remembers nothing. stale are those that
	// were written since the last flush.
	known map[string]*entry
	stale []*entry
	// cursor is the one that reads; every read seeks from the root.
	cursor *bbolt.Cursor
	// undo is what the running closure changed, oldest first, as it was before.
	undo []change
	// total is that of all records as bbolt has them now.
	total   uint64
	changed bool
	// broken is why a flush failed: bbolt has some of it, and the transaction must not be committed.
	broken error
}

// entry is what is known of one key, nil when it is absent: what bbolt has, and what it is to have.
type entry struct {
	key, inBolt, now []byte
	stale            bool
}

type change struct {
	of     *entry
	before []byte
}

func (k *kv) Get(key []byte) ([]byte, error) {
	if k.known == nil {
		return k.read(key)
	}
	r, err := k.entry(key)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(r.now), nil
}

// read copies what bbolt has under key.
func (k *kv) read(key []byte) (v []byte, err error) {
	err = k.engine.guard(func() error {
		if k.cursor == nil {
			k.cursor = k.bucket.Cursor()
		}
		if found, value := k.cursor.Seek(key); bytes.Equal(found, key) {
			v = bytes.Clone(value)
		}
		return nil
	})
	return v, err
}

// entry is what is known of key, read if it was not yet.
func (k *kv) entry(key []byte) (*entry, error) {
	if r := k.known[string(key)]; r != nil {
		return r, nil
	}
	v, err := k.read(key)
	if err != nil {
		return nil, err
	}
	r := &entry{key: key, inBolt: v, now: v}
	k.known[string(key)] = r
	return r, nil
}

func (k *kv) Put(key, value []byte) error {
	if err := fits(key, value); err != nil {
		return fmt.Errorf("write a record of %d bytes under a key of %d: %w", len(value), len(key), err)
	}
	if value == nil {
		value = []byte{}
	}
	return k.write(key, value)
}

// fits tells at once what bbolt would say only when it is too late to know whose record it was.
func fits(key, value []byte) error {
	switch {
	case len(key) == 0:
		return berrors.ErrKeyRequired
	case len(key) > bbolt.MaxKeySize:
		return berrors.ErrKeyTooLarge
	case int64(len(value)) > bbolt.MaxValueSize:
		return berrors.ErrValueTooLarge
	}
	return nil
}

func (k *kv) Delete(key []byte) error { return k.write(key, nil) }

// write sets key to value, or removes it when value is nil, and remembers how to undo that.
func (k *kv) write(key, value []byte) error {
	if k.known == nil {
		return berrors.ErrTxNotWritable
	}
	r, err := k.entry(key)
	if err != nil || same(r.now, value) {
		return err
	}
	k.undo = append(k.undo, change{of: r, before: r.now})
	k.set(r, value)
	return nil
}

func (k *kv) set(r *entry, value []byte) {
	r.now = value
	k.changed = true
	if !r.stale {
		r.stale = true
		k.stale = append(k.stale, r)
	}
}

// same tells whether two values are the same, and neither or both absent.
func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// revert undoes what the running closure changed, newest first.
func (k *kv) revert() {
	for i := len(k.undo) - 1; i >= 0; i-- {
		k.set(k.undo[i].of, k.undo[i].before)
	}
	k.undo = nil
}

// flush brings to bbolt what was written since the last time.
func (k *kv) flush() error {
	if len(k.stale) == 0 || k.broken != nil {
		return k.broken
	}
	slices.SortFunc(k.stale, func(a, b *entry) int { return bytes.Compare(a.key, b.key) })
	k.broken = k.engine.guard(func() error {
		for _, r := range k.stale {
			if err := k.bring(r); err != nil {
				return err
			}
		}
		return nil
	})
	k.stale = k.stale[:0]
	return k.broken
}

// bring brings one entry to bbolt; the caller guards.
func (k *kv) bring(r *entry) error {
	r.stale = false
	if same(r.inBolt, r.now) {
		return nil
	}
	k.total += share(r.key, r.now) - share(r.key, r.inBolt)
	r.inBolt = r.now
	if r.now == nil {
		return k.bucket.Delete(r.key)
	}
	if err := k.bucket.Put(r.key, r.now); err != nil {
		return fmt.Errorf("write a record of %d bytes under a key of %d: %w", len(r.now), len(r.key), err)
	}
	return nil
}

func (k *kv) Scan(from, to []byte, reverse bool, fn func(k, v []byte) (bool, error)) error {
	if err := k.flush(); err != nil {
		return err
	}
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
