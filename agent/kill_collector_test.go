package agent

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	bigint "math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/wire"
)

// name is what a report is known by.
type name struct{ epoch, sequence uint64 }

// witness is a collector behind mutual TLS that takes what an agent sends over a bad line, and remembers all of it.
type witness struct {
	t      *testing.T
	server *httptest.Server
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey

	mu       sync.Mutex
	r        *rand.Rand
	cut      bool // no request gets through
	bad      bool // some do not, and of others the answer does not
	start    uint64
	replay   bool
	shapes   map[[32]byte]wire.Layout
	outlines wire.Outlines
	// names are the reports that arrived, with what they were; numbers the same by their number, but for goodbyes.
	names   map[name]string
	numbers map[uint64]name
	twice   int     // deliveries of a report that had arrived before
	dropped float64 // the most drops that a report told of
	untold  float64 // the most that a report of this life called untold
	told    uint64  // what events told of them in this life
	first   uint64  // number of this life's first report
	spoke   bool    // a report of this life arrived
	caught  func()  // called when one did and nothing is left to be sent
}

func newWitness(t *testing.T, r *rand.Rand) *witness {
	t.Helper()
	w := &witness{t: t, r: r, shapes: map[[32]byte]wire.Layout{}}
	w.key = newKey(t)
	w.ca = w.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, w.key.Public())
	own := newKey(t)
	leaf := w.sign(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, own.Public())
	pool := x509.NewCertPool()
	pool.AddCert(w.ca)
	w.server = httptest.NewUnstartedServer(w)
	w.server.TLS = &tls.Config{
		MinVersion: tls.VersionTLS13, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven,
		Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw, w.ca.Raw}, PrivateKey: own}},
	}
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0) // of agents that were killed
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	return w
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign makes a certificate, the authority's own when there is none yet. It holds for a day both ways: clocks are wrong.
func (w *witness) sign(c *x509.Certificate, pub crypto.PublicKey) *x509.Certificate {
	c.SerialNumber, c.Subject = bigint.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-24*time.Hour), time.Now().Add(24*time.Hour)
	by := w.ca
	if by == nil {
		by = c
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, c, by, pub, w.key)
	if err != nil {
		w.t.Error(err)
		return c
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		w.t.Error(err)
		return c
	}
	return made
}

// enrol gives the agent in dir an identity and forgets the one before.
func (w *witness) enrol(dir string) {
	w.t.Helper()
	w.mu.Lock()
	w.names, w.numbers, w.twice, w.dropped = map[name]string{}, map[uint64]name{}, 0, 0
	w.mu.Unlock()
	cfg := Config{DataDir: dir}
	sum := sha256.Sum256(w.ca.Raw)
	_, err := enroll.Enroll(context.Background(), enroll.Options{
		Token: enroll.Token{Address: w.server.Listener.Addr().String(), Fingerprint: hex.EncodeToString(sum[:]), ID: "t", Secret: "t.s"},
		Dir:   cfg.IdentityDir(), Inventory: &wire.Inventory{Hostname: "web1"}, Proxy: &enroll.Proxy{},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// begin is the collector at the start of an agent's life: a new one now and then, which may want to see everything again.
func (w *witness) begin(cut, bad, replay bool, caught func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if replay {
		w.start++
	}
	w.cut, w.bad, w.replay, w.caught = cut, bad, replay, caught
	w.outlines, w.untold, w.told, w.spoke = wire.Outlines{}, 0, 0, false
}

func (w *witness) ServeHTTP(out http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the agent was killed
	}
	if req.URL.Path == wire.PathEnrol {
		w.answer(out, req, w.enrolled(body, req.Header.Get(wire.HeaderCoding)))
		return
	}
	if len(req.TLS.VerifiedChains) == 0 {
		w.t.Errorf("%s without a certificate", req.URL.Path)
	}
	w.mu.Lock()
	ack, lost := w.hear(req, body)
	w.mu.Unlock()
	if lost {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	w.answer(out, req, ack)
}

func (w *witness) enrolled(body []byte, coding string) *wire.Enrolled {
	var e wire.Enrol
	if err := wire.Decode(bytes.NewReader(body), coding, wire.DefaultLimits(), &e); err != nil {
		w.t.Error(err)
		return &wire.Enrolled{}
	}
	req, err := x509.ParseCertificateRequest(e.Csr)
	if err != nil {
		w.t.Error(err)
		return &wire.Enrolled{}
	}
	leaf := w.sign(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, req.PublicKey)
	return &wire.Enrolled{
		Certificates: [][]byte{leaf.Raw}, Authorities: [][]byte{w.ca.Raw}, Customer: "acme", Site: "hq", Asset: "web1",
		RenewAtMs: time.Now().Add(12 * time.Hour).UnixMilli(),
	}
}

func (w *witness) answer(out http.ResponseWriter, req *http.Request, m proto.Message) {
	body, coding, err := wire.Encode(m)
	if err != nil {
		w.t.Error(err)
	}
	out.Header().Set(wire.HeaderType, req.Header.Get(wire.HeaderType))
	if coding != "" {
		out.Header().Set(wire.HeaderCoding, coding)
	}
	_, _ = out.Write(body) // nobody may be there any more
}

// hear takes a request in; lost says that neither it nor its answer may have gone over the line.
func (w *witness) hear(req *http.Request, body []byte) (ack *wire.Ack, lost bool) {
	chance := w.r.IntN(100)
	if w.cut || w.bad && chance < 4 {
		return nil, true
	}
	ack = &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, NowMs: time.Now().UnixMilli(), Incarnation: w.start, Credits: uint32(w.r.IntN(100))} //nolint:gosec // small
	if w.replay {
		ack.ReplaySinceMs = 1
	}
	if req.URL.Path == wire.PathHello {
		return ack, false
	}
	d := wire.NewDecoder()
	defer d.Release()
	limits, coding := wire.DefaultLimits(), req.Header.Get(wire.HeaderCoding)
	if req.URL.Path == wire.PathBulk {
		if err := d.Bulk(bytes.NewReader(body), coding, limits); err != nil {
			w.t.Errorf("bulk: %v", err)
		}
		w.takeAll(d, ack)
	} else if r, err := d.Report(bytes.NewReader(body), coding, limits, &w.outlines); errors.Is(err, wire.ErrInFull) {
		ack.Result, ack.InFull = wire.Ack_RESULT_NEED_SHAPES, true
	} else if err != nil {
		w.t.Errorf("report: %v", err)
	} else {
		w.take(r, ack)
	}
	if w.caught != nil && w.spoke && ack.Result == wire.Ack_RESULT_ACCEPTED && req.Header.Get(wire.HeaderWaiting) == "0" {
		w.caught()
		w.caught = nil
	}
	return ack, w.bad && chance >= 96 // it was taken, and the agent does not hear of it
}

// takeAll takes a bulk, or the first reports of it.
func (w *witness) takeAll(d *wire.Decoder, ack *wire.Ack) {
	for r, err := d.Next(); !errors.Is(err, io.EOF); r, err = d.Next() {
		if err != nil {
			w.t.Errorf("bulk: %v", err)
			return
		}
		if w.bad && w.r.IntN(20) == 0 {
			ack.Result, ack.Epoch, ack.Sequence, ack.RetryAfterMs = wire.Ack_RESULT_LATER, r.Epoch, r.Sequence, 1
			return
		}
		if w.take(r, ack); ack.Result != wire.Ack_RESULT_ACCEPTED {
			return
		}
		ack.Disposed++
	}
}

// take takes one report, or asks for its shapes.
func (w *witness) take(r *wire.Report, ack *wire.Ack) {
	ack.Epoch, ack.Sequence = r.Epoch, r.Sequence
	if err := w.learn(r); err != nil {
		w.t.Errorf("report %d of epoch %d: %v", r.Sequence, r.Epoch, err)
	}
	for _, b := range r.Blocks {
		if _, ok := w.shapes[[32]byte(pad(b.ShapeId))]; b.Status == wire.Block_STATUS_OK && !ok {
			ack.Result, ack.UnknownShapes = wire.Ack_RESULT_NEED_SHAPES, append(ack.UnknownShapes, bytes.Clone(b.ShapeId))
		}
	}
	if ack.Result != wire.Ack_RESULT_ACCEPTED {
		return
	}
	is, said := name{r.Epoch, r.Sequence}, printOf(r)
	if before, ok := w.names[is]; ok {
		if w.twice++; before != said {
			w.t.Errorf("%v arrived as %s, and before as %s", is, said, before)
		}
		return
	}
	w.names[is] = said
	own := ownMetrics(r, func(id []byte) (wire.Layout, bool) { l, ok := w.shapes[[32]byte(id)]; return l, ok })
	if own == nil {
		if r.Goodbye == nil {
			w.t.Errorf("%v has no block about the agent", is)
		}
		return
	}
	number := uint64(own["watchbill_agent_memory_bytes"])
	if before, ok := w.numbers[number]; ok {
		w.t.Errorf("report %d arrived as %v, and before as %v", number, is, before)
	}
	w.numbers[number] = is
	w.spoke = w.spoke || number >= w.first
	w.dropped = max(w.dropped, own["watchbill_agent_spool_dropped_reports_total"])
	w.untold = max(w.untold, own["watchbill_agent_spool_dropped_untold_reports"])
	for _, e := range events([]*wire.Report{r}, "spool_dropped") {
		n, err := strconv.ParseUint(e.Fields["reports"], 10, 64)
		if err != nil {
			w.t.Error(err)
		}
		w.told += n
	}
}

// learn takes in the shapes that came with a report.
func (w *witness) learn(r *wire.Report) error {
	limits := wire.DefaultLimits()
	for _, s := range r.Shapes {
		l, err := wire.ReadShape(s, limits)
		if err != nil {
			return err
		}
		w.shapes[l.ID] = l
	}
	for _, c := range r.ShapeChanges {
		base, ok := w.shapes[[32]byte(pad(c.Base))]
		if !ok {
			return fmt.Errorf("a shape is told as the change to %x, which nobody has told", c.Base)
		}
		l, err := wire.ReadShapeChange(c, base.Series, limits)
		if err != nil {
			return err
		}
		w.shapes[l.ID] = l
	}
	return nil
}

func pad(id []byte) []byte { return append(bytes.Clone(id), make([]byte, 32)...) }

// printOf is what must be the same each time a report is delivered. A live report may say of a block that it is unchanged,
// so values are not part of it.
func printOf(r *wire.Report) string {
	said := fmt.Sprintf("made at %d, held since %d, %d blocks, goodbye %q", r.MadeAtMs, r.HeldSinceMs, len(r.Blocks), r.Goodbye.GetReason())
	for _, e := range r.Events {
		said += fmt.Sprintf(", event %d %s %q", e.Id, e.Kind, e.Text)
	}
	return said
}

// ownMetrics are the values of the block about the agent, by name; nil when r has none.
func ownMetrics(r *wire.Report, find func(id []byte) (wire.Layout, bool)) map[string]float64 {
	b := block(r, sourceOwn)
	if b.GetStatus() != wire.Block_STATUS_OK {
		return nil
	}
	layout, ok := find(b.ShapeId)
	if !ok || len(layout.Series) != len(b.Values) {
		return nil
	}
	out := map[string]float64{}
	for i, series := range layout.Series {
		for _, l := range series {
			if l.Name == wire.NameLabel {
				out[l.Value] = b.Values[i]
			}
		}
	}
	return out
}
