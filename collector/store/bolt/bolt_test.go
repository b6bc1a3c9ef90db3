package bolt

import (
	"path/filepath"
	"testing"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/storetest"
)

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "watchbill.db") }

func mustOpen(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB) store.Store { return mustOpen(t, file(t), Options{}) })
}
