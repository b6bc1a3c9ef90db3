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

// watchEvery is how often silence and deadlines are looked at. It bounds how late either is noticed.
const watchEvery = time.Second

// watch drives what no report will: silence and deadlines, and keeps how often agents report. A failure is logged and tried again at the next tick.
func (c *Collector) watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	paced := c.now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := c.silence.look(ctx); err != nil && ctx.Err() == nil {
			c.log.Error("silence could not be recorded; trying again", "err", err)
		}
		if now := c.now(); now.Sub(paced).Abs() >= intervalsEvery {
			paced = now
			if err := c.keepIntervals(ctx); err != nil && ctx.Err() == nil {
				c.log.Error("how often agents report could not be kept; trying again", "err", err)
			}
		}
		for {
			next, err := c.pipeline.elapse(ctx)
			if err != nil && ctx.Err() == nil {
				c.log.Error("deadlines could not be kept; trying again", "err", err)
			}
			if err != nil || next.IsZero() || next.After(c.now()) {
				break
			}
		}
	}
}

// silence watches for hosts that say nothing and turns that into alerts.
type silence struct {
	// patience is how long a host of so many may be silent.
	patience func(hosts int) incident.Patience
	// lives are the enrolled hosts and when each was last heard.
	lives  func() []incident.Life
	commit func(ctx context.Context, at time.Time, ts []rules.Transition) error
	// down tells the window that an asset is silent.
	down func(a window.Asset, at time.Time)
	// record writes a sample that the house makes itself into the window.
	record func(lbls labels.Labels, at time.Time, v float64) bool
	now    func() time.Time

	// said is when the window was last told what still lasts, by asset and by alert. It belongs to look's goroutine.
	said map[string]time.Time

	mu     sync.Mutex
	active map[string]rules.Transition
}

// sayAgain is how often what lasts is written into the window again. A sample stands for five minutes; one a second for
// each of thousands of silent hosts would cost more than they do when they report.
const sayAgain = time.Minute

// restore takes back the silence alerts that stood when the collector stopped.
func (s *silence) restore(states []store.AlertState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active = map[string]rules.Transition{}
	for _, st := range states {
		if isSilence(st.Origin) {
			s.active[st.ID()] = rules.Transition{Origin: st.Origin, From: rules.Inactive, Alert: st.Alert}
		}
	}
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

func isSilence(o rules.Origin) bool {
	return strings.HasPrefix(o.ID, incident.SilenceOrigin("").ID)
}

// look finds who is silent now and commits what changed.
func (s *silence) look(ctx context.Context) error {
	now := s.now()
	lives := s.lives()
	patience := s.patience(len(lives))
	said := s.said
	s.said = make(map[string]time.Time, len(said)) // what does not last any more is forgotten, and said at once when it returns
	again := func(what string) bool {
		last, ok := said[what]
		if ok = !ok || now.Sub(last) >= sayAgain; ok {
			last = now
		}
		s.said[what] = last
		return ok
	}
	for _, l := range lives {
		if now.Sub(l.Heard) > patience.Of(l) && again("asset "+l.Asset) {
			s.down(window.Asset{Name: l.Asset, Customer: l.Customer, Site: l.Site}, now)
		}
	}
	var standing []rules.Alert
	for _, t := range s.standing() {
		standing = append(standing, t.Alert)
	}
	ts := incident.Silence(incident.Scene{Lives: lives, Active: standing, Patience: patience}, now).Transitions
	if len(ts) > 0 {
		if err := s.commit(ctx, now, ts); err != nil {
			return err
		}
	}
	s.remember(ts, now, again)
	return nil
}

// remember takes note of what was committed, and tells the window what ended, and now and again what lasts.
func (s *silence) remember(ts []rules.Transition, now time.Time, again func(what string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range ts {
		if t.Alert.State == rules.Firing {
			s.active[t.ID()] = t
		} else {
			delete(s.active, t.ID())
			t.Alert.State = rules.Firing // the series was of the firing alert
			s.record(alertSeries(t.Alert), now, math.Float64frombits(value.StaleNaN))
		}
	}
	for id, t := range s.active {
		if again("alert " + id) {
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
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b rules.Transition) int { return strings.Compare(a.ID(), b.ID()) })
	return out
}
