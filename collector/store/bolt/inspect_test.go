package bolt

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"go.etcd.io/bbolt"
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
		var found fault
		if _, err := inspectPages(bytes.NewReader(b), int64(len(b))); err != nil && !errors.As(err, &found) {
			t.Errorf("%v does not blame the file", err)
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
		var found fault
		err := newWalk(bytes.NewReader(b), meta{pageSize: size, root: 3, high: pages}).all()
		if err != nil && !errors.As(err, &found) {
			t.Errorf("%v does not blame the file", err)
		}
	})
}

// TestInspectedFileIsTheOpenedOne: a file that another process changed, or put another in the place of, after it was
// inspected is not taken for the one that was.
func TestInspectedFileIsTheOpenedOne(t *testing.T) {
	path := file(t)
	if err := mustOpen(t, path, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	o := Options{}.withDefaults()
	opened := func(seen inspected) bool {
		t.Helper()
		e := newEngine(path, o)
		if err := e.open(bbolt.Options{ReadOnly: true}); err != nil {
			t.Fatal(err)
		}
		same, err := e.is(seen)
		if err = errors.Join(err, e.Close()); err != nil {
			t.Fatal(err)
		}
		return same
	}
	look := func() inspected {
		t.Helper()
		seen, err := inspect(path, o)
		if err != nil {
			t.Fatal(err)
		}
		return seen
	}
	seen := look()
	if !opened(seen) {
		t.Error("an untouched file is taken for another")
	}
	s := mustOpen(t, path, Options{})
	if err := errors.Join(work(s, 1), s.Close()); err != nil {
		t.Fatal(err)
	}
	if opened(seen) {
		t.Error("a file that was changed is taken for what was inspected")
	}
	seen = look()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path+".copy", content, 0o600), os.Rename(path+".copy", path)); err != nil {
		t.Fatal(err)
	}
	if opened(seen) {
		t.Error("another file in its place is taken for what was inspected")
	}
}

// TestManyPagesAreWalkedOnce: a store of more pages than one goroutine takes is refused wherever a record of it is altered,
// and by the total when a leaf is an older one.
func TestManyPagesAreWalkedOnce(t *testing.T) {
	r := dice(t)
	good, _ := sample(t, 300)
	if _, err := inspectPages(bytes.NewReader(good), int64(len(good))); err != nil {
		t.Fatal(err)
	}
	m, err := readMetas(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	w := newWalk(bytes.NewReader(good), m)
	if err := w.all(); err != nil {
		t.Fatal(err)
	}
	records := 0
	for p := range m.high {
		at := p * m.pageSize
		if w.seen[p/64].Load()&(1<<(p%64)) == 0 || order.Uint64(good[at:]) != p || order.Uint16(good[at+8:]) != leafFlag {
			continue
		}
		e := element(good, at+pageHead+elementSize*uint64(r.IntN(max(1, int(order.Uint16(good[at+10:]))))), leafFlag)
		if e.flags != 0 || len(e.value) == 0 {
			continue
		}
		records++
		i := r.IntN(len(e.value))
		e.value[i] ^= 4
		var found fault
		if _, err := inspectPages(bytes.NewReader(good), int64(len(good))); !errors.As(err, &found) {
			t.Errorf("a record of page %d is altered, and the file is %v", p, err)
		}
		e.value[i] ^= 4
	}
	if records < 20 {
		t.Errorf("%d pages of records: too few to prove much", records)
	}
}
