package evaluate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
)

// Standing is a pending or firing alert.
type Standing struct {
	Origin rules.Origin
	Alert  rules.Alert
	// Unknown says why the alert is frozen; empty when it is not.
	Unknown string
}

// Alerts are all pending and firing alerts, by rule as loaded, then by alert; those of removed rules follow, until their
// end is committed, and Options.Others.
func (e *Evaluator) Alerts() []Standing {
	out := e.own()
	if e.opts.Others != nil {
		out = append(out, e.opts.Others()...)
	}
	return out
}

func (e *Evaluator) own() []Standing {
	local := e.localStandings()
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Standing
	for _, g := range e.all {
		for _, r := range g.Rules {
			if s := e.timed(r); s != nil {
				out = append(out, s.standing()...)
			}
			out = append(out, local[r.Origin.ID]...)
			delete(local, r.Origin.ID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.orphans)) {
		if _, told := local[id]; !told {
			local[id] = e.orphans[id].standing()
		} else { // an asset still has some, or has just parted with them
			local[id] = merge(local[id], e.orphans[id].standing())
		}
	}
	for _, id := range slices.Sorted(maps.Keys(local)) {
		out = append(out, local[id]...)
	}
	return out
}

// merge are alerts of one rule, each once.
func merge(all, more []Standing) []Standing {
	for _, s := range more {
		if !slices.ContainsFunc(all, func(o Standing) bool { return labels.Equal(o.Alert.Labels, s.Alert.Labels) }) {
			all = append(all, s)
		}
	}
	return all
}

// timed finds the state of a rule on a timer; the caller holds mu.
func (e *Evaluator) timed(r *rules.Rule) *state {
	for _, g := range e.groups {
		for _, s := range g.states {
			if s.rule == r {
				return s
			}
		}
	}
	return nil
}

// everyAsset are the assets with a state, by name.
func (e *Evaluator) everyAsset() []*asset {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := slices.Collect(maps.Values(e.assets))
	slices.SortFunc(out, func(a, b *asset) int { return strings.Compare(a.name, b.name) })
	return out
}

// notable are the assets with something to show. Those that have nothing any more are forgotten by the way.
func (e *Evaluator) notable() []*asset {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]*asset, 0, len(e.noted))
	for a := range e.noted {
		a.shown.Lock()
		if a.err == nil && len(a.owed) == 0 && !slices.ContainsFunc(a.states, func(s *localState) bool { return !s.empty() }) {
			delete(e.noted, a)
		} else {
			out = append(out, a)
		}
		a.shown.Unlock()
	}
	return out
}

// localStandings are the alerts of the book, by rule.
func (e *Evaluator) localStandings() map[string][]Standing {
	out := map[string][]Standing{}
	var moved []shownLane
	for _, a := range e.notable() {
		a.shown.Lock()
		for i, s := range a.states {
			if s != nil && len(s.active) > 0 {
				id := a.book.rules[i].Origin.ID
				out[id] = append(out[id], s.standing(a.book.rules[i].Origin)...)
				moved = append(moved, a.moving(i)...)
			}
		}
		for _, x := range a.owed {
			out[x.Origin.ID] = merge(out[x.Origin.ID], []Standing{{Origin: x.Origin, Alert: x.Alert}})
		}
		a.shown.Unlock()
	}
	e.refresh(out, moved)
	for _, all := range out {
		slices.SortFunc(all, func(a, b Standing) int { return labels.Compare(a.Alert.Labels, b.Alert.Labels) })
	}
	return out
}

// standing are the alerts of one rule of one asset.
func (s *localState) standing(from rules.Origin) []Standing {
	out := make([]Standing, 0, len(s.active))
	for id, al := range s.active {
		for _, q := range s.quiet {
			if q.id == id {
				al.Value = rules.Value(q.value)
			}
		}
		out = append(out, Standing{Origin: from, Alert: al, Unknown: s.unknown[id]})
	}
	return out
}

func (s *state) standing() []Standing {
	var out []Standing
	for _, id := range slices.Sorted(maps.Keys(s.active)) {
		a := s.active[id]
		out = append(out, Standing{Origin: s.from(), Alert: a, Unknown: s.unknown[id]})
	}
	return out
}

// Health says how a rule's last evaluation went, as Prometheus' API does.
type Health string

// The healths of a rule.
const (
	NotYet Health = "unknown"
	Good   Health = "ok"
	Bad    Health = "err"
)

// GroupStatus is a loaded group.
type GroupStatus struct {
	rules.Group
	// Interval is the one in force.
	Interval time.Duration
	// LastEvaluation is the time last evaluated, zero before the first; Duration is how long that took.
	LastEvaluation time.Time
	Duration       time.Duration
	// Err is why the last commit failed; empty when it did not.
	Err   string
	Rules []RuleStatus
}

// RuleStatus is a loaded rule.
type RuleStatus struct {
	Rule           *rules.Rule
	Health         Health
	LastError      string
	LastEvaluation time.Time
	Duration       time.Duration
	Alerts         []Standing
	// Unknown is the number of results and alerts about which nothing could be said.
	Unknown int
}

// Groups are the loaded groups, in the order they were loaded.
func (e *Evaluator) Groups() []GroupStatus {
	local := e.localStandings()
	unknown, failed := e.localFaults()
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]GroupStatus, 0, len(e.all))
	for _, g := range e.all {
		st := GroupStatus{Group: g, Interval: g.Interval, Err: failed}
		if st.Interval <= 0 {
			st.Interval = e.opts.Interval
		}
		for _, t := range e.groups {
			if t.Name == g.Name {
				st.LastEvaluation, st.Duration, st.Err = t.last, t.took, message(t.err)
			}
		}
		st.LastEvaluation = later(st.LastEvaluation, e.arrived.lastOf(g.Name))
		for _, r := range g.Rules {
			if s := e.timed(r); s != nil {
				st.Rules = append(st.Rules, s.report())
				continue
			}
			st.Rules = append(st.Rules, e.reportLocal(r, local[r.Origin.ID], unknown[r.Origin.ID]))
		}
		out = append(out, st)
	}
	return out
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// localFaults are how many results and alerts of each rule of the book nothing can be said about, and why commits of assets
// failed.
func (e *Evaluator) localFaults() (unknown map[string]int, failed string) {
	unknown = map[string]int{}
	for _, a := range e.everyAsset() {
		a.shown.Lock()
		for i, s := range a.states {
			if s == nil {
				continue
			}
			unknown[a.book.rules[i].Origin.ID] += len(s.unknown)
			if s.blind {
				unknown[a.book.rules[i].Origin.ID]++
			}
		}
		if a.err != nil {
			failed = message(a.err)
		}
		a.shown.Unlock()
	}
	return unknown, failed
}

// reportLocal is the status of a rule of the book over all assets; the caller holds mu.
func (e *Evaluator) reportLocal(r *rules.Rule, alerts []Standing, unknown int) RuleStatus {
	st := RuleStatus{Rule: r, Health: Good, Alerts: alerts, Unknown: unknown, LastEvaluation: e.arrived.lastOf(r.Origin.Group)}
	if failing := e.failing[r.Origin.ID]; len(failing) > 0 {
		first := slices.Min(slices.Collect(maps.Keys(failing)))
		st.Health, st.LastError = Bad, fmt.Sprintf("%s: %v", first, failing[first])
		if n := len(failing); n > 1 {
			st.LastError += fmt.Sprintf(", and %d assets more", n-1)
		}
	}
	if st.LastEvaluation.IsZero() && st.Health == Good {
		st.Health = NotYet
	}
	return st
}

func (s *state) report() RuleStatus {
	st := RuleStatus{
		Rule: s.rule, Health: Good, LastError: message(s.err), LastEvaluation: s.at, Duration: s.took,
		Alerts: s.standing(), Unknown: len(s.unknown),
	}
	switch {
	case s.at.IsZero():
		st.Health = NotYet
	case s.err != nil:
		st.Health = Bad
	}
	return st
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// count is the number of alerts by state, and of those that are frozen.
func (e *Evaluator) count() (pending, firing, unknown float64) {
	for _, a := range e.Alerts() {
		switch a.Alert.State {
		case rules.Pending:
			pending++
		case rules.Firing:
			firing++
		}
		if a.Unknown != "" {
			unknown++
		}
	}
	return pending, firing, unknown
}
