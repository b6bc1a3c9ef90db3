package evaluate

import (
	"context"
	"time"
)

// Run reviews until ctx ends; it returns nil. A Tell that fails is logged and tried again.
func (r *Reviews) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		began := r.o.Now()
		more := r.Step(ctx)
		// What was worked is rested for in proportion, so that live evaluation has the rest of the processor.
		rest := time.Duration(float64(r.o.Now().Sub(began)) * (1/r.o.Share - 1))
		if more {
			if !pause(ctx, rest) {
				return nil
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-tick.C:
		}
		if !pause(ctx, rest) {
			return nil
		}
	}
}

// pause waits; false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// maxAbreast is how many reviews take turns with each other; the others wait for one of them to end, or to wait itself.
const maxAbreast = 64

// batch is how many reports one Step judges: a tenth of a second's work or so.
const batch = 32

// Step does the next piece of work and tells whether more can be done at once. Run calls it.
func (r *Reviews) Step(ctx context.Context) (more bool) {
	r.turn.Lock()
	defer r.turn.Unlock()
	v, work := r.next()
	if v == nil {
		return false
	}
	for _, p := range work {
		if ctx.Err() != nil {
			return false // the next start has the review again, from its beginning
		}
		v.take(ctx, p)
	}
	clear(work) // what was judged is let go of, and no longer counted
	r.metrics.reports.Add(float64(len(work)))
	if v.weigh() > r.o.MaxBytes/2 {
		v.giveUp("its reports need more memory than reviews may take: there are too many series over too long a time")
	}
	if r.weighed(v) && r.settle(ctx, v) {
		r.mu.Lock()
		r.drop(v)
		r.mu.Unlock()
	} else {
		r.weighed(v) // what is only waiting for the live rules has let go of its window
	}
	return r.ready() != nil
}

// weighed reckons what v takes now and tells whether it has all its reports. The caller holds turn.
func (r *Reviews) weighed(v *review) (whole bool) {
	held := v.weigh()
	r.mu.Lock()
	defer r.mu.Unlock()
	v.held = held
	r.charge(v)
	return v.closed && len(v.queue) == 0
}

// settle ends a review that has all its reports; false when it has to be looked at again later.
func (r *Reviews) settle(ctx context.Context, v *review) bool {
	found, ok := v.finish(ctx, r.o.Now())
	if !ok {
		return false
	}
	if err := r.o.Tell(ctx, found); err != nil {
		if ctx.Err() == nil {
			r.o.Logger.Error("what a review found could not be kept; trying again", "asset", v.asset.Name, "err", err)
		}
		return false
	}
	r.metrics.reviews.Inc()
	r.metrics.found.Add(float64(len(found.Found) + found.More))
	return true
}

// next takes the turn of the review that waited longest for one, with its work; none when there is nothing to do now.
func (r *Reviews) next() (*review, []Past) {
	v := r.ready()
	if v == nil {
		return nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.served++
	v.served, v.again = r.served, r.o.Now().Add(time.Second)
	n := min(batch, len(v.queue))
	work := v.queue[:n:n]
	if v.queue = v.queue[n:]; len(v.queue) == 0 {
		v.queue = nil
	}
	for _, p := range work {
		v.queued -= sizeOf(p)
	}
	return v, work
}

// ready is the review whose turn is next, nil when none has work now. It closes those whose assets send nothing more.
func (r *Reviews) ready() *review {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.o.Now()
	var best *review
	abreast := 0
	for _, v := range r.line {
		if !v.closed && len(v.queue) == 0 && now.Sub(v.fed) > r.o.Idle {
			r.o.Logger.Info("review ends before all is here: its asset sends no more for now", "asset", v.asset.Name)
			r.close(v)
		}
		works := len(v.queue) > 0 || v.closed && !now.Before(v.again)
		if !works {
			continue
		}
		if best == nil || v.served < best.served {
			best = v
		}
		if abreast++; abreast == maxAbreast {
			break
		}
	}
	return best
}
