package ticket

import (
	"testing"
	"time"
)

// BenchmarkGates is a verb that every kind of need stands before, a gate each, on a ticket that meets none of them.
func BenchmarkGates(b *testing.B) {
	terms := gateTerms()
	for kind, gc := range gateCases() {
		gc.need.Kind = kind
		terms.Gates = append(terms.Gates, Gate{Name: kind, Before: []Verb{Start}, Needs: []Need{gc.need}})
	}
	tk := at(b, KindRequest, "setup", Facts{factEstimate: "requested", factFirst: "person"}, terms).ticket
	b.ReportAllocs()
	for b.Loop() {
		if got := tk.Blocked(Start, bob, terms, t0.Add(time.Hour)); len(got) < 15 {
			b.Fatalf("%d gates refuse", len(got))
		}
	}
}
