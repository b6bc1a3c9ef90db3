package evaluate

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// benchRules are a hundred rules of the kinds that packs are made of; none of them fires.
func benchRules(tb testing.TB, kinds []string) []rules.Group {
	tb.Helper()
	var text strings.Builder
	text.WriteString("groups:\n- name: bench\n  interval: 15s\n  rules:\n")
	for i := range 100 {
		expr := strings.NewReplacer("LIMIT", fmt.Sprint(1_000_000_000+i), "VARIED", fmt.Sprint(1000+i)).Replace(kinds[i%len(kinds)])
		fmt.Fprintf(&text, "  - {alert: A%d, expr: '%s', for: 1m, labels: {severity: warning, service: s, system: server}}\n", i, expr)
	}
	groups, err := rules.Load(map[string][]byte{"bench.yml": []byte(text.String())})
	if err != nil {
		tb.Fatal(err)
	}
	return groups
}

// Kinds of rules: what public packs mostly are.
var kinds = map[string]string{
	"threshold":      `node_filesystem_avail_bytes > LIMIT * 1000000`,
	"ratio":          `node_filesystem_avail_bytes / node_filesystem_size_bytes > LIMIT`,
	"rate":           `rate(node_network_receive_bytes_total[5m]) > LIMIT`,
	"rate by":        `sum by (instance) (rate(node_cpu_seconds_total{mode!="idle",cpu!="VARIED"}[5m])) > LIMIT`,
	"avg_over_time":  `avg_over_time(node_load1[10m]) > LIMIT`,
	"predict_linear": `predict_linear(node_filesystem_avail_bytes[30m], 1VARIED) < -LIMIT * 1000000`,
	"absent":         `absent(node_load1{instance="host7"})`,
}

// mixed are all kinds, about as often as they stand among the 307 public expressions that are test input: 44 % thresholds, 17 %
// ratios, 24 % rates, 6 % predictions.
func mixed() []string {
	var out []string
	for _, k := range []string{
		"threshold", "ratio", "rate", "threshold", "predict_linear", "threshold", "rate", "threshold", "ratio", "threshold", "rate by",
		"threshold", "rate", "threshold", "avg_over_time", "ratio", "absent",
	} {
		out = append(out, kinds[k])
	}
	return out
}

// benchFleet is hosts of one shape of about 200 series that have reported every 15 s for longer than any rule looks back.
type benchFleet struct {
	w      *window.Window
	blocks []window.Block
	hosts  []window.Asset
	now    time.Time
}

func newBenchFleet(hosts int, groups []rules.Group) *benchFleet {
	f := &benchFleet{w: window.New(window.Options{}), now: epoch, blocks: benchBlocks()}
	f.w.SetDemand(rules.Demand(groups))
	for i := range hosts {
		f.hosts = append(f.hosts, window.Asset{Name: fmt.Sprintf("host%d", i), Customer: "acme", Site: "hq"})
	}
	for range 125 {
		f.tick(nil)
	}
	return f
}

// tick has every host report once; each is called with every host after its report.
func (f *benchFleet) tick(each func(window.Asset)) {
	f.now = f.now.Add(15 * time.Second)
	for i := range f.blocks {
		b := &f.blocks[i]
		b.At = f.now
		for j := range b.Values {
			b.Values[j] += float64(j%7) * 15
		}
	}
	for _, a := range f.hosts {
		f.w.Apply(a, f.now, f.blocks)
		if each != nil {
			each(a)
		}
	}
}

func benchBlocks() []window.Block {
	var out []window.Block
	block := func(source string, series ...labels.Labels) {
		l := &window.Layout{ID: [32]byte{byte(len(out) + 1)}, Series: series}
		values := make([]float64, len(series))
		for i := range values {
			values[i] = float64(1000 * (i + 1))
		}
		out = append(out, window.Block{Source: source, Kind: "node", Interval: 15 * time.Second, Status: window.OK, Layout: l, Values: values})
	}
	var cpu, fs, net, rest []labels.Labels
	for c := range 8 {
		for _, mode := range []string{"idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"} {
			cpu = append(cpu, labels.FromStrings("__name__", "node_cpu_seconds_total", "cpu", fmt.Sprint(c), "mode", mode))
		}
	}
	for _, m := range []string{"/", "/home", "/var", "/srv"} {
		for _, name := range []string{"avail", "size", "free", "files"} {
			fs = append(fs, labels.FromStrings("__name__", "node_filesystem_"+name+"_bytes", "device", "/dev"+m, "fstype", "ext4", "mountpoint", m))
		}
	}
	for _, d := range []string{"eth0", "eth1", "lo"} {
		for _, name := range []string{"receive_bytes", "transmit_bytes", "receive_errs", "transmit_errs", "receive_drop", "transmit_drop"} {
			net = append(net, labels.FromStrings("__name__", "node_network_"+name+"_total", "device", d))
		}
	}
	rest = append(rest, labels.FromStrings("__name__", "node_load1"))
	for i := range 101 {
		rest = append(rest, labels.FromStrings("__name__", fmt.Sprintf("node_other_%d", i)))
	}
	block("cpu", cpu...)
	block("filesystem", fs...)
	block("network", net...)
	block("other", rest...)
	return out
}

type noCommit struct{}

func (noCommit) Commit(context.Context, time.Time, []rules.Transition) error { return nil }

// BenchmarkArrival is what a report costs beside its way into the window, by kind of rule and mixed, and what the stock
// engine takes for the same rules over the same window in the same run. One operation is one report of every host.
func BenchmarkArrival(b *testing.B) {
	for _, hosts := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("mixed/hosts=%d", hosts), func(b *testing.B) { benchBoth(b, hosts, mixed()) })
	}
	for name, expr := range kinds {
		b.Run(name+"/hosts=100", func(b *testing.B) { benchBoth(b, 100, []string{expr}) })
	}
}

func benchBoth(b *testing.B, hosts int, kinds []string) {
	groups := benchRules(b, kinds)
	f := newBenchFleet(hosts, groups)
	each := func(b *testing.B, used time.Duration) {
		b.ReportMetric(float64(used.Nanoseconds())/float64(b.N*hosts*100), "cpu-ns/rule")
	}
	b.Run("arrival", func(b *testing.B) {
		e := New(Options{Window: f.w, Commit: noCommit{}, Interval: 15 * time.Second})
		e.Load(groups)
		arrive := func(a window.Asset) {
			if err := e.Arrive(context.Background(), a.Name); err != nil {
				b.Fatal(err)
			}
		}
		f.tick(arrive) // programs are compiled
		b.ReportAllocs()
		b.ResetTimer()
		var used time.Duration
		for range b.N {
			b.StopTimer()
			f.tick(nil)
			b.StartTimer()
			began := cpuTime(b)
			for _, a := range f.hosts {
				arrive(a)
			}
			used += cpuTime(b) - began
		}
		each(b, used)
	})
	b.Run("stock", func(b *testing.B) {
		timed := benchRules(b, kinds)
		for _, r := range timed[0].Rules {
			r.Arrival = nil
		}
		e := New(Options{Window: f.w, Commit: noCommit{}, Interval: 15 * time.Second})
		e.Load(timed)
		b.ReportAllocs()
		b.ResetTimer()
		var used time.Duration
		for range b.N {
			b.StopTimer()
			f.tick(nil)
			b.StartTimer()
			began := cpuTime(b)
			if err := e.EvaluateOnce(context.Background(), f.now); err != nil {
				b.Fatal(err)
			}
			used += cpuTime(b) - began
		}
		each(b, used)
	})
}

// cpuTime is what this process has used of the processors: others work on this machine, too.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkReload is what it takes to put a hundred rules into force over assets with their programs: of rules that are
// as they were, and of others, whose programs are compiled with the next reports.
func BenchmarkReload(b *testing.B) {
	const hosts = 1000
	same, others := benchRules(b, mixed()), benchRules(b, []string{kinds["threshold"] + " * 2", kinds["ratio"] + " + 1"})
	f := newBenchFleet(hosts, same)
	e := New(Options{Window: f.w, Commit: noCommit{}, Interval: 15 * time.Second})
	e.Load(same)
	arrive := func(a window.Asset) {
		if err := e.Arrive(context.Background(), a.Name); err != nil {
			b.Fatal(err)
		}
	}
	f.tick(arrive)
	programs, bytes := e.programs()
	b.Run("same", func(b *testing.B) {
		for b.Loop() {
			e.Load(same)
		}
		b.ReportMetric(float64(programs), "programs")
		b.ReportMetric(float64(bytes)/float64(programs), "bytes/program")
	})
	b.Run("others and their first reports", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			e.Load([][]rules.Group{others, same}[i%2])
			f.tick(arrive)
		}
	})
}
