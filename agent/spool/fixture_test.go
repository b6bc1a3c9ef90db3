package spool

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// testdata/v2 is a spool that the first release to write format 2 left: a directory that every later one must read.
const fixtureDir = "testdata/v2"

var writeFixture = flag.Bool("spool.fixture", false, "write "+fixtureDir+": before the first release of format 2, and never again")

var fixtureOptions = Options{SegmentBytes: 3 << 10, MaxBytes: 13 << 10, Reserve: -1}

// fixtureReports is how many were appended; of them fixtureDropped had to go unacknowledged, the last fixtureUntold of
// which nobody was told of.
const (
	fixtureReports = 190
	fixtureDropped = 79
	fixtureUntold  = 22
	fixtureOldest  = 114 // that is still there; some were acknowledged and went for want of room as well
)

// fixtureReport is the n-th report of it: an epoch of steady reports, in which bases follow on each other, and one of
// shapes that change; bodies that are compressed, events, blocks that failed.
func fixtureReport(t testing.TB, b *wire.Builder, n uint64) *wire.Report {
	t.Helper()
	if n > 150 {
		r := maker{b}.report(t, 7, n-150)
		r.MadeAtMs = madeAt(n).UnixMilli()
		return r
	}
	r := steady(t, b, n)
	if n%40 == 0 {
		r.Events = []*wire.Event{{Id: n, Kind: "test", AtMs: r.MadeAtMs, Text: strings.Repeat("said again and again; ", 100)}}
	}
	return r
}

// acknowledgedInFixture are those that were acknowledged: a whole segment's, and some here and there.
func acknowledgedInFixture(n uint64) bool {
	return n >= 80 && n < 130 || n == 150 || n == 153 || n == 154
}

// What an earlier build of this release left on the disk is read to its end, and goes on being written.
func TestFormat2IsRead(t *testing.T) {
	if *writeFixture {
		makeFixture(t)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(fixtureDir)); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, fixtureOptions)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if notes := s.Notes(); len(notes) > 0 {
		t.Errorf("a sound spool was repaired: %q", notes)
	}
	if st := s.Stats(); st.Dropped != fixtureDropped || st.Untold != fixtureUntold || st.Damaged != 0 {
		t.Errorf("%+v, want %d dropped, %d of them untold", st, fixtureDropped, fixtureUntold)
	}
	if want := madeAt(fixtureOldest); !s.HeldSince().Equal(want) {
		t.Errorf("held since %v, want %v", s.HeldSince(), want)
	}
	wantEveryForm(t, dir)
	b := wire.NewBuilder(wire.DefaultLimits())
	reports := map[time.Time]*wire.Report{}
	var acknowledged, others []time.Time
	for n := uint64(1); n <= fixtureReports; n++ {
		at := madeAt(n)
		reports[at] = fixtureReport(t, b, n)
		switch {
		case n < fixtureOldest:
		case acknowledgedInFixture(n):
			acknowledged = append(acknowledged, at)
		default:
			others = append(others, at)
		}
	}
	wantReports(t, "acknowledged", since(t, s, time.Time{}), reports, acknowledged)
	reports[madeAt(fixtureReports+1)] = fixtureReport(t, b, fixtureReports+1)
	if err := s.Append(reports[madeAt(fixtureReports+1)], b.Shape); err != nil {
		t.Fatal(err)
	}
	wantReports(t, "waiting", drain(t, s), reports, append(others, madeAt(fixtureReports+1)))
}

// wantReports checks that items are the reports made at these times, in this order, and whole.
func wantReports(t *testing.T, what string, items []Item, reports map[time.Time]*wire.Report, at []time.Time) {
	t.Helper()
	var got []time.Time
	for _, item := range items {
		got = append(got, item.MadeAt)
		if want := reports[item.MadeAt]; !proto.Equal(item.Report, want) {
			t.Errorf("report %d of epoch %d is served as\n%v\nwant\n%v", item.Sequence, item.Epoch, item.Report, want)
		}
	}
	if !slices.Equal(got, at) {
		t.Errorf("%s: reports made at %v, want %v", what, got, at)
	}
}

// wantEveryForm checks that every form of a record is there to be read.
func wantEveryForm(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "v2-*.segment"))
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string]int{}
	for _, name := range names {
		g, ok, err := parseName(filepath.Base(name))
		if err != nil || !ok {
			t.Fatalf("%s: %v", name, err)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		scan(b, g.salt, func(_, _ int, payload []byte) {
			for form, flag := range map[string]byte{"compressed": flagZstd, "difference": flagDifference, "copy": flagSpare, "outline": flagOutline} {
				if payload[0]&flag != 0 {
					forms[form]++
				}
			}
			if payload[0]&flagDifference == 0 {
				forms["key"]++
			}
			if payload[0]&(flagDifference|flagSpare|flagOutline) == flagDifference|flagSpare {
				forms["copy of an outline told before"]++
			}
		})
	}
	if len(forms) != 6 {
		t.Errorf("forms of records: %v, want six", forms)
	}
}

// makeFixture writes it.
func makeFixture(t *testing.T) {
	t.Helper()
	s, err := Open(fixtureDir, fixtureOptions)
	if err != nil {
		t.Fatal(err)
	}
	b := wire.NewBuilder(wire.DefaultLimits())
	for n := uint64(1); n <= fixtureReports; n++ {
		r := fixtureReport(t, b, n)
		if err := s.Append(r, b.Shape); err != nil {
			t.Fatal(err)
		}
		if acknowledgedInFixture(n) {
			done(t, s, r.Epoch, r.Sequence)
		}
		if n == 170 {
			if err := s.Told(s.Stats().Dropped); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%+v", s.Stats())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(fixtureDir, "lock")); err != nil {
		t.Fatal(err)
	}
}
