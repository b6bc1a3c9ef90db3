package route

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
)

// steps is a ladder of 50 %, 80 %, due and half as much again, with reasons at the due instant.
func steps() Terms {
	terms := boundary()
	terms.Ladder = []Rung{
		{Name: "half", Clock: "response", Share: 0.5, To: []Target{{Role: "team-leader"}}},
		{Name: "warn", Clock: "response", Share: 0.8, To: []Target{{Role: "support-manager"}}, AckFor: 30 * time.Minute},
		{Name: "late", Clock: "response", Share: 1, When: ticket.When{"reason": {"quality"}}, To: []Target{{Role: "quality-manager"}}},
		{Name: "late", Clock: "response", Share: 1, To: []Target{{Role: "service-director"}}},
		{Name: "later", Clock: "response", Share: 1.5, To: []Target{{Role: "general-manager"}}, AckFor: time.Hour},
	}
	return terms
}

func calendar(t testing.TB) *sla.Calendar {
	t.Helper()
	cal, err := sla.NewCalendar(office())
	if err != nil {
		t.Fatal(err)
	}
	return cal
}

// running is a ticket with a clock that began at an instant.
func running(t testing.TB, target string, start time.Time) ticket.Ticket {
	t.Helper()
	tg, err := sla.ParseTarget("response", target)
	if err != nil {
		t.Fatal(err)
	}
	c, err := sla.Begin(tg, calendar(t), start, 0, start)
	if err != nil {
		t.Fatal(err)
	}
	tk := incident()
	tk.Clocks = []sla.Clock{c}
	return tk
}

// tell records that steps were told.
func tell(tk ticket.Ticket, due []Step, now time.Time) ticket.Ticket {
	for _, s := range due {
		tk.Told = append(slices.Clone(tk.Told), s.Told([]Telling{{Receivers: []string{"ops"}}}, now))
	}
	return tk
}

// line writes steps: name, again, passed over, instant.
func line(due []Step) string {
	var out []string
	for _, s := range due {
		text := s.Rung.Name
		if s.Again {
			text += " again"
		}
		if len(s.Passed) > 0 {
			text += " past " + strings.Join(s.Passed, "+")
		}
		out = append(out, text+" "+s.At.Format("15:04:05"))
	}
	return strings.Join(out, ", ")
}

func look(t testing.TB, tk ticket.Ticket, terms Terms, now time.Time) ([]Step, time.Time) {
	t.Helper()
	due, next, err := Due(tk, terms, calendar(t), now)
	if err != nil {
		t.Fatal(err)
	}
	return due, next
}

// TestClimb walks a whole ladder from one next instant to the other: 4 business hours from Friday 15:30, so that the
// weekend, in which the clocks go forward, lies between.
func TestClimb(t *testing.T) {
	tk := running(t, "4h,business", t0)
	var got []string
	now := t0
	for range 9 {
		due, next := look(t, tk, steps(), now)
		got = append(got, fmt.Sprintf("%s: %s", now.Format("Mon 15:04"), line(due)))
		tk = tell(tk, due, now)
		if again, _ := look(t, tk, steps(), now); len(again) > 0 {
			t.Fatalf("at %v %s is due twice", now, line(again))
		}
		if next.IsZero() {
			break
		}
		if before, _ := look(t, tk, steps(), next.Add(-1)); len(before) > 0 {
			t.Fatalf("%s was due before %v, which was said to be next", line(before), next)
		}
		now = next
	}
	want := []string{ // in UTC: two hours pass on Friday until 17:30, the others from Monday 09:00 BST on
		"Fri 15:30: ", "Fri 17:30: half 17:30:00", "Mon 09:12: warn 09:12:00", "Mon 09:42: warn again 09:42:00",
		"Mon 10:00: late 10:00:00", "Mon 12:00: later 12:00:00", "Mon 13:00: later again 13:00:00",
		"Mon 14:00: later again 14:00:00", "Mon 15:00: later again 15:00:00",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDue(t *testing.T) {
	hours := func(h float64) time.Time { return t0.Add(time.Duration(h * float64(time.Hour))) }
	told := func(name string, at time.Time) ticket.Told {
		return ticket.Told{Step: "response/" + name, At: at, AckUntil: at.Add(30 * time.Minute)}
	}
	clock := func(change func(c sla.Clock) sla.Clock) func(*ticket.Ticket) {
		return func(tk *ticket.Ticket) { tk.Clocks[0] = change(tk.Clocks[0]) }
	}
	must := func(c sla.Clock, err error) sla.Clock {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, tt := range []struct {
		name  string
		tweak func(*ticket.Ticket)
		now   time.Time
		want  string
		next  time.Time
	}{
		{"nothing yet", nil, hours(1), "", hours(5)},
		{"on the instant", nil, hours(5), "half 20:30:00", hours(8)},
		{"the collector was down", nil, hours(11), "late past half+warn 01:30:00", hours(15)},
		{"a higher one was told: no lower one", func(tk *ticket.Ticket) { tk.Told = []ticket.Told{told("warn", hours(8))} }, hours(8.25), "", hours(8.5)},
		{"its acknowledgement ran out", func(tk *ticket.Ticket) { tk.Told = []ticket.Told{told("warn", hours(8))} }, hours(8.5), "warn again 00:00:00", hours(9)},
		{"acknowledged until later, but a higher one comes", func(tk *ticket.Ticket) {
			tk.Told = []ticket.Told{told("warn", hours(8)), {Step: "response/warn", At: hours(8.4), AckUntil: hours(11), AckedBy: "sam"}}
		}, hours(10), "late 01:30:00", hours(15)},
		{"a record out of order", func(tk *ticket.Ticket) { tk.Told = []ticket.Told{told("half", hours(5)), told("x", hours(-9))} }, hours(6), "", hours(8)},
		{"the reason leads to another", func(tk *ticket.Ticket) { tk.Facts["reason"] = "quality" }, hours(10), "late past half+warn 01:30:00", hours(15)},
		{"met", clock(func(c sla.Clock) sla.Clock { return c.Meet(hours(1)) }), hours(11), "", time.Time{}},
		{"paused", clock(func(c sla.Clock) sla.Clock { return must(c.Pause(nil, hours(1), "x")) }), hours(11), "", time.Time{}},
		{"paused when it was due already", clock(func(c sla.Clock) sla.Clock { return must(c.Pause(nil, hours(10.5), "x")) }), hours(11), "", time.Time{}},
		{"resumed", clock(func(c sla.Clock) sla.Clock {
			return must(must(c.Pause(nil, hours(1), "x")).Resume(nil, hours(3)))
		}), hours(6), "", hours(7)},
		{"resumed, over its time", clock(func(c sla.Clock) sla.Clock {
			return must(must(c.Pause(nil, hours(11), "x")).Resume(nil, hours(13)))
		}), hours(14), "late past half+warn 01:30:00", hours(17)},
		{"waived for ever", clock(func(c sla.Clock) sla.Clock { return must(c.Waive(hours(1), time.Time{})) }), hours(11), "", time.Time{}},
		{"waived for a while", clock(func(c sla.Clock) sla.Clock { return must(c.Waive(hours(1), hours(12))) }), hours(11), "", hours(12)},
		{"the waiver expired", clock(func(c sla.Clock) sla.Clock { return must(c.Waive(hours(1), hours(12))) }), hours(12), "late past half+warn 03:30:00", hours(15)},
		{"not again while a waiver stands", func(tk *ticket.Ticket) {
			tk.Told = []ticket.Told{told("warn", hours(8))}
			tk.Clocks[0] = must(tk.Clocks[0].Waive(hours(8), hours(9.5)))
		}, hours(9), "", hours(9.5)},
		{"informs", clock(func(c sla.Clock) sla.Clock { c.Target.Inform = true; return c }), hours(11), "", time.Time{}},
		{"resolved", func(tk *ticket.Ticket) { tk.State = ticket.Done }, hours(11), "", time.Time{}},
		{"quiet", func(tk *ticket.Ticket) { tk.Quiet = true }, hours(11), "", time.Time{}},
		{"reopened: a new run, from there on", func(tk *ticket.Ticket) {
			tk.Told = []ticket.Told{told("half", hours(5)), told("warn", hours(8))}
			c, _, err := tk.Clocks[0].Meet(hours(9)).Reopen(nil, hours(9.5))
			tk.Clocks[0] = must(c, err)
		}, hours(9.5), "warn past half 01:00:00", hours(10)},
		{"another clock has no ladder", clock(func(c sla.Clock) sla.Clock { c.Name = "restore"; return c }), hours(11), "", time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tk := running(t, "10h,elapsed", t0)
			tk.Facts = ticket.Facts{}
			if tt.tweak != nil {
				tt.tweak(&tk)
			}
			due, next := look(t, tk, steps(), tt.now)
			if line(due) != tt.want || !next.Equal(tt.next) {
				t.Errorf("due %q, next %v; want %q, %v", line(due), next, tt.want, tt.next)
			}
		})
	}
}

func TestDueSeveralAtOneHeight(t *testing.T) {
	terms := steps()
	terms.Ladder = append(terms.Ladder, Rung{Name: "owner", Clock: "response", Share: 0.5, To: []Target{{Party: "owner"}}})
	tk := running(t, "10h,elapsed", t0)
	now := t0.Add(5 * time.Hour)
	due, _ := look(t, tk, terms, now)
	if got := line(due); got != "half 20:30:00, owner 20:30:00" {
		t.Errorf("due is %s, want both rungs of that share", got)
	}
	due, next := look(t, tell(tk, due[:1], now), terms, now)
	if got := line(due); got != "owner 20:30:00" || !next.Equal(t0.Add(8*time.Hour)) {
		t.Errorf("after one was told due is %s, next %v", got, next)
	}
}

func TestDueNamesWhatCannotBePlaced(t *testing.T) {
	terms := steps()
	terms.Ladder[1].Share = -1
	tk := running(t, "10h,elapsed", t0)
	due, next, err := Due(tk, terms, nil, t0.Add(5*time.Hour))
	if err == nil || !strings.Contains(err.Error(), "ticket WB-1001: rung warn of clock response") {
		t.Errorf("error %v", err)
	}
	if line(due) != "half 20:30:00" || !next.Equal(t0.Add(10*time.Hour)) {
		t.Errorf("the others: due %s, next %v", line(due), next)
	}
}

func TestAcknowledge(t *testing.T) {
	tk := running(t, "10h,elapsed", t0)
	now := t0.Add(8 * time.Hour)
	due, _ := look(t, tk, steps(), now)
	tk = tell(tk, due, now)
	acked := Acknowledge(tk, steps(), nil, "sam", now.Add(10*time.Minute))
	want := []ticket.Told{{Step: "response/warn", At: now.Add(10 * time.Minute), To: []string{"ops"}, AckUntil: now.Add(40 * time.Minute), AckedBy: "sam"}}
	if d := cmp.Diff(want, acked); d != "" {
		t.Fatal(d)
	}
	tk.Told = append(tk.Told, acked...)
	if due, next := look(t, tk, steps(), now.Add(30*time.Minute)); len(due) > 0 || !next.Equal(now.Add(40*time.Minute)) {
		t.Errorf("due %s, next %v: an acknowledgement keeps it quiet for 30 minutes", line(due), next)
	}
	if due, _ := look(t, tk, steps(), now.Add(40*time.Minute)); line(due) != "warn again 00:10:00" {
		t.Errorf("due %s: the acknowledgement has run out", line(due))
	}
	tk.Clocks[0] = tk.Clocks[0].Meet(now.Add(time.Hour))
	if got := Acknowledge(tk, steps(), nil, "sam", now.Add(2*time.Hour)); got != nil {
		t.Errorf("of a clock that has ended %v", got)
	}
}

// A rung is told again in the time of its clock: nobody hears at night of a clock that stands still.
func TestToldAgainInTheClocksOwnTime(t *testing.T) {
	london := calendar(t).Zone()
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, london) }
	evening := at(6, 17, 15) // a Friday
	for name, tt := range map[string]struct {
		target string
		cal    *sla.Calendar
		told   time.Time
		want   time.Time
	}{
		"business time goes on on Monday": {"10h,business", calendar(t), evening, at(9, 9, 15)},
		"told outside of the hours":       {"10h,business", calendar(t), at(7, 3, 0), at(9, 9, 30)},
		"business days":                   {"2,business-days", calendar(t), evening, at(9, 9, 15)},
		"elapsed time goes on at once":    {"10h,elapsed", calendar(t), evening, at(6, 17, 45)},
		"no calendar":                     {"10h,business", nil, evening, at(6, 17, 45)},
	} {
		t.Run(name, func(t *testing.T) {
			cl := climb{clock: running(t, tt.target, at(2, 9, 0)).Clocks[0], cal: tt.cal}
			if got := cl.again(Rung{AckFor: 30 * time.Minute}, tt.told); !got.Equal(tt.want) {
				t.Errorf("told again %v, want %v", got.In(london), tt.want)
			}
			if got := cl.again(Rung{}, tt.told); !got.IsZero() {
				t.Errorf("told again %v, want never without ack_for", got)
			}
		})
	}
}

// What Due says of the next look is what is recorded of the telling.
func TestToldUntilIsTheNextLook(t *testing.T) {
	tk := running(t, "10h,business", time.Date(2026, 3, 5, 9, 15, 0, 0, calendar(t).Zone()))
	terms := Terms{Ladder: []Rung{{Name: "warn", Clock: "response", Share: 0.8, AckFor: 2 * time.Hour, To: []Target{{Role: "engineer"}}}}}
	_, at, err := Due(tk, terms, calendar(t), tk.Clocks[0].Start)
	if err != nil {
		t.Fatal(err)
	}
	now := at.Add(8 * time.Hour) // nobody looked until the night
	due, next, err := Due(tk, terms, calendar(t), now)
	if err != nil || len(due) != 1 {
		t.Fatalf("%v, %v", due, err)
	}
	if told := due[0].Told(nil, now); !told.AckUntil.Equal(next) || !calendar(t).Open(next) {
		t.Errorf("told until %v, next look %v: want one instant, within the hours", told.AckUntil, next)
	}
}

func TestRungTells(t *testing.T) {
	tk := running(t, "10h,elapsed", t0)
	a := audience(t, steps(), desk())
	p, err := ticket.Terms{Priorities: []string{"P1", "P2"}, Calendar: office()}.Ready()
	if err != nil {
		t.Fatal(err)
	}
	a.Policy = p
	for _, tt := range []struct {
		name string
		now  time.Time
		to   string
		text string
	}{
		{"early", t0.Add(8 * time.Hour), "person:sam", "warn: 80 % of the clock response has run, it is due Sat 28 Mar 01:30 GMT; passed over, for nobody could be told in time: half"},
		{"due", t0.Add(10 * time.Hour), "person:ada", "late: the clock response was due Sat 28 Mar 01:30 GMT and is not met; passed over, for nobody could be told in time: half, warn"},
		{"over", t0.Add(15 * time.Hour), "person:ada", "later: the clock response was due Sat 28 Mar 01:30 GMT and is not met, after 150 % of its time; passed over, for nobody could be told in time: half, warn, late"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			due, _ := look(t, tk, steps(), tt.now)
			told := a.Rung(tk, due[0], tt.now)
			if len(told) != 1 || told[0].To() != tt.to || told[0].Text != tt.text || told[0].What != ticket.WasTold {
				t.Errorf("told %v %+v", say(told), told)
			}
			if got := due[0].Told(told, tt.now).To; !slices.Equal(got, []string{strings.TrimPrefix(tt.to, "person:")}) {
				t.Errorf("the timeline keeps %v", got)
			}
		})
	}
	again := Step{Rung: steps().Ladder[1], Again: true, Due: t0}
	if got := a.Rung(tk, again, t0)[0].Text; !strings.HasSuffix(got, "; told again, for it is still not met") {
		t.Errorf("told again it says %q", got)
	}
}

func TestNames(t *testing.T) {
	got := Names([]Telling{{Person: someone("ivy"), Also: []Person{someone("ian"), {Email: "x@y"}}}, {Receivers: []string{"ops", "desk"}},
		{Draft: &ticket.Draft{To: "client"}}, {All: true, Also: []Person{someone("ivy"), someone("tess")}}})
	if want := []string{"ivy", "ian", "x@y", "ops", "desk", "every receiver", "tess"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestLadderNeedsNoPolling: over any clock with pauses, a look at every next instant tells exactly what looking
// every five minutes tells, each within the same five, and heights only rise.
func TestLadderNeedsNoPolling(t *testing.T) {
	cal := calendar(t)
	rapid.Check(t, func(t *rapid.T) {
		target := rapid.SampledFrom([]string{"90m,business", "4h,business", "200m,elapsed", "1,business-days", "next-business-day"}).Draw(t, "target")
		start := time.Date(2026, 3, 26+rapid.IntRange(0, 4).Draw(t, "day"), rapid.IntRange(0, 23).Draw(t, "hour"), rapid.IntRange(0, 59).Draw(t, "minute"), 0, 0, time.UTC)
		tg, err := sla.ParseTarget("response", target)
		if err != nil {
			t.Fatal(err)
		}
		c, err := sla.Begin(tg, cal, start, 0, start)
		if err != nil {
			t.Fatal(err)
		}
		at := start
		for range rapid.IntRange(0, 3).Draw(t, "pauses") {
			at = at.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "run")) * time.Minute)
			if c, err = c.Pause(cal, at, "x"); err != nil {
				t.Fatal(err)
			}
			at = at.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "rest")) * time.Minute)
			if c, err = c.Resume(cal, at); err != nil {
				t.Fatal(err)
			}
		}
		tk := incident()
		tk.Clocks = []sla.Clock{c}
		terms := steps()
		terms.Ladder[0].AckFor = time.Duration(rapid.SampledFrom([]int{0, 7, 60}).Draw(t, "ack")) * time.Minute
		const look = 5 * time.Minute
		at, end := at.Truncate(look).Add(look), at.Add(50*time.Hour)
		byNext := walk(t, tk, terms, cal, at, func(_, next time.Time) time.Time {
			if rest := next.Sub(next.Truncate(look)); rest > 0 { // who polls sees it then
				next = next.Add(look - rest)
			}
			return next
		}, end)
		polled := walk(t, tk, terms, cal, at, func(now, _ time.Time) time.Time { return now.Add(look) }, end)
		if d := cmp.Diff(polled, byNext); d != "" {
			t.Fatal(d)
		}
		height := 0.0
		for _, told := range byNext {
			if told.Share < height {
				t.Fatalf("told %v after a higher one: %v", told, byNext)
			}
			height = told.Share
		}
	})
}

type toldAt struct {
	At    time.Time
	Step  string
	Share float64
	Again bool
}

// walk looks at a ladder from an instant to another, going on as step says, and tells everything that is due.
func walk(t *rapid.T, tk ticket.Ticket, terms Terms, cal *sla.Calendar, now time.Time, step func(now, next time.Time) time.Time, end time.Time) (all []toldAt) {
	for !now.IsZero() && !now.After(end) {
		due, next, err := Due(tk, terms, cal, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range due {
			all = append(all, toldAt{now, s.ID, s.Rung.Share, s.Again})
		}
		tk = tell(tk, due, now)
		now = step(now, next)
	}
	return all
}
