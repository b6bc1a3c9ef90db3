package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
)

var (
	cuts = flag.Int("spool.cuts", 400, "power cuts in TestPowerCut")
	seed = flag.Uint64("spool.seed", 1, "seed of TestPowerCut")
)

// wantTrue checks that every report served is the one that was spooled under its name.
func wantTrue(t *testing.T, m maker, items []Item) {
	t.Helper()
	for _, item := range items {
		if want := m.report(t, item.Epoch, item.Sequence); !proto.Equal(item.Report, want) {
			t.Fatalf("report %d of epoch %d is served as\n%v\nwant\n%v", item.Sequence, item.Epoch, item.Report, want)
		}
	}
}

func only(t testing.TB, d *powerDisk, suffix string) *inode {
	t.Helper()
	var found *inode
	for name, n := range d.names {
		if strings.HasSuffix(name, suffix) {
			if found != nil {
				t.Fatalf("two files end in %s", suffix)
			}
			found = n
		}
	}
	return found
}

// A crash leaves the last record short, or full of nothing, at any byte.
func TestTornTail(t *testing.T) {
	m, d := newMaker(), newPowerDisk()
	s := openOn(t, d, Options{})
	m.append(t, s, 1, 1, 2)
	whole := int(s.Stats().Bytes)
	m.append(t, s, 1, 3)
	full := int(s.Stats().Bytes)
	for _, rest := range []string{"cut off", "zeros", "noise"} {
		t.Run(rest, func(t *testing.T) {
			for at := whole; at < full; at++ {
				torn := d.snapshot()
				n := only(t, torn, ".segment")
				random := rand.NewChaCha8([32]byte{byte(at)})
				switch rest {
				case "cut off":
					n.data = n.data[:at]
				case "zeros":
					clear(n.data[at:])
				case "noise":
					_, _ = random.Read(n.data[at:])
				}
				if bytes.Equal(n.data, only(t, d, ".segment").data) {
					continue
				}
				s := openOn(t, torn, Options{})
				if s.Stats().Bytes != int64(whole) || (len(s.Notes()) == 1) != (at > whole || rest != "cut off") {
					t.Fatalf("torn at %d of %d: %d bytes, notes %q; want %d and one note", at, full, s.Stats().Bytes, s.Notes(), whole)
				}
				if len(n.data) != whole {
					t.Fatalf("torn at %d: the file has %d bytes after repair, want %d", at, len(n.data), whole)
				}
				m.append(t, s, 1, 3, 4)
				s = openOn(t, torn, Options{})
				if len(s.Notes()) != 0 || s.Stats().Segments != 1 || !s.HeldSince().IsZero() {
					t.Fatalf("torn at %d: after repair notes %q, %d segments, held since %v", at, s.Notes(), s.Stats().Segments,
						s.HeldSince())
				}
				items := drain(t, s)
				wantSequences(t, "after repair", items, 1, 2, 3, 4)
				wantTrue(t, m, items)
			}
		})
	}
}

// One bit is wrong, anywhere: what is served is true, at most the report that the bit is in is missing, that is
// counted, and the spool goes on.
func TestBitFlips(t *testing.T) {
	m, d := newMaker(), newPowerDisk()
	o := Options{SegmentBytes: 750, MaxBytes: 1 << 20}
	s := openOn(t, d, o)
	m.append(t, s, 1, upTo(6)...)
	done(t, s, 1, 1, 2)
	if err := s.saveState(); err != nil { // twice, so that both copies are there
		t.Fatal(err)
	}
	if err := s.saveState(); err != nil {
		t.Fatal(err)
	}
	if n := len(s.segments); n < 3 {
		t.Fatalf("%d segments, want several", n)
	}
	last := s.tail().name()
	for name, n := range d.names {
		for bit := 0; bit < 8*len(n.data); bit += 3 { // two or three of every byte
			flipped := d.snapshot()
			flipped.names[name].data[bit/8] ^= 1 << (bit % 8)
			s := openOn(t, flipped, o)
			got := append(since(t, s, time.Time{}), drain(t, s)...)
			wantTrue(t, m, got)
			missing := 6 - len(got)
			isState := strings.HasPrefix(name, "state")
			switch {
			case isState && (missing != 0 || len(s.Notes()) != 1 && flipped.names[name] != nil):
				t.Fatalf("%s bit %d: %d reports are missing, notes %q", name, bit, missing, s.Notes())
			case !isState && (missing != 1 || len(s.Notes()) != 1):
				t.Fatalf("%s bit %d: %d reports are missing, notes %q; want one of each", name, bit, missing, s.Notes())
			case !isState && name != last && (s.Stats().Damaged != 1 || s.HeldSince().IsZero()):
				t.Fatalf("%s bit %d: %d damaged places, held since %v", name, bit, s.Stats().Damaged, s.HeldSince())
			}
			if !s.HeldSince().IsZero() {
				wantGapless(t, s, got, 6)
			}
			m.append(t, s, 1, 7)
		}
	}
}

// wantGapless checks HeldSince against what is held: everything made since then is there.
func wantGapless(t *testing.T, s *Spool, got []Item, newest uint64) {
	t.Helper()
	for n := newest; n > 0 && !madeAt(n).Before(s.HeldSince()); n-- {
		if !slices.Contains(sequences(got), n) {
			t.Fatalf("held since %v, but report %d of %v is missing", s.HeldSince(), n, madeAt(n))
		}
	}
}

// Damage that comes while the spool is open is noticed when it is read.
func TestDamageWhileOpen(t *testing.T) {
	m, d := newMaker(), newPowerDisk()
	s := openOn(t, d, Options{})
	m.append(t, s, 1, 1, 2, 3)
	e := s.segments[0].entries[2]
	only(t, d, ".segment").data[e.offset+e.size-1] ^= 1
	item, ok, err := s.Newest()
	if err != nil || !ok || item.Sequence != 2 {
		t.Errorf("newest is %d (%v, %v), want 2: 3 is damaged", item.Sequence, ok, err)
	}
	if st := s.Stats(); st.Damaged != 1 || st.Unacknowledged != 2 || st.Reports != 2 || len(s.Notes()) != 1 {
		t.Errorf("stats %+v, notes %q", st, s.Notes())
	}
	if got, want := s.HeldSince(), madeAt(2); !got.After(want) {
		t.Errorf("held since %v, want later than %v", got, want)
	}
	m.append(t, s, 1, 4)
	if got, want := s.HeldSince(), madeAt(4); !got.Equal(want) {
		t.Errorf("held since %v, want %v", got, want)
	}
	items := drain(t, s)
	wantSequences(t, "waiting", items, 1, 2, 4)
	wantTrue(t, m, items)
}

// Whoever gets a record's bytes into a report does not get a record: behind damage, only what was written at its place
// in this segment counts.
func TestForgedRecord(t *testing.T) {
	m, d := newMaker(), newPowerDisk()
	s := openOn(t, d, Options{})
	m.append(t, s, 1, 1, 2)
	other := openOn(t, newPowerDisk(), Options{})
	m.append(t, other, 9, 9)
	n := only(t, d, ".segment")
	e := s.segments[0].entries[1]
	copied := bytes.Clone(n.data[e.offset:])
	foreign := bytes.Clone(only(t, other.disk.(*powerDisk), ".segment").data)
	damaged := bytes.Clone(n.data[:headBytes])
	damaged[0] ^= 1
	for _, n.data = range [][]byte{slices.Concat(damaged, copied, foreign, n.data[:headBytes]), foreign} {
		s := openOn(t, d.snapshot(), Options{})
		if got := drain(t, s); len(got) != 0 {
			t.Errorf("reports %v were made of bytes that are out of place", sequences(got))
		}
	}
}

// The power fails at any operation. Every report whose Append had returned is there afterwards, or was dropped for want
// of room and counted; HeldSince never claims more than is there; and the spool goes on without help.
func TestPowerCut(t *testing.T) {
	t.Logf("-spool.cuts=%d -spool.seed=%d", *cuts, *seed)
	for name, o := range map[string]Options{
		"room":    {SegmentBytes: 1500, MaxBytes: 1 << 30},
		"no room": {SegmentBytes: 1200, MaxBytes: 4000},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(*seed, uint64(len(name))))
			var l life
			for cut := range *cuts {
				if cut%20 == 0 {
					l = life{m: newMaker(), d: newPowerDisk(), o: o, next: 1}
				}
				l.run(t, random)
				l.d.cut(random)
				l.check(t, cut)
			}
		})
	}
}

// The same at every single operation of a spool's first hours, a few times each: what a random moment seldom hits.
func TestPowerCutAtEveryStep(t *testing.T) {
	random := rand.New(rand.NewPCG(*seed, 0))
	for left, went := 0, true; went; left++ {
		for range 10 {
			l := life{m: newMaker(), d: newPowerDisk(), o: Options{SegmentBytes: 1200, MaxBytes: 2500}, next: 1}
			l.d.left = left
			l.use(t, 14, func() bool { return false })
			went = l.d.left == 0
			l.d.cut(random)
			l.check(t, left)
		}
	}
}

// life is one spool that loses its power again and again.
type life struct {
	m       maker
	d       *powerDisk
	o       Options
	next    uint64
	durable []uint64 // sequences whose Append returned nil
}

// run uses the spool until the power goes, or a little less long.
func (l *life) run(t *testing.T, random *rand.Rand) {
	t.Helper()
	l.d.left = random.IntN(60)
	l.use(t, 1+random.IntN(20), func() bool { return l.o.MaxBytes > 1<<20 && random.IntN(4) == 0 })
}

// use appends n reports and acknowledges the one before when ack says so.
func (l *life) use(t *testing.T, n int, ack func() bool) {
	t.Helper()
	s, err := tryOpen(l.d, l.o)
	if err != nil {
		if !errors.Is(err, errPower) {
			t.Fatalf("open: %v", err)
		}
		return
	}
	for range n {
		if s.Append(l.m.report(t, 1, l.next), l.m.b.Shape) != nil {
			return
		}
		l.durable = append(l.durable, l.next)
		l.next++
		if ack() {
			_ = s.Done(1, l.next-2) // the power may go; then it waits again
		}
	}
}

func (l *life) check(t *testing.T, cut int) {
	t.Helper()
	s := openOn(t, l.d, l.o)
	all := append(since(t, s, time.Time{}), drain(t, openOn(t, l.d.snapshot(), l.o))...)
	wantTrue(t, l.m, all)
	held := map[uint64]bool{}
	for _, item := range all {
		held[item.Sequence] = true
	}
	missing := uint64(0)
	for _, n := range l.durable {
		if !held[n] {
			missing++
		}
	}
	if missing != s.Stats().Dropped {
		t.Fatalf("cut %d: %d of %d durable reports are missing, %d were counted as dropped", cut, missing, len(l.durable),
			s.Stats().Dropped)
	}
	if missing > 0 && s.HeldSince().IsZero() {
		t.Fatalf("cut %d: %d are missing, and yet it says that it holds all there ever were", cut, missing)
	}
	if len(l.durable) > 0 && !s.HeldSince().IsZero() {
		wantGapless(t, s, all, l.durable[len(l.durable)-1])
	}
	if _, last := s.Last(); last >= l.next { // the append that was cut had reached the disk
		l.durable = append(l.durable, l.next)
		l.next = last + 1
	}
}

// Whatever a segment's bytes are, opening and reading it ends, does not panic, serves nothing that does not belong to
// its name, and leaves a spool that takes reports.
func FuzzOpen(f *testing.F) {
	m := newMaker()
	g := newSegment(segmentVersion)
	g.number, g.salt = 1, 7
	d := newPowerDisk()
	d.names[g.name()] = &inode{}
	s := openOn(f, d, Options{})
	m.append(f, s, 1, 1, 2, 3)
	two := bytes.Clone(only(f, d, ".segment").data)
	whole := bytes.Clone(two[:s.segments[0].entries[0].size])
	f.Add(whole, false)
	f.Add(two[:len(two)-3], false)
	f.Add(two[5:], false)
	f.Add(whole[headBytes:], true)
	f.Add(binary.LittleEndian.AppendUint32(nil, math.MaxUint32), false)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed { // give it a true head, so that what is behind it is reached
			b = append(make([]byte, headBytes), b...)
			seal(b, kindReport, g.salt, 0)
		}
		d := newPowerDisk()
		d.names[g.name()] = &inode{data: b}
		s := openOn(t, d, Options{})
		for _, item := range drain(t, s) {
			if item.Report.GetEpoch() != item.Epoch || item.Report.GetSequence() != item.Sequence {
				t.Fatalf("report %d is served as %d", item.Report.GetSequence(), item.Sequence)
			}
		}
		for id := range s.segments[0].shapes {
			s.Shape(id[:])
		}
		s.HeldSince()
		if epoch, _ := s.Last(); epoch < math.MaxUint64 {
			m.append(t, s, epoch+1, 1)
		}
	})
}

func FuzzState(f *testing.F) {
	good, err := state{Generation: 3, Acknowledged: []span{{1, 2, 3}}, Removing: []string{"x"}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(stateHead + "00000000\n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := parseState(b)
		if err != nil {
			return
		}
		again, err := st.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseState(again); err != nil {
			t.Fatal(err)
		}
	})
}
