package ingest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// TestWrongCustomer is promise 14: whatever an agent of acme says on any endpoint, by body, header or certificate
// request, it is acme's, and of beta it neither changes nor learns anything. Every path of the listener is in the table.
func TestWrongCustomer(t *testing.T) {
	w := newWorld(t, nil).serve(Door{})
	beta := w.enrol("beta", "main", "secret-db")
	beta.deliver(beta.report(beta.block("secret", 3, 0)))
	acme := w.enrol("acme", "leeds", "web1")
	acme.deliver(acme.report(acme.block("cpu", 1, 0)))
	report := func(change func(*wire.Report)) func() proto.Message {
		return func() proto.Message {
			m := acme.report()
			change(m)
			return m
		}
	}
	shaped := func(name, value string) func() proto.Message {
		return report(func(m *wire.Report) {
			labels := []wire.Label{{Name: "__name__", Value: "up"}, {Name: name, Value: value}}
			slices.SortFunc(labels, func(x, y wire.Label) int { return strings.Compare(x.Name, y.Name) })
			l := wire.Layout{Series: [][]wire.Label{labels}}
			id := wire.ShapeID(l.Series)
			m.Shapes = []*wire.Shape{l.Shape()}
			m.Blocks = []*wire.Block{{
				Kind: "node", Source: "x", SampledAtMs: w.clock.now().UnixMilli(), IntervalMs: 1000, Status: wire.Block_STATUS_OK,
				ShapeId: id[:], Values: []float64{1},
			}}
		})
	}
	device := func(name string) func() proto.Message {
		return report(func(m *wire.Report) {
			m.Blocks = []*wire.Block{{
				Kind: "snmp", Source: "x", Device: name, SampledAtMs: w.clock.now().UnixMilli(), IntervalMs: 1000,
				Status: wire.Block_STATUS_FAILED, Reason: "down",
			}}
		})
	}
	enrol := func(token string, host string) func() proto.Message {
		return func() proto.Message {
			_, csr := newCSR(t)
			return &wire.Enrol{Token: token, Csr: csr, Inventory: &wire.Inventory{Hostname: host}}
		}
	}
	plain := report(func(*wire.Report) {})
	tests := []struct {
		name   string
		path   string
		body   func() proto.Message
		header map[string]string
		status int
		says   string // in the answer
	}{
		{"label customer", wire.PathReport, shaped("customer", "beta"), nil, 200, "reserved_label"},
		{"label site", wire.PathReport, shaped("site", "main"), nil, 200, "reserved_label"},
		{"label instance", wire.PathReport, shaped("instance", "secret-db"), nil, 200, "reserved_label"},
		{"label job", wire.PathReport, shaped("job", "node"), nil, 200, "reserved_label"},
		{"hidden label", wire.PathReport, shaped("__customer", "beta"), nil, 200, "reserved_label"},
		{"beta's host as a device", wire.PathReport, device("secret-db"), nil, 200, "device_not_assigned"},
		{"a shape of beta's by its ID", wire.PathReport, report(func(m *wire.Report) { m.Blocks = []*wire.Block{beta.block("secret", 3, 0)} }), nil, 200, ""},
		{"an epoch and sequence of beta's", wire.PathReport, report(func(m *wire.Report) { m.Epoch, m.Sequence = 1, beta.seq }), nil, 200, "web1"},
		{"inventory of beta's host", wire.PathReport, report(func(m *wire.Report) { m.Inventory = &wire.Inventory{Hostname: "secret-db", MachineId: "beta"} }), nil, 200, "web1"},
		{"headers of a proxy", wire.PathReport, plain, map[string]string{"X-Forwarded-Client-Cert": beta.agent.ID, "X-Customer": "beta", "X-Forwarded-For": "192.0.2.1"}, 200, "web1"},
		{"query of beta's", wire.PathReport + "?customer=beta&agent=" + beta.agent.ID, plain, nil, 200, "web1"},
		{"hello for beta", wire.PathHello, func() proto.Message { return &wire.Hello{AgentVersion: "beta"} }, map[string]string{"X-Customer": "beta", "Authorization": "Bearer " + beta.agent.ID}, 200, "web1"},
		{"renewal under beta's name", wire.PathRenew, func() proto.Message {
			return &wire.Enrol{Csr: csrFor(t, beta.agent.ID), Inventory: &wire.Inventory{Hostname: "secret-db"}}
		}, nil, 200, "web1"},
		{"renewal with beta's token", wire.PathRenew, enrol(w.secret("beta", "main", "other-db"), "secret-db"), nil, 200, "web1"},
		{"enrolment as beta's host", wire.PathEnrol, enrol(w.secret("acme", "leeds", ""), "secret-db"), nil, 409, "taken at another site"},
		{"enrolment with beta's token ID", wire.PathEnrol, enrol(strings.SplitN(w.secret("beta", "main", "third-db"), ".", 2)[0]+".guessed", ""), nil, 403, "not known to this collector"},
	}
	paths := map[string]bool{}
	before := w.betas()
	for _, test := range tests {
		path, _, _ := strings.Cut(test.path, "?")
		paths[path] = true
		t.Run(test.name, func(t *testing.T) {
			m := test.body()
			media := map[string]string{wire.PathReport: wire.TypeReport, wire.PathHello: wire.TypeHello}[path]
			if media == "" {
				media = wire.TypeEnrol
			}
			status, answer := acme.speak(t, test.path, media, m, test.header)
			if status != test.status || !strings.Contains(answer, test.says) {
				t.Errorf("%d %q, want %d %q", status, answer, test.status, test.says)
			}
			for _, secret := range []string{`customer:"beta"`, `site:"main"`, beta.agent.ID} {
				if strings.Contains(answer, secret) {
					t.Errorf("the answer tells of beta: %q", answer)
				}
			}
			if after := w.betas(); after != before {
				t.Errorf("beta was\n%s\nand is\n%s", before, after)
			}
		})
	}
	for _, p := range []string{wire.PathReport, wire.PathHello, wire.PathRenew, wire.PathEnrol} {
		if !paths[p] {
			t.Errorf("%s is not in the table", p)
		}
	}
	// What was asked for as a shape of beta's is asked for as if nobody had it.
	ack, _ := acme.send(acme.report(beta.block("secret", 3, 0)))
	if ack.Result != wire.Ack_RESULT_NEED_SHAPES {
		t.Errorf("acme learns what beta reports: %v", ack)
	}
	// beta's certificate without beta's key opens nothing.
	stolen := *beta.cert
	stolen.PrivateKey = acme.cert.PrivateKey
	thief := w.stranger()
	thief.use(&stolen)
	if _, _, err := thief.try(acme.report()); err == nil {
		t.Error("a certificate without its key is let in")
	}
}

// speak posts a message and gives back the status and all text of the answer.
func (c *client) speak(t *testing.T, path, media string, m proto.Message, header map[string]string) (int, string) {
	t.Helper()
	body, coding, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, "https://"+c.w.addr+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	req.Header.Set(wire.HeaderType, media)
	req.Header.Set(wire.HeaderCoding, coding)
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer proto.Message = &wire.Ack{}
	if media == wire.TypeEnrol {
		answer = &wire.Enrolled{}
	}
	if err := wire.Decode(resp.Body, "", wire.DefaultLimits(), answer); err != nil {
		t.Fatal(err)
	}
	if e, ok := answer.(*wire.Enrolled); ok && len(e.Certificates) > 0 {
		leaf, err := x509.ParseCertificate(e.Certificates[0])
		if err != nil {
			t.Fatal(err)
		}
		if who, err := c.w.fleet.AuthenticateCert(leaf); err != nil || who.ID != c.agent.ID {
			t.Errorf("the certificate speaks for %+v, %v", who, err)
		}
	}
	return resp.StatusCode, fmt.Sprint(answer)
}

// csrFor asks for a certificate in the name of an agent.
func csrFor(t *testing.T, id string) []byte {
	t.Helper()
	key, _ := newCSR(t)
	return csrOf(t, key, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: id}, URIs: []*url.URL{{Scheme: "watchbill", Opaque: "agent/" + id}}, DNSNames: []string{"secret-db"},
	})
}

func csrOf(t *testing.T, key *ecdsa.PrivateKey, template *x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// betas is everything that is kept and known of beta, and what the sink was told of it.
func (w *world) betas() string {
	var out []string
	for _, a := range w.fleet.Agents() {
		if a.Customer == "beta" {
			out = append(out, fmt.Sprint(a))
		}
	}
	for _, r := range w.sink.all() {
		if r.Agent.Customer == "beta" || r.Asset.Customer == "beta" || r.Asset.Name == "secret-db" {
			out = append(out, fmt.Sprint("report ", r.Epoch, r.Sequence, r.Asset))
		}
	}
	for k := range w.keeper.state.shapes {
		if k.customer == "beta" {
			out = append(out, fmt.Sprintf("shape %x", k.id))
		}
	}
	return strings.Join(out, "\n")
}

// TestCustomerQuotas: what one customer's agents may cost together, over any number of them; others' are not touched, and
// the message names the key that raises it.
func TestCustomerQuotas(t *testing.T) {
	small := func(q CustomerQuotas) func(*Options) {
		return func(o *Options) {
			o.Quotas = DefaultQuotas()
			o.Quotas.Customers = map[string]CustomerQuotas{"acme": q}
		}
	}
	type worlds struct {
		w                 *world
		first, next, beta *client
	}
	start := func(t *testing.T, q CustomerQuotas) worlds {
		w := newWorld(t, small(q))
		return worlds{w, w.enrol("acme", "leeds", "web1"), w.enrol("acme", "leeds", "web2"), w.enrol("beta", "main", "beta1")}
	}
	t.Run("reports and bytes", func(t *testing.T) {
		for key, q := range map[string]CustomerQuotas{"reports_per_minute": {ReportsPerMinute: 2}, "bytes_per_minute": {BytesPerMinute: 20}} {
			x := start(t, q)
			x.first.deliver(x.first.report())
			x.first.deliver(x.first.report())
			m := x.next.report()
			ack, _ := x.next.send(m)
			if ack.Result != wire.Ack_RESULT_LATER || !strings.Contains(ack.Error, "quotas.customers.acme."+key) {
				t.Errorf("%s: %v", key, ack)
			}
			x.beta.deliver(x.beta.report())
			x.w.clock.add(time.Duration(ack.RetryAfterMs) * time.Millisecond)
			x.next.deliver(m)
		}
	})
	t.Run("events", func(t *testing.T) {
		x := start(t, CustomerQuotas{EventsPerHour: 3})
		if got := x.w.storm(x.beta, 4); got != 4 {
			t.Errorf("%d events of another customer", got)
		}
		if got := x.w.storm(x.first, 2); got != 2 {
			t.Errorf("%d events", got)
		}
		m := x.next.report()
		m.Events = stormEvents(x.w, 2)
		ack := x.next.deliver(m)
		if got := len(x.w.sink.last(t).Events); got != 1 || !strings.Contains(ack.Error, "quotas.customers.acme.events_per_hour") {
			t.Errorf("%d events, %v", got, ack)
		}
	})
	t.Run("series", func(t *testing.T) {
		x := start(t, CustomerQuotas{Series: 10})
		x.first.deliver(x.first.report(x.first.block("cpu", 6, 0)))
		ack := x.next.deliver(x.next.report(x.next.block("cpu", 6, 0)))
		if len(ack.Refusals) != 1 || ack.Refusals[0].Reason != "customer_series_quota" || !strings.Contains(ack.Refusals[0].Error, "to 12 series, at most 10 are taken: watch less, or raise quotas.customers.acme.series") {
			t.Errorf("%v", ack.Refusals)
		}
		if ack := x.beta.deliver(x.beta.report(x.beta.block("cpu", 12, 0))); len(ack.Refusals) != 0 {
			t.Errorf("another customer pays: %v", ack.Refusals)
		}
		// Fewer of one agent make room for another, and so does silence.
		x.first.deliver(x.first.report(x.first.block("cpu", 4, 0)))
		if ack := x.next.deliver(x.next.report(x.next.block("cpu", 6, 0))); len(ack.Refusals) != 0 {
			t.Errorf("%v", ack.Refusals)
		}
		x.w.clock.add(forgetSource + time.Minute)
		x.w.ingest.forgetSilent()
		if n := x.w.ingest.agents.customers["acme"].series.Load(); n != 0 {
			t.Errorf("%d series of silent agents count", n)
		}
	})
	t.Run("shapes", func(t *testing.T) {
		x := start(t, CustomerQuotas{ShapesPerHour: 1})
		x.first.deliver(x.first.report(x.first.block("cpu", 1, 0)))
		ack := x.next.deliver(x.next.report(x.next.block("memory", 1, 0)))
		if len(ack.Refusals) != 1 || !strings.Contains(ack.Refusals[0].Error, "quotas.customers.acme.shapes_per_hour") {
			t.Errorf("%v", ack.Refusals)
		}
		if left := x.w.ingest.agents.get(x.next.agent).shapes.TokensAt(x.w.clock.now()); left != float64(DefaultQuotas().Agent.ShapesPerHour) {
			t.Errorf("the agent paid for what its customer's quota refused: %v left", left)
		}
	})
}

// storm sends events of an agent and says how many got through.
func (w *world) storm(c *client, n int) int {
	m := c.report()
	m.Events = stormEvents(w, n)
	c.deliver(m)
	return len(w.sink.last(w.t).Events)
}

func stormEvents(w *world, n int) (out []*wire.Event) {
	for k := range n {
		out = append(out, &wire.Event{Id: uint64(k) + 1, Kind: "unit_failed", AtMs: w.clock.now().UnixMilli()}) //nolint:gosec // small
	}
	return out
}

// TestEventsThatAreKnown cost nothing: an agent that replays its events after a restart of the collector has its quota for
// new ones. What claims to be a replay and is new is paid for, with an hour's worth of debt at most.
func TestEventsThatAreKnown(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Quotas = DefaultQuotas()
		o.Quotas.Agent.EventsPerHour = 10
		o.Backlog = Backlog{SamplesPerSecond: 1e6, Credits: 1000, AtOnce: 1, BodyBytes: 1 << 20}
	})
	isNew := 0 // of each report
	w.sink.set(func(_ context.Context, r Report) error {
		if r.NewEvents != nil {
			r.NewEvents(min(isNew, len(r.Events)))
		}
		return nil
	})
	c := w.enrol("acme", "leeds", "web1")
	send := func(lane string, n int) (came int, text string) {
		t.Helper()
		m := c.report()
		m.Events = stormEvents(w, n)
		ack := c.say(m, lane, 100, time.Time{})
		if ack.Result != wire.Ack_RESULT_ACCEPTED {
			t.Fatalf("%v", ack)
		}
		return len(w.sink.last(t).Events), ack.Error
	}
	send(wire.LaneLive, 0) // which gives credits
	for range 5 {
		if came, text := send(wire.LaneReplay, 8); came != 8 || text != "" {
			t.Fatalf("%d of 8 events replayed: %s", came, text)
		}
	}
	isNew = 100
	if came, text := send(wire.LaneLive, 10); came != 10 {
		t.Fatalf("%d of 10 new events after a replay: %s", came, text)
	}
	isNew = 0
	if came, _ := send(wire.LaneReplay, 8); came != 8 {
		t.Errorf("%d of 8 events replayed when the quota is used up", came)
	}
	isNew = 100
	if came, _ := send(wire.LaneReplay, 30); came != 10 {
		t.Errorf("%d new events as a replay, 10 fit", came)
	}
	if came, _ := send(wire.LaneReplay, 30); came != 0 {
		t.Errorf("%d new events more as a replay", came)
	}
}

// TestQuotasOf: a single customer's quotas replace the general ones, key by key.
func TestQuotasOf(t *testing.T) {
	q := DefaultQuotas()
	q.Customers = map[string]CustomerQuotas{"acme": {Series: 7}}
	own, key := q.of("acme")
	want := q.Customer
	want.Series = 7
	if own != want || key != "quotas.customers.acme." {
		t.Errorf("%+v %s", own, key)
	}
	if own, key := q.of("beta"); own != q.Customer || key != "quotas.customer." {
		t.Errorf("%+v %s", own, key)
	}
	q.Customers["acme"] = CustomerQuotas{Series: -1}
	q.Customer.Connections = 0
	err := q.Validate()
	for _, part := range []string{"quotas.customers.acme.series: must be positive, got -1", "quotas.customer.connections"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error lacks %q: %v", part, err)
		}
	}
	if d := (Door{PerSecond: -1}); d.Validate() == nil || !strings.Contains(d.Validate().Error(), "agents.door.per_second") {
		t.Error("a negative pace is taken")
	}
}
