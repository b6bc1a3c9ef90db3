package collector

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/collector/policy"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/agent"
	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// town is a collector and real agents on a clock that runs as fast as the machine can: agents, spools on disk, push,
// ingest, store, rules, reviews and silence are the real ones, only the line between them is the test's.
type town struct {
	t     *testing.T
	cfg   Config
	start time.Time
	hosts map[string]*citizen

	mu   sync.Mutex
	c    *Collector
	stop func()
	// orderly stops leave the window to the next start.
	orderly bool
	// pinger asks silent hosts; nil is the real one.
	pinger pinger
}

var errLine = errors.New("the line is cut")

// inTown plays test in a bubble.
func inTown(t *testing.T, rules string, test func(*town), change ...func(*Config, *agent.Config)) {
	t.Helper()
	defer func() { // the codec's pools hold channels of the bubble they were made in: see agent's tests
		runtime.GC()
		runtime.GC()
	}()
	cfg := testConfig(t, rules)
	cfg.History.Retention = 0
	cfg.Evaluation.Interval = policy.Duration(10 * time.Second)
	agents := agent.DefaultConfig()
	for _, f := range change {
		f(&cfg, &agents)
	}
	dirs := map[string]string{"web1": t.TempDir(), "web2": t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		n := &town{t: t, cfg: cfg, start: time.Now(), hosts: map[string]*citizen{}}
		n.up()
		for name, dir := range dirs {
			n.hosts[name] = n.settle(name, dir, agents)
		}
		defer func() {
			for _, h := range n.hosts {
				h.halt()
			}
			n.down()
		}()
		test(n)
	})
}

// at waits until so long after the start.
func (n *town) at(d time.Duration) {
	n.t.Helper()
	time.Sleep(d - time.Since(n.start))
	synctest.Wait()
}

// up starts the collector.
func (n *town) up() {
	n.t.Helper()
	c, err := New(context.Background(), n.cfg, Options{Directory: testFleet})
	if err != nil {
		n.t.Fatal(err)
	}
	if n.pinger != nil {
		c.silence.reach.pinger = n.pinger
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{c.evaluator.Run, c.past.reviews.Run, func(ctx context.Context) error { return look(ctx, c) }} {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				n.t.Error(err)
			}
		})
	}
	n.mu.Lock()
	n.c, n.stop = c, func() {
		cancel()
		parts.Wait()
		c.keepWindow.Store(c.keepWindow.Load() && n.orderly)
		c.Close()
	}
	n.mu.Unlock()
}

// look is Collector.watch at a slower pace: days have many seconds.
func look(ctx context.Context, c *Collector) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := c.silence.look(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		if n%6 == 0 {
			if err := c.remember.all(ctx, false); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// down stops it, as if it were killed unless stops are orderly: nothing that is only in memory is written.
func (n *town) down() {
	n.mu.Lock()
	stop := n.stop
	n.c, n.stop = nil, nil
	n.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// citizen is a host with an agent.
type citizen struct {
	n    *town
	name string
	cfg  agent.Config
	cert *x509.Certificate

	mu     sync.Mutex
	cut    bool
	from   string                      // the address and port that it reports from
	wrong  time.Duration               // the host's clock minus the collector's
	twice  bool                        // every request arrives twice
	avail  func(time.Duration) float64 // of 100, by time since the start
	made   int                         // reports
	noise  int                         // further series that no encoding makes small
	halted func()
}

// settle enrols a host and starts its agent.
func (n *town) settle(name, dir string, cfg agent.Config) *citizen {
	n.t.Helper()
	h := &citizen{n: n, name: name, cfg: cfg, avail: func(time.Duration) float64 { return 50 }}
	h.cfg.DataDir = dir
	h.cert = n.enrol(name)
	h.run()
	return h
}

func (n *town) enrol(name string) *x509.Certificate {
	n.t.Helper()
	ctx := context.Background()
	_, text, err := n.c.fleet.CreateToken(ctx, fleet.TokenRequest{Customer: "acme", Site: "london", Asset: name, By: "test", Address: "collector.example:9721"})
	if err != nil {
		n.t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, "wb1."))
	if err != nil {
		n.t.Fatal(err)
	}
	var secret struct {
		S string `json:"s"`
	}
	if err := json.Unmarshal(raw, &secret); err != nil {
		n.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		n.t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		n.t.Fatal(err)
	}
	e, err := n.c.fleet.Enrol(ctx, fleet.Request{Token: secret.S, CSR: csr, Hostname: name})
	if err != nil {
		n.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(e.Certificates[0])
	if err != nil {
		n.t.Fatal(err)
	}
	return cert
}

// run starts the agent.
func (h *citizen) run() {
	h.n.t.Helper()
	a, err := agent.New(h.cfg, agent.Options{
		Logger: slog.New(slog.DiscardHandler), Version: "1.2.3", Transport: h, URL: "https://collector.example:9721",
		Sources: []sample.Source{{Name: "filesystem", Kind: "node", Sampler: h}},
		Now: func() time.Time {
			h.mu.Lock()
			defer h.mu.Unlock()
			return time.Now().Add(h.wrong)
		},
		Inventory: func(context.Context) (*wire.Inventory, error) { return &wire.Inventory{Hostname: h.name}, nil },
	})
	if err != nil {
		h.n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	h.halted = func() {
		cancel()
		if err := <-done; err != nil {
			h.n.t.Errorf("agent of %s: %v", h.name, err)
		}
	}
}

// halt ends the agent in order, if it runs; it says goodbye if it can.
func (h *citizen) halt() {
	h.halted()
	h.halted = func() {}
}

// crash ends the agent as if it were killed: the next one finds what was on the disk at that moment.
func (h *citizen) crash() {
	h.n.t.Helper()
	left := h.n.t.TempDir()
	if err := os.CopyFS(left, os.DirFS(h.cfg.DataDir)); err != nil {
		h.n.t.Fatal(err)
	}
	h.set(func(h *citizen) { h.cut = true }) // nobody hears its goodbye
	h.halt()
	h.set(func(h *citizen) { h.cut, h.cfg.DataDir = false, left })
}

func (h *citizen) set(change func(*citizen)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h)
}

// Read implements sample.Sampler.
func (h *citizen) Read(context.Context, time.Time) (sample.Reading, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.made++
	srv := []wire.Label{{Name: "mountpoint", Value: "/srv"}}
	out := sample.Reading{Samples: []wire.Sample{
		{Name: "node_filesystem_avail_bytes", Labels: srv, Value: h.avail(time.Since(h.n.start))},
		{Name: "node_filesystem_size_bytes", Labels: srv, Value: 100},
	}}
	for i := range h.noise {
		v := mathrand.Float64() //nolint:gosec // noise
		out.Samples = append(out.Samples, wire.Sample{Name: "noise", Labels: []wire.Label{{Name: "i", Value: fmt.Sprint(i)}}, Value: v})
	}
	return out, nil
}

// RoundTrip is the line.
func (h *citizen) RoundTrip(req *http.Request) (*http.Response, error) {
	defer req.Body.Close()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	cut, times, from := h.cut, 1, h.from
	if h.twice {
		times = 2
	}
	h.mu.Unlock()
	h.n.mu.Lock()
	c := h.n.c
	h.n.mu.Unlock()
	if cut || c == nil {
		return nil, errLine
	}
	var rec *httptest.ResponseRecorder
	for range times {
		r := httptest.NewRequest(req.Method, req.URL.Path, bytes.NewReader(body))
		r.Header = req.Header.Clone()
		if from != "" {
			r.RemoteAddr = from
		}
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{h.cert}, VerifiedChains: [][]*x509.Certificate{{h.cert}}}
		rec = httptest.NewRecorder()
		c.ingest.Handler().ServeHTTP(rec, r)
	}
	return rec.Result(), nil
}

// tickets are those that were ever opened, as "number title priority state".
func (n *town) tickets() map[string]ticket.Ticket {
	n.t.Helper()
	out := map[string]ticket.Ticket{}
	n.view(func(tx store.Tx) error {
		all, err := tx.Tickets(store.TicketFilter{})
		for _, t := range all {
			if _, twice := out[t.Title]; twice {
				n.t.Errorf("two tickets %q", t.Title)
			}
			out[t.Title] = t
		}
		return err
	})
	return out
}

func (n *town) view(fn func(store.Tx) error) {
	n.t.Helper()
	if err := n.c.store.View(context.Background(), fn); err != nil {
		n.t.Fatal(err)
	}
}

// paged tells whether anybody was told of a ticket.
func (n *town) paged(number string) (yes bool) {
	n.view(func(tx store.Tx) error {
		for _, state := range []outbox.MessageState{outbox.Queued, outbox.Buried} {
			all, err := tx.Messages(state, 1000)
			if err != nil {
				return err
			}
			for _, m := range all {
				yes = yes || m.Number == number
			}
		}
		return nil
	})
	return yes
}

// symptoms is what a ticket says happened, record all that it says.
func (n *town) symptoms(t ticket.Ticket) string { return text(n.assembled(t).Symptom) }

func (n *town) record(t ticket.Ticket) string {
	r := n.assembled(t)
	return text(r.Time) + text(r.Symptom) + text(r.Users) + text(r.Errors) + text(r.Actions)
}

func (n *town) assembled(t ticket.Ticket) (rec ticket.Record) {
	n.t.Helper()
	n.view(func(tx store.Tx) error {
		timeline, err := tx.Timeline(t.ID)
		if err != nil {
			return err
		}
		if err := ticket.VerifyChain(timeline, t.Seq, t.Head); err != nil {
			return err
		}
		rec, err = ticket.AssembleRecord(timeline, func(seq int) ([]byte, bool, error) { return tx.Evidence(t.ID, seq) })
		return err
	})
	return rec
}

// received is how many reports the collector took in, of all hosts, none of them twice.
func (n *town) received() int {
	n.t.Helper()
	families, err := n.c.reg.Gather()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "watchbill_ingest_reports_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == "accepted" {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	n.t.Fatal("no such metric")
	return 0
}

// last is the newest value of a metric of a host.
func (n *town) last(host, metric string) (value float64) {
	value = math.NaN()
	n.c.window.Last(func(l labels.Labels, _ time.Time, v float64) {
		if l.Get(model.MetricNameLabel) == metric && l.Get("instance") == host {
			value = v
		}
	})
	return value
}

// gaps is how many gaps are noted durably.
func (n *town) gaps() (count int) {
	n.view(func(tx store.Tx) error {
		all, err := tx.Alerts()
		for _, a := range all {
			if a.Origin.ID == "unseen" {
				count++
			}
		}
		return err
	})
	return count
}
