package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

const (
	// wholeAtOnce alerts at once get their evidence whole, and wholePerSecond more every second: evidence is read before a
	// ticket opens, and ten thousand times some milliseconds would be what everybody waits for.
	wholeAtOnce    = 32
	wholePerSecond = 16
	// fillEvery is how many tickets get what was left out, fillFor how long that may take, at every look.
	fillEvery = 64
	fillFor   = 200 * time.Millisecond
	// maxThin bounds the tickets that wait for it; whose is beyond that has what was known when it opened.
	maxThin = 20_000
	// aroundFor is how long what fires is taken to be what it was, when that is so much that it takes time to see.
	aroundFor  = time.Second
	aroundMany = 256
)

// leftOut is what a ticket says where evidence was left out.
const leftOut = "left out, because many alerts came at the same time; it is added as soon as there is time"

// thin is the evidence that was left out, and how much is to be had now. The zero value is ready.
type thin struct {
	mu      sync.Mutex
	started bool
	// recalled says that what was left out before the start was found again.
	recalled bool
	left     float64
	at       time.Time
	waiting  []incident.Alert

	around   nearby
	aroundAt time.Time
}

// whole takes the evidence of n alerts from what is to be had now, and returns for how many it is enough.
func (s *thin) whole(n int, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.started, s.left, s.at = true, wholeAtOnce, now
	}
	s.left = min(wholeAtOnce, s.left+max(0, now.Sub(s.at).Seconds())*wholePerSecond)
	s.at = now
	got := min(n, int(s.left))
	s.left -= float64(got)
	return got
}

// owe notes an alert whose evidence was left out.
func (s *thin) owe(a incident.Alert) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) < maxThin {
		s.waiting = append(s.waiting, a)
	}
}

func (s *thin) next(n int) []incident.Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, len(s.waiting))
	out := slices.Clone(s.waiting[:n])
	s.waiting = slices.Delete(s.waiting, 0, n)
	return out
}

// nearby is what fires now and what is about to. When that is much it is seen once a second, and what came since only in
// the tickets that follow: ten thousand alerts that each look at ten thousand others are a hundred million looks.
func (p *pipeline) nearby(fresh []change, now time.Time) nearby {
	p.thin.mu.Lock()
	defer p.thin.mu.Unlock()
	if age := now.Sub(p.thin.aroundAt); age >= 0 && age < aroundFor && len(fresh) < aroundMany && p.thin.around.count >= aroundMany {
		return p.thin.around
	}
	around := newNearby(p.evidence.standing(), p.alertOf)
	for _, c := range fresh {
		around.add(c.alert)
	}
	p.thin.around, p.thin.aroundAt = around, now
	return around
}

// gatherAll gathers evidence for every alert of changes that begins to fire, within evidenceBudget and within what is to
// be had for all commits together. What is left out for that stands on the record and is added later.
func (p *pipeline) gatherAll(ctx context.Context, changes []change, now time.Time) {
	var fresh []change
	var at []int
	for i, c := range changes {
		if c.fires() {
			fresh, at = append(fresh, c), append(at, i)
		}
	}
	if len(fresh) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, evidenceBudget)
	defer cancel()
	around := p.nearby(fresh, now)
	whole := p.thin.whole(len(fresh), now)
	for n, i := range at {
		a := changes[i].alert
		lean := n >= whole || ctx.Err() != nil
		changes[i].evidence = p.evidence.gather(ctx, a, around, lean, now)
		if !lean && ctx.Err() != nil && a.Asset != "" { // half of it would stand for all
			lean = true
			changes[i].evidence = p.evidence.gather(ctx, a, around, lean, now)
		}
		if lean && a.Asset != "" {
			changes[i].lean = true // it is owed when it is committed: before there is no ticket to add it to
		}
	}
}

// fillIn adds to open tickets some of the evidence that was left out when they opened, unless somebody commits.
func (p *pipeline) fillIn(ctx context.Context, now time.Time) error {
	if !p.commits.idle() {
		return nil
	}
	if err := p.recallThin(ctx); err != nil {
		return err
	}
	alerts := p.thin.next(fillEvery)
	if len(alerts) == 0 {
		return nil
	}
	found, looked := p.lookUp(ctx, alerts, now)
	var did outcome
	err := p.store.Update(ctx, "", func(tx store.Tx) error {
		did = outcome{}
		for _, id := range looked {
			if err := tx.DropOwed(id); err != nil {
				return err
			}
		}
		for _, key := range slices.Sorted(maps.Keys(found)) {
			t, ok, err := tx.OpenTicket(key)
			if err != nil {
				return err
			}
			if !ok {
				continue // it is over: nobody looks for its cause any more
			}
			c, err := t.Learn(found[key], now)
			if err := p.append(tx, c, err, &did); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for _, a := range alerts {
			if slices.Contains(looked, a.ID) { // the others wait already
				p.thin.owe(a)
			}
		}
		return fmt.Errorf("add evidence that was left out of %d tickets: %w", len(found), err)
	}
	p.done(did)
	return nil
}

// recallThin finds again, after a start, the alerts whose evidence was left out and not added before it.
func (p *pipeline) recallThin(ctx context.Context) error {
	if p.thin.recalled {
		return nil
	}
	var found []incident.Alert
	err := p.store.Update(ctx, "", func(tx store.Tx) error {
		found = nil
		owed, err := tx.Owed(maxThin)
		if err != nil || len(owed) == 0 {
			return err
		}
		stands := map[string]bool{}
		states, err := tx.Alerts()
		for _, s := range states {
			if _, is := slices.BinarySearch(owed, s.ID()); is {
				stands[s.ID()] = true
				found = append(found, p.alertOf(rules.Transition{Origin: s.Origin, From: rules.Pending, Alert: s.Alert}))
			}
		}
		for _, id := range owed {
			if !stands[id] { // it is over: nobody looks for its cause any more
				err = errors.Join(err, tx.DropOwed(id))
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("find the tickets that want evidence that was left out before the start: %w", err)
	}
	for _, a := range found {
		p.thin.owe(a)
	}
	p.thin.recalled = true
	return nil
}

// lookUp reads what was left out, by incident, for as many alerts as there is time to begin with; these are looked, the others
// and those whose events could not be read in time go on waiting. One that was begun has all the time that evidence may take: half of
// it would stand for all.
func (p *pipeline) lookUp(ctx context.Context, alerts []incident.Alert, now time.Time) (found map[string][]ticket.Evidence, looked []string) {
	beginning, cancel := context.WithTimeout(ctx, fillFor)
	defer cancel()
	found = map[string][]ticket.Evidence{}
	for _, a := range alerts {
		if len(looked) > 0 && beginning.Err() != nil {
			p.thin.owe(a)
			continue
		}
		ev, err := p.evidence.omitted(ctx, a, now)
		if err != nil {
			p.thin.owe(a)
			p.log.Warn("evidence that was left out could not be read in time; trying again", "alert", a.ID, "err", err)
			continue
		}
		key := incident.KeyOf(a).String()
		found[key] = append(found[key], ev...)
		looked = append(looked, a.ID)
	}
	return found, looked
}

// omitted is what gather leaves out when it is to be lean. The error says that the time for it was over.
func (g gatherer) omitted(ctx context.Context, a incident.Alert, now time.Time) ([]ticket.Evidence, error) {
	ctx, cancel := context.WithTimeout(ctx, evidenceBudget)
	defer cancel()
	var out []ticket.Evidence
	if a.Expr != "" {
		out = append(out, ticket.Evidence{Part: ticket.PartSymptoms, Entries: g.curves(ctx, a, now)})
	}
	seen := g.events(ctx, a.Asset, now)
	if seen.why != "" && ctx.Err() != nil {
		return nil, errors.New(seen.why)
	}
	for _, part := range []struct {
		part ticket.Part
		of   func(kind string) bool
		none string
	}{
		{ticket.PartErrors, isError, "none, because no error event came in 24 h"},
		{ticket.PartActions, isAction, "none, because no restart, reboot or local remedy was seen in 24 h"},
	} {
		ev := ticket.Evidence{Part: part.part, Entries: entriesOf(seen.found, part.of)}
		if len(ev.Entries) == 0 {
			if ev.None = part.none; seen.why != "" {
				ev.None = "none, because " + seen.why
			}
		}
		out = append(out, ev)
	}
	for i := range out {
		out[i].Salt = newSalt()
	}
	return out, nil
}

// stormEvidence fills the five parts for a storm's head.
func (p *pipeline) stormEvidence(s incident.Storm, now time.Time) []ticket.Evidence {
	const source = "tickets of the storm"
	entry := func(text string) ticket.Entry { return ticket.Entry{Text: text, Source: source, At: now} }
	customers := map[string]bool{}
	for at := range s.Sites {
		if at != incident.Others {
			customer, _, _ := strings.Cut(at, "/")
			customers[customer] = true
		}
	}
	var names []string
	for _, id := range slices.Sorted(maps.Keys(customers)) {
		c, _ := p.fleet.Customer(id)
		names = append(names, or(c.Name, id))
	}
	few, total := []string(nil), 0
	for _, name := range names {
		few, total = some(few, total, name)
	}
	out := []ticket.Evidence{
		{Part: ticket.PartTime, Entries: []ticket.Entry{
			entry("the first of its tickets opened at " + s.First.UTC().Format("2006-01-02 15:04:05 UTC")),
			entry(fmt.Sprintf("%d assets by %s", s.Assets, s.Last.UTC().Format("2006-01-02 15:04:05 UTC"))),
		}},
		{Part: ticket.PartSymptoms, Entries: []ticket.Entry{
			entry(s.Text()),
			{Text: "assets by rule", Source: source, At: now, Table: countTable("rule", s.Rules)},
			{Text: "assets by site", Source: source, At: now, Table: countTable("customer/site", s.Sites)},
		}},
		{Part: ticket.PartUsers, Entries: []ticket.Entry{entry("those of " + listed(few, total) + "; the ticket of each asset says who depends on it")}},
		{Part: ticket.PartErrors, None: "none, because each asset's errors are in its own ticket"},
		{Part: ticket.PartActions, None: "none, because each asset's events are in its own ticket; nobody has written any down yet"},
	}
	for i := range out {
		out[i].Salt = newSalt()
	}
	return out
}

// countTable shows counts, greatest first, some of them.
func countTable(title string, counts map[string]int) *ticket.Table {
	t := &ticket.Table{Columns: []string{title, "assets"}}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	rest := 0
	for i, name := range names {
		if i < maxElse {
			t.Rows = append(t.Rows, []string{name, strconv.Itoa(counts[name])})
		} else {
			rest += counts[name]
		}
	}
	if rest > 0 {
		t.Rows = append(t.Rows, []string{fmt.Sprintf("%d more", len(names)-maxElse), strconv.Itoa(rest)})
	}
	return t
}
