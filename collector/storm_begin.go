package collector

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// maxLoose bounds the flips that are remembered: far more than make a storm of any reach.
const maxLoose = 10_000

// foresee finds the tickets that a commit will open, before any of them is: the storms that they are part of are known
// then, and a ticket says so from its first moment on.
func (p *pipeline) foresee(tx store.Tx, c *commit, now time.Time, did *outcome) error {
	for _, t := range c.changes {
		if !t.fires() || len(did.muter.By(t.alert, now)) > 0 { // what opens no ticket makes no storm
			continue
		}
		f, counts := incident.FlipOf(t.alert, now)
		if !counts {
			continue
		}
		if explained, err := p.explained(tx, t.alert); explained || err != nil {
			if err != nil {
				return fmt.Errorf("alert %s: %w", t.ID(), err)
			}
			continue
		}
		last, err := did.newest(tx, f.Key)
		if err != nil {
			return fmt.Errorf("alert %s: %w", t.ID(), err)
		}
		if incident.Judge(lastOf(last.Ticket, last.ok), now) != incident.Attach {
			did.flips = append(did.flips, f)
		}
	}
	return nil
}

// correlate finds the storms that the foreseen tickets belong to, opens the heads of new ones, and binds to them the
// tickets that opened just before.
func (p *pipeline) correlate(tx store.Tx, now time.Time, did *outcome) error {
	if len(did.flips) == 0 {
		return nil
	}
	going, err := tx.Storms()
	if err != nil {
		return err
	}
	for i := range going {
		did.keep(&going[i])
	}
	clear(did.changed) // they are as they were
	loose := make([]incident.Flip, 0, len(p.commits.loose))
	for _, key := range slices.Sorted(maps.Keys(p.commits.loose)) {
		loose = append(loose, p.commits.loose[key])
	}
	plan := incident.Correlate(going, loose, did.flips, p.assetsIn(), correlation, now)
	for _, b := range plan.Begun {
		if err := p.begin(tx, b, now, did); err != nil {
			return fmt.Errorf("storm of %s at %s: %w", b.Service, b.Reach, err)
		}
	}
	for _, j := range plan.Joins {
		if err := p.join(tx, did.storms[j.Storm], j.Flip, now, did); err != nil {
			return fmt.Errorf("storm %s: %w", did.storms[j.Storm].Number, err)
		}
	}
	return nil
}

// assetsIn counts the fleet's assets by reach, once, and only if it is asked.
func (p *pipeline) assetsIn() func(incident.Reach) int {
	var counts map[incident.Reach]int
	return func(r incident.Reach) int {
		if counts == nil {
			counts = map[incident.Reach]int{}
			for _, a := range p.fleet.Assets() {
				counts[incident.Reach{}]++
				counts[incident.Reach{Customer: a.Customer}]++
				if a.Site != "" {
					counts[incident.Reach{Customer: a.Customer, Site: a.Site}]++
				}
			}
		}
		return counts[r]
	}
}

// begin opens the head of a storm, or opens the last one of the same reach and service again.
func (p *pipeline) begin(tx store.Tx, b incident.Begun, now time.Time, did *outcome) error {
	number, err := tx.NextNumber()
	if err != nil {
		return err
	}
	key := incident.KeyOf(b.Begin("", "", 0, now).Alert()).String()
	s := b.Begin(ticketID(key, number), fmt.Sprintf("WB-%d", number), p.assetsIn()(b.Reach), now)
	last, err := did.newest(tx, key)
	if err != nil {
		return err
	}
	verdict := incident.Judge(lastOf(last.Ticket, last.ok), now)
	again := verdict == incident.Attach || verdict == incident.Reopen
	if again {
		old, err := tx.Storm(last.ID)
		if err != nil {
			return err
		}
		s = old.Again(s.Of, now)
	}
	link := ticket.PartOf(s.ID, s.Number)
	did.keep(&s)
	for _, f := range b.Flips {
		s.Join(f)
		did.bind(f.Key, link)
	}
	for _, id := range b.Storms {
		s.Take(*did.storms[id])
		did.storms[id].Into = s.ID
		did.changed[id] = true
	}
	if err := p.openHead(tx, s, last, again, now, did); err != nil {
		return err
	}
	did.begun = append(did.begun, s.ID)
	there := slices.Clone(b.Storms)
	for _, f := range b.Flips {
		there = append(there, f.Ticket)
	}
	for _, id := range there {
		if err := p.bindOpen(tx, id, link, now, did); err != nil {
			return err
		}
	}
	return nil
}

func (p *pipeline) openHead(tx store.Tx, s incident.Storm, last newest, again bool, now time.Time, did *outcome) error {
	a := s.Alert()
	if again {
		return p.attach(tx, last.Ticket, a, p.stormEvidence(s, now), now, did)
	}
	birth := ticket.Birth{
		ID: s.ID, Number: s.Number, Kind: ticket.KindStorm, Title: s.Title(), Text: s.Text(), Alert: a,
		Evidence: p.stormEvidence(s, now),
	}
	if last.ok {
		birth.Recurs = &last.Ticket
	}
	c, err := p.bring(tx, birth, "", now, did)
	if err != nil || !last.ok {
		return err
	}
	old, err := last.Recurred(c.Ticket, now)
	return p.append(tx, old, err, did)
}

// join brings a flip to a storm that goes on.
func (p *pipeline) join(tx store.Tx, s *incident.Storm, f incident.Flip, now time.Time, did *outcome) error {
	s.Join(f)
	did.changed[s.ID] = true
	link := ticket.PartOf(s.ID, s.Number)
	did.bind(f.Key, link)
	return p.bindOpen(tx, f.Ticket, link, now, did)
}

// bindOpen binds a ticket that is there already; an empty id is one that will be opened as part of the storm.
func (p *pipeline) bindOpen(tx store.Tx, id string, link ticket.Link, now time.Time, did *outcome) error {
	if id == "" {
		return nil
	}
	t, err := tx.Ticket(id)
	if err != nil {
		return err
	}
	c, err := t.Join(link, now)
	return p.append(tx, c, err, did)
}

// remember keeps the flips that belong to no storm yet, and forgets those that are bound or old.
func (q *committer) remember(did outcome, now time.Time) {
	for _, f := range did.flips {
		if n, known := did.last[f.Key]; known && n.ok && did.into[f.Key].Ticket == "" && len(q.loose) < maxLoose {
			f.Ticket = n.ID
			if q.loose == nil {
				q.loose = map[string]incident.Flip{}
			}
			q.loose[f.Key] = f
		}
	}
	for key, f := range q.loose {
		if did.into[key].Ticket != "" || now.Sub(f.At) > correlation.Window {
			delete(q.loose, key)
		}
	}
}

// recall finds again, after a start, the tickets that opened within the last minute.
func (p *pipeline) recall() {
	if p.commits.recalled {
		return
	}
	now := p.now()
	found := map[string]incident.Flip{}
	err := p.store.View(context.Background(), func(tx store.Tx) error {
		newest, err := tx.Tickets(store.TicketFilter{OpenOnly: true, Folded: true})
		for _, t := range newest {
			if t.Kind == ticket.KindStorm || len(t.Alerts) == 0 || now.Sub(t.OpenedAt) > correlation.Window {
				continue
			}
			if f, counts := incident.FlipOf(t.Alerts[0], t.OpenedAt); counts {
				f.Ticket = t.ID
				found[f.Key] = f
			}
		}
		return err
	})
	if err != nil { // a storm is recognised later, by those that come
		p.log.Error("tickets of the last minute could not be read; a storm that began before the start is seen later", "err", err)
	}
	p.commits.loose, p.commits.recalled = found, true
}
