package sample

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/agent/wire"
)

func timeoutContext(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

func rows(t *testing.T, r Reading) [][]string {
	t.Helper()
	if len(r.Tables) != 1 {
		t.Fatalf("%d tables, want one", len(r.Tables))
	}
	var out [][]string
	for _, row := range r.Tables[0].Rows {
		if len(row.Cells) != len(r.Tables[0].Columns) {
			t.Errorf("row %v has not a cell for each of %v", row.Cells, r.Tables[0].Columns)
		}
		out = append(out, row.Cells)
	}
	return out
}

func stat(t *testing.T, h host, pid, comm string, utime, start, rss string) {
	t.Helper()
	write(t, h.proc(pid, "stat"), pid+" ("+comm+") S 1 1 1 0 -1 0 0 0 0 0 "+utime+" 0 0 0 20 0 1 0 "+start+" 1 "+rss+
		" 0 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n")
}

func TestProcessesTable(t *testing.T) {
	h := copyFixture(t)
	s := &processesSampler{host: h}
	begin := time.Unix(1763763400, 0)
	page := uint64(os.Getpagesize())
	if _, err := s.Read(t.Context(), begin); err != nil {
		t.Fatal(err)
	}
	stat(t, h, "10", "nginx", "250", "2000", "300")         // 1.00 s more
	stat(t, h, "18", "e", "505", "60000", "14")             // 5.00 s more
	stat(t, h, "99", "new", "300", "100500", "1")           // 3.00 s since it began
	stat(t, h, "13", "my (odd) java", "50", "99999", "400") // number used again: 0.50 s
	r, err := s.Read(t.Context(), begin.Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	user := s.owner(10, s.users())
	want := [][]string{
		{"18", user, "e", "50.0", bytesText(14 * page), "cpu, memory"},
		{"99", user, "new", "30.0", bytesText(page), "cpu"},
		{"10", user, "nginx", "10.0", bytesText(300 * page), "cpu, memory"},
		{"13", user, "my (odd) java", "5.0", bytesText(400 * page), "cpu, memory"},
		{"11", user, "nginx", "0.0", bytesText(500 * page), "cpu, memory"},
		{"17", user, "d", "0.0", bytesText(13 * page), "memory"},
	}
	got := rows(t, r)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, row := range got {
		if strings.Contains(strings.Join(row, " "), "secret") {
			t.Errorf("the table shows a command line: %v", row)
		}
	}
}

func TestProcessesFirstReadingSinceTheyBegan(t *testing.T) {
	got := rows(t, readOnce(t, &processesSampler{host: fixture()}))
	// 60 s of processor within the 970 s since it began.
	if got[0][0] != "11" || got[0][3] != "6.2" {
		t.Errorf("first row %v, want process 11 at 6.2 %%", got[0])
	}
}

func TestOwner(t *testing.T) {
	h := copyFixture(t)
	if got := h.users(); got["0"] != "root" {
		t.Errorf("user 0 is %q, want the first of two names, root", got["0"])
	}
	if got := h.owner(424242, nil); got != "ended" {
		t.Errorf("owner of a process that ended is %q", got)
	}
	if err := os.Remove(h.root("etc/passwd")); err != nil {
		t.Fatal(err)
	}
	if got := h.owner(10, h.users()); strings.Trim(got, "0123456789") != "" {
		t.Errorf("without passwd the owner is %q, want a number", got)
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 30: "5.0 GiB", 1<<64 - 1: "16.0 EiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d bytes: %q, want %q", n, got, want)
		}
	}
}

// utmp is one record as glibc writes it on 64 bit, see utmp(5).
func utmp(t *testing.T, kind int16, user, line, from string, since int32) []byte {
	t.Helper()
	var u struct {
		Type    int16
		_       int16
		PID     int32
		Line    [32]byte
		ID      [4]byte
		User    [32]byte
		Host    [256]byte
		Exit    [2]int16
		Session int32
		Sec     int32
		Usec    int32
		Addr    [4]int32
		_       [20]byte
	}
	u.Type, u.Sec = kind, since
	copy(u.Line[:], line)
	copy(u.User[:], user)
	copy(u.Host[:], from)
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, u); err != nil {
		t.Fatal(err)
	}
	if b.Len() != 384 {
		t.Fatalf("record of %d bytes, want 384", b.Len())
	}
	return b.Bytes()
}

func TestSessionsTable(t *testing.T) {
	const login, boot = 7, 2
	tests := []struct {
		name    string
		content []byte
		none    string
		want    [][]string
	}{
		{"no utmp", nil, "keeps no record of log-ins", nil},
		{"nobody", utmp(t, boot, "reboot", "~", "6.1", 1), "nobody is logged in", nil},
		{"empty", []byte{}, "nobody is logged in", nil},
		{"two", append(utmp(t, login, "anna", "pts/0", "192.0.2.7", 1763763400), utmp(t, login, "bob", "tty1", "", 0)...), "", [][]string{
			{"anna", "pts/0", "192.0.2.7", "2025-11-21T22:16:40Z"},
			{"bob", "tty1", "local", "1970-01-01T00:00:00Z"},
		}},
		{"torn record", utmp(t, login, "anna", "pts/0", "", 0)[:200], "nobody is logged in", nil},
		{"not text", utmp(t, login, "a\xff", "t", "h\xfe", 0), "", [][]string{{"a\uFFFD", "t", "h\uFFFD", "1970-01-01T00:00:00Z"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := host{Path{Rootfs: t.TempDir()}}
			if tt.content != nil {
				write(t, h.root("var/run/utmp"), string(tt.content))
			}
			r := readOnce(t, sessionsSampler{h})
			if got := r.Tables[0].NoneBecause; tt.none == "" && got != "" || !strings.Contains(got, tt.none) {
				t.Errorf("none because %q, want %q", got, tt.none)
			}
			if d := cmp.Diff(tt.want, rows(t, r)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	t.Run("not readable", func(t *testing.T) {
		h := host{Path{Rootfs: t.TempDir()}}
		if err := os.MkdirAll(h.root("var/run/utmp"), 0o755); err != nil { // a directory cannot be read, by root neither
			t.Fatal(err)
		}
		if _, err := (sessionsSampler{h}).Read(t.Context(), time.Now()); err == nil {
			t.Error("want an error, not a table that says nobody is logged in")
		}
	})
}

func TestBootEvents(t *testing.T) {
	h := copyFixture(t)
	dir := t.TempDir()
	agent := func() *bootSampler { return &bootSampler{host: h, dir: dir} }
	events := func(s *bootSampler) []*wire.Event { t.Helper(); return readOnce(t, s).Events }

	first := agent()
	if e := events(first); len(e) != 0 {
		t.Errorf("the first start ever tells %v", e)
	}
	events(first) // keeps the id
	if e := events(agent()); len(e) != 0 {
		t.Errorf("a restart of the agent alone tells %v", e)
	}

	write(t, h.proc("sys/kernel/random/boot_id"), "second\n")
	crashed := agent()
	told := events(crashed)
	if len(told) != 1 || told[0].Kind != "host_rebooted" || told[0].Fields["boot_id"] != "second" ||
		told[0].Fields["boot_id_before"] != "7d9e9a40-7d2c-4c1b-8b0d-000000000001" ||
		told[0].Fields["booted_at"] != "2025-11-21T22:00:00Z" || told[0].AtMs != 1763763400000 {
		t.Fatalf("after a reboot told %v", told)
	}
	again := agent() // the agent died before it could have taken the event
	if e := events(again); len(e) != 1 {
		t.Errorf("after a crash between the event and its keeping told %v, want the event again", e)
	}
	if e := events(again); len(e) != 0 {
		t.Errorf("told twice by one agent: %v", e)
	}
	if e := events(agent()); len(e) != 0 {
		t.Errorf("told again after it was kept: %v", e)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("state directory holds %v (%v), want the one file", left, err)
	}
}

func TestBootFailsWhereItCannotKeep(t *testing.T) {
	s := &bootSampler{host: fixture(), dir: "/dev/null/nowhere"}
	if _, err := s.Read(t.Context(), time.Now()); err == nil {
		t.Error("an unreadable state directory is no error")
	}
	dir := t.TempDir()
	s = &bootSampler{host: fixture(), dir: dir}
	readOnce(t, s)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), time.Now()); err == nil || !strings.Contains(err.Error(), "boot id") {
		t.Errorf("error %v, want one about the boot id", err)
	}
	if readOnce(t, &bootSampler{host: fixture()}).Events != nil {
		t.Error("without a state directory there is nothing to tell")
	}
}

func TestInventory(t *testing.T) {
	h := copyFixture(t)
	if err := os.Symlink("/usr/share/zoneinfo/Europe/London", h.root("etc/localtime")); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Path, c.Version = h.path, "1.2.3"
	inv, err := Inventory(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{
		inv.Os, inv.OsVersion, inv.MachineId, inv.BootId, inv.BootedAtMs, inv.AgentVersion, inv.Cpus, inv.MemoryBytes, inv.Zone,
	}
	want := []any{
		"linux", "Watchbill OS 1 (test)", "0123456789abcdef0123456789abcdef", "7d9e9a40-7d2c-4c1b-8b0d-000000000001",
		int64(1763762400000), "1.2.3", uint32(2), uint64(3742148 * 1024), "Europe/London",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if inv.Hostname == "" || inv.Kernel == "" || inv.Architecture == "" {
		t.Errorf("host name, kernel or architecture missing: %v", inv)
	}
	for _, broken := range []string{"stat", "sys/kernel/random/boot_id"} {
		h := copyFixture(t)
		c.Path = h.path
		if err := os.Remove(h.proc(broken)); err != nil {
			t.Fatal(err)
		}
		if _, err := Inventory(t.Context(), c); err == nil {
			t.Errorf("without %s want an error", broken)
		}
	}
}

func TestZone(t *testing.T) {
	h := host{Path{Rootfs: t.TempDir()}}
	if got := h.zone(); got != "UTC" {
		t.Errorf("without localtime: %q, want UTC as localtime(5) says", got)
	}
	write(t, h.root("etc/localtime"), "TZif") // a copy, as some images have it
	if got := h.zone(); got != "" {
		t.Errorf("with a copied localtime: %q, want that it cannot be told", got)
	}
	write(t, h.root("etc/timezone"), "Europe/Berlin\n")
	if got := h.zone(); got != "Europe/Berlin" {
		t.Errorf("with /etc/timezone: %q", got)
	}
}

func TestWatchCounts(t *testing.T) {
	h := copyFixture(t)
	s := newWatch(h, []Watch{{"nginx", `nginx`}})
	count := func() float64 { t.Helper(); return readOnce(t, s).Samples[0].Value }
	if got := count(); got != 2 {
		t.Errorf("%v processes, want 2", got)
	}
	write(t, h.proc("11/cmdline"), "") // a zombie has none
	if got := count(); got != 1 {
		t.Errorf("with a zombie %v processes, want 1", got)
	}
	if err := os.RemoveAll(h.proc("10")); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != 0 {
		t.Errorf("after both ended %v processes, want 0", got)
	}
	write(t, h.proc("12/cmdline"), "nginx\x00") // a process that was seen before as another program
	stat(t, h, "12", "nginx", "0", "1", "1")
	if got := count(); got != 1 {
		t.Errorf("after an exec %v processes, want 1", got)
	}
	ctx, cancel := timeoutContext(t, 0)
	cancel()
	if _, err := s.Read(ctx, time.Now()); err == nil {
		t.Error("a reading that was cut short must fail, not count what it saw")
	}
}
