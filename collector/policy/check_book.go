package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/ticket"
)

// lookAhead is how far on-call rotas are looked at for gaps.
const lookAhead = 8 * 7 * 24 * time.Hour

// Check finds what is wrong, ambiguous or worth a look at now, in the order of files and lines: in the sets; in what the
// contracts of a directory that are in force or to come make of them; owners whom nobody can reach; people of
// clients in a rota; and times within the next eight weeks in which a rota has nobody. A rota whose people are those of a role is looked at where a contract uses
// its set, for only a directory says who they are. Receivers are looked at when WithReceivers tells which there are.
func (b *Book) Check(d fleet.Directory, now time.Time, options ...CheckOption) []Finding {
	var with checked
	for _, say := range options {
		say(&with)
	}
	found := with.strange(b, d)
	for _, s := range b.Sets() {
		found = append(found, s.check()...)
	}
	found = append(found, b.clashes()...)
	used := map[string]bool{}
	people := peopleOf(d)
	for _, customer := range d.Customers {
		for _, k := range customer.Contracts {
			if Over(k, now) {
				continue
			}
			for _, name := range k.Sets {
				used[name] = true
			}
		}
		found = append(found, b.CheckCustomer(d, customer, now)...)
	}
	found = append(found, b.rotaGaps(people, used, now)...)
	return sorted(found)
}

// Over tells a contract that has ended by now, wherever on earth its days are counted: nothing opens under it any more, and a
// check leaves it alone.
func Over(k fleet.Contract, now time.Time) bool {
	return k.Until != "" && k.Until < fleet.DateOf(now.Add(-14*time.Hour), time.UTC)
}

// checkContract finds what is wrong with one contract; each finding names it.
func (b *Book) checkContract(people directory, customer fleet.Customer, k fleet.Contract, now time.Time) []Finding {
	return ofContract(b.checkTerms(people, customer, k, now), k.ID)
}

func (b *Book) checkTerms(people directory, customer fleet.Customer, k fleet.Contract, now time.Time) []Finding {
	if len(k.Sets) == 0 {
		return []Finding{{Where: k.At, Text: fmt.Sprintf("contract %s names no sets: the set %s holds", k.ID, DefaultSet), Fix: "name one with `sets: [NAME]`"}}
	}
	c := b.compose(k)
	if faultsOf(c.found) != nil {
		return c.found
	}
	r := &resolver{composition: c, customer: customer}
	out := r.resolve()
	found := append(c.found, r.refused...)
	note := func(fault bool, fix, format string, args ...any) {
		found = append(found, Finding{Where: c.where, Text: fmt.Sprintf(format, args...), Fix: fix, Fault: fault})
	}
	for _, w := range out.Warnings {
		note(false, "", "contract %s: %s", k.ID, w)
	}
	for _, name := range out.unreached(people.contacts(customer)) {
		found = append(found, Finding{Where: c.where, Text: fmt.Sprintf("contract %s: %s can own tickets and nobody can be reached for it", k.ID, name),
			Fix: "give somebody the role at the customer, its department or the operator, with an address or receivers", Fault: true, Reach: true})
	}
	found = append(found, out.overlayClashes(k, c.where)...)
	out.strangers(note, k.ID)
	if !slices.ContainsFunc(found, func(f Finding) bool { return f.Fault }) {
		out.leftovers(c, k, note)
	}
	return found
}

type noting func(fault bool, fix, format string, args ...any)

// leftovers finds what the parts of different sets, put together, leave unused or unknown.
func (r Resolved) leftovers(c *composition, k fleet.Contract, note noting) {
	for _, rung := range r.Route.Ladder {
		if !slices.ContainsFunc(r.Ticket.Targets, func(t ticket.TargetRule) bool { return t.Target.Clock == rung.Clock }) {
			note(false, "take notices from another set, or give the clock a target", "contract %s: the rung %q is never reached: no target gives the clock %s", k.ID, rung.Name, rung.Clock)
		}
	}
	if k.OnCall && !r.asks("oncall") {
		note(false, "name a set that has an on-call service, or take it out", "contract %s: oncall changes nothing: no target of %s asks for it", k.ID, r.Ticket.Policy)
	}
	var rotas []string
	for _, s := range c.sets {
		rotas = append(rotas, slices.Collect(maps.Keys(s.Rotas))...)
	}
	if err := r.Route.Validate(rotas); err != nil {
		note(true, "", "contract %s: %s", k.ID, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if err := r.Ticket.CheckGates(); err != nil {
		note(true, "", "contract %s: %s", k.ID, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

// asks tells whether any target's condition looks at a fact.
func (r Resolved) asks(fact string) bool {
	return slices.ContainsFunc(r.Ticket.Targets, func(t ticket.TargetRule) bool { _, ok := t.When[fact]; return ok })
}

// unreached are the parties that can own tickets and have nobody who can be told anything.
func (r Resolved) unreached(reachable func(role string) bool) []string {
	owners := map[string]bool{r.Route.Default: true, r.Route.Reports: true}
	for _, o := range r.Route.Owners {
		owners[o.Owner] = true
	}
	for _, y := range r.Ticket.Types {
		owners[y.Owner] = true
	}
	var out []string
	for _, p := range r.Route.Parties {
		if owners[p.Name] && p.Rota == "" && !reachable(p.Role) {
			out = append(out, fmt.Sprintf("%s (role %s)", p.Name, p.Role))
		}
	}
	return out
}

// directory answers who has a role.
type directory struct {
	fleet.Directory
	people map[string]fleet.Person
	// fleetless: there is none; nothing is known of people.
	fleetless bool
}

func peopleOf(d fleet.Directory) directory {
	out := directory{Directory: d, people: map[string]fleet.Person{}, fleetless: len(d.People)+len(d.Contacts)+len(d.Customers)+len(d.Departments) == 0}
	for _, p := range d.People {
		out.people[p.ID] = p
	}
	return out
}

// contacts tells whether anybody who has a role can be reached for a customer: its own, its department's, the operator's.
func (d directory) contacts(c fleet.Customer) func(role string) bool {
	levels := [][]fleet.Contact{c.Contacts, d.Directory.Contacts}
	for _, dep := range d.Departments {
		if dep.ID == c.Department {
			levels = append(levels, dep.Contacts)
		}
	}
	return func(role string) bool {
		for _, level := range levels {
			if slices.ContainsFunc(level, func(k fleet.Contact) bool { return string(k.Role) == role && d.reachable(k) }) {
				return true
			}
		}
		return false
	}
}

func (d directory) reachable(k fleet.Contact) bool {
	if p, ok := d.people[k.Person]; ok {
		k.Email, k.Receivers = p.Email, p.Receivers
	}
	return k.Reachable()
}

// Contacts are the operator's with a role; rotas ask for no other.
func (d directory) Contacts(_, role string) []route.Person {
	var out []route.Person
	for _, k := range d.Directory.Contacts {
		if string(k.Role) == role && k.Person != "" {
			out = append(out, route.Person{ID: k.Person})
		}
	}
	return out
}

// Person is somebody that the directory declares.
func (d directory) Person(id string) (route.Person, bool) {
	_, ok := d.people[id]
	return route.Person{ID: id}, ok
}

// clashes finds rotas and intakes that two sets have under one name.
func (b *Book) clashes() []Finding {
	rotas, intakes := taken{}, taken{}
	var found []Finding
	for _, s := range b.Sets() {
		for _, name := range slices.Sorted(maps.Keys(s.Rotas)) {
			found = append(found, rotas.take("rotas", "a rota", name, s.Rotas[name].At)...)
		}
		for _, name := range slices.Sorted(maps.Keys(s.Intakes)) {
			found = append(found, intakes.take("intakes", "an intake", name, s.Intakes[name].At)...)
		}
	}
	return found
}

// taken tells where a name was taken.
type taken map[string]string

// take takes a name, and is the finding when it was taken before.
func (t taken) take(key, kind, name, at string) []Finding {
	if first, ok := t[name]; ok {
		return []Finding{{Where: at, Text: fmt.Sprintf("%s.%s: %s of that name is at %s already", key, name, kind, first),
			Fix: "give one of them another name", Fault: true}}
	}
	t[name] = at
	return nil
}

// rotaGaps finds when nobody is on call that should be, and who is that should not.
func (b *Book) rotaGaps(people directory, used map[string]bool, now time.Time) []Finding {
	var dir route.People = people
	if people.fleetless {
		dir = nil // nothing is known of people
	}
	var found []Finding
	for _, s := range b.Sets() {
		for _, name := range slices.Sorted(maps.Keys(s.Rotas)) {
			x := s.Rotas[name]
			found = append(found, people.clientsOf(name, x)...)
			if x.Role != "" && !used[s.Name] {
				continue
			}
			ready, err := x.rota(name, s).Ready(dir)
			if err != nil {
				continue // the set's own check said it
			}
			found = append(found, gapsOf(x, ready, now)...)
		}
	}
	return found
}

// clientsOf finds who is named in a rota and is of a client: only people of the house are on call.
func (d directory) clientsOf(name string, x Rota) []Finding {
	var found []Finding
	for _, id := range x.People {
		if d.Side(id) == fleet.Client {
			found = append(found, Finding{Where: x.At, Fault: true, Fix: "name one of the operator's or of a department's",
				Text: fmt.Sprintf("rotas.%s: %s is of a client, and only people of the house are on call", name, id)})
		}
	}
	return found
}

// gapsOf are a rota's gaps of the next weeks, one finding for each reason.
func gapsOf(x Rota, ready route.Rota, now time.Time) []Finding {
	var found []Finding
	seen := map[string]int{}
	var times = map[string]int{}
	for _, g := range ready.Gaps(now, now.Add(lookAhead)) {
		if g.Planned {
			continue
		}
		times[g.Reason]++
		if _, again := seen[g.Reason]; again {
			continue
		}
		seen[g.Reason] = len(found)
		found = append(found, Finding{Where: x.At, Fault: true,
			Text: fmt.Sprintf("rotas.%s: nobody is on call from %s until %s: %s", ready.Name, g.From.Format(time.RFC3339), g.Until.Format(time.RFC3339), g.Reason),
			Fix:  "name people the directory knows, or let the rota begin earlier"})
	}
	for reason, i := range seen {
		if n := times[reason]; n > 1 {
			found[i].Text += fmt.Sprintf(" (and %d times more within eight weeks)", n-1)
		}
	}
	return found
}
