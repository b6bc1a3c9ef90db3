package ingest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
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

// TLSConfig is what the agents' listener speaks: TLS 1.3, HTTP/1.1, certificate has the collector's (see
// fleet.ServerCertificate). A client's certificate must be of the making of one of authorities, which is asked for every
// handshake, so that one may come or go; none at all passes, because who enrols has none yet: every other path asks for
// it. now is the clock for certificates; time.Now when nil.
//
// There are no session tickets. A resumed handshake costs four tenths less (BenchmarkHandshake), but a collector that
// starts anew has new ticket keys, and that is the only moment when handshakes are many; keys that outlive it would lie
// in the store and undo forward secrecy. And a ticket would carry a certificate past the authority that signed it.
func TLSConfig(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), authorities func() *x509.CertPool, now func() time.Time) *tls.Config {
	base := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		GetCertificate:         certificate,
		ClientAuth:             tls.VerifyClientCertIfGiven,
		NextProtos:             []string{"http/1.1"},
		SessionTicketsDisabled: true,
		Time:                   now,
	}
	var mu sync.Mutex
	current := base.Clone()
	current.ClientCAs = authorities()
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		pool := authorities()
		mu.Lock()
		defer mu.Unlock()
		if current.ClientCAs != pool {
			next := current.Clone()
			next.ClientCAs = pool
			current = next
		}
		return current, nil
	}
	return base
}

// Server makes the HTTP server for agents and the listener it must be given: inner with the bounds of Options.Door,
// speaking t. Use it as
//
//	server, listener := i.Server(inner, t)
//	err := server.Serve(listener)
//
// and stop it with server.Shutdown, which closes the listener. See Run for what must run beside it.
func (i *Ingest) Server(inner net.Listener, t *tls.Config) (*http.Server, net.Listener) {
	gate := i.gate(inner)
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
		ConnState:      state,
		ConnContext:    withGuest,
		ErrorLog:       slog.NewLogLogger(i.o.Logger.Handler(), slog.LevelDebug),
	}
	return server, tls.NewListener(gate, t)
}

// guestOf is the connection as the gate let it in; nil when it came another way.
func guestOf(c net.Conn) *guest {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	g, _ := c.(*guest)
	return g
}

// state hears from the server when a connection sends its first request: it is no stranger any more.
func state(c net.Conn, s http.ConnState) {
	if g := guestOf(c); g != nil && s == http.StateActive {
		g.introduce()
	}
}

type guestKey struct{}

// withGuest lets a request find its connection, and ends it with that: net/http notices only once it has read the body.
func withGuest(ctx context.Context, c net.Conn) context.Context {
	g := guestOf(c)
	if g == nil {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	g.end.Store(&cancel)
	return context.WithValue(ctx, guestKey{}, g)
}
