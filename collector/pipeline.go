package collector

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/policy"
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
	store    store.Store
	fleet    *fleet.Registry
	policy   policy.Set
	evidence gatherer
	// commits are those that wait to be written together; thin is the evidence that was left out while many came.
	commits committer
	thin    thin
	// asks is what evidence is wanted of agents.
	asks asks
	// audience is replaced on reload.
	audience atomic.Pointer[audience]
	// line tells this life of the store from what was before it was restored; empty when it never was.
	line    string
	wake    func()
	metrics *metrics
	log     *slog.Logger
	now     func() time.Time
}

// outcome is what one transaction did to tickets, for metrics and the log.
type outcome struct {
	changes []ticket.Change
	alerts  []incident.Alert
	// owed are alerts whose tickets want evidence that was left out.
	owed []incident.Alert

	// together: several commits share the transaction, which keeps the storms at its end. binding: it is about to bind
	// tickets to storms.
	together, binding bool
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
}

// newest is an incident's open ticket, or its last when none is open; ok is false when it never had one.
type newest struct {
	ticket.Ticket
	ok bool
}

func (p *pipeline) done(did outcome) {
	now := p.now()
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
	for _, id := range did.begun {
		p.metrics.storms.Inc()
		s := did.storms[id]
		p.log.Warn("storm", "number", s.Number, "service", s.Service, "where", s.Reach.String(), "assets", s.Assets)
	}
	if len(did.changes) > 0 {
		p.wake()
	}
}

// transition is one alert's change inside a transaction.
func (p *pipeline) transition(tx store.Tx, t change, now time.Time, did *outcome) error {
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
		return p.fire(tx, t.alert, t.evidence, now, did)
	case t.Alert.State == rules.Inactive: // from pending too: it may have fired before its rule's for was lengthened
		return p.end(tx, t.alert, now, did)
	}
	return nil
}

// fire brings a firing alert to the ticket of its incident.
func (p *pipeline) fire(tx store.Tx, a incident.Alert, ev []ticket.Evidence, now time.Time, did *outcome) error {
	if explained, err := p.explained(tx, a); explained || err != nil {
		return err
	}
	key := incident.KeyOf(a).String()
	last, err := did.newest(tx, key)
	if err != nil {
		return err
	}
	switch incident.Judge(lastOf(last.Ticket, last.ok), now) {
	case incident.Attach:
		c, err := last.Fire(a, p.terms(), ev, now)
		return p.append(tx, c, err, did)
	case incident.Reopen:
		first, err := did.rebind(last.Ticket, now)
		if err != nil {
			return err
		}
		t := last.Ticket
		if !first.Empty() {
			t = first.Ticket
		}
		c, err := t.Fire(a, p.terms(), ev, now)
		return p.append(tx, first.Then(c), err, did)
	case incident.Recur:
		return p.open(tx, a, ev, &last.Ticket, now, did)
	default:
		return p.open(tx, a, ev, nil, now, did)
	}
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

func (p *pipeline) open(tx store.Tx, a incident.Alert, ev []ticket.Evidence, recurs *ticket.Ticket, now time.Time, did *outcome) error {
	n, err := tx.NextNumber()
	if err != nil {
		return err
	}
	key := incident.KeyOf(a).String()
	var past []ticket.Ticket
	if last, err := did.newest(tx, key); err != nil {
		return err
	} else if last.ok {
		if past, err = tx.TicketsByKey(key, maxPast); err != nil {
			return err
		}
	}
	c, err := ticket.Open(ticket.Birth{
		ID: ticketID(key, n), Number: fmt.Sprintf("WB-%d", n), Title: a.Title(), Alert: a,
		Terms: p.terms(), Evidence: withHistory(ev, past), Recurs: recurs, Quiet: incident.Quiet(a), Storm: did.into[key],
	}, now)
	if err != nil {
		return err
	}
	if err := tx.CreateTicket(c.Ticket, c.Events); err != nil {
		return err
	}
	if err := p.follow(tx, c, did); err != nil {
		return err
	}
	if recurs == nil {
		return nil
	}
	old, err := recurs.Recurred(c.Ticket, now)
	return p.append(tx, old, err, did)
}

// end tells the ticket that holds an alert that it ended.
func (p *pipeline) end(tx store.Tx, a incident.Alert, now time.Time, did *outcome) error {
	t, err := did.newest(tx, incident.KeyOf(a).String())
	if err != nil || !t.ok {
		return err
	}
	if a.End == incident.Superseded {
		return p.supersede(tx, t.Ticket, a, now, did)
	}
	c, err := t.End(a, now)
	return p.append(tx, c, err, did)
}

// append writes a change of an existing ticket.
func (p *pipeline) append(tx store.Tx, c ticket.Change, err error, did *outcome) error {
	if err != nil || c.Empty() {
		return err
	}
	if err := tx.AppendTicket(c.Before, c.Ticket, c.Events); err != nil {
		return err
	}
	return p.follow(tx, c, did)
}

// follow writes what a change brings with it: evidence bodies, the next deadline, its part in a storm, messages.
func (p *pipeline) follow(tx store.Tx, c ticket.Change, did *outcome) error {
	for seq, body := range c.Bodies {
		if err := tx.PutEvidence(c.Ticket.ID, seq, body); err != nil {
			return err
		}
	}
	if err := tx.PutDeadline(c.Ticket.ID, c.Ticket.Deadline()); err != nil {
		return err
	}
	did.changes = append(did.changes, c)
	if known, ok := did.last[c.Ticket.Key]; ok && (!known.ok || known.ID == c.Ticket.ID || c.Before == 0) {
		did.last[c.Ticket.Key] = newest{c.Ticket, true}
	}
	folded, err := p.inStorm(tx, c, did)
	if err != nil || folded {
		return err
	}
	msgs, err := p.messages(c)
	if err != nil {
		return err
	}
	for _, m := range msgs {
		if err := tx.PutMessage(m); err != nil {
			return err
		}
	}
	return nil
}

func (p *pipeline) terms() ticket.Terms {
	return ticket.Terms{
		Policy: p.policy.Name, Version: p.policy.Version, Owner: p.policy.Owner,
		Priority:   func(s incident.Severity) string { return p.policy.Priority(string(s)) },
		ReopenFor:  time.Duration(p.policy.ReopenWindow),
		CloseAfter: time.Duration(p.policy.CloseAfter),
		Flapping:   p.audience.Load().flapping,
	}
}

// Act does what a person asks of a ticket; ref is its ID or number.
func (p *pipeline) Act(ctx context.Context, ref string, a ticket.Action, by ticket.Actor) (ticket.Ticket, error) {
	now := p.now()
	var did outcome
	var after ticket.Ticket
	err := p.store.Update(ctx, "", func(tx store.Tx) error {
		did = outcome{}
		t, err := FindTicket(tx, ref)
		if err != nil {
			return err
		}
		c, err := t.Act(a, by, now)
		if err != nil {
			return err
		}
		after = c.Ticket
		return p.append(tx, c, nil, &did)
	})
	if errors.Is(err, store.ErrOpenTwice) {
		return ticket.Ticket{}, fmt.Errorf("%w: another ticket is open for the same incident; work on that one", ticket.ErrRefused)
	}
	if err != nil {
		return ticket.Ticket{}, err
	}
	p.done(did)
	return after, nil
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
