package ticket

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/collector/incident"
)

var update = flag.Bool("update", false, "rewrite golden files")

var (
	t0   = time.Date(2026, 3, 27, 17, 30, 0, 0, time.UTC)
	anna = By{Actor: Actor{Kind: Person, Name: "anna"}}
)

func terms() Terms {
	return Terms{
		Policy: "default", Version: "1", ReopenFor: 24 * time.Hour, CloseAfter: 48 * time.Hour,
		Priorities: []string{"P1", "P2", "P3"},
		Classes:    []Class{{When: When{"severity": {"critical"}}, Priority: "P1"}, {When: When{"severity": {"warning"}}, Priority: "P2"}},
	}
}

func firing(id string, sev incident.Severity) incident.Alert {
	return incident.Alert{
		ID: id, Name: strings.ToUpper(id), Source: "rule linux/" + id, Severity: sev, Service: "filesystem",
		Customer: "acme", Site: "london", Asset: "web1", FiredAt: t0, ActiveAt: t0, FirstBadAt: t0,
	}
}

func ended(id string, sev incident.Severity, how incident.End, at time.Time) incident.Alert {
	a := firing(id, sev)
	a.EndedAt, a.End = at, how
	return a
}

func evidence() []Evidence {
	var all []Evidence
	for _, p := range Parts {
		all = append(all, Evidence{Part: p, Salt: "salt", Entries: []Entry{{Text: "what " + string(p), Source: "test", At: t0}}})
	}
	return all
}

func opened(t testing.TB) Change {
	t.Helper()
	c, err := Open(Birth{ID: "id1", Number: "WB-1001", Title: "disk full on web1", Alert: firing("disk", incident.Warning),
		Owner: "first level", Terms: terms(), Evidence: evidence()}, t0)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// log plays decisions one after another and keeps the whole timeline.
type log struct {
	t        testing.TB
	ticket   Ticket
	timeline []Event
	notices  []Kind
}

func (l *log) play(c Change, err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
	if c.Before != l.ticket.Seq {
		l.t.Fatalf("the change expects version %d, the ticket has %d", c.Before, l.ticket.Seq)
	}
	l.timeline = append(l.timeline, c.Events...)
	l.ticket = c.Ticket
	for _, n := range c.Notices {
		l.notices = append(l.notices, n.What)
	}
}

func TestLifecycle(t *testing.T) {
	at := func(d time.Duration) time.Time { return t0.Add(d) }
	act := func(v Verb, text string) func(Ticket, time.Time) (Change, error) {
		return func(tk Ticket, now time.Time) (Change, error) {
			return tk.Act(Action{Verb: v, Text: text}, anna, terms(), now)
		}
	}
	fire := func(id string, sev incident.Severity) func(Ticket, time.Time) (Change, error) {
		return func(tk Ticket, now time.Time) (Change, error) { return tk.Fire(firing(id, sev), terms(), nil, now) }
	}
	end := func(id string, how incident.End) func(Ticket, time.Time) (Change, error) {
		return func(tk Ticket, now time.Time) (Change, error) {
			return tk.End(ended(id, incident.Warning, how, now), now)
		}
	}
	elapse := func(tk Ticket, now time.Time) (Change, error) { return tk.Elapse(terms(), now) }
	type step struct {
		after    time.Duration
		do       func(Ticket, time.Time) (Change, error)
		state    State
		priority string
	}
	for name, tc := range map[string]struct {
		steps   []step
		notices []Kind
	}{
		"a person carries it through": {[]step{
			{time.Minute, act(Ack, ""), Acked, "P2"},
			{2 * time.Minute, act(Start, ""), InProgress, "P2"},
			{3 * time.Minute, act(Note, "log rotation was off"), InProgress, "P2"},
			{4 * time.Minute, end("disk", incident.Recovered), Done, "P2"},
			{5 * time.Minute, act(Close, ""), Shut, "P2"},
		}, []Kind{Opened, Acknowledged, Resolved, Closed}},
		"worse alert raises the priority, a milder one does not lower it": {[]step{
			{1 * time.Minute, fire("inodes", incident.Critical), New, "P1"},
			{2 * time.Minute, fire("slow", incident.Info), New, "P1"},
		}, []Kind{Opened, PriorityChanged}},
		"resolved only when the last alert recovered": {[]step{
			{1 * time.Minute, fire("inodes", incident.Warning), New, "P2"},
			{2 * time.Minute, end("disk", incident.Recovered), New, "P2"},
			{3 * time.Minute, end("inodes", incident.Recovered), Done, "P2"},
		}, []Kind{Opened, Resolved}},
		"a series that went away resolves nothing": {[]step{
			{1 * time.Minute, end("disk", incident.SeriesGone), New, "P2"},
			{2 * time.Minute, act(Resolve, "volume was retired"), Done, "P2"},
		}, []Kind{Opened, Resolved}},
		"a removed rule resolves nothing": {[]step{
			{1 * time.Minute, end("disk", incident.RuleGone), New, "P2"},
		}, []Kind{Opened}},
		"an alert that comes back reopens": {[]step{
			{1 * time.Minute, end("disk", incident.Recovered), Done, "P2"},
			{2 * time.Minute, fire("disk", incident.Warning), Again, "P2"},
			{3 * time.Minute, act(Ack, ""), Acked, "P2"},
		}, []Kind{Opened, Resolved, Reopened, Acknowledged}},
		"resolved by hand while it fires is reopened by time": {[]step{
			{1 * time.Minute, act(Resolve, "looks fine to me"), Done, "P2"},
			{1*time.Minute + StillFiring - 1, elapse, Done, "P2"},
			{1*time.Minute + StillFiring, elapse, Again, "P2"},
		}, []Kind{Opened, Resolved, Reopened}},
		"closes by itself": {[]step{
			{1 * time.Minute, end("disk", incident.Recovered), Done, "P2"},
			{48 * time.Hour, elapse, Done, "P2"},
			{48*time.Hour + time.Minute, elapse, Shut, "P2"},
		}, []Kind{Opened, Resolved, Closed}},
		"repeats are no events": {[]step{
			{1 * time.Minute, fire("disk", incident.Warning), New, "P2"},
			{2 * time.Minute, end("unknown", incident.Recovered), New, "P2"},
		}, []Kind{Opened}},
	} {
		t.Run(name, func(t *testing.T) {
			l := &log{t: t}
			l.play(opened(t), nil)
			for i, s := range tc.steps {
				l.play(s.do(l.ticket, at(s.after)))
				if l.ticket.State != s.state || l.ticket.Priority != s.priority {
					t.Fatalf("step %d: %s %s, want %s %s", i, l.ticket.State, l.ticket.Priority, s.state, s.priority)
				}
			}
			if d := cmp.Diff(tc.notices, l.notices); d != "" {
				t.Errorf("notices: %s", d)
			}
			again, err := Fold(l.timeline)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(l.ticket, again); d != "" {
				t.Errorf("the timeline folds to something else: %s", d)
			}
			if err := VerifyChain(l.timeline, l.ticket.Seq, l.ticket.Head); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	fresh := opened(t).Ticket
	acked := must(t)(fresh.Act(Action{Verb: Ack}, anna, terms(), t0)).Ticket
	done := must(t)(fresh.Act(Action{Verb: Resolve, Text: "x"}, anna, terms(), t0)).Ticket
	calm := must(t)(fresh.End(ended("disk", incident.Warning, incident.Recovered, t0), t0)).Ticket
	shut := must(t)(calm.Act(Action{Verb: Close}, anna, terms(), t0)).Ticket
	for name, tc := range map[string]struct {
		t    Ticket
		a    Action
		want string
	}{
		"twice":                   {acked, Action{Verb: Ack}, "WB-1001 was acknowledged by anna at 2026-03-27T17:30:00Z"},
		"ack of a resolved":       {done, Action{Verb: Ack}, "reopen it first"},
		"close before resolve":    {fresh, Action{Verb: Close}, "WB-1001 is new; resolve it first"},
		"close while firing":      {done, Action{Verb: Close}, "cannot be closed: DISK still fires"},
		"close twice":             {shut, Action{Verb: Close}, "is closed already"},
		"resolve without a word":  {fresh, Action{Verb: Resolve, Text: "  "}, "say what resolved it"},
		"resolve twice":           {done, Action{Verb: Resolve, Text: "x"}, "is resolved already"},
		"empty note":              {fresh, Action{Verb: Note}, "say what to write down"},
		"reopen an open one":      {fresh, Action{Verb: Reopen, Text: "x"}, "is open (new)"},
		"reopen without a word":   {done, Action{Verb: Reopen}, "say why"},
		"start of a closed":       {shut, Action{Verb: Start}, "reopen it first"},
		"unknown verb":            {fresh, Action{Verb: "explode"}, `"explode" is nothing a ticket knows; it knows accept, ack, action, approve`},
		"a novel instead of note": {fresh, Action{Verb: Note, Text: strings.Repeat("x", MaxText+1)}, "at most 16384 are kept"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tc.t.Act(tc.a, anna, terms(), t0)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want a refusal that says %q", err, tc.want)
			}
		})
	}
}

func must(t *testing.T) func(Change, error) Change {
	return func(c Change, err error) Change {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func TestRecurrenceIsLinkedBothWays(t *testing.T) {
	old := must(t)(opened(t).Ticket.End(ended("disk", incident.Warning, incident.Recovered, t0), t0)).Ticket
	c, err := Open(Birth{ID: "id2", Number: "WB-1002", Title: "disk full on web1", Alert: firing("disk", incident.Warning),
		Owner: "first level", Terms: terms(), Recurs: &old}, t0.Add(72*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	back := must(t)(old.Recurred(c.Ticket, t0.Add(72*time.Hour)))
	if d := cmp.Diff([]Link{{"recurrence of", "id1", "WB-1001"}}, c.Ticket.Links); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Link{{"recurred as", "id2", "WB-1002"}}, back.Ticket.Links); d != "" {
		t.Error(d)
	}
}

// Any byte of the story that changes, goes missing or changes place is noticed.
func TestChainNoticesEveryChange(t *testing.T) {
	l := &log{t: t}
	l.play(opened(t), nil)
	l.play(l.ticket.Act(Action{Verb: Note, Text: "one"}, anna, terms(), t0.Add(time.Minute)))
	l.play(l.ticket.Act(Action{Verb: Note, Text: "two"}, anna, terms(), t0.Add(2*time.Minute)))
	seq, head := l.ticket.Seq, l.ticket.Head
	spoil := map[string]func(tl []Event) []Event{
		"text":         func(tl []Event) []Event { tl[6].Text = "won"; return tl },
		"actor":        func(tl []Event) []Event { tl[6].Actor.Name = "bob"; return tl },
		"time":         func(tl []Event) []Event { tl[6].At = tl[6].At.Add(time.Second); return tl },
		"truncated":    func(tl []Event) []Event { return tl[:len(tl)-1] },
		"one left out": func(tl []Event) []Event { return append(tl[:3], tl[4:]...) },
		"swapped":      func(tl []Event) []Event { tl[6], tl[7] = tl[7], tl[6]; return tl },
		"resealed":     func(tl []Event) []Event { tl[6].Text = "won"; _ = seal(5, tl[4].Hash, tl[5:]); return tl },
	}
	for name, f := range spoil {
		tl := f(append([]Event(nil), l.timeline...))
		if err := VerifyChain(tl, seq, head); !errors.Is(err, ErrChain) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := VerifyChain(l.timeline, seq, head); err != nil {
		t.Error(err)
	}
}

// The bytes that are hashed are part of the format: they must never change.
func TestTimelineGolden(t *testing.T) {
	plain := func(t *testing.T) *log {
		l := &log{t: t}
		l.play(opened(t), nil)
		l.play(l.ticket.Act(Action{Verb: Ack, Text: "on it"}, anna, terms(), t0.Add(time.Minute)))
		l.play(l.ticket.End(ended("disk", incident.Warning, incident.Recovered, t0.Add(time.Hour)), t0.Add(time.Hour)))
		return l
	}
	policed := func(t *testing.T) *log {
		s := in(t, Waiting)
		s.elapse(monday.Add(2 * time.Hour))
		s.does(Action{Verb: Resume, Text: "she answered"})
		s.does(Action{Verb: Set, Facts: Facts{"impact": "everybody"}, Text: "they phoned"})
		s.does(Action{Verb: Prioritise, What: "P2", Text: "the client asked"})
		s.does(Action{Verb: Agree, Until: monday.Add(50 * time.Hour), To: "carol"})
		s.does(Action{Verb: HandOver, To: "developer", Text: "a fault of the application"})
		s.by.Roles = []string{"team-leader"}
		s.does(Action{Verb: Accept})
		s.by.Roles = nil
		s.does(Action{Verb: Assign, To: "emil"})
		s.does(Action{Verb: MarkMajor, Text: "the whole site"})
		s.elapse(monday.Add(27 * time.Hour))
		s.terms.Version, s.terms.Digest = "2", "d2"
		s.does(Action{Verb: Rebase, Text: "newer terms"})
		into := begins(t, s.terms, monday, func(b *Birth) { b.ID, b.Number, b.Alert.Service = "id2", "WB-1002", "raid" }).ticket
		s.does(Action{Verb: LinkTo, Relation: ChildOf, Other: &into})
		s.does(Action{Verb: Merge, Other: &into, Text: "one controller"})
		return &s.log
	}
	for name, story := range map[string]func(*testing.T) *log{"timeline": plain, "policed": policed} {
		t.Run(name, func(t *testing.T) {
			l := story(t)
			got, err := json.MarshalIndent(l.timeline, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			file := "testdata/" + name + ".golden.json"
			if *update {
				if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)+"\n"); d != "" {
				t.Error(d)
			}
			var back []Event
			if err := json.Unmarshal(want, &back); err != nil {
				t.Fatal(err)
			}
			if err := VerifyChain(back, l.ticket.Seq, l.ticket.Head); err != nil {
				t.Errorf("read back from its file: %v", err)
			}
			if again, err := Fold(back); err != nil || mustJSON(again) != mustJSON(l.ticket) {
				t.Errorf("read back from its file it folds to something else: %v", err)
			}
		})
	}
}

// What was stored before there were facts and clocks folds and verifies as it did, and can be worked on.
func TestOldTimelinesStand(t *testing.T) {
	b, err := os.ReadFile("testdata/timeline-before-policies.json")
	if err != nil {
		t.Fatal(err)
	}
	l := &log{t: t}
	if err := json.Unmarshal(b, &l.timeline); err != nil {
		t.Fatal(err)
	}
	if l.ticket, err = Fold(l.timeline); err != nil {
		t.Fatal(err)
	}
	if l.ticket.State != Done || l.ticket.Priority != "P2" || l.ticket.Facts != nil || l.ticket.Clocks != nil {
		t.Errorf("folds to %+v", l.ticket)
	}
	l.play(l.ticket.Fire(firing("disk", incident.Critical), desk(t), nil, t0.Add(2*time.Hour)))
	if l.ticket.State != Again || l.ticket.Clocks != nil {
		t.Errorf("%s with clocks %v; a ticket of before has none until a person says more of it", l.ticket.State, l.ticket.Clocks)
	}
	at := l.ticket
	l.play(l.ticket.Act(Action{Verb: Set, Facts: Facts{"impact": "team"}}, anna, desk(t), t0.Add(3*time.Hour)))
	if _, has := l.ticket.Clock("response"); !has || l.ticket.Facts["service"] != "filesystem" || l.ticket.Facts["first-to-know"] != "monitoring" {
		t.Errorf("facts %v, clocks %v", l.ticket.Facts, l.ticket.Clocks)
	}
	l.verify()
	rebased := must(t)(at.Act(Action{Verb: Rebase, Text: "policies"}, anna, desk(t), t0.Add(3*time.Hour)))
	if tk := rebased.Ticket; tk.Policy != "desk" || tk.Work.Terms != "d1" || len(tk.Clocks) != 2 || !tk.Clocks[0].Start.Equal(t0) || len(tk.ContractFacts) != 3 {
		t.Errorf("re-based: %s, clocks %+v, facts %v", tk.Policy, tk.Clocks, tk.Facts)
	}
}

func TestAssembleRecord(t *testing.T) {
	c := opened(t)
	bodies := c.Bodies
	timeline := c.Events
	note := must(t)(c.Ticket.Act(Action{Verb: Note, Text: "restarted nginx"}, anna, terms(), t0.Add(time.Minute)))
	timeline = append(timeline, note.Events...)
	read := func(seq int) ([]byte, bool, error) { b, ok := bodies[seq]; return b, ok, nil }

	r, err := AssembleRecord(timeline, read)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []PartRecord{r.Time, r.Symptom, r.Users, r.Errors} {
		if len(p.Entries) != 1 || p.None != "" {
			t.Errorf("part %+v, want its one entry", p)
		}
	}
	if n := len(r.Actions.Entries); n != 2 || r.Actions.Entries[1].Source != "anna, note" {
		t.Errorf("actions %+v, want the evidence and anna's note", r.Actions)
	}

	delete(bodies, 2)
	if r, err = AssembleRecord(timeline, read); err != nil || r.Time.Entries[0].Text != "evidence was removed" {
		t.Errorf("a removed body: %v %+v", err, r.Time)
	}
	bodies[3] = append([]byte(" "), bodies[3]...)
	if _, err = AssembleRecord(timeline, read); !errors.Is(err, ErrChain) {
		t.Errorf("an altered body: %v, want ErrChain", err)
	}
}

func TestRecordCoalescesAndIsBounded(t *testing.T) {
	var p PartRecord
	for range 3 {
		p.add(Entry{Text: "same", Source: "x"})
	}
	if len(p.Entries) != 1 || p.Entries[0].Times != 3 {
		t.Errorf("%+v, want one entry seen 3 times", p.Entries)
	}
	for i := range 2 * maxEntries {
		p.add(Entry{Text: time.Duration(i).String(), Source: "x"})
	}
	if len(p.Entries) != maxEntries {
		t.Errorf("%d entries, want the bound %d", len(p.Entries), maxEntries)
	}
}

func TestFoldRefusesNonsense(t *testing.T) {
	good := opened(t).Events
	for name, tl := range map[string][]Event{
		"empty":         nil,
		"no opening":    good[1:],
		"opened twice":  append(append([]Event(nil), good...), good[0]),
		"opens nothing": {{Seq: 1, Kind: Opened}},
		"no alert":      append(append([]Event(nil), good...), Event{Seq: 7, Kind: AlertEnded}),
		"no link":       append(append([]Event(nil), good...), Event{Seq: 7, Kind: Linked}),
	} {
		if _, err := Fold(tl); !errors.Is(err, ErrTimeline) {
			t.Errorf("%s: %v, want ErrTimeline", name, err)
		}
	}
}

// Whatever happens in whatever order: the projection is the fold, the chain holds, time does not run backwards, and an
// earlier copy of a ticket never changes under its holder's hands.
func TestPropertyProjectionIsFold(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		l := &log{t: t}
		l.play(opened(t), nil)
		now := t0
		for range rapid.IntRange(0, 30).Draw(r, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(-60, 7200).Draw(r, "dt")) * time.Second)
			before, kept := l.ticket, mustJSON(l.ticket)
			id := rapid.SampledFrom([]string{"disk", "inodes", "io"}).Draw(r, "alert")
			sev := rapid.SampledFrom([]incident.Severity{incident.Critical, incident.Warning, incident.Info}).Draw(r, "sev")
			switch rapid.IntRange(0, 3).Draw(r, "what") {
			case 0:
				l.play(l.ticket.Fire(firing(id, sev), terms(), evidence()[:1], now))
			case 1:
				how := rapid.SampledFrom([]incident.End{incident.Recovered, incident.SeriesGone, incident.RuleGone}).Draw(r, "end")
				l.play(l.ticket.End(ended(id, sev, how, now), now))
			case 2:
				l.play(l.ticket.Elapse(terms(), now))
			case 3:
				c, err := l.ticket.Act(Action{Verb: rapid.SampledFrom(Verbs).Draw(r, "verb"), Text: "text"}, anna, terms(), now)
				if errors.Is(err, ErrRefused) {
					continue
				}
				l.play(c, err)
			}
			if mustJSON(before) != kept {
				r.Fatal("an earlier copy of the ticket changed")
			}
		}
		again, err := Fold(l.timeline)
		if err != nil {
			r.Fatal(err)
		}
		if d := cmp.Diff(l.ticket, again); d != "" {
			r.Fatal(d)
		}
		if err := VerifyChain(l.timeline, l.ticket.Seq, l.ticket.Head); err != nil {
			r.Fatal(err)
		}
		for _, e := range l.timeline {
			if kept, err := e.Encoded(); err != nil || string(kept) != mustJSON(e) {
				r.Fatalf("event %d is kept as %s, %v; it is %s", e.Seq, kept, err, mustJSON(e))
			}
		}
		for i := 1; i < len(l.timeline); i++ {
			if l.timeline[i].At.Before(l.timeline[i-1].At) {
				r.Fatalf("event %d is earlier than event %d", i+1, i)
			}
		}
		if l.ticket.State.Open() != l.ticket.ResolvedAt.IsZero() {
			r.Fatalf("state %s with resolved_at %v", l.ticket.State, l.ticket.ResolvedAt)
		}
	})
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
