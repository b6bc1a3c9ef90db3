package evaluate

import (
	"maps"
	"slices"
	"time"

	"github.com/watchbill/watchbill/rules"
)

// Standing is a pending or firing alert.
type Standing struct {
	Origin rules.Origin
	Alert  rules.Alert
	// Unknown says why the alert is frozen; empty when it is not.
	Unknown string
}

// Alerts are all pending and firing alerts, by rule as loaded, then by alert; those of removed rules last, until their
// end is committed. Options.Others follow.
func (e *Evaluator) Alerts() []Standing {
	out := e.own()
	if e.opts.Others != nil {
		out = append(out, e.opts.Others()...)
	}
	return out
}

func (e *Evaluator) own() []Standing {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Standing
	for _, g := range e.groups {
		for _, s := range g.states {
			out = append(out, s.standing()...)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.orphans)) {
		out = append(out, e.orphans[id].standing()...)
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
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]GroupStatus, 0, len(e.groups))
	for _, g := range e.groups {
		st := GroupStatus{Group: g.Group, Interval: g.every, LastEvaluation: g.last, Duration: g.took, Err: message(g.err)}
		for _, s := range g.states {
			st.Rules = append(st.Rules, s.report())
		}
		out = append(out, st)
	}
	return out
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
