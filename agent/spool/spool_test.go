package spool

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

const firstMs = 1_790_000_000_000

// maker makes the reports of a test: number n is made n × 15 s after the first.
type maker struct{ b *wire.Builder }

func newMaker() maker { return maker{wire.NewBuilder(wire.DefaultLimits())} }

func (m maker) report(t testing.TB, epoch, sequence uint64) *wire.Report {
	t.Helper()
	at := time.UnixMilli(firstMs).Add(time.Duration(sequence) * 15 * time.Second)
	load, err := m.b.Block("node", "load", at, 15*time.Second, []wire.Sample{
		{Name: "node_load1", Value: float64(sequence)}, {Name: "node_load5", Value: math.Copysign(0, -1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	odd, err := m.b.Block("node", "odd", at, 15*time.Second, []wire.Sample{
		{Name: fmt.Sprintf("node_odd_%d", sequence/3), Value: math.NaN()}, // a new shape now and then
	})
	if err != nil {
		t.Fatal(err)
	}
	return &wire.Report{
		Epoch: epoch, Sequence: sequence, MadeAtMs: at.UnixMilli(),
		Blocks: []*wire.Block{load, odd, wire.FailedBlock("node", "cpu", at, time.Second, errors.New("no"))},
		Events: []*wire.Event{{Id: sequence, Kind: "test", AtMs: at.UnixMilli(), Text: fmt.Sprint("event ", sequence)}},
	}
}

func (m maker) append(t testing.TB, s *Spool, epoch uint64, sequences ...uint64) {
	t.Helper()
	for _, n := range sequences {
		if err := s.Append(m.report(t, epoch, n), m.b.Shape); err != nil {
			t.Fatal(err)
		}
	}
}

func upTo(n uint64) (all []uint64) {
	for i := uint64(1); i <= n; i++ {
		all = append(all, i)
	}
	return all
}

func openOn(t testing.TB, d *powerDisk, o Options) *Spool {
	t.Helper()
	s, err := tryOpen(d, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryOpen(d *powerDisk, o Options) (*Spool, error) {
	if o.Free == nil {
		o.Free = func(string) (uint64, error) { return math.MaxUint64, nil }
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return open("dir", d, o)
}

// drain takes every unacknowledged report, oldest first.
func drain(t testing.TB, s *Spool) (all []Item) {
	t.Helper()
	for {
		item, ok, err := s.Oldest()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return all
		}
		all = append(all, item)
		done(t, s, item.Epoch, item.Sequence)
	}
}

func done(t testing.TB, s *Spool, epoch uint64, sequences ...uint64) {
	t.Helper()
	for _, n := range sequences {
		if err := s.Done(epoch, n); err != nil {
			t.Fatal(err)
		}
	}
}

func since(t testing.TB, s *Spool, at time.Time) (all []Item) {
	t.Helper()
	for item, err := range s.Since(at) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, item)
	}
	return all
}

func sequences(items []Item) (all []uint64) {
	for _, item := range items {
		all = append(all, item.Sequence)
	}
	return all
}

func wantSequences(t testing.TB, what string, items []Item, want ...uint64) {
	t.Helper()
	if got := sequences(items); !slices.Equal(got, want) {
		t.Errorf("%s: reports %v, want %v", what, got, want)
	}
}

func madeAt(sequence uint64) time.Time {
	return time.UnixMilli(firstMs).Add(time.Duration(sequence) * 15 * time.Second)
}

func TestLanes(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := newMaker()
	if _, ok, err := s.Newest(); ok || err != nil {
		t.Errorf("an empty spool has a newest report: %v, %v", ok, err)
	}
	m.append(t, s, 7, upTo(5)...)
	newest, _, err := s.Newest()
	if err != nil {
		t.Fatal(err)
	}
	oldest, _, err := s.Oldest()
	if err != nil {
		t.Fatal(err)
	}
	wantSequences(t, "newest and oldest", []Item{newest, oldest}, 5, 1)
	if want := m.report(t, 7, 5); !proto.Equal(newest.Report, want) || newest.Epoch != 7 || !newest.MadeAt.Equal(madeAt(5)) {
		t.Errorf("newest is\n%v\nwant\n%v", newest.Report, want)
	}
	done(t, s, 7, 5, 1, 5, 99) // twice and never heard of are no errors
	newest, _, _ = s.Newest()
	oldest, _, _ = s.Oldest()
	wantSequences(t, "after two are done", []Item{newest, oldest}, 4, 2)
	wantSequences(t, "replay", since(t, s, time.Time{}), 1, 5)
	wantSequences(t, "replay of late", since(t, s, madeAt(2)), 5)
	wantSequences(t, "replay from the very time", since(t, s, madeAt(5)), 5)
	if st := s.Stats(); st.Reports != 5 || st.Unacknowledged != 3 || st.Segments != 1 || st.Dropped != 0 || st.Bytes == 0 {
		t.Errorf("stats %+v", st)
	}
	if !s.HeldSince().IsZero() {
		t.Errorf("held since %v although nothing was dropped", s.HeldSince())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s, err = Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if epoch, sequence := s.Last(); epoch != 7 || sequence != 5 {
		t.Errorf("last is %d of epoch %d, want 5 of 7", sequence, epoch)
	}
	wantSequences(t, "replay after a restart", since(t, s, time.Time{}), 1, 5)
	wantSequences(t, "waiting after a restart", drain(t, s), 2, 3, 4)
	for _, b := range m.report(t, 7, 4).Blocks[:2] {
		want, _ := m.b.Shape(b.ShapeId)
		if got, ok := s.Shape(b.ShapeId); !ok || !proto.Equal(got, want) {
			t.Errorf("shape of %s: %v, %v; want %v", b.Source, got, ok, want)
		}
	}
	if _, ok := s.Shape(make([]byte, 32)); ok {
		t.Error("a shape that never was is found")
	}
	if notes := s.Notes(); len(notes) != 0 {
		t.Errorf("a sound spool was repaired: %q", notes)
	}
}

func TestAppendRefuses(t *testing.T) {
	m := newMaker()
	d := newPowerDisk()
	s := openOn(t, d, Options{SegmentBytes: 4096, MaxBytes: 1 << 20})
	m.append(t, s, 7, 1, 2)
	big := m.report(t, 7, 3)
	for i := range 400 {
		big.Events = append(big.Events, &wire.Event{Id: uint64(i), Kind: fmt.Sprint(i * i * i), Text: fmt.Sprint(i * 7919 * i)})
	}
	none := func([]byte) (*wire.Shape, bool) { return nil, false }
	stranger := m.report(t, 7, 3)
	stranger.Blocks[0].ShapeId = make([]byte, 32)
	short := m.report(t, 7, 3)
	short.Blocks[0].ShapeId = nil
	for name, c := range map[string]struct {
		r      *wire.Report
		shapes func([]byte) (*wire.Shape, bool)
		is     error
		says   string
	}{
		"same again":      {m.report(t, 7, 2), m.b.Shape, ErrOrder, "larger epoch"},
		"earlier epoch":   {m.report(t, 6, 9), m.b.Shape, ErrOrder, "epoch 7"},
		"unnamed":         {&wire.Report{}, m.b.Shape, ErrOrder, ""},
		"unknown shape":   {stranger, none, nil, "shape 0000"},
		"no shape id":     {short, none, nil, "block load"},
		"bigger than all": {big, m.b.Shape, nil, "segment"},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.Stats()
			err := s.Append(c.r, c.shapes)
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %v that says %q", err, c.is, c.says)
			}
			if s.Stats() != before {
				t.Errorf("it changed the spool: %+v, was %+v", s.Stats(), before)
			}
		})
	}
	if err := s.Append(m.report(t, 8, 2), none); err != nil {
		t.Errorf("the spool has the shapes itself, and yet: %v", err)
	}
	if err := s.Append(m.report(t, 8, 3), nil); err == nil {
		t.Error("nobody has the shape of a report, and yet it was taken")
	}
	m.append(t, s, 8, 3)
}

// Each segment has what its reports refer to: any of them can be read without the others.
func TestSegmentsStandAlone(t *testing.T) {
	m, d := newMaker(), newPowerDisk()
	o := Options{SegmentBytes: 1500, MaxBytes: 1 << 20}
	s := openOn(t, d, o)
	m.append(t, s, 1, upTo(20)...)
	if n := s.Stats().Segments; n < 3 {
		t.Fatalf("%d segments, want several", n)
	}
	var seen []uint64
	for _, g := range s.segments {
		alone := d.snapshot()
		for name := range alone.names {
			if name != g.name() {
				delete(alone.names, name)
			}
		}
		one := openOn(t, alone, o)
		for _, item := range drain(t, one) {
			seen = append(seen, item.Sequence)
			for _, b := range item.Report.Blocks[:2] {
				want, _ := m.b.Shape(b.ShapeId)
				if got, ok := one.Shape(b.ShapeId); !ok || !proto.Equal(got, want) {
					t.Errorf("segment %d, report %d: shape of %s is not there", g.number, item.Sequence, b.Source)
				}
			}
		}
	}
	if !slices.Equal(seen, upTo(20)) {
		t.Errorf("reports %v, want 1 to 20", seen)
	}
}

func TestAcknowledgementsAreLazy(t *testing.T) {
	m, d := newMaker(), newPowerDisk()
	s := openOn(t, d, Options{})
	m.append(t, s, 1, upTo(100)...)
	done(t, s, 1, upTo(saveEvery+3)...)
	crashed := openOn(t, d.snapshot(), Options{})
	if got, want := crashed.Stats().Unacknowledged, 100-saveEvery; got != want {
		t.Errorf("after a crash %d wait, want %d: only the last few acknowledgements are forgotten", got, want)
	}
	done(t, s, 1, 90)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	orderly := openOn(t, d, Options{})
	if got, want := orderly.Stats().Unacknowledged, 100-saveEvery-4; got != want {
		t.Errorf("after an orderly end %d wait, want %d", got, want)
	}
	if n := len(orderly.state.Acknowledged); n != 2 {
		t.Errorf("%d ranges, want 2: %v", n, orderly.state.Acknowledged)
	}
}

func TestOnlyOneProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "spool")
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v, want ErrLocked that names %s", err, dir)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	again, err := Open(dir, Options{})
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	defer again.Close()
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		file string
		is   error
		says string
	}{
		"newer format":   {Options{}, "v3-0000000000000001-0000000000000001.segment", ErrNewer, "format 3"},
		"tiny":           {Options{MaxBytes: 1000, SegmentBytes: 600}, "", nil, "1200"},
		"negative":       {Options{SegmentBytes: -1}, "", nil, "segment size"},
		"giant segments": {Options{MaxBytes: 1 << 40, SegmentBytes: 1 << 30}, "", nil, "segment size"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.file != "" {
				if err := os.WriteFile(filepath.Join(dir, c.file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Open(dir, c.o)
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %v that says %q", err, c.is, c.says)
			}
		})
	}
	t.Run("other files are left alone", func(t *testing.T) {
		dir := t.TempDir()
		for _, name := range []string{"notes.txt", "x.segment", "v1-1-1.segment", "v1-0000000000000000-0000000000000001.segment",
			"v0-0000000000000001-0000000000000001.segment"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if n := s.Stats().Segments; n != 0 {
			t.Errorf("%d of them were taken for segments", n)
		}
	})
}

func TestClosed(t *testing.T) {
	m := newMaker()
	s := openOn(t, newPowerDisk(), Options{})
	m.append(t, s, 1, 1, 2)
	done(t, s, 1, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, newest := s.Newest()
	_, _, oldest := s.Oldest()
	var replay error
	for _, err := range s.Since(time.Time{}) {
		replay = err
	}
	for name, err := range map[string]error{
		"append": s.Append(m.report(t, 1, 3), m.b.Shape), "done": s.Done(1, 2), "told": s.Told(1), "newest": newest, "oldest": oldest, "since": replay,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s on a closed spool: %v", name, err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	builder := wire.NewBuilder(wire.DefaultLimits())
	samples := make([]wire.Sample, 200)
	for i := range samples {
		samples[i] = wire.Sample{Name: fmt.Sprintf("node_thing_%d", i), Value: 1 / float64(i+1)}
	}
	at := time.UnixMilli(firstMs)
	block, err := builder.Block("node", "test", at, time.Second, samples)
	if err != nil {
		b.Fatal(err)
	}
	r := &wire.Report{Epoch: 1, MadeAtMs: at.UnixMilli(), Blocks: []*wire.Block{block}}
	b.ReportAllocs()
	for b.Loop() {
		r.Sequence++
		if err := s.Append(r, builder.Shape); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(s.Stats().Bytes)/float64(s.Stats().Reports), "bytes/report")
}
