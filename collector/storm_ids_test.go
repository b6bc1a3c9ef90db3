package collector

import (
	"testing"
	"time"

	"github.com/watchbill/watchbill/rules"
)

// TestNamesComeInOrder: what opens later sorts later in the store, so that a storm's records lie together; the same is
// named the same, what differs in its key alone is not.
func TestNamesComeInOrder(t *testing.T) {
	last := ""
	for _, n := range []int{1, 1001, 1002, 9999, 10000, 65536, 1 << 31} {
		id := ticketID("acme web1 disk", n)
		if id <= last || len(id) != 24 || id != ticketID("acme web1 disk", n) || id == ticketID("acme web2 disk", n) {
			t.Errorf("ticket %d is %s after %s", n, id, last)
		}
		last = id
	}
	last = ""
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for _, later := range []time.Duration{0, time.Nanosecond, time.Second, 24 * time.Hour} {
		one, other := []rules.Transition{{Origin: rules.Origin{ID: "a"}}}, []rules.Transition{{Origin: rules.Origin{ID: "b"}}}
		id := decisionID(at.Add(later), one)
		if id <= last || id != decisionID(at.Add(later), one) || id == decisionID(at.Add(later), other) {
			t.Errorf("the decision %v later is %s after %s", later, id, last)
		}
		last = id
	}
}
