package collector

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// usualServer is a layout of 212 series under names that the shipped rules read.
func usualServer() *window.Layout {
	l := &window.Layout{ID: [32]byte{8}}
	add := func(name string, pairs ...string) {
		l.Series = append(l.Series, labels.FromStrings(append([]string{"__name__", name}, pairs...)...))
	}
	for cpu := range 8 {
		for _, mode := range []string{"idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"} {
			add("node_cpu_seconds_total", "cpu", fmt.Sprint(cpu), "mode", mode)
		}
	}
	for _, mount := range []string{"/", "/boot", "/srv", "/var", "/home"} {
		for _, name := range []string{"avail_bytes", "size_bytes", "free_bytes", "files", "files_free", "readonly", "device_error"} {
			add("node_filesystem_"+name, "mountpoint", mount, "device", "/dev/"+mount, "fstype", "ext4")
		}
	}
	for _, dev := range []string{"sda", "sdb", "sdc"} {
		for _, name := range []string{"reads_completed", "read_bytes", "writes_completed", "written_bytes", "io_time_seconds", "io_time_weighted_seconds"} {
			add("node_disk_"+name+"_total", "device", dev)
		}
	}
	for _, name := range []string{"MemAvailable", "MemTotal", "MemFree", "Cached", "SwapTotal", "SwapFree"} {
		add("node_memory_" + name + "_bytes")
	}
	for len(l.Series) < 212 {
		add("node_other", "i", fmt.Sprint(len(l.Series)))
	}
	return l
}

// BenchmarkReview is what one late report of a usual server costs under the shipped rules.
func BenchmarkReview(b *testing.B) {
	cfg := DefaultConfig()
	groups, _, err := LoadRules(cfg)
	if err != nil {
		b.Fatal(err)
	}
	live := evaluate.New(evaluate.Options{Window: window.New(window.Options{}), Commit: nobody{}, Interval: 5 * time.Second})
	live.Load(groups)
	r := evaluate.NewReviews(evaluate.ReviewOptions{
		Live: live, MaxBytes: 1 << 40, MaxQueued: 1 << 40, Tell: func(context.Context, evaluate.Unseen) error { return nil },
	})
	a := window.Asset{Name: "web1", Customer: "acme", Site: "london"}
	layout, start := usualServer(), time.Unix(1_700_000_000, 0)
	r.Open(a, start, evaluate.Past{}, nil)
	values := make([]float64, len(layout.Series))
	for i := range values {
		values[i] = 1000
	}
	b.ResetTimer()
	for i := range b.N {
		at := start.Add(time.Duration(i) * 10 * time.Second)
		r.Add(a.Name, evaluate.Past{At: at, Epoch: 1, Sequence: uint64(i + 1), Unseen: true, Blocks: []window.Block{
			{Source: "all", Kind: "node", At: at, Interval: 10 * time.Second, Status: window.OK, Layout: layout, Values: values},
		}})
		if i%32 == 31 {
			for r.Step(b.Context()) {
			}
		}
	}
}

type nobody struct{}

func (nobody) Commit(context.Context, time.Time, []rules.Transition) error { return nil }
