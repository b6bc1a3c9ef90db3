package sample

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

const (
	// textfileEvery is how often the directory is looked at; a file that has not changed is not read again.
	textfileEvery = 15 * time.Second
	// maxTextfiles and maxTextfileBytes bound what is looked at; maxTextfile what is reported.
	maxTextfiles     = 100
	maxTextfileBytes = 256 << 10
)

// Words under which series of text files are refused.
const (
	refusedReserved = "reserved_label"
	refusedTaken    = "name_taken"
)

// textfileSampler reports what other programs write into a directory: files *.prom in Prometheus' text format. A file
// that cannot be read costs only itself.
type textfileSampler struct {
	dir string
	// taken says whether a metric's name belongs to another source, whose series must not be there twice.
	taken func(name string) bool
	files map[string]*textFile
}

// textFile is what a file held when it was read, and what told that it still does.
type textFile struct {
	inode       uint64
	size, mtime int64 // mtime in nanoseconds
	samples     []wire.Sample
	refused     map[string]int
	err         error
}

func newTextfile(c TextfileConfig, taken func(string) bool) *textfileSampler {
	return &textfileSampler{dir: c.Directory, taken: taken, files: map[string]*textFile{}}
}

// Read fails when the directory cannot be listed.
func (s *textfileSampler) Read(context.Context, time.Time) (Reading, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return Reading{}, fmt.Errorf("list textfile.directory: %w", err)
	}
	files := map[string]*textFile{}
	left := 0
	var names []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".prom") {
			continue
		}
		if len(names) == maxTextfiles {
			left++
			continue
		}
		names = append(names, e.Name())
		files[e.Name()] = s.file(e.Name())
	}
	s.files = files
	out, more := s.samples(names)
	return Reading{Samples: append(out, leftOut("textfile", left+more))}, nil
}

// samples puts the files together: a series that two of them have breaks the second, and one that has no room is left
// out with its whole file.
func (s *textfileSampler) samples(names []string) (out []wire.Sample, left int) {
	seen := map[string]string{}
	refused := map[string]int{refusedReserved: 0, refusedTaken: 0}
	broken, room := 0.0, maxTextfile
	for _, name := range names {
		f := s.files[name]
		path := filepath.Join(s.dir, name)
		err := f.err
		if err == nil {
			err = clash(f.samples, seen, name)
		}
		if err != nil {
			broken = 1
			out = append(out, sample("watchbill_agent_textfile_broken", 1, "file", path, "reason", wire.Clean(err.Error(), 200)))
			continue
		}
		for why, n := range f.refused {
			refused[why] += n
		}
		if len(f.samples) > room {
			left += len(f.samples)
			continue
		}
		room -= len(f.samples)
		out = append(out, f.samples...)
		out = append(out, sample("node_textfile_mtime_seconds", float64(f.mtime/1e9), "file", path))
	}
	out = append(out, sample("node_textfile_scrape_error", broken))
	for _, why := range []string{refusedReserved, refusedTaken} {
		out = append(out, sample("watchbill_agent_textfile_refused_series", float64(refused[why]), "reason", why))
	}
	return out, left
}

// clash notes the series of a file, unless another file has one of them.
func clash(samples []wire.Sample, seen map[string]string, file string) error {
	for _, s := range samples {
		if other, twice := seen[seriesKey(s)]; twice {
			return fmt.Errorf("the series %.80s is in %s too", seriesKey(s), other)
		}
	}
	for _, s := range samples {
		seen[seriesKey(s)] = file
	}
	return nil
}

// file reads a file, or remembers it when nothing about it has changed.
func (s *textfileSampler) file(name string) *textFile {
	f := &textFile{refused: map[string]int{}}
	content, err := f.load(filepath.Join(s.dir, name), s.files[name])
	if errors.Is(err, errSame) {
		return s.files[name]
	}
	if err != nil {
		f.err = err
		return f
	}
	all, err := parseExposition(content)
	if err != nil {
		f.err = err
		return f
	}
	for _, m := range all {
		switch {
		case s.taken(m.Name):
			f.refused[refusedTaken]++
		case slices.ContainsFunc(m.Labels, func(l wire.Label) bool { return wire.ReservedLabel(l.Name) }):
			f.refused[refusedReserved]++
		default:
			f.samples = append(f.samples, m)
		}
	}
	return f
}

// errSame: the file is the one that was read before.
var errSame = errors.New("unchanged")

// load reads a file unless it is the one from before. Only plain files: a link could point at what only the agent may
// read, and its errors would quote it; a pipe would hold the agent up.
func (f *textFile) load(path string, before *textFile) (string, error) {
	fd, err := open(path, unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if errors.Is(err, unix.ELOOP) {
		return "", errors.New("it is a symbolic link: write or move the file itself there")
	}
	if err != nil {
		return "", err
	}
	file := os.NewFile(uintptr(fd), path) //nolint:gosec // a descriptor
	defer file.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", fmt.Errorf("fstat: %w", err)
	}
	f.inode, f.size, f.mtime = st.Ino, st.Size, st.Mtim.Nano()
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return "", errors.New("it is no plain file")
	case st.Size > maxTextfileBytes:
		return "", fmt.Errorf("it has %d bytes, at most %d are read", st.Size, maxTextfileBytes)
	case before != nil && before.inode == f.inode && before.size == f.size && before.mtime == f.mtime:
		return "", errSame
	}
	content, err := io.ReadAll(io.LimitReader(file, maxTextfileBytes+1))
	if err == nil && int64(len(content)) != st.Size {
		err = errors.New("it changed while it was read: write it under another name and rename it when it is whole")
	}
	return string(content), err
}

// families are the names of metrics that each source makes, or what they begin with when they end in an underscore.
var families = map[string][]string{
	"cpu":        {"node_cpu_seconds_total", "node_cpu_guest_seconds_total"},
	"loadavg":    {"node_load1", "node_load5", "node_load15"},
	"meminfo":    {"node_memory_"},
	"vmstat":     {"node_vmstat_"},
	"filesystem": {"node_filesystem_"},
	"diskstats":  {"node_disk_"},
	"netdev":     {"node_network_"},
	"netclass":   {"node_network_"},
	"netstat":    {"node_netstat_"},
	"sockstat":   {"node_sockstat_"},
	"softnet":    {"node_softnet_"},
	"conntrack":  {"node_nf_conntrack_"},
	"pressure":   {"node_pressure_"},
	"stat": {
		"node_boot_time_seconds", "node_context_switches_total", "node_intr_total", "node_forks_total", "node_procs_running",
		"node_procs_blocked",
	},
	"time":         {"node_time_seconds"},
	"timex":        {"node_timex_"},
	"clocksource":  {"node_time_clocksource_"},
	"uname":        {"node_uname_info"},
	"os":           {"node_os_info", "node_os_version", "node_os_support_end_timestamp_seconds"},
	"dmi":          {"node_dmi_info"},
	"selinux":      {"node_selinux_"},
	"entropy":      {"node_entropy_"},
	"filefd":       {"node_filefd_"},
	"edac":         {"node_edac_"},
	"mdadm":        {"node_md_"},
	"bonding":      {"node_bonding_"},
	"thermal_zone": {"node_thermal_zone_temp", "node_cooling_device_"},
	"hwmon":        {"node_hwmon_"},
	"processes":    {"node_processes_"},
	"systemd":      {"node_systemd_"},
	"process":      {"namedprocess_"},
	"textfile":     {"node_textfile_"},
	"self":         {"watchbill_", "process_"},
}

// taken says whether one of these sources makes metrics of this name.
func taken(sources []string) func(name string) bool {
	exact := map[string]bool{}
	var prefixes []string
	for _, source := range sources {
		for _, f := range families[source] {
			if strings.HasSuffix(f, "_") {
				prefixes = append(prefixes, f)
			}
			exact[f] = true
		}
	}
	return func(name string) bool {
		return exact[name] || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	}
}
