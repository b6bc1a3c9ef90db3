package remote

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/history"
)

// written is a segment as the writer makes it.
func written(t testing.TB) []byte {
	t.Helper()
	s := newSpool(t.TempDir())
	s.segmentBytes = 1 << 20
	var w writer
	if err := s.open(1); err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(1_700_000_000_000)
	if _, err := s.begin(now); err != nil {
		t.Fatal(err)
	}
	w.reset()
	a, blocks := report("web-1", now, 5)
	b := &batch{asset: a, blocks: []block{{"node", layout, blocks[0].At.UnixMilli()}}, values: blocks[0].Values}
	own := &batch{own: []history.Sample{{Labels: labels.FromStrings("a", "b"), T: 1, V: 2}, {Labels: labels.FromStrings("a", "b"), T: 3, V: 4}}}
	for _, batches := range [][]*batch{{b}, {own, b}} {
		if err := s.append(w.encode(batches, now), 3, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(s.file(1))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Whatever a segment holds, it is read to an end, nothing is read twice, and what comes behind it is read.
func FuzzSegment(f *testing.F) {
	good := written(f)
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add(append(bytes.Clone(good), make([]byte, 100)...))
	f.Add([]byte(segmentMagic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		s := newSpool(dir)
		for n, b := range map[int][]byte{3: content, 4: good} {
			if err := os.WriteFile(s.file(n), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.open(1); err != nil {
			t.Fatal(err)
		}
		lost, got := uint64(0), 0
		r := reader{spool: s, make: func(ls labels.Labels) *series { return &series{labels: ls} }, at: position{Segment: 3},
			lost: func(_ string, n uint64) { lost += n }, log: func(string, ...any) {}}
		defer r.close()
		last := 0
		for {
			h, samples, _, ok, err := r.next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if len(samples) != int(h.samples) {
				t.Fatalf("%d samples in a frame of %d", len(samples), h.samples)
			}
			got += len(samples)
			if r.at.Segment == 4 {
				last += len(samples)
			}
		}
		if uint64(got)+lost != s.written() || last != 8 {
			t.Errorf("%d samples read and %d lost of %d; %d of the segment behind, want 8", got, lost, s.written(), last)
		}
	})
}

func FuzzCursors(f *testing.F) {
	f.Add([]byte(`{"a":{"segment":3,"offset":77}}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"a":{"segment":-1,"offset":9223372036854775807}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		c := cursors{dir: t.TempDir()}
		if err := os.WriteFile(filepath.Join(c.dir, "cursors.json"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		err := c.read()
		if (err != nil) != c.damaged {
			t.Errorf("damaged is %t with %v", c.damaged, err)
		}
		if n := c.highest() + 1; n < 1 {
			t.Errorf("the next segment would be %d", n)
		}
		for _, p := range c.kept {
			if p.Segment < 0 || p.Offset < 0 {
				t.Errorf("a cursor is at %+v", p)
			}
		}
	})
}
