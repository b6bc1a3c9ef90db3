package sample

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// meminfoSampler tells of memory and swap: /proc/meminfo, every line of it.
type meminfoSampler struct{ host }

// Read fails when the file cannot be read, a value is no number, or the total is missing.
func (s meminfoSampler) Read(context.Context, time.Time) (Reading, error) {
	path := s.proc("meminfo")
	content, err := read(path)
	if err != nil {
		return Reading{}, err
	}
	out := make([]wire.Sample, 0, 64)
	total := false
	for line := range strings.Lines(content) {
		key, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		fields := strings.Fields(rest)
		if !ok || len(fields) == 0 {
			continue
		}
		v, err := number(path, key, fields[0])
		if err != nil {
			return Reading{}, err
		}
		name := "node_memory_" + meminfoName(key)
		if len(fields) > 1 && fields[1] == "kB" { // without a unit it is a count: HugePages_Total
			name, v = name+"_bytes", v*1024
		}
		total = total || key == "MemTotal"
		out = append(out, sample(name, v))
	}
	if !total {
		return Reading{}, fmt.Errorf("%s: no line MemTotal; is this a Linux /proc?", path)
	}
	return Reading{Samples: out}, nil
}

// meminfoName turns Active(anon) into Active_anon, as node_exporter does.
func meminfoName(key string) string {
	return strings.TrimSuffix(strings.Replace(key, "(", "_", 1), ")")
}

// vmstatSampler tells of paging and of processes killed for want of memory: /proc/vmstat.
type vmstatSampler struct{ host }

// vmstatFields are what node_exporter reports by default: ^(oom_kill|pgpg|pswp|pg.*fault).*
var vmstatFields = []string{"oom_kill", "pgfault", "pgmajfault", "pgpgin", "pgpgout", "pswpin", "pswpout"}

// Read fails when the file cannot be read or a value is no number. Kernels before 4.13 have no oom_kill.
func (s vmstatSampler) Read(context.Context, time.Time) (Reading, error) {
	path := s.proc("vmstat")
	content, err := read(path)
	if err != nil {
		return Reading{}, err
	}
	var out []wire.Sample
	for line := range strings.Lines(content) {
		key, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !slices.Contains(vmstatFields, key) {
			continue
		}
		v, err := number(path, key, rest)
		if err != nil {
			return Reading{}, err
		}
		out = append(out, sample("node_vmstat_"+key, v))
	}
	if len(out) == 0 {
		return Reading{}, fmt.Errorf("%s: none of the expected lines (%s)", path, strings.Join(vmstatFields, ", "))
	}
	return Reading{Samples: out}, nil
}
