package collector

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// pipeline is the only glue between the pure rooms and the store:
//
//	transitions ─► evidence (reads) ─► queue ─► one transaction: alert states, storms, tickets, evidence, messages ─► wake
//
// It saves before it sends, and whoever waits for it is told only after the commit.
type pipeline struct {
	store store.Store
	fleet *fleet.Registry
	// agreements are the terms of tickets, directory and oncall who can be told.
	agreements *agreements
	directory  directory
	oncall     *oncall
	zones      *zones
	evidence   gatherer
	// pages are when people were told last.
	paging sync.Mutex
	pages  route.Pages
	// planned is how far what comes again was planned; linedUp says that every open ticket has a place in the queue.
	planned planning
	linedUp bool
	// behind is since when more deadlines are due than one look takes; zero when none are left over.
	behind time.Time
	// commits are those that wait to be written together; thin is the evidence that was left out while many came.
	commits committer
	thin    thin
	mutes   mutes
	// asks is what evidence is wanted of agents.
	asks asks
	// audience is replaced on reload.
	audience atomic.Pointer[audience]
	// line tells this life of the store from what was before it was restored; empty when it never was.
	line string
	wake func()
	// out is what tells Alertmanagers.
	out     *alertsOut
	metrics *metrics
	log     *slog.Logger
	now     func() time.Time
}

// outcome is what one transaction did to tickets, for metrics and the log.
type outcome struct {
	changes []ticket.Change
	alerts  []incident.Alert
	// out are the alerts that Alertmanagers are to hear of.
	out []outgoing
	// owed are alerts whose tickets want evidence that was left out.
	owed []incident.Alert

	// together: several commits share the transaction, which keeps the storms at its end. binding: it is about to bind
	// tickets to storms.
	together, binding bool
	// running: what follows in a commit for one ticket is gathered in run, which is nil when nothing is. counted are the IDs of
	// alerts that came and were counted, not listed.
	running bool
	run     *run
	counted []string
	// last is the newest ticket of incidents, as far as they were looked at; flips are those that will open one, in the
	// order of their commits, and into the storms that those that belong to one are part of.
	last  map[string]newest
	flips []incident.Flip
	into  map[string]ticket.Link
	// storms are those that were looked at, by ID; changed are to be kept.
	storms  map[string]*incident.Storm
	changed map[string]bool
	// begun are the IDs of those that began.
	begun []string
	// pages are when people were told last, with what this transaction tells; nil when it tells nobody.
	pages route.Pages
	// looking: it is time alone that brings what is told, and all of one look is told together at its end.
	looking bool
	// said are the notices it makes, by channel and outcome.
	said map[[2]string]int
	// muter is what held alerts back as the transaction began, muted and unmuted are the alerts of which that changed.
	muter          *incident.Muter
	muted, unmuted []string
	// late is the ID of the alert that is being brought to its ticket after it was muted.
	late string
	// paged are the notices to people that it queues.
	paged []page
	// unread are faults of held notices that were put off.
	unread []error
}

func (d *outcome) says(channel, outcome string) {
	if d.said == nil {
		d.said = map[[2]string]int{}
	}
	d.said[[2]string{channel, outcome}]++
}

// newest is an incident's open ticket, or its last when none is open; ok is false when it never had one.
type newest struct {
	ticket.Ticket
	ok bool
}

func (p *pipeline) done(did outcome) {
	now := p.now()
	p.agreements.committed(did.changes)
	p.paged(did)
	p.out.note(did.out, now)
	p.metrics.desk.said(did.said)
	p.metrics.pages.count(did.paged, p.oncall, now)
	for _, c := range did.changes {
		p.metrics.ticket(c)
		for _, n := range c.Notices {
			p.log.Info("ticket", "number", c.Ticket.Number, "what", n.What, "priority", c.Ticket.Priority,
				"customer", c.Ticket.Customer, "asset", c.Ticket.Asset, "text", n.Text)
		}
	}
	for _, a := range did.alerts {
		p.metrics.committed(a, now)
	}
	for _, a := range did.owed {
		p.thin.owe(a)
	}
	p.muted(did)
	for _, id := range did.begun {
		p.metrics.storms.Inc()
		s := did.storms[id]
		p.log.Warn("storm", "number", s.Number, "service", s.Service, "where", s.Reach.String(), "assets", s.Assets)
	}
	if len(did.changes)+len(did.out) > 0 {
		p.wake()
	}
}

// transition is one alert's change inside a transaction.
func (p *pipeline) transition(tx store.Tx, t change, now time.Time, did *outcome) error {
	if t.late != nil {
		return p.unmuteOne(tx, t, now, did)
	}
	if t.Alert.State == rules.Inactive {
		if err := tx.DeleteAlert(t.ID()); err != nil {
			return err
		}
	} else if err := tx.PutAlert(t.state); err != nil {
		return err
	}
	switch {
	case t.fires():
		did.alerts = append(did.alerts, t.alert)
		if muted, err := p.mute(tx, t.alert, now, did); muted || err != nil {
			return err
		}
		return p.fire(tx, t.alert, t.evidence, now, did)
	case t.Alert.State == rules.Inactive: // from pending too: it may have fired before its rule's for was lengthened
		return errors.Join(tx.Unmute(t.ID()), p.end(tx, t.alert, now, did))
	}
	return nil
}

// fire brings a firing alert to the ticket of its incident, or to the one that took that over.
func (p *pipeline) fire(tx store.Tx, a incident.Alert, ev []ticket.Evidence, now time.Time, did *outcome) error {
	if explained, err := p.explained(tx, a); explained || err != nil {
		return err
	}
	key := incident.KeyOf(a).String()
	if did.run != nil && did.run.change.Ticket.State.Open() {
		return p.attach(tx, did.run.change.Ticket, a, ev, now, did)
	}
	if err := p.endRun(tx, did); err != nil { // its ticket was resolved in it
		return err
	}
	last, err := did.newest(tx, key)
	if err != nil {
		return err
	}
	into, merged, err := p.mergedInto(tx, last.Ticket)
	if err != nil {
		return err
	}
	if merged && into.State.Open() {
		return p.attach(tx, into, a, ev, now, did)
	}
	switch incident.Judge(lastOf(last.Ticket, last.ok), now) {
	case incident.Attach:
		return p.attach(tx, last.Ticket, a, ev, now, did)
	case incident.Reopen:
		first, err := did.rebind(last.Ticket, now)
		if err != nil {
			return err
		}
		t := last.Ticket
		if !first.Empty() {
			t = first.Ticket
		}
		c, err := p.come(tx, t, a, ev, now, did)
		return p.append(tx, first.Then(c), err, did)
	case incident.Recur:
		return p.open(tx, a, ev, &last.Ticket, now, did)
	default:
		return p.open(tx, a, ev, nil, now, did)
	}
}

func (p *pipeline) attach(tx store.Tx, t ticket.Ticket, a incident.Alert, ev []ticket.Evidence, now time.Time, did *outcome) error {
	c, err := p.come(tx, t, a, ev, now, did)
	return p.extend(tx, incident.KeyOf(a).String(), c, err, did)
}

// maxMerged bounds how many tickets one was merged into, one after the other.
const maxMerged = 32

// mergedInto is the ticket that took another over, and the one that took that over, and so on; false when none did.
func (p *pipeline) mergedInto(tx store.Tx, t ticket.Ticket) (into ticket.Ticket, merged bool, err error) {
	into = t
	for n := 0; into.Merged != nil && n < maxMerged; n++ {
		if into, err = tx.Ticket(into.Merged.Ticket); err != nil {
			return t, false, err
		}
		merged = true
	}
	return into, merged, nil
}

// newest is the open ticket of an incident, else its last one.
func (d *outcome) newest(tx store.Tx, key string) (newest, error) {
	if n, known := d.last[key]; known {
		return n, nil
	}
	t, ok, err := tx.LastTicket(key)
	if err == nil && ok && !t.State.Open() {
		if open, isOpen, err := tx.OpenTicket(key); err != nil {
			return newest{}, err
		} else if isOpen {
			t = open
		}
	}
	if err != nil {
		return newest{}, err
	}
	n := newest{t, ok}
	if d.together { // what is decided on it is decided in the same transaction
		d.saw(key, n)
	}
	return n, nil
}

func (d *outcome) saw(key string, n newest) {
	if d.last == nil {
		d.last = map[string]newest{}
	}
	d.last[key] = n
}

func lastOf(t ticket.Ticket, ok bool) *incident.Last {
	if !ok {
		return nil
	}
	return &incident.Last{
		Open: t.State.Open(), Closed: t.State == ticket.Shut, ResolvedAt: t.ResolvedAt, ReopenFor: t.ReopenFor,
	}
}

// end tells the ticket that holds an alert that it ended.
func (p *pipeline) end(tx store.Tx, a incident.Alert, now time.Time, did *outcome) error {
	key := incident.KeyOf(a).String()
	if did.run != nil {
		c, err := p.leave(tx, did.run.change.Ticket, a, now)
		return p.extend(tx, key, c, err, did)
	}
	t, err := did.newest(tx, key)
	if err != nil || !t.ok {
		return err
	}
	into, _, err := p.mergedInto(tx, t.Ticket)
	if err != nil {
		return err
	}
	if a.End == incident.Superseded {
		return p.supersede(tx, into, a, now, did)
	}
	c, err := p.leave(tx, into, a, now)
	return p.extend(tx, key, c, err, did)
}

// append writes a change of an existing ticket.
func (p *pipeline) append(tx store.Tx, c ticket.Change, err error, did *outcome) error {
	if err != nil || c.Empty() {
		return err
	}
	if err := tallyChange(tx, c); err != nil {
		return err
	}
	if err := tx.AppendTicket(c.Before, c.Ticket, c.Events); err != nil {
		return err
	}
	return p.follow(tx, c, did)
}

// follow writes what a change brings with it: its terms, evidence bodies, the next deadline, its place in the queue, its
// part in a storm, messages, and the tickets that change or open because of it.
func (p *pipeline) follow(tx store.Tx, c ticket.Change, did *outcome) error {
	ts, err := p.agreements.of(tx, c.Ticket)
	if err != nil {
		return err
	}
	if err := p.agreements.keep(tx, c.Ticket, ts); err != nil {
		return err
	}
	for seq, body := range c.Bodies {
		if err := tx.PutEvidence(c.Ticket.ID, seq, body); err != nil {
			return err
		}
	}
	if err := p.schedule(tx, c.Ticket, ts); err != nil {
		return err
	}
	if err := disband(tx, c); err != nil {
		return err
	}
	did.changes = append(did.changes, c)
	if known, ok := did.last[c.Ticket.Key]; ok && (!known.ok || known.ID == c.Ticket.ID || c.Before == 0) {
		did.last[c.Ticket.Key] = newest{c.Ticket, true}
	}
	folded, err := p.inStorm(tx, c, did)
	if err != nil {
		return err
	}
	if !folded {
		drafts, err := p.notices(tx, c, ts, did)
		if err != nil {
			return err
		}
		if err := p.drafted(tx, c.Ticket, drafts, did); err != nil {
			return err
		}
	}
	return p.pursue(tx, c, did)
}

// schedule notes when the ticket next wants looking at, and where it stands in the queue.
func (p *pipeline) schedule(tx store.Tx, t ticket.Ticket, ts *terms) error {
	at := t.Deadline()
	due, next, err := route.Due(t, ts.Route, ts.Ticket.Hours(), t.UpdatedAt)
	if err != nil { // the rungs that can be placed are told all the same
		p.log.Error("a ladder has rungs that never come", "number", t.Number, "policy", ts.Ticket.Policy, "err", err)
	}
	if len(due) > 0 {
		next = t.UpdatedAt
	}
	if !next.IsZero() && (at.IsZero() || next.Before(at)) {
		at = next
	}
	if err := tx.PutDeadline(t.ID, at); err != nil || !t.State.Open() {
		return err
	}
	return tx.PutPlace(t.ID, route.QueueKey(t, ts.Ticket))
}

// FindTicket finds a ticket by ID or number (WB-1042). store.ErrNotFound when there is none.
func FindTicket(tx store.Tx, ref string) (ticket.Ticket, error) {
	t, err := tx.TicketByNumber(ref)
	if errors.Is(err, store.ErrNotFound) {
		return tx.Ticket(ref)
	}
	return t, err
}

const (
	// deadlineBatch bounds one transaction of deadlines; the rest follow at once.
	deadlineBatch = 256
	// maxPast is how many earlier tickets of an incident a new one tells of.
	maxPast = 5
)

// decisionID names a set of transitions for good: the same ones found again get the same name. It begins with the time, as
// a ticket's ID does with the number.
func decisionID(at time.Time, ts []rules.Transition) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", at.UnixNano())
	for _, t := range ts {
		fmt.Fprintf(h, "%s %s %s %d\n", t.ID(), t.From, t.Alert.State, t.Alert.ActiveAt.UnixNano())
	}
	return fmt.Sprintf("alerts-%016x-%x", uint64(at.UnixNano()), h.Sum(nil)[:16])
}

// ticketID is unique and the same when the closure runs again. It begins with the number, so that the store keeps together
// what opens together: of ten thousand tickets in no order each would lie on pages of its own, all of them to be written.
func ticketID(key string, number int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "ticket %d %s", number, key))
	return fmt.Sprintf("%08x%x", uint32(number), sum[:8])
}
