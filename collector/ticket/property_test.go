package ticket

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/sla"
)

// Whatever people, alerts and time do to a ticket under terms with clocks of every kind: its chain holds and its timeline
// folds to it, nothing is left of a deadline that was done, every clock is breached and at risk at most once for each
// target, and neither pauses nor priorities nor waits take anything from what is left of a clock.
func TestPropertyClocksKeepWhatIsLeft(t *testing.T) {
	first := desk(t)
	newer := deskTerms()
	newer.Version, newer.Digest = "2", "d2"
	newer.Facts = Facts{"cover": "24x7"}
	second := ready(t, newer)
	other := begins(t, first, monday, func(b *Birth) { b.ID, b.Number, b.Alert.Service = "id2", "WB-1002", "raid" }).ticket
	rapid.Check(t, func(r *rapid.T) {
		s := begins(t, first, monday, nil)
		for range rapid.IntRange(0, 40).Draw(r, "steps") {
			s.now = s.now.Add(time.Duration(rapid.SampledFrom([]int{-90, 0, 1, 600, 3600, 20000, 90000}).Draw(r, "dt")) * time.Second)
			before := s.ticket
			c, err := random(r, s, second, other)
			if err != nil {
				if !errors.Is(err, ErrRefused) {
					r.Fatal(err)
				}
				continue
			}
			s.play(c, nil)
			keepsWhatIsLeft(r, s, before)
		}
		holds(r, s)
	})
}

// random is one thing that happens.
func random(r *rapid.T, s *story, newer Terms, other Ticket) (Change, error) {
	id := rapid.SampledFrom([]string{"disk", "inodes", "io"}).Draw(r, "alert")
	sev := rapid.SampledFrom([]incident.Severity{incident.Critical, incident.Warning, incident.Info}).Draw(r, "severity")
	switch rapid.IntRange(0, 5).Draw(r, "what") {
	case 0:
		return s.ticket.Fire(firing(id, sev), s.terms, nil, s.now)
	case 1:
		how := rapid.SampledFrom([]incident.End{incident.Recovered, incident.Recovered, incident.SeriesGone}).Draw(r, "end")
		return s.ticket.End(ended(id, sev, how, s.now), s.now)
	case 2:
		c, err := s.ticket.Elapse(s.terms, s.now)
		if at := c.Ticket.Deadline(); err == nil && c.Ticket.rest().IsZero() && !at.IsZero() && !at.After(s.now) {
			r.Fatalf("the deadline at %s is still there at %s", at, s.now)
		}
		return c, err
	}
	by := rapid.SampledFrom([]By{anna, {Actor: Actor{Kind: Person, Name: "carol"}, Customer: "acme"}, {Actor: Actor{Kind: Peer, Name: "pager"}}}).Draw(r, "by")
	verb := rapid.SampledFrom(Verbs).Draw(r, "verb")
	if verb == Merge && rapid.IntRange(0, 9).Draw(r, "merge") > 0 { // it ends the story
		verb = Resume
	}
	terms := s.terms
	if verb == Rebase {
		terms = newer
	}
	a := wellFormed(verb, other, s.now)
	switch verb {
	case Set:
		a.Facts = Facts{rapid.SampledFrom([]string{"impact", "lines-busy", "urgency"}).Draw(r, "fact"): rapid.SampledFrom([]string{"", "everybody", "yes"}).Draw(r, "word")}
	case Workaround:
		a.What = rapid.SampledFrom([]string{Accepted, Proposed, "none"}).Draw(r, "workaround")
	case Prioritise:
		a.What = rapid.SampledFrom(s.terms.Priorities).Draw(r, "priority")
	case WaitFor:
		a.What = rapid.SampledFrom([]string{"client", "supplier"}).Draw(r, "reason")
	}
	c, err := s.ticket.Act(a, by, terms, s.now)
	if err == nil && verb == Rebase {
		s.terms = newer
	}
	return c, err
}

// keepsWhatIsLeft compares the clocks before and after one step, at the instant of the step.
func keepsWhatIsLeft(r *rapid.T, s *story, before Ticket) {
	at, cal := s.now, s.terms.calendar
	if at.Before(s.ticket.UpdatedAt) {
		at = s.ticket.UpdatedAt
	}
	for _, was := range before.Clocks {
		c, ok := s.ticket.Clock(was.Name)
		if !ok {
			r.Fatalf("clock %s is gone", was.Name)
		}
		if !c.Start.Equal(was.Start) || len(c.Pauses) < len(was.Pauses) {
			r.Fatalf("clock %s starts at %s with %d pauses, before at %s with %d", was.Name, c.Start, len(c.Pauses), was.Start, len(was.Pauses))
		}
		for i, p := range was.Pauses {
			if !c.Pauses[i].From.Equal(p.From) || !p.To.IsZero() && !c.Pauses[i].To.Equal(p.To) {
				r.Fatalf("pause %d of %s was %+v and is %+v", i, c.Name, p, c.Pauses[i])
			}
		}
		if !was.BreachedAt.IsZero() && !c.BreachedAt.Equal(was.BreachedAt) {
			r.Fatalf("the breach of %s at %s became %s", c.Name, was.BreachedAt, c.BreachedAt)
		}
		if was.Ended() || c.Target.NeedsCalendar() != was.Target.NeedsCalendar() {
			continue
		}
		if a, b := was.Elapsed(cal, at), c.Elapsed(cal, at); a != b {
			r.Fatalf("%s had used %s of clock %s at %s, and has used %s now", was.Target.Text(), a, c.Name, at, b)
		}
		if c.Target == was.Target && was.Remaining(cal, at) != c.Remaining(cal, at) {
			r.Fatalf("%s were left of clock %s, and are %s", was.Remaining(cal, at), c.Name, c.Remaining(cal, at))
		}
	}
}

// holds checks a whole story.
func holds(r *rapid.T, s *story) {
	again, err := Fold(s.timeline)
	if err != nil {
		r.Fatal(err)
	}
	if !s.ticket.Flaps() && mustJSON(again) != mustJSON(s.ticket) {
		r.Fatalf("the timeline folds to something else:\n%s\n%s", mustJSON(s.ticket), mustJSON(again))
	}
	if err := VerifyChain(s.timeline, s.ticket.Seq, s.ticket.Head); err != nil {
		r.Fatal(err)
	}
	var back []Event // as a store reads it
	if err := json.Unmarshal([]byte(mustJSON(s.timeline)), &back); err != nil {
		r.Fatal(err)
	}
	if err := VerifyChain(back, s.ticket.Seq, s.ticket.Head); err != nil {
		r.Fatal(err)
	}
	stored, err := Fold(back)
	if err != nil || mustJSON(stored) != mustJSON(again) {
		r.Fatalf("read back it folds to something else: %v", err)
	}
	for _, c := range s.ticket.Clocks {
		if n := s.count(ClockBreached, c.Name); n > 1 || (n == 1) != !c.BreachedAt.IsZero() {
			r.Fatalf("%d breaches of %s, which says %s", n, c.Name, c.BreachedAt)
		}
		if n, most := s.count(ClockAtRisk, c.Name), 1+targets(s.timeline, c.Name); n > most {
			r.Fatalf("%d times at risk of %s under %d targets", n, c.Name, most)
		}
	}
	if o := s.timeline[0].Opening.After(s.timeline[1:]); o != s.ticket.Opening {
		r.Fatalf("opened with %+v, which became %+v", o, s.ticket.Opening)
	}
	if s.ticket.State.Open() != s.ticket.ResolvedAt.IsZero() || (s.ticket.State == Waiting) != (s.ticket.Wait != nil) {
		r.Fatalf("%s, resolved %s, waits for %+v", s.ticket.State, s.ticket.ResolvedAt, s.ticket.Wait)
	}
}

// targets counts how often a clock got another target or another calendar.
func targets(timeline []Event, name string) int {
	n := 0
	var last sla.Clock
	for _, e := range timeline {
		i := slices.IndexFunc(e.Clocks, func(c sla.Clock) bool { return c.Name == name })
		if i < 0 {
			continue
		}
		if c := e.Clocks[i]; last.Name != "" && (c.Target != last.Target || e.Kind == Rebased) {
			n++
		}
		last = e.Clocks[i]
	}
	return n
}

// A ticket with 10,000 events: what folding and verifying it costs, and that it is linear in them.
func BenchmarkFold(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		for _, what := range []string{"notes", "alerts", "facts"} {
			b.Run(fmt.Sprintf("%s/%d", what, n), func(b *testing.B) {
				timeline := long(b, what, n)
				for b.Loop() {
					if _, err := Fold(timeline); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/event")
			})
		}
	}
}

// What one note costs on a ticket that has thousands of events: nothing that grows with them.
func BenchmarkAct(b *testing.B) {
	for _, n := range []int{100, 9000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			timeline := long(b, "notes", n)
			t, err := Fold(timeline)
			if err != nil {
				b.Fatal(err)
			}
			terms := desk(b)
			for b.Loop() {
				if _, err := t.Act(Action{Verb: Note, Text: "one more"}, anna, terms, monday); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// long is a timeline of n events.
func long(b *testing.B, what string, n int) []Event {
	b.Helper()
	terms := desk(b)
	terms.Flapping = incident.Flapping{}
	s := begins(b, terms, monday, nil)
	for i := 0; len(s.timeline) < n; i++ {
		s.now = s.now.Add(time.Second)
		switch what {
		case "notes":
			s.does(Action{Verb: Note, Text: fmt.Sprintf("note %d", i)})
		case "facts":
			s.does(Action{Verb: Set, Facts: Facts{"urgency": fmt.Sprint(i)}})
		case "alerts":
			s.play(s.ticket.Fire(firing(fmt.Sprintf("alert%d", i), incident.Warning), s.terms, nil, s.now))
		}
	}
	return s.timeline[:n]
}
