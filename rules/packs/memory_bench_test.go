package packs_test

import (
	"bufio"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/packs"
	"github.com/watchbill/watchbill/rules/window"
)

// linuxHost is what the agent reports of its test host: a layout for each of its samplers, by name.
func linuxHost(b *testing.B) (names []string, layouts map[string]*window.Layout, series int) {
	b.Helper()
	f, err := os.Open("../../agent/sample/testdata/host.prom")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	layouts = map[string]*window.Layout{}
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
		if layouts[name] == nil {
			layouts[name] = &window.Layout{ID: [32]byte{byte(len(layouts) + 1)}}
			names = append(names, name)
		}
		layouts[name].Series = append(layouts[name].Series, lbls)
		series++
	}
	return names, layouts, series
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

// BenchmarkBytesPerSeries is the memory of a window that 1,000 Linux hosts of one shape have reported to every 15 seconds
// for two hours, with what each pack looks back on: as the runtime has it and as Stats says.
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
		b.Run(name, func(b *testing.B) {
			b.Logf("%d selectors look back %s", len(sels), lookbacks(sels))
			for b.Loop() {
				bytesPerSeries(b, sels)
			}
		})
	}
}

func bytesPerSeries(b *testing.B, sels []window.Selector) {
	const assets, reports = 1000, 480
	names, layouts, series := linuxHost(b)
	chance := rand.New(rand.NewPCG(1, 1))
	values := make([]float64, series)
	blocks := make([]window.Block, len(names))
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
			for k, name := range names {
				n := len(layouts[name].Series)
				blocks[k] = window.Block{Source: name, Kind: "node", At: at.Add(time.Duration(chance.IntN(20)) * time.Millisecond),
					Interval: 15 * time.Second, Status: window.OK, Layout: layouts[name], Values: values[from : from+n]}
				from += n
			}
			w.Apply(window.Asset{Name: fmt.Sprintf("host%04d", a), Customer: "acme", Site: "hq"}, at, blocks)
		}
	}
	after, st := heap(), w.Stats()
	n := float64(assets * series)
	b.ReportMetric(float64(after-before)/n, "heap-B/series")
	b.ReportMetric(float64(st.Bytes)/n, "stats-B/series")
	b.ReportMetric(float64(st.Samples)/n, "samples/series")
	b.ReportMetric(float64(series), "series/host")
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
