package sample

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestPackageLogs(t *testing.T) {
	parsers := map[string]func(string) (packageChange, bool){}
	for _, l := range packageLogs() {
		parsers[l.path] = l.parse
	}
	for name, c := range map[string]struct {
		log, line string
		want      packageChange
	}{
		"dpkg upgrade":   {"/var/log/dpkg.log", "2026-11-21 10:00:00 upgrade nginx:amd64 1.22.1-9 1.22.1-10", packageChange{upgraded, "nginx", "1.22.1-9", "1.22.1-10"}},
		"dpkg install":   {"/var/log/dpkg.log", "2026-11-21 10:00:00 install libx:all <none> 3.0", packageChange{installed, "libx", "", "3.0"}},
		"dpkg remove":    {"/var/log/dpkg.log", "2026-11-21 10:00:00 remove nginx:amd64 1.22.1-9 <none>", packageChange{removed, "nginx", "1.22.1-9", ""}},
		"dpkg status":    {"/var/log/dpkg.log", "2026-11-21 10:00:00 status installed nginx:amd64 1.22.1-9", packageChange{}},
		"dpkg startup":   {"/var/log/dpkg.log", "2026-11-21 10:00:00 startup archives unpack", packageChange{}},
		"dnf upgrade":    {"/var/log/dnf.rpm.log", "2026-11-21T10:00:00+0000 SUBDEBUG Upgrade: nginx-1:1.20.1-14.el9.x86_64", packageChange{upgraded, "nginx", "", "1:1.20.1-14.el9"}},
		"dnf old one":    {"/var/log/dnf.rpm.log", "2026-11-21T10:00:00+0000 SUBDEBUG Upgraded: nginx-1:1.20.1-13.el9.x86_64", packageChange{}},
		"dnf installed":  {"/var/log/dnf.rpm.log", "2026-11-21T10:00:00+0000 SUBDEBUG Installed: glibc-langpack-en-2.34-60.el9.x86_64", packageChange{installed, "glibc-langpack-en", "", "2.34-60.el9"}},
		"dnf erase":      {"/var/log/dnf.rpm.log", "2026-11-21T10:00:00+0000 SUBDEBUG Erased: nginx-1.20.1-14.el9.x86_64", packageChange{removed, "nginx", "1.20.1-14.el9", ""}},
		"dnf other":      {"/var/log/dnf.rpm.log", "2026-11-21T10:00:00+0000 INFO --- logging initialized ---", packageChange{}},
		"dnf5 install":   {"/var/log/dnf5.log", `2026-11-21T10:00:00+0000 [718] INFO RPM callback install stop "nginx-0:1.28.0-1.fc43.x86_64" amount 120 total 120`, packageChange{installed, "nginx", "", "1.28.0-1.fc43"}},
		"dnf5 epoch":     {"/var/log/dnf5.log", `2026-11-21T10:00:00+0000 [718] INFO RPM callback install stop "nginx-core-1:1.28.0-1.fc43.x86_64" amount 1 total 1`, packageChange{installed, "nginx-core", "", "1:1.28.0-1.fc43"}},
		"dnf5 remove":    {"/var/log/dnf5.log", `2026-11-21T10:00:00+0000 [718] INFO RPM callback uninstall stop "nginx-0:1.28.0-1.fc43.x86_64" amount 9 total 9`, packageChange{removed, "nginx", "1.28.0-1.fc43", ""}},
		"dnf5 begins":    {"/var/log/dnf5.log", `2026-11-21T10:00:00+0000 [718] INFO RPM callback transaction start, total 2`, packageChange{verb: began}},
		"dnf5 start":     {"/var/log/dnf5.log", `2026-11-21T10:00:00+0000 [718] INFO RPM callback install start "nginx-0:1.28.0-1.fc43.x86_64" total 120`, packageChange{}},
		"dnf5 scriptlet": {"/var/log/dnf5.log", `2026-11-21T10:00:00+0000 [718] INFO RPM callback stop trigger-install scriptlet "nginx-0:1.28.0-1.fc43.x86_64" return code 0`, packageChange{}},
		"yum updated":    {"/var/log/yum.log", "Nov 21 10:00:00 Updated: 1:nginx-1.20.1-1.el7.x86_64", packageChange{upgraded, "nginx", "", "1.20.1-1.el7"}},
		"zypp install":   {"/var/log/zypp/history", "2026-11-21 10:00:00|install|nginx|1.21.5-1.1|x86_64|root@h|repo|0123|", packageChange{installed, "nginx", "", "1.21.5-1.1"}},
		"zypp comment":   {"/var/log/zypp/history", "# 2026-11-21 10:00:00 Output of nginx.rpm %posttrans script:", packageChange{}},
		"pacman upgrade": {"/var/log/pacman.log", "[2026-11-21T10:00:00+0000] [ALPM] upgraded nginx (1.22-1 -> 1.24-1)", packageChange{upgraded, "nginx", "1.22-1", "1.24-1"}},
		"pacman remove":  {"/var/log/pacman.log", "[2026-11-21T10:00:00+0000] [ALPM] removed nginx (1.24-1)", packageChange{removed, "nginx", "1.24-1", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := parsers[c.log](c.line)
			if ok != (c.want != packageChange{}) || ok && got != c.want {
				t.Errorf("%+v, %t, want %+v", got, ok, c.want)
			}
		})
	}
}

func TestPackages(t *testing.T) {
	h, dir := logHost(t), t.TempDir()
	log := h.root("var/log/dpkg.log")
	appendTo(t, log, "2026-11-21 09:00:00 install old:amd64 <none> 1\n")
	write(t, h.root("var/lib/dpkg/status"), "x")
	s := newPackages(h, dir)
	c := &stepping{t, noon}
	c.tells(s, 0, "")
	line := "2026-11-21 10:00:00 upgrade nginx:amd64 1.22.1-9 1.22.1-10\n"
	appendTo(t, log, line+line+"2026-11-21 10:00:00 remove vim:amd64 9 <none>\n2026-11-21 10:00:00 purge vim:amd64 9 <none>\n")
	r := c.tells(s, 15*time.Second, "1 package was upgraded: nginx (1.22.1-9 → 1.22.1-10).; 1 package was removed: vim (9).")
	if e := r.Events[0]; e.Kind != "package_upgraded" || e.Fields["count"] != "1" {
		t.Errorf("event %v", e)
	}
	c.tells(s, 15*time.Second, "")

	var many strings.Builder
	for i := range 20 {
		fmt.Fprintf(&many, "2026-11-21 11:00:00 install p%02d:amd64 <none> 1\n", i)
	}
	rename(t, log, log+".1") // while no agent runs
	appendTo(t, log+".1", "2026-11-21 10:59:00 install last:amd64 <none> 2\n")
	appendTo(t, log, many.String())
	r = readAt(t, newPackages(h, dir), c.at.Add(time.Minute))
	if got := texts(r.Events); !strings.HasPrefix(got, "21 packages were installed: last (2), p00 (1)") || !strings.Contains(got, "and 6 more") {
		t.Errorf("after a restart told %q", got)
	}

	write(t, filepath.Join(dir, packagesStateName), "{")
	damaged := newPackages(h, dir)
	if _, err := damaged.Read(t.Context(), noon); err == nil || !strings.Contains(err.Error(), "begins anew") {
		t.Errorf("with a damaged place: %v", err)
	}
	c.tells(damaged, 15*time.Second, "") // what was there before is not new for it
}

// dnf 5 writes an upgrade as an installation and, later, a removal.
func TestPackagesOfDnf5(t *testing.T) {
	h := logHost(t)
	log := h.root("var/log/dnf5.log")
	line := func(what string) {
		appendTo(t, log, "2026-11-21T10:00:00+0000 [718] INFO RPM callback "+what+"\n")
	}
	line("transaction start, total 9")
	s := newPackages(h, t.TempDir())
	c := &stepping{t, noon}
	c.tells(s, 0, "")
	line("transaction start, total 3")
	line(`install stop "nginx-0:1.28.0-2.fc43.x86_64" amount 9 total 9`)
	line(`install stop "new-0:1-1.fc43.noarch" amount 9 total 9`)
	line(`uninstall stop "nginx-0:1.28.0-1.fc43.x86_64" amount 9 total 9`)
	line(`uninstall stop "gone-0:2-1.fc43.noarch" amount 9 total 9`)
	c.tells(s, 15*time.Second, "1 package was installed: new (1-1.fc43).; 1 package was upgraded: nginx (1.28.0-1.fc43 → 1.28.0-2.fc43).; 1 package was removed: gone (2-1.fc43).")
	line("transaction start, total 2")
	line(`install stop "nginx-0:1.28.0-3.fc43.x86_64" amount 9 total 9`)
	c.tells(s, 15*time.Second, "1 package was installed: nginx (1.28.0-3.fc43).") // a long transaction
	line(`uninstall stop "nginx-0:1.28.0-2.fc43.x86_64" amount 9 total 9`)
	c.tells(s, 15*time.Second, "") // was an upgrade, then; it is still there
	line("transaction start, total 1")
	line(`uninstall stop "nginx-0:1.28.0-3.fc43.x86_64" amount 9 total 9`)
	c.tells(s, 15*time.Second, "1 package was removed: nginx (1.28.0-3.fc43).")
}

// A log that is there and cannot be read is a failed source, and what the others say is told all the same.
func TestPackagesOfAClosedLog(t *testing.T) {
	h := logHost(t)
	if err := os.MkdirAll(h.root("var/log/yum.log"), 0o755); err != nil { // nobody can read a directory, root neither
		t.Fatal(err)
	}
	s := newPackages(h, t.TempDir())
	log := h.root("var/log/dpkg.log")
	appendTo(t, log, "")
	for i, want := range []string{"", "1 package was installed: p1 (1)."} {
		if i > 0 {
			appendTo(t, log, "2026-11-21 10:00:00 install p1:amd64 <none> 1\n")
		}
		r, err := s.Read(t.Context(), noon.Add(time.Duration(i)*time.Minute))
		if err == nil || !strings.Contains(err.Error(), "/var/log/yum.log") || !strings.Contains(err.Error(), "is not told") {
			t.Errorf("error %v, want one that names the log and what is lost", err)
		}
		if got := texts(r.Events); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	if err := unreadable("/x", fs.ErrPermission); !strings.Contains(err.Error(), "SupplementaryGroups") {
		t.Errorf("without the right it says %v", err)
	}
	if err := os.Remove(h.root("var/log/yum.log")); err != nil {
		t.Fatal(err)
	}
	appendTo(t, h.root("var/log/yum.log"), "Nov 21 10:00:00 Updated: nginx-1.20.1-1.el7.x86_64\n")
	readAt(t, s, noon.Add(time.Hour)) // it is well again, and what was there before is old
	appendTo(t, h.root("var/log/yum.log"), "Nov 21 11:00:00 Updated: nginx-1.20.1-2.el7.x86_64\n")
	c := &stepping{t, noon.Add(time.Hour)}
	c.tells(s, 15*time.Second, "1 package was upgraded: nginx (1.20.1-2.el7).")
}

// However busy a package manager is, what it does is a bounded number of events, and none of it is lost: neither to the
// bound nor to a crash while it waits.
func TestPackagesAreBounded(t *testing.T) {
	h, dir := logHost(t), t.TempDir()
	log := h.root("var/log/dpkg.log")
	appendTo(t, log, "")
	s := newPackages(h, dir)
	at := noon
	readAt(t, s, at)
	told, packages := 0, 0
	count := func(r Reading) {
		for _, e := range r.Events {
			n, err := strconv.Atoi(e.Fields["count"])
			if err != nil {
				t.Fatal(err)
			}
			told, packages = told+1, packages+n
		}
	}
	const readings, each = 200, 3
	for i := range readings {
		for _, verb := range []string{"install", "upgrade", "remove"} {
			appendTo(t, log, fmt.Sprintf("2026-11-21 10:00:00 %s p%d:amd64 1 2\n", verb, i))
		}
		at = at.Add(time.Second)
		count(readAt(t, s, at))
	}
	if most := eventsAtOnce + readings/int(eventsEvery/time.Second) + 1; told > most {
		t.Errorf("%d events, want at most %d", told, most)
	}
	before := packages
	s = newPackages(h, dir) // a crash
	for range 10 {
		at = at.Add(2 * time.Minute)
		count(readAt(t, s, at))
	}
	if packages < readings*each {
		t.Errorf("%d of %d packages were told, %d before the crash", packages, readings*each, before)
	}
}

// A file that was rotated away and is read to its end bit by bit survives a crash of the agent.
func TestRotatedLogsSurviveACrash(t *testing.T) {
	h, dir := logHost(t), t.TempDir()
	log := h.root("var/log/dpkg.log")
	appendTo(t, log, "begin\n")
	readAt(t, newPackages(h, dir), noon)
	s := newPackages(h, dir)
	readAt(t, s, noon.Add(time.Second))
	readAt(t, s, noon.Add(2*time.Second)) // keeps its place
	const many = 30_000
	filler := strings.Repeat("x", 150)
	var b strings.Builder
	for i := range many {
		fmt.Fprintf(&b, "2026-11-21 11:00:00 startup %d %s\n", i, filler)
	}
	b.WriteString("2026-11-21 11:00:00 install last:amd64 <none> 1\n")
	appendTo(t, log, b.String()) // four readings' worth
	rename(t, log, log+".1")
	appendTo(t, log, "2026-11-21 12:00:00 install first:amd64 <none> 1\n")

	s = newPackages(h, dir) // the agent was restarted meanwhile
	var told []string
	for i := range 3 {
		told = append(told, texts(readAt(t, s, noon.Add(time.Duration(10+i)*time.Minute)).Events))
	}
	rename(t, log+".1", log+".2") // rotated once more, while it is still being read
	rename(t, log, log+".1")
	s = newPackages(h, dir) // a crash, at a moment when nothing has the name
	told = append(told, texts(readAt(t, s, noon.Add(20*time.Minute)).Events))
	appendTo(t, log, "2026-11-21 13:00:00 install newest:amd64 <none> 1\n")
	for i := range 6 {
		told = append(told, texts(readAt(t, s, noon.Add(20*time.Minute+time.Duration(i+1)*time.Second)).Events))
	}
	for _, want := range []string{"first (1)", "last (1)", "newest (1)"} {
		if !strings.Contains(strings.Join(told, "|"), want) {
			t.Errorf("%s is lost; told %q", want, told)
		}
	}
}

// Where no log says which, the database at least says that.
func TestPackagesWithoutALog(t *testing.T) {
	h := logHost(t)
	db := h.root("var/lib/rpm/rpmdb.sqlite")
	write(t, db, "x")
	s := newPackages(h, t.TempDir())
	c := &stepping{t, noon}
	c.tells(s, 0, "")
	c.tells(s, time.Minute, "")
	if err := os.Chtimes(db, noon, noon); err != nil {
		t.Fatal(err)
	}
	r := c.tells(s, time.Minute, "Packages were installed, upgraded or removed; no log that the agent can read says which (/var/lib/rpm/rpmdb.sqlite has changed).")
	if r.Events[0].Kind != "package_changed" {
		t.Errorf("event %v", r.Events[0])
	}
	c.tells(s, time.Minute, "")
}
