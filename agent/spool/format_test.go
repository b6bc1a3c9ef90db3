package spool

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// What an earlier release left on the disk is read to its end, and the spool goes on in the present format.
func TestFormat1IsRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/v1")); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := newMaker()
	m.append(t, s, 3, 10, 11)
	if notes := s.Notes(); len(notes) > 0 {
		t.Errorf("a sound spool was repaired: %q", notes)
	}
	again := since(t, s, time.Time{})
	wantSequences(t, "acknowledged", again, 1, 2, 5)
	for _, b := range m.report(t, 3, 1).Blocks[:2] {
		want, _ := m.b.Shape(b.ShapeId)
		if got, ok := s.Shape(b.ShapeId); !ok || !proto.Equal(got, want) {
			t.Errorf("shape of %s is not there", b.Source)
		}
	}
	waiting := drain(t, s)
	wantSequences(t, "waiting", waiting, 3, 4, 6, 7, 8, 9, 10, 11)
	wantTrue(t, m, append(again, waiting...))
	names, err := filepath.Glob(filepath.Join(dir, "v2-*.segment"))
	if err != nil || len(names) != 1 {
		t.Errorf("segments of the present format: %q, %v; want one", names, err)
	}
}

// steady makes reports whose series stay, so that many lean on one key.
func steady(t testing.TB, b *wire.Builder, sequence uint64) *wire.Report {
	t.Helper()
	at := madeAt(sequence)
	r := &wire.Report{Epoch: 1, Sequence: sequence, MadeAtMs: at.UnixMilli()}
	for i, source := range []string{"cpu", "load", "memory"} {
		if source == "load" && sequence%5 == 0 {
			r.Blocks = append(r.Blocks, wire.FailedBlock("node", source, at, 15*time.Second, os.ErrNotExist))
			continue
		}
		in := []wire.Sample{
			{Name: "node_" + source + "_total", Value: float64(sequence) * 1.5}, {Name: "node_" + source + "_bytes", Value: 4096 * 77},
			{Name: "node_" + source + "_ratio", Value: 1 / float64(i+7)},
		}
		block, err := b.Block("node", source, at, 15*time.Second, in)
		if err != nil {
			t.Fatal(err)
		}
		r.Blocks = append(r.Blocks, block)
	}
	return r
}

var flips = flag.Int("spool.flips", 200, "bits flipped in TestDamageCostsOneReport")

// Damage anywhere costs the report it is in and none of those that lean on it: keys and outlines are there twice.
func TestDamageCostsOneReport(t *testing.T) {
	d, b := newPowerDisk(), wire.NewBuilder(wire.DefaultLimits())
	s := openOn(t, d, Options{})
	const reports = 3*leanings + 10
	for n := uint64(1); n <= reports; n++ {
		if err := s.Append(steady(t, b, n), b.Shape); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(s.segments[0].spares); got != 4 {
		t.Fatalf("%d copies of frames for %d reports, want 4", got, reports)
	}
	size := len(only(t, d, ".segment").data)
	t.Logf("-spool.flips=%d -spool.seed=%d", *flips, *seed)
	random := rand.New(rand.NewPCG(*seed, 2))
	for range *flips {
		bit := random.IntN(8 * size)
		for _, when := range []string{"before", "while open"} {
			flipped := d.snapshot()
			open := openOn(t, flipped, Options{})
			only(t, flipped, ".segment").data[bit/8] ^= 1 << (bit % 8)
			if when == "before" {
				open = openOn(t, flipped, Options{})
			}
			got := drain(t, open)
			if missing := reports - len(got); missing != 1 || open.Stats().Damaged > 1 {
				t.Fatalf("bit %d %s: %d reports are missing, %d damaged places: %q", bit, when, missing, open.Stats().Damaged, open.Notes())
			}
			for _, item := range got {
				if want := steady(t, b, item.Sequence); !proto.Equal(item.Report, want) {
					t.Fatalf("bit %d %s: report %d is served as\n%v\nwant\n%v", bit, when, item.Sequence, item.Report, want)
				}
			}
		}
	}
}

// Two damaged places can cost those that lean on them; they are missed and counted, never guessed.
func TestFrameAndItsCopyDamaged(t *testing.T) {
	for name, c := range map[string]struct {
		damaged []int
		want    []uint64
	}{
		"key and copy":          {[]int{0, 1}, nil}, // what leans on the second base leans on the first as well
		"second base and copy":  {[]int{leanings, leanings + 1}, upTo(leanings)},
		"two copies":            {[]int{1, leanings + 1}, slices.Concat([]uint64{1}, upTo(leanings + 1)[2:], []uint64{leanings + 3, leanings + 4})},
		"copy and an other one": {[]int{1, 5}, slices.Concat([]uint64{1}, upTo(5)[2:], upTo(leanings + 4)[6:])},
	} {
		t.Run(name, func(t *testing.T) {
			d, b := newPowerDisk(), wire.NewBuilder(wire.DefaultLimits())
			s := openOn(t, d, Options{})
			for n := uint64(1); n <= leanings+4; n++ {
				if err := s.Append(steady(t, b, n), b.Shape); err != nil {
					t.Fatal(err)
				}
			}
			n := only(t, d, ".segment")
			for _, at := range c.damaged {
				e := s.segments[0].entries[at]
				n.data[e.offset+e.size-1] ^= 1
			}
			s = openOn(t, d, Options{})
			got := drain(t, s)
			wantSequences(t, "what is left", got, c.want...)
			for _, item := range got {
				if want := steady(t, b, item.Sequence); !proto.Equal(item.Report, want) {
					t.Errorf("report %d is served as\n%v\nwant\n%v", item.Sequence, item.Report, want)
				}
			}
			if st := s.Stats(); st.Reports != len(got) || st.Unacknowledged != 0 || s.HeldSince().IsZero() {
				t.Errorf("stats %+v, held since %v", st, s.HeldSince())
			}
		})
	}
}
