package sample

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

const (
	// processesOver is the time over which the bundle measures.
	processesOver = 2 * time.Second
	// processesTop is how many processes it shows by each measure.
	processesTop = 10
	// maxCommandLine is how much of a command line is shown.
	maxCommandLine = 1000
)

// processesBundle shows who uses processor, memory and disks now, with their command lines.
type processesBundle struct {
	host
	redact *Redactor
}

// load is what a process uses.
type load struct {
	processID
	command string
	// cpu is in seconds, then the share of one processor; read and written are bytes, then bytes a second.
	cpu, read, written float64
	rss                uint64
	// closed says that the agent may not see what it reads and writes.
	closed bool
	top    []string
}

func (b processesBundle) make(ctx context.Context, now time.Time, _ string) (*wire.Table, error) {
	t := &wire.Table{
		Kind: "processes", SampledAtMs: now.UnixMilli(),
		Columns: []string{"pid", "user", "command", "cpu %", "memory", "reads/s", "writes/s", "top by"},
	}
	before, err := b.loads(ctx)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if !rest(ctx, processesOver) {
		return nil, fmt.Errorf("measure processes: %w", ctx.Err())
	}
	after, err := b.loads(ctx)
	if err != nil {
		return nil, err
	}
	over := time.Since(start).Seconds()
	closed, loads := 0, make([]load, 0, len(after))
	for id, l := range after {
		old := before[id] // of one that is new since, nothing
		l.cpu, l.read, l.written = (l.cpu-old.cpu)/over, (l.read-old.read)/over, (l.written-old.written)/over
		if l.closed {
			closed++
		}
		loads = append(loads, l)
	}
	users := b.users()
	for _, l := range topLoads(loads) {
		t.Rows = append(t.Rows, b.row(l, users))
	}
	switch {
	case len(loads) == 0:
		t.NoneBecause = "no process can be seen in " + b.path.Procfs
	case closed > 0:
		t.Rows = append(t.Rows, row("", "", fmt.Sprintf("of %d processes the agent may not see what they read and write (CAP_SYS_PTRACE)", closed), "", "", "", "", ""))
	}
	return t, nil
}

// loads reads what every process has used so far.
func (b processesBundle) loads(ctx context.Context) (map[processID]load, error) {
	pids, err := b.pids()
	if err != nil {
		return nil, err
	}
	p := pace{work: usageStretch}
	out := make(map[processID]load, len(pids))
	buf := make([]byte, 1024)
	for _, pid := range pids {
		if !p.step(ctx) {
			return nil, fmt.Errorf("look at processes: %w", ctx.Err())
		}
		st, err := b.stat(pid, buf)
		if err != nil {
			continue // gone, or hidden from this user
		}
		l := load{processID: processID{pid, st.start}, command: st.command, cpu: float64(st.used) / ticks,
			rss: st.residentPage * uint64(os.Getpagesize())}
		l.read, l.written, l.closed = b.io(pid)
		out[l.processID] = l
	}
	return out, nil
}

// io is what a process has read from disks and written to them: /proc/PID/io, see proc_pid_io(5).
func (b processesBundle) io(pid int) (read, written float64, closed bool) {
	var buf [512]byte
	content, err := slurp(b.proc(strconv.Itoa(pid), "io"), buf[:])
	if err != nil {
		return 0, 0, errors.Is(err, fs.ErrPermission)
	}
	for line := range bytes.Lines(content) {
		name, number, _ := bytes.Cut(bytes.TrimSpace(line), []byte(": "))
		v, ok := decimal(number)
		switch {
		case !ok:
		case string(name) == "read_bytes":
			read = float64(v)
		case string(name) == "write_bytes":
			written = float64(v)
		}
	}
	return read, written, false
}

// topLoads picks the greatest by each measure, each process once.
func topLoads(all []load) []load {
	var out []load
	for _, by := range []struct {
		why string
		of  func(load) float64
	}{
		{"cpu", func(l load) float64 { return l.cpu }},
		{"memory", func(l load) float64 { return float64(l.rss) }},
		{"reads", func(l load) float64 { return l.read }},
		{"writes", func(l load) float64 { return l.written }},
	} {
		slices.SortFunc(all, func(a, b load) int { return cmp.Or(cmp.Compare(by.of(b), by.of(a)), cmp.Compare(a.pid, b.pid)) })
		for _, l := range all[:min(processesTop, len(all))] {
			if by.of(l) <= 0 {
				break
			}
			i := slices.IndexFunc(out, func(o load) bool { return o.processID == l.processID })
			if i < 0 {
				i, out = len(out), append(out, l)
			}
			out[i].top = append(out[i].top, by.why)
		}
	}
	return out
}

func (b processesBundle) row(l load, users map[string]string) *wire.Row {
	read, written := bytesText(uint64(l.read)), bytesText(uint64(l.written))
	if l.closed {
		read, written = "unknown", "unknown"
	}
	return row(pidText(l.pid), b.owner(l.pid, users), b.commandLine(l.pid, l.command), strconv.FormatFloat(100*l.cpu, 'f', 1, 64),
		bytesText(l.rss), read, written, strings.Join(l.top, ", "))
}

// commandLine is what the process was started with, without secrets; the command's name in brackets where it has none, as
// ps(1) shows threads of the kernel.
func (b processesBundle) commandLine(pid int, command string) string {
	content, err := read(b.proc(strconv.Itoa(pid), "cmdline"))
	if err != nil || content == "" {
		return "[" + command + "]"
	}
	arguments := strings.Split(strings.TrimRight(wire.Clean(content, maxCommandLine), "\x00"), "\x00")
	return cleanLine(b.redact.Command(arguments))
}
