package sample

import (
	"regexp"
	"strings"
)

// packageLog is a log in which a package manager writes down what it did.
type packageLog struct {
	path string
	// parse reads one line; false for lines about something else.
	parse func(line string) (packageChange, bool)
	// pairs says that an upgrade is written as the installation of the new version and, later in the same transaction, the
	// removal of the old one.
	pairs bool
}

// packageChange is one package installed, upgraded or removed.
type packageChange struct{ verb, name, from, to string }

// The verbs, which become kinds of events: package_installed.
const (
	installed = "installed"
	upgraded  = "upgraded"
	removed   = "removed"
	// began is no change but the beginning of a transaction.
	began = "began"
)

// packageLogs are those of dpkg, dnf 4, dnf 5, yum, zypper and pacman. Where they write is the same on every distribution.
func packageLogs() []packageLog {
	return []packageLog{
		{path: "/var/log/dpkg.log", parse: parseDpkg},
		{path: "/var/log/dnf.rpm.log", parse: rpmParser(`SUBDEBUG (\w+): (\S+)`)},
		{path: "/var/log/dnf5.log", parse: parseDnf5, pairs: true},
		{path: "/var/log/yum.log", parse: rpmParser(`^\w{3} [ \d]\d [\d:]{8} (\w+): (?:\d+:)?(\S+)`)},
		{path: "/var/log/zypp/history", parse: parseZypp},
		{path: "/var/log/pacman.log", parse: parsePacman},
	}
}

// parseDpkg reads dpkg.log: "2026-11-21 10:00:00 upgrade nginx:amd64 1.22.1-9 1.22.1-10".
func parseDpkg(line string) (packageChange, bool) {
	f := strings.Fields(line)
	if len(f) != 6 {
		return packageChange{}, false
	}
	name, _, _ := strings.Cut(f[3], ":")
	c := packageChange{name: name, from: version(f[4]), to: version(f[5])}
	switch f[2] {
	case "install":
		c.verb = installed
	case "upgrade":
		c.verb = upgraded
	case "remove", "purge":
		c.verb, c.to = removed, ""
	}
	return c, c.verb != "" && (c.verb != removed || c.from != "")
}

// version is empty for what dpkg writes where there is none.
func version(s string) string {
	if s == "<none>" {
		return ""
	}
	return s
}

// rpmVerbs are those of dnf.rpm.log and yum.log. dnf tells of the new and of the old package of an upgrade; the new one
// counts.
var rpmVerbs = map[string]string{
	"Installed": installed, "Installed:": installed, "Upgrade": upgraded, "Updated": upgraded, "Downgrade": upgraded,
	"Erased": removed, "Removed": removed,
}

// rpmVersion is the version and release at the end of a package's full name: nginx-1:1.20.1-14.el9.x86_64.
var rpmVersion = regexp.MustCompile(`^(.+)-([^-]+-[^-]+?)(?:\.\w+)?$`)

func rpmParser(expr string) func(string) (packageChange, bool) {
	match := regexp.MustCompile(expr)
	return func(line string) (packageChange, bool) {
		m := match.FindStringSubmatch(line)
		if m == nil {
			return packageChange{}, false
		}
		c := packageChange{verb: rpmVerbs[m[1]], name: m[2]}
		if v := rpmVersion.FindStringSubmatch(m[2]); v != nil {
			c.name, c.to = v[1], v[2]
		}
		if c.verb == removed {
			c.from, c.to = c.to, ""
		}
		return c, c.verb != ""
	}
}

var dnf5Line = regexp.MustCompile(`^\S+ \[\d+\] INFO RPM callback (?:transaction start|(install|uninstall) stop "([^"]+)")`)

// parseDnf5 reads dnf5.log, which has what librpm calls back (libdnf5/rpm/transaction.cpp): "2026-11-21T10:00:00+0000 [718]
// INFO RPM callback install stop "nginx-1:1.28.0-1.fc43.x86_64" amount 120 total 120". An install may be an upgrade, too.
func parseDnf5(line string) (packageChange, bool) {
	m := dnf5Line.FindStringSubmatch(line)
	if m == nil {
		return packageChange{}, false
	}
	if m[1] == "" {
		return packageChange{verb: began}, true
	}
	c := packageChange{verb: installed, name: m[2]}
	if v := rpmVersion.FindStringSubmatch(m[2]); v != nil {
		c.name, c.to = v[1], strings.TrimPrefix(v[2], "0:")
	}
	if m[1] == "uninstall" {
		c.verb, c.from, c.to = removed, c.to, ""
	}
	return c, true
}

// parseZypp reads zypp/history: "2026-11-21 10:00:00|install|nginx|1.21.5-1.1|x86_64|root@h|repo|…".
func parseZypp(line string) (packageChange, bool) {
	f := strings.Split(line, "|")
	if len(f) < 4 {
		return packageChange{}, false
	}
	switch strings.TrimSpace(f[1]) {
	case "install": // an upgrade looks the same
		return packageChange{verb: installed, name: f[2], to: f[3]}, true
	case "remove":
		return packageChange{verb: removed, name: f[2], from: f[3]}, true
	}
	return packageChange{}, false
}

var pacmanLine = regexp.MustCompile(`\[ALPM\] (installed|upgraded|downgraded|removed) (\S+) \((?:(\S+) -> )?(\S+)\)`)

// parsePacman reads pacman.log: "[2026-11-21T10:00:00+0000] [ALPM] upgraded nginx (1.22-1 -> 1.24-1)".
func parsePacman(line string) (packageChange, bool) {
	m := pacmanLine.FindStringSubmatch(line)
	if m == nil {
		return packageChange{}, false
	}
	c := packageChange{verb: strings.Replace(m[1], "downgraded", upgraded, 1), name: m[2], from: m[3], to: m[4]}
	if c.verb == removed {
		c.from, c.to = c.to, ""
	}
	return c, true
}
