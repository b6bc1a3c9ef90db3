package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
)

// dial opens another connection of an agent and asks hello on it; what it returns closes when the collector closes it.
func (c *client) dial(t *testing.T) (*tls.Conn, int) {
	t.Helper()
	conf := &tls.Config{RootCAs: c.w.fleet.ClientCAs(), ServerName: "127.0.0.1", Time: c.w.clock.now, Certificates: []tls.Certificate{*c.cert}}
	conn, err := tls.Dial("tcp", c.w.addr, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, hello(t, conn)
}

// hello is the status of one on a connection.
func hello(t *testing.T, conn net.Conn) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "https://c"+wire.PathHello, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(wire.HeaderType, wire.TypeHello)
	if err := req.Write(conn); err != nil {
		return 0
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		return 0
	}
	var status int
	if _, err := fmt.Sscanf(string(buf[:n]), "HTTP/1.1 %d", &status); err != nil {
		t.Fatalf("answer %q", buf[:n])
	}
	return status
}

// ended waits for the collector to close a connection.
func ended(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Read(make([]byte, 1))
	var late net.Error
	if err == nil || errors.As(err, &late) && late.Timeout() {
		t.Errorf("still open: %v", err)
	}
}

// TestConnectionsOfAnAgent: one more than its quota ends the oldest, whatever became of that; others keep theirs.
func TestConnectionsOfAnAgent(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Quotas = DefaultQuotas(); o.Quotas.Agent.Connections = 2 }).serve(Door{})
	c, other := w.enrol("acme", "leeds", "web1"), w.enrol("acme", "leeds", "web2")
	other.deliver(other.report())
	first, _ := c.dial(t)
	second, _ := c.dial(t)
	third, status := c.dial(t)
	if status != 200 {
		t.Errorf("the newest: %d", status)
	}
	ended(t, first)
	if hello(t, second) != 200 || hello(t, third) != 200 {
		t.Error("more than the oldest is gone")
	}
	other.deliver(other.report())
	if n := testutil.ToFloat64(w.ingest.metrics.refusals.WithLabelValues(reasonConnections)); n != 1 {
		t.Errorf("%v counted", n)
	}
	// One that the agent closes makes room.
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	a := w.ingest.agents.get(c.agent)
	waitFor(t, func() bool {
		w.ingest.agents.mu.Lock()
		defer w.ingest.agents.mu.Unlock()
		return len(a.guests) == 1 && a.customer.connections == 2
	})
}

// waitFor polls what a goroutine of net/http will bring about; there is nothing to wait on.
func waitFor(t *testing.T, f func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute) // an attacker takes what a busy machine leaves
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline.C:
			t.Fatal("it never happened")
		case <-tick.C:
		}
	}
}

// TestConnectionsOfACustomer: who comes when the customer has too many is told so and sent away; others' agents are not.
func TestConnectionsOfACustomer(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Quotas = DefaultQuotas()
		o.Quotas.Customers = map[string]CustomerQuotas{"acme": {Connections: 1}}
	}).serve(Door{})
	first, second, beta := w.enrol("acme", "leeds", "web1"), w.enrol("acme", "leeds", "web2"), w.enrol("beta", "main", "beta1")
	first.deliver(first.report())
	m := second.report()
	ack, status := second.send(m)
	if status != 200 || ack.Result != wire.Ack_RESULT_LATER || ack.RetryAfterMs != 30_000 || !strings.Contains(ack.Error, "quotas.customers.acme.connections") {
		t.Errorf("%d %v", status, ack)
	}
	_, der := newCSR(t)
	if e, status := second.enrolment(wire.PathRenew, &wire.Enrol{Csr: der}); status != 429 || !strings.Contains(e.Error, "quotas.customers.acme.connections") {
		t.Errorf("renewal: %d %v", status, e)
	}
	beta.deliver(beta.report())
	first.http.CloseIdleConnections()
	waitFor(t, func() bool { ack, _ := second.send(m); return ack.Result == wire.Ack_RESULT_ACCEPTED })
}

// TestOwnConnectionsGoFirst: an agent whose line broke without a word comes back although the old connection still counts
// and its customer has no more; it loses its own, not another's.
func TestOwnConnectionsGoFirst(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Quotas = DefaultQuotas()
		o.Quotas.Customers = map[string]CustomerQuotas{"acme": {Connections: 2}}
	}).serve(Door{})
	c, other := w.enrol("acme", "leeds", "web1"), w.enrol("acme", "leeds", "web2")
	broken, _ := c.dial(t)
	stays, _ := other.dial(t)
	again, status := c.dial(t)
	if status != 200 {
		t.Errorf("its agent comes back: %d", status)
	}
	ended(t, broken)
	m := other.report()
	if ack, _ := other.send(m); ack.Result != wire.Ack_RESULT_ACCEPTED { // over a connection of its own, for its first
		t.Errorf("%v", ack)
	}
	ended(t, stays)
	if hello(t, again) != 200 {
		t.Error("another agent's connection is closed")
	}
	a := w.ingest.agents.get(c.agent)
	w.ingest.agents.mu.Lock()
	defer w.ingest.agents.mu.Unlock()
	if len(a.guests) != 1 || a.customer.connections != 2 {
		t.Errorf("%d connections of the agent, %d of the customer", len(a.guests), a.customer.connections)
	}
}

// TestRevokedIdleConnection: a connection on which nothing is said ends within a minute of its agent's revocation, by
// what Run does; those of other agents stay.
func TestRevokedIdleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		h := newHall()
		certificate, err := w.fleet.ServerCertificate(fleet.ServerNames("127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		server, listener := w.ingest.Server(h, TLSConfig(certificate.GetCertificate, w.fleet.ClientCAs, w.clock.now))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { done <- server.Serve(listener) }()
		go func() { done <- w.ingest.Run(ctx) }()
		dial := func(c *client) *tls.Conn {
			here, there := net.Pipe()
			h.conns <- &from{Conn: there, host: "192.0.2.1"}
			conn := tls.Client(here, &tls.Config{
				RootCAs: w.fleet.ClientCAs(), ServerName: "127.0.0.1", Time: w.clock.now, Certificates: []tls.Certificate{*c.cert},
			})
			if status := hello(t, conn); status != 200 {
				t.Errorf("hello: %d", status)
			}
			return conn
		}
		idle, stays := dial(w.enrol("acme", "leeds", "web1")), dial(w.enrol("acme", "leeds", "web2"))
		defer stays.Close()
		ended := make(chan error, 1)
		go func() {
			_, err := idle.Read(make([]byte, 1))
			ended <- err
		}()
		if _, err := w.fleet.Revoke(t.Context(), "web1", "ann"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case err := <-ended:
			if err == nil {
				t.Error("it says something")
			}
		default:
			t.Error("it stands a minute later")
			_ = idle.Close()
		}
		if hello(t, stays) != 200 {
			t.Error("another agent's connection is closed")
		}
		cancel()
		// Parting words to who does not listen would be waited for under the server's lock, and time stands still there.
		_ = stays.Close()
		synctest.Wait()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-done; err != nil && !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		}
	})
}

// TestRevokedReturns: a new handshake brings the revoked no further than a refusal, which ends the connection.
func TestRevokedReturns(t *testing.T) {
	w := newWorld(t, nil).serve(Door{})
	c := w.enrol("acme", "leeds", "web1")
	if _, err := w.fleet.Revoke(context.Background(), "web1", "ann"); err != nil {
		t.Fatal(err)
	}
	again, status := c.dial(t)
	if status != 403 {
		t.Errorf("status %d", status)
	}
	ended(t, again)
}

// TestNoTickets: the collector gives out nothing with which a handshake could be cut short, so every connection shows a
// certificate that is looked at.
func TestNoTickets(t *testing.T) {
	w := newWorld(t, nil).serve(Door{})
	c := w.enrol("acme", "leeds", "web1")
	cache := tls.NewLRUClientSessionCache(8)
	for range 3 {
		conf := &tls.Config{
			RootCAs: w.fleet.ClientCAs(), ServerName: "127.0.0.1", Time: w.clock.now, Certificates: []tls.Certificate{*c.cert},
			ClientSessionCache: cache,
		}
		conn, err := tls.Dial("tcp", w.addr, conf)
		if err != nil {
			t.Fatal(err)
		}
		if hello(t, conn) != 200 || conn.ConnectionState().DidResume {
			t.Error("resumed")
		}
		_ = conn.Close()
	}
}

// TestRunStops with its context.
func TestRunStops(t *testing.T) {
	w := newWorld(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.ingest.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
