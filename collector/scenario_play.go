package collector

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// world is a scenario under way.
type world struct {
	run ScenarioRun
	s   *policy.Scenario
	now time.Time

	// premise is what is in force, as written; engine keeps what p, the collector's pipeline, writes.
	premise *policy.Premise
	engine  *countedEngine
	p       *pipeline
	fleet   *fleet.Registry
	// refused is why the collector would not take the contracts in force: then only what a check finds can be looked at.
	refused error
	// addresses are the people of the directory, complaints what went wrong inside.
	addresses  []address
	complaints complaints

	tickets []*aTicket
	// read is how many writes tickets and told have seen.
	read int
	// last is the ticket that the timeline named last.
	last *aTicket
	// told is what was told since the last step that asked; it is emptied then. met are the messages, the held notices and
	// the drafts that were seen.
	told []toldOf
	met  map[string]bool
	// held are all that were noted when they were held.
	held []toldOf
	// planAt is when the customers' terms are looked through after a change; zero when they were.
	planAt time.Time
	// downTo is when the collector comes back; zero while it is up.
	downTo time.Time
	// refusal is what the step's action was answered with.
	refusal error

	fails []ScenarioFailure
}

// aTicket is a ticket as the store has it, with what the scenario calls it.
type aTicket struct {
	name string
	t    ticket.Ticket
}

// manyTurns bounds what may happen between two steps: more deadlines than that come from one that never passes.
const manyTurns = 10_000

// play plays the scenario.
func (w *world) play(ctx context.Context) []ScenarioFailure {
	w.met = map[string]bool{}
	if len(w.s.Timeline) > 0 {
		w.now = w.s.Timeline[0].When
	}
	if err := w.begin(ctx); err != nil {
		w.fail(w.s.Line, "the scenario cannot begin: "+err.Error())
		return w.fails
	}
	for i := range w.s.Timeline {
		st := &w.s.Timeline[i]
		err := w.step(ctx, st)
		for _, said := range w.complaints.said {
			w.fail(st.Line, said)
		}
		w.complaints.said = nil
		if err != nil {
			w.fail(st.Line, err.Error())
		}
		if err != nil || w.run.once && len(w.fails) > 0 {
			return w.fails
		}
	}
	return w.fails
}

func (w *world) fail(line int, what string) {
	w.fails = append(w.fails, ScenarioFailure{File: w.run.File, Scenario: w.s.Name, Line: line, At: w.now.In(w.s.Zoned), What: what})
}

// begin puts sets, contracts and people in force.
func (w *world) begin(ctx context.Context) (err error) {
	if w.premise, err = policy.NewPremise(w.run.parsed, w.s, w.run.Sets, w.run.book); err != nil {
		return err
	}
	err = w.premise.Edit(w.s.Edit)
	if len(w.s.Faults) > 0 {
		w.faults(err)
		if err != nil && len(w.s.Timeline) > 0 {
			return fmt.Errorf("the sets were refused as expected: nothing can happen under them; leave the timeline out")
		}
	} else if err != nil {
		return err
	}
	if len(w.s.Timeline) == 0 {
		return nil
	}
	w.engine = &countedEngine{Memory: store.NewMemory()}
	return w.start(ctx)
}

// faults compares the complaints of loading with those that are wanted.
func (w *world) faults(err error) {
	got := "no complaint"
	if err != nil {
		got = err.Error()
	}
	for _, want := range w.s.Faults {
		if !slices.ContainsFunc(strings.Split(got, "\n"), func(line string) bool { return policy.Like("*"+want+"*", line) }) {
			w.fails = append(w.fails, ScenarioFailure{File: w.run.File, Scenario: w.s.Name, Line: w.s.Line,
				What: "loading the edited sets", Want: inQuotes(want), Got: got})
		}
	}
}

// step lets time pass until a step, does what happens in it and looks at what came of it.
func (w *world) step(ctx context.Context, st *policy.ScenarioStep) error {
	if err := w.advance(ctx, st.When); err != nil {
		return err
	}
	w.refusal = nil
	if err := w.happen(ctx, st); err != nil {
		return err
	}
	if err := w.refresh(ctx); err != nil {
		return err
	}
	if _, err := w.elapse(ctx); err != nil {
		return err
	}
	return looking{w: w, step: st, ctx: ctx}.all(st.Expect)
}

// happen does what happens in a step.
func (w *world) happen(ctx context.Context, st *policy.ScenarioStep) error {
	acts := st.Open != nil || st.Fire != nil || st.End != nil || st.Do != nil || st.Override != nil || st.Read != nil
	if w.refused != nil && acts {
		return w.refused
	}
	if !w.downTo.IsZero() && acts {
		return fmt.Errorf("the collector is down until %s: it takes nothing", w.downTo.Format(policy.ScenarioLayout))
	}
	switch {
	case st.Open != nil:
		return w.open(ctx, st.Open)
	case st.Fire != nil:
		return w.fire(ctx, st.Fire)
	case st.End != nil:
		return w.end(ctx, st.End)
	case st.Do != nil:
		return w.do(ctx, st.Do)
	case st.Override != nil:
		return w.override(ctx, st.Override)
	case st.Read != nil:
		return w.readIntake(ctx, st.Read)
	case st.Change != nil:
		if err := w.premise.Change(st.Change); err != nil {
			return err
		}
		w.planAt = w.now.Add(planEvery)
		return w.declare()
	case st.Down != "":
		w.downTo = st.DownTo
	}
	return nil
}

// advance visits every instant up to one at which something wants looking at although nobody touches it. While the collector
// is down nothing is visited; when it is back, with what the store has, everything that is due is, at once.
func (w *world) advance(ctx context.Context, to time.Time) error {
	if !w.downTo.IsZero() {
		if w.now = to; to.Before(w.downTo) {
			return nil
		}
		w.now, w.downTo = w.downTo, time.Time{}
		if err := w.start(ctx); err != nil {
			return err
		}
	}
	for range manyTurns {
		next, err := w.elapse(ctx)
		if err != nil {
			return err
		}
		if w.planAt.After(w.now) && (next.IsZero() || w.planAt.Before(next)) {
			next = w.planAt
		}
		if next.IsZero() || next.After(to) {
			w.now = to
			_, err := w.elapse(ctx)
			return err
		}
		w.now = next
	}
	return fmt.Errorf("over %d deadlines came between two steps", manyTurns)
}

// elapse does what time alone does, as the collector's watch does, and returns when there is more to do.
func (w *world) elapse(ctx context.Context) (next time.Time, err error) {
	if !w.downTo.IsZero() || w.refused != nil {
		return w.downTo, nil
	}
	for range manyTurns {
		if next, err = w.p.elapse(ctx); err != nil {
			return next, err
		}
		if err = w.refresh(ctx); err != nil || next.IsZero() || next.After(w.now) {
			return next, err
		}
	}
	return next, fmt.Errorf("a deadline of %s does not pass at %s", next, w.now)
}

// manyTickets is more than any scenario has.
const manyTickets = 100_000

// refresh reads the tickets as they are now, gives those that are new their names, and notes who was told.
func (w *world) refresh(ctx context.Context) error {
	if w.read == w.engine.writes {
		return nil
	}
	w.read = w.engine.writes
	return w.p.store.View(ctx, func(tx store.Tx) error {
		all, err := tx.Tickets(store.TicketFilter{Limit: manyTickets})
		if err != nil {
			return err
		}
		slices.SortFunc(all, func(a, b ticket.Ticket) int {
			return cmp.Or(cmp.Compare(len(a.Number), len(b.Number)), strings.Compare(a.Number, b.Number))
		})
		for _, t := range all {
			if c := w.byID(t.ID); c != nil {
				c.t = t
			} else {
				w.tickets = append(w.tickets, &aTicket{name: w.nameOf(t), t: t})
			}
		}
		return w.hear(tx)
	})
}

// nameOf is what a ticket is called that no step has named: NAME/TYPE of the one that brought it, what it is about for what
// comes again and again, or its number.
func (w *world) nameOf(t ticket.Ticket) string {
	name := t.Number
	if key, own := strings.CutPrefix(t.Key, "report/"+t.Customer+"/"); own {
		name = key
	}
	if t.Parent != nil {
		if parent := w.byID(t.Parent.Ticket); parent != nil {
			name = parent.name + "/" + or(t.Type, t.Kind)
		}
	}
	base := name
	for n := 2; slices.ContainsFunc(w.tickets, func(c *aTicket) bool { return c.name == name }); n++ {
		name = fmt.Sprintf("%s#%d", base, n)
	}
	return name
}

// byID is a ticket by its ID; nil when there is none.
func (w *world) byID(id string) *aTicket {
	i := slices.IndexFunc(w.tickets, func(c *aTicket) bool { return c.t.ID == id })
	if i < 0 {
		return nil
	}
	return w.tickets[i]
}

// called gives a ticket its name, before others see it, and makes it the one that was named last.
func (w *world) called(ctx context.Context, t ticket.Ticket, name string) error {
	c := w.byID(t.ID)
	if c == nil {
		c = &aTicket{name: or(name, t.Number), t: t}
		w.tickets = append(w.tickets, c)
	}
	w.last = c
	return w.refresh(ctx)
}

// find is a ticket by what the scenario calls it.
func (w *world) find(name string) (*aTicket, error) {
	i := slices.IndexFunc(w.tickets, func(c *aTicket) bool { return c.name == name })
	if i >= 0 {
		return w.tickets[i], nil
	}
	var names []string
	for _, c := range w.tickets {
		names = append(names, c.name)
	}
	return nil, fmt.Errorf("there is no ticket %q: there are %s", name, or(strings.Join(names, ", "), "none yet"))
}

// named is a ticket by name, or the one that was named last.
func (w *world) named(name string) (*aTicket, error) {
	if name == "" {
		if w.last == nil {
			return nil, fmt.Errorf("no ticket was opened yet: want one to look at")
		}
		return w.last, nil
	}
	c, err := w.find(name)
	if err == nil {
		w.last = c
	}
	return c, err
}

// termsOf are what a ticket goes by.
func (w *world) termsOf(ctx context.Context, c *aTicket) (r policy.Resolved, err error) {
	err = w.p.store.View(ctx, func(tx store.Tx) error {
		r, err = w.p.TermsOf(tx, c.t)
		return err
	})
	return r, err
}
