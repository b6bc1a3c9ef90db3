package enroll

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

func TestEnrollGivesAnIdentityThatWorks(t *testing.T) {
	for name, listen := range map[string]string{"IPv4": "127.0.0.1:0", "IPv6": "[::1]:0"} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, listen, -time.Hour, time.Hour, "127.0.0.1", "::1")
			dir := filepath.Join(t.TempDir(), "identity")
			id, err := Enroll(t.Context(), Options{Token: f.token(), Dir: dir, Inventory: &wire.Inventory{Hostname: "web1"}})
			if err != nil {
				t.Fatal(err)
			}
			if id.Customer != "acme" || id.Site != "hq" || id.Asset != "web1" || id.Collector != f.addr || id.URL() != "https://"+f.addr {
				t.Errorf("identity %+v", id)
			}
			if got := f.asked[0]; got.Token != "tok1.secret" || got.Inventory.GetHostname() != "web1" {
				t.Errorf("asked %v", got)
			}
			if want := "POST " + wire.PathEnrol + " " + wire.TypeEnrol; f.paths[0] != want {
				t.Errorf("asked %q, want %q", f.paths[0], want)
			}
			loaded, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			if loaded.Asset != "web1" || !loaded.EnrolledAt.Equal(id.EnrolledAt) || !loaded.RenewAt.Equal(id.RenewAt) || len(loaded.Authorities) != 1 {
				t.Errorf("loaded %+v, want what was enrolled: %+v", loaded, id)
			}
			checkFiles(t, dir)
			checkMutualTLS(t, f, loaded)
		})
	}
}

// checkFiles: the key is private and nothing half-done is left.
func checkFiles(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", e.Name(), info.Mode())
		}
	}
	if got := strings.Join(names, " "); got != "agent.pem ca.pem identity.json" {
		t.Errorf("files %q", got)
	}
}

// checkMutualTLS: the identity is accepted by the collector, over HTTP/1.1, and says who it is.
func checkMutualTLS(t *testing.T, f *fake, id Identity) {
	t.Helper()
	var peer []*x509.Certificate
	var proto string
	f.mu.Lock()
	f.answer = func(_ *wire.Enrol, r *http.Request, w http.ResponseWriter) {
		peer, proto = r.TLS.PeerCertificates, r.Proto
		w.WriteHeader(http.StatusNoContent)
	}
	f.mu.Unlock()
	tr := id.Transport()
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Post(id.URL()+wire.PathReport, wire.TypeEnrol, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(peer) == 0 || peer[0].URIs[0].String() != "watchbill:agent/7" {
		t.Errorf("collector saw certificates %v", peer)
	}
	if proto != "HTTP/1.1" {
		t.Errorf("spoke %s, want HTTP/1.1", proto)
	}
}

func TestEnrollFailures(t *testing.T) {
	week := 7 * 24 * time.Hour
	tests := []struct {
		name     string
		from, to time.Duration // validity of the server's certificate around now
		names    []string
		prepare  func(*testing.T, *fake, *Options)
		is       error
		says     []string // regular expressions: certificates know whole seconds only
	}{
		{name: "replayed token", prepare: func(_ *testing.T, f *fake, _ *Options) {
			f.refuse(http.StatusForbidden, "token was already used on 2026-11-21: ask for a new one with `watchbill token create`")
		}, is: ErrRefused, says: []string{"already used on 2026-11-21", "watchbill token create", "tok1"}},
		{name: "refused without a reason", prepare: func(_ *testing.T, f *fake, _ *Options) { f.refuse(http.StatusForbidden, "") },
			is: ErrRefused, says: []string{"403", "collector's log"}},
		{name: "another authority", prepare: func(t *testing.T, _ *fake, o *Options) {
			o.Token.Fingerprint = newAuthority(t, "other").fingerprint()
		}, is: ErrWrongCollector, says: []string{"is not the one the token was made for", "new token"}},
		{name: "another name", names: []string{"elsewhere.example"}, is: ErrWrongCollector, says: []string{"other names"}},
		{name: "clock behind", prepare: func(_ *testing.T, _ *fake, o *Options) {
			o.Now = func() time.Time { return time.Now().Add(-2 * time.Hour) }
		}, is: ErrClock, says: []string{"(1h0m0s|59m59s) after this host's time", "set this host's clock"}},
		{name: "clock ahead", prepare: func(_ *testing.T, _ *fake, o *Options) {
			o.Now = func() time.Time { return time.Now().Add(3 * time.Hour) }
		}, is: ErrClock, says: []string{"2h0m[01]s before this host's time"}},
		{name: "new certificate from the future", from: -week, to: week, prepare: func(_ *testing.T, f *fake, _ *Options) {
			f.life = [2]time.Duration{time.Hour, 2 * time.Hour}
		}, is: ErrClock, says: []string{"(1h0m0s|59m59s) after this host's time"}},
		{name: "certificate for another key", prepare: func(t *testing.T, f *fake, _ *Options) {
			f.answer = func(_ *wire.Enrol, _ *http.Request, w http.ResponseWriter) {
				f.reply(w, http.StatusOK, &wire.Enrolled{Certificates: [][]byte{f.ca.leaf(t, newKey(t).Public(), x509.ExtKeyUsageClientAuth, -time.Hour, time.Hour)}})
			}
		}, says: []string{"another key"}},
		{name: "certificate of another authority", prepare: func(t *testing.T, f *fake, _ *Options) { f.signer = newAuthority(t, "other") },
			is: ErrWrongCollector, says: []string{"check the new certificate"}},
		{name: "no certificate", prepare: func(_ *testing.T, f *fake, _ *Options) {
			f.answer = func(_ *wire.Enrol, _ *http.Request, w http.ResponseWriter) {
				f.reply(w, http.StatusOK, &wire.Enrolled{})
			}
		}, says: []string{"no certificate"}},
		{name: "damaged certificate", prepare: func(_ *testing.T, f *fake, _ *Options) {
			f.answer = func(_ *wire.Enrol, _ *http.Request, w http.ResponseWriter) {
				f.reply(w, http.StatusOK, &wire.Enrolled{Certificates: [][]byte{{1, 2, 3}}})
			}
		}, says: []string{"read the certificate"}},
		{name: "no collector", prepare: func(_ *testing.T, f *fake, _ *Options) {
			f.answer = func(_ *wire.Enrol, _ *http.Request, w http.ResponseWriter) {
				http.Error(w, "<h1>hello</h1>", http.StatusNotFound)
			}
		}, is: ErrRefused, says: []string{"404", "agents' listener"}},
		{name: "nobody listens", prepare: func(t *testing.T, _ *fake, o *Options) { o.Token.Address = deadAddress(t) },
			is: ErrUnreachable, says: []string{"nothing listens at 127.0.0.1:", "check that the collector runs"}},
		{name: "no answer", prepare: func(_ *testing.T, f *fake, o *Options) {
			o.Timeout = 200 * time.Millisecond
			f.answer = func(_ *wire.Enrol, r *http.Request, _ http.ResponseWriter) { <-r.Context().Done() }
		}, is: ErrUnreachable, says: []string{"did not answer in time"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.names == nil {
				tt.names = []string{"127.0.0.1"}
			}
			if tt.to == 0 {
				tt.from, tt.to = -time.Hour, time.Hour
			}
			f := startFake(t, "127.0.0.1:0", tt.from, tt.to, tt.names...)
			o := Options{Token: f.token(), Dir: t.TempDir()}
			if tt.prepare != nil {
				tt.prepare(t, f, &o)
			}
			_, err := Enroll(t.Context(), o)
			if err == nil {
				t.Fatal("enrolled")
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v, want one that wraps %q", err, tt.is)
			}
			for _, s := range tt.says {
				if !regexp.MustCompile(s).MatchString(err.Error()) {
					t.Errorf("error does not say %q: %v", s, err)
				}
			}
			if strings.Contains(err.Error(), "tok1.secret") {
				t.Errorf("the error tells the secret: %v", err)
			}
			if _, err := Load(o.Dir); !errors.Is(err, ErrNotEnrolled) {
				t.Errorf("after a failure Load says %v, want ErrNotEnrolled", err)
			}
		})
	}
}

// deadAddress is one where nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestSecondTryUsesTheSameKey(t *testing.T) {
	f := startFake(t, "127.0.0.1:0", -time.Hour, time.Hour, "127.0.0.1")
	f.answer = func(_ *wire.Enrol, _ *http.Request, w http.ResponseWriter) { // the answer is lost on the way
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	}
	o := Options{Token: f.token(), Dir: t.TempDir()}
	if _, err := Enroll(t.Context(), o); err == nil {
		t.Fatal("enrolled without an answer")
	}
	f.answer = nil
	if _, err := Enroll(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if keys := f.publicKeys(); len(keys) != 2 || keys[0] != keys[1] {
		t.Errorf("asked for keys %v, want the same one twice", keys)
	}
}

func TestEnrollTwiceNeedsReplace(t *testing.T) {
	f := startFake(t, "127.0.0.1:0", -time.Hour, time.Hour, "127.0.0.1")
	o := Options{Token: f.token(), Dir: t.TempDir()}
	first, err := Enroll(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Enroll(t.Context(), o); !errors.Is(err, ErrEnrolled) || !strings.Contains(err.Error(), "--replace") {
		t.Errorf("second time: %v", err)
	}
	o.Replace = true
	f.refuse(http.StatusForbidden, "no")
	if _, err := Enroll(t.Context(), o); !errors.Is(err, ErrRefused) {
		t.Errorf("refused replacement: %v", err)
	}
	if kept, err := Load(o.Dir); err != nil || !kept.Certificate.Leaf.Equal(first.Certificate.Leaf) {
		t.Errorf("after a refused replacement: %v, %v", kept.Certificate.Leaf, err)
	}
	f.answer = nil
	second, err := Enroll(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if second.Certificate.Leaf.Equal(first.Certificate.Leaf) {
		t.Error("identity was not replaced")
	}
}

func TestEnrollThroughProxy(t *testing.T) {
	f := startFake(t, "127.0.0.1:0", -time.Hour, time.Hour, "collector.example")
	theProxy.mu.Lock()
	theProxy.forward = f.addr
	theProxy.mu.Unlock()
	token := f.token()
	token.Address = "collector.example:9721"
	if _, err := Enroll(t.Context(), Options{Token: token, Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	theProxy.mu.Lock()
	defer theProxy.mu.Unlock()
	if len(theProxy.asked) != 1 || theProxy.asked[0] != "CONNECT collector.example:9721" {
		t.Errorf("proxy was asked %v", theProxy.asked)
	}
}

func TestEnrollEndsWithItsContext(t *testing.T) {
	f := startFake(t, "127.0.0.1:0", -time.Hour, time.Hour, "127.0.0.1")
	ctx, cancel := context.WithCancel(t.Context())
	f.answer = func(_ *wire.Enrol, r *http.Request, _ http.ResponseWriter) {
		cancel()
		<-r.Context().Done()
	}
	if _, err := Enroll(ctx, Options{Token: f.token(), Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// givenUp answers as a server does whose client hangs up: the context ends, and an empty answer still arrives.
type givenUp struct{ cancel context.CancelFunc }

func (g givenUp) RoundTrip(*http.Request) (*http.Response, error) {
	g.cancel()
	return &http.Response{Status: "200 OK", StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

func TestAnswerAfterTheContextIsNoRefusal(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := ask(ctx, givenUp{cancel}, "127.0.0.1:9721", wire.PathEnrol, newKey(t), &wire.Enrol{}, time.Now)
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrRefused) {
		t.Errorf("error %v, want context.Canceled and no refusal", err)
	}
}
