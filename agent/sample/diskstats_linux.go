package sample

import (
	"context"
	"fmt"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// diskstatsSampler counts what block devices did: /proc/diskstats.
// Fields: https://www.kernel.org/doc/Documentation/ABI/testing/procfs-diskstats
type diskstatsSampler struct {
	file    *kept
	ignored *choice
	labels  *labels
	info    *diskInfo
}

// diskFields are the columns after major, minor and name, and what one of them counts in node_exporter's units.
var diskFields = [...]struct {
	name string
	unit float64
	over float64
}{
	{"node_disk_reads_completed_total", 1, 1},
	{"node_disk_reads_merged_total", 1, 1},
	{"node_disk_read_bytes_total", sector, 1},
	{"node_disk_read_time_seconds_total", 1, 1000},
	{"node_disk_writes_completed_total", 1, 1},
	{"node_disk_writes_merged_total", 1, 1},
	{"node_disk_written_bytes_total", sector, 1},
	{"node_disk_write_time_seconds_total", 1, 1000},
	{"node_disk_io_now", 1, 1},
	{"node_disk_io_time_seconds_total", 1, 1000},
	{"node_disk_io_time_weighted_seconds_total", 1, 1000},
	{"node_disk_discards_completed_total", 1, 1}, // from kernel 4.18
	{"node_disk_discards_merged_total", 1, 1},
	{"node_disk_discarded_sectors_total", 1, 1},
	{"node_disk_discard_time_seconds_total", 1, 1000},
	{"node_disk_flush_requests_total", 1, 1}, // from kernel 5.5
	{"node_disk_flush_requests_time_seconds_total", 1, 1000},
}

// sector is the kernel's unit here, whatever the device's.
const sector = 512

func newDiskstats(h host, c DiskstatsConfig) *diskstatsSampler {
	return &diskstatsSampler{
		file: keep(h.proc("diskstats")), ignored: newChoice(outside(c.DeviceExclude, c.DeviceInclude)), labels: newLabels("device"),
		info: newDiskInfo(h),
	}
}

// Read fails when the file cannot be read or a line has no numbers.
func (s *diskstatsSampler) Read(_ context.Context, now time.Time) (Reading, error) {
	content, err := s.file.read()
	if err != nil {
		return Reading{}, err
	}
	var out []wire.Sample
	count := 0
	for len(content) > 0 {
		var l []byte
		l, content = line(content)
		major, rest := word(l)
		minor, rest := word(rest)
		device, rest := word(rest)
		if len(device) == 0 {
			return Reading{}, fmt.Errorf("%s: want a line of numbers with a device, got %q", s.file.path, short(l))
		}
		if s.ignored.of(device) {
			continue
		}
		if count++; count > maxDisks {
			continue
		}
		if out == nil {
			out = make([]wire.Sample, 0, (len(diskFields)+1)*max(1, len(s.labels.made))+1)
		}
		labels := s.labels.of(device)
		if out, err = s.disk(out, labels, rest); err != nil {
			return Reading{}, err
		}
		out = append(out, s.info.of(now, major, minor, device))
	}
	s.labels.sweep()
	s.info.sweep()
	return Reading{Samples: append(out, leftOut("diskstats", max(0, count-maxDisks)))}, nil
}

func (s *diskstatsSampler) disk(out []wire.Sample, labels []wire.Label, rest []byte) ([]wire.Sample, error) {
	for _, f := range diskFields {
		var w []byte
		w, rest = word(rest)
		if len(w) == 0 { // an older kernel
			break
		}
		v, err := whole(s.file.path, f.name, w)
		if err != nil {
			return nil, err
		}
		out = append(out, wire.Sample{Name: f.name, Labels: labels, Value: v * f.unit / f.over})
	}
	return out, nil
}
