package enroll

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// proxy carries CONNECT for every host but loopback, as the environment of TestMain says; forward is where to.
type proxy struct {
	mu      sync.Mutex
	forward string
	asked   []string
}

var theProxy = &proxy{}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	to := p.forward
	p.mu.Unlock()
	far, err := net.Dial("tcp", to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	near, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		far.Close()
		return
	}
	_, _ = near.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	done := make(chan struct{})
	go func() { defer close(done); copyAll(far, near); far.Close() }()
	copyAll(near, far)
	near.Close()
	<-done
}

func copyAll(to, from net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// TestMain sets the proxy before anything asks net/http for it: it reads the environment once.
func TestMain(m *testing.M) {
	s := httptest.NewServer(theProxy)
	os.Setenv("HTTPS_PROXY", s.URL)
	os.Unsetenv("NO_PROXY")
	os.Unsetenv("no_proxy")
	code := m.Run()
	s.Close()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			println(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}

// authority is a small CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key := newKey(t)
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a authority) fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return hex.EncodeToString(sum[:])
}

// leaf signs a certificate for names, valid from and to these distances from now.
func (a authority) leaf(t *testing.T, pub any, usage x509.ExtKeyUsage, from, to time.Duration, names ...string) []byte {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		URIs: []*url.URL{{Scheme: "watchbill", Opaque: "agent/7"}},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, pub, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// fake is a collector for one test: real TLS, real HTTP, answers as told.
type fake struct {
	t    *testing.T
	ca   authority
	addr string

	mu     sync.Mutex
	asked  []*wire.Enrol
	paths  []string
	answer func(*wire.Enrol, *http.Request, http.ResponseWriter) // nil: enrol
	signer authority
	life   [2]time.Duration
}

// startFake listens on listen with a server certificate that is valid between from and to around now.
func startFake(t *testing.T, listen string, from, to time.Duration, names ...string) *fake {
	t.Helper()
	f := &fake{t: t, ca: newAuthority(t, "test authority"), life: [2]time.Duration{-time.Minute, time.Hour}}
	f.signer = f.ca
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		t.Skipf("cannot listen on %s: %v", listen, err)
	}
	f.addr = ln.Addr().String()
	key := newKey(t)
	pool := x509.NewCertPool()
	pool.AddCert(f.ca.cert)
	s := httptest.NewUnstartedServer(f)
	s.Listener.Close()
	s.Listener = ln
	s.TLS = &tls.Config{
		MinVersion: tls.VersionTLS13, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven,
		Certificates: []tls.Certificate{{
			Certificate: [][]byte{f.ca.leaf(t, &key.PublicKey, x509.ExtKeyUsageServerAuth, from, to, names...), f.ca.cert.Raw}, PrivateKey: key,
		}},
	}
	s.Config.ErrorLog = discardLog()
	s.StartTLS()
	t.Cleanup(s.Close)
	return f
}

func (f *fake) token() Token {
	return Token{Address: f.addr, Fingerprint: f.ca.fingerprint(), ID: "tok1", Secret: "tok1.secret"}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e wire.Enrol
	if err := wire.Decode(r.Body, r.Header.Get(wire.HeaderCoding), wire.DefaultLimits(), &e); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	f.asked = append(f.asked, &e)
	f.paths = append(f.paths, r.Method+" "+r.URL.Path+" "+r.Header.Get(wire.HeaderType))
	answer := f.answer
	f.mu.Unlock()
	if answer != nil {
		answer(&e, r, w)
		return
	}
	f.reply(w, http.StatusOK, f.enrolled(&e))
}

func (f *fake) enrolled(e *wire.Enrol) *wire.Enrolled {
	req, err := x509.ParseCertificateRequest(e.Csr)
	if err != nil {
		f.t.Errorf("certificate request: %v", err)
		return &wire.Enrolled{}
	}
	if err := req.CheckSignature(); err != nil {
		f.t.Errorf("certificate request: %v", err)
	}
	return &wire.Enrolled{
		Certificates: [][]byte{f.signer.leaf(f.t, req.PublicKey, x509.ExtKeyUsageClientAuth, f.life[0], f.life[1]), f.signer.cert.Raw},
		Authorities:  [][]byte{f.ca.cert.Raw}, Customer: "acme", Site: "hq", Asset: "web1",
		RenewAtMs: time.Now().Add(f.life[1] * 2 / 3).UnixMilli(),
	}
}

func (f *fake) reply(w http.ResponseWriter, status int, m proto.Message) {
	body, coding, err := wire.Encode(m)
	if err != nil {
		f.t.Error(err)
	}
	w.Header().Set(wire.HeaderType, wire.TypeEnrol)
	if coding != "" {
		w.Header().Set(wire.HeaderCoding, coding)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (f *fake) refuse(status int, text string) {
	f.answer = func(_ *wire.Enrol, _ *http.Request, w http.ResponseWriter) {
		f.reply(w, status, &wire.Enrolled{Error: text})
	}
}

// publicKeys are those of all requests so far.
func (f *fake) publicKeys() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var keys []string
	for _, e := range f.asked {
		req, err := x509.ParseCertificateRequest(e.Csr)
		if err != nil {
			f.t.Fatal(err)
		}
		keys = append(keys, hex.EncodeToString(req.RawSubjectPublicKeyInfo))
	}
	return keys
}
