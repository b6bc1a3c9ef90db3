package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/push"
	"github.com/watchbill/watchbill/agent/spool"
	"github.com/watchbill/watchbill/agent/wire"
)

const (
	spoolBytes  = 64 << 20
	spoolDir    = "spool"
	maxInFlight = 1024
)

// spooled is an agent with a spool on disk and the agent's own push: nothing is given up, and what a collector asks to
// see again is sent again. It costs a directory, an fsync for each report and three more goroutines.
type spooled struct {
	simulated
	identity enroll.Identity
	dir      string
	source   net.Addr
	spool    *spool.Spool

	mu sync.Mutex
	// sent are the reports whose acknowledgement is awaited, by sequence.
	sent map[uint64]awaited
	// last is the newest answer, for the loop to learn from.
	last *push.Answer
}

type awaited struct {
	report  *wire.Report
	sampled time.Time
}

// run reports until ctx ends, first at a time; push delivers what the spool holds.
func (a *spooled) run(ctx context.Context, first time.Time) error {
	var err error
	if a.spool, err = spool.Open(filepath.Join(a.dir, spoolDir), spool.Options{MaxBytes: spoolBytes}); err != nil {
		return fmt.Errorf("spool of %s: %w", a.host.name, err)
	}
	a.kept = a.spool.HeldSince
	a.sent = map[uint64]awaited{}
	line := a.transport()
	defer line.CloseIdleConnections()
	p := push.New(push.Options{URL: a.identity.URL(), Transport: line, Spool: a.spool, Version: version(), OnAck: a.hear})
	pushing, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- p.Run(pushing) }()
	err = a.loop(ctx, first, p)
	stop()
	if e := <-ended; err == nil {
		err = e
	}
	if e := a.spool.Close(); err == nil {
		err = e
	}
	return err
}

// transport is the agent's own, from this agent's source address, counting.
func (a *spooled) transport() *http.Transport {
	t := a.identity.Transport()
	d := net.Dialer{LocalAddr: a.source, Timeout: dialTimeout}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			a.stats.fail(err, time.Now())
			return nil, err
		}
		a.stats.connects.Add(1)
		a.stats.connected.Add(1)
		return &counted{Conn: c, stats: a.stats}, nil
	}
	return t
}

// counted is a connection that tells when it is closed.
type counted struct {
	net.Conn
	stats *stats
	once  sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.stats.connected.Add(-1) })
	return c.Conn.Close()
}

// Write counts what goes over the line: of these agents TLS and header too.
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.stats.sentBytes.Add(uint64(max(n, 0))) //nolint:gosec // a length
	return n, err
}

// loop makes a report every interval.
func (a *spooled) loop(ctx context.Context, first time.Time, p *push.Push) error {
	a.epoch, _ = a.spool.Last()
	a.begin(first)
	a.tell(first, "agent_started", "the agent (simulated) started")
	var replayed uint64
	for due := first; wait(ctx, due); due = due.Add(a.interval) {
		now := time.Now()
		a.suffer(now)
		a.takeAnswer()
		again := p.Stats().Replayed
		a.stats.replayed.Add(again - replayed)
		replayed = again
		if a.silent {
			continue
		}
		a.happen(now)
		if err := a.append(now, due, a.samples, ""); err != nil {
			return err
		}
		p.Wake()
	}
	if a.goodbye && !a.silent {
		return a.append(time.Now(), time.Now(), false, "the simulation ends")
	}
	return nil
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
	if err := a.spool.Append(m, a.host.shape); err != nil {
		return fmt.Errorf("spool of %s: %w", a.host.name, err)
	}
	a.mu.Lock()
	if len(a.sent) < maxInFlight {
		a.sent[m.Sequence] = awaited{m, due}
	}
	a.mu.Unlock()
	a.delivered(&wire.Report{Epoch: m.Epoch, Inventory: m.Inventory, Events: m.Events})
	return nil
}

// hear is push's word of an Ack, from its goroutine.
func (a *spooled) hear(x push.Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = &x
	one, ok := a.sent[x.Ack.Sequence]
	switch {
	case x.Ack.Result == wire.Ack_RESULT_LATER:
		a.stats.refuse("later")
	case x.Ack.Result == wire.Ack_RESULT_REFUSED:
		a.stats.refuse("report")
	case x.Ack.Result != wire.Ack_RESULT_ACCEPTED:
	case ok && one.report.Epoch == x.Ack.Epoch:
		delete(a.sent, x.Ack.Sequence)
		a.accepted(one.report, x.Ack, one.sampled, x.Received)
	}
}

// takeAnswer learns from the newest answer.
func (a *spooled) takeAnswer() {
	a.mu.Lock()
	x := a.last
	a.last = nil
	a.mu.Unlock()
	if x != nil {
		a.answered(x.Ack, x.Sent, x.Received)
	}
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
