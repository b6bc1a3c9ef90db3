package window

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// Ended is a series of which Apply knows that it ended, and since when: what keeps samples elsewhere learns it from nobody
// else. In the window itself it has ended already.
type Ended struct {
	Labels labels.Labels
	At     time.Time
}

// leaving is a series that ended at a time (ms), as it stood in a part.
type leaving struct {
	part *Part
	slot int32
	at   int64
}

// moving is a series of an asset that was another customer's, or at another site, with the time (ms) of its last sample. It
// ends when something is heard under the new name, so that there are neither both nor none.
type moving struct {
	labels labels.Labels
	at     int64
}

// leaves notes which series of an agent's source are not in next, whose first row is of t. What comes from outside, and what
// rules make, is for those to tell who write it.
func (s *source) leaves(next *Part, t int64) {
	if s.asset == nil || s.part.kind == "" {
		return
	}
	for slot, id := range s.part.ids[:s.part.Live] {
		if to, ok := next.find(id); ok && int(to) < next.Live {
			continue
		}
		if last, ok := s.stands(int32(slot)); ok && last < t {
			s.asset.left = append(s.asset.left, leaving{s.part, int32(slot), t})
		}
	}
}

// stands is the time of a series' newest sample, unless it ended with it.
func (s *source) stands(slot int32) (t int64, ok bool) {
	t, v, ok := s.lastOf(slot)
	return t, ok && !value.IsStaleNaN(v)
}

// standing are the series that have not ended, but for those from outside.
func (a *asset) standing() (all []moving) {
	for _, s := range a.sources {
		if s.outside() {
			continue
		}
		for slot, lbls := range s.part.Series[:s.part.Live] {
			if t, ok := s.stands(int32(slot)); ok {
				all = append(all, moving{a.Labels(lbls), t})
			}
		}
	}
	return all
}

// ends takes what is noted of series that ended; word is the time (ms) of the newest live block, 0 without one. A series
// that another source of the asset has now goes on.
func (a *asset) ends(word int64) (all []Ended) {
	for _, x := range a.left {
		if id := x.part.ids[x.slot]; !a.live(id) {
			all = append(all, Ended{a.Labels(x.part.Series[x.slot]), time.UnixMilli(x.at).UTC()})
		}
	}
	a.left = nil
	if word == 0 {
		return all
	}
	for _, x := range a.moved {
		if x.at < word && word-x.at < StaleAfter.Milliseconds() { // else it is over anyway
			all = append(all, Ended{x.labels, time.UnixMilli(word).UTC()})
		}
	}
	a.moved = nil
	return all
}

// live tells whether a series is in the newest block of one of the asset's sources.
func (a *asset) live(id uint64) bool {
	for _, s := range a.sources {
		if slot, ok := s.part.find(id); ok && int(slot) < s.part.Live {
			return true
		}
	}
	return false
}
