package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/wlog"
)

// fit keeps what is on disk within Options.MaxBytes, as far as it can: the head is cut early when it takes more than half of
// that, since a block takes less than the log, and where all of it is more, what was moved aside and then the oldest blocks go.
// What the newest half of a block's range takes, with its log, stays whatever the bound is; that it passes the bound is said
// once. It is part of upkeep.
func (h *History) fit(ctx context.Context, s *shelf) error {
	most := h.o.MaxBytes
	if most > 0 && s.db.Head().Size() > most/2 {
		width, _ := blockRanges(h.o.Retention)
		if err := cutEarly(s.db, width); err != nil {
			return err
		}
	}
	size, err := sizeOf(h.dir)
	if err == nil && most > 0 && size > most {
		if err = h.shrink(ctx, s); err == nil {
			size, err = sizeOf(h.dir)
		}
	}
	if err != nil {
		return fmt.Errorf("hold history to its size: %w", err)
	}
	h.metrics.bytes.Set(float64(size))
	over := most > 0 && size > most
	if over && !h.over {
		h.o.Logger.Warn("history takes more of the disk than history.size: its newest samples and their log alone do; raise history.size, "+
			"or shorten history.retention, of which a block is a quarter at most", "mib", size>>20, "bound_mib", most>>20)
	}
	h.over = over
	return nil
}

// cutEarly makes a block of what the head holds but the newest half of a block's range, of width ms: before that nothing is
// appended any more. It cuts nothing when that is less than a quarter of a range, so that there are not many small blocks.
func cutEarly(db *tsdb.DB, width int64) error {
	head := db.Head()
	from, last := head.MinTime(), head.MaxTime()
	if from >= last { // it is empty, too
		return nil
	}
	border := (from/width + 1) * width
	to := min(border, last-width/2)
	if to <= from || to < border && to-from < width/4 {
		return nil
	}
	head.WaitForAppendersOverlapping(to - 1)
	return db.CompactHead(tsdb.NewRangeHeadWithIsolationDisabled(head, from, to-1))
}

// shrink lets go of what was moved aside, and of the oldest blocks.
func (h *History) shrink(ctx context.Context, s *shelf) error {
	old, err := filepath.Glob(h.path() + ".damaged-*")
	if err != nil {
		return err
	}
	for _, dir := range old {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove what was moved aside: %w", err)
		}
		h.o.Logger.Warn("damaged history that was moved aside is removed, for it would pass history.size", "dir", dir)
	}
	// The one way to have blocks dropped without the TSDB's own loop. It makes blocks of what came late, too, whose log counts.
	return s.db.CompactOOOHead(ctx)
}

// sizeOf is how many bytes the files under dir have. What goes away meanwhile counts nothing.
func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		if err == nil {
			size += i.Size()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return size, err
}

// segmentOf is how large a piece of the log may be where all of it may have so many bytes: the log is dropped by whole pieces.
func segmentOf(most int64) int {
	if most <= 0 {
		return wlog.DefaultSegmentSize
	}
	const page = 32 << 10
	return int(min(most/32/page*page, wlog.DefaultSegmentSize))
}
