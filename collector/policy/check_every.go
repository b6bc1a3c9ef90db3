package policy

import (
	"maps"
	"slices"
	"strings"
)

// contractFacts are what is known where a ticket comes again: what the contract says, for nobody reported anything.
var contractFacts = []string{"agreement", "cover", "department", "model", "oncall", "phase"}

// recurring finds types that come again and could not be opened: the house opens them, so nobody is there to be asked, and a
// condition can only be on what the contract says.
func (c *checker) recurring(name string, y Type) {
	if y.Every <= 0 {
		return
	}
	if len(y.Asks) > 0 {
		c.fault(y.At, "take asks out, or every", "types.%s: it comes again by itself, and nobody is there to say %s", name, strings.Join(y.Asks, ", "))
	}
	for _, fact := range slices.Sorted(maps.Keys(y.When)) {
		if !slices.Contains(contractFacts, fact) && !strings.HasPrefix(fact, "supports-") {
			c.fault(y.At, "ask for what the contract says: "+strings.Join(contractFacts, ", ")+", supports-…",
				"types.%s: it comes again by itself, and nothing is known of %s then, so that it would never open", name, fact)
		}
	}
}
