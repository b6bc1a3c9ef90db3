package collector

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

const (
	// evidenceBudget bounds how long one commit may wait for evidence: a ticket without a curve beats a late ticket.
	evidenceBudget = 2 * time.Second
	curveBudget    = 300 * time.Millisecond
	curvePoints    = 120
	maxCurves      = 3
	maxElse        = 20
	maxEvents      = 10
	// eventsRead is how many events are looked through for those that matter.
	eventsRead = 500
	eventsBack = 24 * time.Hour
)

// gatherer reads what is known about an alert's asset at the moment it fires. It changes nothing.
type gatherer struct {
	facts   *facts
	fleet   *fleet.Registry
	history *history.History
	store   store.Store
	// failing are the samplers of an asset that cannot look, with their reasons.
	failing func(asset string) []failing
	// standing are the alerts that fire now, with their rules.
	standing func() []rules.Transition
}

type failing struct {
	Source, Reason string
	Since          time.Time
}

// gatherAll gathers evidence for every alert of ts that begins to fire, by alert ID, within evidenceBudget.
func (p *pipeline) gatherAll(ctx context.Context, ts []rules.Transition, now time.Time) map[string][]ticket.Evidence {
	ctx, cancel := context.WithTimeout(ctx, evidenceBudget)
	defer cancel()
	var fresh []rules.Transition
	for _, t := range ts {
		if t.Alert.State == rules.Firing && t.From != rules.Firing {
			fresh = append(fresh, t)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	around := newNearby(append(p.evidence.standing(), fresh...), p.alertOf)
	out := map[string][]ticket.Evidence{}
	for _, t := range fresh {
		out[t.ID()] = p.evidence.gather(ctx, p.alertOf(t), around, now)
	}
	return out
}

// gather fills the five parts for one alert; around is all that fires, the alerts of the same moment included.
func (g gatherer) gather(ctx context.Context, a incident.Alert, around nearby, now time.Time) []ticket.Evidence {
	host, heard := g.facts.host(a.Asset)
	out := []ticket.Evidence{
		g.when(a, now),
		g.symptoms(ctx, a, host, around, now),
		g.users(a, host, heard),
		g.errors(ctx, a, host, heard, now),
		g.actions(ctx, a, host, heard, now),
	}
	for i := range out {
		out[i].Salt = newSalt()
	}
	return out
}

// when is the time part, in UTC and in the customer's zone.
func (g gatherer) when(a incident.Alert, now time.Time) ticket.Evidence {
	say := g.clock(a.Customer)
	first := "first bad sample " + say(a.FirstBadAt)
	if a.Expr == "" {
		first = "nothing heard since " + say(a.FirstBadAt)
	}
	found := "detected " + say(a.ActiveAt)
	if a.FiredAt.After(a.ActiveAt) {
		found += fmt.Sprintf(", fired %s later as the rule asks (for)", a.FiredAt.Sub(a.ActiveAt).Round(time.Millisecond))
	}
	return ticket.Evidence{Part: ticket.PartTime, Entries: []ticket.Entry{
		{Text: first, Source: "samples of " + or(a.Asset, "the fleet"), At: a.FirstBadAt},
		{Text: found, Source: a.Source, At: a.FiredAt},
		{Text: "brought to a ticket " + say(now), Source: "watchbill", At: now},
	}}
}

// clock says a time in UTC and in the customer's zone.
func (g gatherer) clock(customer string) func(time.Time) string {
	zone := time.UTC
	if c, ok := g.fleet.Customer(customer); ok && c.Zone != "" {
		if z, err := time.LoadLocation(c.Zone); err == nil {
			zone = z
		}
	}
	return func(t time.Time) string {
		s := t.UTC().Format("2006-01-02 15:04:05 UTC")
		if zone != time.UTC {
			s += t.In(zone).Format(" (15:04:05 MST") + " in " + zone.String() + ")"
		}
		return s
	}
}

// symptoms is what is wrong, as the rule, the last hour and everything else that fires nearby show it.
func (g gatherer) symptoms(ctx context.Context, a incident.Alert, host hostFacts, around nearby, now time.Time) ticket.Evidence {
	ev := ticket.Evidence{Part: ticket.PartSymptoms}
	add := func(text, source string, at time.Time) {
		if text != "" {
			ev.Entries = append(ev.Entries, ticket.Entry{Text: text, Source: source, At: at})
		}
	}
	add(a.Annotations["summary"], a.Source, a.FiredAt)
	add(a.Annotations["description"], a.Source, a.FiredAt)
	if a.Expr != "" {
		add(fmt.Sprintf("%s: %s; value %s since %s", a.Name, oneLine(a.Expr), readable(float64(a.Value)),
			a.ActiveAt.UTC().Format("15:04:05 UTC")), a.Source, a.FiredAt)
	}
	if a.Expr != "" {
		ev.Entries = append(ev.Entries, g.curves(ctx, a, now)...)
	}
	ev.Entries = append(ev.Entries, elsewhere(a, around, now))
	if t, ok := host.Tables["processes"]; ok && len(t.Rows) > 0 {
		ev.Entries = append(ev.Entries, tableEntry("busiest processes", t))
	}
	return ev
}

// curves are the last hour of the series behind the alert, or the reason why there are none.
func (g gatherer) curves(ctx context.Context, a incident.Alert, now time.Time) []ticket.Entry {
	const source = "history"
	none := func(why string) []ticket.Entry {
		return []ticket.Entry{{Text: "no curve of the last hour: " + why, Source: source, At: now}}
	}
	if g.history == nil {
		return none("history is switched off (history.retention is 0)")
	}
	sels, err := selectors(a)
	if err != nil {
		return none(err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, curveBudget)
	defer cancel()
	var out []ticket.Entry
	seen := map[uint64]bool{}
	for _, sel := range sels {
		found, err := g.history.Series(ctx, sel, now.Add(-time.Hour), now, curvePoints)
		if err != nil {
			return append(out, none(err.Error())...)
		}
		for _, c := range found {
			if h := c.Labels.Hash(); len(out) < maxCurves && !seen[h] && compatible(c.Labels, a.Labels) && len(c.Points) > 1 {
				seen[h] = true
				out = append(out, curveEntry(c, now))
			}
		}
	}
	if len(out) == 0 {
		return none("the series is younger than two samples")
	}
	return out
}

// selectors are the matchers of the expression's series, narrowed to the alert's asset.
func selectors(a incident.Alert) ([][]*labels.Matcher, error) {
	expr, err := rules.NewParser().ParseExpr(a.Expr)
	if err != nil {
		return nil, fmt.Errorf("read the rule's expression again: %w", err)
	}
	sels := parser.ExtractSelectors(expr)
	if a.Asset == "" {
		return sels, nil
	}
	for i := range sels {
		m, err := labels.NewMatcher(labels.MatchEqual, "instance", a.Asset)
		if err != nil {
			return nil, err
		}
		sels[i] = append(sels[i], m)
	}
	return sels, nil
}

// compatible tells whether a series can be behind an alert: no label that both have differs.
func compatible(series labels.Labels, alert map[string]string) bool {
	same := true
	series.Range(func(l labels.Label) {
		if v, ok := alert[l.Name]; ok && l.Name != labels.AlertName && v != l.Value {
			same = false
		}
	})
	return same
}

func curveEntry(c history.Curve, now time.Time) ticket.Entry {
	s := &ticket.Series{Name: seriesName(c.Labels), Points: make([][2]float64, len(c.Points))}
	for i, p := range c.Points {
		s.Points[i] = [2]float64{float64(p.T.UnixMilli()) / 1000, p.V}
	}
	return ticket.Entry{Text: "the last hour of " + s.Name, Source: "history", At: now, Series: s}
}

// seriesName is a series as people write it, without what the ticket says of the asset anyway.
func seriesName(l labels.Labels) string {
	name := l.Get(model.MetricNameLabel)
	short := labels.NewBuilder(l).Del(model.MetricNameLabel, "instance", "job", "customer", "site").Labels()
	if short.IsEmpty() {
		return name
	}
	return name + strings.ReplaceAll(short.String(), ", ", ",")
}

// elsewhere is what else fires on the asset and at its site.
func elsewhere(a incident.Alert, around nearby, now time.Time) ticket.Entry {
	e := ticket.Entry{Text: "nothing else fires on this asset or at its site", Source: "rules", At: now}
	if said := around.said(a); said != "" {
		e.Text = "also firing " + said
	}
	return e
}

// users is who is affected, as far as anybody can know.
func (g gatherer) users(a incident.Alert, host hostFacts, heard bool) ticket.Evidence {
	ev := ticket.Evidence{Part: ticket.PartUsers}
	add := func(text, source string, at time.Time) {
		ev.Entries = append(ev.Entries, ticket.Entry{Text: text, Source: source, At: at})
	}
	if c, ok := g.fleet.Customer(a.Customer); ok {
		text := "customer " + or(c.Name, c.ID)
		if a.Site != "" {
			text += ", site " + a.Site
		}
		if c.Department != "" {
			text += ", owned by department " + c.Department
		}
		add(text, "fleet", a.FiredAt)
	}
	if as, ok := g.fleet.Asset(a.Asset); ok {
		if as.Role != "" {
			add(fmt.Sprintf("%s is: %s", as.Name, as.Role), "fleet", a.FiredAt)
		}
		if as.Users > 0 {
			add(fmt.Sprintf("%d people depend on it, as declared", as.Users), "fleet", a.FiredAt)
		}
	}
	switch t, ok := host.Tables["sessions"]; {
	case !ok && a.Asset != "":
		add("who is logged in is unknown: "+unheard(heard, "sessions"), "agent on "+a.Asset, a.FiredAt)
	case ok && len(t.Rows) == 0:
		add("no sessions: "+or(t.NoneBecause, "nobody is logged in"), "agent on "+a.Asset, t.SampledAt)
	case ok:
		ev.Entries = append(ev.Entries, tableEntry(fmt.Sprintf("%d logged in", len(t.Rows)), t))
	}
	if len(ev.Entries) == 0 {
		ev.None = "none, because the alert is about no asset and no customer"
	}
	return ev
}

// errors is what else reports a failure: units, samplers, events.
func (g gatherer) errors(ctx context.Context, a incident.Alert, host hostFacts, heard bool, now time.Time) ticket.Evidence {
	ev := ticket.Evidence{Part: ticket.PartErrors}
	var clean []string
	switch t, ok := host.Tables["failed_units"]; {
	case a.Asset == "":
	case !ok:
		clean = append(clean, "failed units are unknown: "+unheard(heard, "failed_units"))
	case len(t.Rows) == 0:
		clean = append(clean, or(t.NoneBecause, "no systemd unit has failed"))
	default:
		ev.Entries = append(ev.Entries, tableEntry("failed units", t))
	}
	for _, f := range g.failing(a.Asset) {
		ev.Entries = append(ev.Entries, ticket.Entry{Text: fmt.Sprintf("sampler %s fails: %s", f.Source, f.Reason),
			Source: "agent on " + a.Asset, At: f.Since})
	}
	events, why := g.events(ctx, a.Asset, now)
	if why != "" {
		clean = append(clean, why)
	}
	ev.Entries = append(ev.Entries, entriesOf(events, isError)...)
	for _, kind := range []string{"kernel_messages", "log_files"} {
		if t, ok := host.Tables[kind]; ok && len(t.Rows) == 0 && t.NoneBecause != "" {
			clean = append(clean, strings.ReplaceAll(kind, "_", " ")+": "+t.NoneBecause)
		}
	}
	if heard {
		clean = append(clean, "every sampler works")
	}
	if why == "" && (heard || len(events) > 0) {
		clean = append(clean, "no error event came in 24 h")
	}
	if len(ev.Entries) == 0 {
		ev.None = "none, because " + or(strings.Join(clean, "; "), "the alert is about no host")
	}
	return ev
}

// actions is what was already done about it, by machines and, through earlier tickets, by people.
func (g gatherer) actions(ctx context.Context, a incident.Alert, host hostFacts, heard bool, now time.Time) ticket.Evidence {
	ev := ticket.Evidence{Part: ticket.PartActions}
	if inv := host.Inventory; inv != nil && !inv.BootedAt.IsZero() {
		if at := inv.BootedAt; now.Sub(at) < eventsBack {
			ev.Entries = append(ev.Entries, ticket.Entry{At: at, Source: "agent on " + a.Asset,
				Text: fmt.Sprintf("%s was booted at %s", a.Asset, at.UTC().Format("2006-01-02 15:04:05 UTC"))})
		}
	}
	events, why := g.events(ctx, a.Asset, now)
	ev.Entries = append(ev.Entries, entriesOf(events, isAction)...)
	if len(ev.Entries) == 0 {
		seen := "no restart, reboot or local remedy was seen in 24 h"
		if !heard && a.Asset != "" {
			seen = "whether anything was restarted is unknown: " + unheard(heard, "")
		}
		ev.None = "none, because " + or(why, seen) + "; nobody has written any down yet"
	}
	return ev
}

// withHistory adds to the actions part what resolved earlier tickets of the same incident.
func withHistory(ev []ticket.Evidence, past []ticket.Ticket) []ticket.Evidence {
	out := append([]ticket.Evidence(nil), ev...)
	for i := range out {
		if out[i].Part != ticket.PartActions {
			continue
		}
		entries := append([]ticket.Entry(nil), out[i].Entries...)
		for _, t := range past {
			text := fmt.Sprintf("%s, the same incident, opened %s", t.Number, t.OpenedAt.UTC().Format("2006-01-02 15:04 UTC"))
			if t.Resolution != "" {
				text += fmt.Sprintf(", was resolved by %s: %s", t.ResolvedBy.Name, t.Resolution)
			}
			entries = append(entries, ticket.Entry{Text: text, Source: "tickets", At: t.UpdatedAt})
		}
		if out[i].Entries = entries; len(entries) > 0 {
			out[i].None = ""
		} else {
			out[i].None += "; no earlier ticket of this incident"
		}
	}
	return out
}

func (g gatherer) events(ctx context.Context, asset string, now time.Time) (found []store.HostEvent, why string) {
	if asset == "" {
		return nil, ""
	}
	err := g.store.View(ctx, func(tx store.Tx) (err error) {
		found, err = tx.Events(asset, now.Add(-eventsBack), eventsRead)
		return err
	})
	if err != nil {
		return nil, "the events could not be read: " + err.Error()
	}
	return found, ""
}

// entriesOf are the newest events of some kinds, of which there are maxEvents at most.
func entriesOf(events []store.HostEvent, of func(kind string) bool) []ticket.Entry {
	var out []ticket.Entry
	more := 0
	for _, e := range events {
		switch {
		case !of(e.Kind):
		case len(out) < maxEvents:
			out = append(out, eventEntry(e))
		default:
			more++
		}
	}
	if more > 0 {
		last := out[len(out)-1]
		out = append(out, ticket.Entry{Text: fmt.Sprintf("and %d older such events within 24 h", more), Source: last.Source, At: last.At})
	}
	return out
}

// isError is about what went wrong.
func isError(kind string) bool {
	return strings.HasSuffix(kind, "_failed") || strings.HasPrefix(kind, "kernel_") ||
		kind == "clock_stepped" || kind == "spool_dropped" || kind == "log_error"
}

// isAction is about what somebody or something did to the host.
func isAction(kind string) bool {
	for _, prefix := range []string{"package_", "port_", "session_"} {
		if strings.HasPrefix(kind, prefix) {
			return true
		}
	}
	return kind == "host_rebooted" || strings.HasSuffix(kind, "_restarted") || kind == "action_taken"
}

func eventEntry(e store.HostEvent) ticket.Entry {
	return ticket.Entry{Text: e.Text, Source: fmt.Sprintf("agent on %s, %s", e.Asset, e.Kind), At: e.At}
}

func tableEntry(title string, t ingest.Table) ticket.Entry {
	return ticket.Entry{Text: title, Source: "agent, " + t.Kind, At: t.SampledAt,
		Table: &ticket.Table{Columns: t.Columns, Rows: t.Rows}}
}

func unheard(heard bool, kind string) string {
	if heard {
		return "the agent has not sent its table " + kind + " yet"
	}
	return "the host has not reported since the collector started"
}

func readable(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
