package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/prometheus/procfs"
)

// usageOf reads /proc/PID/stat. It wraps errGone when the process has ended.
func usageOf(pid int) (usage, error) {
	p, err := procfs.NewProc(pid)
	if err == nil {
		var s procfs.ProcStat
		if s, err = p.Stat(); err == nil {
			return usage{cpu: s.CPUTime(), rss: uint64(max(s.ResidentMemory(), 0))}, nil //nolint:gosec // not negative
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return usage{}, fmt.Errorf("process %d: %w", pid, errGone)
	}
	return usage{}, fmt.Errorf("process %d: %w", pid, err)
}
