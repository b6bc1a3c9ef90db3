package ticket

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Whatever is tried in whatever order, a refusal is one event and changes nothing, and the timeline makes the ticket.
func TestRefusedAttemptsChangeNothing(t *testing.T) {
	cases := gateCases()
	kinds := needNames()
	people := []By{anna, bob, carol, gm, boss, stranger, {Actor: Actor{Kind: Person, Name: "sam"}, Department: "sas"}}
	rapid.Check(t, func(rt *rapid.T) {
		var gates []Gate
		for _, kind := range rapid.SliceOfNDistinct(rapid.SampledFrom(kinds), 1, 4, rapid.ID[string]).Draw(rt, "needs") {
			gc := cases[kind]
			gc.need.Kind = kind
			gates = append(gates, Gate{Name: kind, Before: []Verb{gc.action.Verb, Start}, Needs: []Need{gc.need}, Source: "x",
				BreakGlass: rapid.SampledFrom([][]string{nil, {"engineer"}}).Draw(rt, "break glass")})
		}
		kind := rapid.SampledFrom([]string{KindIncident, KindRequest, KindDelivery}).Draw(rt, "kind")
		l := at(t, kind, rapid.SampledFrom([]string{"", "setup"}).Draw(rt, "type"), Facts{FactDepartment: "sas", factFirst: "person"}, gateTerms(gates...))
		for range rapid.IntRange(1, 25).Draw(rt, "actions") {
			a := cases[rapid.SampledFrom(kinds).Draw(rt, "case")].action
			if rapid.Bool().Draw(rt, "any") {
				a = anyAction(rt)
			}
			a.BreakGlass = rapid.SampledFrom([]string{"", "it burns"}).Draw(rt, "reason")
			before := l.ticket
			c, err := l.try(a, rapid.SampledFrom(people).Draw(rt, "by"))
			var g *GateError
			switch {
			case errors.As(err, &g):
				onlyRefused(rt, before, c)
			case err != nil:
				if !c.Empty() || !errors.Is(err, ErrRefused) {
					rt.Fatalf("%s: %v with %d events", a.Verb, err, len(c.Events))
				}
				continue
			}
			l.take(c)
		}
		folded, err := Fold(l.timeline)
		if err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(l.ticket, folded); d != "" {
			rt.Fatalf("the timeline folds to something else: %s", d)
		}
		if err := VerifyChain(l.timeline, l.ticket.Seq, l.ticket.Head); err != nil {
			rt.Fatal(err)
		}
	})
}

// anyAction is a verb of the desk with fields that may suit it.
func anyAction(rt *rapid.T) Action {
	pick := func(name string, words ...string) string { return rapid.SampledFrom(words).Draw(rt, name) }
	return Action{
		Verb: Verb(pick("verb", "record", "confirm", "tick", "document", "charge", "order", "approve", "security", "draft", "send", "update",
			"session", "monitor", "except", "rate", "verify", "decline", "resolve", "close", "reopen", "reject-delivery", "waive", "escalate", "quote")),
		Text: pick("text", "", "none", "none, because it is so", "words"),
		What: pick("what", "", "1", "yes", "no", "device", "symptoms", "configure", "outside-scope", "ledger", "create"),
		To:   pick("to", "", "client", "documentation", "nonsense"),
		At:   t0.Add(time.Duration(rapid.IntRange(-60, 60).Draw(rt, "at")) * time.Minute), Until: t0,
		Score: rapid.IntRange(-1, 11).Draw(rt, "score"),
	}
}
