package evaluate

import (
	"time"

	"github.com/watchbill/watchbill/rules"
)

const (
	// resolvedFor is how long alerts are kept that fired and ended, as in Prometheus: whoever missed the news can still have
	// it. maxResolved is how many are kept at most.
	resolvedFor = 15 * time.Minute
	maxResolved = 10_000
)

// resolved are alerts that fired and ended, by when they ended. They lie in a ring that grows as far as it must: adding one
// costs the same however many there are, and only those that go are touched.
type resolved struct {
	ring  []Standing
	first int
	n     int
}

func (r *resolved) at(i int) *Standing { return &r.ring[(r.first+i)%len(r.ring)] }

// add puts one in its place, which is at the end or near it: evaluations end nearly in the order of their times.
func (r *resolved) add(s Standing) {
	if r.n == len(r.ring) {
		grown := make([]Standing, min(maxResolved+1, max(16, 2*r.n)))
		for i := range r.n {
			grown[i] = *r.at(i)
		}
		r.ring, r.first = grown, 0
	}
	i := r.n
	for r.n++; i > 0 && s.Alert.EndedAt.Before(r.at(i-1).Alert.EndedAt); i-- {
		*r.at(i) = *r.at(i - 1)
	}
	*r.at(i) = s
}

// drop lets go of the oldest.
func (r *resolved) drop() {
	*r.at(0) = Standing{}
	r.first, r.n = (r.first+1)%len(r.ring), r.n-1
}

// expire lets go of those that ended too long ago.
func (r *resolved) expire(now time.Time) {
	for r.n > 0 && now.Sub(r.at(0).Alert.EndedAt) > resolvedFor {
		r.drop()
	}
	if r.n == 0 {
		r.ring, r.first = nil, 0 // after a storm nobody needs it
	}
}

// resolve keeps what ended; the caller holds mu.
func (e *Evaluator) resolve(ts []rules.Transition) {
	e.resolved.expire(e.opts.Now())
	for _, t := range ts {
		if t.From != rules.Firing || t.Alert.State != rules.Inactive {
			continue
		}
		e.resolved.add(Standing{Origin: t.Origin, Alert: t.Alert})
		if e.resolved.n > maxResolved {
			e.resolved.drop()
			e.metrics.dropped.Inc()
		}
	}
}

// Resolved are the alerts that fired and ended within the last 15 minutes, as they ended, in that order: the last 10,000 of
// them. They are not kept over a restart.
func (e *Evaluator) Resolved() []Standing {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.resolved.expire(e.opts.Now())
	out := make([]Standing, 0, e.resolved.n)
	for i := range e.resolved.n {
		out = append(out, *e.resolved.at(i))
	}
	return out
}
