package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/rules/window"
)

// TestRoundTrip is one report over real mutual TLS, from the first handshake to the sink.
func TestRoundTrip(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.KeepFor = func() time.Duration { return 6 * time.Hour } }).serve(Door{})
	c := w.enrol("acme", "leeds", "web1")
	cpu := c.block("cpu", 3, time.Second)
	cpu.Values = []float64{math.Copysign(0, -1), math.Float64frombits(0x7ff0000000000002), math.Inf(1)} // a stale marker too
	m := c.report(cpu,
		wire.FailedBlock("node", "systemd", w.clock.now(), time.Minute, errors.New("no D-Bus\x1b[31m")),
		&wire.Block{Kind: "node", Source: "disk", SampledAtMs: w.clock.now().UnixMilli(), IntervalMs: 60_000, Status: wire.Block_STATUS_UNCHANGED})
	m.Events = []*wire.Event{{Id: 7, Kind: "host_rebooted", AtMs: w.clock.now().Add(-time.Minute).UnixMilli(), Text: "up\nagain", Fields: map[string]string{"k": "v\x00"}}}
	m.Inventory = &wire.Inventory{Hostname: "WEB1", Cpus: 4, BootedAtMs: w.clock.now().Add(-time.Minute).UnixMilli()}
	m.Tables = []*wire.Table{{Kind: "sessions", SampledAtMs: w.clock.now().UnixMilli(), Columns: []string{"user"}, Rows: []*wire.Row{{Cells: []string{"ann\u202e"}}}}}
	m.Goodbye = &wire.Goodbye{Reason: "stopped"}
	m.HeldSinceMs = w.clock.now().Add(-time.Hour).UnixMilli()

	ack, status := c.send(m)
	if status != http.StatusOK || ack.Result != wire.Ack_RESULT_NEED_SHAPES || len(ack.UnknownShapes) != 1 || len(w.sink.all()) != 0 {
		t.Fatalf("first: %d %v", status, ack)
	}
	ack, status = c.send(c.with(m, ack.UnknownShapes))
	want := &wire.Ack{
		Result: wire.Ack_RESULT_ACCEPTED, Epoch: 1, Sequence: 1, NowMs: w.clock.now().UnixMilli(), Incarnation: 1,
		KeepSeconds: 6 * 3600, ReplaySinceMs: w.clock.now().Add(-6 * time.Hour).UnixMilli(), ReturnSpreadMs: 2_000,
		Customer: "acme", Site: "leeds", Asset: "web1",
	}
	if status != http.StatusOK || !proto.Equal(ack, want) {
		t.Fatalf("second: %d\n%v, want\n%v", status, ack, want)
	}
	r := w.sink.last(t)
	if r.Agent.ID != c.agent.ID || r.Asset != (window.Asset{Name: "web1", Customer: "acme", Site: "leeds"}) || !r.ReceivedAt.Equal(w.clock.now()) || r.Replayed {
		t.Errorf("report %+v", r)
	}
	if !r.From.IsLoopback() {
		t.Errorf("it came from %v, want loopback", r.From)
	}
	if len(r.Blocks) != 3 || r.Blocks[0].Status != window.OK || r.Blocks[1].Status != window.Failed || r.Blocks[2].Status != window.Unchanged {
		t.Fatalf("blocks %+v", r.Blocks)
	}
	if got := r.Blocks[0].Layout.Series[1].String(); got != `{__name__="node_cpu_seconds_total", cpu="0001"}` {
		t.Errorf("series %s", got)
	}
	for k, v := range cpu.Values {
		if math.Float64bits(v) != math.Float64bits(r.Blocks[0].Values[k]) {
			t.Errorf("value %d changed on its way", k)
		}
	}
	if got := r.Blocks[1].Reason; got != "no D-Bus\ufffd[31m" {
		t.Errorf("reason %q", got)
	}
	if e := r.Events[0]; e.Text != "up again" || e.Fields["k"] != "v\ufffd" || e.ID != 7 {
		t.Errorf("event %+v", e)
	}
	if r.Inventory.Hostname != "WEB1" || r.Tables[0].Rows[0][0] != "ann\ufffd" || *r.Goodbye != "stopped" || !r.HeldSince.Equal(w.clock.now().Add(-time.Hour)) {
		t.Errorf("facts %+v %+v", r.Inventory, r.Tables)
	}
	if got := testutil.ToFloat64(w.ingest.metrics.samples); got != 3 {
		t.Errorf("%v samples counted", got)
	}
	if got := testutil.ToFloat64(w.ingest.metrics.reports.WithLabelValues(resultAccepted)); got != 1 {
		t.Errorf("%v reports counted", got)
	}
}

// TestBlocksRefused: a block that cannot be taken does not take the report with it, and the agent hears why.
func TestBlocksRefused(t *testing.T) {
	reserved := func(name, value string) *wire.Shape {
		return wire.Layout{Series: [][]wire.Label{{{Name: "__name__", Value: "x"}, {Name: name, Value: value}}}}.Shape()
	}
	tests := []struct {
		name   string
		change func(c *client, m *wire.Report, b *wire.Block)
		reason string
		text   string
	}{
		{"device", func(_ *client, _ *wire.Report, b *wire.Block) { b.Device = "fw1" }, "device_not_assigned", `"fw1" is not assigned`},
		{"clock an hour ahead", func(_ *client, _ *wire.Report, b *wire.Block) { b.SampledAtMs += time.Hour.Milliseconds() },
			"clock_ahead", "1h0m0s ahead of the collector's clock (at most 5s is taken)"},
		{"clock 6 s ahead", func(_ *client, _ *wire.Report, b *wire.Block) { b.SampledAtMs += 6000 }, "clock_ahead", "6s ahead"},
		{"from long ago", func(_ *client, _ *wire.Report, b *wire.Block) { b.SampledAtMs -= (73 * time.Hour).Milliseconds() },
			"too_old", "sampled at 2026-11-18T08:00:00Z, before 2026-11-18T09:00:00Z"},
		{"values do not fit", func(_ *client, _ *wire.Report, b *wire.Block) { b.Values = b.Values[:1] },
			"values_do_not_fit_shape", "1 values for the 2 series"},
		{"reserved label", func(_ *client, m *wire.Report, b *wire.Block) {
			b.ShapeId = make([]byte, 32)
			m.Shapes = []*wire.Shape{reserved("customer", "beta")}
		}, "reserved_label", `customer="beta"`},
		{"wrong hash", func(_ *client, m *wire.Report, b *wire.Block) {
			b.ShapeId = make([]byte, 32)
			m.Shapes = []*wire.Shape{reserved("fine", "x")}
		}, "wrong_shape_id", "compute IDs differently"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nil)
			c := w.enrol("acme", "leeds", "web1")
			c.deliver(c.report(c.block("cpu", 2, 10*time.Second)))
			bad := c.block("cpu", 2, 0)
			m := c.report(c.block("memory", 1, 0), bad)
			test.change(c, m, bad)
			if len(m.Shapes) > 0 {
				m = c.with(m, [][]byte{m.Blocks[0].ShapeId})
			}
			ack := c.deliver(m)
			if len(ack.Refusals) != 1 || ack.Refusals[0].Block != 1 || ack.Refusals[0].Reason != test.reason || !strings.Contains(ack.Refusals[0].Error, test.text) {
				t.Fatalf("refusals %v", ack.Refusals)
			}
			if r := w.sink.last(t); len(r.Blocks) != 1 || r.Blocks[0].Source != "memory" {
				t.Errorf("blocks %+v", r.Blocks)
			}
			if got := testutil.ToFloat64(w.ingest.metrics.refusals.WithLabelValues(test.reason)); got != 1 {
				t.Errorf("%v refusals counted", got)
			}
			if !strings.Contains(w.log.String(), "reason="+test.reason) {
				t.Errorf("nobody is told: %s", w.log)
			}
		})
	}
}

// TestClockAheadIsASignOfLife: an agent whose clock is an hour ahead loses its samples, not its life, and learns the time.
func TestClockAheadIsASignOfLife(t *testing.T) {
	w := newWorld(t, nil).serve(Door{})
	c := w.enrol("acme", "leeds", "web1")
	ack := c.deliver(c.report(c.block("cpu", 1, -time.Hour)))
	if ack.NowMs != w.clock.now().UnixMilli() || len(ack.Refusals) != 1 {
		t.Errorf("ack %v", ack)
	}
	if r := w.sink.last(t); len(r.Blocks) != 0 || !r.ReceivedAt.Equal(w.clock.now()) {
		t.Errorf("report %+v", r)
	}
}

// TestReportsRefused: reports that never will be taken, and those to send again.
func TestReportsRefused(t *testing.T) {
	tests := []struct {
		name   string
		report func(*client) *wire.Report
		reason string
		text   string
	}{
		{"no epoch", func(c *client) *wire.Report { m := c.report(); m.Epoch = 0; return m }, "malformed", "both must be set"},
		{"one source twice", func(c *client) *wire.Report { return c.report(c.block("cpu", 1, 0), c.block("cpu", 1, 0)) },
			"duplicate_block", "twice in one report"},
		{"too many blocks", func(c *client) *wire.Report {
			m := c.report()
			for n := range 257 {
				m.Blocks = append(m.Blocks, wire.FailedBlock("node", fmt.Sprint(n), c.w.clock.now(), time.Second, errors.New("x")))
			}
			return m
		}, "oversized", "raise limits.blocks"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nil)
			ack, status := w.enrol("acme", "leeds", "web1").send(test.report(w.enrol("acme", "leeds", "web2")))
			if status != http.StatusOK || ack.Result != wire.Ack_RESULT_REFUSED || !strings.Contains(ack.Error, test.text) {
				t.Errorf("%d %v", status, ack)
			}
			if got := testutil.ToFloat64(w.ingest.metrics.refusals.WithLabelValues(test.reason)); got != 1 {
				t.Errorf("%v refusals counted", got)
			}
			if len(w.sink.all()) != 0 {
				t.Error("the sink got it")
			}
		})
	}
}

// TestLate: what is late by age or by having come behind a newer block is marked.
func TestLate(t *testing.T) {
	tests := []struct {
		name     string
		interval time.Duration
		ago      time.Duration
		late     bool
	}{
		{"now", 15 * time.Second, 0, false},
		{"30 s old", 15 * time.Second, 30 * time.Second, false},
		{"31 s old", 15 * time.Second, 31 * time.Second, true},
		{"2 min old, every minute", time.Minute, 2 * time.Minute, false},
		{"over 2 min old, every minute", time.Minute, 2*time.Minute + time.Second, true},
		{"an interval of a month does not keep it new", 720 * time.Hour, 3 * time.Hour, true},
		{"4 s ahead", 15 * time.Second, -4 * time.Second, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nil)
			c := w.enrol("acme", "leeds", "web1")
			b := c.block("cpu", 1, test.ago)
			b.IntervalMs = uint32(test.interval.Milliseconds())
			c.deliver(c.report(b))
			if got := w.sink.last(t).Blocks[0].Late; got != test.late {
				t.Errorf("late: %v", got)
			}
		})
	}
	t.Run("same time again", func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.enrol("acme", "leeds", "web1")
		c.deliver(c.report(c.block("cpu", 1, 0)))
		c.deliver(c.report(c.block("cpu", 1, 0), c.block("memory", 1, 0)))
		if b := w.sink.last(t).Blocks; !b[0].Late || b[1].Late {
			t.Errorf("blocks %+v", b)
		}
	})
	t.Run("behind a newer report", func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.enrol("acme", "leeds", "web1")
		older, newer := c.report(c.block("systemd", 1, 2*time.Second)), c.report(c.block("cpu", 1, 0))
		c.deliver(newer)
		c.deliver(older)
		if r := w.sink.last(t); !r.Replayed || !r.Blocks[0].Late {
			t.Errorf("report %+v", r)
		}
	})
}

// TestReplayIsAskedFor once a start, in words an agent recognises when it hears them twice, and not for ever.
func TestReplayIsAskedFor(t *testing.T) {
	keep := func(o *Options) { o.KeepFor = func() time.Duration { return time.Hour } }
	w := newWorld(t, keep)
	c := w.enrol("acme", "leeds", "web1")
	since := w.clock.now().Add(-time.Hour).UnixMilli()
	m := c.report()
	for name, ack := range map[string]*wire.Ack{"first": c.deliver(m), "first again": c.deliver(m), "second": c.deliver(c.report())} {
		if ack.ReplaySinceMs != since {
			t.Errorf("%s: since %d, want %d", name, ack.ReplaySinceMs, since)
		}
	}
	w.clock.add(time.Hour)
	if ack := c.deliver(c.report()); ack.ReplaySinceMs != 0 {
		t.Error("still asked for when nothing can be missing")
	}
	w.start(keep)
	if ack := c.deliver(c.report()); ack.ReplaySinceMs != w.clock.now().Add(-time.Hour).UnixMilli() || ack.Incarnation != 2 {
		t.Errorf("after a restart: %v", ack)
	}
	w.start(nil)
	if ack := c.deliver(c.report()); ack.ReplaySinceMs != 0 || ack.KeepSeconds != 0 {
		t.Errorf("without rules that look back: %v", ack)
	}
}

// TestSinkFails: nothing is acknowledged, nothing is lost, and the same report counts once.
func TestSinkFails(t *testing.T) {
	w := newWorld(t, nil).serve(Door{})
	c := w.enrol("acme", "leeds", "web1")
	m := c.report(c.block("cpu", 1, 0))
	m = c.with(m, [][]byte{m.Blocks[0].ShapeId})
	w.sink.set(func(context.Context, Report) error { return errors.New("secret of the collector") })
	ack, status := c.send(m)
	if status != http.StatusOK || ack.Result != wire.Ack_RESULT_LATER || ack.RetryAfterMs != 5000 || strings.Contains(ack.Error, "secret") || !strings.Contains(ack.Error, "nothing is lost") {
		t.Errorf("%d %v", status, ack)
	}
	if !strings.Contains(w.log.String(), "secret of the collector") {
		t.Error("not logged")
	}
	full := &Later{Text: "the collector's disk is full: make room on it", After: time.Minute}
	w.sink.set(func(context.Context, Report) error { return fmt.Errorf("apply: %w", full) })
	if ack, _ = c.send(m); ack.Result != wire.Ack_RESULT_LATER || ack.RetryAfterMs != 60_000 || ack.Error != full.Text {
		t.Errorf("ack %v", ack)
	}
	w.sink.set(nil)
	w.keeper.fail(errors.New("no store"))
	fresh := c.report(c.block("memory", 1, 0))
	if ack, _ = c.send(c.with(fresh, [][]byte{fresh.Blocks[0].ShapeId})); ack.Result != wire.Ack_RESULT_LATER {
		t.Errorf("a shape that was not kept: %v", ack)
	}
	w.keeper.fail(nil)
	for range 3 {
		c.deliver(m)
	}
	if n := len(w.sink.all()); n != 1 {
		t.Errorf("applied %d times", n)
	}
	if b := w.sink.last(t).Blocks; len(b) != 1 || b[0].Late {
		t.Errorf("blocks %+v", b)
	}
}

// TestEventsQuota: events over the quota are counted and told, those within it arrive.
func TestEventsQuota(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Quotas = DefaultQuotas(); o.Quotas.Agent.EventsPerHour = 3 })
	c := w.enrol("acme", "leeds", "web1")
	storm := func() *wire.Report {
		m := c.report()
		for id := range uint64(2) {
			m.Events = append(m.Events, &wire.Event{Id: c.seq*10 + id + 1, Kind: "unit_failed", AtMs: w.clock.now().UnixMilli()})
		}
		return m
	}
	if ack := c.deliver(storm()); ack.Error != "" {
		t.Errorf("ack %v", ack)
	}
	ack := c.deliver(storm())
	if r := w.sink.last(t); len(r.Events) != 1 || r.EventsDropped != 1 || !strings.Contains(ack.Error, "quotas.agent.events_per_hour") {
		t.Errorf("report %+v, ack %v", r, ack)
	}
	if got := testutil.ToFloat64(w.ingest.metrics.refusals.WithLabelValues(reasonEvents)); got != 1 {
		t.Errorf("%v counted", got)
	}
	w.clock.add(time.Hour)
	c.deliver(storm())
	if r := w.sink.last(t); len(r.Events) != 2 {
		t.Errorf("an hour later: %+v", r.Events)
	}
}

func TestTimesFromTheFuture(t *testing.T) {
	w := newWorld(t, nil)
	c := w.enrol("acme", "leeds", "web1")
	m := c.report()
	ahead := w.clock.now().Add(time.Hour)
	m.Events = []*wire.Event{{Id: 1, Kind: "x", AtMs: ahead.UnixMilli()}}
	m.Tables = []*wire.Table{{Kind: "sessions", SampledAtMs: ahead.UnixMilli(), NoneBecause: "nobody"}}
	c.deliver(m)
	r := w.sink.last(t)
	if e := r.Events[0]; !e.At.Equal(w.clock.now()) || e.Fields["stated_at"] != "2026-11-21T10:00:00Z" {
		t.Errorf("event %+v", e)
	}
	if !r.Tables[0].SampledAt.Equal(w.clock.now()) {
		t.Errorf("table %+v", r.Tables[0])
	}
}

// TestQuotas: what one agent may hold and send.
func TestQuotas(t *testing.T) {
	small := func(change func(*Quotas)) func(*Options) {
		return func(o *Options) { o.Quotas = DefaultQuotas(); change(&o.Quotas) }
	}
	refusedFor := func(t *testing.T, ack *wire.Ack, reason, quota string) {
		t.Helper()
		if len(ack.Refusals) != 1 || ack.Refusals[0].Reason != reason || !strings.Contains(ack.Refusals[0].Error, quota) {
			t.Errorf("refusals %v, want %s", ack.Refusals, reason)
		}
	}
	t.Run("series", func(t *testing.T) {
		w := newWorld(t, small(func(q *Quotas) { q.Agent.Series = 10 }))
		c := w.enrol("acme", "leeds", "web1")
		c.deliver(c.report(c.block("cpu", 6, 0)))
		refusedFor(t, c.deliver(c.report(c.block("memory", 5, 0))), "series_quota", "quotas.agent.series")
		if ack := c.deliver(c.report(c.block("cpu", 10, 0))); len(ack.Refusals) != 0 {
			t.Errorf("a source's own series count once: %v", ack.Refusals)
		}
		w.clock.add(forgetSource + time.Second)
		if ack := c.deliver(c.report(c.block("memory", 5, 0))); len(ack.Refusals) != 0 {
			t.Errorf("a silent source still counts: %v", ack.Refusals)
		}
	})
	t.Run("sources", func(t *testing.T) {
		w := newWorld(t, small(func(q *Quotas) { q.Agent.Sources = 2 }))
		c := w.enrol("acme", "leeds", "web1")
		refusedFor(t, c.deliver(c.report(c.block("a", 1, 0), c.block("b", 1, 0), c.block("c", 1, 0))), "sources_quota", "quotas.agent.sources")
	})
	t.Run("shapes", func(t *testing.T) {
		w := newWorld(t, small(func(q *Quotas) { q.Agent.ShapesPerHour = 2 }))
		c := w.enrol("acme", "leeds", "web1")
		refusedFor(t, c.deliver(c.report(c.block("a", 1, 0), c.block("b", 1, 0), c.block("c", 1, 0))), "shapes_quota", "quotas.agent.shapes_per_hour")
		if w.keeper.puts != 2 {
			t.Errorf("%d shapes kept", w.keeper.puts)
		}
		w.clock.add(time.Hour)
		if ack := c.deliver(c.report(c.block("c", 1, 0))); len(ack.Refusals) != 0 {
			t.Errorf("an hour later: %v", ack.Refusals)
		}
	})
	t.Run("shapes of a customer", func(t *testing.T) {
		w := newWorld(t, small(func(q *Quotas) { q.Customer.ShapeBytes = 100 }))
		c := w.enrol("acme", "leeds", "web1")
		refusedFor(t, c.deliver(c.report(c.block("a", 1, 0), c.block("b", 5, 0))), "shapes_quota", "quotas.customer.shapes or shape_bytes")
		other := w.enrol("beta", "main", "beta1")
		if ack := other.deliver(other.report(other.block("b", 2, 0))); len(ack.Refusals) != 0 {
			t.Errorf("another customer pays: %v", ack.Refusals)
		}
	})
	for name, quota := range map[string]func(*Quotas){
		"reports_per_minute": func(q *Quotas) { q.Agent.ReportsPerMinute = 2 },
		"bytes_per_minute":   func(q *Quotas) { q.Agent.BytesPerMinute = 100 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, small(quota))
			c := w.enrol("acme", "leeds", "web1")
			long := func() *wire.Report {
				m := c.report()
				m.Goodbye = &wire.Goodbye{Reason: strings.Repeat("x", 50)}
				return m
			}
			c.deliver(long())
			c.deliver(long())
			ack, status := c.send(long())
			if status != http.StatusOK || ack.Result != wire.Ack_RESULT_LATER || ack.RetryAfterMs == 0 || ack.RetryAfterMs > 60_000 || !strings.Contains(ack.Error, "quotas.agent."+name) {
				t.Fatalf("%d %v", status, ack)
			}
			other := w.enrol("acme", "leeds", "web2")
			other.deliver(other.report())
			w.clock.add(time.Duration(ack.RetryAfterMs) * time.Millisecond)
			c.deliver(long())
		})
	}
}

// TestShapesPerCustomer: an ID is worth nothing at another customer's: it neither tells what that customer has nor can
// it be filled with something else.
func TestShapesPerCustomer(t *testing.T) {
	w := newWorld(t, nil).serve(Door{})
	a, b := w.enrol("acme", "leeds", "web1"), w.enrol("beta", "main", "beta1")
	a.deliver(a.report(a.block("cpu", 3, 0)))
	known := w.sink.last(t).Blocks[0].Layout

	m := b.report(b.block("cpu", 3, 0))
	ack, _ := b.send(m)
	if ack.Result != wire.Ack_RESULT_NEED_SHAPES || !slices.Equal(ack.UnknownShapes[0], known.ID[:]) {
		t.Fatalf("customer beta learns that acme has this shape: %v", ack)
	}
	// beta sends another shape under acme's ID: it is known under its own hash only.
	lie := wire.Layout{Series: [][]wire.Label{{{Name: "__name__", Value: "lie"}}}}
	liar := proto.CloneOf(m)
	liar.Shapes = []*wire.Shape{lie.Shape()}
	if ack, _ := b.send(liar); len(ack.Refusals) != 1 || ack.Refusals[0].Reason != reasonShapeID {
		t.Errorf("the lie: %v", ack)
	}
	if l, ok := w.ingest.shapes.find("acme", known.ID, w.clock.now()); !ok || l != known || l.Series[0].Get(wire.NameLabel) == "lie" {
		t.Error("acme's shape is poisoned")
	}
	if _, ok := w.ingest.shapes.find("beta", sha256.Sum256([]byte("lie")), w.clock.now()); ok {
		t.Error("the lie is known")
	}
	b.deliver(b.report(b.block("cpu", 3, -time.Second)))
	if l := w.sink.last(t).Blocks[0].Layout; l != known {
		t.Error("the same shape of two customers is not shared")
	}
	other := w.enrol("acme", "leeds", "web2")
	if ack, _ := other.send(other.report(other.block("cpu", 3, 0))); ack.Result != wire.Ack_RESULT_ACCEPTED {
		t.Errorf("a colleague's shape is asked for again: %v", ack)
	}
}

// TestShapesSurvive a restart; one that does not match its ID does not.
func TestShapesSurvive(t *testing.T) {
	w := newWorld(t, nil)
	c := w.enrol("acme", "leeds", "web1")
	c.deliver(c.report(c.block("cpu", 3, 0), c.block("memory", 2, 0)))
	memory := shapeKey{"acme", w.sink.last(t).Blocks[1].Layout.ID}
	cpu := shapeKey{"acme", w.sink.last(t).Blocks[0].Layout.ID}
	w.keeper.state.shapes[memory] = w.keeper.state.shapes[cpu]
	w.keeper.state.shapes[shapeKey{"acme", [32]byte{1}}] = []byte{0xff}
	w.start(nil)
	if ack, _ := c.send(c.report(c.block("cpu", 3, 0))); ack.Result != wire.Ack_RESULT_ACCEPTED {
		t.Errorf("asked again after a restart: %v", ack)
	}
	if ack, _ := c.send(c.report(c.block("memory", 2, 0))); ack.Result != wire.Ack_RESULT_NEED_SHAPES {
		t.Errorf("a damaged shape is served: %v", ack)
	}
	if !strings.Contains(w.log.String(), "shapes=2") {
		t.Errorf("nobody is told: %s", w.log)
	}
	if n, err := testutil.GatherAndCount(w.metrics, "watchbill_ingest_shapes"); err != nil || n != 1 || w.ingest.shapes.count() != 1 {
		t.Errorf("shapes counted: %d, %v", n, err)
	}
}
