package bolt

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

// FuzzInspect: whatever bytes a file has, inspecting it ends, does not panic, and blames the file.
func FuzzInspect(f *testing.F) {
	path := file(f)
	s, err := Open(path, Options{})
	if err != nil {
		f.Fatal(err)
	}
	for i := range 3 {
		if err := work(s, i+1); err != nil {
			f.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	good = good[:20*4096]
	f.Add(good)
	f.Add(good[:100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := inspectPages(bytes.NewReader(b), int64(len(b))); err != nil && !errors.Is(err, errPage) {
			t.Errorf("%v does not blame a page", err)
		}
	})
}

// FuzzPage goes past the meta pages' checksums: the page under the root is whatever the fuzzer makes of it.
func FuzzPage(f *testing.F) {
	f.Add([]byte{3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 32, 0, 0, 0, 'k'})
	f.Add([]byte{3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 'k'})
	f.Fuzz(func(t *testing.T, page []byte) {
		const size, pages = 4096, 8
		b := make([]byte, size*pages)
		copy(b[3*size:], page)
		in := &inspection{file: bytes.NewReader(b), pageSize: size, high: pages, seen: make([]uint64, 1)}
		if err := in.page(3, nil, nil, 0); err != nil && !errors.Is(err, errPage) {
			t.Errorf("%v does not blame a page", err)
		}
	})
}
