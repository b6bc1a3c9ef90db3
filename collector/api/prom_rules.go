package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
)

// promAlert is an alert as Prometheus lists it.
type promAlert struct {
	Labels          labels.Labels `json:"labels"`
	Annotations     labels.Labels `json:"annotations"`
	State           string        `json:"state"`
	ActiveAt        *time.Time    `json:"activeAt,omitempty"`
	KeepFiringSince *time.Time    `json:"keepFiringSince,omitempty"`
	Value           string        `json:"value"`
}

// promAlertList is the data of /alerts.
type promAlertList struct {
	Alerts []promAlert `json:"alerts"`
}

// promGroup is a group of rules as Prometheus lists it; its rules are promAlerting and promRecording.
type promGroup struct {
	Name           string    `json:"name"`
	File           string    `json:"file"`
	Rules          []any     `json:"rules"`
	Interval       float64   `json:"interval"`
	Limit          int       `json:"limit"`
	EvaluationTime float64   `json:"evaluationTime"`
	LastEvaluation time.Time `json:"lastEvaluation"`
}

type promAlerting struct {
	State          string        `json:"state"`
	Name           string        `json:"name"`
	Query          string        `json:"query"`
	Duration       float64       `json:"duration"`
	KeepFiringFor  float64       `json:"keepFiringFor"`
	Labels         labels.Labels `json:"labels"`
	Annotations    labels.Labels `json:"annotations"`
	Alerts         []promAlert   `json:"alerts"`
	Health         string        `json:"health"`
	LastError      string        `json:"lastError,omitempty"`
	EvaluationTime float64       `json:"evaluationTime"`
	LastEvaluation time.Time     `json:"lastEvaluation"`
	Type           string        `json:"type"`
}

type promRecording struct {
	Name           string        `json:"name"`
	Query          string        `json:"query"`
	Labels         labels.Labels `json:"labels"`
	Health         string        `json:"health"`
	LastError      string        `json:"lastError,omitempty"`
	EvaluationTime float64       `json:"evaluationTime"`
	LastEvaluation time.Time     `json:"lastEvaluation"`
	Type           string        `json:"type"`
}

// promRuleList is the data of /rules.
type promRuleList struct {
	Groups    []promGroup `json:"groups"`
	NextToken string      `json:"groupNextToken,omitempty"`
}

// promAlerts lists what is pending or firing and exists for who asks. Alerts carry the words of rules: who does not see what
// is internal gets none.
func (a *API) promAlerts(c *promCall) (promAnswer, error) {
	out := promAlertList{Alerts: []promAlert{}}
	if !c.sight.inside() {
		return promAnswer{data: out}, nil
	}
	var standing []evaluate.Standing
	if err := a.o.Store.View(c.r.Context(), func(tx store.Tx) (err error) {
		standing, err = a.standing(tx)
		return err
	}); err != nil {
		return promAnswer{}, fmt.Errorf("list alerts: %w", err)
	}
	for _, s := range standing {
		if c.sight.customer(s.Alert.Labels.Get("customer")) {
			out.Alerts = append(out.Alerts, alertAsPrometheus(s))
		}
	}
	return promAnswer{data: out}, nil
}

func alertAsPrometheus(s evaluate.Standing) promAlert {
	al := s.Alert
	return promAlert{Labels: al.Labels, Annotations: al.Annotations, State: string(al.State), ActiveAt: orNull(al.ActiveAt),
		KeepFiringSince: orNull(al.KeepFiringSince), Value: strconv.FormatFloat(float64(al.Value), 'e', -1, 64)}
}

// ruleFilter is what of the rules is asked for.
type ruleFilter struct {
	names, groups, files []string
	sets                 [][]*labels.Matcher
	alerting, recording  bool
	withoutAlerts        bool
	limit                int
	token                string
}

// promRules lists the loaded rules. They are the house's.
func (a *API) promRules(c *promCall) (promAnswer, error) {
	f, err := c.ruleFilter()
	if err != nil {
		return promAnswer{}, err
	}
	out := promRuleList{Groups: []promGroup{}}
	if !c.sight.all() || !c.sight.inside() {
		return promAnswer{data: out}, nil
	}
	found := f.token == ""
	for _, g := range a.o.Rules.Groups() {
		if !found && f.token != groupToken(g.File, g.Name) {
			continue
		}
		found = true
		row, ok := f.group(g)
		if !ok {
			continue
		}
		if f.limit > 0 && len(out.Groups) == f.limit {
			out.NextToken = groupToken(g.File, g.Name)
			break
		}
		out.Groups = append(out.Groups, row)
	}
	if !found {
		return promAnswer{}, badParameter("group_next_token",
			fmt.Errorf("invalid group_next_token '%v'. were rule groups changed?", f.token))
	}
	return promAnswer{data: out}, nil
}

func (c *promCall) ruleFilter() (f ruleFilter, err error) {
	f = ruleFilter{names: c.r.Form["rule_name[]"], groups: c.r.Form["rule_group[]"], files: c.r.Form["file[]"],
		token: c.value("group_next_token")}
	if f.sets, err = readSelectors(c.matchers()); err != nil {
		return f, badMatch(err)
	}
	switch kind := strings.ToLower(c.value("type")); kind {
	case "", "alert", "record":
		f.alerting, f.recording = kind != "record", kind != "alert"
	default:
		return f, badParameter("type", fmt.Errorf("not supported value %q", kind))
	}
	if s := strings.ToLower(c.value("exclude_alerts")); s != "" {
		if f.withoutAlerts, err = strconv.ParseBool(s); err != nil {
			return f, badParameter("exclude_alerts", fmt.Errorf("error converting exclude_alerts: %w", err))
		}
	}
	s := c.value("group_limit")
	if s == "" {
		if f.token != "" {
			return f, badParameter("group_next_token", fmt.Errorf("group_limit needs to be present in order to paginate over the groups"))
		}
		return f, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	switch {
	case err != nil:
		return f, badParameter("group_limit", fmt.Errorf("group_limit needs to be a valid number: %w", err))
	case n <= 0:
		return f, badParameter("group_limit", fmt.Errorf("group_limit needs to be greater than 0"))
	}
	f.limit = int(n)
	return f, nil
}

// groupToken names a group to a client that reads page by page.
func groupToken(file, group string) string {
	sum := sha256.Sum256([]byte(file + ";" + group))
	return hex.EncodeToString(sum[:])
}

// group is what the filter leaves of a group; false when that is nothing.
func (f ruleFilter) group(g evaluate.GroupStatus) (promGroup, bool) {
	wanted := func(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }
	row := promGroup{Name: g.Name, File: g.File, Rules: []any{}, Interval: g.Interval.Seconds(), Limit: g.Limit,
		EvaluationTime: g.Duration.Seconds(), LastEvaluation: g.LastEvaluation}
	if !wanted(f.groups, g.Name) || !wanted(f.files, g.File) {
		return row, false
	}
	for _, r := range g.Rules {
		alerting := r.Rule.Alerting()
		switch {
		case !wanted(f.names, r.Rule.Name()), !f.selects(r.Rule.Labels):
		case alerting && f.alerting:
			row.Rules = append(row.Rules, f.alertingRule(r))
		case !alerting && f.recording:
			row.Rules = append(row.Rules, promRecording{Name: r.Rule.Name(), Query: r.Rule.Expr.String(), Labels: r.Rule.Labels,
				Health: string(r.Health), LastError: r.LastError, EvaluationTime: r.Duration.Seconds(),
				LastEvaluation: r.LastEvaluation, Type: "recording"})
		}
	}
	return row, len(row.Rules) > 0
}

// selects tells whether any of match[] selects a rule with these labels.
func (f ruleFilter) selects(ls labels.Labels) bool {
	return len(f.sets) == 0 || slices.ContainsFunc(f.sets, func(ms []*labels.Matcher) bool {
		return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(ls.Get(m.Name)) })
	})
}

func (f ruleFilter) alertingRule(r evaluate.RuleStatus) promAlerting {
	row := promAlerting{State: string(rules.Inactive), Name: r.Rule.Name(), Query: r.Rule.Expr.String(), Duration: r.Rule.For.Seconds(),
		KeepFiringFor: r.Rule.KeepFiringFor.Seconds(), Labels: r.Rule.Labels, Annotations: r.Rule.Annotations,
		Health: string(r.Health), LastError: r.LastError, EvaluationTime: r.Duration.Seconds(), LastEvaluation: r.LastEvaluation,
		Type: "alerting"}
	if r.LastEvaluation.IsZero() {
		row.State = "unknown"
	}
	if !f.withoutAlerts {
		row.Alerts = []promAlert{}
	}
	for _, s := range r.Alerts {
		if row.State != string(rules.Firing) {
			row.State = string(s.Alert.State)
		}
		if !f.withoutAlerts {
			row.Alerts = append(row.Alerts, alertAsPrometheus(s))
		}
	}
	return row
}
