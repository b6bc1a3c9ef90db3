package ingest

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
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
)

// clock is a time that stands until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// memory is a fleet.Keeper in memory that runs every change twice, as a real one may.
type memory struct {
	mu    sync.Mutex
	state *records
	err   error
	// puts counts shapes that were put.
	puts int
}

type shapeKey struct {
	customer string
	id       [32]byte
}

type records struct {
	fleet.Records // what ingest's tests do not need panics
	assets        map[string]fleet.Asset
	agents        map[string]fleet.Agent
	tokens        map[string]fleet.Token
	shapes        map[shapeKey][]byte
	cert, key     []byte
}

func newMemory() *memory {
	return &memory{state: &records{
		assets: map[string]fleet.Asset{}, agents: map[string]fleet.Agent{}, tokens: map[string]fleet.Token{},
		shapes: map[shapeKey][]byte{},
	}}
}

func (m *memory) UpdateFleet(_ context.Context, _ string, fn func(fleet.Records) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	if err := fn(m.state.clone()); err != nil {
		return err
	}
	next := m.state.clone()
	if err := fn(next); err != nil {
		return err
	}
	m.puts += len(next.shapes) - len(m.state.shapes)
	m.state = next
	return nil
}

func (m *memory) ViewFleet(_ context.Context, fn func(fleet.Records) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fn(m.state.clone())
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (r *records) clone() *records {
	return &records{
		assets: maps.Clone(r.assets), agents: maps.Clone(r.agents), tokens: maps.Clone(r.tokens),
		shapes: maps.Clone(r.shapes), cert: r.cert, key: r.key,
	}
}

func (r *records) Asset(n string) (fleet.Asset, bool, error) { a, ok := r.assets[n]; return a, ok, nil }
func (r *records) PutAsset(a fleet.Asset) error              { r.assets[a.Name] = a; return nil }
func (r *records) Agent(id string) (fleet.Agent, bool, error) {
	a, ok := r.agents[id]
	return a, ok, nil
}
func (r *records) PutAgent(a fleet.Agent) error { r.agents[a.ID] = a; return nil }
func (r *records) Token(id string) (fleet.Token, bool, error) {
	t, ok := r.tokens[id]
	return t, ok, nil
}
func (r *records) PutToken(t fleet.Token) error         { r.tokens[t.ID] = t; return nil }
func (r *records) DeleteToken(id string) error          { delete(r.tokens, id); return nil }
func (r *records) Operators() ([]fleet.Operator, error) { return nil, nil }
func (r *records) Declared(fleet.DeclaredKind) ([]fleet.Declared, error) {
	return nil, nil
}

func (r *records) Assets() ([]fleet.Asset, error) { return slices.Collect(maps.Values(r.assets)), nil }
func (r *records) Agents() ([]fleet.Agent, error) { return slices.Collect(maps.Values(r.agents)), nil }
func (r *records) Tokens() ([]fleet.Token, error) { return slices.Collect(maps.Values(r.tokens)), nil }

func (r *records) Authority() (cert, key []byte, ok bool, err error) {
	return r.cert, r.key, r.cert != nil, nil
}
func (r *records) PutAuthority(cert, key []byte) error { r.cert, r.key = cert, key; return nil }
func (r *records) PutShape(customer string, id [32]byte, encoded []byte) error {
	r.shapes[shapeKey{customer, id}] = encoded
	return nil
}
func (r *records) DeleteShape(customer string, id [32]byte) error {
	delete(r.shapes, shapeKey{customer, id})
	return nil
}
func (r *records) Shapes(fn func(string, [32]byte, []byte) error) error {
	for k, v := range r.shapes {
		if err := fn(k.customer, k.id, v); err != nil {
			return err
		}
	}
	return nil
}

// sink keeps what it is given.
type sink struct {
	mu      sync.Mutex
	reports []Report
	// hook, when set, decides what Apply returns; it is called before the report is kept.
	hook func(context.Context, Report) error
}

func (s *sink) Apply(ctx context.Context, r Report) error {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, r); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports = append(s.reports, r)
	return nil
}

func (s *sink) set(hook func(context.Context, Report) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

func (s *sink) all() []Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.reports)
}

func (s *sink) last(t testing.TB) Report {
	t.Helper()
	all := s.all()
	if len(all) == 0 {
		t.Fatal("the sink got nothing")
	}
	return all[len(all)-1]
}

// world is a collector's way in on a real socket.
type world struct {
	t        testing.TB
	clock    *clock
	keeper   *memory
	fleet    *fleet.Registry
	sink     *sink
	ingest   *Ingest
	metrics  *prometheus.Registry
	log      *bytes.Buffer
	addr     string
	guests   atomic.Int64 // connections that the door let in
	restarts uint64
}

// newWorld starts one; change adjusts its options.
func newWorld(t testing.TB, change func(*Options)) *world {
	t.Helper()
	w := &world{
		t: t, clock: &clock{t: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}, keeper: newMemory(), sink: &sink{},
	}
	w.start(change)
	return w
}

// start makes a new collector over what the keeper holds, as after a restart.
func (w *world) start(change func(*Options)) {
	w.t.Helper()
	w.fleet = fleet.NewRegistry(w.keeper, fleet.Options{Now: w.clock.now, AgentAddress: "localhost:9721"})
	if err := w.fleet.Load(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	if err := w.fleet.SetDirectory(fleet.Directory{Customers: []fleet.Customer{
		{ID: "acme", Sites: []fleet.Site{{ID: "leeds"}}}, {ID: "beta", Sites: []fleet.Site{{ID: "main"}}},
	}}); err != nil {
		w.t.Fatal(err)
	}
	w.restarts++
	w.metrics, w.log = prometheus.NewRegistry(), &bytes.Buffer{}
	o := Options{
		Registry: w.fleet, Keeper: w.keeper, Sink: w.sink, Now: w.clock.now, Registerer: w.metrics,
		Logger: slog.New(slog.NewTextHandler(&guarded{w: w.log}, nil)), Incarnation: w.restarts,
	}
	if change != nil {
		change(&o)
	}
	var err error
	if w.ingest, err = New(o); err != nil {
		w.t.Fatal(err)
	}
	if err := w.ingest.Load(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// guarded serialises the writes of a log.
type guarded struct {
	mu sync.Mutex
	w  io.Writer
}

func (g *guarded) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.w.Write(p)
}

// serve opens a real listener with real TLS.
func (w *world) serve(d Door) *world {
	w.t.Helper()
	certificate, err := w.fleet.ServerCertificate(fleet.ServerNames("127.0.0.1:0"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.listen(TLSConfig(certificate.GetCertificate, w.fleet.ClientCAs, w.clock.now), d)
	return w
}

// listen opens a real listener that speaks conf.
func (w *world) listen(conf *tls.Config, d Door) {
	w.t.Helper()
	inner, err := Listen(w.t.Context(), "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.addr = inner.Addr().String()
	w.ingest.bounds.Load().Door = d.orDefault()
	server, listener := w.ingest.Server(inner, conf)
	done := make(chan error, 1)
	go func() { done <- server.Serve(counting{listener, &w.guests}) }()
	w.t.Cleanup(func() {
		if err := server.Close(); err != nil {
			w.t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			w.t.Error(err)
		}
	})
}

// counting counts whom a listener lets in.
type counting struct {
	net.Listener
	guests *atomic.Int64
}

func (c counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.guests.Add(1)
	}
	return conn, err
}

// client is one agent's side.
type client struct {
	w       *world
	http    *http.Client
	cert    *tls.Certificate
	agent   fleet.Agent
	builder *wire.Builder
	seq     uint64
}

func (w *world) secret(customer, site, asset string) string {
	w.t.Helper()
	_, text, err := w.fleet.CreateToken(context.Background(), fleet.TokenRequest{
		Customer: customer, Site: site, Asset: asset, By: "test",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, "wb1."))
	if err != nil {
		w.t.Fatal(err)
	}
	var v struct {
		S string `json:"s"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		w.t.Fatal(err)
	}
	return v.S
}

func newCSR(t testing.TB) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// enrol makes an agent of a site, past HTTP.
func (w *world) enrol(customer, site, asset string) *client {
	w.t.Helper()
	key, der := newCSR(w.t)
	e, err := w.fleet.Enrol(context.Background(), fleet.Request{
		Token: w.secret(customer, site, asset), CSR: der, Hostname: asset,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(e.Certificates[0])
	if err != nil {
		w.t.Fatal(err)
	}
	c := w.stranger()
	c.agent = e.Agent
	c.use(&tls.Certificate{Certificate: e.Certificates, PrivateKey: key, Leaf: leaf})
	return c
}

// stranger has no certificate.
func (w *world) stranger() *client {
	c := &client{w: w, builder: wire.NewBuilder(wire.DefaultLimits())}
	c.use(nil)
	return c
}

func (c *client) use(cert *tls.Certificate) {
	c.cert = cert
	conf := &tls.Config{RootCAs: c.w.fleet.ClientCAs(), ServerName: "127.0.0.1", Time: c.w.clock.now}
	if cert != nil {
		conf.Certificates = []tls.Certificate{*cert}
	}
	line := &http.Transport{TLSClientConfig: conf, DisableCompression: true}
	c.w.t.Cleanup(line.CloseIdleConnections)
	c.http = &http.Client{Transport: line, Timeout: 30 * time.Second}
}

// post sends raw bytes and reads the whole answer. Without a listener it goes straight to the handler.
func (c *client) post(path, media, coding string, body io.Reader) (*http.Response, []byte, error) {
	return c.postWith(path, media, coding, body, func(http.Header) {})
}

// postWith is post with more headers.
func (c *client) postWith(path, media, coding string, body io.Reader, more func(http.Header)) (*http.Response, []byte, error) {
	r, err := http.NewRequest(http.MethodPost, "https://"+c.w.addr+path, body)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set(wire.HeaderType, media)
	if coding != "" {
		r.Header.Set(wire.HeaderCoding, coding)
	}
	more(r.Header)
	if c.w.addr == "" {
		if r.ContentLength == 0 && r.Body != nil && r.Body != http.NoBody {
			r.ContentLength = -1 // what a server says when nobody told
		}
		rec := httptest.NewRecorder()
		c.w.ingest.Handler().ServeHTTP(rec, c.authorise(r))
		return rec.Result(), rec.Body.Bytes(), nil
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp, answer, err
}

// authorise is what TLS would have done.
func (c *client) authorise(r *http.Request) *http.Request {
	r.TLS = &tls.ConnectionState{}
	if c.cert != nil {
		r.TLS.PeerCertificates = []*x509.Certificate{c.cert.Leaf}
		r.TLS.VerifiedChains = [][]*x509.Certificate{r.TLS.PeerCertificates}
	}
	return r
}

// send posts a report and reads the ack.
func (c *client) send(m *wire.Report) (*wire.Ack, int) {
	c.w.t.Helper()
	ack, status, err := c.try(m)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return ack, status
}

func (c *client) try(m *wire.Report) (*wire.Ack, int, error) {
	body, coding, err := wire.Encode(m)
	if err != nil {
		return nil, 0, err
	}
	resp, answer, err := c.post(wire.PathReport, wire.TypeReport, coding, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	if got := resp.Header.Get(wire.HeaderType); got != wire.TypeReport {
		return nil, 0, fmt.Errorf("answer of type %q: %q", got, answer)
	}
	var ack wire.Ack
	if err := proto.Unmarshal(answer, &ack); err != nil {
		return nil, 0, err
	}
	return &ack, resp.StatusCode, nil
}

// deliver sends a report as an agent does, with the shapes it is asked for, and wants it accepted.
func (c *client) deliver(m *wire.Report) *wire.Ack {
	c.w.t.Helper()
	ack, _ := c.send(m)
	if ack.Result == wire.Ack_RESULT_NEED_SHAPES {
		ack, _ = c.send(c.with(m, ack.UnknownShapes))
	}
	if ack.Result != wire.Ack_RESULT_ACCEPTED {
		c.w.t.Fatalf("not accepted: %v", ack)
	}
	return ack
}

func (c *client) with(m *wire.Report, ids [][]byte) *wire.Report {
	c.w.t.Helper()
	m = proto.CloneOf(m)
	for _, id := range ids {
		s, ok := c.builder.Shape(id)
		if !ok {
			c.w.t.Fatalf("asked for a shape nobody made: %x", id)
		}
		m.Shapes = append(m.Shapes, s)
	}
	return m
}

// report is the next of epoch 1, made now, with these blocks.
func (c *client) report(blocks ...*wire.Block) *wire.Report {
	c.seq++
	return &wire.Report{Epoch: 1, Sequence: c.seq, MadeAtMs: c.w.clock.now().UnixMilli(), Blocks: blocks}
}

// block is a block of n series, sampled ago before now, every 15 s.
func (c *client) block(source string, n int, ago time.Duration) *wire.Block {
	c.w.t.Helper()
	samples := make([]wire.Sample, n)
	for k := range samples {
		samples[k] = wire.Sample{
			Name: "node_" + source + "_seconds_total", Value: float64(k),
			Labels: []wire.Label{{Name: "cpu", Value: fmt.Sprintf("%04d", k)}},
		}
	}
	b, err := c.builder.Block("node", source, c.w.clock.now().Add(-ago), 15*time.Second, samples)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return b
}
