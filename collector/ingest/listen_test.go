package ingest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// hall is a listener whose connections are pipes.
type hall struct {
	conns chan net.Conn
	done  chan struct{}
}

func newHall() *hall { return &hall{conns: make(chan net.Conn), done: make(chan struct{})} }

func (h *hall) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}
func (h *hall) Close() error   { close(h.done); return nil }
func (h *hall) Addr() net.Addr { return &net.TCPAddr{} }

// from is a connection whose other end is at host.
type from struct {
	net.Conn
	host   string
	closed bool
}

func (f *from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.host), Port: 1} }
func (f *from) Close() error         { f.closed = true; return f.Conn.Close() }

func (h *hall) knock(host string) *from {
	a, _ := net.Pipe()
	f := &from{Conn: a, host: host}
	h.conns <- f
	return f
}

// accepts runs Accept until the gate closes.
func accepts(g *gate) <-chan net.Conn {
	out := make(chan net.Conn, 1000)
	go func() {
		defer close(out)
		for {
			c, err := g.Accept()
			if err != nil {
				return
			}
			out <- c
		}
	}()
	return out
}

// atGate opens a gate in a bubble and closes it at the end; turned counts who is turned away, by reason.
func atGate(t *testing.T, d Door, f func(h *hall, in <-chan net.Conn, g *gate, turned map[string]int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h, turned := newHall(), map[string]int{}
		g := newGate(h, d, func(reason string) { turned[reason]++ })
		in := accepts(g)
		f(h, in, g, turned)
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		for range in { // until Accept has returned
		}
	})
}

// TestGateStrangers: who has not spoken takes a place among few; who has takes none.
func TestGateStrangers(t *testing.T) {
	atGate(t, Door{Handshakes: 32}, func(h *hall, in <-chan net.Conn, g *gate, turned map[string]int) { // 2 from one address
		h.knock("192.0.2.1")
		h.knock("192.0.2.1")
		third := h.knock("192.0.2.1")
		h.knock("192.0.2.2")
		synctest.Wait()
		if len(in) != 3 || !third.closed || turned[turnedAddress] != 1 {
			t.Errorf("%d let in, third of one address turned away: %v, counted %v", len(in), third.closed, turned)
		}
		first := <-in
		state(tls.Server(first, &tls.Config{}), http.StateActive) // has spoken
		h.knock("192.0.2.1")
		synctest.Wait()
		if len(in) != 3 {
			t.Errorf("%d waiting: an agent that has spoken is no stranger", len(in))
		}
		for range 2 { // closing twice gives one place back
			if err := first.Close(); err != nil {
				t.Error(err)
			}
		}
		if g.standing != 3 || g.strangers != 3 {
			t.Errorf("%d stand, %d strangers", g.standing, g.strangers)
		}
	})
}

// TestGateFull: each bound turns away, is counted, and lets in again when there is room.
func TestGateFull(t *testing.T) {
	tests := []struct {
		name   string
		door   Door
		hosts  []string
		reason string
		again  func(first net.Conn)
	}{
		{"connections", Door{Connections: 2}, []string{"192.0.2.1", "192.0.2.2"}, turnedConnections,
			func(first net.Conn) { _ = first.Close() }},
		{"handshakes", Door{Handshakes: 2}, []string{"192.0.2.1", "192.0.2.2"}, turnedHandshakes,
			func(first net.Conn) { state(first, http.StateActive) }},
		{"pace", Door{PerSecond: 2}, []string{"192.0.2.1", "192.0.2.2"}, turnedPace,
			func(net.Conn) { time.Sleep(time.Second / 2) }},
		{"pace of an address", Door{PerAddress: 1, AddressBurst: 2}, []string{"192.0.2.3", "192.0.2.3"}, turnedAddress,
			func(net.Conn) { time.Sleep(time.Second) }},
		{"a /64 is one address", Door{PerAddress: 1, AddressBurst: 2}, []string{"2001:db8::1", "2001:db8::ffff:1"}, turnedAddress,
			func(net.Conn) { time.Sleep(time.Second) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			atGate(t, test.door, func(h *hall, in <-chan net.Conn, _ *gate, turned map[string]int) {
				last := "192.0.2.3"
				if strings.Contains(test.hosts[0], ":") {
					last = "2001:db8::2"
				}
				for _, host := range test.hosts {
					h.knock(host)
				}
				out := h.knock(last)
				synctest.Wait()
				if len(in) != 2 || !out.closed || turned[test.reason] != 1 || len(turned) != 1 {
					t.Fatalf("%d let in, counted %v", len(in), turned)
				}
				test.again(<-in)
				h.knock(last)
				synctest.Wait()
				if len(in) != 2 {
					t.Errorf("%d inside, counted %v", len(in)+1, turned)
				}
			})
		})
	}
}

// TestGateForgets addresses that have been quiet, and keeps a bound on those that have not.
func TestGateForgets(t *testing.T) {
	g := newGate(newHall(), Door{PerAddress: 1, AddressBurst: 1, PerSecond: 1e6, Connections: 1e6, Handshakes: 1e6}, func(string) {})
	now := time.Now()
	address := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}) }
	for n := range maxAddresses {
		if reason, _ := g.admit(address(n), now); reason != "" {
			t.Fatal(reason)
		}
		c := &guest{gate: g, from: address(n)}
		c.introduce()
	}
	if reason, _ := g.admit(address(maxAddresses), now); reason != turnedAddresses {
		t.Errorf("one too many: %q", reason)
	}
	if reason, _ := g.admit(address(maxAddresses), now.Add(2*time.Second)); reason != "" || len(g.addresses) != 1 {
		t.Errorf("%q, %d addresses remembered", reason, len(g.addresses))
	}
}

// TestServerStops: Close ends Serve.
func TestServerStops(t *testing.T) {
	w := newWorld(t, nil)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.ingest.bounds.Load().Door.Connections = 1
	server, listener := w.ingest.Server(inner, TLSConfig(nil, w.fleet.ClientCAs, nil))
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// TestGateFlood: a flood of one address is turned away at once, however large, and nobody else waits behind it.
func TestGateFlood(t *testing.T) {
	atGate(t, Door{PerAddress: 1, AddressBurst: 1}, func(h *hall, in <-chan net.Conn, _ *gate, turned map[string]int) {
		from := time.Now()
		const flood = 2 * refusalsAtOnce
		for range flood {
			h.knock("192.0.2.1")
		}
		h.knock("192.0.2.2")
		synctest.Wait()
		if took := time.Since(from); took != 0 || len(in) != 2 || turned[turnedAddress] != flood-1 {
			t.Errorf("after %v %d are inside, turned away %v", took, len(in), turned)
		}
	})
}

// TestGateFloodFromEverywhere: thousands that do not fit are turned away at once, more only at a pace, and who fits then
// still comes in.
func TestGateFloodFromEverywhere(t *testing.T) {
	atGate(t, Door{Handshakes: 1}, func(h *hall, in <-chan net.Conn, _ *gate, turned map[string]int) {
		from := time.Now()
		n := 0
		knock := func() {
			n++
			h.knock(fmt.Sprintf("198.51.%d.%d", n>>8, n&0xff))
		}
		for range refusalsAtOnce + 1 {
			knock()
		}
		if took := time.Since(from); took != 0 {
			t.Errorf("the first %d took %v", refusalsAtOnce, took)
		}
		for range 5 * refusalsPerSecond {
			knock()
		}
		if took := time.Since(from); took < 4*time.Second || took > 6*time.Second {
			t.Errorf("five seconds' worth took %v", took)
		}
		state(<-in, http.StateActive) // has spoken, and makes room for one
		knock()
		synctest.Wait()
		if len(in) != 1 || turned[turnedHandshakes] != n-2 {
			t.Errorf("%d inside, turned away %v of %d", len(in), turned, n)
		}
	})
}
