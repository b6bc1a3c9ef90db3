package sample

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

// A local user chooses names of mounts, processes and terminals, and some how many there are. Whatever he chooses, the
// report must be one that a collector takes: a refused one would blind the whole host.
func TestHostileNamesFitTheWire(t *testing.T) {
	h := copyFixture(t)
	h.path.Rootfs = "/"
	var mounts strings.Builder
	fmt.Fprintf(&mounts, "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
	for i := range 400 {
		fmt.Fprintf(&mounts, "2 1 0:%d / /m/%s\xff%d rw - fuse f%s rw\n", i, strings.Repeat("x", 3000), i, strings.Repeat("\xfe", 2000))
	}
	write(t, h.proc("1/mountinfo"), mounts.String())
	write(t, h.proc("self/mountinfo"), mounts.String())
	stat(t, h, "10", "\x1b[2J\xff\n", "9999999", "1", "999999")
	filesystem := newFilesystem(h, DefaultConfig().Filesystem)
	filesystem.statfs = func(_ string, buf *unix.Statfs_t) error { *buf = unix.Statfs_t{Bsize: 1, Blocks: 2}; return nil }

	sessions := copyFixture(t)
	var utmpFile []byte
	for range 1000 {
		utmpFile = append(utmpFile, utmp(t, 7, strings.Repeat("\xff", 32), "\x00", strings.Repeat("h", 256), -1)...)
	}
	write(t, sessions.root("var/run/utmp"), string(utmpFile))

	b := newBus(t)
	b.set("a.service", "active", running(0, noon))
	systemd := newSystemd(booted(t), DefaultConfig().Systemd)
	readOnce(t, systemd)
	for i := range 600 {
		b.set(fmt.Sprintf("u%d.service", i), "failed", failed(strings.Repeat("r", 2000), 9, -1, noon))
	}
	b.units[1].Description = strings.Repeat("d", 5000)

	builder := wire.NewBuilder(wire.DefaultLimits())
	report := &wire.Report{Epoch: 1, Sequence: 1, MadeAtMs: noon.UnixMilli()}
	for name, s := range map[string]Sampler{
		"filesystem": filesystem, "processes": &processesSampler{host: h}, "sessions": sessionsSampler{sessions}, "systemd": systemd,
	} {
		r := readOnce(t, s)
		block, err := builder.Block("node", name, noon, time.Minute, r.Samples)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		report.Blocks = append(report.Blocks, block)
		report.Tables = append(report.Tables, r.Tables...)
		report.Events = append(report.Events, r.Events...)
		if name == "filesystem" && strings.Contains(text(r.Samples), "watchbill_agent_left_out{source=\"filesystem\"} 0\n") {
			t.Error("names of 401 mounts are too long together, and none is told to be left out")
		}
		if name == "filesystem" && !strings.Contains(text(r.Samples), `mountpoint="/"`) {
			t.Error("a user's mounts pushed the root out")
		}
	}
	for i, e := range report.Events {
		e.Id = uint64(i + 1)
	}
	if n := len(report.Events); n != maxChanged+1 {
		t.Errorf("%d events of 600 failures, want %d and one that counts the rest", n, maxChanged)
	}
	if err := wire.CheckReport(report, wire.DefaultLimits()); err != nil {
		t.Errorf("a collector would refuse the report: %v", err)
	}
}

func TestSystemdTooManyUnits(t *testing.T) {
	b := newBus(t)
	for i := range maxUnits + 3 {
		b.set(fmt.Sprintf("u%03d.timer", i), "active", nil)
	}
	b.set("z.timer", "failed", map[string]any{"Timer.Result": "resources", "Unit.StateChangeTimestamp": us(noon)})
	got := text(readOnce(t, newSystemd(booted(t), DefaultConfig().Systemd)).Samples)
	if n := strings.Count(got, `state="failed"`); n != maxUnits+1 { // and their sum
		t.Errorf("%d units reported, want %d", n-1, maxUnits)
	}
	for _, want := range []string{
		`node_systemd_unit_state{name="z.timer",state="failed",type=""} 1`, `node_systemd_units{state="active"} 403`,
		`watchbill_agent_left_out{source="systemd"} 4`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s: what failed must be reported, and the rest be counted", want)
		}
	}
}

func TestLabelValuesStayApart(t *testing.T) {
	long := strings.Repeat("é", 2000)
	a, b := labelValue(long+"a"), labelValue(long+"b")
	if a == b || len(a) > wire.DefaultLimits().LabelValueBytes {
		t.Errorf("values of %d and %d bytes, equal: %t", len(a), len(b), a == b)
	}
	if got := labelValue("a\xffb"); got != "a\uFFFDb" {
		t.Errorf("got %q", got)
	}
}

func TestInventoryFitsTheWire(t *testing.T) {
	h := copyFixture(t)
	write(t, h.root("etc/os-release"), "PRETTY_NAME="+strings.Repeat("\xff", 5000))
	write(t, h.root("etc/machine-id"), strings.Repeat("m", 5000))
	c := DefaultConfig()
	c.Path = h.path
	inv, err := Inventory(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := wire.CheckInventory(inv, wire.DefaultLimits()); err != nil {
		t.Errorf("a collector would refuse it: %v", err)
	}
}

// With many services the first reading may run out of time. The next must go on from there, or none would ever be whole.
func TestSystemdRemembersTypesOfAFailedReading(t *testing.T) {
	b := newBus(t)
	for i := range 5 {
		b.set(fmt.Sprintf("a%d.service", i), "inactive", running(0, noon))
	}
	b.set("z.service", "inactive", nil) // its type cannot be had
	s := newSystemd(booted(t), DefaultConfig().Systemd)
	if _, err := s.Read(t.Context(), noon); err == nil {
		t.Fatal("want an error")
	}
	asked := b.called("Get")
	b.set("z.service", "inactive", running(0, noon))
	readOnce(t, s)
	if again := b.called("Get") - asked; again != 1 {
		t.Errorf("asked %d times at the second reading, want once, for z.service", again)
	}
}
