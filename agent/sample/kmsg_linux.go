package sample

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

const (
	kmsgEvery = 5 * time.Second
	// kmsgAtOnce bounds one reading; a kernel that says more is read on at the next.
	kmsgAtOnce = 5000
	// kmsgRecordBytes holds any record: the kernel's own bound is 8 KiB.
	kmsgRecordBytes = 16 << 10
	// kmsgRecent is how many messages the table shows.
	kmsgRecent = 20
	// kmsgTableEvery is how often the table is made; kmsgRetry how often a log that is closed to us is tried again.
	kmsgTableEvery = time.Minute
	kmsgRetry      = time.Minute
	kmsgStateName  = "kmsg.json"
)

// kmsgLog is /dev/kmsg: every Read is one record, unix.EAGAIN the end for now, unix.EPIPE that records were overwritten
// before they were read.
type kmsgLog interface {
	Read(p []byte) (int, error)
	Close() error
}

// kmsgState is how far the kernel's log was told of.
type kmsgState struct {
	BootID   string `json:"boot_id"`
	Sequence uint64 `json:"sequence"`
}

// kmsgSampler tells of trouble that the kernel reports: /dev/kmsg. It begins with what came since the agent last
// looked, and when it never did with what comes from now on. Like the boot id, the place it has got to is kept at the
// reading after, so that a crash in between tells something twice, never not at all.
type kmsgSampler struct {
	host
	dir   string
	watch []group
	kinds []kernelKind
	open  func(path string) (kmsgLog, error)
	// uptime is the clock of the records.
	uptime func() time.Duration

	log     kmsgLog
	retryAt time.Time
	// none says why there is no log.
	none string
	boot string
	// old says that what is read now was there before the agent first looked.
	old bool
	// seen is the last record that was read; place is the last before which everything was told, and kept what of that is
	// kept.
	seen, place, kept uint64
	// unkept is why the place could not be kept.
	unkept error
	// memory is the control group that the kernel named last when it ran out of memory, by process.
	memory  map[string]string
	recent  []*wire.Row
	tableAt time.Time
	repeats *repeats
}

func newKmsg(h host, stateDir string, watch []Watch) *kmsgSampler {
	s := &kmsgSampler{
		host: h, dir: stateDir, kinds: kernelKinds(), open: openKmsg, uptime: monotonic, memory: map[string]string{}, repeats: newRepeats(),
	}
	for _, w := range watch {
		s.watch = append(s.watch, group{w.Name, regexp.MustCompile(w.Cmdline)})
	}
	return s
}

// Read fails when the log was open and cannot be read any more, and once when the place kept in it is damaged. Where it
// cannot be opened the table says why, and which right is missing: counters still tell of what happens.
func (s *kmsgSampler) Read(ctx context.Context, now time.Time) (Reading, error) {
	if s.log == nil && !now.Before(s.retryAt) {
		if err := s.begin(now); err != nil {
			return Reading{}, err
		}
	}
	var r Reading
	if s.log != nil {
		s.keep()
		if err := s.drain(ctx, now); err != nil {
			s.log.Close() // what it fails with has been told
			s.log = nil
			return Reading{}, fmt.Errorf("read %s: %w", s.path(), err)
		}
		if r.Events = s.repeats.take(now); !s.repeats.waits() {
			s.place = s.seen
		}
	}
	if now.Sub(s.tableAt) >= kmsgTableEvery || len(r.Events) > 0 {
		r.Tables, s.tableAt = []*wire.Table{s.table(now)}, now
	}
	return r, nil
}

func (s *kmsgSampler) path() string { return s.root("dev/kmsg") }

// begin opens the log at the right place. The error is about a kept place that is damaged; the log is open then.
func (s *kmsgSampler) begin(now time.Time) error {
	s.retryAt = now.Add(kmsgRetry)
	log, err := s.open(s.path())
	if err != nil {
		s.none = kmsgRefused(s.path(), err)
		return nil
	}
	s.none, s.log = "", log
	var last kmsgState
	known, stateErr := lastState(s.dir, kmsgStateName, &last)
	if s.boot, err = s.bootID(); err != nil {
		s.boot = "" // then nothing is kept, and the next start takes nothing for new
	}
	switch {
	case s.seen != 0: // it was open before
	case !known || s.boot == "":
		s.old = true
	case last.BootID == s.boot:
		s.seen, s.place, s.kept = last.Sequence, last.Sequence, last.Sequence
	}
	return stateErr
}

// keep writes down the place reached by the reading before. That it cannot is no reason to keep silent: the table says
// so, for the next start will tell something twice.
func (s *kmsgSampler) keep() {
	if s.boot == "" || s.place == s.kept {
		return
	}
	if s.unkept = keepState(s.dir, kmsgStateName, kmsgState{s.boot, s.place}); s.unkept == nil {
		s.kept = s.place
	}
}

func (s *kmsgSampler) drain(ctx context.Context, now time.Time) error {
	booted := now.Add(-s.uptime())
	buf := make([]byte, kmsgRecordBytes)
	for range kmsgAtOnce {
		if ctx.Err() != nil {
			return nil // the next reading goes on here
		}
		n, err := s.log.Read(buf)
		switch {
		case errors.Is(err, unix.EAGAIN):
			s.old = false
			return nil
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR):
			continue // the next read is of the oldest record that is left
		case err != nil:
			return err
		}
		rec, err := parseKmsg(string(buf[:n]))
		if err != nil {
			return err
		}
		at := booted.Add(rec.since)
		if at.After(now) {
			at = now
		}
		if rec.facility == 0 { // others can write here only as root; they have logs of their own
			s.take(rec, at)
		}
		s.seen = max(s.seen, rec.sequence)
	}
	return nil
}

// take takes in one message of the kernel. What was there before is for the table only.
func (s *kmsgSampler) take(rec kmsgRecord, at time.Time) {
	if rec.level <= 4 {
		s.recent = append(s.recent, kmsgRow(rec, at))
		s.recent = s.recent[max(0, len(s.recent)-kmsgRecent):]
	}
	if s.old || s.seen != 0 && rec.sequence <= s.seen {
		return
	}
	if m := memoryOf.FindStringSubmatch(rec.message); m != nil {
		s.memory = map[string]string{m[2]: m[1]}
	}
	f, ok := understand(s.kinds, rec)
	if !ok {
		return
	}
	if group := s.memory[f.fields["pid"]]; group != "" && f.kind == "kernel_oom" {
		f.fields["control_group"] = group
	}
	if w := s.watched(f.fields["process"]); w != "" {
		f.fields["watch"] = w
	}
	s.repeats.add(f.key, newEvent(f.kind, at, f.text, f.fields))
}

// memoryOf finds which control group the process belongs to that is about to be killed (mm/oom_kill.c, dump_oom_summary).
var memoryOf = regexp.MustCompile(`^oom-kill:.*,task_memcg=([^,]*),task=.*,pid=(\d+),`)

// watched is the configured name of a process, empty when nobody watches it. The kernel gives the command's name only.
func (s *kmsgSampler) watched(process string) string {
	i := slices.IndexFunc(s.watch, func(g group) bool {
		return process != "" && (g.name == process || g.match.MatchString(process) || g.match.MatchString("/"+process))
	})
	if i < 0 {
		return ""
	}
	return s.watch[i].name
}

func (s *kmsgSampler) table(now time.Time) *wire.Table {
	t := kmsgTable("kernel_messages", now)
	t.Rows = slices.Clone(s.recent)
	if s.unkept != nil {
		t.Rows = append(t.Rows, row(now.UTC().Format(time.RFC3339), "agent", s.unkept.Error()+"; after a restart things may be told twice"))
	}
	switch {
	case s.none != "":
		t.NoneBecause = s.none
	case len(t.Rows) == 0:
		t.NoneBecause = "the kernel has reported no warning and no error since the agent looks"
	}
	return t
}

func kmsgTable(kind string, now time.Time) *wire.Table {
	return &wire.Table{Kind: kind, SampledAtMs: now.UnixMilli(), Columns: []string{"time", "level", "message"}}
}

func kmsgRow(rec kmsgRecord, at time.Time) *wire.Row {
	return row(at.UTC().Format(time.RFC3339), levels[rec.level], rec.message)
}

// kmsgRefused says why the kernel's log cannot be read and which right is missing.
func kmsgRefused(path string, err error) string {
	counters := "node_vmstat_oom_kill and node_filesystem_device_error still tell what happens, not to whom"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("there is no %s here (a container, or PrivateDevices=yes in the agent's unit); %s", path, counters)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("the agent may not read %s: kernel.dmesg_restrict is 1 and it lacks CAP_SYSLOG "+
			"(AmbientCapabilities=CAP_SYSLOG and ProtectKernelLogs=no in its unit), or the file is closed to its user; %s", path, counters)
	}
	return fmt.Sprintf("%v; %s", err, counters)
}

// monotonic is the clock of the kernel's log, near enough: CLOCK_MONOTONIC.
func monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // it cannot fail on Linux; then records are as old as the boot
	}
	return time.Duration(ts.Nano())
}

// kmsgFile is the real one. It is closed when it is collected, as every os.File.
type kmsgFile struct{ f *os.File }

func openKmsg(path string) (kmsgLog, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return kmsgFile{f}, nil
}

// Read does not wait: os.File's own would, for the poller.
func (k kmsgFile) Read(p []byte) (n int, err error) {
	c, err := k.f.SyscallConn()
	if err != nil {
		return 0, err
	}
	outer := c.Read(func(fd uintptr) bool {
		n, err = unix.Read(int(fd), p)
		return true
	})
	return max(n, 0), errors.Join(outer, err)
}

func (k kmsgFile) Close() error { return k.f.Close() }
