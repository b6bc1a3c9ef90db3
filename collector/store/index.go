package store

import (
	"errors"

	"github.com/watchbill/watchbill/collector/ticket"
)

// indexTickets is the step from format 1 to 2: it writes the lists' summaries anew, which say more now, and the indexes
// that format 1 did not have: the queue, in which nobody has been given a place yet, the customers' and the parents'. A
// portion is a batch of tickets.
func indexTickets(x *tx, from key) (next key, err error) {
	begin, end := tableTicket.key(), tableTicket.key().after()
	if from != nil {
		begin = from
	}
	keys, err := x.keys(begin, end, false, listBatch)
	if err != nil {
		return nil, err
	}
	var all []ticket.Ticket
	for _, k := range keys { // all of them are read before the first is written: what is written goes to the engine before a scan
		t, err := must[ticket.Ticket](x, k)
		if err == nil {
			err = x.fillRecord(&t)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	for _, t := range all {
		if err := x.indexTicket(t); err != nil {
			return nil, err
		}
	}
	if len(keys) < listBatch {
		return nil, nil
	}
	return keys[len(keys)-1].after(), nil
}

func (x *tx) indexTicket(t ticket.Ticket) error {
	errs := []error{x.put(ticketKey(t.ID), &t), x.mark(ticketsOfKey(t)), x.stand(spot{}, t), x.report("", t)}
	if t.Parent != nil {
		errs = append(errs, x.mark(childKey(t)))
	}
	return errors.Join(errs...)
}

// fillRecord adds what format 1 did not keep of a ticket: what its incident record says. Without it a gate would ask for a
// record that is there. A timeline that does not fold is left to those who read it, who say what is wrong.
func (x *tx) fillRecord(t *ticket.Ticket) error {
	line, err := x.Timeline(t.ID)
	if err != nil {
		return err
	}
	if folded, err := ticket.Fold(line); err == nil {
		t.Parts = folded.Parts
	}
	return nil
}
