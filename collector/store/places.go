package store

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ticket"
)

// reportedKey is the record of an incident that people reported.
func reportedKey(incident string) key { return tableReported.key().str(incident) }

// maxReported bounds how many open tickets of one incident that people reported are known; the newest are.
const maxReported = 16

// reportedOf is the incident that a person reported with t; empty for what nobody did, and for what names nothing that
// monitoring could have found.
func reportedOf(t ticket.Ticket) string {
	if t.Reporter == "" || t.Kind != ticket.KindIncident || t.Service == "" || t.Asset == "" && t.Site == "" {
		return ""
	}
	a := incident.Alert{Customer: t.Customer, Site: t.Site, Asset: t.Asset, Service: t.Service}
	return incident.KeyOf(a).String()
}

// report keeps which open tickets people reported of an incident; the newest is the last one. It is one record that is
// read for every ticket that monitoring opens, and hardly ever there.
func (x *tx) report(was ticket.State, t ticket.Ticket) error {
	incident := reportedOf(t)
	if incident == "" || was != "" && was.Open() == t.State.Open() {
		return nil
	}
	ids, _, err := load[[]string](x, reportedKey(incident))
	if err != nil {
		return err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return id == t.ID })
	if t.State.Open() {
		ids = append(ids[max(0, len(ids)-maxReported+1):], t.ID)
	}
	if len(ids) == 0 {
		return x.remove(reportedKey(incident))
	}
	return x.put(reportedKey(incident), ids)
}

func (x *tx) ReportedTicket(incident string) (ticket.Ticket, bool, error) {
	ids, ok, err := load[[]string](x, reportedKey(incident))
	if err != nil || !ok {
		return ticket.Ticket{}, false, err
	}
	t, err := must[ticket.Ticket](x, ticketKey(ids[len(ids)-1]))
	return t, err == nil, err
}

// childKey is under the ticket that t was opened because of.
func childKey(t ticket.Ticket) key {
	return tableChild.key().str(t.Parent.Ticket).time(t.OpenedAt).str(t.ID)
}

// The first byte of a place: given ones stand before those that follow from the severity alone.
const (
	placeGiven  = 0x01
	placeOfAges = 0xFF
)

// spot is what a ticket's place follows from, beside the place that it was given.
type spot struct {
	id, customer string
	opened       time.Time
	state        ticket.State
	severity     incident.Severity
}

func spotOf(t ticket.Ticket) spot {
	return spot{id: t.ID, customer: t.Customer, opened: t.OpenedAt, state: t.State, severity: t.Severity}
}

// placeOf is where a ticket stands: where it was given a place, or behind all that were, by the rank of its severity.
func placeOf(given []byte, rank int) []byte {
	if given != nil {
		return given
	}
	return []byte{placeOfAges, byte(rank)}
}

// keys are those under which a ticket stands in the queue, none when it is not open. given is the record of its place.
func (s spot) keys(given []byte) []key {
	if !s.state.Open() {
		return nil
	}
	place := placeOf(given, s.severity.Rank())
	return []key{
		tableQueue.key().str(string(place)).time(s.opened).str(s.id),
		tableQueueOf.key().str(s.customer).str(string(place)).time(s.opened).str(s.id),
	}
}

// rowKey is the row of a ticket in the list of all by age, which says what place it was given.
func (s spot) rowKey() key { return tableTicketsByAge.key().time(s.opened).str(s.id) }

// stand writes a ticket's rows and keeps the queue true to what it became; was is the zero spot for a new one.
func (x *tx) stand(was spot, t ticket.Ticket) error {
	is, row := spotOf(t), summaryOf(t)
	if was.id != "" && was.state.Open() {
		old, err := must[summary](x, is.rowKey())
		if err != nil {
			return err
		}
		row.Place = old.Place
	} else {
		was.state = ticket.Shut
	}
	given := row.Place
	if !is.state.Open() {
		row.Place = nil
	}
	x.recent, x.row = is, row
	return errors.Join(x.putRows(is, row), x.move(was.keys(given), is.keys(given)), x.reach(tallyEarly, row.Early), x.reach(tallyLate, row.Late))
}

// putRows writes what lists say of a ticket.
func (x *tx) putRows(s spot, row summary) error {
	open := tableOpenByAge.key().time(s.opened).str(s.id)
	if s.state.Open() {
		return errors.Join(x.put(s.rowKey(), &row), x.put(open, &row))
	}
	return errors.Join(x.put(s.rowKey(), &row), x.remove(open))
}

// move replaces entries of the queue by others; those that are equal stay untouched.
func (x *tx) move(from, to []key) error {
	if slices.EqualFunc(from, to, func(a, b key) bool { return bytes.Equal(a, b) }) {
		return nil
	}
	for _, k := range from {
		if err := x.remove(k); err != nil {
			return err
		}
	}
	for _, k := range to {
		if err := x.mark(k); err != nil {
			return err
		}
	}
	return nil
}

func (x *tx) PutPlace(ticketID string, place []byte) error {
	at, row := x.recent, x.row
	if at.id != ticketID {
		t, err := x.Ticket(ticketID)
		if err != nil {
			return err
		}
		at = spotOf(t)
		if row, err = must[summary](x, at.rowKey()); err != nil {
			return err
		}
	}
	is := append([]byte{placeGiven}, place...)
	if !at.state.Open() || bytes.Equal(row.Place, is) {
		return nil
	}
	was := row.Place
	row.Place = is
	x.recent, x.row = at, row
	return errors.Join(x.move(at.keys(was), at.keys(is)), x.putRows(at, row))
}

func (x *tx) Unplaced(limit int) ([]ticket.Ticket, error) {
	begin := append(tableQueue.key(), placeOfAges)
	found, err := x.keys(begin, begin.after(), false, atMost(limit))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, k := range found {
		ids = append(ids, readPlace(split(k)).id)
	}
	return x.tickets(ids)
}
