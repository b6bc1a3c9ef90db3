package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/sla"
)

// How a section targets binds.
const (
	Standard   = "standard"    // every customer of the set
	OfContract = "contract"    // the contract has to bring the targets
	BestEffort = "best-effort" // without a written agreement clocks inform and never breach
)

// What a contract's cover does to a calendar.
const (
	coverAlways  = "always"  // every hour of every day counts
	coverNothing = "targets" // the targets say what it does
)

// calendar is the set's with what the contract says over it; the zero Spec where neither has hours.
func (r *resolver) calendar() sla.Spec {
	s, has := r.winners[sectionCalendar]
	var spec sla.Spec
	if has {
		spec, _ = s.Calendar.spec(s) // Parse found its faults
	}
	changed := r.contractCalendar(&spec)
	if !has && !spec.Always && len(spec.Overlays) == 0 {
		return sla.Spec{}
	}
	if changed {
		spec.Name = strings.TrimPrefix(spec.Name+"/"+r.contract.ID, "/")
	}
	if err := spec.Validate(); err != nil {
		r.fault("the calendar of the contract: "+strings.ReplaceAll(err.Error(), "\n", "; "), "correct zone, region and overlays of the contract")
	}
	return spec
}

// contractCalendar puts what the contract says of hours into a calendar and tells whether it said anything.
func (r *resolver) contractCalendar(spec *sla.Spec) (changed bool) {
	k := r.contract
	took := func(field string) {
		changed = true
		r.out.Sources["calendar."+field] = r.source()
	}
	if spec.Zone == "" {
		spec.Zone = r.customer.Zone
	}
	if k.Zone != "" && k.Zone != spec.Zone {
		spec.Zone = k.Zone
		took("zone")
	}
	if k.Region != "" && k.Region != spec.Region {
		if !slices.Contains(sla.Regions(), k.Region) {
			r.fault(fmt.Sprintf("region %q is none whose holidays are known", k.Region), "write one of "+strings.Join(sla.Regions(), ", "))
			return changed
		}
		spec.Region = k.Region
		took("region")
	}
	for _, o := range k.Overlays {
		overlay, err := overlayOf(o)
		if err != nil {
			r.found = append(r.found, Finding{Where: r.placeOf(o.At), Text: fmt.Sprintf("overlay %s: %v", o.Name, err), Fault: true})
			continue
		}
		spec.Overlays = append(spec.Overlays, overlay)
		took("overlay." + o.Name)
	}
	if k.Cover != "" && r.coverEffect() == coverAlways {
		spec.Always = true
		if spec.Zone == "" {
			spec.Zone = "UTC" // every hour counts in every zone
		}
		took("cover")
	}
	return changed
}

// coverEffect is what the contract's cover does to the hours. A cover that the set does not know is a fault.
func (r *resolver) coverEffect() string {
	s, has := r.winners[sectionCalendar]
	if !has {
		if r.contract.Cover == "24x7" {
			return coverAlways
		}
		r.fault(fmt.Sprintf("cover %q is not known", r.contract.Cover), "write 24x7, or leave it out")
		return coverNothing
	}
	effect, known := s.Calendar.Cover[r.contract.Cover]
	if !known {
		r.fault(fmt.Sprintf("%s does not offer the cover %q", s.Name, r.contract.Cover),
			"it offers "+orNone(slices.Sorted(maps.Keys(s.Calendar.Cover))))
	}
	return effect
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func overlayOf(o fleet.Overlay) (sla.Overlay, error) {
	out := sla.Overlay{Name: o.Name, Holidays: o.Holidays}
	var err error
	if out.From, err = dateOf(string(o.From)); err != nil {
		return out, fmt.Errorf("from: %w", err)
	}
	if out.Until, err = dateOf(string(o.Until)); err != nil {
		return out, fmt.Errorf("until: %w", err)
	}
	hours := map[string][]string{}
	for days, spans := range o.Hours {
		hours[days] = spans
	}
	if out.Hours, err = sla.ParseWeek(hours); err != nil {
		return out, fmt.Errorf("hours: %w", err)
	}
	return out, nil
}

func dateOf(text string) (sla.Date, error) {
	if text == "" {
		return sla.Date{}, nil
	}
	return sla.ParseDate(text)
}

// spec is a set's calendar as clocks read it. The findings are what is wrong with it, each at its line.
func (c *Calendar) spec(s Set) (sla.Spec, []Finding) {
	var found []Finding
	fault := func(at, what string, err error) {
		for _, e := range parts(err) {
			found = append(found, Finding{Where: at, Text: fmt.Sprintf("%s: %v", what, e), Fault: true})
		}
	}
	out := sla.Spec{Name: s.Name, Version: s.Version, Zone: c.Zone, Always: c.Always, Region: c.Region}
	if c.Version != "" {
		out.Version = c.Version
	}
	var err error
	out.Hours, err = weekOf(c.Hours)
	fault(c.line("hours"), "calendar.hours", err)
	for _, list := range []struct {
		key  string
		days []Day
		into *[]sla.Day
	}{{"add", c.Add, &out.Add}, {"remove", c.Remove, &out.Remove}} {
		for _, d := range list.days {
			date, err := sla.ParseDate(d.Date)
			fault(d.At, "calendar."+list.key, err)
			*list.into = append(*list.into, sla.Day{Date: date, Name: d.Name})
		}
	}
	for _, o := range c.Overlays {
		overlay := sla.Overlay{Name: o.Name, Holidays: o.Holidays}
		overlay.From, err = dateOf(o.From)
		fault(o.At, "calendar.overlays: from", err)
		overlay.Until, err = dateOf(o.Until)
		fault(o.At, "calendar.overlays: until", err)
		overlay.Hours, err = weekOf(o.Hours)
		fault(o.At, "calendar.overlays: hours", err)
		out.Overlays = append(out.Overlays, overlay)
	}
	if len(found) == 0 {
		for _, err := range parts(out.Validate()) {
			key, _, _ := strings.Cut(err.Error(), ":")
			fault(c.line(key), "calendar", err)
		}
	}
	return out, found
}

// parts are the errors that were joined, or the one.
func parts(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// stands keeps where a key stands.
func (c *Calendar) stands(key, at string) {
	if c.Lines == nil {
		c.Lines = map[string]string{}
	}
	c.Lines[key] = at
}

// line is where a key stands, the calendar's own place where it does not.
func (c *Calendar) line(key string) string {
	if at := c.Lines[key]; at != "" {
		return at
	}
	return c.At
}

func weekOf(hours map[string]Words) (sla.Week, error) {
	plain := map[string][]string{}
	for days, spans := range hours {
		plain[days] = spans
	}
	return sla.ParseWeek(plain)
}

// never is when an entitlement begins that has not begun: an order without payment.
var never = time.Date(2199, time.December, 31, 0, 0, 0, 0, time.UTC)

// entitled is when the customer's support begins: the day that the contract says, otherwise the later of order and initial
// payment, in the contract's zone, else the calendar's, else the customer's. Zero where the contract says nothing of it.
func (r *resolver) entitled() time.Time {
	k := r.contract
	day := k.Entitled
	switch {
	case day != "":
	case k.Ordered == "" && k.Paid == "":
		return time.Time{}
	case k.Ordered == "" || k.Paid == "":
		r.warn("the contract is %s: no ticket has targets before it is both", map[bool]string{true: "ordered and not paid", false: "paid and not ordered"}[k.Paid == ""])
		return never
	default:
		day = max(k.Ordered, k.Paid)
	}
	for _, name := range []string{k.Zone, r.customer.Zone, r.out.Ticket.Calendar.Zone} {
		if zone, err := fleet.LoadZone(name); name != "" && err == nil {
			return day.Start(zone).UTC()
		}
	}
	return day.Start(time.UTC)
}

// needHours finds targets that count by a calendar where there is none.
func (r *resolver) needHours(s Set) {
	if r.out.Ticket.Calendar.Name != "" {
		return
	}
	for _, t := range r.out.Ticket.Targets {
		if !t.Target.NeedsCalendar() {
			continue
		}
		r.fault(fmt.Sprintf("%s of %s counts by a calendar (%s) and there is none", t.Target.Clock, t.Source, t.Target.Text()),
			"give the set a calendar, name a set that has one, or give the contract hours: zone and an overlay")
	}
}

// demand finds what the contract has to bring and what it may not.
func (r *resolver) demand(s Set) {
	k := r.contract
	switch {
	case s.Agreement == OfContract:
		r.demandTargets(s)
	case s.Agreement == BestEffort && !k.Agreed():
		if k.Cover != "" {
			r.refused = append(r.refused, r.withoutAgreement(s, r.where, "cover", "take it out"))
		}
		if k.OnCall {
			r.refused = append(r.refused, r.withoutAgreement(s, r.where, "oncall", "take it out"))
		}
		for _, o := range k.Overlays {
			r.refused = append(r.refused, r.withoutAgreement(s, r.placeOf(o.At), "overlay "+o.Name, "take it out"))
		}
		how := "best effort: no clock breaches"
		if r.customer.Instructions != "" {
			how += "; the customer's instructions: " + string(r.customer.Instructions)
		}
		r.notes = append(r.notes, "there is no written agreement: "+how)
	}
}

func (r *resolver) withoutAgreement(s Set, where, what, or string) Finding {
	return Finding{Where: where, Text: fmt.Sprintf("%s without a written agreement: under %s a customer without one is best effort", what, s.Name),
		Fix: "name the agreement with `agreement: NUMBER`, or " + or, Fault: true}
}

// demandTargets finds priorities for which the contract brings no target.
func (r *resolver) demandTargets(s Set) {
	given := map[string]bool{}
	for _, t := range r.contract.Targets {
		given[t.Priority] = true
	}
	if len(given) == 0 && len(s.Targets) == 0 {
		r.refused = append(r.refused, Finding{Where: r.where, Text: fmt.Sprintf("no targets: %s takes them from the contract", s.Name),
			Fix: "add `targets: [{priority: " + s.Priorities[0] + ", clock: response, within: \"DURATION,MODE\"}]`", Fault: true})
		return
	}
	for _, p := range s.Priorities {
		if !given[p] {
			r.warn("the contract has no target for %s: its tickets have no clocks", p)
		}
	}
}
