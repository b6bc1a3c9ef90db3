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
type selfSampler struct{ version string }

// Read fails when the kernel does not tell. It looks at its own process, wherever Config.Path points.
func (s selfSampler) Read(context.Context, time.Time) (Reading, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return Reading{}, fmt.Errorf("getrusage: %w", err)
	}
	content, err := read("/proc/self/statm")
	if err != nil {
		return Reading{}, err
	}
	var size, resident float64
	if _, err := fmt.Sscan(content, &size, &resident); err != nil {
		return Reading{}, fmt.Errorf("/proc/self/statm: want numbers of pages, got %q: %w", content, err)
	}
	seconds := func(t unix.Timeval) float64 { return float64(t.Nano()) / 1e9 }
	return Reading{Samples: []wire.Sample{
		sample("process_cpu_seconds_total", seconds(u.Utime)+seconds(u.Stime)),
		sample("process_resident_memory_bytes", resident*float64(os.Getpagesize())),
		sample("watchbill_agent_build_info", 1, "version", cmp.Or(s.version, "unknown"), "goversion", runtime.Version(),
			"goos", runtime.GOOS, "goarch", runtime.GOARCH),
	}}, nil
}
