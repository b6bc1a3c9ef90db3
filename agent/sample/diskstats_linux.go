package sample

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/procfs/blockdevice"

	"github.com/watchbill/watchbill/agent/wire"
)

// diskstatsSampler counts what block devices did: /proc/diskstats.
// Fields: https://www.kernel.org/doc/Documentation/ABI/testing/procfs-diskstats
type diskstatsSampler struct {
	host
	ignored func(device string) bool
}

// Read fails when the file cannot be read.
func (s diskstatsSampler) Read(context.Context, time.Time) (Reading, error) {
	fs, err := blockdevice.NewFS(s.path.Procfs, s.path.Sysfs)
	if err != nil {
		return Reading{}, err
	}
	disks, err := fs.ProcDiskstats()
	if err != nil {
		return Reading{}, fmt.Errorf("read %s: %w", s.proc("diskstats"), err)
	}
	var out []wire.Sample
	for _, d := range disks {
		if !s.ignored(d.DeviceName) {
			out = append(out, diskSamples(d)...)
		}
	}
	return Reading{Samples: out}, nil
}

func diskSamples(d blockdevice.Diskstats) []wire.Sample {
	const (
		sector = 512  // the kernel's unit here, whatever the device's
		tick   = 1000 // per second
	)
	n := func(v uint64) float64 { return float64(v) }
	values := []struct {
		name  string
		value float64
	}{
		{"reads_completed_total", n(d.ReadIOs)},
		{"reads_merged_total", n(d.ReadMerges)},
		{"read_bytes_total", n(d.ReadSectors) * sector},
		{"read_time_seconds_total", n(d.ReadTicks) / tick},
		{"writes_completed_total", n(d.WriteIOs)},
		{"writes_merged_total", n(d.WriteMerges)},
		{"written_bytes_total", n(d.WriteSectors) * sector},
		{"write_time_seconds_total", n(d.WriteTicks) / tick},
		{"io_now", n(d.IOsInProgress)},
		{"io_time_seconds_total", n(d.IOsTotalTicks) / tick},
		{"io_time_weighted_seconds_total", n(d.WeightedIOTicks) / tick},
		{"discards_completed_total", n(d.DiscardIOs)}, // from kernel 4.18
		{"discards_merged_total", n(d.DiscardMerges)},
		{"discarded_sectors_total", n(d.DiscardSectors)},
		{"discard_time_seconds_total", n(d.DiscardTicks) / tick},
		{"flush_requests_total", n(d.FlushRequestsCompleted)}, // from kernel 5.5
		{"flush_requests_time_seconds_total", n(d.TimeSpentFlushing) / tick},
	}
	// The line begins with major, minor and name; an older kernel has fewer fields after them.
	values = values[:max(0, min(len(values), d.IoStatsCount-3))]
	out := make([]wire.Sample, len(values))
	for i, v := range values {
		out[i] = sample("node_disk_"+v.name, v.value, "device", d.DeviceName)
	}
	return out
}
