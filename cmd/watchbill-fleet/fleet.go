package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/wire"
)

// fleet is a simulated fleet, ready to run.
//
//	plan, identities ─► light agents ──┐ one goroutine and one connection each
//	                 ─► spooled agents ┼─► collector ─► stats ─► text, JSON
//	                 ─► hostile agents ┘ a raid for all of them
type fleet struct {
	c      config
	shared *shared
	road   *road
	people []person

	light   []*light
	spooled []*spooled
	hostile map[int][]*hostile // by fault
	// broken is how many hosts a value fault strikes.
	broken int
}

// person is who an agent is.
type person struct {
	planned
	identity enroll.Identity
	from     net.Addr
	fault    *fault
}

// newFleet loads the identities and makes every host; it starts nothing.
func newFleet(c config) (*fleet, error) {
	p, err := readPlan(c.dir)
	if err != nil {
		return nil, err
	}
	agents := p.Agents
	if c.agents > len(agents) {
		return nil, fmt.Errorf("--agents %d: only %d are prepared in %s: prepare more, or leave --agents out", c.agents, len(agents), c.dir)
	}
	if c.agents > 0 {
		agents = agents[:c.agents]
	}
	f := &fleet{c: c, shared: &shared{
		stats: newStats(), flatOut: c.flatOut, samples: !c.lifeOnly, goodbye: c.goodbye,
	}, hostile: map[int][]*hostile{}}
	if f.people, err = loadPeople(c.dir, agents); err != nil {
		return nil, err
	}
	first := f.people[0].identity
	for _, one := range f.people {
		if one.identity.Collector != first.Collector {
			return nil, fmt.Errorf("agents %s and %s report to different collectors (%s and %s): prepare them in different directories",
				f.people[0].Name, one.Name, first.Collector, one.identity.Collector)
		}
	}
	if err := onLoopback(first.Collector); err != nil && !c.allowRemote {
		return nil, err
	}
	if f.road, err = newRoad(first.Collector, first.Authorities, f.shared.stats); err != nil {
		return nil, err
	}
	if c.peerURL != "" {
		f.shared.peer = newPeer(c.peerURL)
	}
	f.placeThem(first.Collector)
	return f, f.cast()
}

// loadPeople reads the identities, a few at a time. Of each only what its connections need is kept: what all have in
// common is the first one's.
func loadPeople(dir string, agents []planned) ([]person, error) {
	people := make([]person, len(agents))
	var g errgroup.Group
	g.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, a := range agents {
		g.Go(func() error {
			id, err := enroll.Load(dirOf(dir, a.Name))
			if err != nil {
				return fmt.Errorf("%s is not enrolled: run `watchbill-fleet prepare` for this directory again: %w", a.Name, err)
			}
			if i > 0 {
				id.Authorities, id.Certificate.Leaf = nil, nil
			}
			people[i] = person{planned: a, identity: id}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i := range people {
		people[i].identity.Authorities = people[0].identity.Authorities
	}
	return people, nil
}

// placeThem gives everybody an address to come from.
func (f *fleet) placeThem(collector string) {
	n := f.c.sources
	if n == 0 {
		n = min(1+(len(f.people)-1)/agentsPerSource, maxSources)
	}
	from := sources(n, collector)
	if len(from) == 0 {
		return
	}
	for i := range f.people {
		f.people[i].from = from[i%len(from)]
	}
}

// cast decides who suffers what and makes their hosts.
func (f *fleet) cast() error {
	layouts := map[string][]*layout{}
	for _, os := range []string{osLinux, osWindows} {
		l, err := newLayouts(os, f.c.series)
		if err != nil {
			return err
		}
		layouts[os] = l
	}
	victims := make([]victim, len(f.people))
	for i, p := range f.people {
		victims[i] = victim{p.Customer, p.Site, layouts[p.OS][0].breaks != nil}
	}
	struck, err := strike(f.c.faults, victims, f.c.seed)
	if err != nil {
		return err
	}
	for n, who := range struck {
		for _, i := range who {
			f.people[i].fault = &f.c.faults[n]
		}
		switch f.c.faults[n].kind {
		case faultHostile:
			for _, i := range who {
				f.hostile[n] = append(f.hostile[n], &hostile{shared: f.shared, line: f.line(i)})
			}
		case faultValue:
			f.broken += len(who)
		}
	}
	spooled := int(f.c.spooled * float64(len(f.people)))
	now := time.Now()
	for i, p := range f.people {
		if p.fault != nil && p.fault.kind == faultHostile {
			continue
		}
		of := layouts[p.OS]
		h, err := newHost(p.Name, of[i%len(of)], f.c.seed+uint64(i), f.c.churn, now)
		if err != nil {
			return err
		}
		f.add(i, h, len(f.spooled) < spooled)
	}
	return nil
}

// line is the i-th agent's way to the collector.
func (f *fleet) line(i int) line {
	p := f.people[i]
	return line{x: f.road, certificate: &tls.Certificate{Certificate: p.identity.Certificate.Certificate, PrivateKey: p.identity.Certificate.PrivateKey},
		source: p.from}
}

func (f *fleet) add(i int, h *host, spool bool) {
	p := f.people[i]
	s := simulated{
		shared: f.shared, fault: p.fault, ahead: i%2 == 0,
		rand:     rand.New(rand.NewPCG(f.c.seed, uint64(i))), //nolint:gosec // chance, not secrecy
		reporter: reporter{host: h, interval: f.c.interval, eventsPerHour: f.c.events},
		back:     standing{spool: spool},
	}
	if spool {
		f.spooled = append(f.spooled, &spooled{simulated: s, identity: p.identity, dir: dirOf(f.c.dir, p.Name), source: p.from})
		return
	}
	a := &light{simulated: s, line: f.line(i), patience: patience{rand: s.rand.Float64}}
	if f.c.wire == 1 {
		a.encoder = wire.NewEncoder(wire.DefaultLimits())
	}
	f.light = append(f.light, a)
}

// run lets all report until ctx ends or the run's time is up; it returns when all have stopped.
func (f *fleet) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.c.duration)
	defer cancel()
	start := time.Now()
	f.shared.start = start
	for _, a := range f.light {
		f.shared.stats.join(&a.back)
	}
	for _, a := range f.spooled {
		f.shared.stats.join(&a.back)
	}
	phases := f.c.phases
	if phases == 0 && !f.c.flatOut {
		phases = f.c.interval
	}
	g, ctx := errgroup.WithContext(ctx)
	chance := rand.New(rand.NewPCG(f.c.seed, 2)) //nolint:gosec // chance, not secrecy
	phase := func() time.Time { return start.Add(time.Duration(chance.Float64() * float64(phases))) }
	for _, a := range f.light {
		first := phase()
		g.Go(func() error { return a.run(ctx, first) })
	}
	for _, a := range f.spooled {
		first := phase()
		g.Go(func() error { return a.run(ctx, first) })
	}
	for n, all := range f.hostile {
		g.Go(func() error { return raid(ctx, all, f.c.faults[n], f.c.attacks) })
	}
	return g.Wait()
}
