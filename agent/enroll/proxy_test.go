package enroll

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// guarded lets through whoever brings these credentials, all when empty.
func guarded(t *testing.T, credentials string, to string) (address string, p *proxy) {
	t.Helper()
	p = &proxy{forward: to}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := strings.CutPrefix(r.Header.Get("Proxy-Authorization"), "Basic ")
		if credentials != "" && got != base64.StdEncoding.EncodeToString([]byte(credentials)) {
			w.Header().Set("Proxy-Authenticate", "Basic")
			http.Error(w, "who are you?", http.StatusProxyAuthRequired)
			return
		}
		p.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), p
}

// TestThroughProxy: enrolment, reports and renewal all go through the configured proxy, with the collector at an IPv4
// and an IPv6 address; the proxy sees an address and TLS, and the collector's certificate is checked as ever.
func TestThroughProxy(t *testing.T) {
	for _, tt := range []struct{ name, listen, credentials, user string }{
		{"no credentials", "127.0.0.1:0", "", ""},
		{"credentials", "127.0.0.1:0", "acme:s3cr@t/", "acme:s3cr%40t%2F@"},
		{"IPv6", "[::1]:0", "acme:pw", "acme:pw@"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := startFake(t, tt.listen, -time.Hour, time.Hour, "127.0.0.1", "::1")
			address, seen := guarded(t, tt.credentials, f.addr)
			way, err := ParseProxy("http://" + tt.user + address)
			must(t, err)
			dir := filepath.Join(t.TempDir(), "identity")
			_, err = Enroll(t.Context(), Options{Token: f.token(), Dir: dir, Proxy: way})
			must(t, err)
			k, err := OpenKeeper(dir, KeeperOptions{Proxy: way})
			must(t, err)
			defer func() { k.CloseIdleConnections() }()
			must(t, k.Renew(t.Context()))
			seen.mu.Lock()
			defer seen.mu.Unlock()
			if len(seen.asked) != 2 || seen.asked[0] != "CONNECT "+f.addr || f.paths[1] != "POST "+wire.PathRenew+" "+wire.TypeEnrol {
				t.Errorf("the proxy was asked %q, the collector %q", seen.asked, f.paths)
			}
		})
	}
}

func TestProxyRefuses(t *testing.T) {
	f := startFake(t, "127.0.0.1:0", -time.Hour, time.Hour, "127.0.0.1")
	locked, _ := guarded(t, "acme:pw", f.addr)
	broken, _ := guarded(t, "", deadAddress(t))
	closed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusForbidden)
	}))
	defer closed.Close()
	for _, tt := range []struct {
		name, proxy string
		is          error
		says        string
	}{
		{"no credentials", "http://" + locked, ErrProxy, "put user and password into its URL"},
		{"wrong credentials", "http://acme:hunter2@" + locked, ErrProxy, "wants other credentials"},
		{"not allowed", closed.URL, ErrProxy, "allow CONNECT"},
		{"collector not reached from there", "http://" + broken, ErrProxy, "cannot reach the collector (502"},
		{"no proxy there", "http://" + deadAddress(t), ErrUnreachable, "nothing listens"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			way, err := ParseProxy(tt.proxy)
			must(t, err)
			_, err = Enroll(t.Context(), Options{Token: f.token(), Dir: filepath.Join(t.TempDir(), "i"), Proxy: way})
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hunter2") || Certificate(err) {
				t.Errorf("error %v", err)
			}
		})
	}
	if len(f.asked) != 0 {
		t.Error("the collector was reached")
	}
}

func TestParseProxy(t *testing.T) {
	for _, tt := range []struct{ name, text, says, shows string }{
		{"environment", "", "", "as the environment says"},
		{"none", "none", "", "none"},
		{"plain", "http://proxy.example:3128", "", "http://proxy.example:3128"},
		{"slash", "http://proxy.example:3128/", "", "http://proxy.example:3128/"},
		{"credentials are not shown", "http://u:hunter2@[2001:db8::1]:8080", "", "http://u:xxxxx@[2001:db8::1]:8080"},
		{"no scheme", "proxy.example:3128", "want http://host:port", ""},
		{"https", "https://u:hunter2@proxy.example:3128", "want http://host:port", ""},
		{"no port", "http://proxy.example", "want host and port", ""},
		{"path", "http://proxy.example:3128/x", "nothing may follow", ""},
		{"not a URL", "http://u:hunter2@pro xy:3128", "not a URL", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ParseProxy(tt.text)
			switch {
			case tt.says == "" && (err != nil || p.String() != tt.shows):
				t.Errorf("%v, %v", p, err)
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hunter2")):
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestNoProxyWhateverTheEnvironmentSays: TestMain set one.
func TestNoProxyWhateverTheEnvironmentSays(t *testing.T) {
	req, err := http.NewRequest(http.MethodPost, "https://collector.example:9721", http.NoBody)
	must(t, err)
	none, err := ParseProxy("none")
	must(t, err)
	if u, err := none.forRequest(req); u != nil || err != nil {
		t.Errorf("%v %v", u, err)
	}
	if u, err := (*Proxy)(nil).forRequest(req); u == nil || err != nil {
		t.Errorf("the environment's: %v %v", u, err)
	}
}
