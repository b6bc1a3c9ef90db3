package sample

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

// diskHost is a host with one file system at /srv, and another that is mounted within.
func diskHost(t *testing.T) host {
	t.Helper()
	dir := t.TempDir()
	h := host{Path{Procfs: filepath.Join(dir, "proc"), Rootfs: filepath.Join(dir, "root")}}
	mounts := "1 0 8:1 / /srv rw - ext4 /dev/sda1 rw\n2 1 8:1 / /srv/other rw - ext4 /dev/sda1 rw\n"
	write(t, h.proc("1/mountinfo"), mounts)
	write(t, h.proc("self/mountinfo"), mounts)
	for name, kib := range map[string]int{
		"app/log/debug.log": 4000, "app/log/access.log": 1000, "app/bin/app": 1000, "home/anna/film": 2000, "other/huge": 9000, "tiny": 4,
	} {
		write(t, h.root("srv", name), strings.Repeat("x", kib<<10))
	}
	write(t, h.root("etc/secret-name"), strings.Repeat("x", 8000<<10))
	return h
}

func usageOf(t *testing.T, d *diskUsage, ctx context.Context, point string) *wire.Table {
	t.Helper()
	table, err := d.make(ctx, noon, point)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// said are some columns of a table's rows.
func said(table *wire.Table, columns ...int) string {
	var out []string
	for _, r := range table.Rows {
		var cells []string
		for _, c := range columns {
			cells = append(cells, r.Cells[c])
		}
		out = append(out, strings.Join(cells, " "))
	}
	return strings.Join(out, "\n")
}

func TestDiskUsage(t *testing.T) {
	h := diskHost(t)
	if err := os.Symlink(h.root("etc"), h.root("srv/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(h.root("srv/app/log/debug.log"), h.root("srv/app/log/same.log")); err != nil {
		t.Fatal(err)
	}
	table := usageOf(t, newDiskUsage(h, DefaultConfig().Filesystem), t.Context(), "/srv")
	got := said(table, 2, 3)
	for _, want := range []string{
		"all that was seen /srv", "directory /srv/app/", "directory /srv/app/log/", "directory /srv/home/anna/",
		"file /srv/home/anna/film", "file /srv/app/log/access.log",
	} {
		if !strings.Contains(got+"\n", want+"\n") {
			t.Errorf("does not say %q:\n%s", want, got)
		}
	}
	for _, never := range []string{"other", "huge", "secret", "link", "tiny", "/srv/home/\n"} {
		if strings.Contains(got+"\n", never) {
			t.Errorf("says %q:\n%s", never, got)
		}
	}
	if strings.Contains(got, "file /srv/app/log/debug.log") == strings.Contains(got, "file /srv/app/log/same.log") {
		t.Errorf("a file with two names is not there by one of them:\n%s", got)
	}
	if size := table.Rows[0].Cells[0]; !strings.HasPrefix(size, "7.") {
		t.Errorf("%s in all, want the 7.8 MiB of the files and some for the directories", size)
	}
}

func TestDiskUsageIsBounded(t *testing.T) {
	h := diskHost(t)
	for i := range 500 {
		write(t, h.root(fmt.Sprintf("srv/many/%03d", i)), "")
	}
	d := newDiskUsage(h, DefaultConfig().Filesystem)
	d.entries = 100
	if got := said(usageOf(t, d, t.Context(), "/srv"), 2); !strings.Contains(got, "not all of it: it has more than the 100 entries") {
		t.Errorf("of more than it looks at it says\n%s", got)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if got := said(usageOf(t, d, over, "/srv"), 2); !strings.Contains(got, "the time for it was up") {
		t.Errorf("when the time is up it says\n%s", got)
	}
	d.entries = usageEntries
	if got := said(usageOf(t, d, t.Context(), "/srv"), 2, 3); strings.Contains(got, "not all of it") || strings.Contains(got, "many entries") {
		t.Errorf("of 500 entries it says\n%s", got)
	}
	for i := range 1000 {
		write(t, h.root(fmt.Sprintf("srv/many/x%03d", i)), "")
	}
	if got := said(usageOf(t, d, t.Context(), "/srv"), 1, 2, 3); !strings.Contains(got, "1501 directory with many entries /srv/many/") {
		t.Errorf("of 1500 entries it says\n%s", got)
	}
}

func TestDiskUsageOfWhatIsNotThere(t *testing.T) {
	h := diskHost(t)
	d := newDiskUsage(h, DefaultConfig().Filesystem)
	for _, point := range []string{"/etc", "/srv/app", "/srv/../etc", "srv", "/"} {
		if table := usageOf(t, d, t.Context(), point); len(table.Rows) != 0 || !strings.Contains(table.NoneBecause, "nothing is mounted") {
			t.Errorf("of %s it says %v", point, table)
		}
	}
	if os.Geteuid() == 0 {
		t.Skip("root may look everywhere: run as another user to see what is said of closed directories")
	}
	if err := os.Chmod(h.root("srv/app"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(h.root("srv/app"), 0o755) })
	if got := said(usageOf(t, d, t.Context(), "/srv"), 2); !strings.Contains(got, "1 directories are closed") {
		t.Errorf("of a closed directory it says\n%s", got)
	}
}

func TestProcessesBundle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := copyFixture(t)
		write(t, h.proc("10/cmdline"), "/usr/bin/mysqldump\x00-u\x00root\x00-pZq8-tr0ub4dor\x00my base\x00")
		write(t, h.proc("10/io"), "rchar: 1\nread_bytes: 1048576\nwrite_bytes: 0\n")
		stat(t, h, "10", "mysqldump", "100", "2000", "300")
		c := DefaultConfig()
		c.Path = h.path
		bundles, err := Bundles(c)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Second)
			write(t, h.proc("10/io"), "rchar: 1\nread_bytes: 5242880\nwrite_bytes: 0\n")
			stat(t, h, "10", "mysqldump", "200", "2000", "300")
		}()
		table, err := bundles[1].Make(t.Context(), noon, "")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Split(said(table, 0, 2, 3, 5, 6, 7), "\n")[0], `10 /usr/bin/mysqldump -u root -p[redacted] "my base" 50.0 2.0 MiB 0 B cpu, memory, reads`; got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	})
}

func TestDeletedFilesBundle(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "old.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(bytes.Repeat([]byte("x"), 3<<20)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	d := deletedFiles{host{DefaultConfig().Path}}
	table, err := d.make(t.Context(), noon, "")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("3.0 MiB %d %s", os.Getpid(), f.Name()); !strings.Contains(said(table, 0, 1, 4), want) {
		t.Errorf("does not say %q:\n%s", want, said(table, 0, 1, 4))
	}
	if table, err = d.make(t.Context(), noon, "/proc"); err != nil || strings.Contains(said(table, 4), f.Name()) {
		t.Errorf("of another file system: %v, %v", table, err)
	}
	if table, err = d.make(t.Context(), noon, "/not/there"); err != nil || table.NoneBecause == "" {
		t.Errorf("of none: %v, %v", table, err)
	}
}

func TestKernelBundle(t *testing.T) {
	k := &fakeKmsg{}
	uptime := 10 * time.Hour
	b := kernelBundle{host: host{}, open: k.open, uptime: func() time.Duration { return uptime }}
	make := func() *wire.Table {
		table, err := b.make(t.Context(), noon, "")
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	if got := make().NoneBecause; !strings.Contains(got, "said nothing within 30 minutes") {
		t.Errorf("of an empty log: %q", got)
	}
	k.say(6, 1, "booting")
	k.say(4, 2, "a warning of the start")
	k.say(6, 9*3600, "hours ago")
	k.say(6, 10*3600-60, "of late")
	k.say(7, 9*3600, "for debugging")
	if got, want := said(make(), 1, 2), "warn a warning of the start\ninfo of late"; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	for i := range 3 * kernelBundleRows {
		k.say(3, 10, fmt.Sprint("error ", i))
	}
	if got := make(); len(got.Rows) != kernelBundleRows || got.Rows[kernelBundleRows-1].Cells[2] != fmt.Sprint("error ", 3*kernelBundleRows-1) {
		t.Errorf("%d rows", len(got.Rows))
	}
	k.refuse = unix.EPERM
	if got := make().NoneBecause; !strings.Contains(got, "CAP_SYSLOG") {
		t.Errorf("without the right: %q", got)
	}
}

func TestBundlesAreTheFixedList(t *testing.T) {
	c := DefaultConfig()
	all, err := Bundles(c)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range all {
		names = append(names, b.Name)
		if b.Needs && b.Source == "" || (b.Source == "") != (b.Label == "") {
			t.Errorf("%s: needs %t, source %q, label %q", b.Name, b.Needs, b.Source, b.Label)
		}
	}
	if fmt.Sprint(names) != fmt.Sprint(BundleNames) {
		t.Errorf("bundles %v, want %v", names, BundleNames)
	}
	c.Bundles.Disabled = []string{"logs", "sockets"}
	if some, err := Bundles(c); err != nil || len(some) != len(all)-2 {
		t.Errorf("%d bundles with two disabled, %v", len(some), err)
	}
	c.Bundles.Disabled = []string{"shell"}
	if _, err := Bundles(c); err == nil || !strings.Contains(err.Error(), "there are disk_usage") {
		t.Errorf("a bundle that is none: %v", err)
	}
}

// On this machine, with names of files that a hostile user chose, every bundle is one that a collector takes.
func TestBundlesFitTheWire(t *testing.T) {
	c := DefaultConfig()
	h := diskHost(t)
	c.Path.Rootfs = h.path.Rootfs
	write(t, h.root("srv", strings.Repeat("\xff", 200), strings.Repeat("n", 250), strings.Repeat("\n", 250), strings.Repeat("\x1b", 250), strings.Repeat("é", 120)), strings.Repeat("x", 5000<<10))
	write(t, h.root("var/log/syslog"), strings.Repeat("error \xff"+strings.Repeat("y", 3000)+"\n", 100))
	write(t, h.root("srv/app/password=Zq8-tr0ub4dor"), strings.Repeat("x", 5000<<10))
	bundles, err := Bundles(c)
	if err != nil {
		t.Fatal(err)
	}
	bundles[0].Make = func(ctx context.Context, now time.Time, point string) (*wire.Table, error) {
		c.Path.Procfs = h.path.Procfs
		own, err := Bundles(c)
		if err != nil {
			return nil, err
		}
		return own[0].Make(ctx, now, point)
	}
	for _, b := range bundles {
		argument := map[string]string{"disk_usage": "/srv", "logs": "shop.service"}[b.Name]
		table, err := b.Make(t.Context(), time.Now(), argument)
		if err != nil {
			t.Errorf("%s: %v", b.Name, err)
			continue
		}
		r := &wire.Report{Epoch: 1, Sequence: 1, MadeAtMs: 1, Bundles: []*wire.Bundle{{Request: &wire.BundleRequest{Name: b.Name, Argument: argument}, Table: table}}}
		if err := wire.CheckReport(r, wire.DefaultLimits()); err != nil {
			t.Errorf("%s: a collector would refuse it: %v", b.Name, err)
		}
		if len(table.Rows) == 0 && table.NoneBecause == "" {
			t.Errorf("%s says nothing and not why", b.Name)
		}
		if strings.Contains(fmt.Sprint(table), "Zq8-tr0ub4dor") {
			t.Errorf("%s shows a secret", b.Name)
		}
	}
}

func TestLowPriority(t *testing.T) {
	var inside, threadInside int
	var err error
	atLowPriority(func() {
		threadInside = unix.Gettid()
		inside, err = unix.Getpriority(unix.PRIO_PROCESS, 0)
	})
	// The system call returns 20 - nice, so that no answer is negative.
	if err != nil || inside != 1 {
		t.Errorf("priority %d, %v, want that of nice 19", inside, err)
	}
	if outside, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err != nil || outside == 1 && unix.Gettid() != threadInside {
		t.Errorf("the caller's priority is %d, %v", outside, err)
	}
	defer func() {
		if p := recover(); p == nil || p.(error).Error() != "out" {
			t.Errorf("a panic within comes out as %v", p)
		}
	}()
	atLowPriority(func() { panic(errors.New("out")) })
}

func TestPaceRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pace{work: 20 * time.Millisecond}
		start := time.Now()
		for range 100 {
			if !p.step(t.Context()) {
				t.Fatal("ended")
			}
			time.Sleep(10 * time.Millisecond) // work
		}
		if took := time.Since(start); took < 1900*time.Millisecond {
			t.Errorf("a second of work took %v, want twice that", took)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if p.step(over) {
			t.Error("goes on after the end")
		}
	})
}
