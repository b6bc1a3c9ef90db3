package sample

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestConfigFromYAML(t *testing.T) {
	got := DefaultConfig()
	d := yaml.NewDecoder(strings.NewReader(`
path: {procfs: /host/proc, rootfs: /host}
filesystem: {mount-points-exclude: ^/snap, fs-types-include: ^ext4$, mount-timeout: 500ms}
diskstats: {device-include: ^sd}
netdev: {device-exclude: "", device-include: ^eth}
netclass: {ignored-devices: ^lo$}
systemd: {unit-include: ".+", unit-exclude: .+\.timer}
watch:
  - {name: shop, cmdline: "^/srv/shop/"}
disabled: [sessions]
`))
	d.KnownFields(true)
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Path = Path{Procfs: "/host/proc", Sysfs: "/sys", Rootfs: "/host"}
	want.Filesystem.MountPointsExclude, want.Filesystem.FSTypesInclude = "^/snap", "^ext4$"
	want.Filesystem.MountTimeout = 500 * time.Millisecond
	want.Diskstats.DeviceInclude = "^sd"
	want.Netdev = NetdevConfig{DeviceInclude: "^eth"}
	want.Netclass.IgnoredDevices = "^lo$"
	want.Systemd = SystemdConfig{UnitInclude: ".+", UnitExclude: `.+\.timer`}
	want.Watch = []Watch{{Name: "shop", Cmdline: "^/srv/shop/"}}
	want.Disabled = []string{"sessions"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := got.Validate(); err != nil {
		t.Errorf("a good configuration is refused: %v", err)
	}
}

func TestConfigValidateNamesEveryField(t *testing.T) {
	c := Config{
		Filesystem: FilesystemConfig{
			MountPointsExclude: "(", MountPointsInclude: "((", FSTypesExclude: "[", FSTypesInclude: "[[", MountTimeout: -time.Second,
		},
		Diskstats: DiskstatsConfig{DeviceExclude: "*", DeviceInclude: "**"},
		Netdev:    NetdevConfig{DeviceExclude: "+", DeviceInclude: "++"},
		Netclass:  NetclassConfig{IgnoredDevices: "?"},
		Systemd:   SystemdConfig{UnitInclude: "a{2,1}", UnitExclude: `\`},
		Watch:     []Watch{{"a", "b"}, {"", ""}, {"a", "("}},
		Enabled:   []string{"cpu", "gpu"},
		Disabled:  []string{"ram"},
	}
	err := c.Validate()
	if err == nil {
		t.Fatal("want an error")
	}
	var got []string
	for line := range strings.Lines(err.Error()) {
		field, _, _ := strings.Cut(line, ":")
		got = append(got, field)
	}
	want := []string{
		"disabled[0]", "diskstats.device-exclude", "diskstats.device-include", "diskstats.device-include", "enabled[1]",
		"filesystem.fs-types-exclude", "filesystem.fs-types-include", "filesystem.fs-types-include",
		"filesystem.mount-points-exclude", "filesystem.mount-points-include", "filesystem.mount-points-include",
		"filesystem.mount-timeout", "netclass.ignored-devices", "netdev.device-exclude", "netdev.device-include",
		"netdev.device-include", "systemd.unit-exclude", "systemd.unit-include", "watch[1].cmdline", "watch[1].name", "watch[2].cmdline", "watch[2].name",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("fields named (-want +got):\n%s\nin\n%v", d, err)
	}
}

func TestDefaultsLeaveOutWhatNodeExporterDoes(t *testing.T) {
	d := DefaultConfig()
	tests := []struct {
		what, expr string
		out, in    []string
	}{
		{"mount points", d.Filesystem.MountPointsExclude, []string{"/dev/shm", "/proc", "/sys/fs/cgroup", "/var/lib/docker/overlay2/x/merged", "/run/credentials/a.service"},
			[]string{"/", "/run", "/developers", "/var/lib/docker", "/mnt/backup"}},
		{"file system types", d.Filesystem.FSTypesExclude, []string{"proc", "cgroup", "cgroup2", "overlay", "squashfs", "erofs"}, []string{"ext4", "tmpfs", "nfs4", "procx"}},
		{"disks", d.Diskstats.DeviceExclude, []string{"loop3", "ram0", "zram0", "sda1", "vdb2", "nvme0n1p3", "fd0"}, []string{"sda", "vdb", "nvme0n1", "dm-0", "md127"}},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			skip := exclude(tt.expr)
			for _, v := range tt.out {
				if !skip(v) {
					t.Errorf("%s is not left out", v)
				}
			}
			for _, v := range tt.in {
				if skip(v) {
					t.Errorf("%s is left out", v)
				}
			}
		})
	}
}

// An include takes the place of the default exclude; beside another exclude nobody knows what is meant.
func TestInclude(t *testing.T) {
	for _, tt := range []struct {
		name, exclude, include string
		refused                bool
		out, in                []string
	}{
		{"alone, it is all that is reported", "", "^sd[ab]1?$", false, []string{"sdc", "vda"}, []string{"sda", "sdb1"}},
		{"instead of the default", DefaultConfig().Diskstats.DeviceExclude, "^sda1$", false, []string{"sda", "sdb1"}, []string{"sda1"}},
		{"beside an exclude of somebody's own", "^sd", "^sda$", true, nil, nil},
		{"none of the two", "", "", false, nil, []string{"sda", "loop0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := DefaultConfig()
			c.Diskstats = DiskstatsConfig{DeviceExclude: tt.exclude, DeviceInclude: tt.include}
			err := c.Validate()
			if tt.refused && (err == nil || !strings.Contains(err.Error(), "diskstats.device-include: cannot stand beside diskstats.device-exclude")) {
				t.Errorf("error %v, want one that names both", err)
			}
			if !tt.refused && err != nil {
				t.Errorf("refused: %v", err)
			}
			skip := outside(tt.exclude, tt.include)
			for _, name := range tt.out {
				if !skip(name) {
					t.Errorf("%s is reported", name)
				}
			}
			for _, name := range tt.in {
				if skip(name) {
					t.Errorf("%s is not reported", name)
				}
			}
		})
	}
}
