package spool

import (
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// BenchmarkOpen opens what three days without a line leave behind at an interval of 10 s: of the host in agent/wire's
// testdata, whose scrapes follow each other again and again.
func BenchmarkOpen(b *testing.B) {
	const reports = 3 * 24 * 360
	dir := unsynced{osDisk(b.TempDir())}
	o, err := Options{Reserve: -1, Free: func(string) (uint64, error) { return math.MaxUint64, nil }}.withDefaults()
	if err != nil {
		b.Fatal(err)
	}
	s, err := open("dir", dir, o)
	if err != nil {
		b.Fatal(err)
	}
	all, builder := readRecording(b, *samplesFile), wire.NewBuilder(wire.DefaultLimits())
	for n := range reports {
		r := spooledReport(b, all, n%len(all[0].values), builder)
		r.Sequence, r.MadeAtMs = uint64(n+1), time.UnixMilli(firstMs).Add(time.Duration(n)*10*time.Second).UnixMilli()
		if err := s.Append(r, builder.Shape); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	held := s.Stats()
	if held.Unacknowledged != reports || held.Dropped > 0 {
		b.Fatalf("%+v", held)
	}
	s = nil
	before := live()
	for b.Loop() {
		if s, err = open("dir", dir, o); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(live()-before)/(1<<20), "MiB-live")
	b.ReportMetric(float64(held.Bytes)/(1<<20), "MiB-on-disk")
	b.ReportMetric(float64(held.Segments), "segments")
	if st := s.Stats(); st != held {
		b.Fatalf("opened: %+v, closed: %+v", st, held)
	}
}

// live is the heap that is in use.
func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below 2^63
}

// unsynced is a directory that nobody syncs, to be filled fast.
type unsynced struct{ osDisk }

func (d unsynced) Open(name string, create bool) (file, error) {
	f, err := d.osDisk.Open(name, create)
	return unsyncedFile{f}, err
}

func (unsynced) Sync() error { return nil }

type unsyncedFile struct{ file }

func (unsyncedFile) Sync() error { return nil }
