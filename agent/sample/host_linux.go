package sample

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

// loadavgSampler tells how many tasks run or wait: /proc/loadavg.
type loadavgSampler struct{ host }

// Read fails when the file cannot be read.
func (s loadavgSampler) Read(context.Context, time.Time) (Reading, error) {
	fs, err := procfs.NewFS(s.path.Procfs)
	if err != nil {
		return Reading{}, err
	}
	l, err := fs.LoadAvg()
	if err != nil {
		return Reading{}, fmt.Errorf("read %s: %w", s.proc("loadavg"), err)
	}
	return Reading{Samples: []wire.Sample{
		sample("node_load1", l.Load1), sample("node_load5", l.Load5), sample("node_load15", l.Load15),
	}}, nil
}

// timeSampler tells what the host itself thinks the time is: not the corrected time at which the block is stamped, so
// that the two can be compared, and uptime is right also where the clock is wrong.
type timeSampler struct{ clock func() time.Time }

// Read never fails.
func (s timeSampler) Read(context.Context, time.Time) (Reading, error) {
	return Reading{Samples: []wire.Sample{sample("node_time_seconds", float64(s.clock().UnixNano())/1e9)}}, nil
}

// unameSampler tells which kernel runs: uname(2).
type unameSampler struct{}

// Read fails only when the system call does.
func (unameSampler) Read(context.Context, time.Time) (Reading, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Reading{}, fmt.Errorf("uname: %w", err)
	}
	s := unix.ByteSliceToString
	return Reading{Samples: []wire.Sample{sample("node_uname_info", 1,
		"sysname", s(u.Sysname[:]), "release", s(u.Release[:]), "version", s(u.Version[:]), "machine", s(u.Machine[:]),
		"nodename", s(u.Nodename[:]), "domainname", s(u.Domainname[:]))}}, nil
}

// filefdSampler counts open files of the whole host: /proc/sys/fs/file-nr.
type filefdSampler struct{ host }

// Read fails when the file cannot be read or has not three numbers.
func (s filefdSampler) Read(context.Context, time.Time) (Reading, error) {
	path := s.proc("sys/fs/file-nr")
	content, err := read(path)
	if err != nil {
		return Reading{}, err
	}
	f := strings.Fields(content)
	if len(f) != 3 {
		return Reading{}, fmt.Errorf("%s: want three numbers, got %q", path, content)
	}
	allocated, err := number(path, "allocated", f[0])
	if err != nil {
		return Reading{}, err
	}
	limit, err := number(path, "maximum", f[2])
	if err != nil {
		return Reading{}, err
	}
	return Reading{Samples: []wire.Sample{
		sample("node_filefd_allocated", allocated), sample("node_filefd_maximum", limit),
	}}, nil
}
