package storetest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/watchbill/watchbill/collector/store"
)

// Open is a store that lives in memory, for tests of what stands on one. It passes the suite but keeps nothing.
func Open(t testing.TB) store.Store {
	t.Helper()
	s, err := store.New(NewMemory(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Memory is a store.Engine in memory. Update copies everything: it is for small stores.
type Memory struct {
	writing, mu sync.Mutex
	kept        map[string][]byte
	closed      bool
}

// NewMemory makes an empty engine.
func NewMemory() *Memory { return &Memory{kept: map[string][]byte{}} }

func (m *Memory) Name() string { return "memory" }

func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *Memory) state(ctx context.Context) (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, store.ErrClosed
	}
	return m.kept, ctx.Err()
}

func (m *Memory) Update(ctx context.Context, fn func(store.KV) error) error {
	m.writing.Lock()
	defer m.writing.Unlock()
	now, err := m.state(ctx)
	if err != nil {
		return err
	}
	kv := memoryKV{kept: maps.Clone(now), writable: true}
	if err := fn(kv); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = kv.kept
	return nil
}

func (m *Memory) View(ctx context.Context, fn func(store.KV) error) error {
	now, err := m.state(ctx)
	if err != nil {
		return err
	}
	return fn(memoryKV{kept: now})
}

type memoryKV struct {
	kept     map[string][]byte
	writable bool
}

var errReadOnly = errors.New("a view cannot write")

func (k memoryKV) Get(key []byte) ([]byte, error) { return bytes.Clone(k.kept[string(key)]), nil }

func (k memoryKV) Put(key, value []byte) error {
	if !k.writable {
		return errReadOnly
	}
	k.kept[string(key)] = bytes.Clone(value)
	return nil
}

func (k memoryKV) Delete(key []byte) error {
	if !k.writable {
		return errReadOnly
	}
	delete(k.kept, string(key))
	return nil
}

func (k memoryKV) Scan(from, to []byte, reverse bool, fn func(k, v []byte) (bool, error)) error {
	var in []string
	for key := range k.kept {
		if key >= string(from) && (to == nil || key < string(to)) {
			in = append(in, key)
		}
	}
	slices.Sort(in)
	if reverse {
		slices.Reverse(in)
	}
	for _, key := range in {
		if more, err := fn([]byte(key), bytes.Clone(k.kept[key])); err != nil || !more {
			return err
		}
	}
	return nil
}
