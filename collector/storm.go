package collector

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// correlation is when many incidents are one storm.
var correlation = incident.DefaultCorrelation

func (d *outcome) bind(key string, link ticket.Link) {
	if d.into == nil {
		d.into = map[string]ticket.Link{}
	}
	d.into[key] = link
}

// keep takes a storm in whose record is to be written at the end of the transaction.
func (d *outcome) keep(s *incident.Storm) {
	if d.storms == nil {
		d.storms, d.changed = map[string]*incident.Storm{}, map[string]bool{}
	}
	d.storms[s.ID], d.changed[s.ID] = s, true
}

// storm is a storm to be changed.
func (d *outcome) storm(tx store.Tx, id string) (*incident.Storm, error) {
	if s := d.storms[id]; s != nil {
		d.changed[id] = true
		return s, nil
	}
	s, err := tx.Storm(id)
	if err != nil {
		return nil, err
	}
	d.keep(&s)
	return &s, nil
}

// rebind says of a ticket that is opened again which storm it belongs to now: to the one that goes on, or to none, so
// that people are told of it.
func (d *outcome) rebind(t ticket.Ticket, now time.Time) (ticket.Change, error) {
	if link := d.into[t.Key]; link.Ticket != "" {
		return t.Join(link, now)
	}
	return t.Leave("it came back when the storm "+t.Storm.Number+" had become quiet", now)
}

// inStorm keeps a change of a storm's ticket with the storm. It returns true when the storm's head tells of it: then
// nobody is told of the ticket alone. What a person did is always told.
func (p *pipeline) inStorm(tx store.Tx, c ticket.Change, did *outcome) (folded bool, err error) {
	was, is, id := c.WasIn.Ticket, c.Ticket.Storm.Ticket, c.Ticket.ID
	if was == "" && is == "" {
		return false, nil
	}
	stood, stands := c.Before > 0 && c.Was.Open(), c.Ticket.State.Open()
	if was != "" && was != is {
		s, err := did.storm(tx, was)
		if err != nil {
			return false, err
		}
		s.Bind(-1, stood, false)
		if err := tx.DropStormMember(was, id); err != nil {
			return false, err
		}
	}
	if is != "" {
		s, err := did.storm(tx, is)
		if err != nil {
			return false, err
		}
		if was != is {
			s.Bind(1, false, stands)
		} else {
			s.Bind(0, stood, stands)
		}
		if was != is || stood != stands {
			if err := tx.PutStormMember(is, id, stands); err != nil {
				return false, err
			}
		}
		folded = fold(s, c)
	}
	if !did.together {
		err = p.keepStorms(tx, c.Ticket.UpdatedAt, did)
	}
	return folded, err
}

// fold leaves the notices of a storm's ticket to the storm's head. When the storm is over only closings are: each ticket
// closes a day after the storm, one by one, and the head with them.
func fold(s *incident.Storm, c ticket.Change) bool {
	if c.ByPerson() {
		return false
	}
	if !s.OverAt.IsZero() && (len(c.Notices) != 1 || c.Notices[0].What != ticket.Closed) {
		return false
	}
	for _, n := range c.Notices {
		s.Fold(string(n.What))
	}
	return true
}

// keepStorms writes the storms that changed, and ends those of which no ticket is open any more.
func (p *pipeline) keepStorms(tx store.Tx, now time.Time, did *outcome) error {
	defer func(was bool) { did.together = was }(did.together)
	did.together = true // what follows from a storm's end is kept by this very loop
	for _, id := range did.begun {
		did.storms[id].Tell(now) // its opening told of all that it began with
	}
	for len(did.changed) > 0 {
		ids := slices.Sorted(maps.Keys(did.changed))
		clear(did.changed)
		for _, id := range ids {
			s := did.storms[id]
			if correlation.Next(*s, now) == incident.Over {
				if err := p.calm(tx, s, "every one of its tickets is resolved. "+s.Text(), now, did); err != nil {
					return err
				}
			}
			if err := tx.PutStorm(*s); err != nil {
				return err
			}
			delete(did.changed, id)
		}
	}
	return nil
}

// calm ends a storm.
func (p *pipeline) calm(tx store.Tx, s *incident.Storm, text string, now time.Time, did *outcome) error {
	s.Tell(now)
	s.OverAt = now
	head, err := tx.Ticket(s.ID)
	if err != nil {
		return err
	}
	c, err := head.Calm(s.Alert(), text, now)
	return p.append(tx, c, err, did)
}

// tellStorms does what time alone asks of storms: tells what became of them, and lets the last few tickets of one that is
// quiet go on by themselves.
func (p *pipeline) tellStorms(ctx context.Context, now time.Time) error {
	due := false
	err := p.store.View(ctx, func(tx store.Tx) error {
		going, err := tx.Storms()
		for _, s := range going {
			due = due || correlation.Next(s, now) != incident.Wait
		}
		return err
	})
	if err != nil || !due {
		return err
	}
	var did outcome
	err = p.store.Update(ctx, "", func(tx store.Tx) error {
		did = outcome{together: true}
		going, err := tx.Storms()
		if err != nil {
			return err
		}
		for _, s := range going {
			if err := p.step(tx, s.ID, now, &did); err != nil {
				return fmt.Errorf("storm %s: %w", s.Number, err)
			}
		}
		return p.keepStorms(tx, now, &did)
	})
	if err != nil {
		return fmt.Errorf("tell of storms: %w", err)
	}
	p.done(did)
	return nil
}

// step does what one storm wants done now.
func (p *pipeline) step(tx store.Tx, id string, now time.Time, did *outcome) error {
	s, err := did.storm(tx, id)
	if err != nil {
		return err
	}
	switch correlation.Next(*s, now) {
	case incident.Tell:
		head, err := tx.Ticket(id)
		if err != nil {
			return err
		}
		ts, err := p.agreements.of(tx, head)
		if err != nil {
			return err
		}
		c, err := head.Spread(s.Text(), s.Severity, ts.Ticket, p.stormEvidence(*s, now), now)
		s.Tell(now)
		return p.append(tx, c, err, did)
	case incident.Release:
		return p.release(tx, s, now, did)
	}
	return nil
}

// release lets the tickets of a storm that still stand go on by themselves, and ends it.
func (p *pipeline) release(tx store.Tx, s *incident.Storm, now time.Time, did *outcome) error {
	members, err := tx.StormMembers(s.ID, s.Standing)
	if err != nil {
		return err
	}
	var names []string
	for _, id := range members {
		t, err := tx.Ticket(id)
		if err != nil {
			return err
		}
		if !t.State.Open() {
			continue
		}
		names = append(names, t.Number)
		c, err := t.Leave(fmt.Sprintf("it is still open although the storm %s is over", s.Number), now)
		if err := p.append(tx, c, err, did); err != nil {
			return err
		}
		if t.Kind == ticket.KindStorm {
			narrower, err := did.storm(tx, id)
			if err != nil {
				return err
			}
			narrower.Into = ""
		}
	}
	text := fmt.Sprintf("it is quiet since %s; still open, and told of one by one from now on: %s. %s",
		s.Last.UTC().Format("15:04:05 UTC"), strings.Join(names, ", "), s.Text())
	return p.calm(tx, s, text, now, did)
}
