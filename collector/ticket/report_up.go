package ticket

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"
)

// Stretch is a piece of time, From up to Until.
type Stretch struct{ From, Until time.Time }

// Availability is how long an environment worked in a month.
type Availability struct {
	Customer    string `json:"customer"`
	Environment string `json:"environment"`
	// Month is 2026-11, cut to the span.
	Month string `json:"month"`
	// Seconds is the length of the month within the span. Maintenance is announced work, Unknown is when nothing was heard
	// of an asset, Down when an outage stood; each second is in the first of them that has it, so that they never overlap.
	Seconds     float64 `json:"seconds"`
	Maintenance float64 `json:"maintenance_seconds"`
	Unknown     float64 `json:"unknown_seconds"`
	Down        float64 `json:"down_seconds"`
	// Available is the share of what is known and was not announced in which nothing was down, from 0 to 1; null when all
	// of the month is unknown or maintenance.
	Available *float64 `json:"available"`
}

// Environment is the assets of a customer that serve for the same.
type Environment struct {
	Customer, Name string
	Assets         []string
	// WatchedFrom is since when anything of it is watched: before, and always where it is zero, nothing is known of it.
	WatchedFrom time.Time
	// FirstReports is when each asset first reported, by name: before it nothing is known of the environment, and nothing at
	// all where one never did. Where nobody says it (nil), WatchedFrom stands for every asset.
	FirstReports map[string]time.Time
}

// blind is when nothing can be known of the environment within a span, whatever its tickets say.
func (e Environment) blind(span Span) []Stretch {
	all := Stretch(span)
	if len(e.Assets) == 0 || e.FirstReports == nil && e.WatchedFrom.IsZero() {
		return []Stretch{all}
	}
	if e.FirstReports == nil {
		return []Stretch{{span.From, e.WatchedFrom}}
	}
	var out []Stretch
	for _, asset := range e.Assets {
		first := e.FirstReports[asset]
		if first.IsZero() {
			return []Stretch{all}
		}
		out = append(out, Stretch{span.From, first})
	}
	return out
}

// outageServices are the services of alerts that say that something does not answer, or that begin so.
var outageServices = []string{"availability", "reachability", "website", "endpoint", "site ", "application pool", "sql server", "W3SVC"}

// outageTypes are the types of ticket by which a person reports that something is down.
var outageTypes = []string{"website-down", "server-down", "system-down"}

// AvailabilityRestsOn says to people what the figures are made from.
const AvailabilityRestsOn = "Down: critical alerts of availability (reachability, website, endpoint, site, application pool, SQL Server, " +
	"IIS) from when their condition was found to hold until they ended, and reported outages (website-down, server-down, system-down) from receipt to resolution. Unknown: before every asset of the " +
	"environment had reported once, and while one was silent. Maintenance: announcements of a type that the policy set marks with `maintenance`, from change-at to change-until or their resolution. What nobody " +
	"watches and nobody reported is not in it."

// ReportAvailability is how long each environment worked in each month of a span, which must have both ends: from what
// tickets know, up to now. zone tells where months begin. It goes through tickets once and keeps what lies in the span.
func ReportAvailability(environments []Environment, tickets iter.Seq[Ticket], span Span, zone *time.Location, now time.Time) []Availability {
	out := []Availability{}
	if now.Before(span.Until) {
		span.Until = now
	}
	told := make([]upkeep, len(environments))
	for t := range tickets {
		for i, e := range environments {
			told[i].hear(e, t, span, now)
		}
	}
	for i, e := range environments {
		told[i].unknown = append(told[i].unknown, e.blind(span)...)
		for from := span.From; from.Before(span.Until); {
			local := from.In(zone)
			until := time.Date(local.Year(), local.Month()+1, 1, 0, 0, 0, 0, zone)
			if until.In(zone).Month() == local.Month() { // the clocks skip that midnight
				_, until = until.ZoneBounds()
			}
			if until.After(span.Until) {
				until = span.Until
			}
			a := told[i].within(Stretch{from, until})
			a.Customer, a.Environment, a.Month = e.Customer, e.Name, local.Format("2006-01")
			out = append(out, a)
			from = until
		}
	}
	slices.SortStableFunc(out, func(x, y Availability) int {
		return cmp.Or(strings.Compare(x.Customer, y.Customer), strings.Compare(x.Environment, y.Environment), strings.Compare(x.Month, y.Month))
	})
	return out
}

// upkeep is when an environment was down, unknown and under announced maintenance, as tickets know it.
type upkeep struct{ down, unknown, planned []Stretch }

// within is what became of one stretch: each second of it is announced, unknown, down or none of these.
func (h upkeep) within(m Stretch) Availability {
	away := within(h.planned, m)
	blind := without(within(h.unknown, m), away)
	broken := without(without(within(h.down, m), away), blind)
	a := Availability{Seconds: m.Until.Sub(m.From).Seconds(), Maintenance: length(away), Unknown: length(blind), Down: length(broken)}
	if known := a.Seconds - a.Maintenance - a.Unknown; known > 0 {
		share := (known - a.Down) / known
		a.Available = &share
	}
	return a
}

// hear takes in what a ticket knows of an environment within a span.
func (h *upkeep) hear(e Environment, t Ticket, span Span, now time.Time) {
	if t.Customer != e.Customer {
		return
	}
	keep := func(into *[]Stretch, s Stretch) {
		*into = append(*into, within([]Stretch{s}, Stretch(span))...)
	}
	if t.Kind == KindAnnouncement {
		if s, ok := t.maintenance(now); ok && (t.Asset == "" || slices.Contains(e.Assets, t.Asset)) &&
			(t.Facts[factEnvironm] == "" || t.Facts[factEnvironm] == e.Name) {
			keep(&h.planned, s)
		}
		return
	}
	for _, a := range t.Alerts {
		if !slices.Contains(e.Assets, a.Asset) && (a.Asset != "" || t.Asset != "") {
			continue
		}
		s := Stretch{a.ActiveAt, a.EndedAt}
		if a.Firing() {
			s.Until = now
		}
		switch {
		case a.Source == house.Name:
			keep(&h.unknown, s)
		case a.Severity == "critical" && outage(a.Service):
			keep(&h.down, s)
		}
	}
	if !t.Detected && slices.Contains(outageTypes, t.Type) && (t.Asset == "" || slices.Contains(e.Assets, t.Asset)) {
		s := Stretch{t.Received(), t.ResolvedAt}
		if t.State.Open() {
			s.Until = now
		}
		keep(&h.down, s)
	}
}

func outage(service string) bool {
	return slices.ContainsFunc(outageServices, func(p string) bool { return strings.HasPrefix(service, p) })
}

// Announces is the time that an announcement of maintenance is about; until is zero where it says no end, or none that can be
// read, and ok is false for any other ticket.
func (t Ticket) Announces() (from, until time.Time, ok bool) {
	if t.Facts[factMaintenance] != yes {
		return from, until, false
	}
	from, err := time.Parse(time.RFC3339, t.Facts[factChangeAt])
	if err != nil {
		return time.Time{}, until, false
	}
	if until, err = time.Parse(time.RFC3339, t.Facts[factChangeEnd]); err != nil {
		until = time.Time{}
	}
	return from, until, true
}

// maintenance is the time that an announcement of maintenance is about, up to its resolution where it says no end.
func (t Ticket) maintenance(now time.Time) (Stretch, bool) {
	from, until, ok := t.Announces()
	switch {
	case !ok:
		return Stretch{}, false
	case !until.IsZero():
	case t.State.Open():
		until = now
	default:
		until = t.ResolvedAt
	}
	return Stretch{from, until}, until.After(from)
}

// within is what of stretches lies in one, in order and without overlap.
func within(all []Stretch, in Stretch) []Stretch {
	var cut []Stretch
	for _, s := range all {
		if s.From.Before(in.From) {
			s.From = in.From
		}
		if s.Until.After(in.Until) {
			s.Until = in.Until
		}
		if s.Until.After(s.From) {
			cut = append(cut, s)
		}
	}
	slices.SortFunc(cut, func(x, y Stretch) int { return x.From.Compare(y.From) })
	var out []Stretch
	for _, s := range cut {
		if n := len(out); n > 0 && !s.From.After(out[n-1].Until) {
			if s.Until.After(out[n-1].Until) {
				out[n-1].Until = s.Until
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

// without is what of ordered stretches is in none of the others, which are ordered too.
func without(all, others []Stretch) []Stretch {
	var out []Stretch
	for _, s := range all {
		for _, o := range others {
			if !o.Until.After(s.From) || !o.From.Before(s.Until) {
				continue
			}
			if o.From.After(s.From) {
				out = append(out, Stretch{s.From, o.From})
			}
			s.From = o.Until
			if !s.Until.After(s.From) {
				break
			}
		}
		if s.Until.After(s.From) {
			out = append(out, s)
		}
	}
	return out
}

// length is how long stretches that do not overlap last together, in seconds.
func length(all []Stretch) float64 {
	var d time.Duration
	for _, s := range all {
		d += s.Until.Sub(s.From)
	}
	return d.Seconds()
}
