package packs_test

import (
	"bufio"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/packs"
	"github.com/watchbill/watchbill/rules/window"
)

// host is what a host reports: a layout for each of its samplers, by name.
type host struct {
	names   []string
	layouts map[string]*window.Layout
	series  int
}

func (h *host) add(sampler string, lbls labels.Labels) {
	if h.layouts[sampler] == nil {
		h.layouts[sampler] = &window.Layout{ID: [32]byte{byte(len(h.layouts) + 1)}}
		h.names = append(h.names, sampler)
	}
	h.layouts[sampler].Series = append(h.layouts[sampler].Series, lbls)
	h.series++
}

// testedHost has the series that the unit tests of a pack are about, each once whatever its host, ten times: as of ten disks,
// sites or interfaces. Series of one prefix are one sampler's.
func testedHost(b *testing.B, pack string) host {
	b.Helper()
	files, err := filepath.Glob(strings.TrimSuffix(pack, ".yml") + "*_test.yml")
	if err != nil {
		b.Fatal(err)
	}
	h := host{layouts: map[string]*window.Layout{}}
	p, seen := parser.NewParser(parser.Options{}), map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		var f struct {
			Tests []struct {
				InputSeries []struct{ Series string } `yaml:"input_series"`
			}
		}
		if err := yaml.Unmarshal(text, &f); err != nil {
			b.Fatal(err)
		}
		for _, test := range f.Tests {
			for _, s := range test.InputSeries {
				lbls, err := p.ParseMetric(s.Series)
				if err != nil {
					b.Fatal(err)
				}
				lbls = labels.NewBuilder(lbls).Del("instance", "customer", "site").Labels()
				if seen[lbls.String()] {
					continue
				}
				seen[lbls.String()] = true
				prefix, _, _ := strings.Cut(lbls.Get("__name__"), "_")
				for n := range 10 {
					h.add(prefix, labels.NewBuilder(lbls).Set("n", strconv.Itoa(n)).Labels())
				}
			}
		}
	}
	return h
}

// linuxHost is what the agent reports of its test host.
func linuxHost(b *testing.B) host {
	b.Helper()
	f, err := os.Open("../../agent/sample/testdata/host.prom")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	h := host{layouts: map[string]*window.Layout{}}
	p := parser.NewParser(parser.Options{})
	in, name := bufio.NewScanner(f), ""
	for in.Scan() {
		line := strings.TrimSpace(in.Text())
		if rest, is := strings.CutPrefix(line, "# "); is {
			name, _, _ = strings.Cut(rest, ",")
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		if i < 0 {
			continue
		}
		lbls, err := p.ParseMetric(line[:i])
		if err != nil {
			b.Fatal(err)
		}
		h.add(name, lbls)
	}
	return h
}

// lookbacks are how far back selectors reach, and how many reach so far.
func lookbacks(sels []window.Selector) string {
	count := map[time.Duration]int{}
	var all []time.Duration
	for _, s := range sels {
		if count[s.Lookback]++; count[s.Lookback] == 1 {
			all = append(all, s.Lookback)
		}
	}
	slices.Sort(all)
	var out []string
	for _, d := range all {
		out = append(out, fmt.Sprintf("%v×%d", d, count[d]))
	}
	return strings.Join(out, " ")
}

// BenchmarkBytesPerSeries is the memory of a window that 1,000 hosts of one shape have reported to every 15 seconds for two
// hours, with what each pack looks back on: as the runtime has it and as Stats says. Linux hosts, and for the packs of other
// systems hosts with the series that their tests are about.
func BenchmarkBytesPerSeries(b *testing.B) {
	files, err := fs.Glob(packs.Files(), "*.yml")
	if err != nil {
		b.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(n string) bool { return strings.HasSuffix(n, "_test.yml") })
	all := map[string][]byte{}
	for _, name := range files {
		if all[name], err = fs.ReadFile(packs.Files(), name); err != nil {
			b.Fatal(err)
		}
	}
	for _, name := range append(files, "all") {
		load := map[string][]byte{name: all[name]}
		if name == "all" {
			load = all
		}
		groups, err := rules.Load(load)
		if err != nil {
			b.Fatal(err)
		}
		sels := rules.Demand(groups)
		h := linuxHost(b)
		if name != "linux.yml" && name != "all" {
			h = testedHost(b, name)
		}
		b.Run(name, func(b *testing.B) {
			b.Logf("%d selectors look back %s", len(sels), lookbacks(sels))
			for b.Loop() {
				bytesPerSeries(b, h, sels)
			}
		})
	}
}

func bytesPerSeries(b *testing.B, h host, sels []window.Selector) {
	const assets, reports = 1000, 480
	chance := rand.New(rand.NewPCG(1, 1))
	values := make([]float64, h.series)
	blocks := make([]window.Block, len(h.names))
	before := heap()
	w := window.New(window.Options{})
	w.SetDemand(sels)
	for i := range reports {
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(i) * 15 * time.Second)
		for k := range values {
			values[k] += float64(chance.IntN(1000)) / 16 // counters, and gauges that move as much
		}
		for a := range assets {
			from := 0
			for k, name := range h.names {
				n := len(h.layouts[name].Series)
				blocks[k] = window.Block{Source: name, Kind: "node", At: at.Add(time.Duration(chance.IntN(20)) * time.Millisecond),
					Interval: 15 * time.Second, Status: window.OK, Layout: h.layouts[name], Values: values[from : from+n]}
				from += n
			}
			w.Apply(window.Asset{Name: fmt.Sprintf("host%04d", a), Customer: "acme", Site: "hq"}, at, blocks)
		}
	}
	after, st := heap(), w.Stats()
	n := float64(assets * h.series)
	b.ReportMetric(float64(after-before)/n, "heap-B/series")
	b.ReportMetric(float64(st.Bytes)/n, "stats-B/series")
	b.ReportMetric(float64(st.Samples)/n, "samples/series")
	b.ReportMetric(float64(h.series), "series/host")
	runtime.KeepAlive(w)
}

// heap is what is reachable now, in bytes.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
