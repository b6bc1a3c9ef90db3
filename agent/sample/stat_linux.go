package sample

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// statSampler tells of the whole kernel: boot time, processes, interrupts, context switches: /proc/stat.
type statSampler struct{ host }

// statFields are the lines of /proc/stat it reports; of intr only the first number, the total, counts.
var statFields = map[string]string{
	"btime":         "node_boot_time_seconds",
	"ctxt":          "node_context_switches_total",
	"intr":          "node_intr_total",
	"processes":     "node_forks_total",
	"procs_running": "node_procs_running",
	"procs_blocked": "node_procs_blocked",
}

// Read fails when the file cannot be read or lacks the boot time.
func (s statSampler) Read(context.Context, time.Time) (Reading, error) {
	path := s.proc("stat")
	content, err := read(path)
	if err != nil {
		return Reading{}, err
	}
	out := make([]wire.Sample, 0, len(statFields))
	boot := false
	for line := range strings.Lines(content) {
		key, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, ok := statFields[key]
		if !ok {
			continue
		}
		first, _, _ := strings.Cut(rest, " ")
		v, err := number(path, key, first)
		if err != nil {
			return Reading{}, err
		}
		boot = boot || key == "btime"
		out = append(out, sample(name, v))
	}
	if !boot {
		return Reading{}, fmt.Errorf("%s: no line btime; is this a Linux /proc?", path)
	}
	return Reading{Samples: out}, nil
}

// bootTime is when the host booted, by its own clock.
func (h host) bootTime() (time.Time, error) {
	r, err := statSampler{h}.Read(context.Background(), time.Time{})
	if err != nil {
		return time.Time{}, err
	}
	for _, s := range r.Samples {
		if s.Name == "node_boot_time_seconds" {
			return time.Unix(int64(s.Value), 0), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: no boot time", h.proc("stat"))
}
