package sample

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

// kernelBundleRows is how many messages of the kernel the bundle shows.
const kernelBundleRows = 100

// kernelBundle shows the newest messages of the kernel's log, all but those for debugging.
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
	var last []kmsgRecord
	for p.step(ctx) {
		n, err := log.Read(buf)
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			for _, rec := range last {
				t.Rows = append(t.Rows, kmsgRow(rec, booted.Add(rec.since)))
			}
			if len(last) == 0 {
				t.NoneBecause = "the kernel's log is empty"
			}
			return t, nil
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		rec, err := parseKmsg(string(buf[:n]))
		if err != nil {
			return nil, err
		}
		if rec.level < len(levels)-1 {
			last = append(last, rec)
			last = last[max(0, len(last)-kernelBundleRows):]
		}
	}
	return nil, fmt.Errorf("read %s: %w", path, ctx.Err())
}
