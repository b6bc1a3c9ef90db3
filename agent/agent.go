// Package agent looks at its host in a steady rhythm and reports what it sees: samplers fill reports, reports go through
// a spool on disk, and a push brings them to the collector, whose clock they are stamped by. The collector can make it
// do nothing (DESIGN D8).
//
//	sample ─► collect ─► report ─► spool ─► push ─► collector
//	                       ▲                  │
//	                       └── clock ◄── Ack ─┘
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/push"
	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/spool"
	"github.com/watchbill/watchbill/agent/wire"
)

// Options are what is not configuration. The zero value is right for a real agent.
type Options struct {
	// Logger hears what the operator of this host should know; nothing is logged when nil.
	Logger *slog.Logger
	// Version is the agent's own, told to the collector.
	Version string
	// Now is the wall clock; time.Now when nil. Durations are always measured on the runtime's monotonic clock.
	Now func() time.Time
	// Sources are what to read; sample.Sources of the configuration when nil.
	Sources []sample.Source
	// Bundles are the evidence the collector may ask for; sample.Bundles of the configuration when nil.
	Bundles []sample.Bundle
	// Inventory describes the host; sample.Inventory when nil.
	Inventory func(context.Context) (*wire.Inventory, error)
	// Transport and URL reach the collector in place of the enrolled identity.
	Transport http.RoundTripper
	URL       string
	// Memory measures what the agent uses and may use, in bytes: SetMemoryLimit's result. Nothing is left out for want of
	// memory when nil.
	Memory func() (used, limit uint64)
	// OnReport is called after every report that was made and handed on, from Run's goroutine: a sign of life.
	OnReport func()
}

// Agent is one agent; Run is called once.
type Agent struct {
	cfg     Config
	o       Options
	keeper  *enroll.Keeper // nil when Options.Transport stands in
	sources []sample.Source
	// free is spool.Options.Free; tests fill disks with it.
	free func(dir string) (uint64, error)
}

// New checks the configuration, loads the identity and prepares the samplers; it starts nothing and opens no spool. It
// wraps enroll.ErrNotEnrolled when there is no identity yet.
func New(cfg Config, o Options) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = discard()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnReport == nil {
		o.OnReport = func() {}
	}
	cfg.Samplers.StateDir, cfg.Samplers.Version = cfg.stateDir(), o.Version
	a := &Agent{cfg: cfg, o: o, sources: o.Sources}
	if a.sources == nil {
		var err error
		if a.sources, err = sample.Sources(cfg.Samplers); err != nil {
			return nil, err
		}
	}
	if a.o.Bundles == nil {
		var err error
		if a.o.Bundles, err = sample.Bundles(cfg.Samplers); err != nil {
			return nil, err
		}
	}
	if a.o.Inventory == nil {
		a.o.Inventory = func(ctx context.Context) (*wire.Inventory, error) { return sample.Inventory(ctx, cfg.Samplers) }
	}
	if o.Transport != nil {
		return a, nil
	}
	proxy, err := enroll.ParseProxy(cfg.Proxy)
	if err != nil {
		return nil, err
	}
	if a.keeper, err = enroll.OpenKeeper(cfg.IdentityDir(), enroll.KeeperOptions{Logger: o.Logger, Now: o.Now, Proxy: proxy}); err != nil {
		return nil, err
	}
	a.o.Transport, a.o.URL = a.keeper, a.keeper.Identity().URL()
	return a, nil
}

// Run looks, reports and delivers until ctx ends, then says goodbye, for about two seconds at most, with the cause of
// ctx as its reason. What could not be delivered waits in the spool. It returns nil after an orderly end, and an error
// when the spool cannot be opened.
func (a *Agent) Run(ctx context.Context) (err error) {
	if err := os.MkdirAll(a.cfg.stateDir(), 0o700); err != nil {
		return fmt.Errorf("make directory for the agent's state: %w", err)
	}
	sp, err := spool.Open(a.cfg.spoolDir(), spool.Options{MaxBytes: int64(a.cfg.Spool.MaxBytes), Keep: a.cfg.Spool.Keep, Free: a.free})
	if err != nil {
		return fmt.Errorf("open the spool: %w", err)
	}
	defer func() { err = errors.Join(err, sp.Close()) }()
	for _, note := range sp.Notes() {
		a.o.Logger.Warn("spool repaired", "note", note)
	}
	r := newRun(a, sp)
	if a.keeper != nil {
		defer a.keeper.CloseIdleConnections()
	}
	// The pusher lives a little longer than ctx, to deliver the goodbye.
	pushing, stopPushing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPushing()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.push.Run(pushing) })
	g.Go(func() error {
		defer stopPushing()
		return r.loop(ctx)
	})
	if a.keeper != nil {
		g.Go(func() error { return a.keeper.Run(ctx) })
	}
	return g.Wait()
}

func (a *Agent) newPush(sp *spool.Spool, onAck func(push.Answer)) *push.Push {
	return push.New(push.Options{
		URL: a.o.URL, Transport: a.o.Transport, Spool: sp, Version: a.o.Version, Logger: a.o.Logger,
		Now: a.o.Now, Distrust: enroll.Certificate, OnAck: onAck,
	})
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
