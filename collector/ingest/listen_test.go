package ingest

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	out := make(chan net.Conn, 100)
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

func TestGateStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall()
		g := newGate(h, Door{Strangers: 16}) // 2 from one address
		in := accepts(g)
		h.knock("192.0.2.1")
		h.knock("192.0.2.1")
		turned := h.knock("192.0.2.1")
		h.knock("192.0.2.2")
		synctest.Wait()
		if len(in) != 3 || !turned.closed {
			t.Errorf("%d let in, third of one address turned away: %v", len(in), turned.closed)
		}
		first := <-in
		g.state(tls.Server(first, &tls.Config{}), http.StateActive) // has spoken
		h.knock("192.0.2.1")
		synctest.Wait()
		if len(in) != 3 {
			t.Errorf("%d waiting: an agent that has spoken is no stranger", len(in))
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
		if err := first.Close(); err != nil {
			t.Errorf("closed twice: %v", err)
		}
		if n := len(g.standing); n != 4 { // three inside, one place held for the next
			t.Errorf("%d stand", n)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		for range in { // until Accept has returned
		}
	})
}

// TestGateFull: who does not fit waits outside until somebody leaves.
func TestGateFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall()
		g := newGate(h, Door{Connections: 2})
		in := accepts(g)
		h.knock("192.0.2.1")
		h.knock("192.0.2.2")
		synctest.Wait()
		select {
		case h.conns <- nil:
			t.Fatal("a third is let in")
		default:
		}
		if err := (<-in).Close(); err != nil {
			t.Error(err)
		}
		h.knock("192.0.2.3")
		synctest.Wait()
		if len(in) != 2 {
			t.Errorf("%d inside", len(in))
		}
		if err := g.Close(); err != nil { // Accept waits for room: it must end all the same
			t.Error(err)
		}
		for range in {
		}
	})
}

// TestGatePace: a fleet that comes back at once is let in at a pace.
func TestGatePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall()
		g := newGate(h, Door{PerSecond: 10, Strangers: 1000})
		in := accepts(g)
		start := time.Now()
		for range 30 {
			h.knock("192.0.2.1")
		}
		if took := time.Since(start); took < 1900*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("30 at 10 a second, 10 of them at once, took %v", took)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		for range in {
		}
	})
}

// TestServerStops: Shutdown ends Serve although Accept waits for room.
func TestServerStops(t *testing.T) {
	w := newWorld(t, nil)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, listener := w.ingest.Server(inner, TLSConfig(nil, nil, nil), Door{Connections: 1})
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
