package sample

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

// Bundles makes the list that c allows. It starts nothing and reads nothing but c; an error names every bad field of c.
func Bundles(c Config) ([]Bundle, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("samplers: %w", err)
	}
	r, err := NewRedactor(c.Redact)
	if err != nil {
		return nil, err
	}
	h := host{c.Path.withDefaults()}
	all := []Bundle{
		{Name: "disk_usage", Source: "filesystem", Label: "mountpoint", Needs: true, Make: newDiskUsage(h, c.Filesystem).make},
		{Name: "processes", Make: processesBundle{h, r}.make},
		{Name: "deleted_files", Source: "filesystem", Label: "mountpoint", Make: deletedFiles{h}.make},
		{Name: "sockets", Make: socketsBundle{h}.make},
		{Name: "kernel", Make: kernelBundle{host: h, open: openKmsg, uptime: monotonic}.make},
		{Name: "logs", Source: "systemd", Label: "name", Make: logsBundle(h, c.Logs, r)},
	}
	out := slices.DeleteFunc(all, func(b Bundle) bool { return slices.Contains(c.Bundles.Disabled, b.Name) })
	for i := range out {
		make := out[i].Make
		out[i].Make = func(ctx context.Context, now time.Time, argument string) (t *wire.Table, err error) {
			defer r.panicking()
			atLowPriority(func() { t, err = make(ctx, now, argument) })
			if err != nil {
				return nil, r.Error(err)
			}
			r.table(t)
			return t, nil
		}
	}
	return out, nil
}

// atLowPriority does something in a thread of its own, which gives way to every other: nice 19, and input and output
// when nobody else wants any (setpriority(2), ioprio_set(2)). Where that is not allowed (SystemCallFilter=~@resources)
// the pauses between the work have to do. The thread ends with it. A panic goes on in the caller's goroutine.
func atLowPriority(do func()) {
	done := make(chan any)
	go func() {
		// Not unlocked: the runtime ends the thread, and its priority with it, when the goroutine does.
		runtime.LockOSThread()
		defer func() { done <- recover() }()
		const lowest, process, idle, classShift = 19, 1, 3, 13
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, lowest)
		_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, process, 0, idle<<classShift)
		do()
	}()
	if p := <-done; p != nil {
		panic(p)
	}
}

// pace keeps work from taking more than half of the time.
type pace struct {
	work  time.Duration // at a stretch
	since time.Time
}

// step rests when the stretch is over; false when ctx has ended.
func (p *pace) step(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	now := time.Now()
	if p.since.IsZero() {
		p.since = now
	}
	if now.Sub(p.since) < p.work {
		return true
	}
	ok := rest(ctx, now.Sub(p.since))
	p.since = time.Now()
	return ok
}

// rest waits for d or the end of ctx, and says whether it was d.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
