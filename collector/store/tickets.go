package store

import (
	"errors"
	"fmt"

	"github.com/watchbill/watchbill/collector/ticket"
)

func ticketKey(id string) key            { return tableTicket.key().str(id) }
func timelineKey(id string, seq int) key { return tableTimeline.key().str(id).num(uint64(seq)) }
func numberKey(number string) key        { return tableNumber.key().str(number) }
func openKey(incident string) key        { return tableOpenKey.key().str(incident) }
func byKeyKey(t ticket.Ticket) key {
	return tableTicketsByKey.key().str(t.Key).time(t.OpenedAt).str(t.ID)
}

func (x *tx) CreateTicket(t ticket.Ticket, timeline []ticket.Event) error {
	if err := follows(t, 0, "", timeline); err != nil {
		return err
	}
	if t.ID == "" || t.Number == "" || t.Key == "" || len(timeline) == 0 {
		return fmt.Errorf("create ticket %q: a ticket has an ID, a number, an incident key and a first event", t.ID)
	}
	for _, k := range []key{ticketKey(t.ID), numberKey(t.Number)} {
		if _, taken, err := x.bytes(k); err != nil {
			return err
		} else if taken {
			return fmt.Errorf("create ticket %s: %w: %s exists", t.Number, ErrConflict, describe(k))
		}
	}
	if err := x.keyFree(t); err != nil {
		return err
	}
	return errors.Join(
		x.put(numberKey(t.Number), t.ID),
		x.put(byKeyKey(t), t.ID),
		x.mark(ticketsOfKey(t)),
		x.owned(t),
		x.putTicket(spot{}, t, timeline),
	)
}

func (x *tx) AppendTicket(expect int, t ticket.Ticket, events []ticket.Event) error {
	stored, err := x.Ticket(t.ID)
	switch {
	case err != nil:
		return err
	case stored.Seq != expect:
		return fmt.Errorf("append to ticket %s: %w: it has %d events, the change was decided on %d", stored.Number,
			ErrConflict, stored.Seq, expect)
	case t.Opening != stored.Opening.After(events) || !t.OpenedAt.Equal(stored.OpenedAt):
		return fmt.Errorf("append to ticket %s: what a ticket was opened with never changes", stored.Number)
	}
	if err := follows(t, stored.Seq, stored.Head, events); err != nil {
		return err
	}
	if err := x.keyFree(t); err != nil {
		return err
	}
	return x.putTicket(spotOf(stored), t, events)
}

// follows tells whether events continue a timeline that stands at seq with hash head, and end where t says.
func follows(t ticket.Ticket, seq int, head string, events []ticket.Event) error {
	for _, e := range events {
		if e.Seq != seq+1 || e.Prev != head || e.Hash == "" {
			return fmt.Errorf("append to ticket %s: %w: event %d does not follow event %d", t.Number, ticket.ErrChain,
				e.Seq, seq)
		}
		seq, head = e.Seq, e.Hash
	}
	if t.Seq != seq || t.Head != head {
		return fmt.Errorf("append to ticket %s: %w: the projection stands at event %d, the timeline at %d", t.Number,
			ticket.ErrChain, t.Seq, seq)
	}
	return nil
}

// keyFree tells whether t may stand open under its key.
func (x *tx) keyFree(t ticket.Ticket) error {
	if !t.State.Open() {
		return nil
	}
	holder, taken, err := load[string](x, openKey(t.Key))
	if err != nil || !taken || holder == t.ID {
		return err
	}
	return fmt.Errorf("%w: %s, by ticket %s", ErrOpenTwice, t.Key, holder)
}

// putTicket writes the projection, new events and the indexes that follow from the state; was is where the ticket stood. The
// caller has checked everything: from here on only the engine can fail.
func (x *tx) putTicket(was spot, t ticket.Ticket, events []ticket.Event) error {
	for _, e := range events {
		if err := x.putEvent(t, e); err != nil {
			return err
		}
	}
	errs := []error{x.put(ticketKey(t.ID), &t), x.stand(was, t), x.report(was.state, t)}
	if t.Parent != nil {
		errs = append(errs, x.mark(childKey(t)))
	}
	if t.State.Open() {
		errs = append(errs, x.put(openKey(t.Key), t.ID))
	} else {
		errs = append(errs, x.releaseKey(t))
	}
	return errors.Join(errs...)
}

func (x *tx) putEvent(t ticket.Ticket, e ticket.Event) error {
	payload, err := e.Encoded()
	if err != nil {
		return x.fail(fmt.Errorf("encode event %d of ticket %s: %w", e.Seq, t.Number, err))
	}
	return x.putBytes(timelineKey(t.ID, e.Seq), payload)
}

// releaseKey frees the incident key if it is t that holds it.
func (x *tx) releaseKey(t ticket.Ticket) error {
	holder, taken, err := load[string](x, openKey(t.Key))
	if err != nil || !taken || holder != t.ID {
		return err
	}
	return x.remove(openKey(t.Key))
}

func (x *tx) Ticket(id string) (ticket.Ticket, error) {
	t, ok, err := load[ticket.Ticket](x, ticketKey(id))
	if err == nil && !ok {
		err = fmt.Errorf("ticket %q: %w", id, ErrNotFound)
	}
	return t, err
}

func (x *tx) TicketByNumber(number string) (ticket.Ticket, error) {
	id, ok, err := load[string](x, numberKey(number))
	if err != nil {
		return ticket.Ticket{}, err
	}
	if !ok {
		return ticket.Ticket{}, fmt.Errorf("ticket %s: %w", number, ErrNotFound)
	}
	return must[ticket.Ticket](x, ticketKey(id))
}

func (x *tx) OpenTicket(incident string) (ticket.Ticket, bool, error) {
	id, ok, err := load[string](x, openKey(incident))
	if err != nil || !ok {
		return ticket.Ticket{}, false, err
	}
	t, err := must[ticket.Ticket](x, ticketKey(id))
	return t, err == nil, err
}

func (x *tx) LastTicket(incident string) (ticket.Ticket, bool, error) {
	ts, err := x.TicketsByKey(incident, 1)
	if err != nil || len(ts) == 0 {
		return ticket.Ticket{}, false, err
	}
	return ts[0], true, nil
}

func (x *tx) TicketsByKey(incident string, limit int) ([]ticket.Ticket, error) {
	under := tableTicketsByKey.key().str(incident)
	var ids []string
	err := x.scan(under, under.after(), true, func(k key, payload []byte) (bool, error) {
		id, err := decode[string](x, k, payload)
		ids = append(ids, id)
		return len(ids) < atMost(limit), err
	})
	if err != nil {
		return nil, err
	}
	return x.tickets(ids)
}

func (x *tx) tickets(ids []string) ([]ticket.Ticket, error) {
	var out []ticket.Ticket
	for _, id := range ids {
		t, err := must[ticket.Ticket](x, ticketKey(id))
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func (x *tx) Timeline(id string) ([]ticket.Event, error) {
	t, err := x.Ticket(id)
	if err != nil {
		return nil, err
	}
	var out []ticket.Event
	under := tableTimeline.key().str(id)
	err = x.scan(under, under.after(), false, func(k key, payload []byte) (bool, error) {
		e, err := decode[ticket.Event](x, k, payload)
		out = append(out, e)
		return true, err
	})
	if err == nil && len(out) != t.Seq {
		err = x.damaged(fmt.Sprintf("timeline of ticket %s: %d events of %d", t.Number, len(out), t.Seq))
	}
	return out, err
}

func (x *tx) PutEvidence(ticketID string, seq int, body []byte) error {
	k := tableEvidence.key().str(ticketID).num(uint64(seq))
	if len(body) == 0 {
		return x.remove(k)
	}
	return x.putBytes(k, body)
}

func (x *tx) Evidence(ticketID string, seq int) ([]byte, bool, error) {
	return x.bytes(tableEvidence.key().str(ticketID).num(uint64(seq)))
}
