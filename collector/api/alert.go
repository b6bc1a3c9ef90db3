package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// Alert is an alert that stands, pending or firing, or one that fired and ended a short while ago: inactive.
type Alert struct {
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	Group      string  `json:"group"`
	Expr       string  `json:"expr"`
	ForSeconds float64 `json:"for_seconds"`

	State rules.State `json:"state"`
	// Unknown says why the alert is frozen, because nothing is known of its series; empty when it is not.
	Unknown string `json:"unknown"`
	// Severity is what the alert counts as: critical, warning or info. Its label has the rule's own word.
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
	// EndedAt is null while it stands. End says how it ended: recovered, series gone or rule removed.
	EndedAt *time.Time `json:"ended_at"`
	End     *rules.End `json:"end"`
	// Ticket is the open ticket it is attached to, or the one a person resolved although it still fires; null for one
	// that has neither.
	Ticket *TicketRef `json:"ticket"`
	// MutedBy are the silences and maintenance windows that keep it from a ticket now.
	MutedBy []incident.MutedBy `json:"muted_by,omitempty"`
}

// TicketRef names a ticket.
type TicketRef struct {
	ID     string       `json:"id"`
	Number string       `json:"number"`
	State  ticket.State `json:"state"`
}

// AlertList is every alert that stands, firing ones first, then by time; and, where it was asked for with ?resolved=true,
// what fired and ended within the last 15 minutes.
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
	// LastError says why what the group found could not be kept, empty when it was.
	LastError string `json:"last_error"`
	Rules     []Rule `json:"rules"`
}

// Rule is a rule as it runs.
type Rule struct {
	Name string `json:"name"`
	// Kind is alerting or recording.
	Kind string `json:"kind"`
	// Evaluated is arrival, when a report of its asset comes in, or timer; TimerBecause says why it is on a timer.
	Evaluated    string            `json:"evaluated"`
	TimerBecause string            `json:"timer_because"`
	Expr         string            `json:"expr"`
	Line         int               `json:"line"`
	ForSeconds   float64           `json:"for_seconds"`
	Labels       map[string]string `json:"labels"`
	// Health is ok, err or unknown (not evaluated yet); LastError says what fails.
	Health    string `json:"health"`
	LastError string `json:"last_error"`
	// LastEvaluation is null until the rule was evaluated.
	LastEvaluation    *time.Time `json:"last_evaluation"`
	EvaluationSeconds float64    `json:"evaluation_seconds"`
	// Pending and Firing count its alerts, Unknown those results and alerts of which nothing could be said.
	Pending int `json:"pending"`
	Firing  int `json:"firing"`
	Unknown int `json:"unknown"`
}

// RuleGroups is every loaded group.
type RuleGroups struct {
	Groups []RuleGroup `json:"groups"`
}

func alertRow(s evaluate.Standing) Alert {
	al := s.Alert
	var end *rules.End
	if al.End != "" {
		end = &al.End
	}
	return Alert{
		ID: rules.AlertID(s.Origin.ID, al.Labels), Name: s.Origin.Name, Group: s.Origin.Group, Expr: s.Origin.Expr,
		ForSeconds: s.Origin.For.Seconds(), State: al.State, Unknown: s.Unknown,
		Severity: incident.SeverityOf(al.Labels.Get("severity")), Customer: al.Labels.Get("customer"),
		Site: al.Labels.Get("site"), Asset: al.Labels.Get("instance"), Service: incident.ServiceOf(al.Labels.Get("service"), al.Labels.Get("job")),
		System: al.Labels.Get("system"), Labels: al.Labels.Map(), Annotations: al.Annotations.Map(), Value: al.Value,
		FirstBadAt: al.FirstBadAt, ActiveAt: al.ActiveAt, FiredAt: orNull(al.FiredAt),
		EndedAt: orNull(al.EndedAt), End: end,
	}
}

func (a *API) listRules(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	out := RuleGroups{Groups: []RuleGroup{}}
	if s := a.sight(who); !s.all() || !s.inside() {
		return out, nil // how things are found is the house's
	}
	for _, g := range a.o.Rules.Groups() {
		out.Groups = append(out.Groups, ruleGroup(g))
	}
	return out, nil
}

func ruleGroup(g evaluate.GroupStatus) RuleGroup {
	row := RuleGroup{Name: g.Name, File: g.File, IntervalSeconds: g.Interval.Seconds(),
		LastEvaluation: orNull(g.LastEvaluation), EvaluationSeconds: g.Duration.Seconds(), LastError: g.Err, Rules: []Rule{}}
	for _, r := range g.Rules {
		kind := "recording"
		if r.Rule.Alerting() {
			kind = "alerting"
		}
		pending, firing := 0, 0
		for _, s := range r.Alerts {
			switch s.Alert.State {
			case rules.Pending:
				pending++
			case rules.Firing:
				firing++
			}
		}
		evaluated, because := "arrival", ""
		if t := r.Rule.Timer; t != nil {
			evaluated, because = "timer", t.Why+": "+t.Expr.String()
		}
		row.Rules = append(row.Rules, Rule{Name: r.Rule.Name(), Kind: kind, Evaluated: evaluated, TimerBecause: because, Expr: r.Rule.Text, Line: r.Rule.Line,
			ForSeconds: r.Rule.For.Seconds(), Labels: r.Rule.Labels.Map(), Health: string(r.Health), LastError: r.LastError,
			LastEvaluation: orNull(r.LastEvaluation), EvaluationSeconds: r.Duration.Seconds(),
			Pending: pending, Firing: firing, Unknown: r.Unknown})
	}
	return row
}

func (a *API) listAlerts(r *http.Request, who fleet.Operator) (any, error) {
	q, err := query(r, "resolved")
	if err != nil {
		return nil, err
	}
	resolved := false
	if s := q.Get("resolved"); s != "" {
		if resolved, err = strconv.ParseBool(s); err != nil {
			return nil, badRequest("true adds alerts that ended within the last 15 minutes", "resolved %q: want true or false", s)
		}
	}
	list, err := a.standingAlerts(r.Context(), who)
	if err != nil {
		return nil, err
	}
	if resolved {
		s := a.sight(who)
		for _, al := range a.o.Rules.Resolved() {
			list.add(s, alertRow(al))
		}
	}
	slices.SortFunc(list.Alerts, func(x, y Alert) int {
		return cmp.Or(cmp.Compare(rank(x.State), rank(y.State)),
			x.ActiveAt.Compare(y.ActiveAt), strings.Compare(x.ID, y.ID))
	})
	return list, nil
}

// standingAlerts are those that stand and exist for the operator, in no order.
func (a *API) standingAlerts(ctx context.Context, who fleet.Operator) (list AlertList, err error) {
	s, told := a.sight(who), a.MutedFor(who)
	err = a.o.Store.View(ctx, func(tx store.Tx) error {
		list = AlertList{Alerts: []Alert{}}
		tickets, err := ticketsOfAlerts(tx, s)
		if err != nil {
			return err
		}
		standing, err := a.standing(tx)
		if err != nil {
			return err
		}
		for _, al := range standing {
			row := alertRow(al)
			row.Ticket, row.MutedBy = tickets[row.ID], told(a.mutedBy(row))
			list.add(s, row)
		}
		return err
	})
	if err != nil {
		return list, fmt.Errorf("list alerts: %w", err)
	}
	return list, nil
}

// Held tells whether a silence or a maintenance window keeps it from a ticket now.
func (a Alert) Held() bool { return len(a.MutedBy) > 0 && (a.Ticket == nil || !a.Ticket.State.Open()) }

// add adds an alert that exists for the operator, without the rule's words for who is not of the house.
func (l *AlertList) add(s sight, row Alert) {
	if !s.customer(row.Customer) {
		return
	}
	if !s.inside() {
		row.ID, row.Name, row.Group, row.Expr, row.Unknown = "", "", "", "", ""
		row.Labels, row.Annotations, row.MutedBy = map[string]string{}, map[string]string{}, nil
	}
	l.Alerts = append(l.Alerts, row)
}

// rank is the order of states in lists: what fires first, what is over last.
func rank(s rules.State) int {
	return slices.Index([]rules.State{rules.Firing, rules.Pending, rules.Inactive}, s)
}

// ticketsOfAlerts is the ticket of every alert that has one, by alert ID: the open one, otherwise the newest that was
// resolved while the alert fired on, be the alert listed there or only counted.
func ticketsOfAlerts(tx store.Tx, s sight) (map[string]*TicketRef, error) {
	out := map[string]*TicketRef{}
	for _, f := range []store.TicketFilter{
		{OpenOnly: true, Scope: s.scope(), Limit: countLimit}, {State: ticket.Done, Scope: s.scope(), Limit: countLimit}} {
		found, err := tx.Tickets(f)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			ids, err := alertsOf(tx, t)
			if err != nil {
				return nil, err
			}
			ref := &TicketRef{ID: t.ID, Number: t.Number, State: t.State}
			for _, id := range ids {
				if out[id] == nil {
					out[id] = ref
				}
			}
		}
	}
	return out, nil
}

// alertsOf are the IDs of a ticket's alerts, of one that is not open those that still fire.
func alertsOf(tx store.Tx, t ticket.Ticket) (ids []string, err error) {
	for _, al := range t.Alerts {
		if t.State.Open() || al.Firing() {
			ids = append(ids, al.ID)
		}
	}
	if t.Crowd.Came == 0 || !t.State.Open() && t.Crowd.Firing == 0 {
		return ids, nil
	}
	counted, err := tx.CountedOf(t.ID)
	for _, c := range counted {
		if t.State.Open() || c.End == "" {
			ids = append(ids, c.Alert)
		}
	}
	return ids, err
}

// standing is every alert that stands: what the store keeps (silence too, which no rule file holds), with the
// evaluator's newer word on those it knows.
func (a *API) standing(tx store.Tx) ([]evaluate.Standing, error) {
	kept, err := tx.Alerts()
	if err != nil {
		return nil, err
	}
	live := a.o.Rules.Alerts()
	known := map[string]bool{}
	for _, s := range live {
		known[rules.AlertID(s.Origin.ID, s.Alert.Labels)] = true
	}
	for _, s := range kept {
		if !known[s.ID()] {
			live = append(live, evaluate.Standing{Origin: s.Origin, Alert: s.Alert})
		}
	}
	return live, nil
}
