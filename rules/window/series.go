package window

import (
	"math"
	"sort"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// series is one series' samples in ascending time. A reader keeps t and v as it found them under the lock: what it can
// see is never written again, since live samples go behind the end of the slices and late ones into new slices.
type series struct {
	lbls labels.Labels
	key  string
	// src is the block it comes from; nil for what the house itself writes: up and recorded series.
	src *source
	// asset is whose it is; nil for a recorded series.
	asset *asset
	t     []int64
	v     []float64
	// more are samples that wait to be put in their places together; nil but while late blocks are.
	more []sample
	// doubted is the time of the newest sample of a recorded series that was made of what is not known; zero for none.
	doubted int64
	// named and placed are its positions in the index by name and by instance.
	named, placed int
}

// written tells whether the house writes it itself.
func (s *series) written() bool { return s.src == nil || s.src.house() }

func staleMarker() float64 { return math.Float64frombits(value.StaleNaN) }

// last is the newest sample; ok is false for an empty series.
func (s *series) last() (t int64, v float64, ok bool) {
	n := len(s.t)
	if n == 0 {
		return 0, 0, false
	}
	return s.t[n-1], s.v[n-1], true
}

// ended tells whether the newest sample is a stale marker.
func (s *series) ended() bool {
	_, v, ok := s.last()
	return ok && value.IsStaleNaN(v)
}

// lastAt is the newest sample at or before t.
func (s *series) lastAt(t int64) (int64, float64, bool) {
	i := s.after(t)
	if i == 0 {
		return 0, 0, false
	}
	return s.t[i-1], s.v[i-1], true
}

// exactly is the value at t.
func (s *series) exactly(t int64) (float64, bool) {
	for _, x := range s.more {
		if x.t == t {
			return x.v, true
		}
	}
	if at, v, ok := s.lastAt(t); ok && at == t {
		return v, true
	}
	return 0, false
}

// after is the index of the first sample later than t.
func (s *series) after(t int64) int {
	if n := len(s.t); n > 0 && s.t[n-1] <= t {
		return n
	}
	return sort.Search(len(s.t), func(i int) bool { return s.t[i] > t })
}

// put adds a sample in its place. A time that is already there keeps its value. It reports the number added.
func (s *series) put(t int64, v float64) int {
	if s.more != nil {
		s.more = append(s.more, sample{t, v})
		return 0
	}
	i := s.after(t)
	switch {
	case i > 0 && s.t[i-1] == t:
		return 0
	case i == len(s.t):
		s.t, s.v = append(s.t, t), append(s.v, v)
	default: // readers may hold what is behind i: build anew
		s.t = insert(s.t, i, t)
		s.v = insert(s.v, i, v)
	}
	return 1
}

func insert[T any](old []T, i int, x T) []T {
	out := make([]T, 0, len(old)+len(old)/4+1)
	out = append(out, old[:i]...)
	out = append(out, x)
	return append(out, old[i:]...)
}

// prune forgets what is older than cut and what exceeds max samples. It reports how many went, and whether max was
// the reason for some of them.
func (s *series) prune(cut int64, limit int) (n int, full bool) {
	for n < len(s.t)-1 && s.t[n] < cut {
		n++
	}
	if over := len(s.t) - limit; over > n {
		n, full = over, true
	}
	s.t, s.v = s.t[n:], s.v[n:]
	return n, full
}

// between is the samples in [mint, maxt] but those whose time is hidden.
func (s *series) between(mint, maxt int64, hide func(int64) bool) ([]int64, []float64) {
	from, to := 0, s.after(maxt)
	if to > 0 && s.t[0] < mint {
		from = s.after(mint - 1)
	}
	if from >= to {
		return nil, nil
	}
	t, v := s.t[from:to:to], s.v[from:to:to]
	if hide == nil {
		return t, v
	}
	for len(t) > 0 && hide(t[len(t)-1]) { // the usual case: reports that came in since
		t, v = t[:len(t)-1], v[:len(v)-1]
	}
	for i := range t {
		if hide(t[i]) {
			return without(t, v, hide)
		}
	}
	return t, v
}

func without(t []int64, v []float64, hide func(int64) bool) ([]int64, []float64) {
	var ts []int64
	var vs []float64
	for i := range t {
		if !hide(t[i]) {
			ts, vs = append(ts, t[i]), append(vs, v[i])
		}
	}
	return ts, vs
}
