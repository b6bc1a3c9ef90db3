package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Report is one of the reports: its figures for programs in the field of its name, and the same as tables for people and
// spreadsheets.
type Report struct {
	Report string    `json:"report"`
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"`
	// Customer and Department are what it was narrowed to, empty for all that who asked may see.
	Customer   string `json:"customer"`
	Department string `json:"department"`
	// RestsOn says what the figures are made from, where that is not all there is to know.
	RestsOn string `json:"rests_on"`
	// Tickets is how many were looked at.
	Tickets int           `json:"tickets"`
	Tables  []ReportTable `json:"tables"`

	SLA          *ticket.SLAReport     `json:"sla,omitempty"`
	FirstToKnow  []ticket.FirstToKnow  `json:"first_to_know,omitempty"`
	NPS          []ticket.NPS          `json:"nps,omitempty"`
	Lifecycle    []policy.Ending       `json:"lifecycle,omitempty"`
	Availability []ticket.Availability `json:"availability,omitempty"`
	Compliance   []policy.Standing     `json:"compliance,omitempty"`
}

// ReportTable is one table of a report.
type ReportTable struct {
	Title   string     `json:"title"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

// MediaCSV is the media type of a report as CSV.
const MediaCSV = "text/csv; charset=utf-8"

// reporter is what a report is made of.
type reporter struct {
	api  *API
	ctx  context.Context //nolint:containedctx // of the one request that the reporter is made for
	s    sight
	tx   store.Tx
	span ticket.Span
	q    url.Values
	zone *time.Location
	now  time.Time
	// calendars are those that tickets go by, by the digest of their terms.
	calendars map[string]*sla.Calendar
	// watched is since when an agent reports for an asset, and for a site.
	watched map[string]time.Time
	// read is how many tickets were looked at; err the first fault at it.
	read int
	err  error
}

// reports is every report by name. Lifecycle and compliance have nothing to do with when tickets came.
var reports = map[string]func(rp *reporter, out *Report) error{
	"sla": (*reporter).sla, "first-to-know": (*reporter).firstToKnow, "nps": (*reporter).nps,
	"lifecycle": (*reporter).lifecycle, "availability": (*reporter).availability, "compliance": (*reporter).compliance,
}

// Reports are the names of all reports, sorted.
func Reports() []string { return sortedKeys(reports) }

func (a *API) showReport(r *http.Request, who fleet.Operator) (any, error) {
	name := r.PathValue("report")
	fill, ok := reports[name]
	if !ok {
		return nil, refusal(http.StatusNotFound, "not_found", "reports are: "+strings.Join(Reports(), ", "), "there is no report %q", name)
	}
	rp, err := a.reporter(r, name, who)
	if err != nil {
		return nil, err
	}
	out := Report{Report: name, From: rp.span.From.UTC(), Until: rp.span.Until.UTC(), Customer: rp.q.Get("customer"),
		Department: rp.q.Get("department"), Tables: []ReportTable{}}
	err = a.o.Store.View(r.Context(), func(tx store.Tx) error {
		out.Tables = []ReportTable{}
		rp.tx, rp.read, rp.err, rp.calendars = tx, 0, nil, map[string]*sla.Calendar{}
		if err := rp.readAgents(tx); err != nil {
			return err
		}
		if err := fill(rp, &out); err != nil {
			return err
		}
		out.Tickets = rp.read
		return rp.err
	})
	if err != nil {
		return nil, fmt.Errorf("report %s: %w", name, err)
	}
	if rp.q.Get("format") != "csv" {
		return out, nil
	}
	b, err := out.csv()
	if err != nil {
		return nil, fmt.Errorf("report %s: %w", name, err)
	}
	return Download{Name: name + ".csv", Size: int64(len(b)), Media: MediaCSV, Body: io.NopCloser(bytes.NewReader(b))}, nil
}

// reporter reads what a report is asked for: from and until are days or RFC 3339; the present month when left out.
func (a *API) reporter(r *http.Request, name string, who fleet.Operator) (*reporter, error) {
	known := []string{"from", "until", "customer", "department", "format", "zone"}
	if name == "lifecycle" {
		known = append(known, "due")
	}
	q, err := query(r, known...)
	if err != nil {
		return nil, err
	}
	if f := q.Get("format"); f != "" && f != "csv" && f != "json" {
		return nil, badRequest("formats are: json, csv", "format: there is no format %q", f)
	}
	rp := &reporter{api: a, ctx: r.Context(), s: a.sight(who), q: q, now: a.o.Now(), zone: time.UTC}
	if z := q.Get("zone"); z != "" {
		if rp.zone, err = fleet.LoadZone(z); err != nil {
			return nil, badRequest("name it like Europe/London", "zone: %v", err)
		}
	}
	local := rp.now.In(rp.zone)
	from, until := time.Date(local.Year(), local.Month(), 1, 0, 0, 0, 0, rp.zone), rp.now
	if name == "lifecycle" {
		from = time.Date(local.Year(), 1, 1, 0, 0, 0, 0, rp.zone)
		until = from.AddDate(1, 0, 0)
	}
	if rp.span.From, err = dayOf(q, "from", rp.zone, from); err != nil {
		return nil, err
	}
	if rp.span.Until, err = dayOf(q, "until", rp.zone, until); err != nil {
		return nil, err
	}
	if !rp.span.Until.After(rp.span.From) {
		return nil, badRequest("say a day after `from`; it is not included", "until: got %s, from is %s",
			rp.span.Until.Format(time.RFC3339), rp.span.From.Format(time.RFC3339))
	}
	if c := q.Get("customer"); c != "" {
		if _, err := a.findCustomer(rp.s, c); err != nil {
			return nil, err
		}
	}
	if d := q.Get("department"); d != "" {
		if _, err := a.findDepartment(rp.s, d); err != nil {
			return nil, err
		}
	}
	return rp, nil
}

// dayOf reads a day, which begins at midnight of the zone, or a time.
func dayOf(q url.Values, name string, zone *time.Location, fallback time.Time) (time.Time, error) {
	s := q.Get(name)
	if s == "" {
		return fallback, nil
	}
	if d := fleet.Date(s); d.Valid() {
		return d.Start(zone), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, badRequest("write it as 2026-11-01 or 2026-11-01T00:00:00Z", "%s: got %q", name, s)
	}
	return at, nil
}

// has tells whether a customer is in the report.
func (rp *reporter) has(id string) bool { return rp.s.customer(id) && rp.asked(id, rp.s.deps[id]) }

// hasTicket tells whether a ticket is in the report: by the department that it was opened under.
func (rp *reporter) hasTicket(t ticket.Ticket) bool {
	return rp.s.sees(t) && rp.asked(t.Customer, cmp.Or(t.Facts[ticket.FactDepartment], rp.s.deps[t.Customer]))
}

// asked tells whether the report is narrowed to something else than a customer and its department.
func (rp *reporter) asked(customer, department string) bool {
	c, d := rp.q.Get("customer"), rp.q.Get("department")
	return (c == "" || c == customer) && (d == "" || department == d || customer == d)
}

// tickets are those of the report that f selects, one at a time: none is kept. A fault ends them and is kept in err.
func (rp *reporter) tickets(f store.TicketFilter) iter.Seq[ticket.Ticket] {
	f.Customer, f.Scope = rp.q.Get("customer"), rp.s.scope()
	return func(yield func(ticket.Ticket) bool) {
		if rp.err != nil {
			return
		}
		rp.err = rp.tx.EachTicket(f, func(t ticket.Ticket) error {
			if !rp.hasTicket(t) {
				return nil
			}
			rp.read++
			if !yield(t) || rp.err != nil {
				rp.fails(errEnough)
			}
			return rp.err
		})
		if errors.Is(rp.err, errEnough) {
			rp.err = nil
		}
	}
}

// fails keeps the first fault.
func (rp *reporter) fails(err error) {
	if rp.err == nil {
		rp.err = err
	}
}

// errEnough ends the reading of tickets.
var errEnough = errors.New("no further ticket is wanted")

// received are the tickets that were received in the span: none of them was opened before it began.
func (rp *reporter) received() iter.Seq[ticket.Ticket] {
	return rp.tickets(store.TicketFilter{OpenedFrom: rp.span.From, During: rp.span})
}

// find is a ticket of the report.
func (rp *reporter) find(id string) (ticket.Ticket, bool) {
	t, err := rp.tx.Ticket(id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		rp.fails(err)
	}
	return t, err == nil && rp.hasTicket(t)
}

// hours is the calendar that a ticket goes by, nil where none is.
func (rp *reporter) hours(t ticket.Ticket) *sla.Calendar {
	cal, known := rp.calendars[t.Terms]
	if known {
		return cal
	}
	res, err := rp.api.o.Terms.TermsOf(rp.tx, t)
	if err != nil {
		rp.fails(err)
	}
	cal = res.Ticket.Hours()
	rp.calendars[t.Terms] = cal
	return cal
}

// readAgents notes since when assets and sites have an agent.
func (rp *reporter) readAgents(tx store.Tx) error {
	agents, err := tx.Agents()
	rp.watched = map[string]time.Time{}
	for _, g := range agents {
		if !rp.heard(g) {
			continue
		}
		for _, key := range []string{g.Asset, g.Customer + "/" + g.Site} {
			if at, ok := rp.watched[key]; !ok || g.EnrolledAt.Before(at) {
				rp.watched[key] = g.EnrolledAt
			}
		}
	}
	return err
}

// heard tells whether an agent ever reported: one that was only enrolled watches nothing.
func (rp *reporter) heard(g fleet.Agent) bool {
	if !g.HeardAt.IsZero() {
		return true
	}
	_, ok := rp.api.o.Window.Asset(g.Asset)
	return ok
}

// watchedFrom is since when an asset is watched: by its agent, or, as a device, by one of its site. Zero for never.
func (rp *reporter) watchedFrom(as fleet.Asset) time.Time {
	if as.Kind == fleet.Device {
		return rp.watched[as.Customer+"/"+as.Site]
	}
	return rp.watched[as.Name]
}

func (rp *reporter) sla(out *Report) error {
	rep := ticket.ReportSLA(rp.received(), ticket.SLAQuestion{Span: rp.span, Now: rp.now, Hours: rp.hours, Find: rp.find})
	if !rp.s.inside() {
		for i := range rep.Breaches {
			rep.Breaches[i].Reason = ""
		}
		for i := range rep.Lines {
			rep.Lines[i].Ladder = 0
		}
	}
	out.SLA = &rep
	lines := ReportTable{Title: "Targets", Columns: []string{"customer", "priority", "clock", "count", "met", "breached", "waived", "not needed",
		"cancelled", "running", "informing", "ladder", "median", "p90", "longest"}, Rows: [][]string{}}
	for _, l := range out.SLA.Lines {
		lines.Rows = append(lines.Rows, []string{l.Customer, l.Priority, l.Clock, strconv.Itoa(l.Count), strconv.Itoa(l.Met),
			strconv.Itoa(l.Breached), strconv.Itoa(l.Waived), strconv.Itoa(l.NotNeeded), strconv.Itoa(l.Cancelled), strconv.Itoa(l.Running),
			strconv.Itoa(l.Informing), strconv.Itoa(l.Ladder), lastedIf(l.Median), lastedIf(l.P90), lastedIf(l.Longest)})
	}
	missed := ReportTable{Title: "Breaches", Columns: []string{"ticket", "customer", "priority", "clock", "target", "breached at", "met at", "reason"},
		Rows: [][]string{}}
	for _, b := range rep.Breaches {
		missed.Rows = append(missed.Rows, []string{b.Number, b.Customer, b.Priority, b.Clock, b.Target, rp.stamp(&b.At), rp.stamp(b.MetAt), b.Reason})
	}
	out.Tables = append(out.Tables, lines, missed)
	return nil
}

func (rp *reporter) firstToKnow(out *Report) error {
	out.FirstToKnow = ticket.ReportFirstToKnow(rp.received(), rp.span)
	t := ReportTable{Title: "First to know", Columns: []string{"customer", "monitoring", "person", "rate"}, Rows: [][]string{}}
	for _, f := range out.FirstToKnow {
		name := f.Customer
		if name == "" {
			name = "all"
		}
		t.Rows = append(t.Rows, []string{name, strconv.Itoa(f.Monitoring), strconv.Itoa(f.Person), share(f.Rate)})
	}
	out.Tables = append(out.Tables, t)
	return nil
}

func (rp *reporter) nps(out *Report) error {
	out.NPS = ticket.ReportNPS(rp.tickets(store.TicketFilter{During: rp.span}), rp.span, rp.zone)
	t := ReportTable{Title: "NPS", Columns: []string{"period", "answers", "promoters", "passives", "detractors", "score"}, Rows: [][]string{}}
	for _, n := range out.NPS {
		score := ""
		if n.Score != nil {
			score = strconv.FormatFloat(*n.Score, 'f', 1, 64)
		}
		t.Rows = append(t.Rows, []string{n.Period, strconv.Itoa(n.Answers), strconv.Itoa(n.Promoters), strconv.Itoa(n.Passives), strconv.Itoa(n.Detractors), score})
	}
	out.Tables = append(out.Tables, t)
	return nil
}

func (rp *reporter) availability(out *Report) error {
	out.RestsOn = ticket.AvailabilityRestsOn
	out.Availability = ticket.ReportAvailability(rp.environments(), rp.tickets(store.TicketFilter{During: rp.span}), rp.span, rp.zone, rp.now)
	t := ReportTable{Title: "Availability", Columns: []string{"customer", "environment", "month", "available", "down", "unknown", "maintenance"}, Rows: [][]string{}}
	for _, v := range out.Availability {
		t.Rows = append(t.Rows, []string{v.Customer, v.Environment, v.Month, share(v.Available), lasted(v.Down), lasted(v.Unknown), lasted(v.Maintenance)})
	}
	out.Tables = append(out.Tables, t)
	return nil
}

// environments are those of the report's customers, with their assets.
func (rp *reporter) environments() []ticket.Environment {
	assets := slices.DeleteFunc(slices.Clone(rp.api.o.Fleet.Assets()), func(a fleet.Asset) bool { return !rp.has(a.Customer) })
	return policy.Environments(assets, rp.watchedFrom)
}

// stamp is a time in the report's zone, empty for none.
func (rp *reporter) stamp(at *time.Time) string {
	if at == nil || at.IsZero() {
		return ""
	}
	return at.In(rp.zone).Format(time.RFC3339)
}

// lasted is seconds as h:mm:ss, which spreadsheets read as a duration.
func lasted(seconds float64) string {
	n := int64(seconds + 0.5)
	return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
}

// lastedIf is lasted, empty for what is not known.
func lastedIf(seconds *float64) string {
	if seconds == nil {
		return ""
	}
	return lasted(*seconds)
}

// share is a share of 1 in percent with two digits, empty for what is not known.
func share(of *float64) string {
	if of == nil {
		return ""
	}
	return strconv.FormatFloat(*of*100, 'f', 2, 64) + " %"
}
