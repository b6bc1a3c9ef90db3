package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Request asks for the terms of a customer.
type Request struct {
	Customer fleet.Customer
	// Contract is the one in force; nil without one: the set `default` then.
	Contract *fleet.Contract
}

// Resolved is what the sets of a contract and the contract itself come to.
type Resolved struct {
	Ticket ticket.Terms
	Route  route.Terms
	// Compliance is the operator's policy list that the customer's environments are held against.
	Compliance []Demand
	// Lifecycle is how the ends of support are planned; nil where no set says it.
	Lifecycle *Lifecycle
	// Sources tell which set or contract gave what, by section (calendar, targets, routing, notices), field
	// (calendar.zone, target.P1.response, owner.application) and part (gate.four-eyes, type.training).
	Sources map[string]string
	// Warnings are for people: what holds and may not be what one would expect. They are no part of the document.
	Warnings []string
}

// Demand is one entry of the operator's policy list.
type Demand struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// When says which environments it concerns; Systems are the words of rules whose open tickets are deviations from it.
	When    ticket.When `json:"when,omitempty"`
	Systems []string    `json:"systems,omitempty"`
	Source  string      `json:"source"`
}

// Resolve is what holds for a customer under a contract: its sets composed, and its own terms over them field by field. The
// error joins everything that is ambiguous or wrong, each a Finding; the terms are then not to be used. What a set demands
// of the contract and Check refuses without it is a warning here: no ticket is lost for it, and it promises nothing.
func (b *Book) Resolve(r Request) (Resolved, error) {
	k := fleet.Contract{Sets: []string{DefaultSet}}
	if r.Contract != nil {
		k = *r.Contract
		if len(k.Sets) == 0 {
			k.Sets = []string{DefaultSet}
		}
	}
	c := b.compose(k)
	if err := r.faults(sorted(c.found)); err != nil {
		return Resolved{}, err
	}
	res := &resolver{composition: c, customer: r.Customer, bare: r.Contract == nil}
	out := res.resolve()
	if err := r.faults(sorted(c.found)); err != nil {
		return Resolved{}, err
	}
	out.Warnings = append(out.Warnings, res.notes...)
	for _, f := range res.refused {
		out.Warnings = append(out.Warnings, f.String())
	}
	digest, _, err := out.Document()
	if err != nil {
		return Resolved{}, err
	}
	out.Ticket.Digest = digest
	return out, nil
}

// faults are those among findings as a check says them, which names the contract in each; nil without any.
func (r Request) faults(found []Finding) error {
	if r.Contract != nil && r.Contract.ID != "" {
		return faultsOf(ofContract(found, r.Contract.ID))
	}
	if err := faultsOf(found); err != nil {
		return fmt.Errorf("resolve the policy of customer %s: %w", r.Customer.ID, err)
	}
	return nil
}

// ofContract has every finding name the contract that it is of, once.
func ofContract(found []Finding, id string) []Finding {
	found = slices.Clone(found)
	name := "contract " + id
	for i, f := range found {
		text := strings.TrimPrefix(f.Text, name+": ")
		if f.Where != name && !strings.HasPrefix(f.Text, name+" ") {
			text = name + ": " + text
		}
		found[i].Text = text
	}
	return found
}

// resolver makes the terms of one composition.
type resolver struct {
	*composition
	customer fleet.Customer
	// bare: there is no contract.
	bare bool
	out  Resolved
	// refused is what a check refuses although the terms say clearly enough what holds: a ticket is opened all the same, without
	// clocks or with clocks that inform.
	refused []Finding
	// notes are warnings that are no finding of a check: what they say is as the set and the contract want it.
	notes []string
}

// source names the contract, as tickets show it.
func (r *resolver) source() string { return "contract " + r.contract.ID }

func (r *resolver) warn(format string, args ...any) {
	r.out.Warnings = append(r.out.Warnings, fmt.Sprintf(format, args...))
}

func (r *resolver) resolve() Resolved {
	r.out.Sources = map[string]string{}
	for _, section := range Sections() {
		if s, ok := r.winners[section]; ok {
			r.out.Sources[section] = s.label()
		}
	}
	names, versions := make([]string, len(r.sets)), make([]string, len(r.sets))
	for i, s := range r.sets {
		names[i], versions[i] = s.Name, s.Version
	}
	t := &r.out.Ticket
	t.Policy, t.Version = strings.Join(names, "+"), strings.Join(versions, "+")
	t.Contract, t.Facts = r.contract.ID, r.facts()
	t.Calendar = r.calendar()
	r.targets()
	r.parts()
	r.lifecycle()
	r.routing()
	r.notices()
	return r.out
}

// facts are what the contract says that conditions may ask for.
func (r *resolver) facts() ticket.Facts {
	k, f := r.contract, ticket.Facts{}
	set := func(name, word string) {
		if word != "" {
			f[name] = word
		}
	}
	set("department", r.customer.Department)
	if r.bare {
		return f
	}
	set("cover", k.Cover)
	if k.OnCall {
		f["oncall"] = "true"
	}
	f["agreement"] = "none"
	if k.Agreed() {
		f["agreement"] = k.Agreement
	}
	f["phase"], f["model"] = string(fleet.PhaseLive), string(fleet.ModelSeparate)
	set("phase", string(k.Phase))
	set("model", string(k.Model))
	for _, what := range k.Supports {
		f["supports-"+what] = "true"
	}
	return f
}

// targets are the section of that name with the contract's own over it.
func (r *resolver) targets() {
	t, s := &r.out.Ticket, r.winners[sectionTargets]
	t.Priorities = slices.Clone(s.Priorities)
	for _, c := range s.Classify {
		t.Classes = append(t.Classes, ticket.Class{When: c.When.compiled(), Priority: c.Priority, Because: c.Because})
	}
	for _, target := range s.Targets {
		t.Targets = append(t.Targets, r.setTargets(s, target)...)
	}
	if len(s.Clocks) > 0 {
		t.Clocks = map[string]ticket.ClockRule{}
	}
	for name, c := range s.Clocks {
		t.Clocks[name] = ticket.ClockRule{MetBy: verbs(c.MetBy), NotNeeded: c.NotNeeded}
	}
	if len(s.Waits) > 0 {
		t.Waits = map[string]ticket.WaitRule{}
	}
	for name, w := range s.Waits {
		t.Waits[name] = ticket.WaitRule{Stops: w.Stops, For: w.For}
	}
	t.AtRisk = s.AtRisk
	t.BestEffort = s.Agreement == BestEffort && !r.contract.Agreed()
	r.contractTargets(s)
	t.EntitledFrom = r.entitled()
	r.needHours(s)
	r.demand(s)
}

func verbs(words []string) []ticket.Verb {
	var out []ticket.Verb
	for _, w := range words {
		out = append(out, ticket.Verb(w))
	}
	return out
}

// setTargets is one row of a set's targets; Parse has checked it.
func (r *resolver) setTargets(s Set, row Target) []ticket.TargetRule {
	target, err := sla.ParseTarget(row.Clock, row.Within)
	if err != nil {
		r.found = append(r.found, Finding{Where: row.At, Text: err.Error(), Fault: true})
		return nil
	}
	return []ticket.TargetRule{{When: row.condition(), Target: target, Source: s.label(), From: row.From,
		OutsideHours: row.OutsideHours, Beside: row.Beside}}
}

// condition is everything that a row of the targets asks for.
func (row Target) condition() ticket.When {
	w := row.When.compiled()
	if w == nil {
		w = ticket.When{}
	}
	if len(row.Priority) > 0 {
		w["priority"] = row.Priority
	}
	if len(row.Type) > 0 {
		w["type"] = row.Type
	}
	return w
}

// contractTargets put what the contract says of a priority's clock before what the set says of it. What a set leaves out
// by name ("!amendment") the contract leaves out, too.
func (r *resolver) contractTargets(s Set) {
	var own []ticket.TargetRule
	for _, k := range r.contract.Targets {
		where := r.placeOf(k.At)
		target, err := sla.ParseTarget(k.Clock, k.Within)
		switch {
		case err != nil:
			r.found = append(r.found, Finding{Where: where, Text: fmt.Sprintf("%v", err), Fault: true})
			continue
		case !slices.Contains(s.Priorities, k.Priority):
			r.found = append(r.found, Finding{Where: where, Text: fmt.Sprintf("target.%s.%s: %s has no priority %q", k.Priority, k.Clock, s.Name, k.Priority),
				Fix: "its priorities are " + strings.Join(s.Priorities, ", "), Fault: true})
			continue
		}
		if _, known := s.Clocks[k.Clock]; !known {
			r.found = append(r.found, Finding{Where: where, Text: fmt.Sprintf("target.%s.%s: %s has no clock %q: nobody could meet it", k.Priority, k.Clock, s.Name, k.Clock),
				Fix: "its clocks are " + strings.Join(slices.Sorted(maps.Keys(s.Clocks)), ", "), Fault: true})
			continue
		}
		if s.Agreement == BestEffort && !r.contract.Agreed() && !target.Inform {
			r.refused = append(r.refused, r.withoutAgreement(s, where, "target."+k.Priority+"."+k.Clock, "write the target with ,inform"))
		}
		r.out.Sources["target."+k.Priority+"."+k.Clock] = r.source()
		own = append(own, ticket.TargetRule{When: r.exclusions(s, k), Target: target, Source: r.source()})
	}
	r.out.Ticket.Targets = append(own, r.out.Ticket.Targets...)
}

// exclusions are the priority of a contract's target and what the set's own rows for that clock leave out by name.
func (r *resolver) exclusions(s Set, k fleet.Target) ticket.When {
	w := ticket.When{"priority": {k.Priority}}
	for _, row := range s.Targets {
		if row.Clock != k.Clock || len(row.Priority) > 0 && !slices.Contains(row.Priority, k.Priority) {
			continue
		}
		if words := row.condition()["type"]; len(words) > 0 && !slices.ContainsFunc(words, positive) {
			w["type"] = words
		}
	}
	return w
}

// positive tells a word of a condition from one that is left out by name.
func positive(word string) bool { return !strings.HasPrefix(word, "!") }

func (r *resolver) placeOf(at string) string {
	if at != "" {
		return at
	}
	return r.where
}
