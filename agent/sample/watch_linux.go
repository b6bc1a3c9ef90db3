package sample

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// watchSampler counts the processes that Config.Watch names: /proc/PID/cmdline.
type watchSampler struct {
	host
	groups []group
	buf    []byte // holds the longest command line so far
}

type group struct {
	name  string
	match *regexp.Regexp
}

func newWatch(h host, watch []Watch) *watchSampler {
	s := &watchSampler{host: h, buf: make([]byte, 4096)}
	for _, w := range watch {
		s.groups = append(s.groups, group{w.Name, regexp.MustCompile(w.Cmdline)})
	}
	return s
}

// Read fails when the processes cannot be listed. It looks at all of them every time: a process that has just forked
// shows its parent's command line until it executes its own, so what was seen before proves nothing.
func (s *watchSampler) Read(ctx context.Context, _ time.Time) (Reading, error) {
	pids, err := s.pids()
	if err != nil {
		return Reading{}, err
	}
	boot, err := s.bootTime()
	if err != nil {
		return Reading{}, err
	}
	count, oldest := make([]int, len(s.groups)), make([]float64, len(s.groups))
	for _, pid := range pids {
		if ctx.Err() != nil {
			return Reading{}, fmt.Errorf("count processes: %w", ctx.Err())
		}
		line, err := s.cmdline(pid)
		if err != nil {
			return Reading{}, err
		}
		if line == "" { // a thread of the kernel, or gone, or a zombie: it serves nobody
			continue
		}
		started := 0.0
		for i, g := range s.groups {
			if !g.match.MatchString(line) {
				continue
			}
			if started == 0 {
				if started, err = s.started(pid, boot); err != nil {
					break // gone since
				}
			}
			count[i]++
			if oldest[i] == 0 || started < oldest[i] {
				oldest[i] = started
			}
		}
	}
	out := make([]wire.Sample, 0, 2*len(s.groups))
	for i, g := range s.groups {
		out = append(out,
			sample("namedprocess_namegroup_num_procs", float64(count[i]), "groupname", g.name),
			sample("namedprocess_namegroup_oldest_start_time_seconds", oldest[i], "groupname", g.name))
	}
	return Reading{Samples: out}, nil
}

// cmdline is the process's arguments joined by spaces; empty for one that is gone.
func (s *watchSampler) cmdline(pid int) (string, error) {
	path := s.proc(strconv.Itoa(pid), "cmdline")
	b, err := slurp(path, s.buf)
	switch {
	case gone(err):
		return "", nil
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("%w; /proc hides other users' processes (hidepid): let the agent's group see them", err)
	case err != nil:
		return "", err
	}
	for i, c := range b {
		if c == 0 {
			b[i] = ' '
		}
	}
	s.buf = b
	return string(bytes.TrimRight(b, " ")), nil
}

// started is when the process began, in seconds since 1970 by the host's clock.
func (s *watchSampler) started(pid int, boot time.Time) (float64, error) {
	st, err := s.stat(pid, nil)
	if err != nil {
		return 0, err
	}
	return float64(boot.Unix()) + float64(st.start)/ticks, nil
}

// procStat is what is used of /proc/PID/stat, see proc_pid_stat(5).
type procStat struct {
	command      string
	state        byte
	used         uint64 // processor time in ticks
	threads      uint64
	start        uint64 // ticks after boot
	residentPage uint64
}

// stat reads a process's line. buf may be nil.
func (h host) stat(pid int, buf []byte) (procStat, error) {
	path := h.proc(strconv.Itoa(pid), "stat")
	content, err := slurp(path, buf)
	if err != nil {
		return procStat{}, err
	}
	// The command stands in parentheses and may hold some itself.
	begin, end := bytes.IndexByte(content, '('), bytes.LastIndexByte(content, ')')
	if begin < 0 || end < begin {
		return procStat{}, fmt.Errorf("%s: want a command in parentheses, got %q", path, short(content))
	}
	s := procStat{command: string(content[begin+1 : end])}
	rest := content[end+1:]
	var n [25]uint64 // by the number of the field, which begins with 1 and is 3 after the command
	for i := 3; i < len(n); i++ {
		var w []byte
		w, rest = word(rest)
		if len(w) == 0 {
			return procStat{}, fmt.Errorf("%s: want at least %d fields, got %q", path, len(n)-1, short(content))
		}
		if i == 3 {
			s.state = w[0]
		}
		n[i], _ = decimal(w) // some may be negative; not those below
	}
	s.used, s.threads, s.start, s.residentPage = n[14]+n[15], n[20], n[22], n[24]
	return s, nil
}

// pids lists the processes this user may see.
func (h host) pids() ([]int, error) {
	d, err := os.Open(h.proc())
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	pids := make([]int, 0, len(names))
	for _, n := range names {
		if strings.Trim(n, "0123456789") != "" {
			continue
		}
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// gone says whether err means that the process ended while it was looked at.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}
