package spool

import (
	"math"
	"time"
)

// Stats is the state of a spool.
type Stats struct {
	Bytes          int64
	Segments       int
	Reports        int // held and readable
	Unacknowledged int
	// Dropped counts, over the life of the spool, reports that had to go before they were acknowledged.
	Dropped uint64
	// Untold are those of Dropped that the collector does not know of; see Told.
	Untold uint64
	// Damaged counts places in the held segments that do not match their checksums: a report each, or more where the
	// damage hides how many.
	Damaged int
}

// Stats counts what is held now.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Bytes: s.bytes, Segments: len(s.segments), Dropped: s.state.Dropped, Untold: s.state.Untold}
	for _, seg := range s.segments {
		st.Reports += len(seg.entries) - seg.lost
		st.Unacknowledged += seg.waiting
		st.Damaged += seg.lost
	}
	return st
}

// HeldSince is the time from which the spool holds every report that was ever made: of the oldest report behind which
// nothing is missing. It is the zero time when nothing ever went missing, neither dropped nor damaged. When nothing is
// held behind the gap it is just after the newest report that is known to have been made.
func (s *Spool) HeldSince() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, newest := int64(math.MaxInt64), s.state.LastMadeAtMs
	gap := func() time.Time {
		if since == math.MaxInt64 {
			since = newest + 1
		}
		return time.UnixMilli(since)
	}
	expect := uint64(0) // number that the segment before must have
	for i := len(s.segments) - 1; i >= 0; i-- {
		seg := s.segments[i]
		if expect != 0 && seg.number != expect {
			return gap()
		}
		expect = seg.number - 1
		for j := len(seg.entries) - 1; j >= 0; j-- {
			newest = max(newest, seg.entries[j].madeAtMs)
			if seg.entries[j].lost {
				return gap()
			}
			since = seg.entries[j].madeAtMs
		}
	}
	if expect != 0 || len(s.segments) == 0 && s.state.LastEpoch != 0 {
		return gap()
	}
	return time.Time{}
}
