package route

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Validate names every fault of t at once, each with its place: parties named twice or one with nobody known, owners and
// escalations to parties that are none, targets that are empty, ambiguous or lead to no party or rota, rungs that cannot be
// reached, templates that are missing, urgent priorities among those of quiet hours. rotas are the names of those there are.
func (t Terms) Validate(rotas []string) error {
	v := validation{terms: t, rotas: rotas}
	v.parties()
	if !v.known(t.Default) {
		v.fault("default: %q is no party: name one of parties", t.Default)
	}
	if t.Reports != "" && !v.known(t.Reports) {
		v.fault("reports: %q is no party: name one of parties", t.Reports)
	}
	words := Systems()
	for i, o := range t.Owners {
		if !v.known(o.Owner) {
			v.fault("owners[%d]: owner %q is no party: name one of parties", i, o.Owner)
		}
		for _, s := range o.Systems {
			if !anyHas(words, s) {
				v.fault("owners[%d]: %q is no word for a system: use one of those that rules and the map share", i, s)
			}
		}
	}
	for i, e := range t.Escalations {
		if e.Reason == "" || !v.known(e.To) {
			v.fault("escalations[%d]: expected a reason and a party, got %q to %q", i, e.Reason, e.To)
		}
	}
	v.notices()
	v.ladder()
	if t.Quiet != nil {
		v.errs = append(v.errs, t.Quiet.Validate())
		for _, p := range t.Quiet.Priorities {
			if slices.Contains(t.Urgent, p) {
				v.fault("quiet hours: priority %s is urgent and waits for nothing: take it out of one of both", p)
			}
		}
	}
	v.fallbacks()
	return errors.Join(v.errs...)
}

type validation struct {
	terms Terms
	rotas []string
	errs  []error
}

func (v *validation) fault(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf(format, args...))
}

func (v *validation) known(party string) bool {
	return slices.ContainsFunc(v.terms.Parties, func(p Party) bool { return p.Name == party })
}

func anyHas(lists map[string][]string, word string) bool {
	for _, l := range lists {
		if slices.Contains(l, word) {
			return true
		}
	}
	return false
}

func (v *validation) parties() {
	seen := map[string]bool{}
	for i, p := range v.terms.Parties {
		switch {
		case p.Name == "" || Meant(p.Name):
			v.fault("parties[%d]: name: expected a name, and not \"owner\", \"offered\" or \"offering\", which mean the ticket's", i)
		case seen[p.Name]:
			v.fault("parties[%d]: %s is there twice: join both", i, p.Name)
		}
		seen[p.Name] = true
		if p.Same != "" && (p.Same == p.Name || !v.known(p.Same)) {
			v.fault("parties[%d]: same: %q is no other party", i, p.Same)
		}
		if p.Rota != "" && !slices.Contains(v.rotas, p.Rota) {
			v.fault("parties[%d]: rota %q is not there", i, p.Rota)
		}
	}
}

func (v *validation) notices() {
	for i, n := range v.terms.Notices {
		at := fmt.Sprintf("notices[%d] (%s)", i, n.Name)
		if len(n.On) == 0 {
			v.fault("%s: on: expected kinds of events, or *", at)
		}
		v.targets(at, n.To)
		if n.Template == "" {
			continue
		}
		if _, ok := v.terms.Templates[n.Template]; !ok {
			v.fault("%s: template %q is not among templates", at, n.Template)
		}
		if slices.ContainsFunc(n.To, func(t Target) bool { return t.Receiver == "all" }) {
			v.fault("%s: an external message to every receiver: name to whom it goes", at)
		}
	}
}

func (v *validation) ladder() {
	for i, r := range v.terms.Ladder {
		at := fmt.Sprintf("ladder[%d] (%s)", i, r.Name)
		if r.Name == "" || r.Clock == "" {
			v.fault("%s: expected a name and a clock", at)
		}
		if !(r.Share > 0 && r.Share <= 10) {
			v.fault("%s: share: %v: expected more than 0 and at most 10 times the clock's time", at, r.Share)
		}
		if r.AckFor < 0 || r.AckFor > 0 && r.AckFor < Window {
			v.fault("%s: ack_for: %v: expected nothing, or at least %v", at, r.AckFor, Window)
		}
		v.targets(at, r.To)
		for _, before := range v.terms.Ladder[:i] {
			if before.StepID() == r.StepID() && len(before.When) == 0 {
				v.fault("%s: cannot be reached: a rung of the same name and clock before it always holds", at)
				break
			}
		}
	}
}

func (v *validation) targets(at string, to []Target) {
	if len(to) == 0 {
		v.fault("%s: to: expected at least one to tell", at)
	}
	for i, t := range to {
		set := 0
		for _, word := range []string{t.Role, t.Party, t.Rota, t.Person, t.Receiver} {
			if word != "" {
				set++
			}
		}
		switch {
		case set != 1:
			v.fault("%s: to[%d]: expected exactly one of role, party, rota, person, receiver", at, i)
		case t.Party != "" && !Meant(t.Party) && !v.known(t.Party):
			v.fault("%s: to[%d]: party %q is not among parties", at, i, t.Party)
		case t.Rota != "" && !slices.Contains(v.rotas, t.Rota):
			v.fault("%s: to[%d]: rota %q is not there", at, i, t.Rota)
		}
	}
}

// fallbacks finds roles that lead back to themselves.
func (v *validation) fallbacks() {
	for _, role := range slices.Sorted(maps.Keys(v.terms.Fallback)) {
		var seen []string
		for r := role; r != "" && !slices.Contains(seen, r); r = v.terms.fallback(r) {
			seen = append(seen, r)
			if v.terms.fallback(r) == role {
				v.fault("fallback: %s leads back to itself: end the line somewhere, every receiver is told after it", role)
				break
			}
		}
	}
}
