package spool

import (
	"fmt"
	"math"
	"slices"
)

// makeRoom drops what has to go before need bytes are appended by a report made at nowMs. The cap takes the oldest
// segment that is wholly acknowledged (the collector had it and could only want to see it again; the oldest is the first
// to be past Keep), and when there is none, the oldest. A disk that others fill takes from the spool only what is
// acknowledged and past Keep. Time is that of the reports, not a clock's: it is the collector's, and it is what Keep is
// about.
func (s *Spool) makeRoom(need, nowMs int64) error {
	if err := s.sweep(); err != nil {
		return err
	}
	for s.bytes+need > s.o.MaxBytes {
		i := s.first(func(g *segment) bool { return g.waiting == 0 })
		if i < 0 {
			i = s.first(func(*segment) bool { return true })
		}
		if i < 0 {
			return fmt.Errorf("%d bytes do not fit a spool of %d", need, s.o.MaxBytes)
		}
		if err := s.drop(i); err != nil {
			return err
		}
	}
	if s.o.Reserve < 0 {
		return nil
	}
	for {
		free, err := s.o.Free(s.dir)
		if err != nil {
			return fmt.Errorf("ask how much room the disk has: %w", err)
		}
		if wanted := uint64(s.o.Reserve) + uint64(need); free < wanted { //nolint:gosec // neither is negative
			if i := s.expired(nowMs); i >= 0 {
				if err := s.drop(i); err != nil {
					return err
				}
				continue
			}
			return fmt.Errorf("%w: %d bytes are free on the disk of %s, %d must be, of which %d are left to others: make room "+
				"there, or move the spool; the agent goes on by itself", ErrFull, free, s.dir, wanted, s.o.Reserve)
		}
		return nil
	}
}

// expired is the oldest segment that nobody will ask for again, -1 when there is none.
func (s *Spool) expired(nowMs int64) int {
	before := nowMs - s.o.Keep.Milliseconds()
	return s.first(func(g *segment) bool {
		if g.waiting > 0 {
			return false
		}
		newest := int64(math.MinInt64)
		for _, e := range g.entries {
			if !e.lost {
				newest = max(newest, e.madeAtMs)
			}
		}
		return newest < before
	})
}

// first is the oldest segment that may go and that ok is true of; the one being written to stays.
func (s *Spool) first(ok func(*segment) bool) int {
	held := s.segments
	if s.current != nil {
		held = held[:len(held)-1]
	}
	return slices.IndexFunc(held, ok)
}

// drop removes a segment, once what that costs is written down.
func (s *Spool) drop(i int) error {
	g, before := s.segments[i], s.state
	s.state.Dropped += uint64(g.waiting) //nolint:gosec // not negative
	s.state.Untold += uint64(g.waiting)  //nolint:gosec // not negative
	s.state.Removing = append(slices.Clone(s.state.Removing), g.name())
	if err := s.saveState(); err != nil {
		s.state = before
		return err
	}
	s.segments = slices.Delete(s.segments, i, i+1)
	s.bytes -= g.size
	return s.sweep()
}

// Told says that the collector knows of the first so many drops over the life of the spool, as Stats.Dropped counts them:
// they are Untold no longer, after a restart either. Fewer than were told before are no error. The error is that of
// writing, and what it was called for holds all the same until a restart.
func (s *Spool) Told(dropped uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	untold := s.state.Dropped - min(dropped, s.state.Dropped)
	if untold >= s.state.Untold {
		return nil
	}
	s.state.Untold = untold
	s.unsaved++ // for Close, should it fail here
	return s.saveState()
}

// sweep removes the files of segments that were dropped.
func (s *Spool) sweep() error {
	if len(s.state.Removing) == 0 {
		return nil
	}
	names, err := s.disk.List()
	if err != nil {
		return err
	}
	for _, name := range s.state.Removing {
		if !slices.Contains(names, name) {
			continue
		}
		if err := s.disk.Remove(name); err != nil {
			return fmt.Errorf("remove a segment that had to go: %w", err)
		}
	}
	if err := s.disk.Sync(); err != nil {
		return err
	}
	s.state.Removing = nil
	return nil
}
