package sample

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// What an include names is reported, and nothing else, by every source that has one.
func TestSamplersInclude(t *testing.T) {
	h := copyFixture(t)
	write(t, h.proc("diskstats"), "8 0 sda 1 2 3\n8 1 sda1 1 2 3\n7 0 loop0 1 2 3\n")
	write(t, h.proc("net/dev"), "head\nhead\n"+
		"eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\nveth1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
	mounts := "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:2 / /run/user/7 rw - tmpfs tmpfs rw\n3 1 0:3 / /proc rw - proc proc rw\n"
	write(t, h.proc("1/mountinfo"), mounts)
	write(t, h.proc("self/mountinfo"), mounts)
	filesystem := func(c FilesystemConfig) Sampler {
		s := newFilesystem(h, c)
		s.statfs = func(_ string, buf *unix.Statfs_t) error { *buf = unix.Statfs_t{Bsize: 1, Blocks: 2}; return nil }
		return s
	}
	d := DefaultConfig()
	for _, tt := range []struct {
		name    string
		sampler Sampler
		label   string
		want    string
	}{
		{"disks by default", newDiskstats(h, d.Diskstats), "device", "sda"},
		{"disks", newDiskstats(h, DiskstatsConfig{DeviceExclude: d.Diskstats.DeviceExclude, DeviceInclude: "^(sda1|loop0)$"}), "device", "sda1 loop0"},
		{"network devices by default", newNetdev(h, d.Netdev), "device", "eth0"},
		{"network devices", newNetdev(h, NetdevConfig{DeviceExclude: d.Netdev.DeviceExclude, DeviceInclude: "^veth"}), "device", "veth1"},
		{"mounts by default", filesystem(d.Filesystem), "mountpoint", "/"},
		{"mounts", filesystem(FilesystemConfig{
			MountPointsExclude: d.Filesystem.MountPointsExclude, MountPointsInclude: "^/run/", FSTypesExclude: d.Filesystem.FSTypesExclude,
		}), "mountpoint", "/run/user/7"},
		{"types", filesystem(FilesystemConfig{FSTypesExclude: d.Filesystem.FSTypesExclude, FSTypesInclude: "^(proc|tmpfs)$"}), "mountpoint", "/run/user/7 /proc"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			seen := map[string]bool{}
			for _, m := range readOnce(t, tt.sampler).Samples {
				for _, l := range m.Labels {
					if l.Name == tt.label && !seen[l.Value] {
						seen[l.Value] = true
						got = append(got, l.Value)
					}
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("reported are %q, want %q", got, tt.want)
			}
		})
	}
}

// Two monitors of one device must not become the same series, which would cost all sensors.
func TestHwmonTellsTwinsApart(t *testing.T) {
	h := host{Path{Sysfs: t.TempDir()}}
	for i, name := range []string{"asus", "asus_wmi_sensors", "twin", "twin", ""} {
		dir := h.sys(fmt.Sprintf("class/hwmon/hwmon%d", i))
		write(t, dir+"/fan1_input", fmt.Sprint(100+i))
		write(t, dir+"/name", name+"\n")
		device := map[bool]string{true: "asus-nb", false: "other"}[i < 2]
		write(t, h.sys("devices/platform", device, "uevent"), "")
		if err := os.Symlink(h.sys("devices/platform", device), dir+"/device"); err != nil {
			t.Fatal(err)
		}
	}
	want := `node_hwmon_chip_names{chip="platform_asus_nb_asus",chip_name="asus"} 1
node_hwmon_fan_rpm{chip="platform_asus_nb_asus",sensor="fan1"} 100
node_hwmon_chip_names{chip="platform_asus_nb_asus_wmi_sensors",chip_name="asus_wmi_sensors"} 1
node_hwmon_fan_rpm{chip="platform_asus_nb_asus_wmi_sensors",sensor="fan1"} 101
node_hwmon_chip_names{chip="platform_other_hwmon2",chip_name="twin"} 1
node_hwmon_fan_rpm{chip="platform_other_hwmon2",sensor="fan1"} 102
node_hwmon_chip_names{chip="platform_other_hwmon3",chip_name="twin"} 1
node_hwmon_fan_rpm{chip="platform_other_hwmon3",sensor="fan1"} 103
node_hwmon_fan_rpm{chip="platform_other_hwmon4",sensor="fan1"} 104
`
	if d := cmp.Diff(want, text(readOnce(t, hwmonSampler{h}).Samples)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestDiskInfo(t *testing.T) {
	for _, tt := range []struct {
		name, udev, rotational, want string
	}{
		{"a disk that turns", "E:ID_SERIAL_SHORT=short\nE:ID_SERIAL=long\n", "1\n", `serial="short",revision="",rotational="1"`},
		{"one that does not", "E:SCSI_IDENT_SERIAL=printed\nE:ID_SERIAL_SHORT=short\n", "0\n", `serial="printed",revision="",rotational="0"`},
		{"a virtual one", "E:ID_SERIAL=long\n", "1\n", `serial="long",revision="",rotational="1"`},
		{"a partition", "", "", `serial="",revision="",rotational="0"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := host{Path{Procfs: t.TempDir(), Sysfs: t.TempDir(), Rootfs: t.TempDir()}}
			write(t, h.proc("diskstats"), "8 3 sdx 1 2 3\n")
			write(t, h.root("run/udev/data/b8:3"), tt.udev)
			if tt.rotational != "" {
				write(t, h.sys("block/sdx/queue/rotational"), tt.rotational)
			}
			if got := text(readOnce(t, newDiskstats(h, DiskstatsConfig{})).Samples); !strings.Contains(got, tt.want) {
				t.Errorf("want %s in\n%s", tt.want, got)
			}
		})
	}
}

func TestAdminState(t *testing.T) {
	for flags, want := range map[string]string{"0x1003": "up", "0x1002": "down", "": "unknown", "x": "unknown", "0x0": "down"} {
		if got := adminState(flags); got != want {
			t.Errorf("flags %q: %s, want %s", flags, got, want)
		}
	}
}
