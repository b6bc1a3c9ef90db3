package sample

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ErrUnsupported says that this release cannot look into this operating system.
var ErrUnsupported = errors.New("no samplers for this operating system in this release")

// Config says where to look, what to leave out and what to watch. The YAML names are node_exporter's flags without
// `--` and `collector.`, so that what an operator knows applies. Start from DefaultConfig: the zero Config excludes nothing.
type Config struct {
	Path       Path             `yaml:"path"`
	Filesystem FilesystemConfig `yaml:"filesystem"`
	Diskstats  DiskstatsConfig  `yaml:"diskstats"`
	Netdev     NetdevConfig     `yaml:"netdev"`
	Netclass   NetclassConfig   `yaml:"netclass"`
	Netstat    NetstatConfig    `yaml:"netstat"`
	Vmstat     VmstatConfig     `yaml:"vmstat"`
	Textfile   TextfileConfig   `yaml:"textfile"`
	Systemd    SystemdConfig    `yaml:"systemd"`
	Logs       LogsConfig       `yaml:"logs"`
	Redact     RedactConfig     `yaml:"redact"`
	Bundles    BundlesConfig    `yaml:"bundles"`
	// Watch lists processes to count; a rule can tell that one is gone.
	Watch []Watch `yaml:"watch"`
	// Enabled names the only sources to read; empty means all of them. Disabled takes away from that.
	Enabled  []string `yaml:"enabled"`
	Disabled []string `yaml:"disabled"`

	// StateDir is where the last boot id and the places reached in logs are kept, which must survive restarts of the
	// agent. Without it a reboot and errors that happen while the agent is not running go unseen.
	StateDir string `yaml:"-"`
	// Version is the agent's own version, for watchbill_agent_build_info and the inventory.
	Version string `yaml:"-"`
}

// Path is where the host's trees are mounted. An agent in a container sees its host through these.
type Path struct {
	Procfs string `yaml:"procfs"`
	Sysfs  string `yaml:"sysfs"`
	Rootfs string `yaml:"rootfs"`
}

// FilesystemConfig says which mounts to measure and how long to wait for one. An include takes the place of the default
// exclude of its kind, and cannot stand beside another one; so in DiskstatsConfig and NetdevConfig.
type FilesystemConfig struct {
	MountPointsExclude string `yaml:"mount-points-exclude"`
	MountPointsInclude string `yaml:"mount-points-include"`
	FSTypesExclude     string `yaml:"fs-types-exclude"`
	FSTypesInclude     string `yaml:"fs-types-include"`
	// MountTimeout is how long one mount may take to answer before it is reported as device_error.
	MountTimeout time.Duration `yaml:"mount-timeout"`
}

// DiskstatsConfig says which block devices to leave out, or which alone to report.
type DiskstatsConfig struct {
	DeviceExclude string `yaml:"device-exclude"`
	DeviceInclude string `yaml:"device-include"`
}

// NetdevConfig says which network devices' counters to leave out, or which alone to report.
type NetdevConfig struct {
	DeviceExclude string `yaml:"device-exclude"`
	DeviceInclude string `yaml:"device-include"`
}

// NetclassConfig says which network devices' states to leave out.
type NetclassConfig struct {
	IgnoredDevices string `yaml:"ignored-devices"`
}

// NetstatConfig says which counters of the network protocols to report: PROTOCOL_NAME, as Tcp_RetransSegs.
type NetstatConfig struct {
	Fields string `yaml:"fields"`
}

// VmstatConfig says which lines of /proc/vmstat to report.
type VmstatConfig struct {
	Fields string `yaml:"fields"`
}

// TextfileConfig says where other programs leave metrics for the agent to report.
type TextfileConfig struct {
	// Directory is read for files *.prom in Prometheus' text format; nothing is when it is empty.
	Directory string `yaml:"directory"`
}

// SystemdConfig says which units to report, each pattern anchored at both ends.
type SystemdConfig struct {
	UnitInclude string `yaml:"unit-include"`
	UnitExclude string `yaml:"unit-exclude"`
}

// Watch is a group of processes to count.
type Watch struct {
	// Name becomes the label groupname.
	Name string `yaml:"name"`
	// Cmdline is a regular expression, unanchored, over the command line with its arguments joined by spaces.
	Cmdline string `yaml:"cmdline"`
}

// DefaultConfig has node_exporter's exclusions (those of its release 1.12) and more: what containers and sessions mount and
// their network devices, which come and go by the hundred; README.md lists where they part. It watches no process.
func DefaultConfig() Config {
	const containerDevices = `^(veth.+|cali[0-9a-f]+|lxc[0-9a-f]{12})$`
	return Config{
		Path: Path{Procfs: "/proc", Sysfs: "/sys", Rootfs: "/"},
		Filesystem: FilesystemConfig{
			MountPointsExclude: `^/(dev|proc|sys|run/(containerd|credentials|docker|k3s|lock|netns|user)/.+|` +
				`var/lib/(containerd|containers/storage|docker|kubelet/(pods|plugins))/.+)($|/)`,
			FSTypesExclude: `^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|efivarfs|fusectl|` +
				`fuse\.(gvfsd-fuse|lxcfs|portal)|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|ramfs|rpc_pipefs|` +
				`securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$`,
			MountTimeout: 2 * time.Second,
		},
		Diskstats: DiskstatsConfig{DeviceExclude: `^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`},
		Netdev:    NetdevConfig{DeviceExclude: containerDevices},
		Netclass:  NetclassConfig{IgnoredDevices: containerDevices},
		Netstat: NetstatConfig{Fields: `^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|` +
			`TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|` +
			`Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|` +
			`Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$`},
		Vmstat:  VmstatConfig{Fields: `^(oom_kill|pgpg|pswp|pg.*fault).*`},
		Systemd: SystemdConfig{UnitInclude: `.+\.(service|socket|timer)`},
		Logs:    DefaultLogs(),
	}
}

// Names is every source there is on Linux, in the order they are read.
var Names = []string{
	"boot", "cpu", "loadavg", "meminfo", "vmstat", "pressure", "filesystem", "diskstats", "mdadm", "netdev", "netclass",
	"bonding", "netstat", "sockstat", "softnet", "conntrack", "stat", "time", "timex", "clocksource", "uname", "os", "dmi",
	"selinux", "entropy", "filefd", "edac", "thermal_zone", "hwmon", "systemd", "process", "processes", "sessions", "kmsg",
	"logs", "packages", "ports", "textfile", "self",
}

// Validate names every bad field at once, by its YAML path; it changes nothing and looks at no file.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf(field+": "+format, args...))
	}
	for field, expr := range map[string]string{
		"filesystem.mount-points-exclude": c.Filesystem.MountPointsExclude,
		"filesystem.mount-points-include": c.Filesystem.MountPointsInclude,
		"filesystem.fs-types-exclude":     c.Filesystem.FSTypesExclude,
		"filesystem.fs-types-include":     c.Filesystem.FSTypesInclude,
		"diskstats.device-exclude":        c.Diskstats.DeviceExclude,
		"diskstats.device-include":        c.Diskstats.DeviceInclude,
		"netdev.device-exclude":           c.Netdev.DeviceExclude,
		"netdev.device-include":           c.Netdev.DeviceInclude,
		"netclass.ignored-devices":        c.Netclass.IgnoredDevices,
		"netstat.fields":                  c.Netstat.Fields,
		"vmstat.fields":                   c.Vmstat.Fields,
		"systemd.unit-include":            c.Systemd.UnitInclude,
		"systemd.unit-exclude":            c.Systemd.UnitExclude,
	} {
		if _, err := regexp.Compile(expr); err != nil {
			bad(field, "want a regular expression (RE2), got %q: %w", expr, err)
		}
	}
	errs = append(errs, c.validateIncludes()...)
	if c.Filesystem.MountTimeout < 0 {
		bad("filesystem.mount-timeout", "must not be negative, got %v", c.Filesystem.MountTimeout)
	}
	if d := c.Textfile.Directory; d != "" && !filepath.IsAbs(d) {
		bad("textfile.directory", "must be an absolute path, got %q", d)
	}
	errs = append(errs, c.validateWatch()...)
	errs = slices.Concat(errs, c.Logs.validate(), c.Redact.validate(), c.Bundles.validate())
	for field, names := range map[string][]string{"enabled": c.Enabled, "disabled": c.Disabled} {
		for i, n := range names {
			if !slices.Contains(Names, n) {
				bad(fmt.Sprintf("%s[%d]", field, i), "no source is called %q; there are %s", n, strings.Join(Names, ", "))
			}
		}
	}
	// The maps above are walked in any order; a person should see the same list twice.
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// validateIncludes refuses an include beside an exclude that somebody wrote: which of them is meant is for a person to say.
func (c Config) validateIncludes() []error {
	d := DefaultConfig()
	var errs []error
	for _, f := range []struct{ field, exclude, standard, include string }{
		{"filesystem.mount-points", c.Filesystem.MountPointsExclude, d.Filesystem.MountPointsExclude, c.Filesystem.MountPointsInclude},
		{"filesystem.fs-types", c.Filesystem.FSTypesExclude, d.Filesystem.FSTypesExclude, c.Filesystem.FSTypesInclude},
		{"diskstats.device", c.Diskstats.DeviceExclude, d.Diskstats.DeviceExclude, c.Diskstats.DeviceInclude},
		{"netdev.device", c.Netdev.DeviceExclude, d.Netdev.DeviceExclude, c.Netdev.DeviceInclude},
	} {
		if f.include != "" && f.exclude != "" && f.exclude != f.standard {
			errs = append(errs, fmt.Errorf("%s-include: cannot stand beside %s-exclude, as in node_exporter; leave one of them out", f.field, f.field))
		}
	}
	return errs
}

func (c Config) validateWatch() []error {
	var errs []error
	seen := map[string]int{}
	for i, w := range c.Watch {
		field := fmt.Sprintf("watch[%d]", i)
		if w.Name == "" {
			errs = append(errs, fmt.Errorf("%s.name: must not be empty: it names the process in alerts", field))
		} else if first, ok := seen[w.Name]; ok {
			errs = append(errs, fmt.Errorf("%s.name: %q is already the name of watch[%d]; give it another", field, w.Name, first))
		} else {
			seen[w.Name] = i
		}
		if w.Cmdline == "" {
			errs = append(errs, fmt.Errorf("%s.cmdline: must not be empty: it would count every process", field))
		} else if _, err := regexp.Compile(w.Cmdline); err != nil {
			errs = append(errs, fmt.Errorf("%s.cmdline: want a regular expression (RE2), got %q: %w", field, w.Cmdline, err))
		}
	}
	return errs
}

// wants says whether the source of this name is to be read.
func (c Config) wants(name string) bool {
	if slices.Contains(c.Disabled, name) {
		return false
	}
	return len(c.Enabled) == 0 || slices.Contains(c.Enabled, name)
}

// exclude compiles a pattern of things to leave out; the empty pattern leaves out nothing.
func exclude(expr string) func(string) bool {
	if expr == "" {
		return func(string) bool { return false }
	}
	return regexp.MustCompile(expr).MatchString
}

// outside compiles what is left out: all that an include does not match, or what exclude matches where there is none.
func outside(excluded, included string) func(string) bool {
	if included == "" {
		return exclude(excluded)
	}
	wanted := include(included)
	return func(name string) bool { return !wanted(name) }
}

// include compiles a pattern of things to report; the empty pattern means all.
func include(expr string) func(string) bool {
	if expr == "" {
		return func(string) bool { return true }
	}
	return regexp.MustCompile(expr).MatchString
}
