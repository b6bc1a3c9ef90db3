package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
)

// Ending is a device or an application whose maker's support ends, or has ended.
type Ending struct {
	// Responsible is the ID of who manages it, Name their name; empty when nobody does.
	Responsible string `json:"responsible"`
	Name        string `json:"name"`
	Customer    string `json:"customer"`
	// Kind is host, device or application; What its name.
	Kind    string `json:"kind"`
	What    string `json:"what"`
	Version string `json:"version"`
	// SupportEnds is the last day; Ended tells that it is over.
	SupportEnds fleet.Date `json:"support_ends"`
	Ended       bool       `json:"ended"`
	// Due is the day before which a decision is due; empty when nobody said.
	Due fleet.Date `json:"due"`

	// Site is that of a host or a device.
	Site string `json:"-"`
}

// applicationKind is the Kind of an application.
const applicationKind = "application"

// Endings are all of a customer's assets and applications of which an end of support is declared, as they are declared.
func Endings(c fleet.Customer) []Ending {
	var out []Ending
	for _, a := range c.Applications {
		if a.SupportEnds != "" {
			out = append(out, Ending{Responsible: a.Responsible, Customer: c.ID, Kind: applicationKind, What: a.Name, Version: a.Version,
				SupportEnds: a.SupportEnds})
		}
	}
	for _, site := range c.Sites {
		for _, a := range site.Assets {
			if a.SupportEnds != "" {
				out = append(out, Ending{Responsible: a.Responsible, Customer: c.ID, Kind: string(cmp.Or(a.Kind, fleet.Host)), What: a.Name,
					Version: a.Versions["os"], SupportEnds: a.SupportEnds, Site: site.ID})
			}
		}
	}
	return out
}

// Year is the budget year that a list made on a day is for: the twelve months that begin with the next budget date. due is
// that date, before which the list's decisions are due, last the year's last day. Where no set says a budget date (l is
// nil) due is empty and the year is the calendar year of the day.
func (l *Lifecycle) Year(today fleet.Date) (due, last fleet.Date) {
	day, err := time.Parse(time.DateOnly, string(today))
	if err != nil {
		return "", ""
	}
	if l == nil {
		return "", fleet.DateOf(time.Date(day.Year(), time.December, 31, 0, 0, 0, 0, time.UTC), time.UTC)
	}
	at, err := time.Parse("01-02", l.Budget)
	if err != nil {
		return "", "" // a check refuses it
	}
	begins := time.Date(day.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	if begins.Before(day) {
		begins = time.Date(day.Year()+1, at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	}
	ends := time.Date(begins.Year()+1, at.Month(), at.Day()-1, 0, 0, 0, 0, time.UTC)
	return fleet.DateOf(begins, time.UTC), fleet.DateOf(ends, time.UTC)
}

// LifecycleQuestion is what a report of the ends of support is asked for.
type LifecycleQuestion struct {
	Customers []fleet.Customer
	// Person finds who manages something.
	Person func(id string) (fleet.Person, bool)
	// Of is what a customer's sets say of it, nil for nothing.
	Of func(customer string) (*Lifecycle, error)
	// Today is the day of asking.
	Today fleet.Date
	// Last is the last day that is looked at, Due the budget date; empty ones are those of the customer's sets: see
	// Lifecycle.Year.
	Last, Due fleet.Date
}

// ReportLifecycle is what is out of support or will be by the last day, by responsible person, then by day. last is the
// latest day that was looked at. It fails when Of does.
func ReportLifecycle(q LifecycleQuestion) (out []Ending, last fleet.Date, err error) {
	out = []Ending{}
	for _, c := range q.Customers {
		of, err := q.Of(c.ID)
		if err != nil {
			return nil, "", err
		}
		due, until := of.Year(q.Today)
		due, until = cmp.Or(q.Due, due), cmp.Or(q.Last, until)
		last = max(last, until)
		for _, e := range Endings(c) {
			if e.SupportEnds > until {
				continue
			}
			e.Ended, e.Due = e.SupportEnds < q.Today, due
			if p, ok := q.Person(e.Responsible); ok {
				e.Name = p.Name
			}
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(x, y Ending) int {
		return cmp.Or(strings.Compare(x.Responsible, y.Responsible), strings.Compare(string(x.SupportEnds), string(y.SupportEnds)),
			strings.Compare(x.Customer, y.Customer), strings.Compare(x.What, y.What))
	})
	return out, last, nil
}
