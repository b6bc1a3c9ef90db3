package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/push"
	"github.com/watchbill/watchbill/agent/spool"
	"github.com/watchbill/watchbill/agent/wire"
)

const (
	spoolBytes = 64 << 20
	spoolDir   = "spool"
)

// spooled is an agent with a spool on disk and the agent's own push: nothing is given up, and what a collector asks to
// see again is sent again. It costs a directory, an fsync for each report and three more goroutines.
type spooled struct {
	simulated
	identity enroll.Identity
	dir      string
	source   net.Addr

	spool *spool.Spool
	way   *witness
	due   time.Time // when the next report is

	mu sync.Mutex
	// sent are the reports that the collector has not disposed of, oldest first.
	sent []awaited
	// last is the newest answer, for the loop to learn from.
	last *push.Answer
}

// awaited is a report in the spool.
type awaited struct {
	key
	due   time.Time // when its samples were
	sizes []int     // of its blocks
	// report is nil when nobody wants to be told of it.
	report *wire.Report
}

// run reports until ctx ends, first at a time: life after life, if its fault is to be restarted.
func (a *spooled) run(ctx context.Context, first time.Time) error {
	a.way = newWitness(a.identity, a.source, a.stats)
	defer a.way.line.CloseIdleConnections()
	a.due = first
	for again := true; again; {
		var err error
		if again, err = a.live(ctx); err != nil {
			return err
		}
	}
	return nil
}

// live is the agent from its start to its end: push delivers what the spool holds. again says that it is to be started
// anew.
func (a *spooled) live(ctx context.Context) (again bool, err error) {
	if a.spool, err = spool.Open(filepath.Join(a.dir, spoolDir), spool.Options{MaxBytes: spoolBytes}); err != nil {
		return false, fmt.Errorf("spool of %s: %w", a.host.name, err)
	}
	a.kept = a.spool.HeldSince
	if a.epoch == 0 {
		a.epoch, _ = a.spool.Last()
		a.startUp(a.due)
	}
	p := push.New(push.Options{URL: a.identity.URL(), Transport: a.way, Spool: a.spool, Version: version(),
		Distrust: enroll.Certificate, OnAck: a.hear})
	pushing, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- p.Run(pushing) }()
	again, err = a.loop(ctx, p)
	stop()
	if e := <-ended; err == nil {
		err = e
	}
	a.way.line.CloseIdleConnections()
	if e := a.spool.Close(); err == nil {
		err = e
	}
	return again, err
}

// loop makes a report every interval, until ctx ends or the agent is to be started anew.
func (a *spooled) loop(ctx context.Context, p *push.Push) (again bool, err error) {
	for wait(ctx, a.due) {
		now, due := time.Now(), a.due
		last := a.newest()
		if a.suffer(now) {
			a.way.cut.Store(a.silent)
			last = nil // by a clock that may just have been set
			if a.fault.kind == faultRestart {
				return true, nil
			}
		}
		if last != nil {
			a.learn(last.Ack, last.Sent, last.Received)
		}
		for !a.due.After(now) { // what could not be kept up with is left out
			a.due = a.due.Add(a.interval)
		}
		if now.Sub(due) > a.interval {
			a.stats.late.Add(1)
		}
		if a.silent && a.fault.kind == faultSilence {
			continue
		}
		a.happen(now)
		if err := a.append(now, due, a.samples, ""); err != nil {
			return false, err
		}
		p.Wake()
	}
	if a.goodbye && !a.silent {
		return false, a.append(time.Now(), time.Now(), false, "the simulation ends")
	}
	return false, nil
}

// append makes a report and spools it. Its events are the spool's from then on.
func (a *spooled) append(now, due time.Time, samples bool, goodbye string) error {
	m, err := a.report(now, samples)
	if err != nil {
		return err
	}
	if goodbye != "" {
		m.Goodbye = &wire.Goodbye{Reason: goodbye}
	}
	one := awaited{key: key{m.Epoch, m.Sequence}, due: due, sizes: a.host.sizes(m)}
	if a.acknowledged != nil {
		one.report = m
	}
	a.mu.Lock()
	a.sent = append(a.sent, one)
	a.mu.Unlock()
	if err := a.spool.Append(m, a.host.shape); err != nil {
		return fmt.Errorf("spool of %s: %w", a.host.name, err)
	}
	a.delivered(&wire.Report{Epoch: m.Epoch, Inventory: m.Inventory, Events: m.Events})
	return nil
}

// hear is push's word of an Ack, from its goroutine.
func (a *spooled) hear(x push.Answer) {
	t, ack := a.way.last, x.Ack
	accepted, live := ack.Result == wire.Ack_RESULT_ACCEPTED, t.lane == wire.LaneLive
	got := answer{incarnation: wire.Start(ack.Incarnation), sent: x.Sent, came: x.Received}
	got.reached[stageBack] = true
	got.reached[stageLive] = accepted && live && len(ack.Refusals) == 0
	got.reached[stageReplayed] = accepted && live && ack.ReplaySinceMs == 0
	a.stats.heard(&a.back, got)

	done, refused := t.disposed(ack)
	if ack.Result == wire.Ack_RESULT_LATER {
		a.stats.refuse("later")
	}
	for range refused {
		a.stats.refuse("report")
	}
	a.stats.refuseBlocks(ack.Refusals)
	if t.lane == wire.LaneReplay {
		a.stats.replayed.Add(uint64(max(len(done)-refused, 0))) //nolint:gosec // a count
	}
	a.mu.Lock()
	a.last = &x
	let := a.letGo(t.lane, done)
	a.mu.Unlock()
	if refused > 0 {
		return // of a bulk with others; which is not told, so none of them counts as accepted
	}
	for i, one := range let {
		if one.due.IsZero() {
			continue
		}
		a.accepted(one.sizes, uint32(i), ack.Refusals) //nolint:gosec // an index
		if live {
			a.stats.latency.observe(x.Received.Sub(one.due))
		} else {
			a.stats.backlog.Add(1)
		}
		if one.report != nil {
			a.acknowledged(a.host.name, one.report)
		}
	}
}

// disposed are the reports of a request that its Ack disposed of, and how many of them were refused for good.
func (t trip) disposed(ack *wire.Ack) (done []key, refused int) {
	if t.bulk != nil {
		n := min(int(ack.Disposed), len(t.bulk))
		return t.bulk[:n], min(int(ack.Refused), n)
	}
	one := []key{{ack.Epoch, ack.Sequence}}
	switch ack.Result {
	case wire.Ack_RESULT_ACCEPTED:
		return one, 0
	case wire.Ack_RESULT_REFUSED:
		return one, 1
	}
	return nil, 0
}

// letGo takes what is disposed of from those that are awaited, one for each; zero where it was not awaited, because it
// was disposed of before, or spooled by an earlier run. The caller holds mu.
func (a *spooled) letGo(lane string, done []key) []awaited {
	out := make([]awaited, len(done))
	for i, k := range done {
		at, ok := slices.BinarySearchFunc(a.sent, k, func(x awaited, k key) int {
			switch {
			case x.less(k):
				return -1
			case k.less(x.key):
				return 1
			}
			return 0
		})
		if ok {
			out[i] = a.sent[at]
		}
		switch {
		case lane == wire.LaneBacklog: // that goes oldest first: what is still older the spool had to drop
			if ok {
				at++
			}
			a.sent = slices.Delete(a.sent, 0, at)
		case ok:
			a.sent = slices.Delete(a.sent, at, at+1)
		}
	}
	return out
}

// newest takes the newest answer, nil when there is none.
func (a *spooled) newest() *push.Answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.last
	a.last = nil
	return x
}

// wait waits until t; false when ctx has ended.
func wait(ctx context.Context, t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
