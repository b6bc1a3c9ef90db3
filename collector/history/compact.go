package history

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// share is how much of Options.MaxBytes one block may be: the oldest is dropped whole.
const share = 8

// careful is the TSDB's compactor, kept from merging blocks where that would do harm: it would fill the disk, on which
// tickets lie too, or make a block so large that dropping it would drop much of what there is.
type careful struct {
	tsdb.Compactor
	h *History
}

// newCompactor is the TSDB's own, which stop ends: Run does not wait minutes for a merge.
func (h *History) newCompactor(s *shelf) tsdb.NewCompactorFunc {
	return func(ctx context.Context, r prometheus.Registerer, l *slog.Logger, ranges []int64, pool chunkenc.Pool, o *tsdb.Options) (tsdb.Compactor, error) {
		ctx, s.stop = context.WithCancel(ctx)
		c, err := tsdb.NewLeveledCompactorWithOptions(ctx, r, l, ranges, pool, tsdb.LeveledCompactorOptions{
			MaxBlockChunkSegmentSize: o.MaxBlockChunkSegmentSize, EnableOverlappingCompaction: o.EnableOverlappingCompaction,
		})
		if err != nil {
			s.stop()
			return nil, err
		}
		return careful{c, h}, nil
	}
}

// Plan is what is to be merged next; nothing when that would do harm. Until there is room blocks stay as they are, and are
// read as well.
func (c careful) Plan(dir string) ([]string, error) {
	dirs, err := c.Compactor.Plan(dir)
	if err != nil || len(dirs) < 2 {
		return dirs, err
	}
	metas, size, err := measure(dirs)
	if err != nil {
		return nil, fmt.Errorf("measure blocks: %w", err)
	}
	if most := c.h.o.MaxBytes; most > 0 && size > most/share && !overlap(metas) {
		return nil, nil
	}
	free, need, err := c.h.leeway(1)
	if err == nil && free < need+uint64(size) { //nolint:gosec // no file has less than nothing
		c.h.o.Logger.Warn("blocks of history are not merged: free some space; nothing is lost by it",
			"blocks", len(dirs), "mib", size>>20, "free_mib", free>>20)
		return nil, nil
	}
	return dirs, err
}

// span is the time of one block.
type span struct {
	MinTime int64 `json:"minTime"`
	MaxTime int64 `json:"maxTime"`
}

// measure reads the times of blocks, and how many bytes they have together.
func measure(dirs []string) (all []span, size int64, err error) {
	for _, dir := range dirs {
		b, err := os.ReadFile(filepath.Join(dir, "meta.json"))
		if err != nil {
			return nil, 0, err
		}
		var m span
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", dir, err)
		}
		all = append(all, m)
		n, err := sizeOf(dir)
		if err != nil {
			return nil, 0, err
		}
		size += n
	}
	return all, size, nil
}

// overlap tells whether some have times in common: what came late is merged in whatever the size, which grows little by it.
func overlap(all []span) bool {
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.MinTime < b.MaxTime && b.MinTime < a.MaxTime {
				return true
			}
		}
	}
	return false
}

// upkeeping does upkeep beside the writing, which a merge would hold up for minutes: one round at a time.
type upkeeping struct {
	busy sync.WaitGroup
	one  chan struct{}
}

func newUpkeeping() *upkeeping { return &upkeeping{one: make(chan struct{}, 1)} }

// begin starts a round, unless the last one goes on.
func (u *upkeeping) begin(round func()) {
	select {
	case u.one <- struct{}{}:
	default:
		return
	}
	u.busy.Go(func() {
		defer func() { <-u.one }()
		round()
	})
}

// end ends a round that goes on, for good: what it was at is done again after the next start.
func (u *upkeeping) end(h *History) {
	if s := h.shelf.Load(); s != nil && len(u.one) > 0 {
		s.stop()
	}
	u.busy.Wait()
}
