package sample

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeKmsg is a kernel log: records by line; each opening reads from the first.
type fakeKmsg struct {
	records []string
	refuse  error // opening
	fail    error // the next read
}

func (k *fakeKmsg) open(string) (kmsgLog, error) {
	if k.refuse != nil {
		return nil, k.refuse
	}
	return &openFake{k: k}, nil
}

// say appends a message with the next sequence number at this many seconds after boot.
func (k *fakeKmsg) say(level, seconds int, message string) {
	k.records = append(k.records, fmt.Sprintf("%d,%d,%d,-;%s\n SUBSYSTEM=x\n", level, len(k.records)+100, seconds*1e6, message))
}

type openFake struct {
	k    *fakeKmsg
	next int
}

func (o *openFake) Read(p []byte) (int, error) {
	if err := o.k.fail; err != nil {
		o.k.fail = nil
		return 0, err
	}
	if o.next >= len(o.k.records) {
		return 0, unix.EAGAIN
	}
	o.next++
	return copy(p, o.k.records[o.next-1]), nil
}

func (o *openFake) Close() error { return nil }

// kmsgOn is a sampler of a host that has been up for an hour.
func kmsgOn(h host, dir string, k *fakeKmsg) *kmsgSampler {
	s := newKmsg(h, dir, []Watch{{Name: "shop", Cmdline: "^/srv/bin/shopd"}, {Name: "web", Cmdline: "/nginx"}})
	s.open, s.uptime = k.open, func() time.Duration { return time.Hour }
	return s
}

func readAt(t *testing.T, s Sampler, at time.Time) Reading {
	t.Helper()
	r, err := s.Read(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestKmsgUnderstands(t *testing.T) {
	h := copyFixture(t)
	for name, c := range map[string]struct {
		level         int
		message       string
		kind, text    string
		field, is     string
		alsoLevelOnly bool
	}{
		"oom":           {3, "Out of memory: Killed process 4711 (java) total-vm:8123456kB, anon-rss:7000000kB, file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:14000kB oom_score_adj:0", "kernel_oom", "The kernel killed java (process 4711) for want of memory; it held 6.7 GiB.", "resident_bytes", "7168000000", false},
		"oom, 4.x":      {3, "Killed process 812 (ng inx)) total-vm:100kB, anon-rss:50kB, file-rss:0kB", "kernel_oom", "The kernel killed ng inx) (process 812) for want of memory; it held 50.0 KiB.", "scope", "host", false},
		"oom in cgroup": {3, "Memory cgroup out of memory: Killed process 9 (php-fpm) total-vm:100kB, anon-rss:50kB, file-rss:0kB, shmem-rss:0kB, UID:33", "kernel_oom", "The kernel killed php-fpm (process 9) for reaching the memory limit of its control group; it held 50.0 KiB.", "uid", "33", false},
		"io":            {3, "I/O error, dev sda, sector 123456 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2", "kernel_io_error", "The device sda fails reading, sector 123456.", "device", "sda", false},
		"io, older":     {3, "blk_update_request: I/O error, dev vdb, sector 8 op 0x1:(WRITE) flags 0x0", "kernel_io_error", "The device vdb fails writing, sector 8.", "sector", "8", false},
		"medium":        {3, "critical medium error, dev sdb, sector 77 op 0x0:(READ) flags 0", "kernel_io_error", "The device sdb fails reading, sector 77.", "device", "sdb", false},
		"buffer":        {3, "Buffer I/O error on dev dm-0, logical block 5, lost async page write", "kernel_io_error", "The device dm-0 fails reading or writing, block 5 (lost async page write).", "device", "dm-0", false},
		"nvme":          {3, "nvme0n1: I/O Cmd(0x2) @ LBA 2048, 8 blocks, I/O Error (sct 0x2 / sc 0x81)", "kernel_io_error", "The device nvme0n1 fails reading or writing, sector 2048 (I/O Cmd(0x2)).", "sector", "2048", false},
		"ata":           {3, "ata1.00: failed command: READ FPDMA QUEUED", "kernel_io_error", "The device ata1.00 fails reading or writing (failed command: READ FPDMA QUEUED).", "device", "ata1.00", false},
		"ext4":          {2, "EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: reading directory lblock 0", "kernel_fs_error", "The file system EXT4 on sda1 reports an error: ext4_find_entry:1455: inode #2: comm ls: reading directory lblock 0", "filesystem", "EXT4", false},
		"ext4 ro":       {2, "EXT4-fs (sda1): Remounting filesystem read-only", "kernel_fs_error", "The kernel stopped writing to the file system EXT4 on sda1: Remounting filesystem read-only", "read_only", "true", false},
		"xfs":           {1, "XFS (dm-3): Filesystem has been shut down due to log error (0x2).", "kernel_fs_error", "The kernel stopped writing to the file system XFS on dm-3: Filesystem has been shut down due to log error (0x2).", "device", "dm-3", false},
		"xfs corrupt":   {1, "XFS (dm-3): Corruption detected. Unmount and run xfs_repair", "kernel_fs_error", "The file system XFS on dm-3 reports an error: Corruption detected. Unmount and run xfs_repair", "device", "dm-3", false},
		"btrfs":         {2, "BTRFS: error (device sdb1: state A) in __btrfs_free_extent:3211: errno=-5 IO failure", "kernel_fs_error", "The file system BTRFS on sdb1 reports an error: __btrfs_free_extent:3211: errno=-5 IO failure", "device", "sdb1", false},
		"btrfs ro":      {6, "BTRFS info (device sdb1: state EA): forced readonly", "kernel_fs_error", "The kernel stopped writing to the file system BTRFS on sdb1: forced readonly", "read_only", "true", false},
		"nfs":           {5, "nfs: server fs1 not responding, still trying", "kernel_fs_error", "The file system nfs on fs1 reports an error: not responding, still trying", "device", "fs1", false},
		"hung":          {3, "INFO: task jbd2/sda1-8:231 blocked for more than 120 seconds.", "kernel_hung_task", "jbd2/sda1-8 (process 231) has waited for more than 120 s without a break, as one does for a dead disk or file server.", "seconds", "120", false},
		"hung, new":     {3, "INFO: task kworker/0:1:77 blocked in I/O wait for more than 122 seconds.", "kernel_hung_task", "kworker/0:1 (process 77) has waited for more than 122 s without a break, as one does for a dead disk or file server.", "pid", "77", false},
		"lockup":        {0, "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [qemu:99]", "kernel_lockup", "The kernel is stuck: soft lockup - CPU#1 stuck for 22s! [qemu:99]", "", "", false},
		"segfault":      {6, "shopd[812]: segfault at 0 ip 000055d0 sp 00007ffd error 4 in libssl.so.3[7f0000+1000] likely on CPU 1", "kernel_segfault", "shopd (process 812) crashed: segfault in libssl.so.3.", "watch", "", false},
		"protection":    {6, "traps: nginx[7] general protection fault ip:7f sp:7f error:0 in libc.so.6[7f+1]", "kernel_segfault", "nginx (process 7) crashed: general protection fault in libc.so.6.", "watch", "web", false},
		"mce":           {0, "mce: [Hardware Error]: Machine check events logged", "kernel_hardware_error", "The hardware reports an error: Machine check events logged", "", "", false},
		"edac":          {4, "EDAC MC0: 1 CE memory read error on CPU_SrcID#0", "kernel_hardware_error", "The memory reports an error: MC0: 1 CE memory read error on CPU_SrcID#0", "", "", false},
		"conntrack":     {4, "nf_conntrack: nf_conntrack: table full, dropping packet", "kernel_table_full", "The kernel drops packets: nf_conntrack: nf_conntrack: table full, dropping packet", "", "", false},
		"oops":          {1, "BUG: unable to handle page fault for address: 00007f", "kernel_bug", "The kernel has failed itself; reboot it soon: BUG: unable to handle page fault for address: 00007f", "", "", false},
		"unknown, bad":  {2, "something nobody has seen", "kernel_error", "The kernel reports as crit: something nobody has seen", "", "", true},
		"unknown, mild": {3, "ACPI Error: No handler for Region", "", "", "", "", true},
		"mounting":      {6, "EXT4-fs (sda1): mounted filesystem with ordered data mode. Opts: errors=remount-ro", "", "", "", "", true},
		"xfs mounting":  {5, "XFS (sda1): Mounting V5 Filesystem", "", "", "", "", true},
		"ata, harmless": {3, "ata1.00: exception Emask 0x0 SAct 0x0 SErr 0x0 action 0x0", "", "", "", "", true},
		"prose":         {6, "usb 1-1: Product: I/O error, device", "", "", "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			k := &fakeKmsg{}
			s := kmsgOn(h, "", k)
			readAt(t, s, noon)
			k.say(c.level, 3000, c.message)
			events := readAt(t, s, noon.Add(time.Second)).Events
			if c.kind == "" {
				if len(events) != 0 {
					t.Fatalf("told %s: %q", events[0].Kind, events[0].Text)
				}
				return
			}
			if len(events) != 1 {
				t.Fatalf("%d events", len(events))
			}
			e := events[0]
			if e.Kind != c.kind || e.Text != c.text {
				t.Errorf("\n got %s %q\nwant %s %q", e.Kind, e.Text, c.kind, c.text)
			}
			if c.field != "" && e.Fields[c.field] != c.is {
				t.Errorf("fields %v, want %s=%q", e.Fields, c.field, c.is)
			}
			// Up for an hour and a second at the second reading, so 601 s ago.
			if want := noon.Add(time.Second - 600*time.Second).UnixMilli(); e.AtMs != want {
				t.Errorf("at %d, want %d", e.AtMs, want)
			}
		})
	}
}

func TestKmsgBeginsWhereItStopped(t *testing.T) {
	h := copyFixture(t)
	dir := t.TempDir()
	k := &fakeKmsg{}
	k.say(3, 10, "I/O error, dev sda, sector 1")
	first := kmsgOn(h, dir, k)
	r := readAt(t, first, noon)
	if len(r.Events) != 0 {
		t.Errorf("what was there before the agent first looked was told: %v", r.Events)
	}
	if rows := r.Tables[0].Rows; len(rows) != 1 {
		t.Errorf("the table shows %d messages, want the one from before", len(rows))
	}
	k.say(3, 11, "I/O error, dev sdb, sector 2")
	if got := texts(readAt(t, first, noon.Add(time.Second)).Events); !strings.Contains(got, "sdb") {
		t.Errorf("told %q, want sdb", got)
	}
	again := kmsgOn(h, dir, k) // a crash: the place was not kept yet, so it is told twice
	if got := texts(readAt(t, again, noon.Add(2*time.Second)).Events); !strings.Contains(got, "sdb") || strings.Contains(got, "sda") {
		t.Errorf("after a crash told %q, want sdb again", got)
	}
	readAt(t, again, noon.Add(3*time.Second))
	k.say(3, 12, "I/O error, dev sdc, sector 3") // while no agent runs
	if got := texts(readAt(t, kmsgOn(h, dir, k), noon.Add(4*time.Second)).Events); got != "The device sdc fails reading or writing, sector 3." {
		t.Errorf("after an orderly stop told %q, want sdc alone", got)
	}
	write(t, h.proc("sys/kernel/random/boot_id"), "another\n")
	if got := readAt(t, kmsgOn(h, dir, k), noon.Add(5*time.Second)).Events; len(got) != 3 {
		t.Errorf("after a reboot told %q, want all since the boot", texts(got))
	}
}

func TestKmsgNamesTheControlGroup(t *testing.T) {
	k := &fakeKmsg{}
	s := kmsgOn(copyFixture(t), "", k)
	readAt(t, s, noon)
	k.say(6, 1, "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/system.slice/shop.service,task_memcg=/system.slice/shop.service,task=php,pid=77,uid=33")
	k.say(3, 1, "Memory cgroup out of memory: Killed process 77 (php) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, UID:33")
	e := readAt(t, s, noon.Add(time.Second)).Events
	if len(e) != 1 || e[0].Fields["control_group"] != "/system.slice/shop.service" {
		t.Errorf("events %v", e)
	}
}

func TestKmsgStorm(t *testing.T) {
	k := &fakeKmsg{}
	s := kmsgOn(copyFixture(t), "", k)
	readAt(t, s, noon)
	for i := range 3 * kmsgAtOnce {
		k.say(3, 1, fmt.Sprintf("I/O error, dev sd%c, sector %d", 'a'+i%2, i))
	}
	told := 0
	for i := range 10 {
		e := readAt(t, s, noon.Add(time.Duration(i)*time.Second)).Events
		told += len(e)
	}
	if told != 2 {
		t.Errorf("%d events of two failing disks, want two", told)
	}
	late := readAt(t, s, noon.Add(2*time.Minute)).Events
	if len(late) != 2 || !strings.HasSuffix(late[0].Text, "times)") {
		t.Errorf("afterwards %v, want a count for each", late)
	}
}

// What the bound on events makes wait is not lost when the agent dies meanwhile.
func TestKmsgThatWaitsSurvivesACrash(t *testing.T) {
	k, h, dir := &fakeKmsg{}, copyFixture(t), t.TempDir()
	k.say(6, 0, "booting")
	s := kmsgOn(h, dir, k)
	at := noon
	readAt(t, s, at)
	const disks = eventsAtOnce + 10
	for i := range disks {
		k.say(3, i, fmt.Sprintf("I/O error, dev sd%c%c, sector 4711", 'a'+i/20, 'a'+i%20))
	}
	told := map[string]bool{}
	look := func(s *kmsgSampler, every time.Duration, readings int) {
		for range readings {
			at = at.Add(every)
			for _, e := range readAt(t, s, at).Events {
				told[e.Fields["device"]] = true
			}
		}
	}
	if look(s, time.Second, 3); len(told) != eventsAtOnce {
		t.Errorf("%d events at once, want %d", len(told), eventsAtOnce)
	}
	look(kmsgOn(h, dir, k), eventsEvery, 12)
	if len(told) != disks {
		t.Errorf("of %d failing disks %d were told", disks, len(told))
	}
}

func TestKmsgRefused(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"no right": {fmt.Errorf("open: %w", unix.EPERM), "CAP_SYSLOG"},
		"no file":  {fmt.Errorf("open: %w", fs.ErrNotExist), "container"},
		"other":    {errors.New("on fire"), "on fire"},
	} {
		t.Run(name, func(t *testing.T) {
			k := &fakeKmsg{refuse: c.err}
			s := kmsgOn(copyFixture(t), "", k)
			r := readAt(t, s, noon)
			if len(r.Tables) != 1 || !strings.Contains(r.Tables[0].NoneBecause, c.want) || !strings.Contains(r.Tables[0].NoneBecause, "oom_kill") {
				t.Errorf("tables %v, want one that says %q and what still tells", r.Tables, c.want)
			}
			k.refuse = nil
			k.say(3, 1, "I/O error, dev sda, sector 1")
			if r = readAt(t, s, noon.Add(time.Second)); s.log != nil {
				t.Error("a right is looked for with every reading")
			}
			readAt(t, s, noon.Add(2*kmsgRetry))
			k.say(3, 1, "I/O error, dev sdb, sector 1")
			if r = readAt(t, s, noon.Add(3*kmsgRetry)); len(r.Events) != 1 || r.Tables[0].NoneBecause != "" {
				t.Errorf("when the right is there: %v", r)
			}
		})
	}
}

func TestKmsgTroubles(t *testing.T) {
	k := &fakeKmsg{}
	dir := t.TempDir()
	s := kmsgOn(copyFixture(t), dir, k)
	readAt(t, s, noon)
	k.say(3, 1, "I/O error, dev sda, sector 1")
	k.fail = unix.EPIPE // overwritten before it was read: go on with what is left
	if e := readAt(t, s, noon.Add(time.Second)).Events; len(e) != 1 {
		t.Errorf("after an overrun %d events, want one", len(e))
	}
	k.say(3, 1, "I/O error, dev sdb, sector 1")
	k.fail = unix.EIO
	if _, err := s.Read(t.Context(), noon.Add(2*time.Second)); !errors.Is(err, unix.EIO) {
		t.Errorf("error %v, want EIO", err)
	}
	if e := readAt(t, s, noon.Add(2*kmsgRetry)).Events; len(e) != 1 || !strings.Contains(e[0].Text, "sdb") {
		t.Errorf("opened again it tells %q, want sdb alone", texts(e))
	}
	if err := os.RemoveAll(dir); err != nil { // the place cannot be kept: what happens is told all the same
		t.Fatal(err)
	}
	k.say(3, 1, "I/O error, dev sdc, sector 1")
	r := readAt(t, s, noon.Add(3*kmsgRetry))
	if len(r.Events) != 1 || !strings.Contains(fmt.Sprint(r.Tables), "told twice") {
		t.Errorf("without a place to keep: %v", r)
	}
	write(t, filepath.Join(dir, kmsgStateName), "{")
	damaged := kmsgOn(copyFixture(t), dir, k)
	if _, err := damaged.Read(t.Context(), noon); err == nil || !strings.Contains(err.Error(), "begins anew") {
		t.Errorf("a damaged place: %v", err)
	}
	if e := readAt(t, damaged, noon.Add(time.Second)).Events; len(e) != 0 {
		t.Errorf("after a damaged place it tells %q", texts(e))
	}
}

func TestKmsgOfThisMachine(t *testing.T) {
	h := host{DefaultConfig().Path}
	log, err := openKmsg(h.root("dev/kmsg"))
	if err != nil {
		t.Skipf("the kernel's log cannot be opened here: %v", err)
	}
	log.Close()
	s := newKmsg(h, t.TempDir(), nil)
	r := readAt(t, s, time.Now())
	if s.seen == 0 {
		t.Error("no record was read")
	}
	if len(r.Events) != 0 {
		t.Errorf("told %q of before the agent looked", texts(r.Events))
	}
	for _, row := range r.Tables[0].Rows {
		at, err := time.Parse(time.RFC3339, row.Cells[0])
		if err != nil || time.Since(at) < -time.Minute || time.Since(at) > 10*365*24*time.Hour {
			t.Errorf("row %v: %v", row.Cells, err)
		}
	}
	if err := s.log.Close(); err != nil {
		t.Error(err)
	}
}

func FuzzKmsg(f *testing.F) {
	f.Add("6,339,5140900,-;NET: Registered protocol family 10\n SUBSYSTEM=net\n")
	f.Add("3,1,1,-;Out of memory: Killed process 4711 (java) total-vm:1kB, anon-rss:1kB, UID:1")
	f.Add("3,18446744073709551615,99999999999999999,c;x")
	f.Add("7,1,1;INFO: task a:1 blocked for more than 1 seconds")
	kinds := kernelKinds()
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseKmsg(s)
		if err != nil {
			if !errors.Is(err, errKmsg) {
				t.Errorf("error %v", err)
			}
			return
		}
		if r.level < 0 || r.level >= len(levels) || strings.Contains(r.message, "\n") {
			t.Errorf("record %+v", r)
		}
		if fact, ok := understand(kinds, r); ok && (fact.kind == "" || fact.text == "") {
			t.Errorf("fact %+v of %+v", fact, r)
		}
		kmsgRow(r, time.Unix(0, 0))
	})
}
