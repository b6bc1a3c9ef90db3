package collector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
//	transitions ─► evidence (reads) ─► one transaction: alert states, tickets, evidence, messages ─► wake the outbox
//
// It saves before it sends, and whoever waits for it is told only after the commit.
type pipeline struct {
	store    store.Store
	fleet    *fleet.Registry
	policy   policy.Set
	evidence gatherer
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

// Commit makes alert transitions durable with everything they cause: tickets opened, attached, reopened or resolved,
// their evidence, and the messages to send.
func (p *pipeline) Commit(ctx context.Context, at time.Time, ts []rules.Transition) error {
	if len(ts) == 0 {
		return nil
	}
	now := p.now()
	found := p.gatherAll(ctx, ts, now)
	var did outcome
	began := time.Now()
	err := p.store.Update(ctx, decisionID(at, ts), func(tx store.Tx) error {
		did = outcome{} // the closure may run more than once
		for _, t := range ts {
			if err := p.transition(tx, t, found[t.ID()], now, &did); err != nil {
				return fmt.Errorf("alert %s: %w", t.ID(), err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("commit %d alert transitions: %w", len(ts), err)
	}
	p.metrics.commit.Observe(time.Since(began).Seconds())
	p.done(did)
	p.wantAll(ctx, ts, now)
	return nil
}

// outcome is what one transaction did to tickets, for metrics and the log.
type outcome struct {
	changes []ticket.Change
	alerts  []incident.Alert
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
	if len(did.changes) > 0 {
		p.wake()
	}
}

// transition is one alert's change inside a transaction.
func (p *pipeline) transition(tx store.Tx, t rules.Transition, ev []ticket.Evidence, now time.Time, did *outcome) error {
	if t.Alert.State == rules.Inactive {
		if err := tx.DeleteAlert(t.ID()); err != nil {
			return err
		}
	} else if err := tx.PutAlert(store.AlertState{Origin: t.Origin, Alert: t.Alert}); err != nil {
		return err
	}
	a := p.alertOf(t)
	switch {
	case t.Alert.State == rules.Firing && t.From != rules.Firing:
		did.alerts = append(did.alerts, a)
		return p.fire(tx, a, ev, now, did)
	case t.Alert.State == rules.Inactive: // from pending too: it may have fired before its rule's for was lengthened
		return p.end(tx, a, now, did)
	}
	return nil
}

// fire brings a firing alert to the ticket of its incident.
func (p *pipeline) fire(tx store.Tx, a incident.Alert, ev []ticket.Evidence, now time.Time, did *outcome) error {
	if explained, err := p.explained(tx, a); explained || err != nil {
		return err
	}
	key := incident.KeyOf(a).String()
	last, ok, err := tx.LastTicket(key)
	if err != nil {
		return err
	}
	if open, isOpen, err := tx.OpenTicket(key); err != nil {
		return err
	} else if isOpen {
		last, ok = open, true
	}
	switch incident.Judge(lastOf(last, ok), now) {
	case incident.Attach, incident.Reopen:
		c, err := last.Fire(a, p.terms(), ev, now)
		return p.append(tx, c, err, did)
	case incident.Recur:
		return p.open(tx, a, ev, &last, now, did)
	default:
		return p.open(tx, a, ev, nil, now, did)
	}
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
	past, err := tx.TicketsByKey(key, maxPast)
	if err != nil {
		return err
	}
	c, err := ticket.Open(ticket.Birth{
		ID: ticketID(key, n), Number: fmt.Sprintf("WB-%d", n), Title: titleOf(a), Alert: a,
		Terms: p.terms(), Evidence: withHistory(ev, past), Recurs: recurs, Quiet: incident.Quiet(a),
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
	t, ok, err := tx.LastTicket(incident.KeyOf(a).String())
	if err != nil || !ok {
		return err
	}
	if a.End == incident.Superseded {
		return p.supersede(tx, t, a, now, did)
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

// follow writes what a change brings with it: evidence bodies, the next deadline, messages.
func (p *pipeline) follow(tx store.Tx, c ticket.Change, did *outcome) error {
	for seq, body := range c.Bodies {
		if err := tx.PutEvidence(c.Ticket.ID, seq, body); err != nil {
			return err
		}
	}
	if err := tx.PutDeadline(c.Ticket.ID, c.Ticket.Deadline()); err != nil {
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
	did.changes = append(did.changes, c)
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

// elapse does what time alone does to the tickets that are due and returns when the next one is.
func (p *pipeline) elapse(ctx context.Context) (time.Time, error) {
	now := p.now()
	var did outcome
	var next time.Time
	err := p.store.View(ctx, func(tx store.Tx) (err error) {
		var due []store.Deadline
		due, next, err = tx.DueDeadlines(now, 1)
		if len(due) > 0 {
			next = now
		}
		return err
	})
	if err != nil || next.IsZero() || next.After(now) {
		return next, err
	}
	err = p.store.Update(ctx, "", func(tx store.Tx) error {
		did = outcome{}
		var due []store.Deadline
		var err error
		if due, next, err = tx.DueDeadlines(now, deadlineBatch); err != nil {
			return err
		}
		for _, d := range due {
			if err := p.elapseOne(tx, d, now, &did); err != nil {
				return fmt.Errorf("deadline of ticket %s: %w", d.Ticket, err)
			}
		}
		return nil
	})
	if err != nil {
		return time.Time{}, err
	}
	p.done(did)
	return next, nil
}

func (p *pipeline) elapseOne(tx store.Tx, d store.Deadline, now time.Time, did *outcome) error {
	t, err := tx.Ticket(d.Ticket)
	if err != nil {
		return err
	}
	c, err := t.Elapse(now)
	if err != nil {
		return err
	}
	if c.Empty() { // the deadline index was behind: set it right
		return tx.PutDeadline(t.ID, t.Deadline())
	}
	return p.append(tx, c, nil, did)
}

const (
	// deadlineBatch bounds one transaction of deadlines; the rest follow at once.
	deadlineBatch = 256
	// maxPast is how many earlier tickets of an incident a new one tells of.
	maxPast = 5
)

// decisionID names a set of transitions for good: the same ones found again get the same name.
func decisionID(at time.Time, ts []rules.Transition) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", at.UnixNano())
	for _, t := range ts {
		fmt.Fprintf(h, "%s %s %s %d\n", t.ID(), t.From, t.Alert.State, t.Alert.ActiveAt.UnixNano())
	}
	return "alerts-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// ticketID is opaque, unique and the same when the closure runs again.
func ticketID(key string, number int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "ticket %d %s", number, key))
	return hex.EncodeToString(sum[:12])
}
