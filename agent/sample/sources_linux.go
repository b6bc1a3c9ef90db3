package sample

import (
	"fmt"
	"hash/fnv"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

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
	redact, err := NewRedactor(c.Redact)
	if err != nil {
		return nil, fmt.Errorf("samplers: %w", err)
	}
	all := map[string]Source{}
	for _, group := range []map[string]Source{c.kernel(h), c.facts(h), c.software(h), c.told(h, redact)} {
		maps.Copy(all, group)
	}
	var out []Source
	for _, name := range Names {
		if c.unread(name) {
			continue
		}
		s := all[name]
		s.Name, s.Sampler = name, redactedSampler{s.Sampler, redact} // all of them: their errors are told too
		out = append(out, s)
	}
	return out, nil
}

// unread says whether the source of this name is not asked for, or has nothing to look at.
func (c Config) unread(name string) bool {
	return !c.wants(name) || name == "process" && len(c.Watch) == 0 || name == "textfile" && c.Textfile.Directory == ""
}

// kernel makes the samplers of what the kernel counts and measures all the time.
func (c Config) kernel(h host) map[string]Source {
	return map[string]Source{
		"cpu":        {Kind: "node", Sampler: newCPU(h)},
		"loadavg":    {Kind: "node", Sampler: newLoadavg(h)},
		"meminfo":    {Kind: "node", Sampler: newMeminfo(h)},
		"vmstat":     {Kind: "node", Sampler: newVmstat(h, c.Vmstat)},
		"pressure":   {Kind: "node", Sampler: newPressure(h)},
		"filesystem": {Kind: "node", Sampler: newFilesystem(h, c.Filesystem)},
		"diskstats":  {Kind: "node", Sampler: newDiskstats(h, c.Diskstats)},
		"netdev":     {Kind: "node", Sampler: newNetdev(h, c.Netdev)},
		"netclass":   {Kind: "node", Sampler: newNetclass(h, c.Netclass)},
		"netstat":    {Kind: "node", Sampler: newNetstat(h, c.Netstat)},
		"sockstat":   {Kind: "node", Sampler: newSockstat(h)},
		"softnet":    {Kind: "node", Sampler: newSoftnet(h)},
		"conntrack":  {Kind: "node", Sampler: newConntrack(h)},
		"stat":       {Kind: "node", Sampler: newStat(h)},
		"time":       {Kind: "node", Sampler: timeSampler{time.Now}},
		"timex":      {Kind: "node", Sampler: timexSampler{unix.Adjtimex}},
		"entropy":    {Kind: "node", Sampler: newEntropy(h)},
		"filefd":     {Kind: "node", Sampler: newFilefd(h)},
	}
}

// facts makes those of what hardly ever changes, or costs more to look at.
func (c Config) facts(h host) map[string]Source {
	return map[string]Source{
		"mdadm":        {Kind: "node", Every: raidEvery, Sampler: mdadmSampler{h}},
		"bonding":      {Kind: "node", Every: raidEvery, Sampler: bondingSampler{h}},
		"clocksource":  {Kind: "node", Every: factsEvery, Sampler: clocksourceSampler{h}},
		"uname":        {Kind: "node", Every: factsEvery, Sampler: unameSampler{}},
		"os":           {Kind: "node", Every: factsEvery, Sampler: osSampler{h}},
		"dmi":          {Kind: "node", Every: factsEvery, Sampler: dmiSampler{h}},
		"selinux":      {Kind: "node", Every: factsEvery, Sampler: selinuxSampler{h}},
		"edac":         {Kind: "node", Every: sensorsEvery, Sampler: edacSampler{h}},
		"thermal_zone": {Kind: "node", Every: sensorsEvery, Sampler: thermalSampler{h}},
		"hwmon":        {Kind: "node", Every: sensorsEvery, Sampler: hwmonSampler{h}},
	}
}

// software makes those of what runs on the host, this agent and what other programs leave for it included.
func (c Config) software(h host) map[string]Source {
	read := slices.DeleteFunc(slices.Clone(Names), c.unread)
	return map[string]Source{
		"systemd":   {Kind: "node", Every: systemdEvery, Sampler: newSystemd(h, c.Systemd)},
		"process":   {Kind: "process", Sampler: newWatch(h, c.Watch)},
		"processes": {Kind: "node", Every: tablesEvery, Sampler: &processesSampler{host: h}},
		"textfile":  {Kind: "node", Every: textfileEvery, Sampler: newTextfile(c.Textfile, taken(read))},
		"self":      {Kind: "watchbill_agent", Sampler: newSelf(c.Version)},
	}
}

// told makes those that tell events, with tables and without series.
func (c Config) told(h host, r *Redactor) map[string]Source {
	return map[string]Source{
		"boot":     {Sampler: &bootSampler{host: h, dir: c.StateDir}},
		"sessions": {Every: tablesEvery, Sampler: newSessions(sessionsSampler{h})},
		"kmsg":     {Every: kmsgEvery, Sampler: newKmsg(h, c.StateDir, c.Watch)},
		"logs":     {Every: logsEvery, Sampler: newLogs(h, c.StateDir, c.Logs, r)},
		"packages": {Every: packagesEvery, Sampler: newPackages(h, c.StateDir)},
		"ports":    {Every: portsEvery, Sampler: newPorts(h)},
	}
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
	content, err := slurp(path, make([]byte, 4096)) // most are smaller
	return string(content), err
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
