package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// fake is a collector as far as an agent sees one: TLS, reports in, Acks out.
type fake struct {
	t      *testing.T
	server *httptest.Server
	stats  *stats
	road   *road

	mu      sync.Mutex
	reports []*wire.Report
	names   []string // on the certificates, empty without one
	from    []string // addresses
	headers []http.Header
	// answer makes the Ack; accepted when nil. serve, when set, does everything.
	answer func(m *wire.Report) *wire.Ack
	serve  http.HandlerFunc
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t, stats: newStats()}
	f.server = httptest.NewUnstartedServer(http.HandlerFunc(f.handle))
	f.server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert}
	f.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.server.StartTLS()
	t.Cleanup(f.server.Close)
	var err error
	f.road, err = newRoad(f.server.Listener.Addr().String(), []*x509.Certificate{f.server.Certificate()}, f.stats)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fake) handle(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := ""
	if len(r.TLS.PeerCertificates) > 0 {
		name = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	f.names, f.from = append(f.names, name), append(f.from, r.RemoteAddr)
	f.headers = append(f.headers, r.Header)
	if f.serve != nil {
		f.serve(w, r)
		return
	}
	m := &wire.Report{}
	if err := wire.Decode(r.Body, r.Header.Get(wire.HeaderCoding), wire.DefaultLimits(), m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.reports = append(f.reports, m)
	ack := &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Incarnation: 1}
	if f.answer != nil {
		ack = f.answer(m)
	}
	ack.Epoch, ack.Sequence = m.Epoch, m.Sequence
	body, err := proto.Marshal(ack)
	if err != nil {
		f.t.Error(err)
	}
	w.Header().Set(wire.HeaderType, r.Header.Get(wire.HeaderType))
	_, _ = w.Write(body)
}

// got is what came so far.
func (f *fake) got() (reports []*wire.Report, names, from []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*wire.Report(nil), f.reports...), append([]string(nil), f.names...), append([]string(nil), f.from...)
}

// heads are the headers of all requests so far.
func (f *fake) heads() []http.Header {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]http.Header(nil), f.headers...)
}

func (f *fake) line(name string) *line {
	l := &line{x: f.road}
	if name != "" {
		l.certificate = certificate(f.t, name)
	}
	f.t.Cleanup(l.drop)
	return l
}

func certificate(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// light is an agent of the fake's.
func (f *fake) light(name string) *light {
	f.t.Helper()
	all, err := newLayouts(osLinux, 200)
	if err != nil {
		f.t.Fatal(err)
	}
	now := time.Now()
	h, err := newHost(name, all[0], 1, 0, now)
	if err != nil {
		f.t.Fatal(err)
	}
	a := &light{line: *f.line(name), simulated: simulated{
		shared:   &shared{stats: f.stats, samples: true, start: now, goodbye: true},
		reporter: reporter{host: h, interval: minInterval}, rand: h.rand,
	}}
	a.patience.rand = h.rand.Float64
	f.stats.join(&a.back)
	a.due = now
	a.begin(now)
	f.t.Cleanup(a.line.drop)
	return a
}

// eventually polls until ok, or fails after a generous time: these machines are busy.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v in vain until %s", within, what)
		case <-tick.C:
		}
	}
}
