package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/watchbill/watchbill/collector/outbox"
)

func alertKey(id string) key { return tableAlert.key().str(id) }

func (x *tx) PutAlert(s AlertState) error {
	if s.encoded != nil {
		return x.putBytes(alertKey(s.id), s.encoded)
	}
	return x.put(alertKey(s.ID()), s)
}

func (x *tx) DeleteAlert(id string) error   { return x.remove(alertKey(id)) }
func (x *tx) Alerts() ([]AlertState, error) { return all[AlertState](x, tableAlert) }

func deadlineKey(ticketID string) key { return tableDeadline.key().str(ticketID) }
func deadlineAtKey(d Deadline) key    { return tableDeadlineAt.key().time(d.At).str(d.Ticket) }

func (x *tx) PutDeadline(ticketID string, at time.Time) error {
	old, ok, err := load[Deadline](x, deadlineKey(ticketID))
	if err != nil {
		return err
	}
	if ok {
		if err := errors.Join(x.remove(deadlineAtKey(old)), x.remove(deadlineKey(ticketID))); err != nil {
			return err
		}
	}
	if at.IsZero() {
		return nil
	}
	d := Deadline{At: at.UTC(), Ticket: ticketID}
	return errors.Join(x.put(deadlineKey(ticketID), d), x.mark(deadlineAtKey(d)))
}

func (x *tx) DueDeadlines(now time.Time, limit int) ([]Deadline, time.Time, error) {
	ids, times, next, err := x.due(tableDeadlineAt, now, atMost(limit))
	var out []Deadline
	for i, id := range ids {
		out = append(out, Deadline{At: times[i], Ticket: id})
	}
	return out, next, err
}

func hostEventKey(asset string, epoch, id uint64) key {
	return tableHostEvent.key().str(asset).num(epoch).num(id)
}

func (x *tx) PutEvent(e HostEvent) (bool, error) {
	k := hostEventKey(e.Asset, e.Epoch, e.ID)
	if _, known, err := x.bytes(k); err != nil || known {
		return false, err
	}
	at := tableHostEventAt.key().str(e.Asset).time(e.At).num(e.Epoch).num(e.ID)
	err := errors.Join(x.put(k, e), x.mark(at), x.forgetEvents(e.Asset, e.At.Add(-KeepEvents)))
	return err == nil, err
}

// forgetEvents removes some of an asset's events from before a time: two for every one that comes, so that what is kept
// shrinks to the bound without a long transaction.
func (x *tx) forgetEvents(asset string, before time.Time) error {
	old, err := x.keys(tableHostEventAt.key().str(asset), tableHostEventAt.key().str(asset).time(before), false, 2)
	for _, k := range old {
		p := split(k)
		_, _ = p.str(), p.time()
		epoch, id := p.num(), p.num()
		err = errors.Join(err, x.remove(hostEventKey(asset, epoch, id)), x.remove(k))
	}
	return err
}

func (x *tx) Events(asset string, since time.Time, limit int) ([]HostEvent, error) {
	under := tableHostEventAt.key().str(asset)
	found, err := x.keys(tableHostEventAt.key().str(asset).time(since), under.after(), true, atMost(limit))
	var out []HostEvent
	for _, k := range found {
		p := split(k)
		_, _ = p.str(), p.time()
		epoch, id := p.num(), p.num()
		e, err := must[HostEvent](x, hostEventKey(asset, epoch, id))
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, err
}

func messageKey(id string) key { return tableMessage.key().str(id) }

// indexes are the keys under which a message is found besides its ID.
func indexes(m outbox.Message) []key {
	ks := []key{
		tableMessageAge.key().time(m.CreatedAt).str(m.ID),
		tableMessageState.key().str(string(m.State)).time(m.CreatedAt).str(m.ID),
	}
	if m.State == outbox.Queued {
		ks = append(ks, tableMessageDue.key().time(m.NextAt).str(m.ID))
	}
	return ks
}

func (x *tx) PutMessage(m outbox.Message) error {
	if err := x.DeleteMessage(m.ID); err != nil {
		return err
	}
	for _, k := range indexes(m) {
		if err := x.mark(k); err != nil {
			return err
		}
	}
	return x.put(messageKey(m.ID), m)
}

func (x *tx) Message(id string) (outbox.Message, error) {
	m, ok, err := load[outbox.Message](x, messageKey(id))
	if err == nil && !ok {
		err = fmt.Errorf("message %q: %w", id, ErrNotFound)
	}
	return m, err
}

func (x *tx) DeleteMessage(id string) error {
	old, ok, err := load[outbox.Message](x, messageKey(id))
	if err != nil || !ok {
		return err
	}
	for _, k := range indexes(old) {
		if err := x.remove(k); err != nil {
			return err
		}
	}
	return x.remove(messageKey(id))
}

func (x *tx) DueMessages(now time.Time, limit int) ([]outbox.Message, time.Time, error) {
	ids, _, next, err := x.due(tableMessageDue, now, atMost(limit))
	if err != nil {
		return nil, time.Time{}, err
	}
	ms, err := x.messages(ids)
	return ms, next, err
}

func (x *tx) Messages(state outbox.MessageState, limit int) ([]outbox.Message, error) {
	under := tableMessageAge.key()
	if state != "" {
		under = tableMessageState.key().str(string(state))
	}
	found, err := x.keys(under, under.after(), false, atMost(limit))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, k := range found {
		p := &parts{rest: k[len(under):]}
		p.time()
		ids = append(ids, p.str())
	}
	return x.messages(ids)
}

func (x *tx) messages(ids []string) ([]outbox.Message, error) {
	var out []outbox.Message
	for _, id := range ids {
		m, err := must[outbox.Message](x, messageKey(id))
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}
