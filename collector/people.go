package collector

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
)

// directory is the fleet as routing sees it: a route.Directory.
type directory struct{ fleet *fleet.Registry }

// Contacts implements route.Directory.
func (p directory) Contacts(customer, role string) []route.Person {
	var out []route.Person
	for _, c := range p.fleet.Contacts(customer, fleet.Role(role)) {
		out = append(out, route.Person{ID: c.Person, Name: c.Name, Email: c.Email, Phone: c.Phone, Receivers: c.Receivers})
	}
	return out
}

// Person implements route.Directory.
func (p directory) Person(id string) (route.Person, bool) {
	one, ok := p.fleet.Person(id)
	return route.Person{ID: one.ID, Name: one.Name, Email: one.Email, Phone: one.Phone, Receivers: one.Receivers}, ok
}

// Side implements route.Directory.
func (p directory) Side(one route.Person) route.Side {
	switch p.fleet.Side(one.ID, one.Email, one.Name) {
	case fleet.House:
		return route.House
	case fleet.Client:
		return route.Client
	}
	return route.Unplaced
}

// rotasFor is how long rotas are taken to be as they were made: who takes turns in them may be changed in the fleet.
const rotasFor = 5 * time.Second

// oncall are the rotas in force with the overrides that people made.
type oncall struct {
	agreements *agreements
	people     directory
	log        *slog.Logger

	// loading keeps one load from overtaking another, so that what is in force is never older than what is kept. It is not mu:
	// who holds a transaction asks who is on call, and must not wait for one that reads.
	loading sync.Mutex

	mu        sync.Mutex
	overrides []route.Override
	rotas     route.Rotas
	// madeAt is when rotas were made; zero when they are to be made anew. said is the fault that was logged last.
	madeAt time.Time
	said   string
}

// keepEnded is how long an override that has ended is kept to be looked at.
const keepEnded = 31 * 24 * time.Hour

// prune takes the overrides out of the store that ended long ago.
func prune(tx store.Tx, now time.Time) error {
	all, err := tx.Overrides()
	for _, one := range all {
		if err == nil && now.Sub(one.Until) > keepEnded {
			err = tx.DeleteOverride(one.ID)
		}
	}
	return err
}

// load reads the overrides from the store.
func (o *oncall) load(ctx context.Context, s store.Store) error {
	o.loading.Lock()
	defer o.loading.Unlock()
	var all []store.Override
	err := s.View(ctx, func(tx store.Tx) (err error) {
		all, err = tx.Overrides()
		return err
	})
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.overrides, o.madeAt = nil, time.Time{}
	for _, one := range all {
		o.overrides = append(o.overrides, overrideOf(one))
	}
	return nil
}

// at are the rotas in force. What is wrong with one is logged once and leaves the others as they are.
func (o *oncall) at(now time.Time) route.Rotas {
	o.mu.Lock()
	defer o.mu.Unlock()
	if age := now.Sub(o.madeAt); !o.madeAt.IsZero() && age >= 0 && age < rotasFor {
		return o.rotas
	}
	rotas, err := route.NewRotas(o.agreements.policies().Rotas(), o.overrides, o.people)
	o.rotas, o.madeAt = rotas, now
	switch {
	case err == nil:
		o.said = ""
	case err.Error() != o.said:
		o.said = err.Error()
		o.log.Warn("an on-call rota is not as it should be", "err", err)
	}
	return o.rotas
}

// stale has the rotas made anew when they are asked for next.
func (o *oncall) stale() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.madeAt = time.Time{}
}

func overrideOf(o store.Override) route.Override {
	return route.Override{ID: o.ID, Rota: o.Rota, Person: o.Person, From: o.From, Until: o.Until, By: o.By, At: o.At, Reason: o.Reason}
}

// zones are time zones that were read, by name: reading one takes as long as much of a ticket. The zero value is ready.
type zones struct{ read sync.Map }

// of is the zone of a customer; UTC for none, and for one that cannot be read, which a check of the fleet refuses.
func (z *zones) of(name string) *time.Location {
	if known, ok := z.read.Load(name); ok {
		return known.(*time.Location)
	}
	zone, err := fleet.LoadZone(name)
	if err != nil {
		zone = time.UTC
	}
	z.read.Store(name, zone)
	return zone
}
