package collector

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// silence watches for hosts that say nothing and turns that into alerts:
//
//	wheel ─► who is due, and silent ─► incident.Silence ─► reach (pings) ─► Commit ─► the window: up 0, ALERTS
type silence struct {
	roster
	// reach asks who is silent whether they are there; nil asks nobody.
	reach  *reach
	commit func(ctx context.Context, at time.Time, ts []rules.Transition) error
	// down tells the window that an asset is silent.
	down func(a window.Asset, at time.Time)
	// record writes a sample that the house makes itself into the window.
	record func(lbls labels.Labels, at time.Time, v float64) bool
	now    func() time.Time

	// These belong to look's goroutine. judged is false when something has changed since Silence was last asked, or what
	// it said is not committed; soon is that it wanted to be asked again; waiting are hosts of which it is not said yet.
	judged, soon bool
	waiting      map[string]bool

	// counts are how many are silent, by cause, as of the last judgement.
	counts silentCounts

	mu     sync.Mutex
	active map[string]*told
}

// told is a silence alert that stands, and when the window was last told so.
type told struct {
	rules.Transition
	said time.Time
}

// sayAgain is how often what lasts is written into the window again. A sample stands for five minutes; one a second for
// each of thousands of silent hosts would cost more than they do when they report.
const sayAgain = time.Minute

// restore takes back the silence alerts that stood when the collector stopped.
func (s *silence) restore(states []store.AlertState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active = map[string]*told{}
	for _, st := range states {
		if incident.IsSilence(st.Origin) {
			s.active[st.ID()] = &told{Transition: rules.Transition{Origin: st.Origin, From: rules.Inactive, Alert: st.Alert}}
		}
	}
}

// instead makes lives the hosts there are, read afresh at every look, and asks nobody: a rehearsal has hosts of its own.
func (s *silence) instead(lives func() []incident.Life) {
	var n uint64
	s.lives, s.reach = lives, nil
	s.changed = func() uint64 { n++; return n }
}

// before is, by host, the alert about it alone that stands: what it was last taken for.
func (s *silence) before() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	for _, t := range s.active {
		if host := t.Alert.Labels.Get("instance"); host != "" {
			out[host] = t.Origin.Name
		}
	}
	return out
}

// look finds who is silent now and commits what changed. While nobody is silent and nobody due it does nothing.
func (s *silence) look(ctx context.Context) error {
	now := s.now()
	changed := s.follow(now)
	news := s.turn(now)
	if changed || news || s.soon || !s.judged {
		err := s.judge(ctx, now)
		s.count()
		if err != nil {
			return err
		}
	}
	s.tell(now)
	return nil
}

// judge asks what the silence means and commits it.
func (s *silence) judge(ctx context.Context, now time.Time) error {
	s.judged = false
	var standing []rules.Alert
	for _, t := range s.standing() {
		standing = append(standing, t.Alert)
	}
	scene := s.scene(standing, now)
	found := incident.Silence(scene, now)
	ts, all := found.Transitions, true
	if s.reach != nil && len(ts) > 0 {
		ts = s.reach.ask(ctx, ts, scene.Lives, now)
		ts, all = s.stillSo(ts)
	}
	if len(ts) > 0 {
		if err := s.commit(ctx, now, ts); err != nil {
			return err
		}
	}
	s.remember(ts, now)
	s.judged, s.soon, s.waiting = all, found.Soon, map[string]bool{}
	for _, asset := range found.Waiting {
		s.waiting[asset] = true
	}
	return nil
}

// stillSo leaves out hosts that were heard while they were asked; all is false when there were some.
func (s *silence) stillSo(ts []rules.Transition) (still []rules.Transition, all bool) {
	for _, t := range ts {
		h := s.hosts[t.Alert.Labels.Get("instance")]
		if h == nil || t.Alert.State != rules.Firing || !s.fresh(h.Life).Heard.After(h.Heard) {
			still = append(still, t)
		}
	}
	return still, len(still) == len(ts)
}

// remember takes note of what was committed, and tells the window what ended.
func (s *silence) remember(ts []rules.Transition, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range ts {
		if t.Alert.State == rules.Firing {
			var said time.Time
			if was := s.active[t.ID()]; was != nil {
				said = was.said
			}
			s.active[t.ID()] = &told{t, said}
			continue
		}
		delete(s.active, t.ID())
		t.Alert.State = rules.Firing // the series was of the firing alert
		s.record(alertSeries(t.Alert), now, math.Float64frombits(value.StaleNaN))
	}
}

// tell tells the window, now and again, who is silent and which alerts stand. A host of which it is not known yet whether
// it, its site or everything is silent is not told to be down: rules about up come after the cause.
func (s *silence) tell(now time.Time) {
	for h := range s.silent {
		if !s.waiting[h.Asset] && now.Sub(h.said) >= sayAgain {
			h.said = now
			s.down(window.Asset{Name: h.Asset, Customer: h.Customer, Site: h.Site}, now)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.active {
		if now.Sub(t.said) >= sayAgain {
			t.said = now
			s.record(alertSeries(t.Alert), now, 1)
		}
	}
}

// alertSeries is the series ALERTS that Prometheus keeps of a firing alert.
func alertSeries(a rules.Alert) labels.Labels {
	return labels.NewBuilder(a.Labels).Set(model.MetricNameLabel, "ALERTS").Set("alertstate", string(a.State)).Labels()
}

// alerts are the silence alerts that fire now, as the evaluator shows its own.
func (s *silence) alerts() []evaluate.Standing {
	var out []evaluate.Standing
	for _, t := range s.standing() {
		out = append(out, evaluate.Standing{Origin: t.Origin, Alert: t.Alert})
	}
	return out
}

// standing are the silence alerts that fire now.
func (s *silence) standing() []rules.Transition {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]rules.Transition, 0, len(s.active))
	for _, t := range s.active {
		out = append(out, t.Transition)
	}
	slices.SortFunc(out, func(a, b rules.Transition) int { return strings.Compare(a.ID(), b.ID()) })
	return out
}
