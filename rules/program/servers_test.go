package program

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules/window"
)

// kinds are rules as packs have them, one of each kind.
var kinds = []struct{ name, expr string }{
	{"threshold", `load1 > 20`},
	{"threshold of 60", `unit_failed == 1`},
	{"ratio", `fs_avail / fs_size < 0.03`},
	{"ratio, filtered", `fs_avail{fstype!="tmpfs"} / fs_size < 0.1 and fs_readonly == 0`},
	{"rate", `rate(net_errors[5m]) > 1`},
	{"rate by", `1 - avg by (instance) (rate(cpu{mode="idle"}[2m])) > 0.95`},
	{"avg_over_time", `avg_over_time(load1[5m]) > 20`},
	{"predict_linear", `predict_linear(fs_avail[5m], 4 * 3600) < 0`},
	{"absent", `absent(load1{instance="web7"})`},
	{"group_left", `cpu{mode="idle"} / on (instance) group_left () cores < 0`},
}

// server is the series of one Linux server: about 260, in five blocks.
func server() map[string]*window.Layout {
	out := map[string]*window.Layout{}
	add := func(source string, s ...string) {
		l := out[source]
		if l == nil {
			l = &window.Layout{ID: [32]byte{byte(len(out) + 1)}}
			out[source] = l
		}
		l.Series = append(l.Series, labels.FromStrings(s...))
	}
	for d := range 8 {
		for _, n := range []string{"fs_avail", "fs_size", "fs_readonly", "fs_files", "fs_files_free"} {
			add("filesystem", "__name__", n, "device", fmt.Sprintf("sda%d", d), "fstype", "ext4", "mountpoint", fmt.Sprintf("/data/%d", d))
		}
		add("disk", "__name__", "disk_errors", "device", fmt.Sprintf("sda%d", d))
		add("network", "__name__", "net_errors", "device", fmt.Sprintf("eth%d", d))
	}
	for c := range 8 {
		for _, m := range []string{"idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"} {
			add("cpu", "__name__", "cpu", "cpu", fmt.Sprint(c), "mode", m)
		}
	}
	for u := range 60 {
		add("systemd", "__name__", "unit_failed", "unit", fmt.Sprintf("service-%d", u))
		add("systemd", "__name__", "process_up", "process", fmt.Sprintf("service-%d", u))
	}
	for _, n := range []string{
		"mem_available", "mem_total", "swap_free", "swap_total", "load1", "load5", "cores", "oom", "boot_time", "clock_offset",
		"conntrack", "conntrack_max", "fd", "fd_max",
	} {
		add("node", "__name__", n)
	}
	return out
}

// servers is a window of servers that reported for six minutes, every 15 s.
func servers(n int) (*window.Window, int64) {
	w := window.New(window.Options{})
	layouts := server()
	values := make([]float64, 256)
	var last time.Time
	for i := range 24 {
		last = epoch.Add(time.Duration(i) * 15 * time.Second)
		for a := range n {
			var blocks []window.Block
			for source, l := range layouts {
				for j := range l.Series {
					values[j] = float64(i*j) + 100
				}
				blocks = append(blocks, window.Block{
					Source: source, Kind: "node", At: last, Interval: 15 * time.Second, Status: window.OK, Layout: l,
					Values: append([]float64(nil), values[:len(l.Series)]...),
				})
			}
			w.Apply(window.Asset{Name: fmt.Sprintf("web%d", a), Customer: "acme", Site: "hq"}, last, blocks)
		}
	}
	return w, last.UnixMilli()
}

// compiled is the program of an expression for an asset, and where its parts are.
func compiled(tb testing.TB, v window.View, expr string) (*Program, []int) {
	x, parts, at := chosen(tb, v, expr)
	p, err := x.Compile(parts, x.Identity(v.Asset()))
	if err != nil {
		tb.Fatal(err)
	}
	return p, at
}

// chosen is an expression, the parts of an asset that it reads, and where they are.
func chosen(tb testing.TB, v window.View, expr string) (x *Expr, parts []*window.Part, at []int) {
	e, err := newParser().ParseExpr(expr)
	if err != nil {
		tb.Fatal(err)
	}
	x, timer := Prepare(e)
	if timer != nil {
		tb.Fatal(timer.Why)
	}
	for i, p := range v.Parts() {
		if x.Reads(p, v.Asset()) {
			parts, at = append(parts, p), append(at, i)
		}
	}
	return x, parts, at
}

// TestRunsDoNotAllocate once a machine has grown to what the program needs.
func TestRunsDoNotAllocate(t *testing.T) {
	w, now := servers(1)
	exprs := []string{
		`max_over_time(rate(net_errors[1m])[3m:15s])`, `topk by (instance) (3, unit_failed)`, `quantile by (instance) (0.9, load1 or load5)`,
		`time() - boot_time < 600`, `stddev_over_time(load1[5m])`, `quantile_over_time(0.5, load1[5m])`,
		`fs_avail unless on () (hour() > 1)`, `fs_avail unless on (instance, device) fs_readonly == 1`, `timestamp(load1) - time()`,
	}
	for _, k := range kinds {
		exprs = append(exprs, k.expr)
	}
	for _, expr := range exprs {
		w.View("web0", func(v window.View) {
			p, at := compiled(t, v, expr)
			m := &Machine{}
			if n := testing.AllocsPerRun(20, func() {
				if _, err := m.Run(p, v, at, now); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s: %v allocations", expr, n)
			}
		})
	}
}
