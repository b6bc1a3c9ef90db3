package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
)

// Alert is an alert that stands: pending or firing.
type Alert struct {
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	Group      string  `json:"group"`
	Expr       string  `json:"expr"`
	ForSeconds float64 `json:"for_seconds"`

	State    rules.State       `json:"state"`
	Severity incident.Severity `json:"severity"`
	Customer string            `json:"customer"`
	Site     string            `json:"site"`
	Asset    string            `json:"asset"`
	Service  string            `json:"service"`
	System   string            `json:"system"`

	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Value       rules.Value       `json:"value"`
	// FirstBadAt is the time of the sample, ActiveAt of the evaluation that found it, FiredAt when `for` had passed.
	FirstBadAt time.Time  `json:"first_bad_at"`
	ActiveAt   time.Time  `json:"active_at"`
	FiredAt    *time.Time `json:"fired_at"`
	// Ticket is the open ticket it is attached to, null for one that has none.
	Ticket *TicketRef `json:"ticket"`
}

// TicketRef names a ticket.
type TicketRef struct {
	ID     string `json:"id"`
	Number string `json:"number"`
}

// AlertList is every alert that stands: firing ones first, then by time.
type AlertList struct {
	Alerts []Alert `json:"alerts"`
}

// RuleGroup is a group of rules as it runs.
type RuleGroup struct {
	Name            string  `json:"name"`
	File            string  `json:"file"`
	IntervalSeconds float64 `json:"interval_seconds"`
	// LastEvaluation is null until the group was evaluated.
	LastEvaluation    *time.Time `json:"last_evaluation"`
	EvaluationSeconds float64    `json:"evaluation_seconds"`
	Rules             []Rule     `json:"rules"`
}

// Rule is a rule as it runs.
type Rule struct {
	Name string `json:"name"`
	// Kind is alerting or recording.
	Kind   string            `json:"kind"`
	Expr   string            `json:"expr"`
	Labels map[string]string `json:"labels"`
	// Health is ok, failing or unknown (not evaluated yet); LastError says what fails.
	Health    string `json:"health"`
	LastError string `json:"last_error"`
	// LastEvaluation is null until the rule was evaluated.
	LastEvaluation    *time.Time `json:"last_evaluation"`
	EvaluationSeconds float64    `json:"evaluation_seconds"`
}

// RuleGroups is every loaded group.
type RuleGroups struct {
	Groups []RuleGroup `json:"groups"`
}

func alertRow(s store.AlertState) Alert {
	al := s.Alert
	return Alert{
		ID: s.ID(), Name: s.Origin.Name, Group: s.Origin.Group, Expr: s.Origin.Expr, ForSeconds: s.Origin.For.Seconds(),
		State: al.State, Severity: incident.Severity(al.Labels.Get("severity")), Customer: al.Labels.Get("customer"),
		Site: al.Labels.Get("site"), Asset: al.Labels.Get("instance"), Service: al.Labels.Get("service"),
		System: al.Labels.Get("system"), Labels: al.Labels.Map(), Annotations: al.Annotations.Map(), Value: al.Value,
		FirstBadAt: al.FirstBadAt, ActiveAt: al.ActiveAt, FiredAt: orNull(al.FiredAt),
	}
}

func (a *API) listRules(r *http.Request, _ fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	return RuleGroups{Groups: orEmpty(a.o.Rules.Groups())}, nil
}

func (a *API) listAlerts(r *http.Request, _ fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	tickets := map[string]TicketRef{}
	err := a.o.Store.View(r.Context(), func(tx store.Tx) error {
		open, err := tx.Tickets(store.TicketFilter{OpenOnly: true, Limit: countLimit})
		for _, t := range open {
			for _, al := range t.Alerts {
				tickets[al.ID] = TicketRef{ID: t.ID, Number: t.Number}
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	list := AlertList{Alerts: []Alert{}}
	for _, s := range a.o.Rules.Alerts() {
		row := alertRow(s)
		if ref, ok := tickets[row.ID]; ok {
			row.Ticket = &ref
		}
		list.Alerts = append(list.Alerts, row)
	}
	slices.SortStableFunc(list.Alerts, func(x, y Alert) int {
		if x.State != y.State {
			return strings.Compare(string(x.State), string(y.State)) // firing before pending
		}
		if c := x.ActiveAt.Compare(y.ActiveAt); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	return list, nil
}
