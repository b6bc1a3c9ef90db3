package evaluate

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// loop is a running group.
type loop struct {
	every time.Duration
	stop  context.CancelFunc
	done  chan struct{}
}

// Run evaluates every group on a timer at each multiple of its interval, the first time within one interval, and the rules
// about one asset when time alone changes something, until ctx ends.
// It returns nil when all has stopped. Faults of rules and commits are logged and counted, and stop nothing.
func (e *Evaluator) Run(ctx context.Context) error {
	loops := map[string]*loop{}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		e.spin(ctx)
		return nil
	})
	g.Go(func() error {
		retry := time.NewTimer(0)
		defer retry.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-e.changed:
				e.arrange(ctx, g, loops)
			case <-retry.C:
			}
			if !e.buryNow(ctx) {
				retry.Reset(e.opts.Interval)
			}
		}
	})
	return g.Wait()
}

func (e *Evaluator) buryNow(ctx context.Context) bool {
	err := e.bury(ctx, e.opts.Now())
	if err != nil {
		e.opts.Logger.Error("ending the alerts of removed rules failed; it is tried again", "err", err)
	}
	return err == nil
}

// arrange starts and stops loops until they are those of the groups. A group that stays keeps its beat.
func (e *Evaluator) arrange(ctx context.Context, run *errgroup.Group, loops map[string]*loop) {
	want := map[string]time.Duration{}
	for _, g := range e.snapshot() {
		want[g.Name] = g.every
	}
	before := map[string]chan struct{}{}
	for name, l := range loops {
		if want[name] != l.every {
			l.stop()
			before[name] = l.done
			delete(loops, name)
		}
	}
	for name, every := range want {
		if loops[name] != nil {
			continue
		}
		inner, stop := context.WithCancel(ctx)
		l := &loop{every: every, stop: stop, done: make(chan struct{})}
		loops[name] = l
		run.Go(func() error {
			defer close(l.done)
			defer stop()
			if was := before[name]; was != nil {
				<-was // no others wait for it
			}
			e.beat(inner, name, every)
			return nil
		})
	}
}

// beat evaluates one group at every multiple of its interval.
func (e *Evaluator) beat(ctx context.Context, name string, every time.Duration) {
	at := e.opts.Now().Truncate(every)
	for {
		at = at.Add(every)
		now := e.opts.Now()
		if late := now.Sub(at) / every; late > 0 {
			e.metrics.missed.WithLabelValues(name).Add(float64(late))
			at = at.Add(late * every)
		}
		if at.Sub(now) > every { // the clock was set back
			at = now.Truncate(every).Add(every)
		}
		timer := time.NewTimer(at.Sub(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if err := e.turnOf(ctx, name, at); err != nil && ctx.Err() == nil {
			e.opts.Logger.Error("evaluation failed; its alerts stay as they are", "group", name, "err", err)
		}
	}
}

func (e *Evaluator) turnOf(ctx context.Context, name string, at time.Time) error {
	if ctx.Err() != nil {
		return nil
	}
	for _, g := range e.snapshot() {
		if g.Name == name {
			return e.evaluate(ctx, g, at)
		}
	}
	return nil
}
