package store

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
)

// Memory is an Engine in memory, for rehearsals and tests: it keeps nothing beyond its process, and Update copies
// everything.
type Memory struct {
	writing, mu sync.Mutex
	kept        map[string][]byte
	closed      bool
}

// NewMemory makes an empty Memory.
func NewMemory() *Memory { return &Memory{kept: map[string][]byte{}} }

// Name implements Engine.
func (m *Memory) Name() string { return "memory" }

// Close lets go of everything; a store on it answers ErrClosed from then on.
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
		return nil, ErrClosed
	}
	return m.kept, ctx.Err()
}

// Update implements Engine: all of what fn wrote is there afterwards, or nothing.
func (m *Memory) Update(ctx context.Context, fn func(KV) error) error {
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

// View implements Engine: fn sees one moment.
func (m *Memory) View(ctx context.Context, fn func(KV) error) error {
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
