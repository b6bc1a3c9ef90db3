package collector

import (
	"cmp"
	"slices"
	"time"
)

// mark is one report in the life of a host.
type mark struct {
	epoch, sequence uint64
	at              time.Time
	// linked says that nothing was made between it and the newest report before it that is here, as far as the agent
	// can tell.
	linked bool
}

func (m mark) compare(o mark) int {
	return cmp.Or(cmp.Compare(m.epoch, o.epoch), cmp.Compare(m.sequence, o.sequence))
}

// follows tells whether no report is missing between p and the later m. Reports that are numbered on leave no doubt,
// however long nobody reported in between; where numbers say nothing, a hole is what is longer than gap.
func (m mark) follows(p mark, gap time.Duration) bool {
	return m.linked || m.epoch == p.epoch && m.sequence == p.sequence+1 || m.at.Sub(p.at).Abs() <= gap
}

// span is a stretch of reports without a hole.
type span struct {
	first, last mark
	// from is the earliest time in it: a clock that was set back may have made a later report earlier.
	from time.Time
}

// spans are such stretches in the order their reports were made, with a hole between each and the next.
type spans []span

// maxSpans bounds what is remembered of one host; the oldest stretch is forgotten first.
const maxSpans = 64

// add puts m into s, joining it to what it follows and what follows it. A report twice changes nothing.
func (s spans) add(m mark, gap time.Duration) spans {
	i, _ := slices.BinarySearchFunc(s, m, func(p span, m mark) int { return p.last.compare(m) })
	// Now s[i] is the first that ends at or behind m.
	if i < len(s) && s[i].first.compare(m) <= 0 {
		return s // within, or its end again
	}
	before := i > 0 && m.follows(s[i-1].last, gap)
	after := i < len(s) && s[i].first.follows(m, gap)
	switch {
	case before && after:
		s[i-1].last, s[i-1].from = s[i].last, earliest(s[i-1].from, s[i].from, m.at)
		s = slices.Delete(s, i, i+1)
	case before:
		s[i-1].last, s[i-1].from = m, earliest(s[i-1].from, m.at)
	case after:
		s[i].first, s[i].from = m, earliest(s[i].from, m.at)
	default:
		s = slices.Insert(s, i, span{m, m, m.at})
	}
	if len(s) > maxSpans {
		s = slices.Delete(s, 0, len(s)-maxSpans)
	}
	return s
}

func earliest(t time.Time, more ...time.Time) time.Time {
	for _, o := range more {
		if o.Before(t) {
			t = o
		}
	}
	return t
}

// last is the newest stretch.
func (s spans) last() span {
	if len(s) == 0 {
		return span{}
	}
	return s[len(s)-1]
}
