package ingest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Time-outs of connections.
const (
	// headerTimeout bounds the TLS handshake and, apart from it, a request's header.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long a connection may lie idle; agents speak every 15 s, slow ones every two minutes.
	idleTimeout = 5 * time.Minute
	// maxHeader: agents send a few hundred bytes.
	maxHeader = 8 << 10
)

// Door bounds who may come in at a time. Zero fields have defaults.
type Door struct {
	// Connections is how many may stand at a time; 20000 by default. More wait in the kernel's queue.
	Connections int
	// Strangers is how many connections may be between their opening and their first request, that is: in the handshake;
	// 256 by default. From one address an eighth of that.
	Strangers int
	// PerSecond is how many connections are let in per second, with a burst as large; 500 by default, so that ten
	// thousand agents are back 20 s after a restart and handshakes leave a processor's half for work.
	PerSecond int
}

// TLSConfig is what the agents' listener speaks: TLS 1.3, HTTP/1.1, certificate has the collector's (see
// fleet.ServerCertificate). A client's certificate must be of authority's making; none at all passes, because who enrols
// has none yet: every other path asks for it. now is the clock for certificates; time.Now when nil.
func TLSConfig(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), authority *x509.CertPool, now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: certificate,
		ClientAuth:     tls.VerifyClientCertIfGiven,
		ClientCAs:      authority,
		NextProtos:     []string{"http/1.1"},
		Time:           now,
	}
}

// Server makes the HTTP server for agents and the listener it must be given: inner with d's bounds, speaking t. Use it
// as
//
//	server, listener := i.Server(inner, t, Door{})
//	err := server.Serve(listener)
//
// and stop it with server.Shutdown, which closes the listener.
func (i *Ingest) Server(inner net.Listener, t *tls.Config, d Door) (*http.Server, net.Listener) {
	gate := newGate(inner, d)
	plain := new(http.Protocols)
	plain.SetHTTP1(true)
	server := &http.Server{
		Handler:           i.Handler(),
		ReadHeaderTimeout: headerTimeout,
		// The body has its own, shorter deadline; this one covers a body that nobody reads.
		ReadTimeout:    headerTimeout + bodyTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxHeader,
		Protocols:      plain,
		ConnState:      gate.state,
		ErrorLog:       slog.NewLogLogger(i.o.Logger.Handler(), slog.LevelDebug),
	}
	return server, tls.NewListener(gate, t)
}

// gate is a listener that lets in only so many.
type gate struct {
	net.Listener
	pace    *rate.Limiter
	perHost int
	// standing has one entry per connection, strangers one per connection that has not spoken yet.
	standing, strangers chan struct{}
	closed              chan struct{}
	once                sync.Once

	mu    sync.Mutex
	hosts map[string]int // strangers by address
}

func newGate(inner net.Listener, d Door) *gate {
	or := func(n, fallback int) int {
		if n > 0 {
			return n
		}
		return fallback
	}
	strangers, pace := or(d.Strangers, 256), or(d.PerSecond, 500)
	return &gate{
		Listener: inner, pace: rate.NewLimiter(rate.Limit(pace), pace), perHost: max(strangers/8, 1),
		standing: make(chan struct{}, or(d.Connections, 20_000)), strangers: make(chan struct{}, strangers),
		closed: make(chan struct{}), hosts: map[string]int{},
	}
}

// guest is a connection that came through the gate.
type guest struct {
	net.Conn
	gate     *gate
	host     string
	known    sync.Once
	released sync.Once
}

// Accept waits until there is room. A host with too many strangers is turned away at once, for it would take the room
// of all others.
func (g *gate) Accept() (net.Conn, error) {
	for {
		if err := g.room(); err != nil {
			return nil, err
		}
		conn, err := g.Listener.Accept()
		if err != nil {
			<-g.standing
			<-g.strangers
			return nil, err
		}
		host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
		if err != nil {
			host = conn.RemoteAddr().String()
		}
		c := &guest{Conn: conn, gate: g, host: host}
		if g.count(host, 1) <= g.perHost {
			return c, nil
		}
		_ = c.Close()
	}
}

// room takes a place for one more connection.
func (g *gate) room() error {
	select {
	case g.standing <- struct{}{}:
	case <-g.closed:
		return net.ErrClosed
	}
	select {
	case g.strangers <- struct{}{}:
	case <-g.closed:
		<-g.standing
		return net.ErrClosed
	}
	r := g.pace.Reserve()
	if d := r.Delay(); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-g.closed:
			<-g.standing
			<-g.strangers
			return net.ErrClosed
		}
	}
	return nil
}

// Close ends Accept, also one that waits for room.
func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed) })
	return g.Listener.Close()
}

func (g *gate) count(host string, n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hosts[host] += n
	left := g.hosts[host]
	if left == 0 {
		delete(g.hosts, host)
	}
	return left
}

// state hears from the server when a connection sends its first request: it is no stranger any more.
func (g *gate) state(c net.Conn, s http.ConnState) {
	if s != http.StateActive {
		return
	}
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if g, ok := c.(*guest); ok {
		g.introduce()
	}
}

func (c *guest) introduce() {
	c.known.Do(func() {
		c.gate.count(c.host, -1)
		<-c.gate.strangers
	})
}

// Close gives the place back.
func (c *guest) Close() error {
	c.introduce()
	c.released.Do(func() { <-c.gate.standing })
	err := c.Conn.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
