package sample

import (
	"context"
	"fmt"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// statSampler tells of the whole kernel: boot time, processes, interrupts, context switches: /proc/stat.
type statSampler struct{ stat *kept }

func newStat(h host) *statSampler { return &statSampler{keep(h.proc("stat"))} }

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
func (s *statSampler) Read(context.Context, time.Time) (Reading, error) {
	content, err := s.stat.read()
	if err != nil {
		return Reading{}, err
	}
	out := make([]wire.Sample, 0, len(statFields))
	boot := false
	for len(content) > 0 {
		var l []byte
		l, content = line(content)
		key, rest := word(l)
		name, ok := statFields[string(key)]
		if !ok {
			continue
		}
		first, _ := word(rest)
		v, err := whole(s.stat.path, name, first)
		if err != nil {
			return Reading{}, err
		}
		boot = boot || name == "node_boot_time_seconds"
		out = append(out, wire.Sample{Name: name, Value: v})
	}
	if !boot {
		return Reading{}, fmt.Errorf("%s: no line btime; is this a Linux /proc?", s.stat.path)
	}
	return Reading{Samples: out}, nil
}

// bootTime is when the host booted, by its own clock.
func (h host) bootTime() (time.Time, error) {
	r, err := newStat(h).Read(context.Background(), time.Time{})
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
