package history

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/wlog"

	"github.com/watchbill/watchbill/rules/window"
)

// filled writes values that cannot be compressed for so many hours, every four seconds, with a round of upkeep a minute, and
// tells of the size on disk after each and how many samples there are.
func filled(t *testing.T, h *History, series, hours int, after func(size int64)) {
	t.Helper()
	l := &window.Layout{}
	for i := range series {
		l.Series = append(l.Series, labels.FromStrings("__name__", "m", "i", fmt.Sprint(i)))
	}
	rnd, values := rand.New(rand.NewPCG(1, 2)), make([]float64, series)
	for s := 4; s <= hours*3600; s += 4 {
		for i := range values {
			values[i] = rnd.Float64()
		}
		h.hear(report("web1", noon.Add(time.Duration(s)*time.Second), l, values...))
		if s%60 == 0 {
			run(t, h)
			h.upkeep(t.Context())
			size, err := sizeOf(h.dir)
			if err != nil {
				t.Fatal(err)
			}
			after(size)
		}
	}
}

// The bound holds with the log and the newest samples, and what is within it is read across the early cuts, whole.
func TestSizeIsBounded(t *testing.T) {
	const bound = 8 << 20
	for _, series := range []int{120, 190} {
		t.Run(fmt.Sprint(series, " series"), func(t *testing.T) {
			var log strings.Builder
			h := open(t, t.TempDir(), Options{MaxBytes: bound, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			most := int64(0)
			filled(t, h, series, 8, func(size int64) {
				if most = max(most, size); size > bound {
					t.Fatalf("%d bytes, may be %d", size, bound)
				}
				if got := testutil.ToFloat64(h.metrics.bytes); got != float64(size) {
					t.Fatalf("tells of %v bytes, there are %d", got, size)
				}
			})
			if most < bound*3/4 || strings.Contains(log.String(), "takes more of the disk") {
				t.Errorf("it had %d bytes of %d, this shows nothing, or says: %s", most, bound, &log)
			}
			if got := testutil.ToFloat64(h.metrics.bound); got != bound {
				t.Errorf("tells of a bound of %v", got)
			}
			end := noon.Add(8 * time.Hour)
			curves, err := h.Series(t.Context(), match("i", "7"), noon, end, 1e6)
			if err != nil || len(curves) != 1 {
				t.Fatal(curves, err)
			}
			points := curves[0].Points
			if kept := end.Sub(points[0].T); kept < 2*time.Hour || len(points) != int(kept/(4*time.Second))+1 {
				t.Errorf("of the last %v there are %d samples", kept, len(points))
			}
		})
	}
}

// What was moved aside counts, and goes first.
func TestSizeOfWhatWasMovedAside(t *testing.T) {
	for bytes, stays := range map[int]bool{1 << 20: true, 8 << 20: false} {
		h := open(t, t.TempDir(), Options{MaxBytes: 8 << 20})
		dir := h.path() + ".damaged-20200101T000000Z"
		put(t, filepath.Join(dir, "x"), strings.Repeat("x", bytes))
		filled(t, h, 1, 1, func(int64) {})
		if _, err := os.Stat(dir); (err == nil) != stays {
			t.Errorf("of %d bytes: %v, want that it stays: %v", bytes, err, stays)
		}
	}
}

// What the newest samples alone take may pass the bound, which is said once.
func TestSizeThatCannotBeBounded(t *testing.T) {
	var log strings.Builder
	h := open(t, t.TempDir(), Options{MaxBytes: 1 << 20, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	filled(t, h, 100, 3, func(int64) {})
	if n := strings.Count(log.String(), "history takes more of the disk than history.size"); n != 1 {
		t.Errorf("said %d times: %s", n, &log)
	}
	if size, bound := testutil.ToFloat64(h.metrics.bytes), testutil.ToFloat64(h.metrics.bound); size <= bound {
		t.Errorf("%v bytes of %v", size, bound)
	}
}

func TestPiecesOfTheLog(t *testing.T) {
	for most, want := range map[int64]int{Unbounded: wlog.DefaultSegmentSize, 1 << 20: 32 << 10, 64 << 20: 2 << 20, 1<<30 + 1: 32 << 20, 1 << 50: wlog.DefaultSegmentSize} {
		if got := segmentOf(most); got != want {
			t.Errorf("of %d bytes it is %d, want %d", most, got, want)
		}
	}
}
