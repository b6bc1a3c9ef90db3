package storetest

import (
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

// NewMemory makes an empty engine in memory.
func NewMemory() *store.Memory { return store.NewMemory() }
