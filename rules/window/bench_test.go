package window

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// serverRules are twenty expressions as shipped packs and public rules have them.
var serverRules = []string{
	`fs_avail{fstype!="tmpfs"} / fs_size < 0.03`, `fs_avail / fs_size < 0.1 and fs_readonly == 0`, `fs_files_free / fs_files < 0.05`,
	`fs_readonly == 1`, `mem_available / mem_total < 0.05`, `swap_free / swap_total < 0.1`, `load1 > 20`, `load5 / on (instance) cores > 4`,
	`1 - avg by (instance) (rate(cpu{mode="idle"}[2m])) > 0.95`, `sum by (instance) (rate(cpu{mode="iowait"}[2m])) > 0.5`,
	`increase(oom[5m]) > 0`, `rate(disk_errors[5m]) > 0`, `rate(net_errors[5m]) > 1`, `unit_failed == 1`, `process_up == 0`,
	`time() - boot_time < 600`, `abs(clock_offset) > 1`, `conntrack / conntrack_max > 0.9`, `fd / fd_max > 0.9`, `up == 0`,
}

// server is the series of one Linux server: about 260.
func server() *Layout {
	l := &Layout{ID: [32]byte{7}}
	add := func(s ...string) { l.Series = append(l.Series, labels.FromStrings(s...)) }
	for d := range 8 {
		for _, n := range []string{"fs_avail", "fs_size", "fs_readonly", "fs_files", "fs_files_free"} {
			add("__name__", n, "device", fmt.Sprintf("sda%d", d), "fstype", "ext4", "mountpoint", fmt.Sprintf("/data/%d", d))
		}
		add("__name__", "disk_errors", "device", fmt.Sprintf("sda%d", d))
		add("__name__", "net_errors", "device", fmt.Sprintf("eth%d", d))
	}
	for c := range 8 {
		for _, m := range []string{"idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"} {
			add("__name__", "cpu", "cpu", fmt.Sprint(c), "mode", m)
		}
	}
	for u := range 60 {
		add("__name__", "unit_failed", "unit", fmt.Sprintf("service-%d", u))
		add("__name__", "process_up", "process", fmt.Sprintf("service-%d", u))
	}
	for _, n := range []string{
		"mem_available", "mem_total", "swap_free", "swap_total", "load1", "load5", "cores", "oom", "boot_time", "clock_offset",
		"conntrack", "conntrack_max", "fd", "fd_max",
	} {
		add("__name__", n)
	}
	return l
}

func fleet(assets int) (*Window, *Layout) {
	w, l := New(Options{}), server()
	values := make([]float64, len(l.Series))
	for i := range 24 {
		for a := range assets {
			for j := range values {
				values[j] = float64(i*j) + 100
			}
			w.Apply(Asset{Name: fmt.Sprintf("web%d", a), Customer: "acme", Site: "hq"}, at(float64(15*i)), []Block{ok(l, float64(15*i), values...)})
		}
	}
	return w, l
}

// BenchmarkStockEngine evaluates twenty rules over a hundred servers, as a timer does.
func BenchmarkStockEngine(b *testing.B) {
	const assets = 100
	w, _ := fleet(assets)
	engine := newEngine()
	when := at(15*23 + 1)
	b.ReportAllocs()
	for b.Loop() {
		for _, expr := range serverRules {
			q, err := engine.NewInstantQuery(b.Context(), w, nil, expr, when)
			if err != nil {
				b.Fatal(err)
			}
			if res := q.Exec(b.Context()); res.Err != nil {
				b.Fatal(res.Err)
			}
			q.Close()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/assets/float64(len(serverRules)), "ns/asset/rule")
}

// BenchmarkApply applies one report of a server.
func BenchmarkApply(b *testing.B) {
	w, l := fleet(1)
	a := Asset{Name: "web0", Customer: "acme", Site: "hq"}
	values := make([]float64, len(l.Series))
	b.ReportAllocs()
	for i := 24; b.Loop(); i++ {
		when := epoch.Add(time.Duration(i) * 15 * time.Second)
		w.Apply(a, when, []Block{ok(l, float64(15*i), values...)})
	}
	b.ReportMetric(float64(len(l.Series)), "series")
}

// BenchmarkLook asks about one alert of one asset among a hundred.
func BenchmarkLook(b *testing.B) {
	w, _ := fleet(100)
	q := Question{
		Selectors: selectors(b, `fs_avail{fstype!="tmpfs"}`, "fs_size"), At: at(15*23 + 1),
		Labels: labels.FromStrings("instance", "web7", "device", "sda3", "mountpoint", "/data/3"),
	}
	for b.Loop() {
		if st := w.Look(q); st.State != Live {
			b.Fatal(st)
		}
	}
}

// BenchmarkReplay is six hours of one server of 254 series, sent again oldest first behind a live report and read every
// sixty reports, as rules do: per report.
func BenchmarkReplay(b *testing.B) {
	const reports = 6 * 360
	l := &Layout{ID: [32]byte{1}}
	for i := range 254 {
		l.Series = append(l.Series, labels.FromStrings("__name__", "m", "i", fmt.Sprint(i)))
	}
	values := make([]float64, len(l.Series))
	block := func(i int) Block {
		return Block{Source: "all", Kind: "node", At: at(float64(i * 10)), Interval: 10 * time.Second, Status: OK, Layout: l, Values: values}
	}
	b.ReportAllocs()
	for n := 0; n < b.N; {
		w := New(Options{})
		w.SetLookback(6 * time.Hour)
		w.Apply(web1, at(reports*10), []Block{block(reports)})
		for i := 0; i < reports && n < b.N; i, n = i+1, n+1 {
			x := block(i)
			x.Late = true
			w.Apply(web1, at(reports*10), []Block{x})
			if i%60 == 59 {
				w.Stats()
			}
		}
	}
}

// BenchmarkView reads one series of a server whose window is two hours old: the newest sample, five minutes that lie raw,
// an hour that is sealed.
func BenchmarkView(b *testing.B) {
	w, l := New(Options{}), server()
	w.SetDemand(selectors(b, "cpu[5m]", "fs_avail[1h]"))
	values := make([]float64, len(l.Series))
	for i := range 480 {
		for j := range values {
			values[j] += float64((i*j)%97) / 16
		}
		w.Apply(web1, at(float64(15*i)), []Block{ok(l, float64(15*i), values...)})
	}
	slot := func(name string) int {
		return slices.IndexFunc(l.Series, func(x labels.Labels) bool { return x.Get("__name__") == name })
	}
	load1, cpu, avail := slot("load1"), slot("cpu"), slot("fs_avail")
	end, buf := at(15*479).UnixMilli(), &Buffer{}
	w.View("web1", func(v View) {
		for name, read := range map[string]func(){
			"last":         func() { v.Last(0, load1, end) },
			"range-raw-5m": func() { v.Range(0, cpu, end-300_000, end, buf) },
			"range-1h":     func() { v.Range(0, avail, end-3600_000, end, buf) },
		} {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					read()
				}
			})
		}
	})
}

// BenchmarkSelect finds a metric's series of one server among 10,000 and of all of them.
func BenchmarkSelect(b *testing.B) {
	w, l := New(Options{}), layout(b, "load1", "load5", "mem_total")
	w.SetDemand(nil)
	for a := range 10_000 {
		w.Apply(Asset{Name: fmt.Sprintf("web%d", a), Customer: "acme"}, at(0), []Block{ok(l, 0, 1, 2, 3)})
	}
	name := labels.MustNewMatcher(labels.MatchEqual, "__name__", "load1")
	for what, ms := range map[string][]*labels.Matcher{
		"one": {name, labels.MustNewMatcher(labels.MatchEqual, "instance", "web77")}, "all": {name},
	} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q, err := w.Querier(at(-300).UnixMilli(), at(0).UnixMilli())
				if err != nil {
					b.Fatal(err)
				}
				set := q.Select(b.Context(), false, nil, ms...)
				for set.Next() {
					_ = set.At().Labels()
				}
				if err := q.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
