package sample

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// crowded is a host that has more of everything than is reported.
func crowded(t *testing.T) host {
	t.Helper()
	h := copyFixture(t)
	h.path.Rootfs = "/"
	repeat := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	write(t, h.proc("stat"), "cpu  1 2 3 4 5 6 7 8 9 10\n"+repeat(maxCPUs+44, "cpu%d 1 2 3 4 5 6 7 8 9 10\n")+
		"intr 1\nctxt 2\nbtime 3\nprocesses 4\nprocs_running 5\nprocs_blocked 6\n")
	write(t, h.proc("net/softnet_stat"), strings.Repeat("1 2 3\n", maxCPUs+44))
	write(t, h.proc("diskstats"), repeat(300, "8 %[1]d disk%[1]d 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"))
	write(t, h.proc("net/dev"), "head\nhead\n"+repeat(500, "tap%03d: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")+
		"zz9: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
	mounts := "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n" + repeat(300, "2 1 0:%[1]d / /mnt/%[1]d rw - tmpfs tmp%[1]d rw\n")
	write(t, h.proc("1/mountinfo"), mounts)
	write(t, h.proc("self/mountinfo"), mounts)
	for i := range 500 {
		dir := h.sys("class/net", fmt.Sprintf("tap%03d", i))
		if i >= maxNetdevs { // not among those chosen
			write(t, dir+"/operstate", "up\n")
			continue
		}
		if err := os.CopyFS(dir, os.DirFS(h.sys("class/net/eth0"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(h.sys("class/net/zz9"), os.DirFS(h.sys("class/net/eth0"))); err != nil {
		t.Fatal(err)
	}
	write(t, h.sys("class/net/zz9/device/vendor"), "0x8086\n") // hardware
	write(t, h.sys("class/net/bonding_masters"), repeat(30, "bond%d "))
	for i := range 40 {
		write(t, h.sys(fmt.Sprintf("block/md%d/md/array_state", i)), "clean\n")
		write(t, h.sys(fmt.Sprintf("class/thermal/thermal_zone%d/temp", i)), "1000\n")
		write(t, h.sys(fmt.Sprintf("class/thermal/cooling_device%d/cur_state", i)), "1\n")
		write(t, h.sys(fmt.Sprintf("class/thermal/cooling_device%d/max_state", i)), "1\n")
		write(t, h.sys(fmt.Sprintf("devices/system/edac/mc/mc%d/ce_count", i)), "1\n")
		write(t, h.sys(fmt.Sprintf("devices/system/edac/mc/mc%d/ue_count", i)), "1\n")
		for j := range 10 {
			write(t, h.sys(fmt.Sprintf("class/hwmon/hwmon%d/temp%d_input", i+1, j)), "1\n")
		}
	}
	return h
}

// Whatever a host has, its report must be one that a collector takes: a refused one would blind the whole host.
func TestBoundsFitAReport(t *testing.T) {
	h := crowded(t)
	c := DefaultConfig()
	c.Path = h.path
	c.Textfile.Directory = t.TempDir()
	for i := range 3 {
		var b strings.Builder
		for j := range maxTextfile / 2 {
			fmt.Fprintf(&b, "f%d{i=\"%d\"} 1\n", i, j)
		}
		write(t, filepath.Join(c.Textfile.Directory, fmt.Sprintf("f%d.prom", i)), b.String())
	}
	bus := newBus(t)
	for i := range 1500 {
		bus.set(fmt.Sprintf("unit-with-a-name-of-usual-length-%d.timer", i), "inactive", nil) // no type is asked for
	}
	sources, err := Sources(c)
	if err != nil {
		t.Fatal(err)
	}
	builder := wire.NewBuilder(wire.DefaultLimits())
	report := &wire.Report{Epoch: 1, Sequence: 1, MadeAtMs: noon.UnixMilli()}
	told := map[string]float64{}
	series := 0
	for _, s := range sources {
		switch sampler := unwrapped(s).(type) {
		case *filesystemSampler:
			sampler.statfs = func(_ string, buf *unix.Statfs_t) error { *buf = unix.Statfs_t{Bsize: 1, Blocks: 2}; return nil }
		case *systemdSampler:
			sampler.path.Rootfs = booted(t).path.Rootfs
		}
		if s.Name == "sessions" {
			continue // of this machine
		}
		r := readOnce(t, s.Sampler)
		for _, m := range r.Samples {
			if m.Name == "watchbill_agent_left_out" {
				told[s.Name] = m.Value
			}
		}
		block, err := builder.Block("node", s.Name, noon, time.Minute, r.Samples)
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		series += len(r.Samples)
		report.Blocks = append(report.Blocks, block)
		shape, _ := builder.Shape(block.ShapeId)
		report.Shapes = append(report.Shapes, shape)
	}
	for source, want := range map[string]float64{
		"cpu": 44, "softnet": maxCPUs + 44 - maxSoftnet, "diskstats": 300 - maxDisks, "netdev": 501 - maxNetdevs,
		"netclass": 504 - maxNetdevs, "filesystem": 301 - maxMounts, "systemd": 1500 - maxUnits, "mdadm": 40 - maxArrays,
		"bonding": 30 - maxBonds, "thermal_zone": 80 - 2*maxZones, "edac": 40 - maxEDAC, "textfile": maxTextfile / 2,
	} {
		if told[source] != want {
			t.Errorf("%s tells of %v left out, want %v", source, told[source], want)
		}
	}
	if told["hwmon"] <= 0 {
		t.Error("hwmon tells of nothing left out")
	}
	t.Logf("%d series, %d bytes with all shapes", series, proto.Size(report))
	limits := wire.DefaultLimits()
	// A hundred are for what the agent says of itself.
	if series > limits.SeriesPerReport-100 {
		t.Errorf("%d series, a report takes %d", series, limits.SeriesPerReport)
	}
	if size := proto.Size(report); int64(size) > limits.DecodedBytes {
		t.Errorf("%d bytes, a report may have %d", size, limits.DecodedBytes)
	}
	if err := wire.CheckReport(report, limits); err != nil {
		t.Errorf("a collector would refuse it: %v", err)
	}
}

// Of too many network devices those with hardware are kept, by both sources that tell of them.
func TestCrowdedNetworkKeepsHardware(t *testing.T) {
	h := crowded(t)
	for name, s := range map[string]Sampler{"netdev": newNetdev(h, NetdevConfig{}), "netclass": newNetclass(h, NetclassConfig{})} {
		got := text(readOnce(t, s).Samples)
		if !strings.Contains(got, `device="zz9"`) {
			t.Errorf("%s leaves out the device with hardware behind it", name)
		}
	}
	// By default containers' devices are not reported at all.
	write(t, h.proc("net/dev"), "head\nhead\nvethab12: 1\ncali0f: 1\nlxc0123456789ab: 1\n"+
		"lxcbr0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
	got := text(readOnce(t, newNetdev(h, DefaultConfig().Netdev)).Samples)
	if n := strings.Count(got, "receive_bytes"); n != 1 || !strings.Contains(got, "lxcbr0") {
		t.Errorf("want the bridge only, got\n%s", got)
	}
}

// What comes and goes is not remembered for ever.
func TestSamplersForget(t *testing.T) {
	h := copyFixture(t)
	netdev, disks := newNetdev(h, NetdevConfig{}), newDiskstats(h, DiskstatsConfig{})
	for i := range 20 {
		write(t, h.proc("net/dev"), fmt.Sprintf("\n\ntap%d: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", i))
		write(t, h.proc("diskstats"), fmt.Sprintf("8 0 disk%d 1 2 3\n", i))
		readOnce(t, netdev)
		readOnce(t, disks)
	}
	if n, d, i := len(netdev.labels.made), len(disks.labels.made), len(disks.info.made); n != 1 || d != 1 || i != 1 {
		t.Errorf("%d network devices, %d and %d disks remembered, want one each", n, d, i)
	}
}
