package collector

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
)

// pipes is a listener whose connections are in memory, so that a bubble's time can pass over them.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9721} }

// Close may be called twice, by the server and by the collector.
func (p *pipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

// line is an agent's connection.
type line struct {
	t    *testing.T
	conn *tls.Conn
	gone chan struct{} // closed once the collector has ended it
	said chan string
}

// dial is a connection of an agent that has said hello and lies idle from then on.
func (s *stage) dial(to *pipes, cert tls.Certificate) *line {
	s.t.Helper()
	here, there := net.Pipe()
	to.conns <- there
	conf := &tls.Config{RootCAs: s.fleet.ClientCAs(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{cert}}
	l := &line{s.t, tls.Client(here, conf), make(chan struct{}), make(chan string, 10)}
	go func() {
		defer close(l.gone)
		b := make([]byte, 4096)
		for {
			n, err := l.conn.Read(b)
			if err != nil {
				return
			}
			l.said <- string(b[:n])
		}
	}()
	s.t.Cleanup(func() { _ = here.Close(); <-l.gone })
	l.hello()
	return l
}

func (l *line) hello() {
	l.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "https://collector"+wire.PathHello, http.NoBody)
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set(wire.HeaderType, wire.TypeHello)
	if err := r.Write(l.conn); err != nil {
		l.t.Fatal(err)
	}
	if answer := <-l.said; !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		l.t.Fatalf("hello is answered %q", answer)
	}
}

func (l *line) ended() bool {
	select {
	case <-l.gone:
		return true
	default:
		return false
	}
}

// enrolled is the certificate of a new agent.
func (s *stage) enrolled(asset string) tls.Certificate {
	s.t.Helper()
	_, text, err := s.fleet.CreateToken(s.t.Context(), fleet.TokenRequest{Customer: "acme", Site: "london", Asset: asset, By: "test", Address: "127.0.0.1:9721"})
	if err != nil {
		s.t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, "wb1."))
	if err != nil {
		s.t.Fatal(err)
	}
	var token struct {
		S string `json:"s"`
	}
	if err := json.Unmarshal(raw, &token); err != nil {
		s.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		s.t.Fatal(err)
	}
	e, err := s.fleet.Enrol(s.t.Context(), fleet.Request{Token: token.S, CSR: csr, Hostname: asset})
	if err != nil {
		s.t.Fatal(err)
	}
	return tls.Certificate{Certificate: e.Certificates, PrivateKey: key}
}

// TestServeAgentsLooksAfterThem: a revoked agent's connection ends within a minute though nothing is said on it, another's
// stays; the fleet is counted; and an authority that nobody needs any more retires by itself.
func TestServeAgentsLooksAfterThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t, diskRules)
		cfg.History.Retention = 0
		s := newStage(t, cfg)
		s.now = time.Now
		_ = s.agents.Close()
		door := newPipes()
		s.agents = door
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.serveAgents(ctx) }()

		revoked, kept := s.dial(door, s.enrolled("web1")), s.dial(door, s.enrolled("web2"))
		if n := s.expected(); n != 2 {
			t.Errorf("%d agents are expected, want both", n)
		}
		if _, err := s.fleet.Revoke(t.Context(), "web1", "ann"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !revoked.ended() || kept.ended() {
			t.Errorf("a minute after, the revoked agent's connection is ended: %t, another's: %t", revoked.ended(), kept.ended())
		}
		if n := s.expected(); n != 1 {
			t.Errorf("%d agents are expected, want the one that is left", n)
		}
		kept.hello()

		if _, err := s.fleet.Revoke(t.Context(), "web2", "ann"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.fleet.RotateAuthority(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * authoritiesEvery)
		synctest.Wait()
		if all := s.fleet.Authorities(); len(all) != 1 {
			t.Errorf("%d authorities are in force, want the new one alone: %s", len(all), fmt.Sprint(all))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
