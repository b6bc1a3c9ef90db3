package sample

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// loadavgSampler tells how many tasks run or wait: /proc/loadavg.
type loadavgSampler struct{ file *kept }

func newLoadavg(h host) *loadavgSampler { return &loadavgSampler{keep(h.proc("loadavg"))} }

// Read fails when the file cannot be read or does not begin with three numbers.
func (s *loadavgSampler) Read(context.Context, time.Time) (Reading, error) {
	content, err := s.file.read()
	if err != nil {
		return Reading{}, err
	}
	out := []wire.Sample{{Name: "node_load1"}, {Name: "node_load5"}, {Name: "node_load15"}}
	for i := range out {
		var w []byte
		w, content = word(content)
		if out[i].Value, err = strconv.ParseFloat(string(w), 64); err != nil {
			return Reading{}, fmt.Errorf("%s: %s: want a number, got %q", s.file.path, out[i].Name, short(w))
		}
	}
	return Reading{Samples: out}, nil
}

// timeSampler tells what the host itself thinks the time is: not the corrected time at which the block is stamped, so
// that the two can be compared, and uptime is right also where the clock is wrong.
type timeSampler struct{ clock func() time.Time }

// Read never fails.
func (s timeSampler) Read(context.Context, time.Time) (Reading, error) {
	return Reading{Samples: []wire.Sample{{Name: "node_time_seconds", Value: float64(s.clock().UnixNano()) / 1e9}}}, nil
}

// filefdSampler counts open files of the whole host: /proc/sys/fs/file-nr.
type filefdSampler struct{ file *kept }

func newFilefd(h host) *filefdSampler { return &filefdSampler{keep(h.proc("sys/fs/file-nr"))} }

// Read fails when the file cannot be read or has not three numbers.
func (s *filefdSampler) Read(context.Context, time.Time) (Reading, error) {
	content, err := s.file.read()
	if err != nil {
		return Reading{}, err
	}
	var n [3]uint64 // allocated, free (always 0 since Linux 2.6), maximum
	for i := range n {
		var w []byte
		var ok bool
		w, content = word(content)
		if n[i], ok = decimal(w); !ok {
			return Reading{}, fmt.Errorf("%s: want three numbers, got %q", s.file.path, short(w))
		}
	}
	return Reading{Samples: []wire.Sample{
		{Name: "node_filefd_allocated", Value: float64(n[0])}, {Name: "node_filefd_maximum", Value: float64(n[2])},
	}}, nil
}

// entropySampler tells how much randomness the kernel has gathered: /proc/sys/kernel/random.
type entropySampler struct{ available, size *kept }

func newEntropy(h host) *entropySampler {
	return &entropySampler{keep(h.proc("sys/kernel/random/entropy_avail")), keep(h.proc("sys/kernel/random/poolsize"))}
}

// Read fails when a file cannot be read or holds no number.
func (s *entropySampler) Read(context.Context, time.Time) (Reading, error) {
	var out []wire.Sample
	for _, f := range []struct {
		file *kept
		name string
	}{{s.available, "node_entropy_available_bits"}, {s.size, "node_entropy_pool_size_bits"}} {
		content, err := f.file.read()
		if err != nil {
			return Reading{}, err
		}
		w, _ := word(content)
		v, err := whole(f.file.path, f.name, w)
		if err != nil {
			return Reading{}, err
		}
		out = append(out, wire.Sample{Name: f.name, Value: v})
	}
	return Reading{Samples: out}, nil
}

// edacSampler counts memory errors by controller: /sys/devices/system/edac/mc.
// Files: https://docs.kernel.org/admin-guide/RAS/main.html
type edacSampler struct{ host }

// Read fails when a count cannot be read. Hosts without such memory, or without its driver, have no samples.
func (s edacSampler) Read(context.Context, time.Time) (Reading, error) {
	dir := s.sys("devices/system/edac/mc")
	controllers, err := numbered(dir, "mc")
	if errors.Is(err, fs.ErrNotExist) {
		return Reading{}, nil
	}
	if err != nil {
		return Reading{}, fmt.Errorf("list memory controllers: %w", err)
	}
	var out []wire.Sample
	for _, c := range controllers[:min(len(controllers), maxEDAC)] {
		for _, f := range []struct{ file, name string }{
			{"ce_count", "node_edac_correctable_errors_total"}, {"ue_count", "node_edac_uncorrectable_errors_total"},
		} {
			v, ok, err := value(dir + "/mc" + c + "/" + f.file)
			if err != nil {
				return Reading{}, err
			}
			if ok {
				out = append(out, sample(f.name, v, "controller", c))
			}
		}
	}
	if left := len(controllers) - maxEDAC; left > 0 {
		out = append(out, leftOut("edac", left))
	}
	return Reading{Samples: out}, nil
}
