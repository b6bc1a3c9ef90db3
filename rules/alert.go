package rules

import (
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// State is where an alert stands, as Prometheus has it.
type State string

// The states of an alert.
const (
	Inactive State = "inactive"
	Pending  State = "pending"
	Firing   State = "firing"
)

// End says why an alert ended.
type End string

// The ways an alert ends.
const (
	// Recovered: the expression was evaluated on good data and no longer holds.
	Recovered End = "recovered"
	// SeriesGone: the series the alert was about left an ok block. That is no proof that the fault is mended.
	SeriesGone End = "series gone"
	// RuleGone: the rule was removed or changed. That is no proof either.
	RuleGone End = "rule removed"
)

// Alert is one active or just ended alert of one rule.
type Alert struct {
	// Labels identify the alert within its rule: those of the result, the rule's own, and alertname.
	Labels      labels.Labels `json:"labels"`
	Annotations labels.Labels `json:"annotations"`
	State       State         `json:"state"`
	// Value is the expression's value when it last held.
	Value Value `json:"value"`
	// FirstBadAt is the time of the newest sample behind the evaluation that made the alert active.
	FirstBadAt time.Time `json:"first_bad_at"`
	// ActiveAt is the time of that evaluation; `for` counts from it.
	ActiveAt time.Time `json:"active_at"`
	FiredAt  time.Time `json:"fired_at,omitzero"`
	// KeepFiringSince is when the expression ceased to hold while keep_firing_for holds the alert up.
	KeepFiringSince time.Time `json:"keep_firing_since,omitzero"`
	EndedAt         time.Time `json:"ended_at,omitzero"`
	End             End       `json:"end,omitempty"`
}

// Origin names the rule that an alert comes from.
type Origin struct {
	// ID changes when the group's name or the rule's name, expression or labels change, and with nothing else: an
	// unchanged rule keeps its alerts over reload and restart.
	ID    string        `json:"id"`
	Group string        `json:"group"`
	Name  string        `json:"name"`
	Expr  string        `json:"expr"`
	For   time.Duration `json:"for"`
}

// Transition is a change of one alert's state, the only thing about alerts that must be durable. From and the state
// after are equal (firing) where only KeepFiringSince changed: a restart needs to know it, nobody else does.
type Transition struct {
	Origin Origin `json:"origin"`
	From   State  `json:"from"`
	// Alert after the change.
	Alert Alert `json:"alert"`
}

// ID is the alert's identity in the whole house: its rule and its labels.
func (t Transition) ID() string { return AlertID(t.Origin.ID, t.Alert.Labels) }

// AlertID is the identity of the alert with these labels under the rule with this Origin.ID.
func AlertID(ruleID string, lbls labels.Labels) string {
	return fmt.Sprintf("%s-%016x", ruleID, labels.StableHash(lbls)) // Hash may differ between builds, and IDs are stored
}
