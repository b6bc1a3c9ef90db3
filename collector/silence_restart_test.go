package collector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// village is a crowd in which everybody reports at a pace of their own, before a collector that is stopped and started anew.
type village struct {
	*crowd
	// began is when all was well, started when the collector last began.
	began, started time.Time
	folk           []*villager
	// stops are when the collector is away; forgets makes it know less of those who were well when it stopped.
	stops   []absence
	forgets bool
	log     []string
	// spoke is when hosts were heard last, which a collector that is started anew does not know.
	spoke map[string]time.Time
}

// villager is a host that reports every so often, unless it is away. back is how long after a start of the collector it
// is heard.
type villager struct {
	asset, site string
	every, back time.Duration
	away        []absence
	leaves      bool
}

type absence struct{ from, to time.Duration }

func within(d time.Duration, all []absence) bool {
	return slices.ContainsFunc(all, func(s absence) bool { return d >= s.from && d < s.to })
}

func newVillage(folk []*villager, stops ...absence) *village {
	v := &village{crowd: newCrowd(0, 0), folk: folk, stops: stops}
	v.began, v.started, v.spoke = v.at, v.at, map[string]time.Time{}
	for _, f := range folk {
		l := incident.Life{Asset: f.asset, Customer: "acme", Site: f.site, Heard: v.at, Interval: f.every}
		v.order, v.heard[f.asset], v.spoke[f.asset] = append(v.order, l), l, v.at
	}
	return v
}

// live lets d seconds pass in which the collector looks every second, unless it is away, and calls after with each.
func (v *village) live(t *testing.T, until time.Duration, after func(d time.Duration)) {
	t.Helper()
	for d := v.at.Sub(v.began) + time.Second; d <= until; d += time.Second {
		v.at = v.began.Add(d)
		if within(d, v.stops) {
			continue
		}
		if within(d-time.Second, v.stops) {
			v.restart()
		}
		for _, f := range v.folk {
			v.speak(f, d)
		}
		n := len(v.said)
		if err := v.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, said := range v.said[n:] {
			v.log = append(v.log, fmt.Sprint(d, " ", said))
		}
		after(d)
	}
}

// speak lets a host report when it is time for that; on its way out it says goodbye if it is one that does.
func (v *village) speak(f *villager, d time.Duration) {
	l := v.heard[f.asset]
	switch {
	case within(d, f.away):
		if f.leaves && l.Goodbye == "" && !within(d-time.Second, f.away) {
			l.Heard, l.Word, l.Goodbye = v.at, incident.Report, "shut down"
		}
	case l.Word == incident.Start && v.at.Sub(v.started) < f.back:
	case l.Word == incident.Start || v.at.Sub(l.Heard) >= f.every || l.Goodbye != "":
		l.Heard, l.Word, l.Goodbye = v.at, incident.Report, ""
	}
	v.heard[f.asset] = l
	if l.Heard.Equal(v.at) && l.Word == incident.Report {
		v.spoke[f.asset] = v.at
	}
}

// restart is a start that knows what was committed, and of each host what is kept with the fleet.
func (v *village) restart() {
	var states []store.AlertState
	for _, t := range v.standing() {
		states = append(states, store.AlertState{Origin: t.Origin, Alert: t.Alert})
	}
	for asset, l := range v.heard {
		if l.Word == incident.Report {
			l.Before = l.Heard
			if v.forgets && l.Goodbye == "" && l.Before.After(v.at.Add(-2*time.Minute)) {
				l.Before = l.Before.Add(-5 * time.Minute)
			}
		}
		l.Heard, l.Word = v.at, incident.Start
		v.heard[asset] = l
	}
	v.started = v.at
	v.begin()
	v.restore(states)
}

func folk(site string, names string, every time.Duration, away ...absence) (out []*villager) {
	for _, name := range strings.Fields(names) {
		out = append(out, &villager{asset: name, site: site, every: every, away: away})
	}
	return out
}

const everAfter = 1000 * time.Hour

// One fault that a stop of the collector falls into is told once, whoever comes back when: nobody is back because nobody
// listened, and who comes back is out of the silence at once.
func TestOneFaultAcrossARestartIsToldOnce(t *testing.T) {
	const fast, mid, slow = 10 * time.Second, time.Minute, 2 * time.Minute
	down := absence{40 * time.Minute, 41 * time.Minute}
	cut := func(back time.Duration) absence { return absence{time.Minute, down.to + back} }
	late := absence{30 * time.Minute, everAfter}
	gone := absence{time.Minute, everAfter}
	far := func() []*villager { return folk("far", "f1 f2", fast) }
	for name, tc := range map[string]struct {
		who  [][]*villager
		want []string
	}{
		"a host comes back with the collector": {
			[][]*villager{folk("s", "a", fast, cut(5*time.Second)), folk("s", "well", fast), far()},
			[]string{"HostSilent a fires", "41m5s HostSilent a recovered"},
		},
		"a host that said goodbye": {
			[][]*villager{leaving("s", "a", fast, cut(5*time.Second)), folk("s", "well", fast), far()},
			[]string{"AgentStopped a fires", "41m5s AgentStopped a recovered"},
		},
		"one of a site comes back at once, the other in time": {
			[][]*villager{folk("s", "a", fast, cut(5*time.Second)), folk("s", "b", fast, cut(40*time.Second)), far()},
			[]string{"SiteSilent s fires", "41m40s SiteSilent s recovered"},
		},
		"one of a site comes back at once, the other at the last moment": {
			[][]*villager{folk("s", "a", fast, cut(0)), folk("s", "b", fast, cut(62*time.Second)), far()},
			[]string{"SiteSilent s fires", "42m2s SiteSilent s recovered"},
		},
		"one of a site comes back at once, the other too late": {
			[][]*villager{folk("s", "a", fast, cut(5*time.Second)), folk("s", "b", fast, gone), far()},
			[]string{"SiteSilent s fires", "42m7s HostSilent b fires", "42m7s SiteSilent s recovered"},
		},
		"a slow one keeps it up until it is heard": {
			[][]*villager{folk("s", "a b", fast, cut(5*time.Second)), folk("s", "c", slow, cut(5*time.Minute)), far()},
			[]string{"SiteSilent s fires", "46m0s SiteSilent s recovered"},
		},
		"most stay away, at different paces": {
			[][]*villager{folk("s", "a", fast, cut(5*time.Second)), folk("s", "b", fast, gone), folk("s", "c", mid, gone), folk("s", "d", slow, gone), far()},
			[]string{"SiteSilent s fires"},
		},
		"all stay away, at different paces": {
			[][]*villager{folk("s", "a", fast, gone), folk("s", "b", mid, gone), folk("s", "c", slow, gone), far()},
			[]string{"SiteSilent s fires"},
		},
		"most stay away, and one comes back after the others were judged": {
			[][]*villager{folk("s", "a", slow, cut(3*time.Minute)), folk("s", "b c", fast, gone), folk("s", "d", slow, gone), far()},
			[]string{"SiteSilent s fires"},
		},
		"everything, and one comes back at once": {
			[][]*villager{folk("s", "a", fast, cut(0)), folk("s", "b", slow, cut(6*time.Minute)), folk("far", "c d", fast, cut(30*time.Second))},
			[]string{"CollectorBlind  fires", "47m0s CollectorBlind  recovered"},
		},
		"everything, and one site stays away": {
			[][]*villager{folk("s", "a", fast, gone), folk("s", "b", slow, gone), folk("far", "c d", fast, cut(30*time.Second))},
			[]string{"CollectorBlind  fires", "48m2s SiteSilent s fires", "48m2s CollectorBlind  recovered"},
		},
		"everything, at different paces, and all stay away": {
			[][]*villager{folk("s", "a", fast, gone), folk("s", "b", slow, gone), folk("far", "c", fast, gone), folk("far", "d", mid, gone)},
			[]string{"CollectorBlind  fires"},
		},
		"it was coming back when the collector stopped": {
			[][]*villager{folk("s", "a", fast, absence{time.Minute, down.from - 20*time.Second}), folk("s", "b", fast, cut(40*time.Second)), far()},
			[]string{"SiteSilent s fires", "41m40s SiteSilent s recovered"},
		},
		"a site that is silent for longer is not drawn into what begins now": {
			[][]*villager{folk("s", "a b", fast, gone), folk("far", "c d", fast, absence{down.from, everAfter})},
			[]string{"SiteSilent s fires", "42m3s SiteSilent far fires"},
		},
		"a site that is silent for longer than everything is not drawn into that": {
			[][]*villager{folk("s", "a b", fast, gone), folk("far", "c d", fast, late), folk("third", "e f", mid, late)},
			[]string{"CollectorBlind  fires", "SiteSilent s fires"},
		},
		"that it said goodbye does not make its site's silence another": {
			[][]*villager{leaving("s", "z", fast, cut(5*time.Second)), folk("s", "a b", fast, absence{2 * time.Minute, down.to + 5*time.Second}), far()},
			[]string{"SiteSilent s fires", "41m5s SiteSilent s recovered"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVillage(slices.Concat(tc.who...), down)
			v.live(t, down.from-time.Second, func(time.Duration) {})
			got := v.fires()
			v.log = nil
			v.live(t, time.Hour, func(time.Duration) {})
			if d := cmp.Diff(tc.want, append(got, v.log...)); d != "" {
				t.Error(d)
			}
		})
	}
}

// fires are the alerts that stand.
func (v *village) fires() (out []string) {
	for _, t := range v.standing() {
		l := t.Alert.Labels
		out = append(out, fmt.Sprintf("%s %s fires", t.Origin.Name, or(l.Get("instance"), l.Get("site"))))
	}
	return out
}

func leaving(site, names string, every time.Duration, away ...absence) []*villager {
	out := folk(site, names, every, away...)
	for _, f := range out {
		f.leaves = true
	}
	return out
}

// The tickets of it, with real agents: the site's is not resolved while one of its hosts is awaited, and a host's is as soon
// as it is heard.
func TestTicketsOfSilenceAcrossARestart(t *testing.T) {
	inTown(t, diskRules, func(n *town) {
		cut := func(name string, is bool) { n.hosts[name].set(func(h *citizen) { h.cut = is }) }
		n.at(10 * min1)
		cut("web1", true)
		cut("web2", true)
		n.at(20 * min1)
		n.down()
		cut("web1", false)
		n.at(25 * min1)
		n.up()
		n.at(25*min1 + 50*time.Second) // web2 may take 62 s
		const site = "All 2 hosts at site london are silent"
		tk := n.tickets()[site]
		if _, heard := n.c.facts.host("web1"); !heard || tk.State != ticket.New || tk.Firing() != 1 {
			t.Errorf("one of two is heard, and the site's ticket is %s, %d alerts fire", tk.State, tk.Firing())
		}
		cut("web2", false)
		n.at(26*min1 + 30*time.Second)
		all := n.tickets()
		if tk = all[site]; len(all) != 1 || tk.State != ticket.Done || tk.Reopened != 0 || len(n.told(tk.Number)) != 2 {
			t.Errorf("both are back: tickets %q, the site's is %s, told %q", titles(all), tk.State, n.told(tk.Number))
		}

		cut("web1", true)
		n.at(40 * min1)
		n.down()
		n.at(45 * min1)
		n.up()
		n.at(45*min1 + 25*time.Second) // it is awaited
		cut("web1", false)
		n.at(46 * min1)
		if tk = n.tickets()["web1 is silent"]; tk.State != ticket.Done || tk.Reopened != 0 {
			t.Errorf("web1 is heard, and its ticket is %q: %s", tk.Number, tk.State)
		}
	})
}
