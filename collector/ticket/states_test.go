package ticket

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/sla"
)

const refused = State("refused")

// everyState is the order in which the table of states and verbs has them.
var everyState = []State{New, Acked, InProgress, Waiting, Done, Shut, Again}

// statesAndVerbs is what every verb makes of every state, in everyState's order; a verb of another file that is not in it
// belongs into it.
func statesAndVerbs() map[Verb][]State {
	open := []State{New, Acked, InProgress, Waiting, refused, refused, Again}
	never := []State{refused, refused, refused, refused, refused, refused, refused} // without an offer
	return map[Verb][]State{
		Ack:        {Acked, refused, refused, refused, refused, refused, Acked},
		Start:      {InProgress, InProgress, refused, InProgress, refused, refused, InProgress},
		Note:       everyState,
		Did:        everyState,
		Resolve:    {Done, Done, Done, Done, refused, refused, Done},
		Close:      {refused, refused, refused, refused, Shut, refused, refused},
		Reopen:     {refused, refused, refused, refused, Again, Again, refused},
		Set:        open,
		Workaround: open,
		Prioritise: open,
		Callback:   {Acked, Acked, InProgress, Waiting, Done, refused, Acked},
		Restored:   {Acked, Acked, InProgress, Waiting, refused, refused, Acked},
		WaitFor:    {refused, Waiting, Waiting, refused, refused, refused, refused},
		Resume:     {refused, refused, refused, Acked, refused, refused, refused},
		Agree:      open,
		Rebase:     open,
		Assign:     open,
		HandOver:   open,
		Accept:     never,
		Return:     never,
		LinkTo:     everyState,
		Merge:      {Shut, Shut, Shut, Shut, Shut, refused, Shut},
		MarkMajor:  open,
	}
}

// Every verb in every state: what becomes of the state, or that it is refused.
func TestStatesAndVerbs(t *testing.T) {
	for verb, want := range statesAndVerbs() {
		for i, from := range everyState {
			t.Run(fmt.Sprintf("%s, %s", from, verb), func(t *testing.T) {
				s := in(t, from)
				other := begins(t, desk(t), monday, func(b *Birth) { b.ID, b.Number = "id2", "WB-1002" }).ticket
				s.terms.Version = map[bool]string{true: "2", false: "1"}[verb == Rebase]
				before := s.ticket
				c, err := s.ticket.Act(wellFormed(verb, other, s.now), s.by, s.terms, s.now)
				switch {
				case want[i] == refused:
					if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "WB-1001") || !c.Empty() {
						t.Errorf("got %v and %d events, want a refusal", err, len(c.Events))
					}
					if mustJSON(s.ticket) != mustJSON(before) {
						t.Error("a refusal changed the ticket")
					}
					return
				case err != nil || c.Empty():
					t.Fatalf("%v, %d events", err, len(c.Events))
				}
				s.play(c, nil)
				if s.ticket.State != want[i] {
					t.Errorf("%s, want %s", s.ticket.State, want[i])
				}
				s.verify()
			})
		}
	}
}

// The README shows the table that the test holds.
func TestTheTableOfStatesIsInTheReadme(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for verb, states := range statesAndVerbs() {
		cells := []string{"`" + string(verb) + "`"}
		for i, s := range states {
			switch s {
			case refused:
				cells = append(cells, "–")
			case everyState[i]:
				cells = append(cells, "stays")
			default:
				cells = append(cells, string(s))
			}
		}
		if line := "| " + strings.Join(cells, " | ") + " |\n"; !strings.Contains(string(b), line) {
			t.Errorf("README.md lacks %s", line)
		}
	}
}

// in is a story whose ticket is in a state, with nothing that fires where it is resolved.
func in(t *testing.T, state State) *story {
	t.Helper()
	s := begins(t, desk(t), monday, nil)
	s.now = s.now.Add(time.Minute)
	recover := func() { s.play(s.ticket.End(ended("disk", incident.Warning, incident.Recovered, s.now), s.now)) }
	switch state {
	case Acked:
		s.does(Action{Verb: Ack})
	case InProgress:
		s.does(Action{Verb: Start})
	case Waiting:
		s.does(Action{Verb: Ack})
		s.does(Action{Verb: WaitFor, What: "client", Text: "x"})
	case Done:
		recover()
	case Shut:
		recover()
		s.does(Action{Verb: Close})
	case Again:
		recover()
		s.does(Action{Verb: Reopen, Text: "x"})
	}
	if s.ticket.State != state {
		t.Fatalf("%s, want %s", s.ticket.State, state)
	}
	return s
}

// wellFormed is an action with all that its verb wants.
func wellFormed(v Verb, other Ticket, now time.Time) Action {
	a := Action{Verb: v, Text: "because"}
	switch v {
	case Set:
		a.Facts = Facts{"impact": "person"}
	case Workaround:
		a.What, a.To = Accepted, "carol"
	case Prioritise:
		a.What = "P3"
	case WaitFor:
		a.What = "client"
	case Agree:
		a.Until, a.To = now.Add(time.Hour), "carol"
	case HandOver:
		a.To = "developer"
	case LinkTo:
		a.Relation, a.Other = RelatedTo, &other
	case Merge:
		a.Other = &other
	}
	return a
}

// What an action lacks is said, with what would do.
func TestRefusalsSayWhatToDo(t *testing.T) {
	later := monday.Add(time.Hour)
	elsewhere := begins(t, desk(t), monday, func(b *Birth) { b.ID, b.Number, b.Alert.Customer = "id3", "WB-1003", "globex" }).ticket
	done := in(t, Done).ticket
	for name, tc := range map[string]struct {
		a    Action
		want string
	}{
		"set nothing":            {Action{Verb: Set}, "lines-busy, monitoring, name-of-user, objects"},
		"set an unknown fact":    {Action{Verb: Set, Facts: Facts{"colour": "red"}}, `"colour" is no fact that can be set here; these can: change-at`},
		"set what the house has": {Action{Verb: Set, Facts: Facts{"severity": "info"}}, `"severity" is no fact`},
		"set the contract's":     {Action{Verb: Set, Facts: Facts{"cover": "24x7"}}, `"cover" is no fact`},
		"set a novel":            {Action{Verb: Set, Facts: Facts{"impact": strings.Repeat("x", MaxFact+1)}}, "at most 200 in one line"},
		"a workaround said":      {Action{Verb: Set, Facts: Facts{"workaround": "accepted"}}, `"workaround" is no fact`},
		"approved said":          {Action{Verb: Set, Facts: Facts{"approved": "no"}}, `"approved" is no fact`},
		"unsupported said":       {Action{Verb: Set, Facts: Facts{"unsupported": "yes"}}, `"unsupported" is no fact`},
		"lines busy perhaps":     {Action{Verb: Set, Facts: Facts{"lines-busy": "perhaps"}}, "lines-busy is yes or no"},
		"a version that is none": {Action{Verb: Set, Facts: Facts{"version": "N/A"}}, `"N/A" is no version`},
		"nobody's workaround":    {Action{Verb: Workaround, What: Accepted, Text: "x"}, "who of the client"},
		"a workaround to come":   {Action{Verb: Workaround, What: Accepted, To: "carol", Text: "x", At: later}, "to come"},
		"no workaround to lose":  {Action{Verb: Workaround, What: "none", Text: "x"}, "these facts already"},
		"another priority":       {Action{Verb: Prioritise, What: "P9", Text: "x"}, "P1, P2, P3"},
		"priority without why":   {Action{Verb: Prioritise, What: "P1"}, "say why"},
		"wait for nothing known": {Action{Verb: WaitFor, What: "godot", Text: "x"}, "client, supplier"},
		"promise the past":       {Action{Verb: Agree, Until: monday.Add(-time.Hour), To: "carol"}, "to come"},
		"promise nobody":         {Action{Verb: Agree, Until: later}, "with whom"},
		"hand over to nobody":    {Action{Verb: HandOver, Text: "x"}, "say which"},
		"hand over to the owner": {Action{Verb: HandOver, To: "first level", Text: "x"}, "owned by first level already"},
		"accept what is not":     {Action{Verb: Accept}, "offered to nobody"},
		"link as nonsense":       {Action{Verb: LinkTo, Relation: "like", Other: &elsewhere}, "child of, duplicate of, parent of, recurrence of, related to"},
		"link to nothing":        {Action{Verb: LinkTo, Relation: RelatedTo}, "say which"},
		"child of a stranger":    {Action{Verb: LinkTo, Relation: ChildOf, Other: &elsewhere}, "different customers"},
		"merge with a stranger":  {Action{Verb: Merge, Text: "x", Other: &elsewhere}, "different customers"},
		"merge with itself":      {Action{Verb: Merge, Text: "x", Other: &done}, "itself"},
	} {
		t.Run(name, func(t *testing.T) {
			s := in(t, Acked)
			if err := s.refuses(tc.a); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want a refusal that says %q", err, tc.want)
			}
		})
	}
}

// A full ticket takes what ends it and says where to go on.
func TestAFullTicket(t *testing.T) {
	s := in(t, InProgress)
	s.ticket.Seq = MaxEvents
	if err := s.refuses(Action{Verb: Note, Text: "x"}); !strings.Contains(err.Error(), "10000 events") || !strings.Contains(err.Error(), "go on in a new one") {
		t.Error(err)
	}
	if _, err := s.ticket.Act(Action{Verb: Resolve, Text: "x"}, anna, s.terms, s.now); err != nil {
		t.Error(err)
	}
	if _, err := s.ticket.Fire(firing("inodes", incident.Critical), s.terms, nil, s.now); err != nil {
		t.Error(err)
	}
}

// An offered ticket stays its owner's until it is accepted, and is counted when it comes back.
func TestHandoff(t *testing.T) {
	dora := somebody("dora", "developer")
	s := in(t, Acked)
	s.does(Action{Verb: HandOver, To: "developer", Text: "a fault of the application"})
	if s.ticket.Owner != "first level" || s.ticket.Handoff == nil || s.ticket.Handoff.From != "first level" || s.ticket.Handoff.Internal {
		t.Fatalf("%s, %+v", s.ticket.Owner, s.ticket.Handoff)
	}
	s.refuses(Action{Verb: HandOver, To: "hosting provider", Text: "x"})
	s.by = dora
	s.does(Action{Verb: Return, Text: "nothing in the log"})
	s.by = anna
	s.does(Action{Verb: HandOver, To: "developer", Text: "here is the log", Relation: Internal})
	if !s.ticket.Handoff.Internal {
		t.Error("it is told to be internal")
	}
	// A storm takes the ticket in and lets it go: the offer stands.
	s.play(s.ticket.Join(PartOf("s1", "WB-1"), s.now))
	s.play(s.ticket.Leave("x", s.now))
	s.by = dora
	s.does(Action{Verb: Accept})
	if s.ticket.Owner != "developer" || s.ticket.Assignee != "dora" || s.ticket.Handoff != nil || s.ticket.Returned != 1 {
		t.Errorf("%s, %s, %+v, returned %d", s.ticket.Owner, s.ticket.Assignee, s.ticket.Handoff, s.ticket.Returned)
	}
	s.does(Action{Verb: Assign, To: "emil"})
	if s.ticket.Assignee != "emil" {
		t.Error(s.ticket.Assignee)
	}
	if got := s.timeline[0].Opening.After(s.timeline[1:]); got != s.ticket.Opening {
		t.Errorf("%+v\n%+v", got, s.ticket.Opening)
	}
	if want := []Kind{Opened, Acknowledged, HandedOff, HandoffBack, HandedOff, Opened, HandoffTaken, Assigned}; !slices.Equal(s.notices, want) {
		t.Errorf("told %v, want %v", s.notices, want)
	}
	s.verify()
}

// A merged ticket closes, and what has to go on of it goes on in the other.
func TestMerge(t *testing.T) {
	s := begins(t, desk(t), monday, func(b *Birth) { b.Alert.Severity = incident.Critical })
	s.play(s.ticket.Fire(firing("inodes", incident.Warning), s.terms, nil, s.now))
	s.does(Action{Verb: HandOver, To: "developer", Text: "a fault of the application"})
	s.does(Action{Verb: Note, Text: "a note that stays"})
	into := begins(t, desk(t), monday, func(b *Birth) {
		b.ID, b.Number, b.Alert.ID, b.Alert.Service = "id2", "WB-1002", "raid", "raid"
	})
	c := s.does(Action{Verb: Merge, Other: &into.ticket, Text: "one controller"})
	if s.ticket.State != Shut || s.ticket.Merged.Ticket != "id2" || s.ticket.Deadline() != (time.Time{}) {
		t.Errorf("%s, %+v, deadline %s", s.ticket.State, s.ticket.Merged, s.ticket.Deadline())
	}
	into.play(*c, nil)
	if n := into.ticket.Firing(); n != 3 || into.ticket.Priority != "P1" || into.ticket.Handoff == nil || into.ticket.Handoff.To != "developer" {
		t.Errorf("%d fire, %s, %+v", n, into.ticket.Priority, into.ticket.Handoff)
	}
	if cl := into.clock("response"); cl.Target.Text() != "1h,business" {
		t.Errorf("response %s", cl.Target.Text())
	}
	if err := s.refuses(Action{Verb: Reopen, Text: "x"}); !strings.Contains(err.Error(), "WB-1002") {
		t.Error(err)
	}
	for _, id := range []string{"disk", "inodes"} {
		into.play(into.ticket.End(ended(id, incident.Warning, incident.Recovered, monday.Add(time.Minute)), monday.Add(time.Minute)))
	}
	if into.ticket.State != New || into.ticket.Firing() != 1 {
		t.Errorf("%s, %d fire", into.ticket.State, into.ticket.Firing())
	}
	s.verify()
	into.verify()
}

// Linked tickets know of each other, and a parent of what becomes of its children.
func TestLinks(t *testing.T) {
	other := func(id string) *story {
		return begins(t, desk(t), monday, func(b *Birth) { b.ID, b.Number, b.Alert.Service = id, "WB-"+id, id })
	}
	s, child := in(t, Acked), other("9")
	s.does(Action{Verb: MarkMajor, Text: "the whole site"})
	child.play(*s.does(Action{Verb: MarkMajor, Text: "that one too", Other: &child.ticket}), nil)
	if !s.ticket.Major || len(s.ticket.Children) != 1 || child.ticket.Parent == nil || child.ticket.Parent.Ticket != "id1" {
		t.Fatalf("%+v, parent %+v", s.ticket.Children, child.ticket.Parent)
	}
	s.refuses(Action{Verb: LinkTo, Relation: ChildOf, Other: &child.ticket})
	second := other("10")
	c := second.does(Action{Verb: LinkTo, Relation: ChildOf, Other: &s.ticket})
	s.play(*c, nil)
	second.refuses(Action{Verb: LinkTo, Relation: ChildOf, Other: &s.ticket})
	child.does(Action{Verb: Resolve, Text: "done"})
	s.play(s.ticket.ChildChanged(child.ticket, s.now))
	if again, err := s.ticket.ChildChanged(child.ticket, s.now); err != nil || !again.Empty() {
		t.Errorf("twice: %v %v", again.Events, err)
	}
	want := []Child{{ID: "9", Number: "WB-9", Kind: "incident", State: Done, Relation: ChildOf}, {ID: "10", Number: "WB-10", Kind: "incident", State: New, Relation: ChildOf}}
	if d := cmp.Diff(want, s.ticket.Children); d != "" {
		t.Error(d)
	}
	s.verify()
	child.verify()
	second.verify()
}

// What people report opens beside what is detected, under a key of its own; each knows who was first.
func TestReports(t *testing.T) {
	at := monday
	early := begins(t, desk(t), at, reported("telephone", at.Add(-10*time.Minute)))
	if early.ticket.Key != "ticket/id1" || early.ticket.Facts["first-to-know"] != "person" || early.ticket.Detected || early.timeline[0].Actor.Name != "carol" {
		t.Errorf("%+v", early.ticket.Opening)
	}
	report := Report{Customer: "acme", Site: "london", Asset: "web1", Service: "filesystem"}
	detect := func(same Ticket, fired time.Time) (Change, Change) {
		a := firing("disk", incident.Warning)
		a.FiredAt = fired
		c := must(t)(Open(Birth{ID: "id2", Number: "WB-1002", Title: "x", Alert: a, Terms: desk(t), Same: &same}, fired))
		if c.Ticket.Key != report.IncidentKey() {
			t.Errorf("keys %q and %q", c.Ticket.Key, report.IncidentKey())
		}
		return c, *c.Other
	}
	c, other := detect(early.ticket, at.Add(time.Minute))
	early.play(other, nil)
	if c.Ticket.Facts["first-to-know"] != "person" || early.ticket.Facts["first-to-know"] != "person" || early.ticket.Links[0].Ticket != "id2" || c.Ticket.Links[0].Ticket != "id1" {
		t.Errorf("a person first: %v, %v", c.Ticket.Facts["first-to-know"], early.ticket.Links)
	}
	c, other = detect(early.ticket, at.Add(-time.Hour))
	early.play(other, nil)
	if c.Ticket.Facts["first-to-know"] != "monitoring" || early.ticket.Facts["first-to-know"] != "monitoring" {
		t.Errorf("monitoring first: %v, %v", c.Ticket.Facts["first-to-know"], early.ticket.Facts["first-to-know"])
	}
	early.verify()
}

// Requests, tasks and what else is no incident open by their types, under their parents.
func TestOtherKinds(t *testing.T) {
	request := func(change func(*Birth)) (Change, error) {
		b := Birth{ID: "r1", Number: "WB-2001", Title: "an account for Dora", Terms: desk(t), Type: "new-account",
			Facts: Facts{"name-of-user": "dora"}, Report: &Report{By: "carol", Channel: "email", Customer: "acme", ReceivedAt: monday}}
		if change != nil {
			change(&b)
		}
		return Open(b, monday)
	}
	c := must(t)(request(nil))
	if tk := c.Ticket; tk.Kind != "request" || tk.Owner != "second level" || tk.Priority != "P3" || tk.Because != "new-account" || tk.Facts["first-to-know"] != "" {
		t.Errorf("%+v %s %s %v", tk.Opening, tk.Priority, tk.Because, tk.Facts)
	}
	for want, change := range map[string]func(*Birth){
		"no type \"colour\"; it has monitoring, new-account": func(b *Birth) { b.Type = "colour" },
		"is a type of request, not of task":                  func(b *Birth) { b.Kind = "task" },
		"say in a title":                                     func(b *Birth) { b.Title = " " },
		"which customer":                                     func(b *Birth) { b.Report.Customer = "" },
		"to come":                                            func(b *Birth) { b.Report.ReceivedAt = monday.Add(time.Hour) },
		"say name-of-user":                                   func(b *Birth) { b.Facts = nil },
		"at most 300 are kept":                               func(b *Birth) { b.Title = strings.Repeat("x", MaxTitle+1) },
		"at most 200 in one line":                            func(b *Birth) { b.Facts = Facts{"name-of-user": "a\nb"} },
	} {
		if _, err := request(change); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a refusal that says %q", err, want)
		}
	}
	one := must(t)(request(func(b *Birth) { b.Report.Key = "review/backup" }))
	if one.Ticket.Key != "report/acme/review/backup" {
		t.Error(one.Ticket.Key)
	}
	s := in(t, Done)
	task := must(t)(Open(Birth{ID: "t1", Number: "WB-2002", Title: "watch the disk", Terms: desk(t), Type: "monitoring", Parent: &s.ticket, Relation: "follow-up of"}, s.now))
	s.play(*task.Other, nil)
	if tk := task.Ticket; tk.Kind != "task" || tk.Customer != "acme" || tk.Asset != "web1" || tk.Parent.Ticket != "id1" || tk.Key != "ticket/t1" {
		t.Errorf("%+v, parent %+v", tk.Opening, tk.Parent)
	}
	if d := cmp.Diff([]Child{{ID: "t1", Number: "WB-2002", Kind: "task", Type: "monitoring", State: New, Relation: "follow-up of"}}, s.ticket.Children); d != "" {
		t.Error(d)
	}
	s.verify()
}

// A storm's head that gets worse is raised as any ticket, and its clocks with it.
func TestASpreadingStormMovesItsClocks(t *testing.T) {
	s := begins(t, desk(t), monday, func(b *Birth) { b.Kind = KindStorm })
	s.now = monday.Add(time.Minute)
	s.play(s.ticket.Spread("twenty more", incident.Critical, s.terms, nil, s.now))
	if c := s.clock("response"); s.ticket.Priority != "P1" || c.Target.Text() != "1h,business" || s.ticket.Facts["severity"] != "critical" {
		t.Errorf("%s, response %s, facts %v", s.ticket.Priority, c.Target.Text(), s.ticket.Facts)
	}
	a := ended("disk", incident.Critical, incident.Recovered, s.now)
	s.play(s.ticket.Calm(a, "over", s.now))
	if s.ticket.State != Done || s.clock("resolution").End != "met" || s.clock("response").End != "not needed" {
		t.Errorf("%s, clocks %+v", s.ticket.State, s.ticket.Clocks)
	}
	if want := []Kind{Opened, StormSpread, Resolved}; !slices.Equal(s.notices, want) {
		t.Errorf("told %v, want %v", s.notices, want)
	}
	s.verify()
}

// Two changes of one ticket are one, with what they owe to others.
func TestThenKeepsWhatIsOwedToOthers(t *testing.T) {
	s := in(t, Acked)
	one := begins(t, desk(t), monday, func(b *Birth) { b.ID, b.Number, b.Alert.Service = "id2", "WB-1002", "raid" }).ticket
	two := begins(t, desk(t), monday, func(b *Birth) { b.ID, b.Number, b.Alert.Service = "id3", "WB-1003", "net" }).ticket
	first := must(t)(s.ticket.Act(Action{Verb: LinkTo, Relation: RelatedTo, Other: &one}, anna, s.terms, s.now))
	second := must(t)(first.Ticket.Act(Action{Verb: LinkTo, Relation: RelatedTo, Other: &two}, anna, s.terms, s.now))
	first.Births = []Birth{{ID: "b1"}}
	c := first.Then(second)
	if c.Other == nil || c.Other.Ticket.ID != "id2" || c.Other.Other == nil || c.Other.Other.Ticket.ID != "id3" || len(c.Births) != 1 || !c.ByPerson() {
		t.Errorf("%+v", c)
	}
	if first.Other.Other != nil {
		t.Error("the first change was altered")
	}
}

// The priority of a ticket that was opened under other terms is not judged by those of the one that is merged into it; of
// the clocks that both have the stricter one is kept.
func TestMergeAcrossTerms(t *testing.T) {
	s := begins(t, desk(t), monday, func(b *Birth) { b.Alert.Severity = incident.Critical })
	older := deskTerms()
	older.Version, older.Digest = "0", "d0"
	into := begins(t, ready(t, older), monday, func(b *Birth) { b.ID, b.Number, b.Alert.Service = "id2", "WB-1002", "raid" })
	into.play(*s.does(Action{Verb: Merge, Other: &into.ticket, Text: "one controller"}), nil)
	if into.ticket.Priority != "P2" || into.count(Noted, "") != 2 || into.clock("response").Target.Text() != "1h,business" {
		t.Errorf("%s, response %s", into.ticket.Priority, into.clock("response").Target.Text())
	}
	into.verify()
}

// A reporter says nothing that the house knows better.
func TestReportersDoNotSayWhatTheHouseKnows(t *testing.T) {
	s := begins(t, desk(t), monday, func(b *Birth) {
		reported("telephone", monday)(b)
		b.Facts = Facts{"entitled": "no", "detected": "yes", "first-to-know": "monitoring", "priority": "P1", "severity": "critical"}
	})
	want := Facts{"kind": "incident", "service": "filesystem", "channel": "telephone", "reported": "yes", "first-to-know": "person",
		"severity": "critical", "priority": "P1", "cover": "office", "phase": "live", "environment": "test"}
	if d := cmp.Diff(want, s.ticket.Facts); d != "" {
		t.Error(d)
	}
	if s.ticket.Severity != incident.Critical || len(s.ticket.Clocks) != 2 {
		t.Errorf("%s, clocks %+v", s.ticket.Severity, s.ticket.Clocks)
	}
}

// What a merge is refused for, and what of it is only told.
func TestMergeableTickets(t *testing.T) {
	s := in(t, Acked)
	other := func(change func(*Ticket)) *Ticket {
		o := begins(t, desk(t), monday, func(b *Birth) { b.ID, b.Number, b.Alert.Service = "id2", "WB-1002", "raid" }).ticket
		change(&o)
		return &o
	}
	for want, o := range map[string]*Ticket{
		"reopen that one first": other(func(o *Ticket) { o.State = Shut }),
		"a storm stands for":    other(func(o *Ticket) { o.Kind = KindStorm }),
		"which is its child":    other(func(o *Ticket) { o.Parent = &Link{Ticket: "id1"} }),
		"say which":             nil,
	} {
		if err := s.refuses(Action{Verb: Merge, Text: "x", Other: o}); !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	s.does(Action{Verb: HandOver, To: "developer", Text: "a fault"})
	offered := must(t)(other(func(*Ticket) {}).Act(Action{Verb: HandOver, To: "hosting provider", Text: "another"}, anna, s.terms, s.now)).Ticket
	c := s.does(Action{Verb: Merge, Text: "x", Other: &offered})
	last := c.Events[len(c.Events)-1]
	if c.Ticket.Handoff.To != "hosting provider" || last.Kind != Noted || !strings.Contains(last.Text, "WB-1001 was offered to developer") {
		t.Errorf("%+v, %s %q", c.Ticket.Handoff, last.Kind, last.Text)
	}
}

// A merge neither starts a late clock anew nor takes a breach out of the report, and counts none twice.
func TestMergeKeepsWhatIsLate(t *testing.T) {
	for name, tc := range map[string]struct {
		at     time.Duration // of the merge, since the first was received
		change func(into *story)
		want   []string // customer's breaches: number and clock
		begins bool     // the survivor's response goes on from the merged one's start
	}{
		"at risk":                                {210 * time.Minute, nil, nil, true},
		"breached":                               {5 * time.Hour, nil, []string{"WB-1002 response"}, true},
		"breached, and answered in the survivor": {5 * time.Hour, func(into *story) { into.does(Action{Verb: Ack}) }, []string{"WB-1001 response"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := begins(t, desk(t), monday, nil)
			into := begins(t, desk(t), monday.Add(tc.at-time.Minute), func(b *Birth) { b.ID, b.Number, b.Alert.ID = "id2", "WB-1002", "inodes" })
			s.now, into.now = monday.Add(tc.at), monday.Add(tc.at)
			if tc.change != nil {
				tc.change(into)
			}
			c := s.does(Action{Verb: Merge, Other: &into.ticket, Text: "one controller"})
			into.play(*c, nil)
			if got := into.clock("response").Start.Equal(monday); got != tc.begins {
				t.Errorf("the response of the survivor started %s", into.clock("response").Start)
			}
			if cl := s.clock("response"); len(tc.want) > 0 && cl.State(s.now) != sla.StateBreached {
				t.Errorf("the merged ticket's response is %s", cl.State(s.now))
			}
			two := []Ticket{s.ticket, into.ticket}
			r := ReportSLA(slices.Values(two), SLAQuestion{Now: s.now, Hours: func(Ticket) *sla.Calendar { return s.terms.calendar }, Find: among(two)})
			var got []string
			for _, b := range r.Breaches {
				got = append(got, b.Number+" "+b.Clock)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			s.verify()
			into.verify()
		})
	}
}

// What was paused before the merge is not counted after it, and a survivor that waits goes on waiting.
func TestMergeKeepsPauses(t *testing.T) {
	s := begins(t, desk(t), monday, nil)
	s.now = monday.Add(10 * time.Minute)
	s.does(Action{Verb: Ack})
	s.does(Action{Verb: WaitFor, What: "client", Text: "x"})
	s.now = monday.Add(40 * time.Minute)
	into := begins(t, desk(t), s.now, func(b *Birth) { b.ID, b.Number, b.Alert.ID = "id2", "WB-1002", "inodes" })
	was := s.clock("resolution")
	c := s.does(Action{Verb: Merge, Other: &into.ticket, Text: "one controller"})
	into.play(*c, nil)
	is := into.clock("resolution")
	if !is.Start.Equal(was.Start) || len(is.Pauses) != 1 || is.Paused() || is.Due.IsZero() {
		t.Errorf("paused %v, it was %+v and is %+v", was.Paused(), was, is)
	}
}
