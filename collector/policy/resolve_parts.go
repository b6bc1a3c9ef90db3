package policy

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/ticket"
)

// parts are what adds up: gates, types, checklists, the policy list.
func (r *resolver) parts() {
	t := &r.out.Ticket
	addUp(r.composition, "gate", func(s Set) map[string]Gate { return s.Gates }, alike[Gate], func(name string, g Gate, from Set) {
		r.out.Sources["gate."+name] = from.label()
		t.Gates = append(t.Gates, g.rule(name, from, t.Priorities))
	})
	addUp(r.composition, "type", func(s Set) map[string]Type { return s.Types }, alike[Type], func(name string, y Type, from Set) {
		r.out.Sources["type."+name] = from.label()
		t.Types = append(t.Types, y.Rule(name, from))
	})
	addUp(r.composition, "checklist", func(s Set) map[string]Checklist { return s.Checklists }, alike[Checklist], func(name string, c Checklist, from Set) {
		r.out.Sources["checklist."+name] = from.label()
		t.Checklists = append(t.Checklists, ticket.Checklist{Name: name, Version: c.Version, EndorsedBy: c.EndorsedBy,
			When: c.When.compiled(), Items: c.Items, Link: c.Link})
	})
	addUp(r.composition, "compliance", func(s Set) map[string]Compliance { return s.Compliance }, alike[Compliance], func(name string, d Compliance, from Set) {
		r.out.Compliance = append(r.out.Compliance, Demand{Name: name, Title: d.Title, When: d.When.compiled(), Systems: d.Systems, Source: from.label()})
	})
}

// worst stands in the names of a need for the worst of the priorities that hold, whatever the set that gives the targets
// calls it.
const worst = "worst"

// needsVersion is the kind of need whose names are priorities.
const needsVersion = "version"

// rule is the gate as tickets read it, under priorities with the worst one first.
func (g Gate) rule(name string, from Set, priorities []string) ticket.Gate {
	out := ticket.Gate{Name: name, Before: verbs(g.Before), When: g.When.compiled(), BreakGlass: g.BreakGlass, Source: from.label()}
	for _, n := range g.Needs {
		out.Needs = append(out.Needs, ticket.Need{Kind: n.Kind, Roles: n.Roles, All: n.All, Names: n.excepted(priorities), When: n.When.compiled()})
	}
	return out
}

// excepted are the names of a need, with the worst priority by its own name. Without any priority the word is left out:
// the set is composed with one that has them.
func (n Need) excepted(priorities []string) []string {
	i := slices.Index(n.Names, worst)
	if n.Kind != needsVersion || i < 0 {
		return n.Names
	}
	if len(priorities) == 0 {
		return slices.Delete(slices.Clone(n.Names), i, i+1)
	}
	names := slices.Clone(n.Names)
	names[i] = priorities[0]
	return names
}

// Rule is the type as tickets go by it; name is its own, from the set that gives it.
func (y Type) Rule(name string, from Set) ticket.Type {
	return ticket.Type{Name: name, Kind: y.Kind, Title: y.Title, Priority: y.Priority, Owner: y.Owner, Steps: y.Steps, Asks: y.Asks,
		Chargeable: y.Chargeable, Every: time.Duration(y.Every), Per: y.Per, Maintenance: y.Maintenance, Evidence: y.Evidence, When: y.When.compiled(), Source: from.label()}
}

// lifecycle is what the set that gives the targets says of a ticket's life; what it leaves unsaid is the first other
// set's that says it.
func (r *resolver) lifecycle() {
	order := r.sets
	if lead, ok := r.winners[sectionTargets]; ok {
		order = append([]Set{lead}, slices.DeleteFunc(slices.Clone(r.sets), func(s Set) bool { return s.Name == lead.Name })...)
	}
	t := &r.out.Ticket
	for _, s := range order {
		for _, d := range []struct {
			key  string
			from Duration
			into *time.Duration
		}{{"reopen_window", s.ReopenWindow, &t.ReopenFor}, {"close_after", s.CloseAfter, &t.CloseAfter}, {"investigation", s.Investigation, &t.Investigation}} {
			if *d.into == 0 && d.from > 0 {
				*d.into = time.Duration(d.from)
				r.out.Sources[d.key] = s.label()
			}
		}
		if s.Rating && !t.Rating {
			t.Rating = true
			r.out.Sources["rating"] = s.label()
		}
		if r.out.Lifecycle == nil && s.Lifecycle != nil {
			r.out.Lifecycle = &Lifecycle{Budget: s.Lifecycle.Budget, Ahead: s.Lifecycle.Ahead, Type: s.Lifecycle.Type}
			r.out.Sources["lifecycle"] = s.label()
		}
		if t.Queue == nil && s.Queue != nil {
			t.Queue = s.Queue
			r.out.Sources["queue"] = s.label()
		}
		if t.Guide == "" && s.Guide != "" {
			t.Guide = s.Guide
			r.out.Sources["guide"] = s.label()
		}
	}
}

// routing is the ownership map: what the contract says of single systems first.
func (r *resolver) routing() {
	t, s := &r.out.Route, r.winners[sectionRouting]
	t.Default, t.Reports = s.Owner, s.Reports
	r.parties(s)
	for _, o := range r.contract.Owners {
		where := r.placeOf(o.At)
		if !slices.Contains(Systems(), o.System) {
			r.found = append(r.found, unknownWord(where, "owners: system", o.System, Systems()))
		}
		if !slices.ContainsFunc(t.Parties, func(p route.Party) bool { return p.Name == o.Owner }) {
			r.found = append(r.found, unknownWord(where, "owners: owner", o.Owner, slices.Sorted(maps.Keys(r.partyNames()))))
		}
		t.Owners = append(t.Owners, route.OwnerRule{Systems: []string{o.System}, Owner: o.Owner, Source: r.ownerSource(o.Agreement)})
		r.out.Sources["owner."+o.System] = r.ownerSource(o.Agreement)
	}
	for _, o := range s.Owners {
		t.Owners = append(t.Owners, route.OwnerRule{Systems: o.Systems, When: o.When.compiled(), Owner: o.Owner, Source: s.label()})
	}
	for _, e := range s.Escalations {
		t.Escalations = append(t.Escalations, route.Escalation{Reason: e.Reason, When: e.When.compiled(), To: e.To})
	}
}

func (r *resolver) ownerSource(agreement string) string {
	if agreement == "" {
		return r.source()
	}
	return r.source() + ", agreement " + agreement
}

func (r *resolver) partyNames() map[string]bool {
	names := map[string]bool{}
	for _, s := range r.sets {
		for name := range s.Parties {
			names[name] = true
		}
	}
	return names
}

// parties are those of the set that gives the routing, and those of the other sets that it does not know: their types
// may be owned by them.
func (r *resolver) parties(lead Set) {
	known := map[string]bool{}
	for _, s := range append([]Set{lead}, r.sets...) {
		for _, name := range slices.Sorted(maps.Keys(s.Parties)) {
			if known[name] {
				continue
			}
			known[name] = true
			p := s.Parties[name]
			r.out.Route.Parties = append(r.out.Route.Parties, route.Party{Name: name, Role: p.Role, Rota: p.Rota, Same: p.Same, When: p.When.compiled()})
		}
	}
}

// notices are the section of that name.
func (r *resolver) notices() {
	t, s := &r.out.Route, r.winners[sectionNotices]
	for _, n := range s.Notices {
		t.Notices = append(t.Notices, route.NoticeRule{Name: n.Name, On: n.On, When: n.When.compiled(), To: recipients(n.To), Template: n.Template,
			Letter: n.Letter})
	}
	t.Templates = s.Templates
	for _, l := range s.Ladder {
		t.Ladder = append(t.Ladder, route.Rung{Name: l.Name, Clock: l.Clock, Share: l.Share, When: l.When.compiled(), To: recipients(l.To),
			AckFor: time.Duration(l.AckFor), Letter: l.Letter})
	}
	if q := s.Quiet; q != nil {
		t.Quiet = &route.QuietHours{Zone: q.Zone, From: q.From, To: q.To, Priorities: q.Priorities}
	}
	t.Urgent, t.Fallback = s.Urgent, s.Fallback
	t.Drafts = s.Drafts && r.customer.Department != ""
}

func recipients(to []Recipient) []route.Target {
	out := make([]route.Target, len(to))
	for i, x := range to {
		out[i] = route.Target{Role: x.Role, Party: x.Party, Rota: x.Rota, Person: x.Person, Receiver: x.Receiver}
	}
	return out
}

// Rotas are who is on call by all loaded sets, by name; overrides are kept elsewhere.
func (b *Book) Rotas() []route.Rota {
	var out []route.Rota
	seen := map[string]bool{}
	for _, s := range b.Sets() {
		for _, name := range slices.Sorted(maps.Keys(s.Rotas)) {
			if !seen[name] {
				seen[name] = true
				out = append(out, s.Rotas[name].rota(name, s))
			}
		}
	}
	slices.SortFunc(out, func(a, b route.Rota) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// rota is a rota as routes read it; hours are those of its set's calendar.
func (x Rota) rota(name string, of Set) route.Rota {
	out := route.Rota{Name: name, Zone: x.Zone, People: x.People, Role: x.Role, Start: x.Start, Every: time.Duration(x.Every), Hours: x.Hours}
	if x.Hours != "" && of.Calendar != nil {
		out.Calendar, _ = of.Calendar.spec(of) // Parse found its faults
	}
	return out
}
