package sample

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// ticks is USER_HZ, which is 100 on every architecture that Go runs Linux on.
const ticks = 100

// jumpBack is by how much a processor's idle time falls when it was taken out and put in again and counts anew, as
// node_exporter has it. What idle and iowait fall by otherwise is a few ticks that the kernel reckons anew.
const jumpBack = 3 * ticks

// cpuSampler counts seconds per processor and mode: /proc/stat, see proc_stat(5).
//
// The kernel's idle and iowait may fall. A counter that falls has begun anew for every rate(), and a busy hour would be
// added at once; so each keeps the highest value it had, until the processor itself is new.
type cpuSampler struct {
	stat *kept
	cpus map[string]*processor
}

// processor is what is kept of one, its columns in the kernel's order.
type processor struct {
	labels  [len(cpuModes)][]wire.Label
	highest [len(cpuModes)]uint64
	seen    bool // at this reading
}

// cpuModes are the columns of a processor's line. The last two are guests' time, which is counted in user and nice already
// and, as in node_exporter, has a name of its own.
var cpuModes = [...]string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "user", "nice"}

const (
	guestModes = 2
	idleMode   = 3
)

func newCPU(h host) *cpuSampler {
	return &cpuSampler{stat: keep(h.proc("stat")), cpus: map[string]*processor{}}
}

// Read fails when /proc/stat names no processor or a value is no number.
func (s *cpuSampler) Read(context.Context, time.Time) (Reading, error) {
	content, err := s.stat.read()
	if err != nil {
		return Reading{}, err
	}
	out := make([]wire.Sample, 0, len(cpuModes)*max(1, len(s.cpus))+1)
	count := 0
	for len(content) > 0 {
		var l []byte
		l, content = line(content)
		rest, ok := bytes.CutPrefix(l, []byte("cpu"))
		if !ok {
			break // processors come first, and the rest of the file can be long
		}
		id, rest := word(rest)
		if len(id) == 0 || l[3] == ' ' { // the sum of all
			continue
		}
		if count++; count > maxCPUs {
			continue
		}
		if out, err = s.cpu(out, id, rest); err != nil {
			return Reading{}, err
		}
	}
	if count == 0 {
		return Reading{}, fmt.Errorf("%s: it names no processor; is this a Linux /proc?", s.stat.path)
	}
	s.forget()
	return Reading{Samples: append(out, leftOut("cpu", max(0, count-maxCPUs)))}, nil
}

func (s *cpuSampler) cpu(out []wire.Sample, id, rest []byte) ([]wire.Sample, error) {
	var now [len(cpuModes)]uint64
	n := 0
	for ; n < len(now); n++ {
		var w []byte
		w, rest = word(rest)
		if len(w) == 0 && n > idleMode {
			break // an old kernel, which does not count the rest
		}
		v, ok := decimal(w)
		if !ok {
			return nil, fmt.Errorf("%s: cpu%s: want a number for %s, got %q", s.stat.path, id, cpuModes[n], short(w))
		}
		now[n] = v
	}
	p := s.processor(id)
	p.seen = true
	if p.highest[idleMode] >= now[idleMode]+jumpBack {
		p.highest = now
	}
	for i := range n {
		p.highest[i] = max(p.highest[i], now[i])
		name := "node_cpu_seconds_total"
		if i >= len(cpuModes)-guestModes {
			name = "node_cpu_guest_seconds_total"
		}
		out = append(out, wire.Sample{Name: name, Labels: p.labels[i], Value: float64(p.highest[i]) / ticks})
	}
	return out, nil
}

func (s *cpuSampler) processor(id []byte) *processor {
	if p := s.cpus[string(id)]; p != nil {
		return p
	}
	p := &processor{}
	cpu := wire.Label{Name: "cpu", Value: string(id)}
	for i, mode := range cpuModes {
		p.labels[i] = []wire.Label{cpu, {Name: "mode", Value: mode}}
	}
	s.cpus[string(id)] = p
	return p
}

// forget lets go of processors that are off: when one comes back it is new.
func (s *cpuSampler) forget() {
	for id, p := range s.cpus {
		if !p.seen {
			delete(s.cpus, id)
		}
		p.seen = false
	}
}
