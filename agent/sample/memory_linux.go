package sample

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// meminfoSampler tells of memory and swap: /proc/meminfo, every line of it.
type meminfoSampler struct {
	file *kept
	// plain and bytes are the metric names of lines without and with a unit.
	plain, bytes map[string]string
}

func newMeminfo(h host) *meminfoSampler {
	return &meminfoSampler{keep(h.proc("meminfo")), map[string]string{}, map[string]string{}}
}

// Read fails when the file cannot be read, a value is no number, or the total is missing.
func (s *meminfoSampler) Read(context.Context, time.Time) (Reading, error) {
	content, err := s.file.read()
	if err != nil {
		return Reading{}, err
	}
	out := make([]wire.Sample, 0, 64)
	total := false
	for len(content) > 0 {
		var l []byte
		l, content = line(content)
		key, rest, ok := bytes.Cut(l, []byte(":"))
		number, rest := word(rest)
		if !ok || len(number) == 0 {
			continue
		}
		v, ok := decimal(number)
		if !ok {
			return Reading{}, fmt.Errorf("%s: %s: want a number, got %q", s.file.path, short(key), short(number))
		}
		name, f := s.plain, float64(v)
		if unit, _ := word(rest); string(unit) == "kB" { // without a unit it is a count: HugePages_Total
			name, f = s.bytes, f*1024
		}
		out = append(out, wire.Sample{Name: s.name(name, key), Value: f})
		total = total || string(key) == "MemTotal"
	}
	if !total {
		return Reading{}, fmt.Errorf("%s: no line MemTotal; is this a Linux /proc?", s.file.path)
	}
	return Reading{Samples: out}, nil
}

// name turns Active(anon) into node_memory_Active_anon, as node_exporter does, once for each line.
func (s *meminfoSampler) name(in map[string]string, key []byte) string {
	if name, ok := in[string(key)]; ok {
		return name
	}
	name := "node_memory_" + strings.TrimSuffix(strings.Replace(string(key), "(", "_", 1), ")")
	s.plain[string(key)], s.bytes[string(key)] = name, name+"_bytes"
	return in[string(key)]
}

// vmstatSampler tells of paging and of processes killed for want of memory: /proc/vmstat.
type vmstatSampler struct {
	file   *kept
	wanted func(field string) bool
	// names of the fields seen, empty for those not wanted.
	names map[string]string
}

func newVmstat(h host, c VmstatConfig) *vmstatSampler {
	return &vmstatSampler{keep(h.proc("vmstat")), include(c.Fields), map[string]string{}}
}

// Read fails when the file cannot be read, a value is no number, or no field is wanted. Kernels before 4.13 have no
// oom_kill.
func (s *vmstatSampler) Read(context.Context, time.Time) (Reading, error) {
	content, err := s.file.read()
	if err != nil {
		return Reading{}, err
	}
	var out []wire.Sample
	for len(content) > 0 {
		var l []byte
		l, content = line(content)
		key, rest := word(l)
		name, known := s.names[string(key)]
		if !known {
			if s.wanted(string(key)) {
				name = "node_vmstat_" + string(key)
			}
			s.names[string(key)] = name
		}
		if name == "" {
			continue
		}
		number, _ := word(rest)
		v, err := whole(s.file.path, name, number)
		if err != nil {
			return Reading{}, err
		}
		out = append(out, wire.Sample{Name: name, Value: v})
	}
	if len(out) == 0 {
		return Reading{}, fmt.Errorf("%s: no line that vmstat.fields wants", s.file.path)
	}
	return Reading{Samples: out}, nil
}
