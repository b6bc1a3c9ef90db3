package collector

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// looking compares one step's expectations with what is there.
type looking struct {
	w    *world
	ctx  context.Context
	step *policy.ScenarioStep
}

func (l looking) fail(what, want, got string) {
	l.w.fails = append(l.w.fails, ScenarioFailure{
		File: l.w.run.File, Scenario: l.w.s.Name, Line: l.step.Line, At: l.w.now.In(l.w.s.Zoned), What: what, Want: want, Got: got,
	})
}

// same compares a text that may have * in it.
func (l looking) same(what, want, got string) {
	if want != "" && !policy.Like(want, got) {
		l.fail(what, inQuotes(want), inQuotes(got))
	}
}

func inQuotes(s string) string {
	if s == "" {
		return "nothing"
	}
	return strconv.Quote(s)
}

// ticket looks at one ticket.
func (l looking) ticket(x *policy.Expectation, c *aTicket) error {
	t := c.t
	for _, f := range []struct{ what, want, got string }{
		{"state", x.State, string(t.State)}, {"kind", x.Kind, t.Kind}, {"type", x.Type, t.Type},
		{"priority", x.Priority, t.Priority}, {"because", x.Because, t.Because}, {"owner", x.Owner, t.Owner},
	} {
		l.same(c.name+": "+f.what, f.want, f.got)
	}
	for _, name := range slices.Sorted(maps.Keys(x.Facts)) {
		if got := t.Facts[name]; !policy.Like(x.Facts[name], got) {
			l.fail(c.name+": fact "+name, inQuotes(x.Facts[name]), inQuotes(got))
		}
	}
	if len(x.Is) > 0 {
		l.fields(c.name+": ", x.Is, t)
	}
	if err := l.clocks(x, c); err != nil {
		return err
	}
	return l.says(x, c)
}

// says looks for events in a ticket's timeline.
func (l looking) says(x *policy.Expectation, c *aTicket) error {
	if x.Says == nil && x.Silent == nil {
		return nil
	}
	var events []ticket.Event
	err := l.w.p.store.View(l.ctx, func(tx store.Tx) (err error) {
		events, err = tx.Timeline(c.t.ID)
		return err
	})
	if err != nil {
		return err
	}
	told := make([]string, len(events))
	for i, e := range events {
		told[i] = string(e.Kind) + ": " + e.Text
	}
	at := 0
	for _, want := range x.Says {
		i := slices.IndexFunc(told[at:], func(s string) bool { return policy.Like(want, s) })
		if i < 0 {
			l.fail(c.name+": timeline", inQuotes(want), strings.Join(told[at:], " | "))
			return nil
		}
		at += i + 1
	}
	for _, not := range x.Silent {
		if i := slices.IndexFunc(told, func(s string) bool { return policy.Like(not, s) }); i >= 0 {
			l.fail(c.name+": timeline", "no "+inQuotes(not), inQuotes(told[i]))
		}
	}
	return nil
}

// clocks compares a ticket's clocks.
func (l looking) clocks(x *policy.Expectation, c *aTicket) error {
	if len(x.Clocks) == 0 && !x.Only {
		return nil
	}
	r, err := l.w.termsOf(l.ctx, c)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(x.Clocks)) {
		want := x.Clocks[name]
		i := slices.IndexFunc(c.t.Clocks, func(k sla.Clock) bool { return k.Name == name })
		switch {
		case want.None && i >= 0:
			l.fail(c.name+": clock "+name, "none", c.t.Clocks[i].Target.Text())
		case want.None:
		case i < 0:
			l.fail(c.name+": clock "+name, "one", "only "+inQuotes(strings.Join(clockNames(c.t), " ")))
		default:
			l.clock(c.name, r.Ticket.Hours(), want, c.t.Clocks[i])
		}
	}
	if !x.Only {
		return nil
	}
	for _, name := range clockNames(c.t) {
		if _, named := x.Clocks[name]; !named {
			l.fail(c.name+": clocks", strings.Join(slices.Sorted(maps.Keys(x.Clocks)), " "), name+" as well")
		}
	}
	return nil
}

func clockNames(t ticket.Ticket) []string {
	names := make([]string, len(t.Clocks))
	for i, c := range t.Clocks {
		names[i] = c.Name
	}
	return names
}

func (l looking) clock(name string, hours *sla.Calendar, want policy.ClockWant, k sla.Clock) {
	of := name + ": clock " + k.Name + ": "
	for _, f := range []struct {
		what, want string
		got        time.Time
	}{
		{"start", want.Start, k.Start}, {"due", want.Due, k.Due}, {"ended", want.Ended, k.EndedAt},
		{"at risk", want.RiskAt, k.RiskAt}, {"breached", want.Breach, k.BreachedAt},
	} {
		l.instant(of+f.what, f.want, f.got)
	}
	l.same(of+"state", want.State, string(k.State(l.w.now)))
	l.same(of+"mode", want.Mode, string(k.Target.Mode))
	l.same(of+"target", want.Within, k.Target.Text())
	if want.Left != "" {
		if d, err := time.ParseDuration(want.Left); err != nil {
			l.fail(of+"left", "a duration", err.Error())
		} else if got := k.Remaining(hours, l.w.now); got != d {
			l.fail(of+"left", d.String(), got.String())
		}
	}
	if want.Breaches != nil && *want.Breaches == k.Target.Inform {
		l.fail(of+"breaches", fmt.Sprint(*want.Breaches), fmt.Sprint(!k.Target.Inform))
	}
	if want.Forecast != "" {
		at, err := k.Forecast(hours, l.w.now)
		if err != nil {
			l.fail(of+"forecast", want.Forecast, err.Error())
		}
		l.instant(of+"forecast", want.Forecast, at)
	}
	if want.Intervals != nil {
		l.intervals(of, want.Intervals, k.Explain(hours, time.Time{}))
	}
}

// instant compares a time; "none" stands for none.
func (l looking) instant(what, want string, got time.Time) {
	if want == "" {
		return
	}
	if want == "none" {
		if !got.IsZero() {
			l.fail(what, "none", got.In(l.w.s.Zoned).Format(policy.ScenarioLayout))
		}
		return
	}
	t, err := l.w.s.Time(want, l.step.When)
	switch {
	case err != nil:
		l.fail(what, "a time", err.Error())
	case got.IsZero():
		l.fail(what, t.Format(policy.ScenarioLayout), "none")
	case !t.Equal(got):
		l.fail(what, t.Format(policy.ScenarioLayout), got.In(l.w.s.Zoned).Format(policy.ScenarioLayout))
	}
}

func (l looking) intervals(of string, want []policy.IntervalWant, got []sla.Interval) {
	for i, w := range want {
		if i >= len(got) {
			break
		}
		at := fmt.Sprintf("%sinterval %d: ", of, i+1)
		l.instant(at+"from", w.From, got[i].From)
		l.instant(at+"to", w.To, got[i].To)
		l.same(at+"reason", w.Reason, got[i].Reason)
		if w.Counted != got[i].Counted {
			l.fail(at+"counted", fmt.Sprint(w.Counted), fmt.Sprint(got[i].Counted))
		}
	}
	if len(want) != len(got) {
		reasons := make([]string, len(got))
		for i, g := range got {
			reasons[i] = g.Reason
		}
		l.fail(of+"intervals", fmt.Sprint(len(want)), fmt.Sprintf("%d (%s)", len(got), strings.Join(reasons, "; ")))
	}
}
