package ingest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
)

// bomb is n zero bytes behind a field's head, well packed.
func bomb(t testing.TB, n int) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil, zstd.WithWindowSize(wire.ZstdWindow))
	if err != nil {
		t.Fatal(err)
	}
	plain := append([]byte{4<<3 | 2}, binary.AppendUvarint(nil, uint64(n))...)
	return e.EncodeAll(append(plain, make([]byte, n)...), nil)
}

// TestRequestsRefused: whatever is not a report of an agent, each over a real connection, each with a text that says
// what to do. One bad request does not spoil the collector for the next good one.
func TestRequestsRefused(t *testing.T) {
	w := newWorld(t, nil).serve(Door{})
	agent, nobody := w.enrol("acme", "leeds", "web1"), w.stranger()
	big := int(wire.DefaultLimits().BodyBytes)
	tests := []struct {
		name   string
		from   *client
		path   string
		media  string
		coding string
		body   io.Reader
		status int
		reason string
		text   string
	}{
		{"no certificate", nobody, wire.PathReport, wire.TypeReport, "", strings.NewReader("x"), 401, "no_certificate", "watchbill token create"},
		{"hello without certificate", nobody, wire.PathHello, wire.TypeHello, "", nil, 401, "no_certificate", "watchbill token create"},
		{"renewal without certificate", nobody, wire.PathRenew, wire.TypeEnrol, "", nil, 401, "no_certificate", "watchbill token create"},
		{"wrong media type", agent, wire.PathReport, "application/json", "", strings.NewReader("{}"), 415, "media_type", wire.TypeReport},
		{"newer media type", agent, wire.PathReport, strings.Replace(wire.TypeReport, "v0", "v9", 1), "", nil, 415, "media_type", "update the older"},
		{"unknown path", agent, "/metrics", wire.TypeReport, "", nil, 404, "", "agents' listener"},
		{"announced too large", agent, wire.PathReport, wire.TypeReport, "", bytes.NewReader(make([]byte, big+1)), 413, "oversized", "raise limits.body_bytes"},
		{"turns out too large", agent, wire.PathReport, wire.TypeReport, "", io.MultiReader(bytes.NewReader(make([]byte, big+1))), 413, "oversized", "limits.body_bytes"},
		{"bomb", agent, wire.PathReport, wire.TypeReport, "zstd", bytes.NewReader(bomb(t, 64<<20)), 413, "bomb", "raise limits.decoded_bytes"},
		{"unknown coding", agent, wire.PathReport, wire.TypeReport, "gzip", strings.NewReader("x"), 400, "unknown_coding", "want zstd or none"},
		{"no protobuf", agent, wire.PathReport, wire.TypeReport, "", strings.NewReader("hello there"), 400, "malformed", "not a Report"},
		{"hello too large", agent, wire.PathHello, wire.TypeHello, "", bytes.NewReader(make([]byte, maxHello+1)), 413, "oversized", "at most 4096"},
		{"enrolment too large", nobody, wire.PathEnrol, wire.TypeEnrol, "", bytes.NewReader(make([]byte, maxEnrol+1)), 413, "oversized", "at most 65536"},
		{"enrolment without token", nobody, wire.PathEnrol, wire.TypeEnrol, "", nil, 400, "token", "cannot be read"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := testutil.ToFloat64(w.ingest.metrics.refusals.WithLabelValues(test.reason))
			resp, body, err := test.from.post(test.path, test.media, test.coding, test.body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != test.status || !strings.Contains(string(body), test.text) {
				t.Errorf("%d %q, want %d %q", resp.StatusCode, body, test.status, test.text)
			}
			after := testutil.ToFloat64(w.ingest.metrics.refusals.WithLabelValues(test.reason))
			if test.reason != "" && after != before+1 {
				t.Errorf("counted %v times", after-before)
			}
			agent.deliver(agent.report())
		})
	}
	t.Run("wrong method", func(t *testing.T) {
		resp, err := agent.http.Get("https://" + w.addr + wire.PathReport)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST" {
			t.Errorf("%d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"))
		}
	})
}

// TestStrangersCertificate: a certificate of another authority does not get through the handshake.
func TestStrangersCertificate(t *testing.T) {
	w, other := newWorld(t, nil).serve(Door{}), newWorld(t, nil)
	c := w.stranger()
	foreign := other.enrol("acme", "leeds", "web1").cert
	// Sent although the collector's hello says that only its own authority's will do.
	c.http.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return foreign, nil
	}
	if _, _, err := c.post(wire.PathReport, wire.TypeReport, "", nil); err == nil || !strings.Contains(err.Error(), "tls:") {
		t.Errorf("error %v", err)
	}
}

// TestOldTLS: nothing before TLS 1.3, and no HTTP/2.
func TestOldTLS(t *testing.T) {
	w := newWorld(t, nil).serve(Door{})
	conf := &tls.Config{RootCAs: w.fleet.ClientCAs(), ServerName: "127.0.0.1", Time: w.clock.now, MaxVersion: tls.VersionTLS12}
	if c, err := tls.Dial("tcp", w.addr, conf); err == nil {
		_ = c.Close()
		t.Error("TLS 1.2 is spoken")
	}
	conf.MaxVersion, conf.NextProtos = 0, []string{"h2", "http/1.1"}
	c, err := tls.Dial("tcp", w.addr, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if p := c.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Errorf("speaks %q", p)
	}
}

// TestRevokedOnOpenConnection: the next request on the same connection is refused.
func TestRevokedOnOpenConnection(t *testing.T) {
	w := newWorld(t, nil).serve(Door{})
	c := w.enrol("acme", "leeds", "web1")
	var dials atomic.Int32
	line := c.http.Transport.(*http.Transport)
	line.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	c.deliver(c.report())
	if _, err := w.fleet.Revoke(context.Background(), "web1", "ann"); err != nil {
		t.Fatal(err)
	}
	ack, status := c.send(c.report())
	if status != http.StatusForbidden || ack.Result != wire.Ack_RESULT_REFUSED || !strings.Contains(ack.Error, "revoked on 2026-11-21") {
		t.Errorf("%d %v", status, ack)
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections: the test must use one", n)
	}
	if n := len(w.sink.all()); n != 1 {
		t.Errorf("%d reports applied", n)
	}
}

// TestExpiredOnOpenConnection: a certificate ends while its connection stands.
func TestExpiredOnOpenConnection(t *testing.T) {
	w := newWorld(t, nil).serve(Door{})
	c := w.enrol("acme", "leeds", "web1")
	c.deliver(c.report())
	w.clock.add(91 * 24 * time.Hour)
	ack, status := c.send(c.report())
	if status != http.StatusForbidden || !strings.Contains(ack.Error, "expired on") {
		t.Errorf("%d %v", status, ack)
	}
}

func TestHello(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.KeepFor = func() time.Duration { return time.Hour } }).serve(Door{})
	c := w.enrol("acme", "leeds", "web1")
	body, _, err := wire.Encode(&wire.Hello{AgentVersion: "1"})
	if err != nil {
		t.Fatal(err)
	}
	resp, answer, err := c.post(wire.PathHello, wire.TypeHello, "", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var ack wire.Ack
	if err := proto.Unmarshal(answer, &ack); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || ack.Result != wire.Ack_RESULT_ACCEPTED || ack.NowMs != w.clock.now().UnixMilli() || ack.Asset != "web1" || ack.ReplaySinceMs != 0 {
		t.Errorf("%d %v", resp.StatusCode, &ack)
	}
	if len(w.sink.all()) != 0 {
		t.Error("a hello is no report")
	}
}

// enrolment posts an Enrol and reads its answer.
func (c *client) enrolment(path string, m *wire.Enrol) (*wire.Enrolled, int) {
	c.w.t.Helper()
	body, coding, err := wire.Encode(m)
	if err != nil {
		c.w.t.Fatal(err)
	}
	resp, answer, err := c.post(path, wire.TypeEnrol, coding, bytes.NewReader(body))
	if err != nil {
		c.w.t.Fatal(err)
	}
	var e wire.Enrolled
	if err := proto.Unmarshal(answer, &e); err != nil {
		c.w.t.Fatalf("%v: %q", err, answer)
	}
	return &e, resp.StatusCode
}

// TestEnrolAndRenew over real TLS: a host without a certificate becomes an agent, reports, renews, and reports under
// the new certificate; its token opens nothing a second time.
func TestEnrolAndRenew(t *testing.T) {
	w := newWorld(t, nil).serve(Door{})
	c := w.stranger()
	secret := w.secret("acme", "leeds", "")
	key, der := newCSR(t)
	e, status := c.enrolment(wire.PathEnrol, &wire.Enrol{Token: secret, Csr: der, Inventory: &wire.Inventory{Hostname: "WEB1"}})
	if status != 200 || e.Customer != "acme" || e.Site != "leeds" || e.Asset != "web1" || e.RenewAtMs != w.clock.now().Add(60*24*time.Hour).UnixMilli() {
		t.Fatalf("%d %v", status, e)
	}
	if ca, err := x509.ParseCertificate(e.Authorities[0]); err != nil || !ca.IsCA {
		t.Errorf("authority %v", err)
	}
	_, other := newCSR(t)
	if e, status := c.enrolment(wire.PathEnrol, &wire.Enrol{Token: secret, Csr: other, Inventory: &wire.Inventory{Hostname: "web2"}}); status != 403 || !strings.Contains(e.Error, "already used on") {
		t.Errorf("replayed token: %d %v", status, e)
	}
	adopt := func(certificates [][]byte, key any) {
		leaf, err := x509.ParseCertificate(certificates[0])
		if err != nil {
			t.Fatal(err)
		}
		c.use(&tls.Certificate{Certificate: certificates, PrivateKey: key, Leaf: leaf})
	}
	adopt(e.Certificates, key)
	c.deliver(c.report())
	w.clock.add(60 * 24 * time.Hour)
	key, der = newCSR(t)
	if e, status = c.enrolment(wire.PathRenew, &wire.Enrol{Csr: der}); status != 200 || e.Asset != "web1" {
		t.Fatalf("renewal: %d %v", status, e)
	}
	c.deliver(c.report()) // the old one is still good
	adopt(e.Certificates, key)
	w.clock.add(60 * 24 * time.Hour)
	c.deliver(c.report())
	if r := w.sink.last(t); r.Asset.Name != "web1" {
		t.Errorf("asset %+v", r.Asset)
	}
}

// TestStoreFails: what went wrong inside stays inside.
func TestStoreFails(t *testing.T) {
	w := newWorld(t, nil)
	secret := w.secret("acme", "leeds", "web1")
	_, der := newCSR(t)
	w.keeper.fail(errors.New("/var/lib is on fire"))
	e, status := w.stranger().enrolment(wire.PathEnrol, &wire.Enrol{Token: secret, Csr: der})
	if status != 503 || strings.Contains(e.Error, "fire") || !strings.Contains(w.log.String(), "fire") {
		t.Errorf("%d %v", status, e)
	}
	w.keeper.fail(nil)
	if e, status := w.stranger().enrolment(wire.PathEnrol, &wire.Enrol{Token: secret, Csr: der}); status != 200 {
		t.Errorf("the token is spent: %d %v", status, e)
	}
}

// TestSlowBody: a body that does not come is given up, and the next report gets through.
func TestSlowBody(t *testing.T) {
	w := newWorld(t, nil)
	w.ingest.bodyTimeout = 50 * time.Millisecond
	w.serve(Door{})
	c := w.enrol("acme", "leeds", "web1")
	r, hold := io.Pipe()
	defer hold.Close()
	resp, body, err := c.post(wire.PathReport, wire.TypeReport, "", r)
	if err == nil && (resp.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(body), "did not arrive within 50ms")) {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	c.deliver(c.report())
	if got := testutil.ToFloat64(w.ingest.metrics.refusals.WithLabelValues(reasonBody)); got != 1 {
		t.Errorf("%v counted", got)
	}
}

// TestBrokenBody: a body that breaks off is not refused for good: the report will come again.
func TestBrokenBody(t *testing.T) {
	w := newWorld(t, nil)
	c := w.enrol("acme", "leeds", "web1")
	resp, _, err := c.post(wire.PathReport, wire.TypeReport, "", io.MultiReader(strings.NewReader("\x08\x01"), brokenLine{}))
	if err != nil || resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("%v %v", resp, err)
	}
}

type brokenLine struct{}

func (brokenLine) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestSameReportAtOnce: one report comes sixteen times at once. It is applied once, by one of them, while the others wait
// their turn, and all of them hear that it was.
func TestSameReportAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.enrol("acme", "leeds", "web1")
		m := c.report()
		var inside atomic.Int32
		release := make(chan struct{})
		w.sink.set(func(context.Context, Report) error { inside.Add(1); <-release; return nil })
		var g sync.WaitGroup
		for range 16 {
			g.Go(func() {
				ack, _, err := c.try(m)
				if err != nil || ack.Result != wire.Ack_RESULT_ACCEPTED {
					t.Errorf("%v %v", ack, err)
				}
			})
		}
		synctest.Wait()
		if n := inside.Load(); n != 1 {
			t.Errorf("%d at work at once", n)
		}
		close(release)
		g.Wait()
		if n := len(w.sink.all()); n != 1 {
			t.Errorf("applied %d times", n)
		}
	})
}

// TestAgentsDoNotWaitForEachOther: while one agent's report is being applied, others come through; the agent itself
// waits its turn, and is told to come again when that does not come.
func TestAgentsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		slow, quick := w.enrol("acme", "leeds", "web1"), w.enrol("acme", "leeds", "web2")
		release := make(chan struct{})
		w.sink.set(func(_ context.Context, r Report) error {
			if r.Asset.Name == "web1" {
				<-release
			}
			return nil
		})
		first, second := slow.report(), slow.report()
		var g sync.WaitGroup
		g.Go(func() { slow.deliver(first) })
		synctest.Wait()
		quick.deliver(quick.report())
		from := time.Now()
		ack, status := slow.send(second)
		if status != 200 || ack.Result != wire.Ack_RESULT_LATER || !strings.Contains(ack.Error, "two agents") || time.Since(from) != turnTimeout {
			t.Errorf("%d %v after %v", status, ack, time.Since(from))
		}
		close(release)
		g.Wait()
		slow.deliver(second)
		if n := len(w.sink.all()); n != 3 {
			t.Errorf("%d reports applied", n)
		}
	})
}

// TestSinkHangs: a sink that does not come back is given up, and the agent keeps its report.
func TestSinkHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.enrol("acme", "leeds", "web1")
		w.sink.set(func(ctx context.Context, _ Report) error { <-ctx.Done(); return ctx.Err() })
		from := time.Now()
		if ack, _ := c.send(c.report()); ack.Result != wire.Ack_RESULT_LATER || time.Since(from) != applyTimeout {
			t.Errorf("%v after %v", ack, time.Since(from))
		}
	})
}

// TestManyAgents: many at once, for the race detector, and nobody gets another's.
func TestManyAgents(t *testing.T) {
	w := newWorld(t, nil).serve(Door{})
	var g sync.WaitGroup
	for n := range 12 {
		c := w.enrol("acme", "leeds", fmt.Sprintf("web%d", n))
		g.Go(func() {
			for k := range 5 {
				c.deliver(c.report(c.block("cpu", 1+n%3, -time.Duration(k)*time.Millisecond)))
			}
		})
	}
	g.Wait()
	reports := map[string]int{}
	for _, r := range w.sink.all() {
		if r.Agent.Asset != r.Asset.Name {
			t.Errorf("agent of %s reports for %s", r.Agent.Asset, r.Asset.Name)
		}
		reports[r.Asset.Name]++
	}
	for name, n := range reports {
		if n != 5 {
			t.Errorf("%s: %d reports", name, n)
		}
	}
	if n := w.ingest.shapes.count(); n != 3 {
		t.Errorf("%v shapes", n)
	}
}

// discard is an answer that nobody keeps.
type discard struct{ status int }

func (d *discard) Header() http.Header         { return http.Header{} }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// TestNewRefuses what cannot work.
func TestNewRefuses(t *testing.T) {
	reg, err := New(Options{})
	if reg != nil || err == nil {
		t.Error("without a registry")
	}
	quotas, limits := DefaultQuotas(), wire.DefaultLimits()
	quotas.Agent.Series, quotas.Agent.Sources, limits.Blocks = 0, -1, 0
	_, err = New(Options{Registry: (*fleet.Registry)(nil), Keeper: newMemory(), Sink: &sink{}, Quotas: quotas, Limits: limits})
	for _, want := range []string{"quotas.agent.series: must be positive, got 0", "quotas.agent.sources", "limits.blocks"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}
