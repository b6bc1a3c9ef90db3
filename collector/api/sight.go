package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// sight is what one operator sees. What it does not show does not exist for them: lists leave it out, and asking for it by
// name is answered as for a name that nothing has.
type sight struct {
	who  fleet.Operator
	deps map[string]string // the department that owns each customer
	ids  []string          // the customers, in the directory's order
}

func (a *API) sight(who fleet.Operator) sight {
	s := sight{who: who, deps: map[string]string{}}
	for _, c := range a.o.Fleet.Customers() {
		s.deps[c.ID] = c.Department
		s.ids = append(s.ids, c.ID)
	}
	return s
}

// all tells that nothing is kept from the operator.
func (s sight) all() bool { return s.who.SeesAll() }

// customer tells whether what belongs to a customer exists for the operator.
func (s sight) customer(id string) bool { return s.who.Sees(id, s.deps[id]) }

// department tells whether a department exists for the operator: their own, or that of a customer that they see.
func (s sight) department(id string) bool {
	if s.all() || id != "" && s.who.Scope.Department == id {
		return true
	}
	return id != "" && slices.ContainsFunc(s.ids, func(c string) bool { return s.deps[c] == id && s.customer(c) })
}

// sees tells whether a ticket exists for the operator. A ticket stays with the department that owned its customer as it was
// opened: it neither comes nor goes when the customer moves to another. One that was nobody's is its customer's.
func (s sight) sees(t ticket.Ticket) bool {
	return s.who.Sees(t.Customer, cmp.Or(t.Facts[ticket.FactDepartment], s.deps[t.Customer]))
}

// scope is the store's form of the sight: nil for everything.
func (s sight) scope() *store.Scope {
	if s.all() {
		return nil
	}
	out := &store.Scope{Department: s.who.Scope.Department}
	for _, id := range s.ids {
		switch only := s.who.Scope.Customer; {
		case s.customer(id):
			out.Customers = append(out.Customers, id)
		case out.Department != "" && (only == "" || only == id):
			out.Former = append(out.Former, id)
		}
	}
	return out
}

// inside tells that internal notes and notices may be seen; record that the record of evidence may: by who works on it.
func (s sight) inside() bool { return s.who.May(fleet.MaySeeInternal) }
func (s sight) record() bool { return s.inside() || s.who.May(fleet.MayWork) }

// noTicket is the one answer for a ticket that is not there, and for one that is not there for who asks.
func noTicket(ref string) error {
	return refusal(http.StatusNotFound, "not_found", "`watchbill ticket list --all` lists them", "there is no ticket %q", ref)
}

// ticket finds a ticket that the operator sees.
func (s sight) ticket(tx store.Tx, ref string) (ticket.Ticket, error) {
	t, err := findTicket(tx, ref)
	if err == nil && !s.sees(t) {
		return ticket.Ticket{}, noTicket(ref)
	}
	return t, err
}

// publicKinds are the events that who does not see internal notes is shown: what became of the ticket and what was agreed,
// none of how the house works. An event of a kind that is not here stays inside.
var publicKinds = []ticket.Kind{
	ticket.Opened, ticket.Acknowledged, ticket.Started, ticket.WaitBegan, ticket.WaitOver, ticket.Resolved, ticket.Reopened,
	ticket.Closed, ticket.Merged, ticket.PriorityChanged, ticket.HandoffTaken, ticket.Promised, ticket.Estimated, ticket.Quoted,
	ticket.Ordered, ticket.Approved, ticket.Sent, ticket.Rated, ticket.Rejected, ticket.Verified, ticket.Linked, ticket.ClockMet,
	ticket.ClockBreached, ticket.MajorMarked,
}

// toldOutside are those of them of which the client is told what was agreed; wordsOutside those whose text was written for
// the client, or by it.
var (
	toldOutside = []ticket.Kind{
		ticket.Promised, ticket.Estimated, ticket.Quoted, ticket.Ordered, ticket.Approved, ticket.Rated, ticket.Rejected, ticket.Sent,
	}
	wordsOutside = []ticket.Kind{ticket.Rated, ticket.Sent}
)

// row is a ticket's row as the operator may see it.
func (s sight) row(tx store.Tx, row TicketRow) (TicketRow, error) {
	links, err := s.links(tx, row.Links)
	if err != nil {
		return row, err
	}
	row.Links = links
	if row.Gathers != nil && !s.all() {
		row.Gathers = nil // a storm is of many customers
	}
	if row.StormID != "" && row.Storm != "" {
		head, err := tx.Ticket(row.StormID)
		if err != nil || !s.sees(head) {
			row.Storm, row.StormID = "", ""
		}
	}
	if row.Children, err = s.children(tx, row.Children); err != nil {
		return row, err
	}
	if row.Parent, err = s.link(tx, row.Parent); err != nil {
		return row, err
	}
	if row.Merged, err = s.link(tx, row.Merged); err != nil {
		return row, err
	}
	if s.inside() {
		return row, nil
	}
	row.Key, row.Flap, row.Because, row.Refusals, row.Told = "", nil, "", 0, []ticket.Told{}
	row.Facts, row.Waivers = ticket.Facts{}, []ticket.Waiver{}
	row.Drafts = sentOnly(row.Drafts, s.who.May(fleet.MayDraft))
	row.ResolvedBy = outsideActor(row.ResolvedBy)
	row.withoutWords(s.who.Name)
	if row.Counted != nil {
		row.Counted.Newest = []string{}
	}
	for i := range row.Alerts {
		a := &row.Alerts[i]
		a.ID, a.Name, a.Source, a.Expr, a.Labels, a.Unknown = "", "", "", "", map[string]string{}, ""
		a.Annotations = map[string]string{}
	}
	return row, nil
}

// withoutWords leaves out of a row what people wrote for the house, but for what who reads it wrote.
func (row *TicketRow) withoutWords(who string) {
	row.Resolution = ""
	if w := row.Waits; w != nil {
		row.Waits = &ticket.Wait{Reason: w.Reason, Since: w.Since}
	}
	if h := row.Handoff; h != nil {
		out := *h
		out.Reason = ""
		row.Handoff = &out
	}
	row.Approvals, row.Promises = slices.Clone(row.Approvals), slices.Clone(row.Promises)
	for i, ap := range row.Approvals {
		if ap.By != who {
			row.Approvals[i].Text = ""
		}
	}
	for i := range row.Promises {
		row.Promises[i].Reason = ""
	}
	row.Clocks = slices.Clone(row.Clocks)
	for i := range row.Clocks {
		row.Clocks[i].withoutWords()
	}
}

// withoutWords leaves out of a clock until when a manager let it pass, and the words with which it ended.
func (c *Clock) withoutWords() { c.EndReason, c.WaivedUntil = "", nil }

// outsideActor is who did something, without the name of a rule.
func outsideActor(a *ticket.Actor) *ticket.Actor {
	if a == nil || a.Kind == ticket.Person {
		return a
	}
	return &ticket.Actor{Kind: ticket.House, Name: "watchbill"}
}

func sentOnly(drafts []ticket.Draft, all bool) []ticket.Draft {
	if all {
		return drafts
	}
	return slices.DeleteFunc(slices.Clone(drafts), func(d ticket.Draft) bool { return d.SentAt.IsZero() })
}

// seesTicket tells whether the ticket with an ID exists for the operator.
func (s sight) seesTicket(tx store.Tx, id string) (bool, error) {
	if s.all() {
		return true, nil
	}
	t, err := findTicket(tx, id)
	if e := explain(err); err != nil && e.Status == http.StatusNotFound {
		return false, nil
	}
	return err == nil && s.sees(t), err
}

func (s sight) links(tx store.Tx, links []ticket.Link) ([]ticket.Link, error) {
	out := []ticket.Link{}
	for _, l := range links {
		ok, err := s.seesTicket(tx, l.Ticket)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, l)
		}
	}
	return out, nil
}

func (s sight) link(tx store.Tx, l *ticket.Link) (*ticket.Link, error) {
	if l == nil {
		return nil, nil
	}
	ok, err := s.seesTicket(tx, l.Ticket)
	if !ok {
		return nil, err
	}
	return l, err
}

func (s sight) children(tx store.Tx, all []ticket.Child) ([]ticket.Child, error) {
	out := []ticket.Child{}
	for _, c := range all {
		ok, err := s.seesTicket(tx, c.ID)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, c)
		}
	}
	return out, nil
}

// timeline is the events that the operator may see, in order, and whether any was left out or shortened. Who sees all gets
// them as they were sealed.
func (s sight) timeline(tx store.Tx, events []ticket.Event) ([]ticket.Event, bool, error) {
	if s.all() && s.inside() {
		return orEmpty(events), false, nil
	}
	out, cut := []ticket.Event{}, false
	for _, e := range events {
		if e.Link != nil {
			ok, err := s.seesTicket(tx, e.Link.Ticket)
			if err != nil {
				return nil, false, err
			}
			if !ok {
				cut = true
				continue
			}
		}
		if e.Detail != nil && e.Detail.Child != nil {
			ok, err := s.seesTicket(tx, e.Detail.Child.ID)
			if err != nil {
				return nil, false, err
			}
			if !ok {
				cut = true
				continue
			}
		}
		if s.inside() {
			out = append(out, e)
			continue
		}
		cut = true
		if !slices.Contains(publicKinds, e.Kind) && !e.IsReply() && e.Actor.Name != s.who.Name {
			continue
		}
		out = append(out, s.outside(e))
	}
	return out, cut, nil
}

// outside is an event without what stays inside: alerts, clocks' grounds, facts, and texts that no person wrote for it.
func (s sight) outside(e ticket.Event) ticket.Event {
	out := ticket.Event{Seq: e.Seq, At: e.At, Kind: e.Kind, Actor: *outsideActor(&e.Actor), Link: e.Link,
		Priority: e.Priority, Severity: e.Severity}
	own := e.Actor.Kind == ticket.Person && e.Actor.Name == s.who.Name
	if own || e.IsReply() || slices.Contains(wordsOutside, e.Kind) || e.Kind == ticket.Opened && e.Actor.Kind == ticket.Person {
		out.Text = e.Text
	}
	if d := e.Detail; d != nil && (own || slices.Contains(toldOutside, e.Kind)) {
		out.Detail = &ticket.Detail{What: d.What, At: d.At, Until: d.Until, Approval: d.Approval, Quote: d.Quote,
			Draft: d.Draft, Rating: d.Rating, Promise: d.Promise}
		if ap := d.Approval; ap != nil && !own {
			short := *ap
			short.Text = ""
			out.Detail.Approval = &short
		}
		if p := d.Promise; p != nil && !own {
			short := *p
			short.Reason = ""
			out.Detail.Promise = &short
		}
	}
	return out
}

// recordOutside is a record that is kept from who may not see it.
func recordOutside() ticket.Record {
	none := ticket.PartRecord{None: "none is shown: who works on the ticket keeps it", Entries: []ticket.Entry{}}
	return ticket.Record{Time: none, Symptom: none, Users: none, Errors: none, Actions: none}
}

// recordWithoutNotes leaves out of the actions what was only written down as a note.
func recordWithoutNotes(r ticket.Record) ticket.Record {
	r.Actions.Entries = slices.DeleteFunc(slices.Clone(r.Actions.Entries), func(e ticket.Entry) bool {
		return strings.HasSuffix(e.Source, ", "+string(ticket.Noted))
	})
	return r
}
