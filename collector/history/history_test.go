package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"go.uber.org/goleak"

	"github.com/watchbill/watchbill/rules/window"
)

func TestMain(m *testing.M) {
	if os.Getenv(fullDiskEnv) != "" { // gives up a TSDB, which then stays
		os.Exit(m.Run())
	}
	// tsdb.Open leaves its two logs' goroutines behind when it fails on a damaged block; Close ends all others.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/prometheus/prometheus/tsdb/wlog.(*WL).run"))
}

// fullDiskEnv names the directory on which TestDiskFilledUnderUs, run again as its own child, mounts its small disk.
const fullDiskEnv = "WATCHBILL_TEST_FULL_DISK"

var noon = time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string, o Options) *History {
	t.Helper()
	o.MinFree = 1
	h, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// run writes what is queued and returns.
func run(t *testing.T, h *History) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// said is a report of one time.
type said struct {
	asset window.Asset
	block window.Block
}

func (h *History) hear(s said) { h.Append(s.asset, []window.Block{s.block}) }

// batch is what Append makes of it.
func (s said) batch(h *History) *batch { return h.take(s.asset, []window.Block{s.block}) }

// one is one sample, under a layout of its own; the pairs may name its instance.
func one(at time.Time, v float64, pairs ...string) said {
	l := labels.FromStrings(pairs...)
	return report(l.Get("instance"), at, &window.Layout{Series: []labels.Labels{l}}, v)
}

// report is a block of one asset.
func report(asset string, at time.Time, l *window.Layout, values ...float64) said {
	return said{window.Asset{Name: asset}, window.Block{At: at, Status: window.OK, Layout: l, Values: values}}
}

func match(name, val string) []*labels.Matcher {
	return []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, name, val)}
}

// values reads a metric over a day around noon: "0:1 60:2" for 1 at noon and 2 a minute later, one line per series.
func values(t *testing.T, h *History, metric string) string {
	t.Helper()
	curves, err := h.Series(t.Context(), match("__name__", metric), noon.Add(-24*time.Hour), noon.Add(24*time.Hour), 1000)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range curves {
		var line []string
		for _, p := range c.Points {
			line = append(line, fmt.Sprintf("%v:%v", p.T.Sub(noon).Seconds(), p.V))
		}
		lines = append(lines, strings.Join(line, " "))
	}
	return strings.Join(lines, "\n")
}

func dropped(h *History, reason string) float64 {
	return testutil.ToFloat64(h.metrics.dropped.WithLabelValues(reason))
}

func TestWrittenIsReadAlsoAfterARestart(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, Options{})
	h.hear(one(noon, 1, "__name__", "load", "instance", "web1"))
	h.hear(one(noon, 5, "__name__", "load", "instance", "web2"))
	h.hear(one(noon.Add(time.Minute), 2, "__name__", "load", "instance", "web1"))
	h.hear(one(noon, 9, "__name__", "other"))
	run(t, h)
	const want = "0:1 60:2\n0:5"
	if got := values(t, h, "load"); got != want {
		t.Errorf("read %q, want %q", got, want)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Series(t.Context(), match("__name__", "load"), noon, noon, 10); !errors.Is(err, ErrUnavailable) {
		t.Errorf("reading what is closed: %v, want ErrUnavailable", err)
	}
	again := open(t, dir, Options{})
	if got := values(t, again, "load"); got != want {
		t.Errorf("after a restart read %q, want %q", got, want)
	}
	curves, err := again.Series(t.Context(), match("instance", "web2"), noon, noon, 10)
	if err != nil || len(curves) != 1 || curves[0].Labels.Get("instance") != "web2" {
		t.Errorf("web2 at noon: %v %v", curves, err)
	}
}

func TestWhatNoChartCanShowIsLeftOut(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	for i, v := range []float64{1, math.NaN(), math.Inf(1), math.Inf(-1), math.Float64frombits(value.StaleNaN), 2} {
		h.hear(one(noon.Add(time.Duration(i)*time.Second), v, "__name__", "load"))
	}
	h.hear(one(noon, math.NaN(), "__name__", "load", "instance", "nothing"))
	run(t, h)
	if got := values(t, h, "load"); got != "0:1 5:2" {
		t.Errorf("read %q, want the two numbers", got)
	}
}

func TestLateSamplesFillIn(t *testing.T) {
	h := open(t, t.TempDir(), Options{Retention: 2 * time.Hour})
	h.hear(one(noon, 1, "__name__", "load"))
	h.hear(one(noon.Add(-30*time.Minute), 2, "__name__", "load")) // late
	h.hear(one(noon.Add(-110*time.Minute), 3, "__name__", "load"))
	h.hear(one(noon.Add(-3*time.Hour), 4, "__name__", "load")) // later than anything is kept
	h.hear(one(noon, 1, "__name__", "load"))                   // a repeat
	h.hear(one(noon, 1))                                       // no name at all
	run(t, h)
	h.hear(one(noon, 7, "__name__", "load")) // another value for a time that is told already
	run(t, h)
	if got, want := values(t, h, "load"), "-6600:3 -1800:2 0:1"; got != want {
		t.Errorf("read %q, want %q", got, want)
	}
	for reason, want := range map[string]float64{"too_old": 1, "duplicate": 1, "invalid": 1} {
		if got := dropped(h, reason); got != want {
			t.Errorf("dropped as %s: %v, want %v", reason, got, want)
		}
	}
}

func TestAFullQueueDropsAndCountsAndNeverBlocks(t *testing.T) {
	h := open(t, t.TempDir(), Options{Queue: 2})
	for i := range 5 {
		h.hear(one(noon.Add(time.Duration(i)*time.Second), float64(i), "__name__", "load"))
	}
	if got := dropped(h, "queue_full"); got != 3 {
		t.Errorf("dropped %v, want 3", got)
	}
	run(t, h)
	if got := values(t, h, "load"); got != "0:0 1:1" {
		t.Errorf("read %q, want the first two", got)
	}
}

func TestTwoCollectorsOnOneDirectory(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, Options{})
	h.hear(one(noon, 1, "__name__", "load"))
	run(t, h)
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("opening it twice: %v, want ErrLocked", err)
	}
	if got := values(t, h, "load"); got != "0:1" {
		t.Errorf("the first one reads %q after the second was refused", got)
	}
}

// Old blocks are cut and dropped by our own upkeep, and what the retention promises stays.
func TestUpkeepKeepsTheHeadSmallAndDropsTheOld(t *testing.T) {
	h := open(t, t.TempDir(), Options{Retention: 30 * time.Minute, Queue: 4096})
	for i := range 4 * 60 {
		h.hear(one(noon.Add(time.Duration(i)*time.Minute), float64(i), "__name__", "load"))
		run(t, h)
		h.upkeep(t.Context())
	}
	s := h.shelf.Load()
	if span := s.db.Head().MaxTime() - s.db.Head().MinTime(); span > (20 * time.Minute).Milliseconds() {
		t.Errorf("%v in memory", time.Duration(span)*time.Millisecond)
	}
	curves, err := h.Series(t.Context(), match("__name__", "load"), noon, noon.Add(24*time.Hour), 1000)
	if err != nil || len(curves) != 1 {
		t.Fatalf("%v %v", curves, err)
	}
	kept := curves[0].Points
	span := kept[len(kept)-1].T.Sub(kept[0].T)
	if span < 30*time.Minute || span > time.Hour || len(kept) != int(span.Minutes())+1 {
		t.Errorf("%d points over %v kept of four hours, want 30 m to 1 h without holes", len(kept), span)
	}
}

func TestRunStopsAndWritesWhatIsQueued(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }()
	for i := range 100 {
		h.hear(one(noon.Add(time.Duration(i)*time.Second), float64(i), "__name__", "load"))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(values(t, h, "load"), ":"); n != 100 {
		t.Errorf("%d of 100 written when Run has returned", n)
	}
	if got := testutil.ToFloat64(h.metrics.samples); got != 100 {
		t.Errorf("counted %v", got)
	}
}

func TestSeriesLimits(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	for i := range MaxCurves + 1 {
		h.hear(one(noon, 1, "__name__", "load", "instance", fmt.Sprint(i)))
	}
	run(t, h)
	if _, err := h.Series(t.Context(), match("__name__", "load"), noon, noon, 10); !errors.Is(err, ErrTooMany) {
		t.Errorf("%d series: %v, want ErrTooMany", MaxCurves+1, err)
	}
	if _, err := h.Series(t.Context(), nil, noon, noon, 10); err == nil {
		t.Error("everything there is was read without a matcher")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Series(ctx, match("instance", "1"), noon, noon, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestCloseWaitsForReaders(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	h.hear(one(noon, 1, "__name__", "load"))
	run(t, h)
	q, err := h.Queryable().Querier(noon.UnixMilli(), noon.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- h.Close() }()
	set := q.Select(t.Context(), true, nil, match("__name__", "load")...)
	if !set.Next() {
		t.Error("a querier lost its data to Close")
	}
	if len(ended) != 0 {
		t.Error("Close did not wait")
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestOpenRefusesMetricsTwice(t *testing.T) {
	reg := prometheus.NewRegistry()
	open(t, t.TempDir(), Options{Registerer: reg})
	if _, err := Open(t.TempDir(), Options{Registerer: reg}); err == nil {
		t.Error("two histories on one registry")
	}
}

func TestTheStoragesDailyBusinessIsForDebugging(t *testing.T) {
	var log strings.Builder
	l := slog.New(quiet{slog.NewTextHandler(&log, nil)}).With("a", 1).WithGroup("g")
	l.Info("head GC completed")
	l.Warn("something is wrong")
	if got := log.String(); strings.Contains(got, "head GC") || !strings.Contains(got, "something is wrong") {
		t.Errorf("log: %q", got)
	}
}

// What is there is read back when its time has come; until then nothing can be read, what comes waits, and the directory
// is taken.
func TestOpenAfter(t *testing.T) {
	dir := t.TempDir()
	before := open(t, dir, Options{})
	before.hear(one(noon, 1, "__name__", "load"))
	run(t, before)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := open(t, dir, Options{OpenAfter: time.Minute})
		if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
			t.Errorf("opened a second time: %v, want ErrLocked", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		h.hear(one(noon.Add(time.Minute), 2, "__name__", "load"))
		time.Sleep(59 * time.Second)
		if _, err := h.Series(ctx, match("__name__", "load"), noon, noon, 10); !errors.Is(err, ErrUnavailable) {
			t.Errorf("read before its time: %v, want ErrUnavailable", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := values(t, h, "load"); got != "0:1 60:2" {
			t.Errorf("read %q, want what was there and what waited", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A stop before that opens nothing, and counts what is lost.
func TestStopBeforeOpenAfter(t *testing.T) {
	h := open(t, t.TempDir(), Options{OpenAfter: time.Hour})
	h.hear(one(noon, 1, "__name__", "load"))
	run(t, h)
	if h.shelf.Load() != nil || dropped(h, "write_failed") != 1 {
		t.Errorf("open: %v, dropped %v", h.shelf.Load() != nil, dropped(h, "write_failed"))
	}
}
