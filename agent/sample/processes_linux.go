package sample

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// topProcesses is how many processes the table shows by each measure.
const topProcesses = 5

// processesSampler counts processes by state and makes the table of who uses processor and memory: /proc/PID/stat. The
// command's name only: command lines hold secrets.
type processesSampler struct {
	host
	// before is each process's processor time at the last reading, for its share since then.
	before map[processID]float64
	at     time.Time
}

// processID is a process, also when its number is used again.
type processID struct {
	pid   int
	start uint64
}

type process struct {
	processID
	command string
	// cpu is the share of one processor, 1 being all of it; rss is in bytes.
	cpu float64
	rss uint64
	top []string
}

// Read fails when the processes cannot be listed. Shares are since the reading before, at the first since the process began.
func (s *processesSampler) Read(ctx context.Context, now time.Time) (Reading, error) {
	pids, err := s.pids()
	if err != nil {
		return Reading{}, err
	}
	uptime, err := s.uptime()
	if err != nil {
		return Reading{}, err
	}
	used := make(map[processID]float64, len(pids))
	all := make([]process, 0, len(pids))
	count := newStateCount()
	buf := make([]byte, 1024)
	for _, pid := range pids {
		if ctx.Err() != nil {
			return Reading{}, fmt.Errorf("list processes: %w", ctx.Err())
		}
		st, err := s.stat(pid, buf)
		if err != nil {
			continue // gone, or hidden from this user
		}
		count.add(st)
		id := processID{pid, st.start}
		used[id] = float64(st.used) / ticks
		all = append(all, process{processID: id, command: st.command,
			cpu: s.share(id, used[id], now, uptime), rss: st.residentPage * uint64(os.Getpagesize())})
	}
	s.before, s.at = used, now
	samples, err := s.counts(count)
	if err != nil {
		return Reading{}, err
	}
	return Reading{Samples: samples, Tables: []*wire.Table{s.table(now, all)}}, nil
}

// stateCount counts processes by state, and threads.
type stateCount struct {
	pids, threads uint64
	states        map[byte]uint64
}

// newStateCount begins with the states that there usually are, so that they are told also when no process is in them.
func newStateCount() *stateCount {
	return &stateCount{states: map[byte]uint64{'D': 0, 'I': 0, 'R': 0, 'S': 0, 'T': 0, 'Z': 0}}
}

func (c *stateCount) add(st procStat) {
	c.pids++
	c.threads += st.threads
	c.states[st.state]++
}

// counts are the samples, with what the kernel allows of each.
func (h host) counts(c *stateCount) ([]wire.Sample, error) {
	out := []wire.Sample{
		{Name: "node_processes_pids", Value: float64(c.pids)}, {Name: "node_processes_threads", Value: float64(c.threads)},
	}
	for _, state := range slices.Sorted(maps.Keys(c.states)) {
		out = append(out, sample("node_processes_state", float64(c.states[state]), "state", string(rune(state))))
	}
	for _, f := range []struct{ file, name string }{
		{"sys/kernel/pid_max", "node_processes_max_processes"}, {"sys/kernel/threads-max", "node_processes_max_threads"},
	} {
		v, ok, err := value(h.proc(f.file))
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, wire.Sample{Name: f.name, Value: v})
		}
	}
	return out, nil
}

func (s *processesSampler) share(id processID, used float64, now time.Time, uptime float64) float64 {
	over := uptime - float64(id.start)/ticks
	if !s.at.IsZero() {
		// A process that is new since counts over the whole interval: what it used, it used within it.
		used, over = used-s.before[id], now.Sub(s.at).Seconds()
	}
	if over <= 0 {
		return 0
	}
	return max(0, used/over)
}

// uptime in seconds: /proc/uptime.
func (h host) uptime() (float64, error) {
	path := h.proc("uptime")
	content, err := read(path)
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(content, " ")
	return number(path, "uptime", first)
}

func (s *processesSampler) table(now time.Time, all []process) *wire.Table {
	t := &wire.Table{
		Kind: "processes", SampledAtMs: now.UnixMilli(),
		Columns: []string{"pid", "user", "command", "cpu %", "memory", "top by"},
	}
	if len(all) == 0 {
		t.NoneBecause = "no process can be seen in " + s.path.Procfs
		return t
	}
	users := s.users()
	for _, p := range top(all) {
		t.Rows = append(t.Rows, row(strconv.Itoa(p.pid), s.owner(p.pid, users), p.command,
			strconv.FormatFloat(100*p.cpu, 'f', 1, 64), bytesText(p.rss), strings.Join(p.top, ", ")))
	}
	return t
}

// top picks the greatest by processor and then those by memory, each process once.
func top(all []process) []process {
	var out []process
	pick := func(why string, compare func(a, b process) int) {
		slices.SortStableFunc(all, func(a, b process) int { return cmp.Or(compare(a, b), cmp.Compare(a.pid, b.pid)) })
		for _, p := range all[:min(topProcesses, len(all))] {
			i := slices.IndexFunc(out, func(o process) bool { return o.processID == p.processID })
			if i < 0 {
				i, out = len(out), append(out, p)
			}
			out[i].top = append(out[i].top, why)
		}
	}
	pick("cpu", func(a, b process) int { return cmp.Compare(b.cpu, a.cpu) })
	pick("memory", func(a, b process) int { return cmp.Compare(b.rss, a.rss) })
	return out
}

// owner is the user's name or, where it has none here, its number. It does not ask a directory: that may hang.
func (h host) owner(pid int, users map[string]string) string {
	info, err := os.Stat(h.proc(strconv.Itoa(pid)))
	if err != nil {
		return "ended"
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "unknown"
	}
	uid := strconv.FormatUint(uint64(st.Uid), 10)
	return cmp.Or(users[uid], uid)
}

// users maps numbers to names, of local users only: /etc/passwd. Without that file there are no names.
func (h host) users() map[string]string {
	content, err := read(h.root("etc/passwd"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	out := map[string]string{}
	for line := range strings.Lines(content) {
		if f := strings.SplitN(line, ":", 4); len(f) == 4 && out[f[2]] == "" {
			out[f[2]] = f[0]
		}
	}
	return out
}

// bytesText is for people: 1.5 GiB.
func bytesText(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
