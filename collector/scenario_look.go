package collector

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// all looks at everything that a step expects.
func (l looking) all(x *policy.Expectation) error {
	if x == nil {
		x = &policy.Expectation{}
	}
	l.refused(x)
	c, err := l.w.named(x.Ticket)
	if err == nil {
		if err := l.ticket(x, c); err != nil {
			return err
		}
	} else if x.Ticket != "" || x.AboutTicket() {
		return err
	}
	l.told(x)
	l.findings(x)
	if l.w.refused != nil && (x.Terms != nil || x.From != nil || x.Internal != nil || x.Moved != nil) {
		return l.w.refused
	}
	for _, look := range []func(*policy.Expectation) error{
		l.tickets, l.onCall, func(x *policy.Expectation) error { return l.message(x, c) }, l.terms, l.report, l.parties, l.exported, l.moved,
	} {
		if err := look(x); err != nil {
			return err
		}
	}
	return nil
}

// refused compares the refusal of the step's action.
func (l looking) refused(x *policy.Expectation) {
	got := l.w.refusal
	switch {
	case x.Refused == nil && got == nil:
	case x.Refused == nil:
		l.fail("the action", "to be taken", got.Error())
	case got == nil:
		l.fail("the action", "a refusal"+x.Refused.String(), "none")
	default:
		l.refusal(x.Refused, got)
	}
}

func (l looking) refusal(want *policy.RefusalWant, got error) {
	l.same("the refusal", want.Text, got.Error())
	var gate *ticket.GateError
	is := errors.As(got, &gate)
	switch {
	case want.Gate == "" && want.Missing == nil:
		return
	case !is:
		l.fail("the refusal", "gate "+want.Gate, got.Error())
		return
	}
	if want.Gate != "" && !slices.Contains(gatesOf(gate), want.Gate) {
		l.fail("the gate", want.Gate, strings.Join(gatesOf(gate), ", "))
	}
	left := missingAt(gate)
	for _, m := range want.Missing {
		i := slices.IndexFunc(left, func(s string) bool { return policy.Like("*"+m+"*", s) })
		if i < 0 {
			l.fail("missing at gate "+gate.Gate, inQuotes(m), strings.Join(gate.Missing, "; "))
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	if want.Exactly && len(left) > 0 {
		l.fail("missing at gate "+gate.Gate, "nothing else", strings.Join(left, "; "))
	}
}

// gatesOf are all gates that refused.
func gatesOf(g *ticket.GateError) []string {
	names := []string{g.Gate}
	for _, also := range g.Also {
		names = append(names, also.Gate)
	}
	return names
}

// missingAt is everything that is missing at them.
func missingAt(g *ticket.GateError) []string {
	missing := slices.Clone(g.Missing)
	for _, also := range g.Also {
		missing = append(missing, also.Missing...)
	}
	return missing
}

// tickets looks at which are open, and in which order.
func (l looking) tickets(x *policy.Expectation) error {
	if x.Tickets != nil {
		var open []*aTicket
		for _, c := range l.w.tickets {
			if c.t.State.Open() {
				open = append(open, c)
			}
		}
		l.names("open tickets", x.Tickets, open)
	}
	if x.Queue == nil {
		return nil
	}
	return l.w.p.store.View(l.ctx, func(tx store.Tx) error {
		all, err := tx.Tickets(store.TicketFilter{Order: store.InQueue, Limit: manyTickets})
		l.names("queue", x.Queue, l.w.these(all))
		return err
	})
}

// these are tickets as the scenario knows them.
func (w *world) these(all []ticket.Ticket) []*aTicket {
	out := make([]*aTicket, len(all))
	for i, t := range all {
		out[i] = w.byID(t.ID)
	}
	return out
}

func (l looking) names(what string, want []string, got []*aTicket) {
	names := make([]string, len(got))
	for i, c := range got {
		names[i] = c.name
	}
	if !slices.Equal(want, names) {
		l.fail(what, strings.Join(want, ", "), strings.Join(names, ", "))
	}
}

// onCall looks at who is on call by rota.
func (l looking) onCall(x *policy.Expectation) error {
	if x.OnCall == nil {
		return nil
	}
	rotas := l.w.p.Rotas()
	for _, name := range slices.Sorted(maps.Keys(x.OnCall)) {
		r, known := rotas[name]
		if !known {
			return fmt.Errorf("on_call: there is no rota %q: there are %s", name, strings.Join(slices.Sorted(maps.Keys(rotas)), ", "))
		}
		who, _, _ := r.OnDuty(l.w.now)
		if !policy.Like(x.OnCall[name], who) {
			l.fail("on call at "+name, inQuotes(x.OnCall[name]), inQuotes(who))
		}
	}
	return nil
}

// terms looks at what is in force for the customer now, and where it comes from.
func (l looking) terms(x *policy.Expectation) error {
	if x.Terms == nil && x.From == nil {
		return nil
	}
	r, err := l.w.p.Terms(l.w.premise.Customer())
	if err != nil {
		return err
	}
	l.fields("terms: ", x.Terms, map[string]any{"ticket": r.Ticket, "route": r.Route, "compliance": r.Compliance, "warnings": r.Warnings})
	for _, name := range slices.Sorted(maps.Keys(x.From)) {
		if !policy.Like(x.From[name], r.Sources[name]) {
			l.fail("where "+name+" comes from", inQuotes(x.From[name]), inQuotes(r.Sources[name]))
		}
	}
	return nil
}

// findings looks at what a check of sets and directory finds.
func (l looking) findings(x *policy.Expectation) {
	if x.Findings == nil && x.NoFindings == nil && !x.Clean {
		return
	}
	found := l.w.premise.Book().Check(l.w.fleet.Directory(), l.w.now)
	texts := make([]string, len(found))
	for i, f := range found {
		texts[i] = f.String()
		if x.Clean && f.Fault {
			l.fail("a check", "no fault", f.String())
		}
	}
	for _, want := range x.Findings {
		if !slices.ContainsFunc(texts, func(s string) bool { return policy.Like(want, s) }) {
			l.fail("a check", inQuotes(want), or(strings.Join(texts, " | "), "nothing found"))
		}
	}
	for _, not := range x.NoFindings {
		if i := slices.IndexFunc(texts, func(s string) bool { return policy.Like(not, s) }); i >= 0 {
			l.fail("a check", "no "+inQuotes(not), texts[i])
		}
	}
}

// message looks at an external message as it would read now.
func (l looking) message(x *policy.Expectation, c *aTicket) error {
	if x.Message == nil {
		return nil
	}
	r, err := l.w.termsOf(l.ctx, c)
	if err != nil {
		return err
	}
	text, err := l.w.p.wording(r.Ticket.Hours())(r.Route.Templates[x.Message.Template], c.t, ticket.Notice{})
	if err != nil {
		l.fail("message "+x.Message.Template, "a text", err.Error())
		return nil
	}
	for _, want := range x.Message.Contains {
		if !policy.Like("*"+want+"*", text) {
			l.fail("message "+x.Message.Template, inQuotes(want), inQuotes(text))
		}
	}
	for _, not := range x.Message.Without {
		if strings.Contains(text, not) {
			l.fail("message "+x.Message.Template, "no "+inQuotes(not), inQuotes(text))
		}
	}
	return nil
}

// moved looks at which open tickets the sets in force now would give other clocks.
func (l looking) moved(x *policy.Expectation) error {
	if x.Moved == nil {
		return nil
	}
	moves, err := l.w.p.Moves(l.ctx, store.TicketFilter{})
	if err != nil {
		return err
	}
	var moved []ticket.Ticket
	for _, m := range moves {
		moved = append(moved, m.Ticket)
	}
	l.names("tickets that the sets in force would move", x.Moved, l.w.these(moved))
	return nil
}

// parties looks at which parties are one for a customer, and at its stored instructions.
func (l looking) parties(x *policy.Expectation) error {
	for _, customer := range slices.Sorted(maps.Keys(x.Internal)) {
		r, err := l.w.p.Terms(customer)
		if err != nil {
			return err
		}
		var one []string
		for i, a := range r.Route.Parties {
			for _, b := range r.Route.Parties[i+1:] {
				if route.Internal(a.Name, b.Name, r.Ticket.Facts, r.Route) {
					names := []string{a.Name, b.Name}
					slices.Sort(names)
					one = append(one, strings.Join(names, " "))
				}
			}
		}
		slices.Sort(one)
		if !slices.Equal(one, x.Internal[customer]) {
			l.fail("one party at "+customer, strings.Join(x.Internal[customer], ", "), strings.Join(one, ", "))
		}
	}
	for _, customer := range slices.Sorted(maps.Keys(x.Instructions)) {
		c, _ := l.w.fleet.Customer(customer)
		l.same("instructions of "+customer, x.Instructions[customer], string(c.Instructions))
	}
	return nil
}

// exported looks at the directory as it is exported.
func (l looking) exported(x *policy.Expectation) error {
	if x.Export == nil {
		return nil
	}
	var b bytes.Buffer
	if err := l.w.fleet.Export(&b); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	lines := strings.Split(b.String(), "\n")
	for _, want := range x.Export {
		if !slices.ContainsFunc(lines, func(line string) bool { return policy.Like(want, line) }) {
			l.fail("the export", inQuotes(want), b.String())
		}
	}
	return nil
}
