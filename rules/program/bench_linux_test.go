package program

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/watchbill/watchbill/rules/window"
)

// cpu is what this process took of the processors, in nanoseconds: others work on this machine too.
func cpu(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

// measured runs what is measured and reports the CPU time of one of each n.
func measured(b *testing.B, n float64, run func()) {
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		run()
	}
	b.ReportMetric((cpu(b)-before)/float64(b.N)/n, "cpu-ns")
}

// BenchmarkRun runs one rule about one asset of a hundred: CPU per asset and rule.
func BenchmarkRun(b *testing.B) {
	w, t := servers(100)
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			w.View("web7", func(v window.View) {
				p, at := compiled(b, v, k.expr)
				m := &Machine{}
				measured(b, 1, func() {
					if _, err := m.Run(p, v, at, t); err != nil {
						b.Fatal(err)
					}
				})
				b.ReportMetric(float64(p.Bytes()), "B/program")
			})
		})
	}
}

// BenchmarkStock runs the same rules with the stock engine over all hundred assets: CPU per asset and rule.
func BenchmarkStock(b *testing.B) {
	const assets = 100
	w, t := servers(assets)
	e := newEngine()
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			measured(b, assets, func() {
				q, err := e.NewInstantQuery(context.Background(), w, nil, k.expr, time.UnixMilli(t))
				if err != nil {
					b.Fatal(err)
				}
				if res := q.Exec(context.Background()); res.Err != nil {
					b.Fatal(res.Err)
				}
				q.Close()
			})
		})
	}
}

// BenchmarkCompile compiles a rule, parsed and prepared already, for one layout.
func BenchmarkCompile(b *testing.B) {
	w, _ := servers(8)
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			w.View("web7", func(v window.View) {
				x, parts, _ := chosen(b, v, k.expr)
				id := x.Identity(v.Asset())
				measured(b, 1, func() {
					if _, err := x.Compile(parts, id); err != nil {
						b.Fatal(err)
					}
				})
			})
		})
	}
}
