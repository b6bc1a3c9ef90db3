package collector

import (
	"slices"
	"time"
)

// span is a stretch of time without a hole.
type span struct{ from, to time.Time }

// spans are such stretches in order of time, with a hole between each and the next.
type spans []span

// maxSpans bounds what is remembered of one host; the oldest stretch is forgotten first.
const maxSpans = 64

// add puts t into s, joining what lies no more than gap apart. It changes s in place.
func (s spans) add(t time.Time, gap time.Duration) spans {
	i, _ := slices.BinarySearchFunc(s, t, func(p span, t time.Time) int { return p.from.Compare(t) })
	s = slices.Insert(s, i, span{t, t})
	out := s[:0]
	for _, p := range s {
		if n := len(out); n > 0 && p.from.Sub(out[n-1].to) <= gap {
			if p.to.After(out[n-1].to) {
				out[n-1].to = p.to
			}
			continue
		}
		out = append(out, p)
	}
	if len(out) > maxSpans {
		out = slices.Delete(out, 0, len(out)-maxSpans)
	}
	return out
}

// last is the newest stretch.
func (s spans) last() span {
	if len(s) == 0 {
		return span{}
	}
	return s[len(s)-1]
}
