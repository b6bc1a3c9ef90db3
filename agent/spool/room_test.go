package spool

import (
	"errors"
	"flag"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
)

var capped = flag.Uint64("spool.capped", 100, "reports spooled in TestCap")

// The cap holds whatever comes; the oldest go, and every report that had to go is counted, over restarts too.
func TestCap(t *testing.T) {
	m, d := newMaker(), newPowerDisk()
	o := Options{SegmentBytes: 1200, MaxBytes: 5000}
	s := openOn(t, d, o)
	for n := uint64(1); n <= *capped; n++ {
		m.append(t, s, 1, n)
		st := s.Stats()
		if st.Bytes > o.MaxBytes || onDisk(d) != st.Bytes {
			t.Fatalf("after %d reports: %d bytes in %d on the disk, at most %d allowed", n, st.Bytes, onDisk(d), o.MaxBytes)
		}
		if st.Unacknowledged+int(st.Dropped) != int(n) {
			t.Fatalf("after %d reports: %d wait and %d were dropped", n, st.Unacknowledged, st.Dropped)
		}
		if n%7 == 0 {
			s = openOn(t, d, o) // killed and started again
		}
	}
	dropped := s.Stats().Dropped
	if want := madeAt(dropped + 1); !s.HeldSince().Equal(want) {
		t.Errorf("held since %v, want %v: that of the oldest", s.HeldSince(), want)
	}
	items := drain(t, s)
	wantSequences(t, "held", items, upTo(*capped)[dropped:]...)
	wantTrue(t, m, items)
}

func onDisk(d *powerDisk) (n int64) {
	for name, f := range d.names {
		if strings.HasSuffix(name, ".segment") {
			n += int64(len(f.data))
		}
	}
	return n
}

// What is acknowledged goes before what is not, the oldest first.
func TestWhatGoesFirst(t *testing.T) {
	for name, c := range map[string]struct {
		done    []int // segments whose reports are all acknowledged
		partial []int // segments with one report acknowledged
		goes    int
		dropped bool // before it was acknowledged
	}{
		"nothing is acknowledged":  {nil, nil, 0, true},
		"the second is":            {[]int{1}, nil, 1, false},
		"the second is in part":    {nil, []int{1}, 0, true},
		"the last two are":         {[]int{1, 2}, nil, 1, false},
		"part of one, all of next": {[]int{2}, []int{0, 1}, 2, false},
		"all are":                  {[]int{0, 1, 2}, nil, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, d := newMaker(), newPowerDisk()
			s := openOn(t, d, Options{SegmentBytes: 1300, MaxBytes: 1 << 20})
			next := uint64(1)
			for ; len(s.segments) < 4; next++ {
				m.append(t, s, 1, next)
			}
			for _, i := range c.done {
				for _, e := range s.segments[i].entries {
					done(t, s, 1, e.sequence)
				}
			}
			for _, i := range c.partial {
				done(t, s, 1, s.segments[i].entries[1].sequence)
			}
			goes := s.segments[c.goes]
			s.o.MaxBytes = s.bytes + 100 // the next does not fit
			m.append(t, s, 1, next)
			all := append(since(t, s, time.Time{}), drain(t, s)...)
			got := sequences(all)
			slices.Sort(got)
			want := slices.DeleteFunc(upTo(next), func(n uint64) bool {
				return slices.ContainsFunc(goes.entries, func(e entry) bool { return e.sequence == n })
			})
			if !slices.Equal(got, want) {
				t.Errorf("held %v, want %v", got, want)
			}
			if n := s.Stats().Dropped; n != uint64(goes.waiting) || (n > 0) != c.dropped {
				t.Errorf("%d were counted as dropped before they were acknowledged, want %d", n, goes.waiting)
			}
			if s.HeldSince().IsZero() {
				t.Error("it says that it holds all there ever were")
			}
			wantGapless(t, s, all, next)
		})
	}
}

// Other programs fill the disk: nothing is written, nothing is harmed, and it goes on when there is room. What nobody
// will ask for again makes room by itself.
func TestFullDisk(t *testing.T) {
	m, d := newMaker(), newPowerDisk()
	room := uint64(math.MaxUint64)
	o := Options{SegmentBytes: 1300, MaxBytes: 1 << 20, Reserve: 1000, Keep: time.Hour, Free: func(dir string) (uint64, error) {
		if dir != "dir" {
			t.Errorf("asked for the room of %q", dir)
		}
		return room, nil
	}}
	s := openOn(t, d, o)
	m.append(t, s, 1, upTo(6)...)
	before := onDisk(d)
	room = 1200
	err := s.Append(m.report(t, 1, 7), m.b.Shape)
	if !errors.Is(err, ErrFull) {
		t.Fatalf("error %v, want ErrFull", err)
	}
	for _, want := range []string{"1200 bytes are free", "dir", "1000 are left to others", "make room"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q: %v", want, err)
		}
	}
	if onDisk(d) != before || s.Stats().Unacknowledged != 6 {
		t.Errorf("a full disk changed the spool: %+v", s.Stats())
	}
	if item, ok, err := s.Newest(); !ok || err != nil || item.Sequence != 6 {
		t.Errorf("a full disk stops reading: %v, %v", ok, err)
	}
	done(t, s, 1, 1, 2, 3, 4, 5, 6)
	if err := s.Append(m.report(t, 1, 7), m.b.Shape); !errors.Is(err, ErrFull) {
		t.Errorf("error %v, want ErrFull: what is acknowledged may still be asked for", err)
	}
	s.SetKeep(0)
	if err := s.Append(m.report(t, 1, 7), m.b.Shape); !errors.Is(err, ErrFull) || s.Stats().Segments != 1 {
		t.Errorf("error %v with %d segments: what nobody will ask for should have gone", err, s.Stats().Segments)
	}
	room = math.MaxUint64
	m.append(t, s, 1, 7)
	wantSequences(t, "waiting", drain(t, openOn(t, d, o)), 7)

	broken := errors.New("no such device")
	s.o.Free = func(string) (uint64, error) { return 0, broken }
	if err := s.Append(m.report(t, 1, 8), m.b.Shape); !errors.Is(err, broken) {
		t.Errorf("error %v, want that of asking for room", err)
	}
}

// A disk that fails a write or a sync costs the report it fails, not those before it, and not those after it.
func TestDiskFails(t *testing.T) {
	broken := errors.New("input/output error")
	for _, op := range []string{"write", "sync", "open", "syncdir"} {
		for _, at := range []uint64{1, 2, 4} {
			t.Run(op, func(t *testing.T) {
				m, d := newMaker(), newPowerDisk()
				o := Options{SegmentBytes: 1300, MaxBytes: 1 << 20}
				s := openOn(t, d, o)
				m.append(t, s, 1, upTo(at-1)...)
				d.fail = func(o, name string) error {
					if o == op {
						return broken
					}
					return nil
				}
				failed := s.Append(m.report(t, 1, at), m.b.Shape)
				d.fail = nil
				if failed != nil && !errors.Is(failed, broken) {
					t.Fatalf("error %v, want the disk's", failed)
				}
				if failed == nil && (op == "write" || op == "sync") {
					t.Fatal("the disk failed and nobody noticed")
				}
				if failed != nil {
					m.append(t, s, 1, at) // again
				}
				m.append(t, s, 1, at+1)
				for _, s := range []*Spool{s, openOn(t, d, o)} {
					if !s.HeldSince().IsZero() || s.Stats().Damaged != 0 || len(s.Notes()) != 0 {
						t.Errorf("held since %v, notes %q", s.HeldSince(), s.Notes())
					}
				}
				items := drain(t, openOn(t, d, o))
				wantSequences(t, "held", items, upTo(at+1)...)
				wantTrue(t, m, items)
			})
		}
	}
}

// An append that failed can be on the disk all the same: with its retry, the report is served once.
func TestTwins(t *testing.T) {
	m, d := newMaker(), newPowerDisk()
	s := openOn(t, d, Options{})
	m.append(t, s, 1, 1, 2)
	d.fail = func(op, _ string) error {
		if op == "sync" || op == "truncate" {
			return errors.New("input/output error")
		}
		return nil
	}
	if err := s.Append(m.report(t, 1, 3), m.b.Shape); err == nil {
		t.Fatal("the disk failed and nobody noticed")
	}
	d.fail = nil
	m.append(t, s, 1, 3, 4)
	s = openOn(t, d, Options{})
	done(t, s, 1, 1)
	if err := s.saveState(); err != nil {
		t.Fatal(err)
	}
	s = openOn(t, d, Options{})
	items := drain(t, s)
	wantSequences(t, "waiting", items, 2, 3, 4)
	wantTrue(t, m, items)
	wantSequences(t, "replay", since(t, s, time.Time{}), 1, 2, 3, 4)
}

// A segment that cannot be removed yet (a scanner has it open) is counted once, and goes later.
func TestRemoveFails(t *testing.T) {
	m, d := newMaker(), newPowerDisk()
	o := Options{SegmentBytes: 1300, MaxBytes: 4000}
	s := openOn(t, d, o)
	busy := errors.New("file is in use")
	d.fail = func(op, _ string) error {
		if op == "remove" {
			return busy
		}
		return nil
	}
	n := uint64(1)
	for ; ; n++ {
		if err := s.Append(m.report(t, 1, n), m.b.Shape); err != nil {
			if !errors.Is(err, busy) {
				t.Fatal(err)
			}
			break
		}
	}
	dropped := s.Stats().Dropped
	if err := s.Append(m.report(t, 1, n), m.b.Shape); !errors.Is(err, busy) || s.Stats().Dropped != dropped {
		t.Errorf("error %v, %d dropped, want the same again and still %d", err, s.Stats().Dropped, dropped)
	}
	d.fail = nil
	s = openOn(t, d, o)
	m.append(t, s, 1, n)
	if st := s.Stats(); st.Dropped != dropped || onDisk(d) != st.Bytes || st.Unacknowledged+int(dropped) != int(n) {
		t.Errorf("stats %+v with %d bytes on the disk, want %d dropped of %d", st, onDisk(d), dropped, n)
	}
}

// Reports are appended, acknowledged and dropped while a replay runs.
func TestConcurrentUse(t *testing.T) {
	m := newMaker()
	s, err := Open(t.TempDir(), Options{SegmentBytes: 2000, MaxBytes: 12_000})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const n = 200
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		defer close(stop)
		for i := uint64(1); i <= n; i++ {
			if err := s.Append(m.report(t, 1, i), m.b.Shape); err != nil {
				t.Error(err)
				return
			}
		}
	})
	wg.Go(func() {
		for running := true; running; {
			select {
			case <-stop:
				running = false
			default:
			}
			if item, ok, err := s.Oldest(); err != nil {
				t.Error(err)
			} else if ok && item.Sequence%3 == 0 {
				_ = s.Done(1, item.Sequence)
			}
			if item, ok, err := s.Newest(); err != nil {
				t.Error(err)
			} else if ok {
				_ = s.Done(1, item.Sequence)
			}
			s.HeldSince()
			s.Stats()
		}
	})
	for range 2 {
		wg.Go(func() {
			for running := true; running; {
				select {
				case <-stop:
					running = false
				default:
				}
				before := uint64(0)
				for item, err := range s.Since(time.Time{}) {
					if err != nil {
						t.Error(err)
						return
					}
					if item.Sequence <= before || !proto.Equal(item.Report, m.report(t, 1, item.Sequence)) {
						t.Errorf("report %d after %d, or not as it was", item.Sequence, before)
					}
					before = item.Sequence
				}
			}
		})
	}
	wg.Wait()
}

// A replay begins with what there is and ends there, even when what it stands on is dropped.
func TestSinceWhileDropping(t *testing.T) {
	m, d := newMaker(), newPowerDisk()
	s := openOn(t, d, Options{SegmentBytes: 1300, MaxBytes: 4000})
	m.append(t, s, 1, upTo(8)...)
	done(t, s, 1, upTo(8)...)
	next := uint64(9)
	var got []uint64
	for item, err := range s.Since(time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, item.Sequence)
		m.append(t, s, 1, next, next+1)
		done(t, s, 1, next, next+1)
		next += 2
	}
	if len(got) == 0 || !slices.IsSorted(got) || slices.Max(got) > 8 {
		t.Errorf("replayed %v, want some of the first eight, ascending", got)
	}
}
