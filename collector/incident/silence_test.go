package incident

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/rules"
)

// world plays hosts that report on time, unless they are away, and asks Silence every second.
type world struct {
	hosts  []*actor
	active map[string]rules.Alert
	said   []string
	// soon is for how many seconds Silence asked to be called again though nothing happened.
	soon int
}

// actor is a host that reports every so often.
type actor struct {
	Life
	away   []span
	leaves bool
}

type span struct{ from, to time.Duration }

// hosts makes n hosts of a place, by a name and a number, whose reports are spread over the interval.
func hosts(at, name string, n int, every time.Duration, away ...span) []*actor {
	customer, site, _ := strings.Cut(at, "/")
	var out []*actor
	for i := range n {
		asset := name
		if n > 1 {
			asset = fmt.Sprintf("%s%d", name, i+1)
		}
		out = append(out, &actor{away: away, Life: Life{Asset: asset, Customer: customer, Site: site, Interval: every,
			Heard: t0.Add(-every * time.Duration(i) / time.Duration(n))}})
	}
	return out
}

// own makes hosts the collector's own, leaving makes them say goodbye when they go.
func own(some []*actor) []*actor {
	for _, h := range some {
		h.Own = true
	}
	return some
}

func leaving(some []*actor) []*actor {
	for _, h := range some {
		h.leaves = true
	}
	return some
}

func (w *world) play(until time.Duration) []string {
	p := DefaultPatience
	p.Return = 32 * time.Second
	w.active = map[string]rules.Alert{}
	for d := time.Duration(0); d <= until; d += time.Second {
		now := t0.Add(d)
		var lives []Life
		for _, h := range w.hosts {
			h.live(d, now)
			lives = append(lives, h.Life)
		}
		var active []rules.Alert
		for _, a := range w.active {
			active = append(active, a)
		}
		found := Silence(Scene{Lives: lives, Active: active, Patience: p}, now)
		if found.Soon {
			w.soon++
		}
		for _, tr := range found.Transitions {
			w.note(d, tr)
		}
	}
	return w.said
}

// live reports when it is time, unless the host is away.
func (h *actor) live(d time.Duration, now time.Time) {
	for _, s := range h.away {
		if d >= s.from && d < s.to {
			if h.leaves {
				h.Goodbye = "shut down"
			}
			return
		}
	}
	if now.Sub(h.Heard) >= h.Interval {
		h.Heard, h.Goodbye, h.Word = now, "", Report
	}
}

func (w *world) note(d time.Duration, tr rules.Transition) {
	how := "ends: " + string(tr.Alert.End)
	switch {
	case tr.Alert.State != rules.Firing:
		delete(w.active, tr.ID())
	case tr.From == rules.Firing:
		w.active[tr.ID()] = tr.Alert
		return
	default:
		w.active[tr.ID()] = tr.Alert
		how = tr.Alert.Annotations.Get("summary")
		if tr.Origin.Name == HostSilent || tr.Origin.Name == AgentStopped {
			how = "fires"
		}
	}
	who := strings.TrimSpace(tr.Origin.Name + " " + tr.Alert.Labels.Get("instance"))
	if by := tr.Alert.Annotations.Get(SupersededBy); by != "" {
		how += " by " + by
	}
	w.said = append(w.said, fmt.Sprintf("%v %s %s", d, who, how))
}

const forever = 24 * time.Hour

// Every way in which silence comes and goes is one incident per cause, and nothing is told twice.
func TestSilenceScenarios(t *testing.T) {
	const fast, slow = 5 * time.Second, 2 * time.Minute
	elsewhere := hosts("b/y", "far", 2, fast)
	for name, tc := range map[string]struct {
		hosts [][]*actor
		until time.Duration
		want  []string
	}{
		"the line of a site is cut and mended": {
			[][]*actor{hosts("a/x", "web", 5, fast, span{60 * time.Second, 10 * time.Minute}), elsewhere}, 12 * time.Minute, []string{
				"1m15s SiteSilent All 5 hosts at site x are silent",
				"10m0s SiteSilent ends: recovered",
			}},
		"a site goes down host by host": {
			[][]*actor{hosts("a/x", "a", 1, fast, span{1 * time.Minute, forever}), hosts("a/x", "b", 1, fast, span{3 * time.Minute, forever}),
				hosts("a/x", "c", 1, fast, span{5 * time.Minute, forever}), hosts("a/x", "d", 1, fast, span{7 * time.Minute, forever}), elsewhere},
			20 * time.Minute, []string{
				"1m11s HostSilent a fires",
				"3m11s HostSilent b fires",
				"5m11s SiteSilent 3 of 4 hosts at site x are silent",
				"5m11s HostSilent a ends: superseded by a site/x availability",
				"5m11s HostSilent b ends: superseded by a site/x availability",
			}},
		"hosts that report seldom are found later, and join": {
			[][]*actor{hosts("a/x", "web", 1, fast, span{time.Minute, forever}), hosts("a/x", "db", 1, slow, span{time.Minute, forever}), elsewhere},
			20 * time.Minute, []string{
				"1m11s HostSilent web fires",
				"6m1s SiteSilent All 2 hosts at site x are silent",
				"6m1s HostSilent web ends: superseded by a site/x availability",
			}},
		"part of a site: a switch": {
			[][]*actor{hosts("a/x", "in", 10, fast), hosts("a/x", "out", 30, fast, span{time.Minute, 5 * time.Minute}), elsewhere}, 10 * time.Minute, []string{
				"1m15s SiteSilent 30 of 40 hosts at site x are silent",
				"5m0s SiteSilent ends: recovered",
			}},
		"one of most comes back, and a slow one is not known of yet": {
			[][]*actor{hosts("a/x", "in", 1, fast), hosts("a/x", "back", 1, fast, span{time.Minute, 110 * time.Second}),
				hosts("a/x", "out", 2, fast, span{time.Minute, forever}), hosts("a/x", "slow", 1, time.Minute, span{time.Minute, forever}), elsewhere},
			20 * time.Minute, []string{
				"1m14s SiteSilent 3 of 5 hosts at site x are silent",
			}},
		"two of five are two hosts": {
			[][]*actor{hosts("a/x", "in", 3, fast), hosts("a/x", "out", 2, fast, span{time.Minute, forever}), elsewhere}, 10 * time.Minute, []string{
				"1m11s HostSilent out1 fires",
				"1m14s HostSilent out2 fires",
			}},
		"a site comes back one by one": {
			[][]*actor{hosts("a/x", "a", 1, fast, span{time.Minute, 5 * time.Minute}), hosts("a/x", "b", 1, fast, span{time.Minute, 5*time.Minute + 20*time.Second}),
				hosts("a/x", "c", 1, fast, span{time.Minute, 5*time.Minute + 40*time.Second}), elsewhere}, 10 * time.Minute, []string{
				"1m11s SiteSilent All 3 hosts at site x are silent",
				"5m40s SiteSilent ends: recovered",
			}},
		"one host does not come back with its site": {
			[][]*actor{hosts("a/x", "web", 3, fast, span{time.Minute, 5 * time.Minute}), hosts("a/x", "dead", 1, fast, span{time.Minute, forever}), elsewhere},
			10 * time.Minute, []string{
				"1m15s SiteSilent All 4 hosts at site x are silent",
				"5m47s HostSilent dead fires",
				"5m47s SiteSilent ends: recovered",
			}},
		"a line that comes and goes before all are back is one silence": {
			[][]*actor{hosts("a/x", "web", 2, fast, span{60 * time.Second, 2 * time.Minute}, span{130 * time.Second, 4 * time.Minute}),
				hosts("a/x", "late", 1, fast, span{60 * time.Second, 4*time.Minute + 30*time.Second}), elsewhere}, 10 * time.Minute, []string{
				"1m14s SiteSilent All 3 hosts at site x are silent",
				"4m30s SiteSilent ends: recovered",
			}},
		"the collector's own host is heard, nobody else is": {
			[][]*actor{own(hosts("op/office", "watch", 1, fast)), hosts("a/x", "a", 2, fast, span{time.Minute, 5 * time.Minute}),
				hosts("b/y", "b", 1, fast, span{time.Minute, 5 * time.Minute})}, 10 * time.Minute, []string{
				"1m14s CollectorBlind Nothing is heard from any of 3 hosts",
				"5m0s CollectorBlind ends: recovered",
			}},
		"the collector's own agent dies alone": {
			[][]*actor{own(hosts("op/office", "watch", 1, fast, span{time.Minute, 5 * time.Minute})), elsewhere}, 10 * time.Minute, []string{
				"1m11s HostSilent watch fires",
				"5m0s HostSilent watch ends: recovered",
			}},
		"an agent that said goodbye before its site went": {
			[][]*actor{leaving(hosts("a/x", "gone", 1, fast, span{time.Minute, forever})), hosts("a/x", "web", 3, fast, span{90 * time.Second, 10 * time.Minute}), elsewhere},
			12 * time.Minute, []string{
				"1m45s SiteSilent All 3 hosts at site x are silent",
				"10m0s AgentStopped gone fires",
				"10m0s SiteSilent ends: recovered",
			}},
		"a host that was dead long before keeps its own": {
			[][]*actor{hosts("a/x", "dead", 1, fast, span{time.Minute, forever}), hosts("a/x", "web", 3, fast, span{time.Hour, 2 * time.Hour}), elsewhere},
			3 * time.Hour, []string{
				"1m11s HostSilent dead fires",
				"1h0m15s SiteSilent All 3 hosts at site x are silent",
				"2h0m0s SiteSilent ends: recovered",
			}},
		"one-host sites are hosts": {
			[][]*actor{hosts("a/x", "a", 1, fast, span{time.Minute, forever}), hosts("b/y", "b", 1, fast, span{time.Minute, forever}), hosts("c/z", "c", 1, fast)},
			10 * time.Minute, []string{
				"1m11s HostSilent a fires",
				"1m11s HostSilent b fires",
			}},
		"everything, and one site stays away": {
			[][]*actor{hosts("a/x", "a", 2, fast, span{time.Minute, 5 * time.Minute}), hosts("b/y", "b", 2, fast, span{time.Minute, 10 * time.Minute}),
				hosts("c/z", "c", 1, fast, span{time.Minute, forever})},
			20 * time.Minute, []string{
				"1m14s CollectorBlind Nothing is heard from any of 5 hosts",
				"5m47s SiteSilent All 2 hosts at site y are silent",
				"5m47s HostSilent c fires",
				"5m47s CollectorBlind ends: recovered",
				"10m0s SiteSilent ends: recovered",
			}},
		"a site of which one host had said goodbye, then everything": {
			[][]*actor{hosts("a/x", "a", 2, fast, span{time.Minute, forever}), leaving(hosts("a/x", "gone", 1, fast, span{time.Minute, forever})),
				hosts("b/y", "b", 2, fast, span{4 * time.Minute, forever})},
			20 * time.Minute, []string{
				"1m14s SiteSilent All 2 hosts at site x are silent",
				"4m14s CollectorBlind Nothing is heard from any of 4 hosts",
				"4m14s SiteSilent ends: superseded by operator fleet availability",
			}},
		"sites fall silent one after another, and it is everything": {
			[][]*actor{hosts("a/x", "a", 2, fast, span{time.Minute, forever}), hosts("b/y", "b", 2, fast, span{4 * time.Minute, forever}),
				hosts("c/z", "c", 1, fast, span{8 * time.Minute, forever})},
			20 * time.Minute, []string{
				"1m14s SiteSilent All 2 hosts at site x are silent",
				"4m14s SiteSilent All 2 hosts at site y are silent",
				"8m11s CollectorBlind Nothing is heard from any of 5 hosts",
				"8m11s SiteSilent ends: superseded by operator fleet availability",
				"8m11s SiteSilent ends: superseded by operator fleet availability",
			}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{}
			for _, some := range tc.hosts {
				w.hosts = append(w.hosts, some...)
			}
			if d := cmp.Diff(tc.want, w.play(tc.until)); d != "" {
				t.Error(d)
			}
		})
	}
}

// What is not known of other sites is not guessed: with one other host in time it is not everything, and while all others
// are overdue it is not known yet.
func TestSilenceElsewhere(t *testing.T) {
	for name, tc := range map[string]struct {
		lives     []string
		elsewhere Elsewhere
		want      []string
		soon      bool
	}{
		"nobody else":                 {[]string{"a/x/1 -16s", "a/x/2 -16s", "b/y/3 -16s"}, Nobody, []string{"CollectorBlind fires"}, false},
		"others are heard":            {[]string{"a/x/1 -16s", "a/x/2 -16s", "b/y/3 -16s"}, SomeHeard, []string{"HostSilent 3 fires", "SiteSilent a/x fires"}, false},
		"others are all overdue":      {[]string{"a/x/1 -16s", "a/x/2 -16s"}, AllOverdue, nil, true},
		"for as long as can be":       {[]string{"a/x/1 -31s", "a/x/2 -31s"}, AllOverdue, []string{"SiteSilent a/x fires"}, false},
		"one host, others overdue":    {[]string{"a/x/1 -16s", "a/x/2 -1s"}, AllOverdue, []string{"HostSilent 1 fires"}, false},
		"a lone host, others overdue": {[]string{"a/x/1 -16s"}, AllOverdue, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := Scene{Elsewhere: tc.elsewhere, Patience: DefaultPatience}
			for _, l := range tc.lives {
				s.Lives = append(s.Lives, life(l))
			}
			found := Silence(s, t0)
			if d := cmp.Diff(tc.want, say(found.Transitions)); d != "" || found.Soon != tc.soon {
				t.Errorf("soon %v, want %v; %s", found.Soon, tc.soon, d)
			}
		})
	}
}

// A host that was silent when the collector stopped is not drawn into its site's silence when nobody comes back.
func TestALongSilenceOutlastsARestart(t *testing.T) {
	dead := hostSilent(life("a/x/1 -72h"), t0.Add(-71*time.Hour))
	s := Scene{Patience: DefaultPatience, Elsewhere: SomeHeard, Active: []rules.Alert{dead}}
	for _, l := range []string{"a/x/1 -60s:started", "a/x/2 -60s:started", "a/x/3 -60s:started"} {
		s.Lives = append(s.Lives, life(l))
	}
	if d := cmp.Diff([]string{"SiteSilent a/x fires"}, say(Silence(s, t0).Transitions)); d != "" {
		t.Error(d)
	}
}
