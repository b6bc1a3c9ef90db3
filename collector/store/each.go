package store

import (
	"bytes"
	"math"
	"time"

	"github.com/watchbill/watchbill/collector/ticket"
)

// lasts is for how many hours, rounded up, something of a ticket was before and after it was opened: its receipt, its alerts
// and its events, and the work that it announces.
func lasts(t ticket.Ticket) (early, late int) {
	first, last := t.OpenedAt, t.UpdatedAt
	stretch := func(at time.Time) {
		if !at.IsZero() && at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	stretch(t.Received())
	for _, a := range t.Alerts {
		stretch(a.ActiveAt)
		stretch(a.FiredAt)
		stretch(a.EndedAt)
	}
	if from, until, ok := t.Announces(); ok {
		stretch(from)
		stretch(until)
	}
	early = hours(t.OpenedAt.Sub(first))
	if !t.State.Open() {
		late = hours(last.Sub(t.OpenedAt))
	}
	return early, late
}

func hours(d time.Duration) int { return int(math.Ceil(d.Hours())) }

// during tells whether something of a ticket that was opened then may have been within a span.
func (s summary) during(opened time.Time, span ticket.Span) bool {
	first, last := opened.Add(-time.Duration(s.Early)*time.Hour), opened.Add(time.Duration(s.Late)*time.Hour)
	return (span.Until.IsZero() || first.Before(span.Until)) && (span.From.IsZero() || s.State.Open() || !last.Before(span.From))
}

// The names under which the store counts for how many hours the longest reaching ticket there ever was had something before
// and after it was opened: where to begin and to end among tickets by age.
const (
	tallyEarly = "hours before opening"
	tallyLate  = "hours after opening"
)

// reach keeps the most hours.
func (x *tx) reach(name string, hours int) error {
	if hours == 0 {
		return nil
	}
	most, err := x.Tally(name)
	if err != nil || hours <= most {
		return err
	}
	return x.AddTally(name, hours-most)
}

// ages are between which times the closed tickets were opened that something happened to within f.During; zero for any.
func (x *tx) ages(f TicketFilter) (from, until time.Time, err error) {
	early, err := x.Tally(tallyEarly)
	if err != nil {
		return from, until, err
	}
	late, err := x.Tally(tallyLate)
	if at := f.During.From; !at.IsZero() {
		from = at.Add(-time.Duration(late) * time.Hour)
	}
	if at := f.During.Until; !at.IsZero() {
		until = at.Add(time.Duration(early) * time.Hour)
	}
	return from, until, err
}

func (x *tx) EachTicket(f TicketFilter, do func(ticket.Ticket) error) error {
	f.Order, f.After = Newest, ""
	f, err := x.formerly(f)
	if err != nil {
		return err
	}
	from, until, err := x.ages(f)
	if err != nil {
		return err
	}
	if f.wantsOpen() || !f.OpenedFrom.Before(from) {
		return x.eachOf(f, f.OpenedFrom, until, do)
	}
	err = x.eachOf(f, from, until, do)
	if err != nil || f.State != "" {
		return err
	}
	f.OpenOnly = true // what was opened before goes on where it is open
	return x.eachOf(f, f.OpenedFrom, from, do)
}

// eachOf goes through the tickets that f selects and that were opened from one time on and before another, zero for any.
func (x *tx) eachOf(f TicketFilter, from, until time.Time, do func(ticket.Ticket) error) error {
	for _, l := range f.lists() {
		if err := x.each(f, l, from, until, do); err != nil {
			return err
		}
	}
	return nil
}

// each goes through one list.
func (x *tx) each(f TicketFilter, l list, from, until time.Time, do func(ticket.Ticket) error) error {
	begin, end := l.under, l.under.after()
	if l.reverse && !from.IsZero() { // the list is by age
		begin = bytes.Clone(l.under)
		begin = begin.time(from)
	}
	if l.reverse && !until.IsZero() {
		end = bytes.Clone(l.under)
		end = end.time(until)
	}
	for {
		batch, last, err := x.batch(l, begin, end)
		if err != nil {
			return err
		}
		for _, r := range batch {
			if !f.selects(r.says) || r.opened.Before(from) || !until.IsZero() && !r.opened.Before(until) || !r.says.during(r.opened, f.During) {
				continue
			}
			t, err := must[ticket.Ticket](x, ticketKey(r.id))
			if err != nil {
				return err
			}
			if err := do(t); err != nil {
				return err
			}
		}
		if len(batch) < listBatch {
			return nil
		}
		if l.reverse {
			end = last
		} else {
			begin = last.after()
		}
	}
}

// told is a row of a list with what the lists say of its ticket.
type told struct {
	row
	says summary
}

// batch is the next rows of a list, at most listBatch, with the key of the last.
func (x *tx) batch(l list, begin, end key) (out []told, last key, err error) {
	err = x.scan(begin, end, l.reverse, func(k key, payload []byte) (bool, error) {
		r := told{row: l.read(&parts{rest: k[len(l.under):]})}
		last = bytes.Clone(k)
		if l.told {
			if r.says, err = decode[summary](x, k, payload); err != nil {
				return false, err
			}
		}
		out = append(out, r)
		return len(out) < listBatch, nil
	})
	if err != nil || l.told {
		return out, last, err
	}
	for i := range out {
		if out[i].says, err = must[summary](x, tableTicketsByAge.key().time(out[i].opened).str(out[i].id)); err != nil {
			return nil, nil, err
		}
	}
	return out, last, nil
}
