package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

func accept() *wire.Ack { return &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Incarnation: 1} }

// turn makes a report and tries to deliver it once.
func (a *light) turn(t *testing.T, now time.Time) time.Duration {
	t.Helper()
	a.due = now
	if err := a.sample(now); err != nil {
		t.Fatal(err)
	}
	return a.attempt(context.Background())
}

func TestAgentSendsShapesOnlyWhenAsked(t *testing.T) {
	f := newFake(t)
	known := map[string]bool{}
	f.answer = func(m *wire.Report) *wire.Ack {
		for _, s := range m.Shapes {
			l, err := wire.ReadShape(s, wire.DefaultLimits())
			if err != nil {
				t.Error(err)
			}
			known[string(l.ID[:])] = true
		}
		ack := accept()
		for _, b := range m.Blocks {
			if !known[string(b.ShapeId)] {
				ack.Result = wire.Ack_RESULT_NEED_SHAPES
				ack.UnknownShapes = append(ack.UnknownShapes, b.ShapeId)
			}
		}
		return ack
	}
	a := f.light("sim-1")
	a.turn(t, time.Now())
	a.turn(t, time.Now().Add(time.Second))
	reports, _, _ := f.got()
	if len(reports) != 3 || len(reports[0].Shapes) != 0 || len(reports[1].Shapes) == 0 || len(reports[2].Shapes) != 0 {
		t.Fatalf("%d reports came; want one without shapes, the same with, the next without", len(reports))
	}
	if f.stats.reports.Load() != 2 || f.stats.samples.Load() != 400 || f.stats.shapes.Load() != 1 {
		t.Errorf("counted %d reports, %d samples, %d times asked", f.stats.reports.Load(), f.stats.samples.Load(), f.stats.shapes.Load())
	}
}

// A collector that keeps asking must not be sent shapes for ever.
func TestAgentGivesUpOnShapes(t *testing.T) {
	f := newFake(t)
	f.answer = func(m *wire.Report) *wire.Ack {
		return &wire.Ack{Result: wire.Ack_RESULT_NEED_SHAPES, UnknownShapes: [][]byte{m.Blocks[0].ShapeId}}
	}
	a := f.light("sim-1")
	if wait := a.turn(t, time.Now()); wait <= 0 || a.pending == nil {
		t.Errorf("waits %v, pending %v: want the report kept for later", wait, a.pending != nil)
	}
	if reports, _, _ := f.got(); len(reports) != maxShapeRounds {
		t.Errorf("%d requests, want %d", len(reports), maxShapeRounds)
	}
}

// What was not delivered gives way to what is newer, but its events do not get lost, nor told twice.
func TestEventsOutliveTheirReport(t *testing.T) {
	f := newFake(t)
	open := false
	f.answer = func(*wire.Report) *wire.Ack {
		if open {
			return accept()
		}
		return &wire.Ack{Result: wire.Ack_RESULT_LATER, RetryAfterMs: 60_000, Incarnation: 1}
	}
	a := f.light("sim-1")
	now := time.Now()
	a.tell(now, "unit_restarted", "first")
	if wait := a.turn(t, now); wait < time.Minute {
		t.Errorf("waits %v, was told to wait a minute", wait)
	}
	a.tell(now, "unit_restarted", "second")
	a.turn(t, now.Add(time.Second))
	open = true
	a.turn(t, now.Add(2*time.Second))
	a.turn(t, now.Add(3*time.Second))
	reports, _, _ := f.got()
	events := func(n int) (out []string) {
		for _, e := range reports[n].Events {
			out = append(out, e.Text)
		}
		return out
	}
	if len(reports) != 4 || strings.Join(events(2), ",") != "first,second" || len(events(3)) != 0 {
		t.Errorf("%d reports, the third tells %q, the fourth %q", len(reports), events(2), events(3))
	}
	if f.stats.superseded.Load() != 2 {
		t.Errorf("%d reports gave way, want 2", f.stats.superseded.Load())
	}
}

// An agent that keeps nothing must not say that it has sent anything again, whatever it is asked for; nor does it speak of
// lanes, for who does is kept room for a past that does not come.
func TestAgentWithoutASpoolClaimsNoReplay(t *testing.T) {
	f := newFake(t)
	f.answer = func(*wire.Report) *wire.Ack {
		ack := accept()
		ack.ReplaySinceMs = 1
		return ack
	}
	a := f.light("sim-1")
	for i := range 3 {
		a.turn(t, time.Now().Add(time.Duration(i)*time.Second))
	}
	for i, h := range f.heads() {
		for _, name := range []string{wire.HeaderReplayed, wire.HeaderLane, wire.HeaderWaiting} {
			if h.Get(name) != "" {
				t.Errorf("request %d says %s: %s", i, name, h.Get(name))
			}
		}
	}
	r := f.stats.returns()[0]
	if !r.stages[stageLive].whole || r.stages[stageReplayed].agents+r.stages[stageReplayed].expected != 0 || r.times().Replayed != nil {
		t.Errorf("return %+v: want it seen live, and nothing of a replay", r)
	}
}

func TestAgentTellsItsInventoryToANewCollector(t *testing.T) {
	f := newFake(t)
	incarnation := uint64(1)
	f.answer = func(*wire.Report) *wire.Ack {
		return &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Incarnation: incarnation}
	}
	a := f.light("sim-1")
	now := time.Now()
	for i := range 5 {
		if i == 3 {
			incarnation = 2
		}
		a.turn(t, now.Add(time.Duration(i)*time.Second))
	}
	reports, _, _ := f.got()
	told := ""
	for _, m := range reports {
		told += map[bool]string{true: "x", false: "-"}[m.Inventory != nil]
	}
	// The first answer names the collector, which is news; the fourth names another.
	if told != "xx--x" {
		t.Errorf("inventories told: %s, want xx--x", told)
	}
	if r := f.stats.returns(); len(r) != 2 || !r[1].stages[stageBack].whole || !r[1].stages[stageLive].whole {
		t.Errorf("returns %+v, want two, both whole", r)
	}
}

func TestClockStepBeginsATimeLineAndIsCorrected(t *testing.T) {
	for name, ahead := range map[string]bool{"ahead": true, "behind": false} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.answer = func(*wire.Report) *wire.Ack {
				ack := accept()
				ack.NowMs = time.Now().UnixMilli()
				return ack
			}
			a := f.light("sim-1")
			a.fault, a.ahead = &fault{kind: faultClockStep, share: 1, after: time.Second}, ahead
			now := time.Now()
			a.start = now
			off := func(n int) time.Duration {
				reports, _, _ := f.got()
				return time.UnixMilli(reports[n].MadeAtMs).Sub(now).Round(time.Hour)
			}
			a.turn(t, now)
			a.suffer(now.Add(time.Second))
			a.turn(t, now.Add(time.Second))
			a.turn(t, now.Add(2*time.Second))
			if off(0) != 0 || off(1).Abs() != time.Hour || (off(1) > 0) != ahead || off(2) != 0 {
				t.Errorf("reports are made %v, %v, %v from now; want 0, an hour, 0", off(0), off(1), off(2))
			}
			reports, _, _ := f.got()
			if !(reports[0].Epoch < reports[1].Epoch && reports[1].Epoch < reports[2].Epoch) || reports[2].Sequence != 1 {
				t.Errorf("epochs %d, %d, %d, sequence %d: want each larger and the last from 1", reports[0].Epoch, reports[1].Epoch, reports[2].Epoch, reports[2].Sequence)
			}
		})
	}
}

func TestFaultsComeAndGo(t *testing.T) {
	now := time.Now()
	for _, kind := range []faultKind{faultValue, faultSilence, faultSiteCut, faultRestart} {
		t.Run(string(kind), func(t *testing.T) {
			a := newFake(t).light("sim-1")
			a.start = now
			a.fault = &fault{kind: kind, share: 1, after: time.Second, lasts: time.Second}
			state := func(at time.Duration) string {
				epoch := a.epoch
				a.suffer(now.Add(at))
				return strings.TrimSpace(map[bool]string{true: "broken "}[a.host.broken] + map[bool]string{true: "silent "}[a.silent] +
					map[bool]string{true: "anew"}[a.epoch != epoch])
			}
			want := map[faultKind]string{faultValue: "broken", faultSilence: "silent", faultSiteCut: "silent", faultRestart: "anew"}[kind]
			if got := state(0); got != "" {
				t.Errorf("%s before its time", got)
			}
			if got := state(time.Second); got != want {
				t.Errorf("then %q, want %q", got, want)
			}
			if got := state(2 * time.Second); got != "" || a.stats.awake() != 1 {
				t.Errorf("afterwards %q, %d awake", got, a.stats.awake())
			}
		})
	}
}

func TestSilentAgentSaysNothing(t *testing.T) {
	f := newFake(t)
	a := f.light("sim-1")
	a.silent = true
	if err := a.sample(time.Now()); err != nil || a.pending != nil {
		t.Errorf("pending %v, %v", a.pending, err)
	}
	a.sayGoodbye(context.Background())
	if reports, _, _ := f.got(); len(reports) != 0 {
		t.Errorf("%d reports came", len(reports))
	}
}

func TestAgentObeysStatuses(t *testing.T) {
	for status, c := range map[int]struct {
		kept  bool
		least time.Duration
	}{
		http.StatusRequestEntityTooLarge: {false, 0},
		http.StatusBadRequest:            {false, 0},
		http.StatusForbidden:             {true, distrustBase / 2},
		http.StatusServiceUnavailable:    {true, 0},
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			f := newFake(t)
			f.serve = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", status) }
			a := f.light("sim-1")
			if wait := a.turn(t, time.Now()); (a.pending != nil) != c.kept || wait < c.least {
				t.Errorf("kept %v, waits %v", a.pending != nil, wait)
			}
			if refused, _, _ := f.stats.reasons(); refused["status_"+http.StatusText(status)] != 1 {
				t.Errorf("counted %v", refused)
			}
		})
	}
}

// The whole loop: paced reports from the first to the goodbye, on one connection.
func TestAgentRuns(t *testing.T) {
	f := newFake(t)
	a := f.light("sim-1")
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	f.answer = func(*wire.Report) *wire.Ack {
		if n++; n == 4 {
			cancel()
		}
		return accept()
	}
	if err := a.run(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	reports, _, _ := f.got()
	last := reports[len(reports)-1]
	if len(reports) < 4 || last.Goodbye == nil && a.line.conn != nil || f.stats.connects.Load() > 2 {
		t.Errorf("%d reports, goodbye %v, %d connections", len(reports), last.Goodbye, f.stats.connects.Load())
	}
	for i, m := range reports {
		if m.Sequence != uint64(i+1) {
			t.Errorf("report %d has sequence %d", i, m.Sequence)
		}
	}
	if reports[0].Events[0].Kind != "agent_started" || f.stats.connected.Load() != 0 {
		t.Errorf("first event %v, %d connections stand", reports[0].Events, f.stats.connected.Load())
	}
}

func TestFlatOutDoesNotWait(t *testing.T) {
	f := newFake(t)
	a := f.light("sim-1")
	a.flatOut, a.interval = true, time.Hour
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	n := 0
	f.answer = func(*wire.Report) *wire.Ack {
		if n++; n == 20 {
			cancel()
		}
		return accept()
	}
	if err := a.run(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	reports, _, _ := f.got()
	if len(reports) < 20 {
		t.Fatalf("%d reports in 30 s at an interval of an hour", len(reports))
	}
	for i := 1; i < 20; i++ {
		if reports[i].Blocks[0].SampledAtMs <= reports[i-1].Blocks[0].SampledAtMs {
			t.Errorf("report %d was sampled at %d, the one before at %d", i, reports[i].Blocks[0].SampledAtMs, reports[i-1].Blocks[0].SampledAtMs)
		}
	}
}

// A slow answer leaves open when the collector read its clock: that is no step of ours.
func TestSlowAnswerIsNoClockStep(t *testing.T) {
	for name, c := range map[string]struct {
		took, ahead time.Duration
		steps       bool
	}{
		"fast, right":      {time.Millisecond, 0, false},
		"slow, at its end": {20 * time.Second, 20 * time.Second, false},
		"slow, in front":   {20 * time.Second, 0, false},
		"fast, off":        {time.Millisecond, 3 * time.Second, true},
		"slow, off":        {20 * time.Second, 30 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newFake(t).light("sim-1")
			epoch, sent := a.epoch, time.Now()
			a.learn(&wire.Ack{NowMs: sent.Add(c.ahead).UnixMilli()}, sent, sent.Add(c.took))
			if (a.epoch != epoch) != c.steps {
				t.Errorf("new time line: %v, want %v", a.epoch != epoch, c.steps)
			}
		})
	}
}
