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

// conntrackSampler tells how full the table of tracked connections is: /proc/sys/net/netfilter, /proc/net/stat.
type conntrackSampler struct{ count, limit, stat *kept }

// conntrackStats are the columns of /proc/net/stat/nf_conntrack that node_exporter reports.
var conntrackStats = map[string]string{
	"found": "node_nf_conntrack_stat_found", "invalid": "node_nf_conntrack_stat_invalid",
	"ignore": "node_nf_conntrack_stat_ignore", "insert": "node_nf_conntrack_stat_insert",
	"insert_failed": "node_nf_conntrack_stat_insert_failed", "drop": "node_nf_conntrack_stat_drop",
	"early_drop": "node_nf_conntrack_stat_early_drop", "search_restart": "node_nf_conntrack_stat_search_restart",
}

func newConntrack(h host) *conntrackSampler {
	return &conntrackSampler{
		keep(h.proc("sys/net/netfilter/nf_conntrack_count")), keep(h.proc("sys/net/netfilter/nf_conntrack_max")),
		keep(h.proc("net/stat/nf_conntrack")),
	}
}

// Read fails when a value is no number. A host that tracks no connections has no samples.
func (s *conntrackSampler) Read(context.Context, time.Time) (Reading, error) {
	var out []wire.Sample
	for _, f := range []struct {
		file *kept
		name string
	}{{s.count, "node_nf_conntrack_entries"}, {s.limit, "node_nf_conntrack_entries_limit"}} {
		content, err := f.file.read()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
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
	content, err := s.stat.read()
	if errors.Is(err, fs.ErrNotExist) {
		return Reading{Samples: out}, nil
	}
	if err != nil {
		return Reading{}, err
	}
	out, err = s.stats(out, content)
	return Reading{Samples: out}, err
}

// stats adds up the processors' lines, hexadecimal, under their line of names.
func (s *conntrackSampler) stats(out []wire.Sample, content []byte) ([]wire.Sample, error) {
	head, content := line(content)
	var columns []string
	sums := map[string]uint64{}
	for {
		var w []byte
		if w, head = word(head); len(w) == 0 {
			break
		}
		columns = append(columns, conntrackStats[string(w)])
	}
	for len(content) > 0 {
		var l []byte
		l, content = line(content)
		for _, name := range columns {
			var w []byte
			if w, l = word(l); name == "" {
				continue
			}
			v, err := strconv.ParseUint(string(w), 16, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: want a hexadecimal number, got %q", s.stat.path, name, short(w))
			}
			sums[name] += v
		}
	}
	for _, name := range columns {
		if v, ok := sums[name]; ok {
			out = append(out, wire.Sample{Name: name, Value: float64(v)})
		}
	}
	return out, nil
}

// softnetSampler counts packets that the kernel took from devices or had to drop, by processor: /proc/net/softnet_stat.
type softnetSampler struct {
	file   *kept
	labels [][]wire.Label
}

func newSoftnet(h host) *softnetSampler {
	return &softnetSampler{file: keep(h.proc("net/softnet_stat"))}
}

// softnetFields are the first columns.
var softnetFields = [...]string{"node_softnet_processed_total", "node_softnet_dropped_total", "node_softnet_times_squeezed_total"}

// softnetCPU is the column that names the processor, since Linux 5.10; before, the line's number has to do.
const softnetCPU = 12

// Read fails when the file cannot be read or a value is no number.
func (s *softnetSampler) Read(context.Context, time.Time) (Reading, error) {
	content, err := s.file.read()
	if err != nil {
		return Reading{}, err
	}
	out := make([]wire.Sample, 0, len(softnetFields)*max(1, len(s.labels))+1)
	count := 0
	for ; len(content) > 0; count++ {
		var l []byte
		l, content = line(content)
		if count >= maxSoftnet {
			continue
		}
		cpu, values := uint64(count), [len(softnetFields)]float64{}
		for column := range softnetCPU + 1 {
			var w []byte
			if w, l = word(l); column >= len(values) && (column != softnetCPU || len(w) == 0) {
				continue
			}
			v, err := strconv.ParseUint(string(w), 16, 32)
			if err != nil {
				return Reading{}, fmt.Errorf("%s: want hexadecimal numbers, got %q", s.file.path, short(w))
			}
			if column == softnetCPU {
				cpu = v
			} else {
				values[column] = float64(v)
			}
		}
		labels := s.cpu(count, cpu)
		for i, name := range softnetFields {
			out = append(out, wire.Sample{Name: name, Labels: labels, Value: values[i]})
		}
	}
	return Reading{Samples: append(out, leftOut("softnet", max(0, count-maxSoftnet)))}, nil
}

// cpu is the label set of line i, which names this processor.
func (s *softnetSampler) cpu(i int, cpu uint64) []wire.Label {
	if i == len(s.labels) {
		s.labels = append(s.labels, nil)
	}
	id := strconv.FormatUint(cpu, 10)
	if s.labels[i] == nil || s.labels[i][0].Value != id {
		s.labels[i] = []wire.Label{{Name: "cpu", Value: id}}
	}
	return s.labels[i]
}
