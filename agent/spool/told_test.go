package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"testing"
)

// What was dropped is untold until somebody says otherwise, over restarts; a spool of an earlier release has nothing untold.
func TestToldDrops(t *testing.T) {
	o := Options{SegmentBytes: 1200, MaxBytes: 5000}
	for name, c := range map[string]struct {
		told   func(dropped uint64) []uint64
		untold func(dropped uint64) uint64
	}{
		"nobody was told":   {func(uint64) []uint64 { return nil }, func(d uint64) uint64 { return d }},
		"of some":           {func(uint64) []uint64 { return []uint64{3} }, func(d uint64) uint64 { return d - 3 }},
		"of all":            {func(d uint64) []uint64 { return []uint64{d} }, func(uint64) uint64 { return 0 }},
		"of fewer, later":   {func(d uint64) []uint64 { return []uint64{d - 1, 2} }, func(uint64) uint64 { return 1 }},
		"of more than were": {func(d uint64) []uint64 { return []uint64{d + 9} }, func(uint64) uint64 { return 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			m, d := newMaker(), newPowerDisk()
			s := openOn(t, d, o)
			m.append(t, s, 1, upTo(40)...)
			dropped := s.Stats().Dropped
			if dropped < 10 || s.Stats().Untold != dropped {
				t.Fatalf("%d dropped, %d of them untold: want many, and all", dropped, s.Stats().Untold)
			}
			s = openOn(t, d, o) // killed and started again
			for _, n := range c.told(dropped) {
				if err := s.Told(n); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range []*Spool{s, openOn(t, d, o)} {
				if st := s.Stats(); st.Untold != c.untold(dropped) || st.Dropped != dropped {
					t.Errorf("%d of %d dropped are untold, want %d of %d", st.Untold, st.Dropped, c.untold(dropped), dropped)
				}
			}
			before := c.untold(dropped)
			s = openOn(t, d, o)
			for n := uint64(41); s.Stats().Dropped == dropped; n++ {
				m.append(t, s, 1, n)
			}
			if st := s.Stats(); st.Untold != before+st.Dropped-dropped {
				t.Errorf("%d are untold after %d more were dropped, want these and %d", st.Untold, st.Dropped-dropped, before)
			}
		})
	}
	t.Run("by an earlier release", func(t *testing.T) {
		d := newPowerDisk()
		old := []byte(`{"generation":4,"dropped":7,"last_epoch":1,"last_sequence":9,"last_made_at_ms":5,"last_segment":2}`)
		d.names["state-0"] = &inode{data: fmt.Appendf(nil, "%s%08x\n%s", stateHead, crc32.Checksum(old, castagnoli), old)}
		if st := openOn(t, d, o).Stats(); st.Dropped != 7 || st.Untold != 0 {
			t.Errorf("%d of %d dropped are untold, want none of 7", st.Untold, st.Dropped)
		}
	})
	t.Run("the disk fails", func(t *testing.T) {
		m, d := newMaker(), newPowerDisk()
		s := openOn(t, d, o)
		m.append(t, s, 1, upTo(40)...)
		broken := errors.New("input/output error")
		d.fail = func(op, _ string) error {
			if op == "write" {
				return broken
			}
			return nil
		}
		dropped := s.Stats().Dropped
		if err := s.Told(dropped); !errors.Is(err, broken) || s.Stats().Untold != 0 {
			t.Errorf("error %v, %d untold; want the disk's, and none until a restart", err, s.Stats().Untold)
		}
		if n := openOn(t, d.snapshot(), o).Stats().Untold; n != dropped {
			t.Errorf("after a crash %d are untold, want all %d", n, dropped)
		}
		d.fail = nil
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if n := openOn(t, d, o).Stats().Untold; n != 0 {
			t.Errorf("after an orderly end %d are untold, want none", n)
		}
	})
}
