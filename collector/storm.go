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

// maxLoose bounds the flips that are remembered: far more than make a storm of any reach.
const maxLoose = 10_000

// foresee finds the tickets that a commit will open, before any of them is: the storms that they are part of are known
// then, and a ticket says so from its first moment on.
func (p *pipeline) foresee(tx store.Tx, c *commit, now time.Time, did *outcome) error {
	for _, t := range c.changes {
		if !t.fires() {
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
	for _, f := range b.Flips {
		if err := p.bindOpen(tx, f.Ticket, link, now, did); err != nil {
			return err
		}
	}
	for _, id := range b.Storms {
		if err := p.bindOpen(tx, id, link, now, did); err != nil {
			return err
		}
	}
	return nil
}

func (p *pipeline) openHead(tx store.Tx, s incident.Storm, last newest, again bool, now time.Time, did *outcome) error {
	a := s.Alert()
	if again {
		c, err := last.Fire(a, p.terms(), p.stormEvidence(s, now), now)
		return p.append(tx, c, err, did)
	}
	birth := ticket.Birth{
		ID: s.ID, Number: s.Number, Kind: ticket.KindStorm, Title: s.Title(), Text: s.Text(), Alert: a, Terms: p.terms(),
		Evidence: p.stormEvidence(s, now),
	}
	if last.ok {
		birth.Recurs = &last.Ticket
	}
	c, err := ticket.Open(birth, now)
	if err != nil {
		return err
	}
	if err := tx.CreateTicket(c.Ticket, c.Events); err != nil {
		return err
	}
	if err := p.follow(tx, c, did); err != nil || !last.ok {
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
		c, err := head.Spread(s.Text(), s.Severity, p.terms(), p.stormEvidence(*s, now), now)
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
