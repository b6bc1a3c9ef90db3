package sample

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

const (
	// kernelBundleRows is how many messages of the kernel the bundle shows.
	kernelBundleRows = 60
	// kernelBundleRecent is how old a message may be that is no warning: what was said at the start of the host is
	// seldom about what happens now.
	kernelBundleRecent = 30 * time.Minute
)

// kernelBundle shows the newest messages of the kernel's log: all that warn, and of late those that inform.
type kernelBundle struct {
	host
	open   func(path string) (kmsgLog, error)
	uptime func() time.Duration
}

func (k kernelBundle) make(ctx context.Context, now time.Time, _ string) (*wire.Table, error) {
	t := kmsgTable("kernel", now)
	path := k.root("dev/kmsg")
	log, err := k.open(path)
	if err != nil {
		t.NoneBecause = kmsgRefused(path, err)
		return t, nil
	}
	defer log.Close()
	booted := now.Add(-k.uptime())
	p := pace{work: usageStretch}
	buf := make([]byte, kmsgRecordBytes)
	for p.step(ctx) {
		n, err := log.Read(buf)
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			if len(t.Rows) == 0 {
				t.NoneBecause = fmt.Sprintf("the kernel has said nothing within %d minutes, and has not warned since the host started or its log began", kernelBundleRecent/time.Minute)
			}
			return t, nil
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		rec, err := parseKmsg(string(buf[:n]))
		if err != nil {
			return nil, err
		}
		at := booted.Add(rec.since)
		const warning, debug = 4, 7
		if rec.level <= warning || rec.level < debug && now.Sub(at) < kernelBundleRecent {
			t.Rows = append(t.Rows, kmsgRow(rec, at))
			t.Rows = t.Rows[max(0, len(t.Rows)-kernelBundleRows):]
		}
	}
	return nil, fmt.Errorf("read %s: %w", path, ctx.Err())
}
