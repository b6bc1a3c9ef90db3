package ticket

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/collector/incident"
)

func flappingTerms() Terms {
	t := terms()
	t.Flapping = incident.DefaultFlapping
	return t
}

// flapper is a ticket of the alert disk that goes up and down, kept and read again after every change as a store does it.
type flapper struct {
	log
	now time.Time
}

func newFlapper(t *testing.T) *flapper {
	t.Helper()
	f := &flapper{log: log{t: t}, now: t0}
	f.play(Open(Birth{ID: "id1", Number: "WB-1001", Title: "disk full on web1", Alert: firing("disk", incident.Warning),
		Terms: flappingTerms(), Evidence: evidence()}, t0))
	return f
}

func (f *flapper) keep(c Change, err error) {
	f.t.Helper()
	f.play(c, err)
	b, err := json.Marshal(f.ticket)
	if err != nil {
		f.t.Fatal(err)
	}
	f.ticket = Ticket{}
	if err := json.Unmarshal(b, &f.ticket); err != nil {
		f.t.Fatal(err)
	}
}

// flip changes an alert after a while.
func (f *flapper) flip(after time.Duration) {
	f.t.Helper()
	f.now = f.now.Add(after)
	if known, _ := f.ticket.alert("disk"); known.Firing() {
		f.keep(f.ticket.End(ended("disk", incident.Warning, incident.Recovered, f.now), f.now))
		return
	}
	f.keep(f.ticket.Fire(firing("disk", incident.Warning), flappingTerms(), evidence(), f.now))
}

// elapse lets time pass, with the deadlines in it.
func (f *flapper) elapse(d time.Duration) {
	f.t.Helper()
	end := f.now.Add(d)
	for at := f.ticket.Deadline(); !at.IsZero() && !at.After(end); at = f.ticket.Deadline() {
		f.keep(f.ticket.Elapse(flappingTerms(), at))
	}
	f.now = end
}

// An alert that comes and goes is told once, counted from then on, and told once more when it has settled.
func TestFlappingIsToldOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		flips int
		state State
		last  []Kind
		text  string
	}{
		"settled, recovered":    {202, Done, []Kind{Settled, Resolved}, "every alert recovered, stable for 15m0s after 205 changes since 2026-03-27 17:31:00 UTC"},
		"settled, still firing": {201, Again, []Kind{Settled}, "stable for 15m0s after 204 changes since 2026-03-27 17:31:00 UTC: DISK still fires"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFlapper(t)
			for range 4 {
				f.flip(time.Minute)
			}
			if want := []Kind{Opened, Resolved, Reopened, Resolved, FlappingBegan}; !slices.Equal(f.notices, want) || !f.ticket.State.Open() {
				t.Fatalf("told %v, want %v; the ticket is %s", f.notices, want, f.ticket.State)
			}
			events, before := len(f.timeline), f.ticket
			for range tc.flips - 1 {
				f.flip(10 * time.Second)
				if !f.ticket.State.Open() {
					t.Fatal("resolved while it flaps")
				}
			}
			if len(f.notices) != 5 {
				t.Errorf("told again: %v", f.notices[5:])
			}
			if n := len(f.timeline) - events; n < 10 || n > 35 {
				t.Errorf("%d events for %d changes in half an hour, want one a minute at most", n, tc.flips)
			}
			if f.ticket.Flap.Count != tc.flips+3 || before.Flap.Count != 4 {
				t.Errorf("%d changes were counted, %d before, want %d", f.ticket.Flap.Count, before.Flap.Count, tc.flips+3)
			}
			if flapped := f.ticket.Firing() > 0; flapped != (tc.state == Again) {
				t.Errorf("firing %v", flapped)
			}
			f.elapse(time.Hour)
			if f.ticket.State != tc.state || f.ticket.Flaps() {
				t.Errorf("the ticket is %s, flaps %v", f.ticket.State, f.ticket.Flaps())
			}
			got := f.timeline[len(f.timeline)-len(tc.last):]
			for i, k := range tc.last {
				if got[i].Kind != k {
					t.Errorf("event %d is %s, want %s", i, got[i].Kind, k)
				}
			}
			if told := f.notices[5:]; len(told) != 1 || !strings.Contains(got[len(got)-1].Text, tc.text) {
				t.Errorf("told %v with %q", told, got[len(got)-1].Text)
			}
		})
	}
}

// What a flapping ticket says is in its timeline: folded anew it is the same ticket, but for changes since its last event,
// and when it has settled for all of them.
func TestFlappingIsInTheTimeline(t *testing.T) {
	f := newFlapper(t)
	for i := range 50 {
		f.flip(time.Duration(7+i%3*20) * time.Second)
	}
	folded, err := Fold(f.timeline)
	if err != nil {
		t.Fatal(err)
	}
	if missing := f.ticket.Flap.Count - folded.Flap.Count; !folded.Flaps() || missing < 0 || missing > 8 {
		t.Errorf("the timeline counts %d changes, the ticket %d", folded.Flap.Count, f.ticket.Flap.Count)
	}
	f.elapse(16 * time.Minute)
	if folded, err = Fold(f.timeline); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f.ticket, folded); d != "" {
		t.Errorf("settled, and the timeline makes another ticket: %s", d)
	}
	if err := VerifyChain(f.timeline, f.ticket.Seq, f.ticket.Head); err != nil {
		t.Error(err)
	}
	record, err := AssembleRecord(f.timeline, func(int) ([]byte, bool, error) { return nil, false, nil })
	if err != nil || record.Time.None != "" {
		t.Errorf("%v %+v", err, record.Time)
	}
}

// A month of flapping does not fill a store.
func TestFlappingForAMonthIsBounded(t *testing.T) {
	f := newFlapper(t)
	for range 30 * 24 * 60 {
		f.flip(time.Minute)
	}
	b, err := json.Marshal(f.timeline)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.timeline) > 300 || len(b) > 256<<10 || len(f.notices) != 5 {
		t.Errorf("%d events, %d bytes, %d notices", len(f.timeline), len(b), len(f.notices))
	}
	if f.ticket.Flap.Count < 43200 {
		t.Errorf("%d changes counted", f.ticket.Flap.Count)
	}
}

// What is not flapping is told change by change.
func TestNotFlapping(t *testing.T) {
	for name, play := range map[string]func(f *flapper){
		"a relapse": func(f *flapper) {
			for range 3 {
				f.flip(time.Minute)
			}
		},
		"seldom": func(f *flapper) {
			for range 7 {
				f.flip(11 * time.Minute)
			}
		},
		"many alerts, once each": func(f *flapper) {
			for i := range 10 {
				id := fmt.Sprint("alert", i)
				f.now = f.now.Add(time.Second)
				f.keep(f.ticket.Fire(firing(id, incident.Warning), flappingTerms(), nil, f.now))
				f.keep(f.ticket.End(ended(id, incident.Warning, incident.Recovered, f.now), f.now))
			}
		},
		"a person resolved it and hears of it anew": func(f *flapper) {
			for range 4 {
				f.flip(time.Minute)
			}
			f.keep(f.ticket.Act(Action{Verb: Resolve, Text: "threshold raised"}, anna, terms(), f.now))
			f.flip(time.Minute)
			f.flip(time.Minute)
		},
		"switched off": func(f *flapper) {
			f.ticket.Flapping, f.timeline[0].Opening.Flapping = incident.Flapping{}, incident.Flapping{}
			for range 10 {
				f.flip(time.Second)
			}
		},
		"rule removed and put back": func(f *flapper) {
			for range 5 {
				f.now = f.now.Add(time.Second)
				f.keep(f.ticket.End(ended("disk", incident.Warning, incident.RuleGone, f.now), f.now))
				f.keep(f.ticket.Fire(firing("disk", incident.Warning), flappingTerms(), nil, f.now))
				f.now = f.now.Add(12 * time.Minute)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFlapper(t)
			play(f)
			if f.ticket.Flaps() || !f.ticket.Flap.Since.IsZero() || slices.Contains(f.notices, Settled) {
				t.Errorf("it flaps: %+v, told %v", f.ticket.Flap, f.notices)
			}
		})
	}
}

// While one alert of a ticket flaps, another is told as ever, and a person can work on it.
func TestFlappingTicketIsATicket(t *testing.T) {
	f := newFlapper(t)
	for range 5 {
		f.flip(time.Minute)
	}
	f.keep(f.ticket.Act(Action{Verb: Ack, Text: ""}, anna, terms(), f.now))
	f.keep(f.ticket.Fire(firing("raid", incident.Critical), flappingTerms(), evidence(), f.now))
	f.flip(time.Minute)
	if f.ticket.State != Acked || f.ticket.Priority != "P1" || f.notices[len(f.notices)-1] != PriorityChanged {
		t.Errorf("%s %s, told %v", f.ticket.State, f.ticket.Priority, f.notices)
	}
	f.elapse(time.Hour)
	if f.ticket.Flaps() || f.ticket.Firing() == 0 || f.notices[len(f.notices)-1] != Settled {
		t.Errorf("%+v, told %v", f.ticket.Flap, f.notices)
	}
}

// silent is an alert of silence.
func silent(name, asset, site string) incident.Alert {
	a := firing(name+asset+site, incident.Critical)
	a.Name, a.Source, a.Asset, a.Site, a.Service = name, "watchbill", asset, site, incident.Availability
	return a
}

// When hosts turn out to be silent for their site's sake, their tickets are resolved into the site's; what else is wrong
// with them stays.
func TestGiveWay(t *testing.T) {
	open := func(id string, a incident.Alert) *log {
		l := &log{t: t}
		l.play(Open(Birth{ID: id, Number: "WB-" + id, Title: a.Name + " " + a.Asset + a.Site, Alert: a, Terms: flappingTerms()}, t0))
		return l
	}
	site := open("9", silent(incident.SiteSilent, "", "london"))
	host := silent(incident.HostSilent, "web1", "london")
	up := firing("up", incident.Critical)
	up.Expr, up.Service = "up == 0", "node"
	probe := firing("probe", incident.Warning)
	probe.Expr = "probe_success == 0"
	over := host
	over.EndedAt, over.End = t0.Add(time.Minute), incident.Superseded
	for name, tc := range map[string]struct {
		more  []incident.Alert
		state State
	}{
		"silence alone":           {nil, Done},
		"with a rule about up":    {[]incident.Alert{up}, Done},
		"with a fault of its own": {[]incident.Alert{up, probe}, New},
	} {
		t.Run(name, func(t *testing.T) {
			l := open("1", host)
			for _, a := range tc.more {
				l.play(l.ticket.Fire(a, flappingTerms(), nil, t0))
			}
			l.play(l.ticket.GiveWay(over, site.ticket, t0.Add(time.Minute)))
			if l.ticket.State != tc.state || len(l.ticket.Links) != 1 || l.ticket.Links[0].Number != "WB-9" {
				t.Errorf("the ticket is %s, links %+v", l.ticket.State, l.ticket.Links)
			}
			if again, err := l.ticket.GiveWay(over, site.ticket, t0.Add(2*time.Minute)); err != nil || !again.Empty() {
				t.Errorf("twice: %v %v", again.Events, err)
			}
			ended := up
			ended.EndedAt, ended.End = t0.Add(time.Hour), incident.Recovered
			if c, err := l.ticket.End(ended, t0.Add(time.Hour)); err != nil || !c.Empty() {
				t.Errorf("what was taken over ends in the old ticket: %v %v", c.Events, err)
			}
			if tc.state != Done {
				return
			}
			if want := []Kind{Opened, Resolved}; !slices.Equal(l.notices, want) {
				t.Errorf("told %v, want %v", l.notices, want)
			}
			if at := l.ticket.Deadline(); at.Before(t0.Add(time.Hour)) {
				t.Errorf("it would be reopened at %v", at)
			}
			l.play(l.ticket.Fire(host, flappingTerms(), nil, t0.Add(10*time.Minute)))
			if l.ticket.State != Again || l.ticket.Firing() != 1 {
				t.Errorf("the host alone again: %s, %d fire", l.ticket.State, l.ticket.Firing())
			}
		})
	}
	for i := range 30 {
		part := open(fmt.Sprint(100+i), host).ticket
		site.play(site.ticket.TakeOver(part, t0.Add(time.Minute)))
		site.play(site.ticket.TakeOver(part, t0.Add(time.Minute)))
	}
	if len(site.ticket.Links) != maxTaken {
		t.Errorf("%d links", len(site.ticket.Links))
	}
}
