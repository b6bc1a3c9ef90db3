package spool

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

var samplesFile = flag.String("spool.samples", "../wire/testdata/host.samples", "what BenchmarkSpooled measures")

// series is one of a recording, and its value in each scrape.
type series struct {
	source, name string
	values       []float64
}

// readRecording reads what a host's collectors said, in the format of agent/wire/testdata/host.samples.
func readRecording(t testing.TB, path string) (all []series) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 3 {
			continue
		}
		s := series{source: f[0], name: f[1]}
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
		all = append(all, s)
	}
	return all
}

// spooledReport is scrape n of a recording, 15 s after the one before: a block for each source, sampled one after the other.
func spooledReport(t testing.TB, all []series, n int, builder *wire.Builder) *wire.Report {
	t.Helper()
	at := madeAt(uint64(n))
	r := &wire.Report{Epoch: 1, Sequence: uint64(n + 1000), MadeAtMs: at.UnixMilli()}
	for i := 0; len(all) > 0; i++ {
		source := all[0].source
		var in []wire.Sample
		for len(all) > 0 && all[0].source == source {
			name, labels, _ := strings.Cut(all[0].name, "{")
			in = append(in, wire.Sample{Name: name, Labels: []wire.Label{{Name: "l", Value: labels}}, Value: all[0].values[n]})
			all = all[1:]
		}
		at = at.Add(time.Duration((i*7+n*3)%11) * time.Millisecond / 8)
		block, err := builder.Block("node", source, at, 15*time.Second, in)
		if err != nil {
			t.Fatal(err)
		}
		r.Blocks = append(r.Blocks, block)
	}
	return r
}

// spooledSize spools a recording and tells the bytes a sample of a record that is a difference, and of a copy of a frame.
// What a segment has once or twice for its thousands of reports (shapes, outlines) is left out.
func spooledSize(t testing.TB, all []series) (difference, frame float64) {
	t.Helper()
	d, builder := newPowerDisk(), wire.NewBuilder(wire.DefaultLimits())
	s := openOn(t, d, Options{})
	for n := range all[0].values {
		if err := s.Append(spooledReport(t, all, n, builder), builder.Shape); err != nil {
			t.Fatal(err)
		}
	}
	counted := 0
	for n, e := range s.segments[0].entries {
		if n%leanings > 1 { // neither a key nor one with a copy
			difference, counted = difference+float64(e.size), counted+1
		}
	}
	samples := float64(len(all))
	return difference / float64(counted) / samples, float64(len(s.base.frame.Append(nil, false))) / samples
}

// A sample on the disk takes a byte at most, all included: of the host in agent/wire's testdata, of which a fifth of the
// values change from one report to the next.
func TestSpooledSize(t *testing.T) {
	difference, frame := spooledSize(t, readRecording(t, "../wire/testdata/host.samples"))
	if all := difference + frame/leanings; all > 1 {
		t.Errorf("%.3f bytes a sample (%.3f of a difference, %.3f of the copy that every %d of them have), want at most 1", all, difference, frame, leanings)
	}
}

// BenchmarkSpooled prints the same of any recording.
func BenchmarkSpooled(b *testing.B) {
	all := readRecording(b, *samplesFile)
	var difference, frame float64
	for b.Loop() {
		difference, frame = spooledSize(b, all)
	}
	b.ReportMetric(difference, "difference-bytes/sample")
	b.ReportMetric(frame, "copy-bytes/sample")
	b.ReportMetric(difference+frame/leanings, "bytes/sample")
}
