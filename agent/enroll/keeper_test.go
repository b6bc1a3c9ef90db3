package enroll

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

func TestRenew(t *testing.T) {
	f, dir := enrolled(t)
	k, err := OpenKeeper(dir, KeeperOptions{})
	must(t, err)
	defer k.CloseIdleConnections()
	old := k.Identity()
	must(t, k.Renew(t.Context()))
	if want := "POST " + wire.PathRenew + " " + wire.TypeEnrol; f.paths[1] != want {
		t.Errorf("asked %q, want %q", f.paths[1], want)
	}
	if f.asked[1].Token != "" {
		t.Error("the token was sent again")
	}
	if keys := f.publicKeys(); keys[0] == keys[1] {
		t.Error("the key was not changed")
	}
	loaded, err := Load(dir)
	must(t, err)
	if now := k.Identity(); !loaded.Certificate.Leaf.Equal(now.Certificate.Leaf) || now.Certificate.Leaf.Equal(old.Certificate.Leaf) {
		t.Error("disk and memory do not both hold the new certificate")
	}
	if !loaded.EnrolledAt.Equal(old.EnrolledAt) || loaded.Collector != f.addr {
		t.Errorf("renewed identity %+v", loaded)
	}
	checkFiles(t, dir)
	checkMutualTLS(t, f, k.Identity())
}

func TestFailedRenewalKeepsTheOld(t *testing.T) {
	f, dir := enrolled(t)
	k, err := OpenKeeper(dir, KeeperOptions{})
	must(t, err)
	defer k.CloseIdleConnections()
	old := k.Identity().Certificate.Leaf

	f.refuse(http.StatusForbidden, "this agent was revoked")
	if err := k.Renew(t.Context()); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("refused: %v", err)
	}
	f.answer = nil
	// The disk fails where the new certificate belongs.
	must(t, os.Rename(filepath.Join(dir, caFile), filepath.Join(dir, "aside")))
	must(t, os.MkdirAll(filepath.Join(dir, caFile, "in the way"), 0o700))
	if err := k.Renew(t.Context()); err == nil || !strings.Contains(err.Error(), caFile) {
		t.Errorf("disk fails: %v", err)
	}
	if !k.Identity().Certificate.Leaf.Equal(old) {
		t.Error("a certificate is in force that is not on disk")
	}
	must(t, os.RemoveAll(filepath.Join(dir, caFile)))
	must(t, os.Rename(filepath.Join(dir, "aside"), filepath.Join(dir, caFile)))
	if loaded, err := Load(dir); err != nil || !loaded.Certificate.Leaf.Equal(old) {
		t.Errorf("on disk: %v", err)
	}
	must(t, k.Renew(t.Context()))
	if keys := f.publicKeys(); keys[1] != keys[3] {
		t.Error("each try made a key of its own, so the collector cannot recognise an answer that was lost")
	}
}

// fakeLog hands every line to a channel.
type fakeLog struct {
	mu    sync.Mutex
	lines chan string
}

func (l *fakeLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines <- string(bytes.TrimSpace(b))
	return len(b), nil
}

func TestKeeperRenewsWhenDue(t *testing.T) {
	f, dir := enrolled(t)
	lines := &fakeLog{lines: make(chan string, 10)}
	var mu sync.Mutex
	ahead := time.Duration(0)
	k, err := OpenKeeper(dir, KeeperOptions{
		Logger: slog.New(slog.NewTextHandler(lines, nil)),
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(ahead)
		},
	})
	must(t, err)
	defer k.CloseIdleConnections()
	old := k.Identity().Certificate.Leaf

	run := func() string {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		line := <-lines.lines
		cancel()
		must(t, <-done)
		return line
	}
	mu.Lock()
	ahead = 50 * time.Minute // past two thirds of its hour
	mu.Unlock()
	f.refuse(http.StatusServiceUnavailable, "the store is busy")
	if line := run(); !strings.Contains(line, "level=WARN") || !strings.Contains(line, "the store is busy") {
		t.Errorf("log %q", line)
	}
	f.answer = nil
	if line := run(); !strings.Contains(line, "certificate renewed") {
		t.Errorf("log %q", line)
	}
	if k.Identity().Certificate.Leaf.Equal(old) {
		t.Error("not renewed")
	}
}

func TestKeeperExplainsTheLine(t *testing.T) {
	f, dir := enrolled(t)
	k, err := OpenKeeper(dir, KeeperOptions{})
	must(t, err)
	other := startFake(t, "127.0.0.1:0", -time.Hour, time.Hour, "127.0.0.1")
	for name, tt := range map[string]struct {
		addr  string
		is    error
		trust bool
	}{
		"collector set up anew": {other.addr, ErrWrongCollector, true},
		"certificate refused":   {startStrict(t, f.ca), ErrUnwelcome, true},
		"nobody listens":        {deadAddress(t), ErrUnreachable, false},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+tt.addr+wire.PathHello, http.NoBody)
			must(t, err)
			resp, err := k.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
				t.Fatal("got through")
			}
			if !errors.Is(err, tt.is) || Certificate(err) != tt.trust {
				t.Errorf("error %v (about trust: %v), want %q (%v)", err, Certificate(err), tt.is, tt.trust)
			}
		})
	}
}

// startStrict is a collector that the agent trusts and that knows no agent of this authority.
func startStrict(t *testing.T, ca authority) string {
	t.Helper()
	key := newKey(t)
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = discardLog()
	s.TLS = &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(),
		Certificates: []tls.Certificate{{Certificate: [][]byte{ca.leaf(t, &key.PublicKey, x509.ExtKeyUsageServerAuth, -time.Hour, time.Hour, "127.0.0.1")}, PrivateKey: key}},
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// TestKeeperRenewsWhenAsked: an answer that says that authorities have changed brings the renewal forward, once in five
// minutes; the new authorities are trusted from then on.
func TestKeeperRenewsWhenAsked(t *testing.T) {
	f, dir := enrolled(t)
	next := newAuthority(t, "next")
	lines := &fakeLog{lines: make(chan string, 10)}
	k, err := OpenKeeper(dir, KeeperOptions{Logger: slog.New(slog.NewTextHandler(lines, nil))})
	must(t, err)
	defer func() { k.CloseIdleConnections() }()
	f.mu.Lock()
	f.answer = func(e *wire.Enrol, r *http.Request, w http.ResponseWriter) {
		w.Header().Set(headerRenew, "now")
		if r.URL.Path != wire.PathRenew {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		f.signer = next
		a := f.enrolled(e)
		a.Authorities = append(a.Authorities, next.cert.Raw)
		f.reply(w, http.StatusOK, a)
	}
	f.mu.Unlock()
	ask := func() {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+f.addr+wire.PathHello, http.NoBody)
		must(t, err)
		resp, err := k.RoundTrip(req)
		must(t, err)
		resp.Body.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	ask()
	if line := <-lines.lines; !strings.Contains(line, "certificate renewed") {
		t.Errorf("log %q", line)
	}
	id := k.Identity()
	if len(id.Authorities) != 2 || id.Certificate.Leaf.CheckSignatureFrom(next.cert) != nil {
		t.Errorf("%d authorities, certificate by %v", len(id.Authorities), id.Certificate.Leaf.Issuer)
	}
	loaded, err := Load(dir)
	must(t, err)
	if len(loaded.Authorities) != 2 {
		t.Errorf("%d authorities on disk", len(loaded.Authorities))
	}
	cancel()
	must(t, <-done)
	if n := len(f.asked); n != 3 { // enrolment, hello, renewal
		t.Errorf("%d requests", n)
	}
}
