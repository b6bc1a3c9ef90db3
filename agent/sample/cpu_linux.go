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

// cpuSampler counts seconds per processor and mode: /proc/stat, see proc_stat(5).
type cpuSampler struct {
	stat *kept
	cpus map[string]*cpuLabels
}

// cpuLabels are the label sets of one processor, in the order of the kernel's columns.
type cpuLabels [len(cpuModes)][]wire.Label

// cpuModes are the columns of a processor's line. The last two are guests' time, which is counted in user and nice already
// and, as in node_exporter, has a name of its own.
var cpuModes = [...]string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "user", "nice"}

const guestModes = 2

func newCPU(h host) *cpuSampler {
	return &cpuSampler{stat: keep(h.proc("stat")), cpus: map[string]*cpuLabels{}}
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
	return Reading{Samples: append(out, leftOut("cpu", max(0, count-maxCPUs)))}, nil
}

func (s *cpuSampler) cpu(out []wire.Sample, id, rest []byte) ([]wire.Sample, error) {
	labels := s.labels(id)
	for i := range cpuModes {
		var w []byte
		w, rest = word(rest)
		if len(w) == 0 && i >= 4 {
			break // an old kernel, which does not count the rest
		}
		v, ok := decimal(w)
		if !ok {
			return nil, fmt.Errorf("%s: cpu%s: want a number for %s, got %q", s.stat.path, id, cpuModes[i], short(w))
		}
		name := "node_cpu_seconds_total"
		if i >= len(cpuModes)-guestModes {
			name = "node_cpu_guest_seconds_total"
		}
		out = append(out, wire.Sample{Name: name, Labels: labels[i], Value: float64(v) / ticks})
	}
	return out, nil
}

func (s *cpuSampler) labels(id []byte) *cpuLabels {
	if l := s.cpus[string(id)]; l != nil {
		return l
	}
	l := &cpuLabels{}
	cpu := wire.Label{Name: "cpu", Value: string(id)}
	for i, mode := range cpuModes {
		l[i] = []wire.Label{cpu, {Name: "mode", Value: mode}}
	}
	s.cpus[string(id)] = l
	return l
}
