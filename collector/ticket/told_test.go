package ticket

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// TestRungsOfRunningClocksAreNotForgotten: what a ladder told of a clock that runs stays known, however much was told since;
// what no clock needs any more makes room.
func TestRungsOfRunningClocksAreNotForgotten(t *testing.T) {
	start := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	tk := Ticket{Work: Work{}}
	tk.Clocks = []sla.Clock{{Target: sla.Target{Clock: "response"}, Name: "response", Start: start},
		{Target: sla.Target{Clock: "restore"}, Name: "restore", Start: start, EndedAt: start.Add(time.Minute)}}
	tell := func(step string) {
		t.Helper()
		told := Told{Step: step, At: start.Add(time.Minute)}
		if err := tk.remember(Event{Kind: WasTold, Detail: &Detail{What: step, Told: &told}}); err != nil {
			t.Fatal(err)
		}
	}
	has := func(step string) bool {
		return slices.ContainsFunc(tk.Told, func(one Told) bool { return one.Step == step })
	}
	tell("response/first")
	for i := range 3 * maxTold {
		tell(fmt.Sprintf("restore/%d", i))
	}
	if len(tk.Told) != maxTold || !has("response/first") || has("restore/0") {
		t.Errorf("%d are kept, the running clock's rung among them %v, the ended one's oldest %v", len(tk.Told), has("response/first"), has("restore/0"))
	}
	for i := range maxTold {
		tell(fmt.Sprintf("response/%d", i))
	}
	if !has("response/first") || !has("response/0") || has("restore/1") {
		t.Error("a rung of a running clock was forgotten")
	}
}

// TestWhoAcknowledgesALadderIsNamed: by name and as the declared person, as with everything that a person does.
func TestWhoAcknowledgesALadderIsNamed(t *testing.T) {
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	s := begins(t, desk(t), at, nil)
	c, err := s.ticket.AckLadder([]Told{{Step: "response/first", At: at, AckUntil: at.Add(time.Hour)}}, By{Actor: Actor{Kind: Person, Name: "pat"}, Person: "p-7"}, "", at)
	if err != nil {
		t.Fatal(err)
	}
	if who := c.Events[0].Actor; who.Name != "pat" || who.Person != "p-7" {
		t.Errorf("acknowledged by %+v, want pat, who is the declared person p-7", who)
	}
}
