package collector

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/agent/wire"
)

// reportFleet is the benchmark's fleet: it reads who it is, then the times at which all of it reports, and answers each
// time when all of it was acknowledged. It ends with its input.
func reportFleet(in io.Reader, out io.Writer) error {
	var f benchFleet
	read := bufio.NewReaderSize(in, 1<<20)
	head, err := read.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the fleet: %w", err)
	}
	if err := json.Unmarshal(head, &f); err != nil {
		return fmt.Errorf("read the fleet: %w", err)
	}
	host, err := readHost("../agent/wire/testdata/host.samples")
	if err != nil {
		return err
	}
	agents := make([]*benchAgent, len(f.Agents))
	for i, id := range f.Agents {
		if agents[i], err = newBenchAgent(f, id, host, i); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\nseries %d\n", host.series)
	for {
		line, err := read.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		text, pace := strings.CutPrefix(strings.TrimSpace(line), benchPace+" ")
		at, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err != nil:
		case pace:
			var p50, p99 time.Duration
			if p50, p99, err = reportPaced(agents, at); err == nil {
				fmt.Fprintf(out, "took %d %d\n", p50, p99)
				continue
			}
		default:
			err = reportAll(agents, at)
		}
		if err != nil {
			fmt.Fprintln(out, err)
			return err
		}
		fmt.Fprintln(out, "ok")
	}
}

// reportAll lets every agent report, a few at a time.
func reportAll(agents []*benchAgent, at int64) error {
	const hands = 16
	errs := make([]error, hands)
	var g sync.WaitGroup
	for h := range hands {
		g.Go(func() {
			for i := h; i < len(agents) && errs[h] == nil; i += hands {
				errs[h] = agents[i].report(at)
			}
		})
	}
	g.Wait()
	return errors.Join(errs...)
}

// benchPace before the time says that the agents are to report one after the other, spread over benchPaced.
const benchPace = "pace"

// reportPaced lets each agent report at its own moment, whoever else waits yet, and tells the median and the 99th percentile
// of how long they waited for their acknowledgements.
func reportPaced(agents []*benchAgent, at int64) (p50, p99 time.Duration, err error) {
	took, errs := make([]time.Duration, len(agents)), make([]error, len(agents))
	began := time.Now()
	var g sync.WaitGroup
	for i, a := range agents {
		g.Go(func() {
			time.Sleep(time.Until(began.Add(benchPaced * time.Duration(i) / time.Duration(len(agents)))))
			asked := time.Now()
			errs[i] = a.report(at)
			took[i] = time.Since(asked)
		})
	}
	g.Wait()
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100], errors.Join(errs...)
}

// benchHost is what a real host reported: blocks by scrape.
type benchHost struct {
	scrapes [][]*wire.Block
	series  int
	shapes  *wire.Builder
}

func readHost(file string) (*benchHost, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	type series struct {
		sample wire.Sample
		values []float64
	}
	var sources []string
	of := map[string][]series{}
	scrapes := 0
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 3 {
			continue
		}
		var s series
		if s.sample, err = readSample(f[1]); err != nil {
			return nil, err
		}
		for _, v := range strings.Fields(f[2]) {
			if v == "." {
				s.values = append(s.values, s.values[len(s.values)-1])
				continue
			}
			x, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return nil, err
			}
			s.values = append(s.values, x)
		}
		if of[f[0]] == nil {
			sources = append(sources, f[0])
		}
		of[f[0]], scrapes = append(of[f[0]], s), len(s.values)
	}
	h := &benchHost{shapes: wire.NewBuilder(wire.DefaultLimits())}
	for n := range scrapes {
		var blocks []*wire.Block
		h.series = 0
		for _, source := range sources {
			var in []wire.Sample
			for _, s := range of[source] {
				s.sample.Value = s.values[n]
				in = append(in, s.sample)
			}
			b, err := h.shapes.Block("node", source, time.UnixMilli(1), benchEvery, in)
			if err != nil {
				return nil, err
			}
			blocks, h.series = append(blocks, b), h.series+len(in)
		}
		h.scrapes = append(h.scrapes, blocks)
	}
	return h, nil
}

func readSample(series string) (wire.Sample, error) {
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(series + " 0\n"))
	if err != nil {
		return wire.Sample{}, err
	}
	for name, f := range families {
		s := wire.Sample{Name: name}
		for _, l := range f.GetMetric()[0].GetLabel() {
			s.Labels = append(s.Labels, wire.Label{Name: l.GetName(), Value: l.GetValue()})
		}
		return s, nil
	}
	return wire.Sample{}, fmt.Errorf("no series in %q", series)
}

// benchAgent is one agent: a kept-alive connection and what its encoder remembers.
type benchAgent struct {
	url     string
	client  *http.Client
	encoder *wire.Encoder
	host    *benchHost
	// phase is where in the host's scrapes it begins.
	phase    int
	sequence uint64
}

func newBenchAgent(f benchFleet, id benchIdentity, host *benchHost, phase int) (*benchAgent, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(id.Key)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T", parsed)
	}
	trusted := x509.NewCertPool()
	for _, der := range f.Authority {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		trusted.AddCert(c)
	}
	line := &http.Transport{
		TLSClientConfig: &tls.Config{
			RootCAs: trusted, Certificates: []tls.Certificate{{Certificate: id.Certificates, PrivateKey: key}},
		},
		DisableCompression: true,
	}
	return &benchAgent{
		url: "https://" + f.Address + wire.PathReport, client: &http.Client{Transport: line, Timeout: time.Minute},
		encoder: wire.NewEncoder(wire.DefaultLimits()), host: host, phase: phase,
	}, nil
}

// report sends one report, again with what the collector asks for.
func (a *benchAgent) report(at int64) error {
	a.sequence++
	m := &wire.Report{Epoch: 1, Sequence: a.sequence, MadeAtMs: at, HeldSinceMs: at}
	// To and fro over what was seen: no jump that the host did not make.
	n := (a.phase + int(a.sequence)) % (2*len(a.host.scrapes) - 2) //nolint:gosec // a few thousand
	for i, b := range a.host.scrapes[min(n, 2*len(a.host.scrapes)-2-n)] {
		m.Blocks = append(m.Blocks, &wire.Block{
			Kind: b.Kind, Source: b.Source, SampledAtMs: at - 40 + int64(i), IntervalMs: b.IntervalMs, Status: b.Status,
			ShapeId: b.ShapeId, Values: b.Values,
		})
	}
	for range 4 {
		ack, err := a.post(m)
		if err != nil {
			return err
		}
		switch {
		case ack.Result == wire.Ack_RESULT_ACCEPTED && len(ack.Refusals) == 0:
			a.encoder.Accepted(m, ack)
			return nil
		case ack.Result != wire.Ack_RESULT_NEED_SHAPES:
			return fmt.Errorf("report %d at %d: %v", a.sequence, at, ack)
		}
		if ack.InFull {
			a.encoder.Forget()
		}
		m.Shapes, m.ShapeChanges = nil, nil
		if id := a.encoder.AddShapes(m, ack.UnknownShapes, a.host.shapes.Shape); id != nil {
			return fmt.Errorf("the collector asks for shape %x", id)
		}
	}
	return errors.New("the collector keeps asking")
}

func (a *benchAgent) post(m *wire.Report) (*wire.Ack, error) {
	body, coding, err := a.encoder.Encode(m)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, a.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set(wire.HeaderType, wire.TypeReportV1)
	req.Header.Set(wire.HeaderLane, wire.LaneLive)
	req.Header.Set(wire.HeaderWaiting, "0")
	if coding != "" {
		req.Header.Set(wire.HeaderCoding, coding)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	ack := &wire.Ack{}
	if err := wire.Decode(resp.Body, resp.Header.Get(wire.HeaderCoding), wire.DefaultLimits(), ack); err != nil {
		return nil, fmt.Errorf("%s: %w", resp.Status, err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return ack, err
}
