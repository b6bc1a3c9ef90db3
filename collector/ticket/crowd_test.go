package ticket

import (
	"fmt"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// crowded is a ticket that lists as many alerts as it may, all of which ended, and counts one that fires.
func crowded(t *testing.T, terms Terms) (*log, Counted) {
	t.Helper()
	l := &log{t: t}
	l.play(Open(Birth{ID: "id1", Number: "WB-1001", Title: "full", Alert: firing("a0", incident.Warning), Terms: terms}, t0))
	for i := 1; i < MaxAlerts; i++ {
		l.play(l.ticket.Fire(firing(fmt.Sprint("a", i), incident.Warning), terms, nil, t0))
	}
	l.play(l.ticket.Count(firing("more", incident.Warning), Counted{}, terms, t0))
	for i := range MaxAlerts {
		l.play(l.ticket.End(ended(fmt.Sprint("a", i), incident.Warning, incident.Recovered, t0), t0))
	}
	if !l.ticket.State.Open() || l.ticket.Firing() != 1 {
		t.Fatalf("it is %s and %d alerts fire", l.ticket.State, l.ticket.Firing())
	}
	return l, Counted{Alert: "more", Ticket: "id1"}
}

func TestWhoIsCounted(t *testing.T) {
	l, kept := crowded(t, terms())
	ours := firing("silent", incident.Critical)
	ours.Source = house.Name
	for name, tc := range map[string]struct {
		a    incident.Alert
		was  Counted
		want bool
	}{
		"one more":            {firing("z", incident.Info), Counted{}, true},
		"one that is counted": {firing("more", incident.Info), kept, true},
		"one that is listed":  {firing("a7", incident.Info), Counted{}, false},
		"the house's own":     {ours, Counted{}, false},
		// A merge brought it, which was counted there while it fired, to where it was listed and ended.
		"one that is both":  {firing("a7", incident.Info), Counted{Alert: "a7", Ticket: "id1"}, true},
		"one that was both": {firing("a7", incident.Info), Counted{Alert: "a7", Ticket: "id1", End: incident.Recovered}, false},
	} {
		if got := l.ticket.Counts(tc.a, tc.was); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	if (Ticket{}).Counts(firing("z", incident.Info), Counted{}) {
		t.Error("a ticket with room for it counts it")
	}
}

// TestACountedAlertIsAnAlert: it raises the priority, keeps its ticket open, reopens it and resolves it.
func TestACountedAlertIsAnAlert(t *testing.T) {
	l, kept := crowded(t, terms())
	l.play(l.ticket.Count(firing("worse", incident.Critical), Counted{}, terms(), t0))
	if l.ticket.Priority != "P1" || l.ticket.Crowd.Came != 2 {
		t.Errorf("it is %s with %+v", l.ticket.Priority, l.ticket.Crowd)
	}
	worse := Counted{Alert: "worse", Ticket: "id1"}
	l.play(l.ticket.EndCounted(ended("worse", incident.Critical, incident.SeriesGone, t0), worse, t0))
	l.play(l.ticket.EndCounted(ended("more", incident.Warning, incident.Recovered, t0), kept, t0))
	if !l.ticket.State.Open() || l.ticket.Crowd.Unclear != 1 || l.timeline[len(l.timeline)-1].Kind != Noted {
		t.Errorf("one's series went: it is %s, %+v", l.ticket.State, l.ticket.Crowd)
	}
	worse.End = incident.SeriesGone
	l.play(l.ticket.Count(firing("worse", incident.Critical), worse, terms(), t0))
	worse.End = ""
	if c, err := l.ticket.Count(firing("worse", incident.Critical), worse, terms(), t0); err != nil || !c.Empty() {
		t.Errorf("that it is known to fire changes %+v: %v", c.Ticket.Crowd, err)
	}
	l.play(l.ticket.EndCounted(ended("worse", incident.Critical, incident.Recovered, t0), worse, t0))
	if l.ticket.State != Done || l.ticket.Crowd.Came != 2 || l.ticket.Crowd.Unclear != 0 {
		t.Errorf("it is %s with %+v", l.ticket.State, l.ticket.Crowd)
	}
	l.play(l.ticket.Count(firing("later", incident.Warning), Counted{}, terms(), t0.Add(time.Minute)))
	if l.ticket.State != Again {
		t.Errorf("one more: it is %s", l.ticket.State)
	}
}

// TestWhatIsKeptOfTheCounted: when it fired last and how it ended last, of no more that ended for good than a bound.
func TestWhatIsKeptOfTheCounted(t *testing.T) {
	few := Ticket{Opening: Opening{ID: "id1"}}
	many := few
	many.Crowd.Came = crowdKept + 1
	before, at := t0.Add(-time.Hour), t0.Add(time.Minute)
	over := func(e incident.End) incident.Alert {
		a := ended("more", incident.Warning, e, at)
		a.FiredAt = time.Time{}
		return a
	}
	kept := func(e incident.End, fired, ended time.Time) Counted { return Counted{"more", "id1", e, fired, ended} }
	fires := firing("more", incident.Warning)
	for name, tc := range map[string]struct {
		t    Ticket
		a    incident.Alert
		was  Counted
		want Counted
		ok   bool
	}{
		"it comes":                          {few, fires, Counted{}, kept("", fires.FiredAt, time.Time{}), true},
		"it comes again":                    {few, fires, kept(incident.Recovered, before, before), kept("", fires.FiredAt, before), true},
		"it recovers":                       {few, over(incident.Recovered), kept("", t0, before), kept(incident.Recovered, t0, at), true},
		"it ends once more":                 {few, over(incident.Recovered), kept(incident.SeriesGone, t0, t0), kept(incident.SeriesGone, t0, t0), true},
		"it lapsed and is said to be over":  {few, over(incident.Recovered), kept(incident.Lapsed, t0, t0), kept(incident.Recovered, t0, at), true},
		"one of very many comes":            {many, fires, Counted{}, kept("", fires.FiredAt, time.Time{}), true},
		"one of very many recovers":         {many, over(incident.Recovered), kept("", t0, before), kept(incident.Recovered, t0, at), false},
		"of one of very many the series go": {many, over(incident.SeriesGone), kept("", t0, before), kept(incident.SeriesGone, t0, at), false},
		"one of very many lapses":           {many, over(incident.Lapsed), kept("", t0, before), kept(incident.Lapsed, t0, at), true},
	} {
		if got, ok := tc.t.Keeps(tc.a, tc.was); got != tc.want || ok != tc.ok {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, got, ok, tc.want, tc.ok)
		}
	}
}

// TestTheCrowdInWords says nothing of how many are listed: what the house says and what a merge brings is beyond MaxAlerts.
func TestTheCrowdInWords(t *testing.T) {
	c := Crowd{Came: 7, Firing: 3, Newest: []string{"a", "b"}}
	if got, want := c.String(), "and 7 more than those that are listed, of which 3 fire; the newest: a; b"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (Crowd{}).String(); got != "" {
		t.Errorf("of none: %q", got)
	}
}

// TestTheCountedFlapTogether: one that comes and goes is told as flapping, and no event is made of each change.
func TestTheCountedFlapTogether(t *testing.T) {
	terms := flappingTerms()
	l, kept := crowded(t, terms)
	for i := range 200 {
		at := t0.Add(time.Duration(i) * 20 * time.Second)
		l.play(l.ticket.EndCounted(ended("more", incident.Warning, incident.Recovered, at), kept, at))
		over := kept
		over.End = incident.Recovered
		l.play(l.ticket.Count(firing("more", incident.Warning), over, terms, at.Add(10*time.Second)))
	}
	if l.ticket.Crowd.Came != 201 || l.ticket.Crowd.Unclear != 0 {
		t.Errorf("it came 201 times: %+v", l.ticket.Crowd)
	}
	if !l.ticket.Flaps() || l.ticket.Firing() != 1 || len(l.timeline) > 200 {
		t.Errorf("flapping: %v, %d fire, %d events", l.ticket.Flaps(), l.ticket.Firing(), len(l.timeline))
	}
}

// TestAMergeTakesTheCountedAlong.
func TestAMergeTakesTheCountedAlong(t *testing.T) {
	l, kept := crowded(t, terms())
	into := opened(t).Ticket
	into.ID, into.Number = "id2", "WB-1002"
	c, err := l.ticket.Act(Action{Verb: Merge, Other: &into, Text: "one cause"}, anna, terms(), t0)
	if err != nil {
		t.Fatal(err)
	}
	other := c.Other.Ticket
	if other.Firing() != 2 || other.Crowd.Came != 1 || !other.Counts(firing("more", incident.Warning), kept) {
		t.Errorf("the target has %d that fire, %+v", other.Firing(), other.Crowd)
	}
}

// TestAMergeBringsWhatWasListed: an alert that the target listed when it ended, and that the other counts while it fires, ends
// there as one that is counted, and is listed when it comes again.
func TestAMergeBringsWhatWasListed(t *testing.T) {
	l, _ := crowded(t, terms())
	into := opened(t).Ticket
	into.ID, into.Number = "id2", "WB-1002"
	over := ended("more", incident.Warning, incident.Recovered, t0)
	into.Alerts = append(into.Alerts, over)
	c, err := l.ticket.Act(Action{Verb: Merge, Other: &into, Text: "one cause"}, anna, terms(), t0)
	if err != nil {
		t.Fatal(err)
	}
	moved, other := Counted{Alert: "more", Ticket: "id2"}, c.Other.Ticket
	if !other.Counts(over, moved) {
		t.Fatal("its end is not that of one that is counted")
	}
	if c, err = other.EndCounted(over, moved, t0); err != nil || c.Ticket.Crowd.Firing != 0 {
		t.Errorf("%d of those that are counted fire: %v", c.Ticket.Crowd.Firing, err)
	}
	if moved, _ = other.Keeps(over, moved); c.Ticket.Counts(firing("more", incident.Warning), moved) {
		t.Error("it comes again and is counted, although it is listed")
	}
}

// TestAClosedTicketKnowsNoUnclearEnds: which alerts they were is forgotten, so what fires and recovers after it was reopened resolves it.
func TestAClosedTicketKnowsNoUnclearEnds(t *testing.T) {
	l, kept := crowded(t, terms())
	l.play(l.ticket.EndCounted(ended("more", incident.Warning, incident.Lapsed, t0), kept, t0))
	if l.ticket.Crowd.Unclear != 1 {
		t.Fatalf("%+v", l.ticket.Crowd)
	}
	for _, verb := range []Verb{Resolve, Close, Reopen} {
		l.play(l.ticket.Act(Action{Verb: verb, Text: "the sender is gone"}, anna, terms(), t0))
	}
	l.play(l.ticket.Count(firing("more", incident.Warning), Counted{}, terms(), t0))
	l.play(l.ticket.EndCounted(ended("more", incident.Warning, incident.Recovered, t0), kept, t0))
	if l.ticket.State != Done || l.ticket.Crowd.Unclear != 0 {
		t.Errorf("it is %s with %+v", l.ticket.State, l.ticket.Crowd)
	}
}
