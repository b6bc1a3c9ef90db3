package route

import (
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/ticket"
)

// roleSends is who sends external messages for a customer.
const roleSends = "department-member"

// Fallbacks are, role by role, who is told instead where nobody who can be reached has a role; Terms.Fallback overrides
// them one by one. After the last of a line every receiver is told.
func Fallbacks() map[string]string {
	return map[string]string{
		"engineer":                    "team-leader",
		"team-leader":                 "support-manager",
		"support-manager":             "quality-manager",
		"quality-control":             "quality-manager",
		"quality-manager":             "service-director",
		"service-director":            "general-manager",
		"technical-operation":         "technical-operation-manager",
		"technical-operation-manager": "general-manager",
		"it-ops":                      "it-ops-manager",
		"it-ops-manager":              "management",
		"management":                  "general-manager",
		"developer":                   "product-owner",
		"product-owner":               "delivery-manager",
		"business-partner":            "delivery-manager",
		"delivery-manager":            "technical-operation-manager",
		"project-manager":             "account-manager",
		"department-member":           "account-manager",
		"it-provider-user":            "account-manager",
		"client-owner-user":           "account-manager",
		"account-manager":             "service-director",
		"general-manager":             "administrator",
	}
}

// fallbacks is Fallbacks, made once.
var fallbacks = Fallbacks()

// fallback is who is told instead of a role; empty at the end of the line.
func (t Terms) fallback(role string) string {
	if next, ok := t.Fallback[role]; ok {
		return next
	}
	return fallbacks[role]
}

// hearing gathers who is told of one thing.
type hearing struct {
	a     Audience
	t     ticket.Ticket
	facts ticket.Facts
	now   time.Time

	out  []Telling
	sent []Telling // external ones
	// people and receivers are who and what has been reached, by their place in out; outer are people outside.
	people    map[string]int
	receivers map[string]int
	outer     map[string]bool
	// strangers are those whom an internal rule means and who are not of the house, under its name and letter.
	strangers []stranger
	rule      NoticeRule
	// all: every receiver is told, because allWhy.
	all    bool
	allWhy string
}

func (a Audience) hear(t ticket.Ticket, facts ticket.Facts, now time.Time) *hearing {
	if a.quiet == nil && a.Terms.Quiet != nil {
		a, _ = a.Ready() // quiet hours that cannot be read put nothing off
	}
	return &hearing{a: a, t: t, facts: facts, now: now, people: map[string]int{}, receivers: map[string]int{},
		outer: map[string]bool{}}
}

// tellings are what was gathered, with what is told. Every receiver has everybody's.
func (h *hearing) tellings(what ticket.Kind, text string) []Telling {
	if h.all {
		everybody := Telling{All: true, Why: h.allWhy}
		for _, t := range h.out {
			if t.Person.key() != "" {
				everybody.Also = append(everybody.Also, t.Person)
			}
			everybody.Also = append(everybody.Also, t.Also...)
		}
		h.out = []Telling{everybody}
	}
	for i := range h.out {
		h.out[i].Text = text
	}
	out := slices.Concat(h.out, h.sent)
	base := Telling{Urgent: h.a.urgent(h.t), Item: h.a.item(h.t)}
	if !base.Urgent {
		base.NotBefore = h.a.quiet.over(h.t.Priority, h.now)
	}
	if ofClock(what) {
		base.Clock = h.facts["what"]
	}
	for i := range out {
		t := &out[i]
		t.Clock = base.Clock
		t.What, t.At, t.Item, t.Urgent = what, h.now, base.Item, base.Urgent
		if t.Draft == nil {
			t.NotBefore = base.NotBefore
		}
	}
	return out
}

// ofClock tells whether what happened is about a clock.
func ofClock(what ticket.Kind) bool {
	return what == ticket.ClockAtRisk || what == ticket.ClockBreached || what == ticket.ClockMet || what == ticket.WasTold
}

func (a Audience) item(t ticket.Ticket) Item {
	return Item{Ticket: t.ID, Number: t.Number, Priority: t.Priority, Rank: a.Policy.Rank(t.Priority), Customer: t.Customer,
		Asset: t.Asset, Title: t.Title, OpenedAt: t.OpenedAt}
}

// reach adds all whom targets mean: those of the house are told, for others see outside. Where that is nobody every receiver is told.
func (h *hearing) reach(to []Target, why string) {
	reached := false
	for _, target := range to {
		reached = h.target(target, why) || reached
	}
	if !reached {
		h.everybody(why + ": " + describe(to) + " reaches nobody")
	}
}

func (h *hearing) everybody(why string) {
	if !h.all {
		h.all, h.allWhy = true, why
	}
}

// target adds whom one target means and tells whether that is anybody.
func (h *hearing) target(target Target, why string) bool {
	switch {
	case target.Receiver == "all":
		h.everybody(why)
		return true
	case target.Receiver != "":
		h.receiver(target.Receiver, why)
		return true
	case target.Role != "":
		return h.role(target.Role, why)
	case target.Rota != "":
		return h.rota(target.Rota, why)
	case target.Party != "":
		return h.party(target.Party, why)
	}
	return h.somebody(target.Person, why)
}

// somebody adds a person by ID, or the assignee or reporter; a ticket without an assignee is its owner's, and a reporter
// whom the house cannot reach is told by the owning department.
func (h *hearing) somebody(id, why string) bool {
	switch id {
	case "assignee":
		if h.id(h.t.Assignee, why+" (assignee)") {
			return true
		}
		return h.party("owner", why+", for no assignee can be reached")
	case "reporter":
		return h.reporter(why+" (reporter)") || h.role(roleSends, why+" (who can tell the reporter)")
	}
	return h.id(id, why)
}

// id adds a person that the directory knows.
func (h *hearing) id(id, why string) bool {
	p, ok := h.a.Directory.Person(id)
	return ok && id != "" && h.person(p, why)
}

// role adds all who have a role for the ticket's customer, or where none of them can be reached those of its fallback.
func (h *hearing) role(role, why string) bool {
	var tried []string
	for ; role != "" && !slices.Contains(tried, role); role = h.a.Terms.fallback(role) {
		as := why + " (" + role
		if len(tried) > 0 {
			as += ", for nobody is " + strings.Join(tried, ", nor ")
		}
		if h.contacts(role, as+")", len(tried) > 0) {
			return true
		}
		tried = append(tried, role)
	}
	return false
}

// contacts adds all who have a role for the ticket's customer; in somebody's stead those of the house alone.
func (h *hearing) contacts(role, why string, instead bool) bool {
	reached := false
	for _, p := range h.a.Directory.Contacts(h.t.Customer, role) {
		if instead && h.a.Directory.Side(p) == Client {
			continue
		}
		reached = h.person(p, why) || reached
	}
	return reached
}

// rota adds who is on call. Where nobody is although somebody should be, it is the rota's role and its fallbacks.
func (h *hearing) rota(name, why string) bool {
	r, ok := h.a.Rotas[name]
	if !ok {
		return false
	}
	on := r.duties(h.now, h.now.Add(1))[0]
	switch {
	case on.person != "" && h.id(on.person, why+" (on call: "+name+")"):
		return true
	case on.planned || r.Role == "":
		return false
	}
	return h.role(r.Role, why+" (nobody on call: "+name+")")
}

// party adds who stands for a party: who is on call for it, or else all who have its role; after it the parties that are one
// with it, at last the fallbacks of its role. A name that is no party's is taken for a role.
func (h *hearing) party(name, why string) bool {
	if name = h.whose(name); name == "" {
		return false
	}
	why += ": " + name
	role := name
	for _, one := range joined(name, h.facts, h.a.Terms) {
		i := slices.IndexFunc(h.a.Terms.Parties, func(p Party) bool { return p.Name == one })
		if i < 0 {
			continue
		}
		p := h.a.Terms.Parties[i]
		if p.Rota != "" && h.rota(p.Rota, why) || p.Role != "" && h.contacts(p.Role, why+" ("+p.Role+")", false) {
			return true
		}
		if one == name && p.Role != "" {
			role = p.Role
		}
	}
	return h.role(role, why)
}

// person adds somebody with receivers, once. Receivers that were told already are not told again. Nobody of a client is
// told: they get a letter.
func (h *hearing) person(p Person, why string) bool {
	if h.a.Directory.Side(p) == Client {
		h.stranger(p)
		return true
	}
	if len(p.Receivers) == 0 {
		return false
	}
	if _, told := h.people[p.key()]; told {
		return true
	}
	var through []string
	shared := -1
	for _, r := range p.Receivers {
		if at, told := h.receivers[r]; told {
			shared = at
			continue
		}
		h.receivers[r] = len(h.out)
		through = append(through, r)
	}
	if len(through) == 0 {
		h.people[p.key()] = shared
		h.out[shared].Also = append(h.out[shared].Also, p)
		return true
	}
	h.people[p.key()] = len(h.out)
	h.out = append(h.out, Telling{Person: p, Receivers: through, Why: why})
	return true
}

// receiver adds a receiver by its name, once.
func (h *hearing) receiver(name, why string) {
	if _, told := h.receivers[name]; told {
		return
	}
	h.receivers[name] = len(h.out)
	h.out = append(h.out, Telling{Receivers: []string{name}, Why: why})
}

// outsiders are the people whom a target of an external message means; a reporter need not be in the directory. No
// fallback leads from outside into the house.
func (h *hearing) outsiders(target Target) []Person {
	one := func(id string) []Person {
		if p, ok := h.a.Directory.Person(id); ok {
			return []Person{p}
		}
		return nil
	}
	switch {
	case target.Role != "":
		return h.a.Directory.Contacts(h.t.Customer, target.Role)
	case target.Person == "reporter" && h.t.Reporter != "":
		if p := one(h.t.Reporter); p != nil {
			return p
		}
		return []Person{{Name: h.t.Reporter}}
	case target.Person == "assignee":
		return one(h.t.Assignee)
	case target.Person != "":
		return one(target.Person)
	case target.Rota != "":
		if r, ok := h.a.Rotas[target.Rota]; ok {
			if id, _, on := r.OnDuty(h.now); on {
				return one(id)
			}
		}
	case target.Party != "":
		return h.standsFor(target.Party)
	case target.Receiver != "" && target.Receiver != "all":
		return []Person{{Name: target.Receiver, Receivers: []string{target.Receiver}}}
	}
	return nil
}

// standsFor are all who have the role of a party, or of the nearest that is one with it.
func (h *hearing) standsFor(name string) []Person {
	for _, one := range joined(h.whose(name), h.facts, h.a.Terms) {
		for _, p := range h.a.Terms.Parties {
			if p.Name != one || p.Role == "" {
				continue
			}
			if people := h.a.Directory.Contacts(h.t.Customer, p.Role); len(people) > 0 {
				return people
			}
		}
	}
	return nil
}

// describe names targets for people.
func describe(to []Target) string {
	var out []string
	for _, t := range to {
		for _, word := range []string{t.Role, t.Party, t.Rota, t.Person, t.Receiver} {
			if word != "" {
				out = append(out, word)
			}
		}
	}
	if len(out) == 0 {
		return "an empty list"
	}
	return strings.Join(out, ", ")
}
