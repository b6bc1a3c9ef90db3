package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/push"
	"github.com/watchbill/watchbill/agent/spool"
	"github.com/watchbill/watchbill/agent/wire"
)

// spooled is an agent of the fake's that has a spool, and its spool is open.
func (f *fake) spooled(name string) *spooled {
	f.t.Helper()
	l := f.light(name)
	f.stats.leave(&l.back)
	a := &spooled{simulated: l.simulated, dir: f.t.TempDir(), identity: enroll.Identity{
		Collector: f.road.address, Authorities: []*x509.Certificate{f.server.Certificate()}, Certificate: *l.line.certificate,
	}}
	a.back = standing{spool: true}
	f.stats.join(&a.back)
	a.way = newWitness(a.identity, nil, f.stats)
	f.t.Cleanup(a.way.line.CloseIdleConnections)
	var err error
	if a.spool, err = spool.Open(a.dir, spool.Options{}); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := a.spool.Close(); err != nil {
			f.t.Error(err)
		}
	})
	return a
}

// add makes n reports, an interval apart, the last of them now.
func (a *spooled) add(t *testing.T, n int) {
	t.Helper()
	now := time.Now()
	for i := range n {
		at := now.Add(-time.Duration(n-1-i) * a.interval)
		if err := a.append(at, at, true, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// past takes whatever comes in version 1 and remembers which reports came in which request, those of bulks with commas
// between. The answer is the Ack's result, or accepted.
type past struct {
	f        *fake // whose lock guards requests
	requests []string
	answer   func(path, lane string, reports []*wire.Report) *wire.Ack
}

func (p *past) serve(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		m := &wire.Bulk{}
		var err error
		if r.URL.Path == wire.PathBulk {
			err = wire.Decode(r.Body, r.Header.Get(wire.HeaderCoding), wire.DefaultLimits(), m)
		} else {
			one := &wire.Report{}
			err = wire.Decode(r.Body, r.Header.Get(wire.HeaderCoding), wire.DefaultLimits(), one)
			m.Reports = append(m.Reports, one)
		}
		if err != nil {
			t.Error(err)
			return
		}
		var names []string
		for _, one := range m.Reports {
			names = append(names, fmt.Sprint(one.Sequence))
		}
		lane := r.Header.Get(wire.HeaderLane)
		p.requests = append(p.requests, lane+" "+strings.Join(names, ","))
		ack := &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Incarnation: 1, Credits: 60, Disposed: uint32(len(m.Reports))} //nolint:gosec // a count
		if p.answer != nil {
			ack = p.answer(r.URL.Path, lane, m.Reports)
		}
		last := m.Reports[len(m.Reports)-1]
		ack.Epoch, ack.Sequence = last.Epoch, last.Sequence
		body, err := proto.Marshal(ack)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set(wire.HeaderType, r.Header.Get(wire.HeaderType))
		_, _ = w.Write(body)
	}
}

// got are the requests so far.
func (p *past) got() []string {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	return slices.Clone(p.requests)
}

// deliver lets push run until ok, which the fake's handler makes true.
func (a *spooled) deliver(t *testing.T, ok func() bool) {
	t.Helper()
	p := push.New(push.Options{URL: a.identity.URL(), Transport: a.way, Spool: a.spool, OnAck: a.hear})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	eventually(t, 2*time.Minute, "all is delivered", ok)
}

// A bulk disposes of up to sixty reports with one answer: every one of them is counted and none is awaited any more,
// however many there were.
func TestEveryReportOfABulkIsCounted(t *testing.T) {
	const n = 1100
	f := newFake(t)
	p := &past{f: f}
	f.serve = p.serve(t)
	a := f.spooled("sim-1")
	told := map[uint64]int{}
	a.acknowledged = func(_ string, m *wire.Report) { told[m.Sequence]++ }
	a.add(t, n)
	a.deliver(t, func() bool { return f.stats.reports.Load() >= n })
	if all := p.got(); len(all) > 1+(n-1)/60+2 || all[0] != fmt.Sprintf("live %d", n) {
		t.Fatalf("%d requests, the first %q: want the newest first and the rest in bulk", len(all), all[0])
	}
	st := f.stats
	if got := st.reports.Load(); got != n || st.backlog.Load() != n-1 || st.samples.Load() != n*200 || len(a.sent) != 0 {
		t.Errorf("%d reports, %d of the backlog, %d samples, %d still awaited, want %d, %d, %d, 0", got, st.backlog.Load(), st.samples.Load(),
			len(a.sent), n, n-1, n*200)
	}
	if l := st.latency.take(); l.total != 1 {
		t.Errorf("the latency of %d reports was taken, want that of the live one", l.total)
	}
	for s := uint64(1); s <= n; s++ {
		if told[s] != 1 {
			t.Fatalf("report %d was told %d times", s, told[s])
		}
	}
	a.add(t, 1)
	a.deliver(t, func() bool { return st.reports.Load() > n })
	if st.reports.Load() != n+1 || len(a.sent) != 0 {
		t.Errorf("the next: %d counted, %d awaited", st.reports.Load(), len(a.sent))
	}
}

// What is sent again on demand is no new report, and is acknowledged only when the collector says so.
func TestReplayIsCountedApart(t *testing.T) {
	f := newFake(t)
	p := &past{f: f}
	f.serve = p.serve(t)
	a := f.spooled("sim-1")
	a.add(t, 5)
	a.deliver(t, func() bool { return f.stats.reports.Load() == 5 })
	if r := f.stats.returns()[0]; !r.stages[stageReplayed].whole {
		t.Errorf("nothing is asked for and something is still to be replayed: %+v", r)
	}
	since := time.Now().Add(-time.Hour).UnixMilli()
	asked := func(result wire.Ack_Result, n int) *wire.Ack {
		return &wire.Ack{Result: result, Incarnation: 2, Credits: 60, ReplaySinceMs: since, Disposed: uint32(n)} //nolint:gosec // a count
	}
	p.answer = func(_, _ string, all []*wire.Report) *wire.Ack { return asked(wire.Ack_RESULT_ACCEPTED, len(all)) }
	a.add(t, 1)
	a.deliver(t, func() bool { return f.stats.replayed.Load() == 5 })
	r := f.stats.returns()[1]
	if !r.stages[stageLive].whole || r.stages[stageReplayed].agents != 0 || f.stats.reports.Load() != 6 {
		t.Errorf("return %+v, %d reports: want it live, its replay still asked for, 6 reports", r, f.stats.reports.Load())
	}
	p.answer = func(_, lane string, all []*wire.Report) *wire.Ack {
		ack := asked(wire.Ack_RESULT_ACCEPTED, len(all))
		ack.ReplaySinceMs = 0
		return ack
	}
	a.add(t, 1)
	a.deliver(t, func() bool { return f.stats.reports.Load() == 7 })
	if r := f.stats.returns()[1]; !r.stages[stageReplayed].whole {
		t.Errorf("return %+v: nothing more is asked for", r)
	}
}

// What an answer disposes of, by why and how its reports were sent.
func TestAnswersOfASpooledAgent(t *testing.T) {
	const epoch = 5
	keys := func(from, to uint64) (all []key) {
		for s := from; s <= to; s++ {
			all = append(all, key{epoch, s})
		}
		return all
	}
	one := func(lane string) trip { return trip{lane: lane} }
	bulk := func(lane string, from, to uint64) trip { return trip{lane, keys(from, to)} }
	for name, c := range map[string]struct {
		trip trip
		ack  *wire.Ack
		// left are the reports of 1 to 9 that are still awaited; reports and samples are counted, ten samples each.
		left             string
		reports, samples uint64
		refused          map[string]uint64
		live, replayed   bool
	}{
		"the newest":           {one("live"), &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Sequence: 9}, "12345678", 1, 10, nil, true, true},
		"a replay is asked of": {one("live"), &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Sequence: 9, ReplaySinceMs: 1}, "12345678", 1, 10, nil, true, false},
		"a block is refused": {one("live"), &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Sequence: 9, Refusals: []*wire.Refusal{{Block: 1, Reason: "clock_ahead"}}},
			"12345678", 1, 3, map[string]uint64{"clock_ahead": 1}, false, true},
		"refused":                      {one("live"), &wire.Ack{Result: wire.Ack_RESULT_REFUSED, Sequence: 9}, "12345678", 0, 0, map[string]uint64{"report": 1}, false, false},
		"later":                        {one("live"), &wire.Ack{Result: wire.Ack_RESULT_LATER, Sequence: 9}, "123456789", 0, 0, map[string]uint64{"later": 1}, false, false},
		"one of the past":              {one("backlog"), &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Sequence: 1}, "23456789", 1, 10, nil, false, false},
		"the past, some dropped":       {one("backlog"), &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Sequence: 4}, "56789", 1, 10, nil, false, false},
		"a bulk":                       {bulk("backlog", 1, 4), &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Disposed: 4, Sequence: 4}, "56789", 4, 40, nil, false, false},
		"half a bulk":                  {bulk("backlog", 1, 4), &wire.Ack{Result: wire.Ack_RESULT_LATER, Disposed: 2, Sequence: 3}, "3456789", 2, 20, map[string]uint64{"later": 1}, false, false},
		"nothing of a bulk":            {bulk("backlog", 1, 4), &wire.Ack{Result: wire.Ack_RESULT_LATER, Sequence: 1}, "123456789", 0, 0, map[string]uint64{"later": 1}, false, false},
		"a bulk that wants shapes":     {bulk("backlog", 1, 4), &wire.Ack{Result: wire.Ack_RESULT_NEED_SHAPES, Disposed: 3, Sequence: 4}, "456789", 3, 30, nil, false, false},
		"a bulk with a bad report":     {bulk("backlog", 1, 4), &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Disposed: 4, Refused: 1, Sequence: 4}, "56789", 0, 0, map[string]uint64{"report": 1}, false, false},
		"more than there was":          {bulk("backlog", 1, 2), &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Disposed: 99, Sequence: 2}, "3456789", 2, 20, nil, false, false},
		"a bulk, some dropped":         {bulk("backlog", 4, 5), &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Disposed: 2, Sequence: 5}, "6789", 2, 20, nil, false, false},
		"a bulk with a block refused":  {bulk("backlog", 1, 3), &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Disposed: 3, Sequence: 3, Refusals: []*wire.Refusal{{Report: 2, Reason: "x"}}}, "456789", 3, 27, map[string]uint64{"x": 1}, false, false},
		"again":                        {bulk("replay", 1, 3), &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Disposed: 3, Sequence: 3}, "456789", 3, 30, nil, false, false},
		"of another life":              {bulk("backlog", 0, 0), &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Disposed: 1, Sequence: 0}, "123456789", 0, 0, nil, false, false},
		"one that was counted already": {one("live"), &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Sequence: 10}, "123456789", 0, 0, nil, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStats()
			a := &spooled{simulated: simulated{shared: &shared{stats: s}, back: standing{spool: true}}, way: &witness{last: c.trip}}
			s.join(&a.back)
			for n := range uint64(9) {
				a.sent = append(a.sent, awaited{key: key{epoch, n + 1}, due: noon, sizes: []int{3, 7}})
			}
			c.ack.Epoch, c.ack.Incarnation = epoch, 1
			a.hear(push.Answer{Ack: c.ack, Sent: noon, Received: noon})
			left := ""
			for _, x := range a.sent {
				left += fmt.Sprint(x.sequence)
			}
			refused, _, _ := s.reasons()
			if left != c.left || s.reports.Load() != c.reports || s.samples.Load() != c.samples || fmt.Sprint(refused) != fmt.Sprint(c.refused) && len(refused)+len(c.refused) > 0 {
				t.Errorf("left %s, %d reports, %d samples, refused %v; want %s, %d, %d, %v", left, s.reports.Load(), s.samples.Load(), refused,
					c.left, c.reports, c.samples, c.refused)
			}
			r := s.returns()[0].stages
			if !r[stageBack].whole || r[stageLive].whole != c.live || r[stageReplayed].whole != c.replayed {
				t.Errorf("back %v, live %v, replayed %v, want true, %v, %v", r[stageBack].whole, r[stageLive].whole, r[stageReplayed].whole, c.live, c.replayed)
			}
		})
	}
}

func TestCutLineCarriesNothing(t *testing.T) {
	f := newFake(t)
	p := &past{f: f}
	f.serve = p.serve(t)
	a := f.spooled("sim-1")
	a.add(t, 1)
	a.deliver(t, func() bool { return f.stats.reports.Load() == 1 })
	a.way.cut.Store(true)
	req, err := http.NewRequest(http.MethodPost, a.identity.URL()+wire.PathReport, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := a.way.RoundTrip(req); err == nil {
		resp.Body.Close()
		t.Error("a request went over a line that is cut")
	}
	_, failed, _ := f.stats.reasons()
	if all := p.got(); len(all) != 1 || len(failed) != 0 || f.stats.connected.Load() != 0 {
		t.Errorf("%d requests came, failed %v, %d connections stand: want 1, none and none", len(all), failed, f.stats.connected.Load())
	}
}

func TestWitnessCountsWhatFails(t *testing.T) {
	f := newFake(t)
	f.serve = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) }
	a := f.spooled("sim-1")
	a.add(t, 1)
	a.deliver(t, func() bool { refused, _, _ := f.stats.reasons(); return refused["status_Service Unavailable"] > 0 })
	f.server.Close()
	a.deliver(t, func() bool { _, failed, _ := f.stats.reasons(); return failed["nobody_listens"] > 0 })
	if f.stats.reports.Load() != 0 || len(a.sent) != 1 {
		t.Errorf("%d reports counted, %d awaited, want 0 and 1", f.stats.reports.Load(), len(a.sent))
	}
}
