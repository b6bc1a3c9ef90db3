package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/tsdb"
)

func TestBlockRanges(t *testing.T) {
	const hour = int64(time.Hour / time.Millisecond)
	for retention, want := range map[time.Duration][2]int64{
		30 * time.Minute:       {hour / 8, hour / 8},
		2 * time.Hour:          {hour / 2, hour / 2},
		8 * time.Hour:          {2 * hour, 2 * hour},
		15 * 24 * time.Hour:    {2 * hour, 36 * hour},
		1000 * 24 * time.Hour:  {2 * hour, 31 * 24 * hour},
		10 * 365 * 24 * 3600e9: {2 * hour, 31 * 24 * hour},
	} {
		if s, l := blockRanges(retention); s != want[0] || l != want[1] {
			t.Errorf("for %v blocks of %d to %d ms, want %v", retention, s, l, want)
		}
	}
}

// planner is a compactor that plans what it is told to.
type planner struct {
	tsdb.Compactor
	dirs []string
}

func (p planner) Plan(string) ([]string, error) { return p.dirs, nil }

func TestMergingDoesNoHarm(t *testing.T) {
	block := func(from, to, bytes int) string {
		dir := t.TempDir()
		for name, text := range map[string][]byte{
			"meta.json": fmt.Appendf(nil, `{"minTime": %d, "maxTime": %d}`, from, to), "index": make([]byte, bytes),
		} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	small := []string{block(0, 10, 1000), block(10, 20, 1000)}
	late := []string{block(0, 10, 90_000), block(5, 20, 1000)}
	large := []string{block(0, 10, 90_000), block(10, 20, 1000)}
	for name, c := range map[string]struct {
		plan []string
		max  int64
		free uint64
		want []string
	}{
		"it fits":                               {small, 1 << 20, 1 << 20, small},
		"the disk has no room for both":         {small, 1 << 20, 1001, nil},
		"too large to be dropped whole":         {large, 100_000, 1 << 20, nil},
		"as large, with no bound":               {large, Unbounded, 1 << 20, large},
		"as large, for what came late is in it": {late, 100_000, 1 << 20, late},
		"one alone is the TSDB's business":      {small[:1], 1, 0, small[:1]},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, t.TempDir(), Options{MaxBytes: c.max})
			h.free = func(string) (uint64, uint64, error) { return c.free, 1 << 30, nil }
			got, err := careful{planner{dirs: c.plan}, h}.Plan("")
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("merges %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

// Days of samples become blocks of up to a tenth of the retention, and all of it is read across blocks and head, also by
// those who read while it is written and merged.
func TestReadingAcrossBlocksWhileTheyAreMerged(t *testing.T) {
	h := open(t, t.TempDir(), Options{Retention: 100 * time.Hour})
	const hours = 30
	layout := layoutOf("load")
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(ended)
		for rnd := rand.New(rand.NewPCG(1, 2)); ; {
			select {
			case <-stop:
				return
			default:
			}
			from := noon.Add(time.Duration(rnd.IntN(hours*60)) * time.Minute)
			curves, err := h.Series(context.Background(), match("__name__", "load"), from, from.Add(6*time.Hour), 1000)
			if err != nil {
				ended <- err
				return
			}
			for _, c := range curves {
				for i, p := range c.Points[1:] {
					if p.T.Sub(c.Points[i].T) != time.Minute || p.V != c.Points[i].V+1 {
						ended <- fmt.Errorf("read %v behind %v", p, c.Points[i])
						return
					}
				}
			}
		}
	}()
	for i := range hours * 60 {
		h.hear(report("web1", noon.Add(time.Duration(i)*time.Minute), layout, float64(i)))
		if i%60 == 59 {
			run(t, h)
			h.upkeep(t.Context())
		}
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	curves, err := h.Series(t.Context(), match("__name__", "load"), noon, noon.Add(hours*time.Hour), 1e6)
	if err != nil || len(curves) != 1 || len(curves[0].Points) != hours*60 {
		t.Fatalf("read %d curves, %v, want one with every sample", len(curves), err)
	}
	longest := int64(0)
	for _, b := range h.shelf.Load().db.Blocks() {
		longest = max(longest, b.MaxTime()-b.MinTime())
	}
	if longest != int64(6*time.Hour/time.Millisecond) {
		t.Errorf("the longest block has %v, want the three of 2h merged", time.Duration(longest)*time.Millisecond)
	}
}

// Who reads while it is closed gets an error or all of it, and nothing crashes.
func TestReadingWhileItIsClosed(t *testing.T) {
	for range 20 {
		h := open(t, t.TempDir(), Options{Retention: 2 * time.Hour})
		for i := range 120 {
			h.hear(one(noon.Add(time.Duration(i)*time.Minute), 1, "__name__", "load"))
		}
		run(t, h)
		h.upkeep(t.Context())
		begun := make(chan struct{})
		ended := make(chan error, 4)
		for range cap(ended) {
			go func() {
				begun <- struct{}{}
				for {
					curves, err := h.Series(context.Background(), match("__name__", "load"), noon, noon.Add(2*time.Hour), 1000)
					if err != nil {
						ended <- err
						return
					}
					if len(curves) != 1 || len(curves[0].Points) != 120 {
						ended <- fmt.Errorf("read %v", curves)
						return
					}
				}
			}()
		}
		for range cap(ended) {
			<-begun
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		for range cap(ended) {
			if err := <-ended; !errors.Is(err, ErrUnavailable) {
				t.Errorf("a reader got %v, want %v", err, ErrUnavailable)
			}
		}
	}
}
