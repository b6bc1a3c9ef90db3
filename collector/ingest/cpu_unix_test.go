//go:build unix

package ingest

import (
	"syscall"
	"testing"
	"time"
)

// cpuTime is what this process has used of the processors so far, in user and system time.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
