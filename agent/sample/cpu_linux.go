package sample

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v3/common"
	"github.com/shirou/gopsutil/v3/cpu"

	"github.com/watchbill/watchbill/agent/wire"
)

// gopsutil points that library at this host's trees for one call.
func (h host) gopsutil(ctx context.Context) context.Context {
	return context.WithValue(ctx, common.EnvKey, common.EnvMap{
		common.HostProcEnvKey: h.path.Procfs,
		common.HostSysEnvKey:  h.path.Sysfs,
		common.HostVarEnvKey:  h.root("var"),
	})
}

// cpuSampler counts seconds per processor and mode: /proc/stat.
type cpuSampler struct{ host }

// Read fails when /proc/stat names no processor.
func (s cpuSampler) Read(ctx context.Context, _ time.Time) (Reading, error) {
	times, err := cpu.TimesWithContext(s.gopsutil(ctx), true)
	if err != nil {
		return Reading{}, fmt.Errorf("read %s: %w", s.proc("stat"), err)
	}
	if len(times) == 0 { // the library also answers so when it could not read the file
		return Reading{}, fmt.Errorf("read %s: it names no processor, or cannot be read; is /proc mounted?", s.proc("stat"))
	}
	out := make([]wire.Sample, 0, 10*len(times))
	for _, t := range times {
		id := strings.TrimPrefix(t.CPU, "cpu")
		mode := func(name string, v float64) {
			out = append(out, sample("node_cpu_seconds_total", v, "cpu", id, "mode", name))
		}
		mode("user", t.User)
		mode("nice", t.Nice)
		mode("system", t.System)
		mode("idle", t.Idle)
		mode("iowait", t.Iowait)
		mode("irq", t.Irq)
		mode("softirq", t.Softirq)
		mode("steal", t.Steal)
		// Already counted in user and nice, as in node_exporter.
		out = append(out,
			sample("node_cpu_guest_seconds_total", t.Guest, "cpu", id, "mode", "user"),
			sample("node_cpu_guest_seconds_total", t.GuestNice, "cpu", id, "mode", "nice"))
	}
	return Reading{Samples: out}, nil
}
