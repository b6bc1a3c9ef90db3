package sla_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
	"pgregory.net/rapid"
)

// changes are the instants in 2024 to 2028 at which a zone changes its offset.
func changes(loc *time.Location) []time.Time {
	var found []time.Time
	end := time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)
	for at := time.Date(2024, 1, 1, 0, 0, 0, 0, loc); at.Before(end); {
		_, next := at.ZoneBounds()
		if next.IsZero() || !next.Before(end) {
			break
		}
		found = append(found, next)
		at = next
	}
	return found
}

// world is a calendar and the instants that are interesting in it.
type world struct {
	cal     *sla.Calendar
	changes []time.Time
}

func (w world) instant(t *rapid.T, label string) time.Time {
	if rapid.Bool().Draw(t, label+" near a change") {
		change := rapid.SampledFrom(w.changes).Draw(t, label+" change")
		return change.Add(time.Duration(rapid.IntRange(-3*86400, 3*86400).Draw(t, label+" seconds from it")) * time.Second)
	}
	return time.Unix(rapid.Int64Range(1704067200, 1861919999).Draw(t, label), 0) // 2024 to 2028
}

// drawSpans draws up to three spans of a day, on five minutes.
func drawSpans(t *rapid.T, label string, least int) []sla.Span {
	edges := rapid.SliceOfNDistinct(rapid.IntRange(0, 288), 2*least, 6, rapid.ID[int]).Draw(t, label)
	var open [289]bool
	for _, e := range edges {
		open[e] = true
	}
	var spans []sla.Span
	from := -1
	for e := range open {
		if !open[e] {
			continue
		}
		if from < 0 {
			from = e
			continue
		}
		spans = append(spans, sla.Span{From: time.Duration(from) * 5 * time.Minute, To: time.Duration(e) * 5 * time.Minute})
		from = -1
	}
	return spans
}

// drawWorld draws a calendar in a zone; it opens on Mondays at least.
func drawWorld(t *rapid.T, zone string) world {
	s := sla.Spec{Name: "drawn", Zone: zone, Region: rapid.SampledFrom(sla.Regions()).Draw(t, "region")}
	s.Hours[time.Monday] = drawSpans(t, "monday", 1)
	for d := range s.Hours {
		if time.Weekday(d) != time.Monday {
			s.Hours[d] = drawSpans(t, time.Weekday(d).String(), 0)
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "overlays") {
		o := sla.Overlay{Name: "cover", Holidays: rapid.Bool().Draw(t, "on holidays")}
		o.Hours[time.Sunday] = drawSpans(t, "cover on sunday", 1)
		o.Hours[time.Monday] = drawSpans(t, "cover on monday", 0)
		if rapid.Bool().Draw(t, "dated") {
			o.From = sla.Date{Year: 2024, Month: 1, Day: 1}.AddDays(rapid.IntRange(0, 1800).Draw(t, "from"))
			o.Until = o.From.AddDays(rapid.IntRange(0, 400).Draw(t, "days"))
		}
		s.Overlays = append(s.Overlays, o)
	}
	cal, err := sla.NewCalendar(s)
	if err != nil {
		t.Fatal(err)
	}
	return world{cal, changes(cal.Zone())}
}

func seconds(t *rapid.T, label string, most int) time.Duration {
	return time.Duration(rapid.IntRange(1, most).Draw(t, label)) * time.Second
}

// TestPropertiesInEveryZone draws calendars, instants and clocks in every zone whose offset changes.
func TestPropertiesInEveryZone(t *testing.T) {
	list, err := os.ReadFile("testdata/zones.txt")
	if err != nil {
		t.Fatal(err)
	}
	zones := strings.Fields(string(list))
	if len(zones) < 100 {
		t.Fatalf("%d zones: expected at least 100", len(zones))
	}
	properties := []func(*rapid.T, world){
		addingAndCountingAreInverse, splittingChangesNothing, aDeadlineIsNeverInClosedHours, elapsedIsExact,
		aPauseConservesWhatIsLeft, anExplanationIsWhole, aTickFindsEachFactOnce, plainDataRoundTrips,
	}
	for _, zone := range zones {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Errorf("%s: %v", zone, err)
			continue
		}
		if len(changes(loc)) == 0 {
			t.Errorf("%s: no change in 2024 to 2028: write the list anew", zone)
			continue
		}
		t.Run(zone, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := drawWorld(t, zone)
				rapid.SampledFrom(properties).Draw(t, "property")(t, w)
			})
		})
	}
}

func add(t *rapid.T, cal *sla.Calendar, from time.Time, d time.Duration) time.Time {
	got, err := cal.Add(from, d)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func addingAndCountingAreInverse(t *rapid.T, w world) {
	from := w.instant(t, "from")
	d := seconds(t, "d", 40*3600)
	due := add(t, w.cal, from, d)
	if got := w.cal.Count(from, due); got != d {
		t.Fatalf("%v added to %v is %v, between which %v counts", d, from, due, got)
	}
	to := from.Add(seconds(t, "to", 20*86400))
	open := w.cal.Count(from, to)
	if back := add(t, w.cal, from, open); open > 0 && (back.After(to) || w.cal.Count(back, to) != 0) {
		t.Fatalf("%v counts from %v to %v, but adding it gives %v", open, from, to, back)
	}
}

func splittingChangesNothing(t *rapid.T, w world) {
	from := w.instant(t, "from")
	a, b := seconds(t, "a", 30*3600), seconds(t, "b", 30*3600)
	if one, two := add(t, w.cal, from, a+b), add(t, w.cal, add(t, w.cal, from, a), b); !one.Equal(two) {
		t.Fatalf("%v + %v from %v: at once %v, in two steps %v", a, b, from, one, two)
	}
	middle := from.Add(seconds(t, "middle", 10*86400))
	to := middle.Add(seconds(t, "to", 10*86400))
	if whole, parts := w.cal.Count(from, to), w.cal.Count(from, middle)+w.cal.Count(middle, to); whole != parts {
		t.Fatalf("from %v over %v to %v: %v counts at once, %v in two parts", from, middle, to, whole, parts)
	}
}

func aDeadlineIsNeverInClosedHours(t *rapid.T, w world) {
	c := drawClock(t, w, drawTarget(t, sla.Business, sla.BusinessDays, sla.NextBusinessDay))
	before := w.cal.Open(c.Due.Add(-1))
	if !before && (c.Target.Mode != sla.BusinessDays || !w.cal.Open(c.Due)) {
		t.Fatalf("%s from %v is due at %v, when the calendar is closed", c.Target.Text(), c.Start, c.Due.In(w.cal.Zone()))
	}
	_, resumed, p := drawPause(t, w, c, c.Start, c.Due)
	if due := resumed.Due; !w.cal.Open(due.Add(-1)) && (c.Target.Mode != sla.BusinessDays || !w.cal.Open(due)) {
		t.Fatalf("%s from %v, paused from %v to %v, is due at %v, when the calendar is closed", c.Target.Text(), c.Start, p.From, p.To, due.In(w.cal.Zone()))
	}
}

func elapsedIsExact(t *rapid.T, w world) {
	c := drawClock(t, w, drawTarget(t, sla.Elapsed))
	if got := c.Due.Sub(c.Start); got != c.Target.Within {
		t.Fatalf("%v elapsed from %v to %v", got, c.Start, c.Due)
	}
}

func drawTarget(t *rapid.T, modes ...sla.Mode) sla.Target {
	out := sla.Target{Clock: "response", Mode: rapid.SampledFrom(modes).Draw(t, "mode")}
	switch out.Mode {
	case sla.Business, sla.Elapsed:
		out.Within = seconds(t, "within", 40*3600)
	case sla.BusinessDays:
		out.Days = rapid.IntRange(1, 8).Draw(t, "days")
	}
	return out
}

func anyTarget(t *rapid.T) sla.Target {
	return drawTarget(t, sla.Business, sla.Elapsed, sla.BusinessDays, sla.NextBusinessDay)
}

func drawClock(t *rapid.T, w world, target sla.Target) sla.Clock {
	start := w.instant(t, "start")
	c, err := sla.Begin(target, w.cal, start, rapid.SampledFrom([]float64{0, 0.5, 0.8}).Draw(t, "risk"), start)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// drawPause pauses a clock at an instant from its last one to its due one, and resumes it.
func drawPause(t *rapid.T, w world, c sla.Clock, from, to time.Time) (paused, resumed sla.Clock, p sla.Pause) {
	p.From = from.Add(time.Duration(rapid.Int64Range(0, int64(to.Sub(from)/time.Second)).Draw(t, "pause")) * time.Second)
	p.To = p.From.Add(time.Duration(rapid.IntRange(0, 6*86400).Draw(t, "length")) * time.Second)
	paused, err := c.Pause(w.cal, p.From, "for the customer")
	if err != nil {
		t.Fatal(err)
	}
	resumed, err = paused.Resume(w.cal, p.To)
	if err != nil {
		t.Fatal(err)
	}
	return paused, resumed, p
}

func aPauseConservesWhatIsLeft(t *rapid.T, w world) {
	c := drawClock(t, w, anyTarget(t))
	from := c.Start
	for range rapid.IntRange(1, 3).Draw(t, "pauses") {
		left, due := c, c.Due
		paused, resumed, p := drawPause(t, w, c, from, c.Due)
		before := left.Remaining(w.cal, p.From)
		if got := paused.Remaining(w.cal, p.To.Add(time.Hour)); got != before {
			t.Fatalf("%v was left when the pause began, %v while it stood", before, got)
		}
		if got := resumed.Remaining(w.cal, p.To); got != before {
			t.Fatalf("%v was left at %v, %v at the resumption at %v", before, p.From, got, p.To)
		}
		if p.From.Before(due) && !paused.Due.IsZero() {
			t.Fatalf("paused at %v before %v, and due at %v", p.From, due, paused.Due)
		}
		if (p.From.Equal(p.To) || !p.From.Before(due)) && !resumed.Due.Equal(due) {
			t.Fatalf("a pause from %v to %v moved %v to %v", p.From, p.To, due, resumed.Due)
		}
		if resumed.Remaining(w.cal, resumed.Due) != 0 && p.From.Before(due) {
			t.Fatalf("%v left when due", resumed.Remaining(w.cal, resumed.Due))
		}
		c, from = resumed, p.To
		if !from.Before(c.Due) {
			return
		}
	}
}

func anExplanationIsWhole(t *rapid.T, w world) {
	c := drawClock(t, w, anyTarget(t))
	if rapid.Bool().Draw(t, "paused") {
		_, c, _ = drawPause(t, w, c, c.Start, c.Due)
	}
	at := c.Start
	var counted time.Duration
	last := sla.Interval{}
	for _, i := range c.Explain(w.cal, time.Time{}) {
		if !i.From.Equal(at) || !i.From.Before(i.To) {
			t.Fatalf("%v to %v follows what ended at %v", i.From, i.To, at)
		}
		if i.Reason == last.Reason || i.Reason == "" {
			t.Fatalf("%q stands twice in a row, at %v", i.Reason, i.From)
		}
		waiting := strings.HasPrefix(i.Reason, "waiting: ")
		if !waiting && c.Target.NeedsCalendar() && (w.cal.Open(i.From) != i.Counted || w.cal.Open(i.To.Add(-1)) != i.Counted) {
			t.Fatalf("%v to %v: counted %v (%s), which the calendar denies", i.From, i.To, i.Counted, i.Reason)
		}
		if i.Counted {
			counted += i.To.Sub(i.From)
		}
		at, last = i.To, i
	}
	if !at.Equal(c.Due) || counted != c.Total(w.cal) {
		t.Fatalf("explained up to %v with %v counted, due %v after %v", at, counted, c.Due, c.Total(w.cal))
	}
}

func aTickFindsEachFactOnce(t *rapid.T, w world) {
	c := drawClock(t, w, anyTarget(t))
	if rapid.Bool().Draw(t, "waived") {
		waived, err := c.Waive(c.Start.Add(-time.Second), c.Start.Add(seconds(t, "until", 10*86400)))
		if err != nil {
			t.Fatal(err)
		}
		c = waived
	}
	untouched := c
	now, latest := c.Start, c.Start
	var found []sla.Fact
	steps := []time.Duration{time.Second, time.Minute, time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour, 72 * time.Hour}
	for range rapid.IntRange(1, 60).Draw(t, "ticks") {
		if next := c.Next(); !next.IsZero() && rapid.Bool().Draw(t, "sleep until next") {
			now = next
		} else {
			now = now.Add(rapid.SampledFrom(steps).Draw(t, "step"))
		}
		if now.After(latest) {
			latest = now
		}
		was := c.Next()
		var facts []sla.Fact
		c, facts = c.Tick(now)
		if (len(facts) > 0) != (!was.IsZero() && !was.After(now)) {
			t.Fatalf("next was %v, at %v were found %v", was, now, facts)
		}
		found = append(found, facts...)
	}
	once, facts := untouched.Tick(latest)
	if !reflect.DeepEqual(found, facts) || !reflect.DeepEqual(once, c) {
		t.Fatalf("in steps up to %v were found %v, at once %v", latest, found, facts)
	}
	for _, f := range found {
		if want := untouched.RiskAt; f.Kind == sla.FactAtRisk && !f.At.Equal(want) {
			t.Fatalf("at risk at %v, want %v", f.At, want)
		}
		if f.Kind == sla.FactBreached && (f.At.Before(untouched.Due) || f.At.Before(untouched.WaivedUntil)) {
			t.Fatalf("breached at %v, due %v, waived until %v", f.At, untouched.Due, untouched.WaivedUntil)
		}
	}
}

func plainDataRoundTrips(t *rapid.T, w world) {
	c := drawClock(t, w, anyTarget(t))
	_, c, _ = drawPause(t, w, c, c.Start, c.Due)
	c, _ = c.Tick(c.Due)
	var again sla.Clock
	data, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(data, &again)
	}
	if err != nil || !reflect.DeepEqual(c, again) {
		t.Fatalf("%s came back as %+v: %v", data, again, err)
	}
	var spec sla.Spec
	if data, err = json.Marshal(w.cal.Spec()); err == nil {
		err = json.Unmarshal(data, &spec)
	}
	if err != nil || !reflect.DeepEqual(w.cal.Spec(), spec) {
		t.Fatalf("%s came back as %+v: %v", data, spec, err)
	}
}
