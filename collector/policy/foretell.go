package policy

import (
	"fmt"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Foretold is the ticket by which the responsible manager is told ahead that the support of something ends.
type Foretold struct {
	Ending
	// ID is the same as long as the asset or application and its last day are: support/asset/web1/2026-10-31.
	ID string
	// At is when the ticket opens, Over when the support is over: nothing is foretold from then on.
	At, Over time.Time

	kind ticket.Type
}

// Foretold are the ends of support of a customer's assets and applications that are told ahead under r: none where no set
// says how long ahead, and by which type of ticket.
func (r Resolved) Foretold(c fleet.Customer) []Foretold {
	if r.Lifecycle == nil {
		return nil
	}
	kind, ok := r.Ticket.Type(r.Lifecycle.Type)
	if !ok {
		return nil
	}
	var out []Foretold
	for _, e := range Endings(c) {
		what := "asset"
		if e.Kind == applicationKind {
			what = applicationKind
		}
		over := e.SupportEnds.Next().Start(zoneOf(c))
		out = append(out, Foretold{Ending: e, ID: fmt.Sprintf("support/%s/%s/%s", what, e.What, e.SupportEnds),
			At: over.Add(-time.Duration(r.Lifecycle.Ahead)), Over: over, kind: kind})
	}
	return out
}

// nobody stands in the fact `responsible` where nobody manages something.
const nobody = "nobody"

// Birth is the ticket: of the type that the set names, one alone for the asset or application and its last day.
func (f Foretold) Birth() ticket.Birth {
	report := ticket.Report{Customer: f.Customer, Site: f.Site, Key: f.ID}
	if f.Kind != applicationKind {
		report.Asset = f.What
	}
	return ticket.Birth{Kind: f.kind.Kind, Type: f.kind.Name, Report: &report,
		Title: fmt.Sprintf("support of %s %s ends on %s", f.Kind, f.What, f.SupportEnds),
		Facts: ticket.Facts{"responsible": or(f.Responsible, nobody)}}
}

// Assign gives the ticket to who is responsible, by whom it is handed to them; false where nobody is.
func (f Foretold) Assign() (a ticket.Action, by ticket.By, ok bool) {
	return ticket.Action{Verb: ticket.Assign, To: f.Responsible, Text: "manages " + f.What},
		ticket.By{Actor: ticket.Actor{Kind: ticket.House, Name: "watchbill"}}, f.Responsible != ""
}
