package ingest

import (
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// What is refused says which key to raise; raising it there and reading the configuration again is enough.
func TestQuotasAreRaisedWhileItRuns(t *testing.T) {
	for key, c := range map[string]struct {
		small func(*Quotas)
		// over is what the quota does not allow: true when it was refused, with what is said about it.
		over func(t *testing.T, c *client) (refused bool, said string)
	}{
		"quotas.agent.series":    {func(q *Quotas) { q.Agent.Series = 10 }, refusesBlock},
		"quotas.customer.series": {func(q *Quotas) { q.Customer.Series = 10 }, refusesBlock},
		"quotas.customers.acme.series": {
			func(q *Quotas) { q.Customers = map[string]CustomerQuotas{"acme": {Series: 10}} }, refusesBlock,
		},
		"quotas.agent.shapes_per_hour":          {func(q *Quotas) { q.Agent.ShapesPerHour = 1 }, refusesNew},
		"quotas.customer.shapes or shape_bytes": {func(q *Quotas) { q.Customer.ShapeBytes = 100 }, refusesNew},
		"quotas.agent.reports_per_minute":       {func(q *Quotas) { q.Agent.ReportsPerMinute = 3 }, waits},
		"quotas.customer.reports_per_minute":    {func(q *Quotas) { q.Customer.ReportsPerMinute = 3 }, waits},
		"quotas.agent.bytes_per_minute":         {func(q *Quotas) { q.Agent.BytesPerMinute = 100 }, waits},
		"quotas.customer.bytes_per_minute":      {func(q *Quotas) { q.Customer.BytesPerMinute = 100 }, waits},
		"quotas.agent.events_per_hour":          {func(q *Quotas) { q.Agent.EventsPerHour = 2 }, dropsEvents},
		"quotas.customer.events_per_hour":       {func(q *Quotas) { q.Customer.EventsPerHour = 2 }, dropsEvents},
		"quotas.customer.shape_bytes_per_hour":  {func(q *Quotas) { q.Customer.ShapeBytesPerHour = 100 }, refusesNew},
	} {
		t.Run(key, func(t *testing.T) {
			q := DefaultQuotas()
			c.small(&q)
			w := newWorld(t, func(o *Options) { o.Quotas = q })
			agent := w.enrol("acme", "leeds", "web1")
			if refused, said := c.over(t, agent); !refused || !strings.Contains(said, key) && !strings.Contains(key, "events") {
				t.Fatalf("refused %v: %q, want the key %s", refused, said, key)
			}
			if err := w.ingest.Configure(Bounds{Quotas: DefaultQuotas()}); err != nil {
				t.Fatal(err)
			}
			w.clock.add(2 * time.Minute) // who comes before its time is made to wait
			if refused, said := c.over(t, agent); refused {
				t.Errorf("still refused: %q", said)
			}
			// And back: what is said names the key again.
			if err := w.ingest.Configure(Bounds{Quotas: q}); err != nil {
				t.Fatal(err)
			}
			if refused, _ := c.over(t, agent); !refused {
				t.Error("not refused when the quota is small again")
			}
		})
	}
}

// refusesBlock sends a block that has more series every time: those that stand are not taken away.
func refusesBlock(t *testing.T, c *client) (bool, string) {
	t.Helper()
	return refusedBlocks(c.deliver(c.report(c.block("cpu", 11+int(c.seq), 0))))
}

// refusesNew sends two blocks that nobody had before.
func refusesNew(t *testing.T, c *client) (bool, string) {
	t.Helper()
	a, b := strings.Repeat("a", int(c.seq)+1), strings.Repeat("b", int(c.seq)+1)
	return refusedBlocks(c.deliver(c.report(c.block(a, 3, 0), c.block(b, 3, 0))))
}

func refusedBlocks(ack *wire.Ack) (bool, string) {
	for _, r := range ack.Refusals {
		return true, r.Error
	}
	return false, ""
}

// waits sends until it is told to come later, some times at the most.
func waits(t *testing.T, c *client) (bool, string) {
	t.Helper()
	for range 10 {
		m := c.report()
		m.Goodbye = &wire.Goodbye{Reason: strings.Repeat("x", 50)}
		if ack, _ := c.send(m); ack.Result == wire.Ack_RESULT_LATER {
			return true, ack.Error
		}
	}
	return false, ""
}

func dropsEvents(t *testing.T, c *client) (bool, string) {
	t.Helper()
	m := c.report()
	for id := range uint64(5) {
		m.Events = append(m.Events, &wire.Event{Id: 10*c.seq + id + 1, Kind: "unit_failed", AtMs: c.w.clock.now().UnixMilli()})
	}
	ack := c.deliver(m)
	return c.w.sink.last(t).EventsDropped > 0, ack.Error
}

func TestBacklogIsChangedWhileItRuns(t *testing.T) {
	small := Backlog{SamplesPerSecond: 1000, Credits: 4, AtOnce: 1, BodyBytes: 1 << 20}
	w := newWorld(t, func(o *Options) { o.Backlog = small })
	c := w.enrol("acme", "leeds", "web1")
	report := func() *wire.Report { return c.report(c.block("cpu", 1, 0)) }
	wantCredits(t, "as it began", c.say(report(), wire.LaneLive, 100, time.Time{}), accepted, 4)
	large := small
	large.Credits, large.SamplesPerSecond, large.AtOnce = 16, 100_000, 3
	if err := w.ingest.Configure(Bounds{Backlog: large}); err != nil {
		t.Fatal(err)
	}
	w.clock.add(time.Second)
	wantCredits(t, "more", c.say(report(), wire.LaneLive, 100, time.Time{}), accepted, 16)
	for n := range 3 {
		if _, ok := w.ingest.past.slot(t.Context()); !ok {
			t.Errorf("slot %d of three is not there", n)
		}
	}
	if err := w.ingest.Configure(Bounds{Backlog: small}); err != nil {
		t.Fatal(err)
	}
	if done, ok := w.ingest.past.slot(t.Context()); !ok {
		t.Error("slots of before take the place of those of now")
	} else {
		done()
	}
	wantCredits(t, "less", c.say(report(), wire.LaneLive, 100, time.Time{}), accepted, 4)
}

func TestTheDoorIsChangedWhileItRuns(t *testing.T) {
	w := newWorld(t, nil).serve(Door{Connections: 1})
	first, second := w.enrol("acme", "leeds", "web1"), w.enrol("acme", "leeds", "web2")
	first.deliver(first.report())
	if _, _, err := second.try(second.report()); err == nil {
		t.Fatal("a second came in through a door for one")
	}
	if err := w.ingest.Configure(Bounds{Door: Door{Connections: 2, PerSecond: 10}}); err != nil {
		t.Fatal(err)
	}
	second.deliver(second.report())
	if got := w.ingest.SpreadFor(1000); got != 100*time.Second {
		t.Errorf("a thousand agents spread over %v at ten a second", got)
	}
}

func TestBoundsThatAreWrongChangeNothing(t *testing.T) {
	w := newWorld(t, nil)
	before := *w.ingest.bounds.Load()
	b := Bounds{Quotas: DefaultQuotas(), Door: Door{Handshakes: -1}, Backlog: Backlog{Credits: 1}}
	b.Quotas.Agent.Series = 0
	err := w.ingest.Configure(b)
	for _, want := range []string{"quotas.agent.series", "agents.door.handshakes", "backlog.at_once"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s named", err, want)
		}
	}
	if now := w.ingest.bounds.Load(); now.Quotas.Agent != before.Quotas.Agent || now.Door != before.Door || now.Backlog != before.Backlog {
		t.Errorf("%+v came into force", now)
	}
}
