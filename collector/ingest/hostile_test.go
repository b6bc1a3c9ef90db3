package ingest

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules/window"
)

// siege is a collector under honest load, with a window behind it.
type siege struct {
	w       *world
	window  *before
	honest  []*client
	enemies []fleet.Agent
}

// before is a sink that has a window behind it, as the collector's has.
type before struct {
	*window.Window
	mu   sync.RWMutex
	gone map[string]bool // assets of which it takes no more
}

func (b *before) Apply(_ context.Context, r Report) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.gone[r.Asset.Name] {
		b.Window.Apply(r.Asset, r.ReceivedAt, r.Blocks)
	}
	return nil
}

// forget takes out of the window what it has of an asset, for good.
func (b *before) forget(asset string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone[asset] = true
	b.Forget(asset)
}

// honestAgents report four times a second each, as sixty do in an interval of 15 s.
const (
	honestAgents = 25
	honestSeries = 200
	honestEvery  = 250 * time.Millisecond
)

// follow makes the clock show the machine's time.
func (c *clock) follow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = time.Now()
}

func newSiege(tb testing.TB, quotas Quotas, door Door) *siege {
	tb.Helper()
	w := &world{t: tb, clock: &clock{t: time.Now()}, keeper: newMemory(), sink: &sink{}}
	s := &siege{w: w, window: &before{Window: window.New(window.Options{}), gone: map[string]bool{}}}
	w.start(func(o *Options) { o.Now, o.Sink, o.Quotas = time.Now, s.window, quotas })
	w.serve(door)
	for n := range honestAgents {
		c := w.enrol("acme", "leeds", fmt.Sprintf("web%d", n))
		c.deliver(c.report(c.block("cpu", honestSeries, 0)))
		s.honest = append(s.honest, c)
	}
	return s
}

// enemy puts the identity of a new hostile agent into a file.
func (s *siege) enemy(tb testing.TB) (file string) {
	tb.Helper()
	c := s.w.enrol("beta", "main", fmt.Sprint("enemy", len(s.enemies)))
	s.enemies = append(s.enemies, c.agent)
	cert := c.cert
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		tb.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	for _, der := range cert.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	file = filepath.Join(tb.TempDir(), "identity.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

// attackKinds are the attacks, those last that are at the door: behind what they leave in its queue no other comes in.
func attackKinds() []string {
	door := []string{"returns", "knocks"}
	return append(slices.DeleteFunc(slices.Sorted(maps.Keys(attacks)), func(kind string) bool {
		return kind == "nobody" || slices.Contains(door, kind)
	}), door...)
}

// attacked calls f while an attacker is loose that has done nothing before; kind "" is peace.
func (s *siege) attacked(tb testing.TB, kind string, f func()) {
	tb.Helper()
	if kind == "" {
		f()
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "nice", self) // as if it were on another machine: it takes what is left
	cmd.Env = append(os.Environ(), attackEnv+"="+strings.Join([]string{kind, s.w.addr, s.enemy(tb)}, ","))
	cmd.Stderr = os.Stderr
	hold, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	defer func() {
		_ = hold.Close()
		if err := cmd.Wait(); err != nil {
			tb.Errorf("attacker: %v", err)
		}
	}()
	f()
}

// load has the honest agents report for d, each of which must be accepted, and says how long each report took.
func (s *siege) load(tb testing.TB, d time.Duration) (took []time.Duration) {
	var mu sync.Mutex
	var g sync.WaitGroup
	for n, c := range s.honest {
		g.Go(func() {
			tick := time.NewTicker(honestEvery)
			defer tick.Stop()
			<-time.After(honestEvery * time.Duration(n) / honestAgents)
			for range int(d / honestEvery) {
				s.w.clock.follow()
				m := c.report(c.block("cpu", honestSeries, 0))
				began := time.Now()
				ack, _, err := c.try(m)
				if err != nil || ack.Result != wire.Ack_RESULT_ACCEPTED || len(ack.Refusals) > 0 {
					tb.Errorf("an honest agent: %v %v", ack, err)
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
				<-tick.C
			}
		})
	}
	g.Wait()
	return took
}

// live is what of this process's memory is in use.
func live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the second takes what pools kept for the first
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse) //nolint:gosec // far from it
}

// settled is live once nobody but the honest is connected, and no more of the hostile than their agent may have: those wait
// for an answer. The samples of the hostile, which are its quota's affair, are taken out of the window before.
func (s *siege) settled(t *testing.T) int64 {
	t.Helper()
	gate := s.w.ingest.gates.all[0]
	waitFor(t, func() bool {
		gate.mu.Lock()
		defer gate.mu.Unlock()
		return gate.standing <= honestAgents+DefaultQuotas().Agent.Connections
	})
	for _, who := range s.enemies {
		s.window.forget(who.Asset)
	}
	return live()
}

// felt is how many requests and reports were counted that were not an honest agent's, and how many connections came in or
// were turned away; the honest stay on theirs.
func (s *siege) felt(t *testing.T) (n float64) {
	t.Helper()
	n = float64(s.w.guests.Load())
	all, err := s.w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		switch f.GetName() {
		case "watchbill_ingest_reports_total", "watchbill_ingest_refusals_total", "watchbill_ingest_turned_away_total":
			for _, m := range f.GetMetric() {
				n += m.GetCounter().GetValue()
			}
		}
	}
	for _, c := range s.honest {
		n -= float64(c.seq + 1) // the first came twice, for its shape
	}
	return n
}

// TestHostileAgent is promise 15 but for its share of the processors, which BenchmarkHostileAgent measures, and what one
// body takes while it is read (TestHostileBodiesCostLittle): whatever one agent does, flat out, beyond the samples in the
// window and the shapes that its quotas let it keep no more than 4 MiB stay in memory, and every honest agent's report is
// accepted and is in the window. The quota of shapes is small here, so that it does not hide the rest.
func TestHostileAgent(t *testing.T) {
	quotas := DefaultQuotas()
	quotas.Agent.ShapeBytesPerHour = 256 << 10
	// All come from one address, one after the other.
	s := newSiege(t, quotas, Door{AddressBurst: 100_000, PerSecond: 100})
	for _, kind := range attackKinds() {
		t.Run(kind, func(t *testing.T) {
			s.load(t, 2*honestEvery)
			before, felt := s.settled(t), s.felt(t)
			s.attacked(t, kind, func() {
				s.load(t, 2*honestEvery)
				waitFor(t, func() bool { return s.felt(t) > felt })
			})
			grown := s.settled(t) - before
			for n := 0; grown > 4<<20 && n < 20; n++ { // the stacks of many lines that ended go by and by
				<-time.After(100 * time.Millisecond)
				grown = s.settled(t) - before
			}
			if grown > 4<<20 {
				t.Errorf("%d bytes more are live", grown)
			}
		})
	}
	for _, c := range s.honest {
		if a, ok := s.window.Asset(c.agent.Asset); !ok || a.Series < honestSeries || a.Received.Sub(a.Blocks[0].LastOK) > lateFrom {
			t.Errorf("the window has of %s: %+v", c.agent.Asset, a)
		}
	}
}

// toll is what a while under attack cost.
type toll struct {
	share    float64 // of all processors
	live     int64   // bytes of live memory that came to it meanwhile
	p50, p99 time.Duration
}

// under lets an attacker loose for calm and then measures for d.
func (s *siege) under(b *testing.B, kind string, calm, d time.Duration) (out toll) {
	b.Helper()
	had := live()
	s.attacked(b, kind, func() {
		s.load(b, calm) // what bursts allow is used up
		from, began := cpuTime(b), time.Now()
		took := s.load(b, d)
		out.share = float64(cpuTime(b)-from) / float64(time.Since(began)) / float64(runtime.NumCPU())
		out.live = live() - had
		slices.Sort(took)
		out.p50, out.p99 = took[len(took)/2], took[len(took)*99/100]
	})
	return out
}

// BenchmarkHostileAgent measures what one attacker adds to the collector's share of all processors, once the bursts that
// quotas allow are used up, what it adds to live memory, shapes and samples that its quotas let it keep with it, and how
// long honest agents' reports take meanwhile. Both processes share the machine; what that alone costs (a process as busy
// that attacks nobody) is taken off share and memory, but not off the times.
func BenchmarkHostileAgent(b *testing.B) {
	s := newSiege(b, DefaultQuotas(), Door{})
	const calm, d = 12 * time.Second, 5 * time.Second
	peace := s.under(b, "nobody", calm, d)
	for _, kind := range append([]string{"", "nobody"}, attackKinds()...) {
		b.Run(cmp.Or(kind, "peace"), func(b *testing.B) {
			for b.Loop() {
				war := s.under(b, kind, calm, d)
				b.ReportMetric(100*(war.share-peace.share), "%cpu-extra")
				b.ReportMetric(float64(war.live-peace.live)/(1<<20), "MiB-extra")
				b.ReportMetric(float64(war.p50.Microseconds())/1000, "ms-p50")
				b.ReportMetric(float64(war.p99.Microseconds())/1000, "ms-p99")
			}
		})
	}
}
