package ingest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/watchbill/watchbill/agent/wire"
)

// attackEnv makes this test's binary an attacker: what, where and with which identity. It attacks flat out, in four
// lines at once, until its standard input ends.
const attackEnv = "WATCHBILL_TEST_ATTACK"

func TestMain(m *testing.M) {
	if what := os.Getenv(attackEnv); what != "" {
		if err := attack(strings.Split(what, " ")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// attacks are what a hostile agent does, each called over and over with its own client.
var attacks = map[string]func(*attacker) error{
	"bombs": func(a *attacker) error {
		return a.post(wire.PathReport, wire.TypeReport, "zstd", bytes.NewReader(a.bomb))
	},
	"empties": func(a *attacker) error {
		return a.post(wire.PathReport, wire.TypeReport, "", bytes.NewReader(a.empties))
	},
	"replays": func(a *attacker) error {
		return a.report(&wire.Report{Epoch: 1, Sequence: 1, MadeAtMs: time.Now().UnixMilli()})
	},
	"shapes":  func(a *attacker) error { return a.report(a.fresh(100, 20)) },
	"labels":  func(a *attacker) error { return a.report(a.fresh(1, 5000)) },
	"hellos":  func(a *attacker) error { return a.post(wire.PathHello, wire.TypeHello, "", nil) },
	"noise":   func(a *attacker) error { return a.post("/nothing/here", wire.TypeHello, "", strings.NewReader("?")) },
	"slow":    (*attacker).slow,
	"returns": (*attacker).handshake,
	"knocks":  (*attacker).knock,
	"nobody":  (*attacker).elsewhere,
	"stranger": func(a *attacker) error {
		return a.post(wire.PathEnrol, wire.TypeEnrol, "", strings.NewReader("\x0a\x05guess"))
	},
}

type attacker struct {
	addr          string
	conf          *tls.Config
	http          *http.Client
	bomb, empties []byte
	n             uint64
}

func attack(what []string) error {
	kind, addr, identity := what[0], what[1], what[2]
	pool := x509.NewCertPool()
	raw, err := os.ReadFile(identity)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(raw, raw)
	if err != nil {
		return err
	}
	ca, err := x509.ParseCertificate(pair.Certificate[len(pair.Certificate)-1])
	if err != nil {
		return err
	}
	pool.AddCert(ca)
	certificates := []tls.Certificate{pair}
	if kind == "stranger" {
		certificates = nil
	}
	e, err := zstd.NewWriter(nil, zstd.WithWindowSize(wire.ZstdWindow))
	if err != nil {
		return err
	}
	head := append([]byte{4<<3 | 2}, binary.AppendUvarint(nil, 64<<20)...)
	bomb := e.EncodeAll(append(head, make([]byte, 64<<20)...), nil)
	for line := range 4 {
		conf := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", Certificates: certificates}
		a := &attacker{
			addr: addr, conf: conf, http: &http.Client{Transport: &http.Transport{TLSClientConfig: conf}},
			bomb: bomb, empties: bytes.Repeat([]byte{4<<3 | 2, 0}, 400_000), n: uint64(line) << 32, //nolint:gosec // small
		}
		go func() {
			for {
				_ = attacks[kind](a) // most of them fail: that is the point
			}
		}()
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func (a *attacker) post(path, media, coding string, body io.Reader) error {
	r, err := http.NewRequest(http.MethodPost, "https://"+a.addr+path, body)
	if err != nil {
		return err
	}
	r.Header.Set(wire.HeaderType, media)
	r.Header.Set(wire.HeaderCoding, coding)
	resp, err := a.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func (a *attacker) report(m *wire.Report) error {
	body, coding, err := wire.Encode(m)
	if err != nil {
		return err
	}
	return a.post(wire.PathReport, wire.TypeReport, coding, bytes.NewReader(body))
}

// fresh is a report of blocks whose shapes nobody has seen, in full.
func (a *attacker) fresh(blocks, series int) *wire.Report {
	a.n++
	now := time.Now().UnixMilli()
	m := &wire.Report{Epoch: 1, Sequence: a.n, MadeAtMs: now}
	for b := range blocks {
		l := wire.Layout{}
		for s := range series {
			l.Series = append(l.Series, []wire.Label{{Name: "__name__", Value: "up"}, {Name: "x", Value: fmt.Sprintf("%d %d %06d", a.n, b, s)}})
		}
		id := wire.ShapeID(l.Series)
		m.Shapes = append(m.Shapes, l.Shape())
		m.Blocks = append(m.Blocks, &wire.Block{
			Kind: "node", Source: fmt.Sprint("s", b), SampledAtMs: now, IntervalMs: 1000, Status: wire.Block_STATUS_OK,
			ShapeId: id[:], Values: make([]float64, series),
		})
	}
	return m
}

// slow opens a connection and lets a body drip.
func (a *attacker) slow() error {
	const lines = 32 // beside the four
	var g sync.WaitGroup
	for range lines {
		g.Go(func() {
			conn, err := tls.Dial("tcp", a.addr, a.conf)
			if err != nil {
				return
			}
			defer conn.Close()
			_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 900000\r\n\r\n", wire.PathReport, wire.TypeReport)
			for err == nil {
				if _, err = conn.Write([]byte{8}); err == nil {
					<-time.After(100 * time.Millisecond)
				}
			}
		})
	}
	g.Wait()
	return nil
}

func (a *attacker) handshake() error {
	conn, err := tls.Dial("tcp", a.addr, a.conf)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (a *attacker) knock() error {
	conn, err := net.Dial("tcp", a.addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// elsewhere attacks a port where nobody listens: what the machine's other load alone does to the figures.
func (a *attacker) elsewhere() error {
	conn, err := net.Dial("tcp", "127.0.0.1:1")
	if err != nil {
		return err
	}
	return conn.Close()
}

// siege is a collector under honest load.
type siege struct {
	w        *world
	honest   []*client
	identity string
}

// honestAgents report four times a second each, as sixty do in an interval of 15 s.
const (
	honestAgents = 25
	honestEvery  = 250 * time.Millisecond
)

func newSiege(tb testing.TB) *siege {
	tb.Helper()
	w := &world{t: tb, clock: &clock{t: time.Now()}, keeper: newMemory(), sink: &sink{}}
	w.start(func(o *Options) { o.Now = time.Now; o.Sink = nowhere{} })
	s := &siege{w: w.serve(Door{}), identity: filepath.Join(tb.TempDir(), "identity.pem")}
	for n := range honestAgents {
		c := w.enrol("acme", "leeds", fmt.Sprintf("web%d", n))
		c.deliver(c.report(c.block("cpu", 200, 0)))
		s.honest = append(s.honest, c)
	}
	enemy := w.enrol("beta", "main", "enemy")
	key, err := x509.MarshalPKCS8PrivateKey(enemy.cert.PrivateKey)
	if err != nil {
		tb.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	for _, der := range enemy.cert.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	if err := os.WriteFile(s.identity, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	return s
}

// toll is what a while under attack cost.
type toll struct {
	share    float64 // of all processors
	live     int64   // bytes of live memory, at most
	p50, p99 time.Duration
}

// under lets an attacker loose for calm and then measures for d; kind "" is peace.
func (s *siege) under(tb testing.TB, kind string, calm, d time.Duration) toll {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if kind != "" {
		self, err := os.Executable()
		if err != nil {
			tb.Fatal(err)
		}
		cmd := exec.CommandContext(ctx, "nice", self) // as if it were on another machine: it takes what is left
		cmd.Env = append(os.Environ(), attackEnv+"="+strings.Join([]string{kind, s.w.addr, s.identity}, " "))
		cmd.Stderr = os.Stderr
		hold, err := cmd.StdinPipe()
		if err != nil {
			tb.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			tb.Fatal(err)
		}
		defer func() {
			_ = hold.Close()
			if err := cmd.Wait(); err != nil {
				tb.Errorf("attacker: %v", err)
			}
		}()
	}
	s.load(tb, calm) // what bursts allow is used up
	from, began := cpuTime(tb), time.Now()
	took := s.load(tb, d)
	out := toll{share: float64(cpuTime(tb)-from) / float64(time.Since(began)) / float64(runtime.NumCPU())}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	out.live = int64(m.HeapAlloc + m.StackInuse) //nolint:gosec // far from it
	slices.Sort(took)
	out.p50, out.p99 = took[len(took)/2], took[len(took)*99/100]
	return out
}

// load has the honest agents report for d and says how long each report took.
func (s *siege) load(tb testing.TB, d time.Duration) (took []time.Duration) {
	var mu sync.Mutex
	var g sync.WaitGroup
	for n, c := range s.honest {
		g.Go(func() {
			tick := time.NewTicker(honestEvery)
			defer tick.Stop()
			<-time.After(honestEvery * time.Duration(n) / honestAgents)
			for range int(d / honestEvery) {
				m := c.report(c.block("cpu", 200, 0))
				began := time.Now()
				ack, _, err := c.try(m)
				if err != nil || ack.Result != wire.Ack_RESULT_ACCEPTED {
					tb.Errorf("an honest agent: %v %v", ack, err)
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
				<-tick.C
			}
		})
	}
	g.Wait()
	return took
}

// pooled is what buffers kept for all agents may have grown by meanwhile.
const pooled = 2 << 20

// tooLate is when an honest report is: far beyond what a busy machine that runs other tests does to it, and far below the
// time-outs of an agent.
const tooLate = 3 * time.Second

// TestHostileAgent is promise 15 but for its share of the processors, which BenchmarkHostileAgent measures: whatever one
// agent does, flat out, it takes no more than 4 MiB, and no other agent's report fails or is late.
func TestHostileAgent(t *testing.T) {
	s := newSiege(t)
	for kind := range attacks {
		t.Run(kind, func(t *testing.T) {
			peace := s.under(t, "", 0, honestEvery)
			war := s.under(t, kind, 0, time.Second/2)
			if grown := war.live - peace.live; grown > 4<<20+pooled {
				t.Errorf("%d bytes more are live", grown)
			}
			if war.p99 > tooLate {
				t.Errorf("honest reports take %v (half of them %v)", war.p99, war.p50)
			}
		})
	}
}

// BenchmarkHostileAgent measures what one attacker adds to the collector's share of all processors, once the bursts that
// quotas allow are used up, and how long honest agents' reports take meanwhile. Both processes share the machine; what
// that alone costs (a process as busy that attacks nobody) is taken off the share, but not off the times.
func BenchmarkHostileAgent(b *testing.B) {
	s := newSiege(b)
	const calm, d = 12 * time.Second, 5 * time.Second
	peace := s.under(b, "nobody", 0, d)
	for _, kind := range []string{"", "nobody", "bombs", "empties", "replays", "shapes", "labels", "hellos", "noise", "slow", "returns", "knocks", "stranger"} {
		b.Run(cmp.Or(kind, "peace"), func(b *testing.B) {
			for b.Loop() {
				war := s.under(b, kind, calm, d)
				b.ReportMetric(100*(war.share-peace.share), "%cpu-extra")
				b.ReportMetric(float64(war.live-peace.live)/(1<<20), "MiB-extra")
				b.ReportMetric(float64(war.p50.Microseconds())/1000, "ms-p50")
				b.ReportMetric(float64(war.p99.Microseconds())/1000, "ms-p99")
			}
		})
	}
}
