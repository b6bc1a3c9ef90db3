package sample

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v3/common"
	gopsutil "github.com/shirou/gopsutil/v3/host"

	"github.com/watchbill/watchbill/agent/wire"
)

// gopsutil points that library at this host's trees for one call.
func (h host) gopsutil(ctx context.Context) context.Context {
	return context.WithValue(ctx, common.EnvKey, common.EnvMap{
		common.HostProcEnvKey: h.path.Procfs,
		common.HostSysEnvKey:  h.path.Sysfs,
		common.HostVarEnvKey:  h.root("var"),
	})
}

// maxSessions bounds the table: utmp can hold any number. Of as many as maxLogins it is told who came and went.
const (
	maxSessions = 200
	maxLogins   = 10_000
)

// login is one session of a user.
type login struct{ user, terminal, from, since string }

// sessionsSampler makes the table of who is logged in: /var/run/utmp or, where there is none, /run/systemd/sessions.
type sessionsSampler struct{ host }

// Read fails when the record of log-ins is there and cannot be read; where there is none, the table says so.
func (s sessionsSampler) Read(ctx context.Context, now time.Time) (Reading, error) {
	all, none, err := s.logins(ctx)
	if err != nil {
		return Reading{}, err
	}
	return Reading{Tables: []*wire.Table{loginsTable(all, none, now)}}, nil
}

// logins are the sessions, in the order of their record, and why there are none.
func (s sessionsSampler) logins(ctx context.Context) (all []login, none string, err error) {
	users, err := gopsutil.UsersWithContext(s.gopsutil(ctx))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if all, err = s.logind(); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Sprintf("this host keeps no record of log-ins (neither %s nor %s exists)", s.root("var/run/utmp"), s.root(logindSessions)), nil
		}
	case err == nil:
		for _, u := range users {
			all = append(all, login{u.User, u.Terminal, cmp.Or(u.Host, "local"), time.Unix(int64(u.Started), 0).UTC().Format(time.RFC3339)})
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("read who is logged in: %w", err)
	}
	if len(all) == 0 {
		none = "nobody is logged in"
	}
	return all, none, nil
}

func loginsTable(all []login, none string, now time.Time) *wire.Table {
	t := &wire.Table{
		Kind: "sessions", SampledAtMs: now.UnixMilli(), Columns: []string{"user", "terminal", "from", "since"}, NoneBecause: none,
	}
	for i, l := range all {
		if i == maxSessions {
			t.Rows = append(t.Rows, row(fmt.Sprintf("and %d more", len(all)-maxSessions), "", "", ""))
			break
		}
		t.Rows = append(t.Rows, row(l.user, l.terminal, l.from, l.since))
	}
	return t
}

// logindSessions is where systemd-logind keeps its sessions, a file each. They are what libsystemd of every release reads
// (sd-login(3)); distributions that have done away with utmp, whose time ends in 2038, have no other record.
const logindSessions = "run/systemd/sessions"

// logind reads the sessions of systemd-logind.
func (s sessionsSampler) logind() ([]login, error) {
	dir := s.root(logindSessions)
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []login
	for _, f := range files[:min(len(files), 2*maxLogins)] {
		if strings.Contains(f.Name(), ".") { // 3.ref is a pipe, and what is being written is .#3…
			continue
		}
		content, err := read(dir + "/" + f.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just ended
		}
		if err != nil {
			return nil, err
		}
		if l, ok := parseLogind(content); ok {
			out = append(out, l)
		}
	}
	return out, nil
}

// parseLogind reads a session's file: lines of KEY=value. Those of display managers, of services and of the users' own
// managers are nobody's log-in.
func parseLogind(content string) (login, bool) {
	f := map[string]string{}
	for line := range strings.Lines(content) {
		if key, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			f[key] = strings.Trim(v, `"`)
		}
	}
	if f["USER"] == "" || f["STATE"] == "closing" || !strings.HasPrefix(cmp.Or(f["CLASS"], "user"), "user") {
		return login{}, false
	}
	l := login{user: f["USER"], terminal: cmp.Or(f["TTY"], f["DISPLAY"], f["SERVICE"]), from: cmp.Or(f["REMOTE_HOST"], "local"), since: "unknown"}
	if us, err := strconv.ParseUint(f["REALTIME"], 10, 63); err == nil && us > 0 {
		l.since = microseconds(us)
	}
	return l, true
}
