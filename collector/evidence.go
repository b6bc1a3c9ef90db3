package collector

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/storage"

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
	// window has what rules look back on, for when there is no history; nil where nothing does.
	window storage.Queryable
	zones  *zones
	store  store.Store
	// failing are the samplers of an asset that cannot look, with their reasons.
	failing func(asset string) []failing
	// standing are the alerts that fire now, with their rules.
	standing func() []rules.Transition
}

type failing struct {
	Source, Reason string
	Since          time.Time
}

// gather fills the five parts for one alert; around is all that fires, the alerts of the same moment included. When it is
// to be lean, it leaves out what has to be read from the disk, and says so.
func (g gatherer) gather(ctx context.Context, a incident.Alert, around nearby, lean bool, now time.Time) []ticket.Evidence {
	host, heard := g.facts.host(a.Asset)
	seen := seenEvents{why: "events are " + leftOut}
	if !lean {
		seen = g.events(ctx, a.Asset, now)
	} else if a.Asset == "" {
		seen = seenEvents{}
	}
	out := []ticket.Evidence{
		g.when(a, now),
		g.symptoms(ctx, a, host, around, lean, now),
		g.users(a, host, heard),
		g.errors(a, host, heard, seen),
		g.actions(a, host, heard, seen, now),
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
	switch {
	case a.Fed():
		first = "began " + say(a.FirstBadAt) + ", as its sender says"
	case a.Expr == "":
		first = "nothing heard since " + say(a.FirstBadAt)
		if _, heard := g.facts.host(a.Asset); a.Asset != "" && !heard {
			first = "no report is known of since " + say(a.FirstBadAt)
		}
	}
	from, found := "samples of "+or(a.Asset, "the fleet"), "detected "+say(a.ActiveAt)
	if a.Fed() {
		from, found = a.Source, "received "+say(a.ActiveAt)
	}
	if a.FiredAt.After(a.ActiveAt) {
		found += fmt.Sprintf(", fired %s later as the rule asks (for)", a.FiredAt.Sub(a.ActiveAt).Round(time.Millisecond))
	}
	return ticket.Evidence{Part: ticket.PartTime, Entries: []ticket.Entry{
		{Text: first, Source: from, At: a.FirstBadAt},
		{Text: found, Source: a.Source, At: a.FiredAt},
		{Text: "brought to a ticket " + say(now), Source: "watchbill", At: now},
	}}
}

// clock says a time in UTC and in the customer's zone.
func (g gatherer) clock(customer string) func(time.Time) string {
	c, _ := g.fleet.Customer(customer)
	zone := g.zones.of(c.Zone)
	return func(t time.Time) string {
		s := t.UTC().Format("2006-01-02 15:04:05 UTC")
		if zone != time.UTC {
			s += t.In(zone).Format(" (15:04:05 MST") + " in " + zone.String() + ")"
		}
		return s
	}
}

// symptoms is what is wrong, as the rule, the last hour and everything else that fires nearby show it.
func (g gatherer) symptoms(ctx context.Context, a incident.Alert, host hostFacts, around nearby, lean bool, now time.Time) ticket.Evidence {
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
	ev.Entries = append(ev.Entries, fedEntries(a)...)
	switch {
	case a.Expr == "":
	case lean:
		add("the curve of the last hour is "+leftOut, "watchbill", now)
	default:
		ev.Entries = append(ev.Entries, g.curves(ctx, a, now)...)
	}
	ev.Entries = append(ev.Entries, elsewhere(a, around, now))
	if t, ok := host.Tables["processes"]; ok && len(t.Rows) > 0 {
		ev.Entries = append(ev.Entries, tableEntry("busiest processes", t))
	}
	return ev
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
		why, source := g.unheard(a.Asset, heard, "sessions")
		add("who is logged in is unknown: "+why, source, a.FiredAt)
	case ok && len(t.Rows) == 0:
		add("no sessions: "+or(t.NoneBecause, "nobody is logged in"), "agent on "+a.Asset, t.SampledAt)
	case ok:
		ev.Entries = append(ev.Entries, tableEntry(fmt.Sprintf("%d logged in", len(t.Rows)), t))
	}
	if len(ev.Entries) == 0 {
		add("not known: the alert is about no one asset or customer", "fleet", a.FiredAt)
	}
	return ev
}

func tableEntry(title string, t ingest.Table) ticket.Entry {
	return ticket.Entry{Text: title, Source: "agent, " + t.Kind, At: t.SampledAt,
		Table: &ticket.Table{Columns: t.Columns, Rows: t.Rows}}
}

// unheard is why an agent's table is not here, and who says so.
func (g gatherer) unheard(asset string, heard bool, kind string) (why, source string) {
	switch f, _ := g.fleet.Asset(asset); {
	case heard:
		return "the agent has not sent its table " + kind + " yet", "agent on " + asset
	case f.Agent == "":
		return "no agent runs on this host", "fleet"
	}
	return "the host has not reported since the collector started", "agent on " + asset
}

func readable(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
