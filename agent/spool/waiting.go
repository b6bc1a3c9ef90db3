package spool

import "iter"

// Waiting is every report that is not acknowledged, oldest first, up to the newest there is when it starts. Reports may be
// appended, acknowledged and dropped meanwhile. It ends with the first error, which comes with an empty Item.
func (s *Spool) Waiting() iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		at, end := place{}, s.end()
		for {
			item, ok, err := s.nextWaiting(&at, end)
			if !ok && err == nil || !yield(item, err) || err != nil {
				return
			}
		}
	}
}

// nextWaiting is the next report at or behind at that is not acknowledged, and moves at past it.
func (s *Spool) nextWaiting(at *place, end place) (Item, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		if g.number < at.number || g.number > end.number || g.waiting == 0 {
			continue
		}
		if g.number > at.number {
			*at = place{number: g.number}
		}
		stop := len(g.entries)
		if g.number == end.number {
			stop = min(stop, end.index)
		}
		for at.index < stop {
			at.index++
			if item, ok, err := s.waiting(g, at.index-1); ok || err != nil {
				return item, ok, err
			}
		}
	}
	return Item{}, false, s.alive()
}
