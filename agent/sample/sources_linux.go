package sample

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// tablesEvery is how often tables are made: they are read by people and cost more than samples.
const tablesEvery = 15 * time.Second

// Sources makes the samplers that c asks for, in the order of Names. It starts nothing and reads nothing but c; an error
// names every bad field of c.
func Sources(c Config) ([]Source, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("samplers: %w", err)
	}
	h := host{c.Path.withDefaults()}
	all := map[string]Source{
		"boot":       {Sampler: &bootSampler{host: h, dir: c.StateDir}},
		"cpu":        {Kind: "node", Sampler: cpuSampler{h}},
		"loadavg":    {Kind: "node", Sampler: loadavgSampler{h}},
		"meminfo":    {Kind: "node", Sampler: meminfoSampler{h}},
		"vmstat":     {Kind: "node", Sampler: vmstatSampler{h}},
		"filesystem": {Kind: "node", Sampler: newFilesystem(h, c.Filesystem)},
		"diskstats":  {Kind: "node", Sampler: diskstatsSampler{h, exclude(c.Diskstats.DeviceExclude)}},
		"netdev":     {Kind: "node", Sampler: netdevSampler{h, exclude(c.Netdev.DeviceExclude)}},
		"netclass":   {Kind: "node", Sampler: netclassSampler{h, exclude(c.Netclass.IgnoredDevices)}},
		"stat":       {Kind: "node", Sampler: statSampler{h}},
		"time":       {Kind: "node", Sampler: timeSampler{time.Now}},
		"uname":      {Kind: "node", Sampler: unameSampler{}},
		"filefd":     {Kind: "node", Sampler: filefdSampler{h}},
		"systemd":    {Kind: "node", Every: systemdEvery, Sampler: newSystemd(h, c.Systemd)},
		"process":    {Kind: "process", Sampler: newWatch(h, c.Watch)},
		"processes":  {Every: tablesEvery, Sampler: &processesSampler{host: h}},
		"sessions":   {Every: tablesEvery, Sampler: sessionsSampler{h}},
		"self":       {Kind: "watchbill_agent", Sampler: selfSampler{c.Version}},
	}
	var out []Source
	for _, name := range Names {
		if !c.wants(name) || name == "process" && len(c.Watch) == 0 {
			continue
		}
		s := all[name]
		s.Name = name
		out = append(out, s)
	}
	return out, nil
}

func (p Path) withDefaults() Path {
	d := DefaultConfig().Path
	if p.Procfs == "" {
		p.Procfs = d.Procfs
	}
	if p.Sysfs == "" {
		p.Sysfs = d.Sysfs
	}
	if p.Rootfs == "" {
		p.Rootfs = d.Rootfs
	}
	return p
}

// host is where this host's trees are.
type host struct{ path Path }

func (h host) proc(parts ...string) string {
	return filepath.Join(append([]string{h.path.Procfs}, parts...)...)
}

func (h host) sys(parts ...string) string {
	return filepath.Join(append([]string{h.path.Sysfs}, parts...)...)
}

func (h host) root(parts ...string) string {
	return filepath.Join(append([]string{h.path.Rootfs}, parts...)...)
}

// maxFile bounds what is read of one file of /proc or /sys; the largest in practice, /proc/1/mountinfo on a container
// host, stays below a tenth of it.
const maxFile = 16 << 20

// read returns the content of a small file of the kernel, and refuses one that has grown absurd.
func read(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var b bytes.Buffer
	b.Grow(4096) // most are smaller, and each call of read costs the kernel the making of the content
	n, err := b.ReadFrom(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", err
	}
	if n > maxFile {
		return "", fmt.Errorf("%s: larger than %d bytes, which no file of the kernel should be", path, maxFile)
	}
	return b.String(), nil
}

// number reads a decimal of a named file for an error that says where it stood.
func number(path, what, s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %s: want a number, got %q", path, what, s)
	}
	return v, nil
}

// sample makes one sample; labels come in pairs of name and value.
func sample(name string, value float64, labels ...string) wire.Sample {
	s := wire.Sample{Name: name, Value: value}
	if len(labels) > 0 {
		s.Labels = make([]wire.Label, 0, len(labels)/2)
	}
	for i := 0; i+1 < len(labels); i += 2 {
		s.Labels = append(s.Labels, wire.Label{Name: labels[i], Value: labelValue(labels[i+1])})
	}
	return s
}

// labelValue makes s fit for the wire: names of mounts need not be UTF-8, and whoever may mount can make them so long that
// the whole report would be refused. What is cut off is told apart by a hash, so that two series never become one.
func labelValue(s string) string {
	limit := wire.DefaultLimits().LabelValueBytes
	if len(s) <= limit {
		return wire.Clean(s, limit)
	}
	h := fnv.New64a()
	h.Write([]byte(s))
	return wire.Clean(s, limit-20) + fmt.Sprintf("…%016x", h.Sum64())
}

// row is one of a table, each cell fit for the wire.
func row(cells ...string) *wire.Row {
	for i := range cells {
		cells[i] = wire.Clean(cells[i], wire.DefaultLimits().CellBytes)
	}
	return &wire.Row{Cells: cells}
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
