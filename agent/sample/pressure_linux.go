package sample

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

// pressureSampler tells how long tasks waited for a processor, memory or a disk: /proc/pressure.
// See https://docs.kernel.org/accounting/psi.html
type pressureSampler struct{ files [4]pressureFile }

type pressureFile struct {
	*kept
	some, full string // metrics; empty where there is none
}

func newPressure(h host) *pressureSampler {
	at := func(name, some, full string) pressureFile {
		return pressureFile{keep(h.proc("pressure", name)), some, full}
	}
	return &pressureSampler{[...]pressureFile{
		at("cpu", "node_pressure_cpu_waiting_seconds_total", ""), // "full" is not defined for the whole host
		at("io", "node_pressure_io_waiting_seconds_total", "node_pressure_io_stalled_seconds_total"),
		at("memory", "node_pressure_memory_waiting_seconds_total", "node_pressure_memory_stalled_seconds_total"),
		at("irq", "", "node_pressure_irq_stalled_seconds_total"), // from Linux 6.1, where configured
	}}
}

// Read fails when a file is not what it should be. Kernels before 4.20, and those that boot with psi=0, do not tell.
func (s *pressureSampler) Read(context.Context, time.Time) (Reading, error) {
	out := make([]wire.Sample, 0, 6)
	for _, f := range s.files {
		content, err := f.read()
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EOPNOTSUPP) {
			continue
		}
		if err != nil {
			return Reading{}, err
		}
		for len(content) > 0 {
			var l []byte
			l, content = line(content)
			name := f.some
			if bytes.HasPrefix(l, []byte("full ")) {
				name = f.full
			}
			if name == "" {
				continue
			}
			_, total, _ := bytes.Cut(l, []byte(" total="))
			v, ok := decimal(total)
			if !ok {
				return Reading{}, fmt.Errorf("%s: want a line with total= and microseconds, got %q", f.path, short(l))
			}
			out = append(out, wire.Sample{Name: name, Value: float64(v) / 1e6})
		}
	}
	return Reading{Samples: out}, nil
}
