package main

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// heardReports remembers what was acknowledged of each agent's life.
type heardReports struct {
	mu     sync.Mutex
	epochs map[string]map[uint64]bool
	events map[string]map[string]int // by kind
	// wrong is how far from the time at which it was acknowledged a report was made, at most, by agent.
	wrong map[string]time.Duration
}

func newHeardReports() *heardReports {
	return &heardReports{epochs: map[string]map[uint64]bool{}, events: map[string]map[string]int{}, wrong: map[string]time.Duration{}}
}

func (h *heardReports) acknowledged(asset string, m *wire.Report) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.epochs[asset] == nil {
		h.epochs[asset], h.events[asset] = map[uint64]bool{}, map[string]int{}
	}
	h.epochs[asset][m.Epoch] = true
	for _, e := range m.Events {
		h.events[asset][e.Kind]++
	}
	if off := time.Since(time.UnixMilli(m.MadeAtMs)); off.Abs() > h.wrong[asset].Abs() {
		h.wrong[asset] = off
	}
}

func (h *heardReports) of(asset string) (epochs int, events map[string]int, wrong time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.epochs[asset]), maps.Clone(h.events[asset]), h.wrong[asset]
}

// everyone sorts a fleet's agents by their fault; those without have "".
func (f *fleet) everyone() map[faultKind][]person {
	all := map[faultKind][]person{}
	for _, p := range f.people {
		kind := faultKind("")
		if p.fault != nil {
			kind = p.fault.kind
		}
		all[kind] = append(all[kind], p)
	}
	return all
}

// keeps tells whether somebody who is not silent for good still has reports of before t in its spool.
func (f *fleet) keeps(t time.Time) bool {
	for _, a := range f.spooled {
		if a.fault != nil && a.fault.kind == faultSilence {
			continue
		}
		a.mu.Lock()
		kept := len(a.sent) > 0 && a.sent[0].due.Before(t)
		a.mu.Unlock()
		if kept {
			return true
		}
	}
	return false
}

// Every fault that can be asked for does what it says, to those it strikes and to nobody else. Half of the agents have
// a spool. Hostile agents and broken values have tests of their own.
func TestEveryFaultStrikes(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "silence: {least: 15s}")
	c := good()
	c.dir, c.interval, c.duration = s.prepare(40, 0.3), 250*time.Millisecond, 10*time.Minute
	c.wire, c.spooled = 1, 0.5

	// A collector that has never heard of a host does not take it for silent; and who says goodbye may stay away until the
	// faults begin.
	c.goodbye = true
	calm, end := s.start(c, nil)
	eventually(t, 2*time.Minute, "all have reported", func() bool {
		r := calm.shared.stats.returns()
		return len(r) == 1 && r[0].stages[stageLive].whole
	})
	end()
	c.goodbye = false
	// Everybody is heard before: the silent would still be those who said goodbye, and who starts anew would not have begun.
	const heardBy = 20 * time.Second
	cut := fault{kind: faultSiteCut, share: 0.25, after: heardBy, lasts: 40 * time.Second}
	c.faults = []fault{
		cut,
		{kind: faultSilence, share: 0.1, after: heardBy},
		{kind: faultRestart, share: 0.1, after: heardBy},
		{kind: faultClockStep, share: 0.1, after: heardBy},
	}
	c.seed = mixed(t, c.dir, c.faults)
	heard := newHeardReports()
	f, stop := s.start(c, heard.acknowledged)
	who := f.everyone()

	var site ticketJSON
	eventually(t, 2*time.Minute, "the site that is cut and the silent hosts have their tickets", func() bool {
		all := s.tickets("SiteSilent")
		for _, site = range all {
		}
		return len(all) == 1 && len(s.tickets("HostSilent")) == len(who[faultSilence])
	})
	if p := who[faultSiteCut][0]; site.Customer != p.Customer || site.Site != p.Site {
		t.Errorf("%s is about %s/%s, the site that is cut is %s/%s", site.Number, site.Customer, site.Site, p.Customer, p.Site)
	}
	silent := s.tickets("HostSilent")
	for _, p := range who[faultSilence] {
		if _, ok := silent[p.Name]; !ok {
			t.Errorf("%s is silent and has no ticket", p.Name)
		}
	}
	eventually(t, 3*time.Minute, "the site is back, and what its agents kept is delivered", func() bool {
		return f.shared.stats.awake() == len(f.people)-len(who[faultSilence]) && !f.keeps(f.shared.start.Add(cut.after+cut.lasts)) && f.shared.stats.backlog.Load() > 0
	})
	stop()
	if refused, _, _ := f.shared.stats.reasons(); refused["clock_ahead"] == 0 {
		t.Errorf("refused %v: no sample from the future", refused)
	}
	f.checkLives(t, who, heard)
}

// mixed is a seed with which every fault strikes agents with a spool, who are the first half, and every fault but a cut
// site, which is a neighbourhood, agents without one.
func mixed(t *testing.T, dir string, faults []fault) uint64 {
	t.Helper()
	p, err := readPlan(dir)
	if err != nil {
		t.Fatal(err)
	}
	victims := make([]victim, len(p.Agents))
	for i, a := range p.Agents {
		victims[i] = victim{a.Customer, a.Site, a.OS == osLinux}
	}
	good := func(kind faultKind, who []int) bool {
		with := 0
		for _, i := range who {
			if i < len(victims)/2 {
				with++
			}
		}
		return with > 0 && (with < len(who) || kind == faultSiteCut)
	}
seeds:
	for seed := range uint64(1000) {
		struck, err := strike(faults, victims, seed)
		if err != nil {
			t.Fatal(err)
		}
		for i, who := range struck {
			if !good(faults[i].kind, who) {
				continue seeds
			}
		}
		return seed
	}
	t.Fatal("no seed has every fault strike agents with a spool and without")
	return 0
}

// checkLives compares what the collector acknowledged of every agent with what its fault should have made of it.
func (f *fleet) checkLives(t *testing.T, who map[faultKind][]person, heard *heardReports) {
	t.Helper()
	for kind, all := range who {
		want := map[faultKind]string{
			"": "1 epoch, started 1, stepped 0, right", faultSiteCut: "1 epoch, started 1, stepped 0, right",
			faultRestart: "2 epochs, started 2, stepped 0, right",
			// One for the step, one for its correction by the collector's clock.
			faultClockStep: "3 epochs, started 1, stepped 2, an hour off",
		}[kind]
		for _, p := range all {
			if kind == faultSilence { // has a ticket, and what its spool holds nobody has seen
				continue
			}
			epochs, events, wrong := heard.of(p.Name)
			clock := "right"
			switch {
			case kind == faultSiteCut && wrong > 0: // it was kept for as long as the line was cut
			case (wrong.Abs() - time.Hour).Abs() < time.Minute:
				clock = "an hour off"
			case wrong.Abs() > time.Minute:
				clock = wrong.String() + " off"
			}
			got := fmt.Sprintf("%d %s, started %d, stepped %d, %s", epochs, map[bool]string{true: "epoch", false: "epochs"}[epochs == 1],
				events["agent_started"], events["clock_stepped"], clock)
			if got != want {
				t.Errorf("%s (%s): %s, want %s", p.Name, kind, got, want)
			}
		}
	}
}
