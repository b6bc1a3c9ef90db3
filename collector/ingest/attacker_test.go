package ingest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// attackEnv makes this test's binary an attacker: what, where and with which identity. It attacks flat out, in four
// lines at once, until its standard input ends.
const attackEnv = "WATCHBILL_TEST_ATTACK"

func TestMain(m *testing.M) {
	if what := os.Getenv(attackEnv); what != "" {
		if err := attack(strings.Split(what, ",")); err != nil {
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
	"shapes":   func(a *attacker) error { return a.report(a.fresh(100, 20)) },
	"labels":   func(a *attacker) error { return a.report(a.fresh(1, 5000)) },
	"outlines": (*attacker).outlines,
	"noise 1": func(a *attacker) error {
		return a.post(wire.PathReport, wire.TypeReportV1, "", bytes.NewReader(a.noise))
	},
	"lanes": func(a *attacker) error {
		_, err := a.say(wire.PathReport, wire.TypeReport, "", bytes.NewReader(a.empties), wire.LaneBacklog)
		return err
	},
	"bulk": (*attacker).bulk,
	"noise in bulk": func(a *attacker) error {
		a.credits()
		_, err := a.say(wire.PathBulk, wire.TypeBulkV1, "", bytes.NewReader(a.noise), wire.LaneReplay)
		return err
	},
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
	addr                 string
	conf                 *tls.Config
	http                 *http.Client
	bomb, empties, noise []byte
	n                    uint64
	builder              *wire.Builder
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
			noise:   binary.AppendUvarint([]byte{1<<3 | 2}, 1<<19), // of a report in a bulk, or of what no report has
			builder: wire.NewBuilder(wire.DefaultLimits()),
		}
		a.noise = append(a.noise, bytes.Repeat([]byte{11<<3 | 2, 3, 1, 0xff, 0x7f}, 100_000)...)
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
	_, err := a.say(path, media, coding, body, "")
	return err
}

// say posts a body in a lane, and gives back the answer.
func (a *attacker) say(path, media, coding string, body io.Reader, lane string) (answer []byte, err error) {
	r, err := http.NewRequest(http.MethodPost, "https://"+a.addr+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set(wire.HeaderType, media)
	r.Header.Set(wire.HeaderCoding, coding)
	if lane != "" {
		r.Header.Set(wire.HeaderLane, lane)
		r.Header.Set(wire.HeaderWaiting, "1000000")
	}
	resp, err := a.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}

// credits gets what the collector gives for a live report.
func (a *attacker) credits() {
	a.n++
	body, coding, err := wire.Encode(&wire.Report{Epoch: 1, Sequence: a.n, MadeAtMs: time.Now().UnixMilli()})
	if err == nil {
		_, _ = a.say(wire.PathReport, wire.TypeReport, coding, bytes.NewReader(body), wire.LaneLive)
	}
}

// bulk is few bytes that hold as many values as are allowed.
func (a *attacker) bulk() error {
	e := wire.NewBulkEncoder(wire.DefaultLimits())
	for n := range 60 {
		a.n++
		at := time.Now().Add(time.Duration(n-600) * time.Second)
		samples := make([]wire.Sample, 5000)
		for k := range samples {
			samples[k] = wire.Sample{Name: "up", Labels: []wire.Label{{Name: "x", Value: fmt.Sprint(k)}}}
		}
		b, err := a.builder.Block("node", "wide", at, time.Second, samples)
		if err != nil {
			return err
		}
		m := &wire.Report{Epoch: 1, Sequence: a.n, MadeAtMs: at.UnixMilli(), Blocks: []*wire.Block{b}}
		if n == 0 { // which brings the shape, once and for all
			shape, ok := a.builder.Shape(b.GetShapeId())
			if !ok {
				return errors.New("a shape is gone")
			}
			live := proto.CloneOf(m)
			live.Shapes = []*wire.Shape{shape}
			if err := a.report(live); err != nil {
				return err
			}
			continue
		}
		if ok, err := e.Add(m); !ok || err != nil {
			return err
		}
	}
	body, coding, err := e.Body()
	if err != nil {
		return err
	}
	a.credits()
	_, err = a.say(wire.PathBulk, wire.TypeBulkV1, coding, bytes.NewReader(body), wire.LaneReplay)
	return err
}

// outlines is a report of version 1 that leans on nothing said before: 256 blocks that nobody has heard of.
func (a *attacker) outlines() error {
	a.n++
	now := time.Now()
	m := &wire.Report{Epoch: 1, Sequence: a.n, MadeAtMs: now.UnixMilli()}
	for b := range 256 {
		m.Blocks = append(m.Blocks, wire.FailedBlock("node", fmt.Sprintf("%d %03d", a.n, b), now, time.Second, errors.New("no")))
	}
	body, coding, err := wire.NewEncoder(wire.DefaultLimits()).Encode(m)
	if err != nil {
		return err
	}
	return a.post(wire.PathReport, wire.TypeReportV1, coding, bytes.NewReader(body))
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
