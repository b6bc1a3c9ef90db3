package sample

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

// selfSampler tells what the agent itself costs: getrusage(2), /proc/self/statm.
type selfSampler struct {
	statm *kept
	build wire.Sample
}

// newSelf looks at its own process, wherever Config.Path points.
func newSelf(version string) *selfSampler {
	return &selfSampler{keep("/proc/self/statm"), sample("watchbill_agent_build_info", 1, "version", cmp.Or(version, "unknown"),
		"goversion", runtime.Version(), "goos", runtime.GOOS, "goarch", runtime.GOARCH)}
}

// Read fails when the kernel does not tell.
func (s *selfSampler) Read(context.Context, time.Time) (Reading, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return Reading{}, fmt.Errorf("getrusage: %w", err)
	}
	content, err := s.statm.read()
	if err != nil {
		return Reading{}, err
	}
	_, rest := word(content)
	resident, _ := word(rest)
	pages, err := whole(s.statm.path, "resident", resident)
	if err != nil {
		return Reading{}, err
	}
	seconds := func(t unix.Timeval) float64 { return float64(t.Nano()) / 1e9 }
	return Reading{Samples: []wire.Sample{
		{Name: "process_cpu_seconds_total", Value: seconds(u.Utime) + seconds(u.Stime)},
		{Name: "process_resident_memory_bytes", Value: pages * float64(os.Getpagesize())},
		s.build,
	}}, nil
}
