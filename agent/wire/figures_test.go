package wire_test

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/agent/wire"
)

// hostReports are what an agent would have reported of the host in testdata/host.samples: a block of each collector,
// sampled a little after the one before, as collectors take their time.
func hostReports(t testing.TB) (reports []*wire.Report, b *wire.Builder) {
	t.Helper()
	text, err := os.ReadFile("testdata/host.samples")
	if err != nil {
		t.Fatal(err)
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
		s := series{sample: readSample(t, f[1])}
		for _, v := range strings.Fields(f[2]) {
			if v == "." {
				s.values = append(s.values, s.values[len(s.values)-1])
				continue
			}
			x, err := strconv.ParseFloat(v, 64)
			if err != nil {
				t.Fatal(err)
			}
			s.values = append(s.values, x)
		}
		if of[f[0]] == nil {
			sources = append(sources, f[0])
		}
		of[f[0]], scrapes = append(of[f[0]], s), len(s.values)
	}
	b = wire.NewBuilder(wire.DefaultLimits())
	epoch := uint64(at.UnixNano())
	for n := range scrapes {
		made := at.Add(time.Duration(n) * 15 * time.Second)
		r := &wire.Report{Epoch: epoch, Sequence: uint64(2000 + n), MadeAtMs: made.UnixMilli()}
		for i, source := range sources {
			var in []wire.Sample
			for _, s := range of[source] {
				s.sample.Value = s.values[n]
				in = append(in, s.sample)
			}
			took := time.Duration((i*7+n*3)%11) * time.Millisecond / 8 // some of them over the edge of a millisecond
			made = made.Add(took)
			block, err := b.Block("node", source, made, 15*time.Second, in)
			if err != nil {
				t.Fatal(err)
			}
			r.Blocks = append(r.Blocks, block)
		}
		reports = append(reports, r)
	}
	return reports, b
}

func readSample(t testing.TB, series string) wire.Sample {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(series + " 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range families {
		s := wire.Sample{Name: name}
		for _, l := range f.GetMetric()[0].GetLabel() {
			s.Labels = append(s.Labels, wire.Label{Name: l.GetName(), Value: l.GetValue()})
		}
		return s
	}
	t.Fatalf("no series in %q", series)
	return wire.Sample{}
}

func samplesOf(r *wire.Report) (n int) {
	for _, b := range r.Blocks {
		n += len(b.Values)
	}
	return n
}

// accepted is the collector's word for it.
func accepted(r *wire.Report) *wire.Ack {
	return &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Incarnation: 1, Epoch: r.Epoch, Sequence: r.Sequence}
}

// sizes are how many bytes all but the first of the reports take, in each encoding: whole bodies, without HTTP's headers.
func sizes(t testing.TB, reports []*wire.Report) map[string]func() int {
	return map[string]func() int{
		"v0": func() (n int) {
			for _, r := range reports[1:] {
				body, _, err := wire.Encode(r)
				if err != nil {
					t.Fatal(err)
				}
				n += len(body)
			}
			return n
		},
		"live":                   func() (n int) { return liveSize(t, reports, true) },
		"live_without_unchanged": func() (n int) { return liveSize(t, reports, false) },
		"bulk_of_13": func() int {
			e := wire.NewBulkEncoder(wire.DefaultLimits())
			for _, r := range reports[1:] {
				if ok, err := e.Add(r); !ok || err != nil {
					t.Fatal(ok, err)
				}
			}
			body, _, _ := e.Body()
			return len(body)
		},
		"difference_to_key": func() (n int) {
			_, _, f, _, err := wire.EncodeKey(reports[0], nil, func(wire.OutlineID) bool { return false }, wire.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range reports[1:] {
				body, _, ok, err := f.Encode(r, wire.DefaultLimits())
				if !ok || err != nil {
					t.Fatal(ok, err)
				}
				n += len(body)
			}
			return n
		},
	}
}

// BenchmarkSize prints bytes a sample of the host in testdata.
func BenchmarkSize(b *testing.B) {
	reports, _ := hostReports(b)
	samples := 0
	for _, r := range reports[1:] {
		samples += samplesOf(r)
	}
	for name, size := range sizes(b, reports) {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				n = size()
			}
			b.ReportMetric(float64(n)/float64(samples), "bytes/sample")
		})
	}
}

// liveSize is what all but the first report take, which tells the outline.
func liveSize(t testing.TB, reports []*wire.Report, unchanged bool) (n int) {
	e := wire.NewEncoder(wire.DefaultLimits())
	for i, r := range reports {
		body, _, err := e.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			n += len(body)
		}
		a := accepted(r)
		if !unchanged {
			for i := range r.Blocks {
				a.Refusals = append(a.Refusals, &wire.Refusal{Block: uint32(i)})
			}
		}
		e.Accepted(r, a)
	}
	return n
}

// The figures that README.md gives of the host in testdata cannot get worse unseen: they hang on nothing but the data. What
// the spool makes of a difference, TestSpooledSize of agent/spool holds.
func TestSizeOfAHost(t *testing.T) {
	reports, _ := hostReports(t)
	samples := 0
	for _, r := range reports[1:] {
		samples += samplesOf(r)
	}
	all := sizes(t, reports)
	for name, most := range map[string]float64{
		"live": 1.38, "live_without_unchanged": 1.72, "bulk_of_13": 1.17, "difference_to_key": 0.81,
	} {
		t.Run(name, func(t *testing.T) {
			if got := float64(all[name]()) / float64(samples); got > most {
				t.Errorf("%.3f bytes a sample, want at most %v", got, most)
			}
		})
	}
}

func BenchmarkLive(b *testing.B) {
	reports, _ := hostReports(b)
	max := wire.DefaultLimits()
	b.Run("encode", func(b *testing.B) {
		e := wire.NewEncoder(max)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r := reports[i%len(reports)]
			if _, _, err := e.Encode(r); err != nil {
				b.Fatal(err)
			}
			e.Accepted(r, accepted(r))
		}
	})
	e, known := wire.NewEncoder(max), &wire.Outlines{}
	d := wire.NewDecoder()
	defer d.Release()
	first, coding, err := e.Encode(reports[0])
	if err != nil {
		b.Fatal(err)
	}
	if _, err := d.Report(bytes.NewReader(first), coding, max, known); err != nil {
		b.Fatal(err)
	}
	a := accepted(reports[0])
	for i := range reports[0].Blocks {
		a.Refusals = append(a.Refusals, &wire.Refusal{Block: uint32(i)})
	}
	e.Accepted(reports[0], a)
	body, coding, err := e.Encode(reports[1])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("decode", func(b *testing.B) {
		in := bytes.NewReader(body)
		b.ReportAllocs()
		for b.Loop() {
			in.Reset(body)
			if _, err := d.Report(in, coding, max, known); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode_v0", func(b *testing.B) {
		body, coding, err := wire.Encode(reports[1])
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			var got wire.Report
			if err := wire.Decode(bytes.NewReader(body), coding, max, &got); err != nil {
				b.Fatal(err)
			}
			if err := wire.CheckReport(&got, max); err != nil {
				b.Fatal(err)
			}
		}
	})
}
