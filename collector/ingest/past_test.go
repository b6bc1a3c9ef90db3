package ingest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// say sends a report in a lane, past HTTP, with so many waiting and this much replayed, and reads the ack.
func (c *client) say(m *wire.Report, lane string, waiting int, replayed time.Time) *wire.Ack {
	c.w.t.Helper()
	for {
		body, coding, err := wire.Encode(m)
		if err != nil {
			c.w.t.Fatal(err)
		}
		rec, answer, err := c.postWith(wire.PathReport, wire.TypeReport, coding, bytes.NewReader(body), func(h http.Header) {
			h.Set(wire.HeaderLane, lane)
			h.Set(wire.HeaderWaiting, strconv.Itoa(waiting))
			if !replayed.IsZero() {
				h.Set(wire.HeaderReplayed, fmt.Sprintf("%d %d", replayed.UnixMilli(), c.w.restarts))
			}
		})
		if err != nil {
			c.w.t.Fatal(err)
		}
		var ack wire.Ack
		if err := proto.Unmarshal(answer, &ack); err != nil {
			c.w.t.Fatalf("%s: %v", rec.Status, err)
		}
		if ack.Result != wire.Ack_RESULT_NEED_SHAPES {
			return &ack
		}
		m = c.with(m, ack.UnknownShapes)
	}
}

func wantCredits(t *testing.T, what string, ack *wire.Ack, result wire.Ack_Result, credits uint32) {
	t.Helper()
	if ack.Result != result || ack.Credits != credits {
		t.Errorf("%s: %v with %d credits, want %v with %d: %s", what, ack.Result, ack.Credits, result, credits, ack.Error)
	}
}

const (
	accepted = wire.Ack_RESULT_ACCEPTED
	later    = wire.Ack_RESULT_LATER
)

func TestThePastComesOnCredits(t *testing.T) {
	room := true
	w := newWorld(t, func(o *Options) {
		o.Backlog = Backlog{SamplesPerSecond: 1000, Credits: 4, AtOnce: 1, BodyBytes: 1 << 20}
		o.Room = func(string) bool { return room }
	})
	c := w.enrol("acme", "leeds", "web1")
	report := func() *wire.Report { return c.report(c.block("cpu", 100, 0)) }
	old := func() *wire.Report { return c.report(c.block("cpu", 100, time.Minute)) }
	none := time.Time{}
	wantCredits(t, "unasked", c.say(old(), wire.LaneBacklog, 9, none), later, 0)
	wantCredits(t, "nothing waits", c.say(report(), wire.LaneLive, 0, none), accepted, 0)
	wantCredits(t, "nine wait", c.say(report(), wire.LaneLive, 9, none), accepted, 4)
	wantCredits(t, "first", c.say(old(), wire.LaneBacklog, 8, none), accepted, 4)
	for n := 7; n > 1; n-- {
		c.say(old(), wire.LaneBacklog, n, none)
	}
	wantCredits(t, "the budget of the second is spent but for 200", c.say(old(), wire.LaneBacklog, 1, none), accepted, 1)
	w.clock.add(time.Minute)
	wantCredits(t, "no more than wait", c.say(report(), wire.LaneLive, 2, none), accepted, 2)
	room = false
	wantCredits(t, "no room", c.say(report(), wire.LaneLive, 2, none), accepted, 0)
	wantCredits(t, "so none is taken", c.say(old(), wire.LaneBacklog, 1, none), later, 0)
	room = true
	for range 20 { // what is granted and not used comes back
		wantCredits(t, "again", c.say(report(), wire.LaneLive, 9, none), accepted, 4)
		w.clock.add(100 * time.Millisecond)
	}
	wantCredits(t, "a replay is the past, too", c.say(old(), wire.LaneReplay, 9, none), accepted, 4)
	if r := w.sink.last(t); r.Lane != wire.LaneReplay || r.Waiting != 9 || !r.Replayed || !r.Blocks[0].Late {
		t.Errorf("the sink got %+v", r)
	}
	// An agent of an earlier release knows nothing of it.
	if ack := c.deliver(old()); ack.Credits != 0 {
		t.Errorf("credits for an agent that knows of none: %v", ack)
	}
	if r := w.sink.last(t); r.Lane != "" || r.Waiting != -1 {
		t.Errorf("the sink got %+v", r)
	}
}

// However much of the past came, the present has its own quota: an agent that replays after every restart of the
// collector is still live.
func TestThePastDoesNotUseUpTheQuotaOfThePresent(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Quotas = DefaultQuotas()
		o.Quotas.Agent.ReportsPerMinute, o.Quotas.Customer.ReportsPerMinute = 10, 10
	})
	c := w.enrol("acme", "leeds", "web1")
	none := time.Time{}
	c.say(c.report(c.block("cpu", 1, 0)), wire.LaneLive, 50, none)
	for n := range 50 {
		lane := []string{wire.LaneBacklog, wire.LaneReplay}[n%2]
		if ack := c.say(c.report(c.block("cpu", 1, time.Minute)), lane, 50-n, none); ack.Result != accepted {
			t.Fatalf("report %d of the past: %v", n, ack)
		}
	}
	if ack := c.say(c.report(c.block("cpu", 1, 0)), wire.LaneLive, 0, none); ack.Result != accepted {
		t.Errorf("the present: %v", ack)
	}
}

// The last quarter of an hour is asked for first: most rules look back no further.
func TestReplayIsAskedForInTwoSteps(t *testing.T) {
	var wanted time.Time
	w := newWorld(t, func(o *Options) {
		o.KeepFor = func() time.Duration { return 6 * time.Hour }
		o.Since = func(string) time.Time { return wanted }
	})
	c := w.enrol("acme", "leeds", "web1")
	began := w.clock.now()
	var replayed time.Time
	asks := func(what string, want time.Time) {
		t.Helper()
		var since time.Time
		if ack := c.say(c.report(c.block("cpu", 1, 0)), wire.LaneLive, 0, replayed); ack.ReplaySinceMs != 0 {
			since = moment(ack.ReplaySinceMs)
			if ack.Credits == 0 {
				t.Errorf("%s: asked to replay without credits", what)
			}
		}
		if !since.Equal(want) {
			t.Errorf("%s: asked since %v, want %v", what, since, want)
		}
		w.clock.add(time.Minute)
	}
	asks("first", began.Add(-15*time.Minute))
	asks("not done", began.Add(-15*time.Minute))
	replayed = began.Add(-15 * time.Minute)
	asks("first done", began.Add(-6*time.Hour))
	replayed = time.Time{} // the agent started anew
	asks("not forgotten", began.Add(-6*time.Hour))
	wanted = began.Add(-8 * time.Hour)
	asks("a review wants more", began.Add(-8*time.Hour))
	replayed = wanted
	asks("all done", time.Time{})
	w.clock.add(7 * time.Hour)
	asks("and later", time.Time{})
	wanted = began.Add(-20 * time.Hour)
	asks("a review, later", began.Add(-20*time.Hour))
	// What was said to an incarnation before says nothing to the next.
	h := http.Header{wire.HeaderReplayed: {fmt.Sprintf("%d 1", wanted.UnixMilli())}}
	if s := sendingOf(h, 2); !s.replayed.IsZero() {
		t.Errorf("replayed since %v, said to another", s.replayed)
	}
}

func FuzzSending(f *testing.F) {
	f.Add("live", "3", "1700000000000 7")
	f.Add("backlog", "-1", "0")
	f.Add("x\x00", "99999999999999999999", "-9223372036854775808")
	f.Fuzz(func(t *testing.T, lane, waiting, replayed string) {
		h := http.Header{wire.HeaderLane: {lane}, wire.HeaderWaiting: {waiting}, wire.HeaderReplayed: {replayed}}
		s := sendingOf(h, 7)
		if s.waiting < -1 || s.lane != "" && s.lane != lane || s.past() && lane == wire.LaneLive {
			t.Errorf("%+v", s)
		}
		if !s.replayed.IsZero() && s.replayed.UnixMilli() <= 0 {
			t.Errorf("replayed since %v", s.replayed)
		}
	})
}

// Trouble of the collector's own is one line a minute, however many agents meet it.
func TestTroubleOfAllIsToldOnce(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	w.sink.set(func(context.Context, Report) error { return &Later{Text: "no room", After: time.Second} })
	lines := func() int { return strings.Count(log.String(), "reports are not taken at this moment") }
	for n := range 5 {
		c := w.enrol("acme", "leeds", fmt.Sprint("web", n))
		if ack := c.say(c.report(c.block("cpu", 1, 0)), wire.LaneLive, 0, time.Time{}); ack.Result != later {
			t.Fatalf("%v, want later", ack)
		}
	}
	if n := lines(); n != 1 {
		t.Errorf("%d lines for five agents, want one", n)
	}
	w.clock.add(time.Minute)
	c := w.enrol("acme", "leeds", "web9")
	c.say(c.report(c.block("cpu", 1, 0)), wire.LaneLive, 0, time.Time{})
	if n := lines(); n != 2 {
		t.Errorf("%d lines a minute later, want two", n)
	}
}
