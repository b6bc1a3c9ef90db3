package sample

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSessionsBeginAndEnd(t *testing.T) {
	h := copyFixture(t)
	log := func(records ...[]byte) {
		var all []byte
		for _, r := range records {
			all = append(all, r...)
		}
		write(t, h.root("var/run/utmp"), string(all))
	}
	anna := utmp(t, 7, "anna", "pts/0", "192.0.2.7", 1763763000)
	bob := utmp(t, 7, "bob", "tty1", "", 1763763100)
	log(anna)
	s := newSessions(sessionsSampler{h})
	c := &stepping{t, noon}
	c.tells(s, 0, "")
	log(anna, bob)
	r := c.tells(s, 15*time.Second, "bob logged in (tty1, from local).")
	if f := r.Events[0].Fields; f["user"] != "bob" || f["terminal"] != "tty1" || len(r.Tables) != 1 {
		t.Errorf("fields %v, %d tables", f, len(r.Tables))
	}
	log(bob)
	c.tells(s, 15*time.Second, "anna logged out (pts/0, from 192.0.2.7).")
}

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
	if _, err := newPackages(h, dir).Read(t.Context(), noon); err == nil || !strings.Contains(err.Error(), "begins anew") {
		t.Errorf("with a damaged place: %v", err)
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
