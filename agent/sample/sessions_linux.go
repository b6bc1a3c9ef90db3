package sample

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// maxSessions bounds the table: utmp can hold any number.
const maxSessions = 200

// sessionsSampler makes the table of who is logged in: /var/run/utmp.
type sessionsSampler struct{ host }

// Read fails when utmp is there and cannot be read; where it is not, the table says so.
func (s sessionsSampler) Read(ctx context.Context, now time.Time) (Reading, error) {
	t := &wire.Table{
		Kind: "sessions", SampledAtMs: now.UnixMilli(), Columns: []string{"user", "terminal", "from", "since"},
	}
	path := s.root("var/run/utmp")
	users, err := gopsutil.UsersWithContext(s.gopsutil(ctx))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.NoneBecause = fmt.Sprintf("this host keeps no record of log-ins (%s does not exist)", path)
	case err != nil:
		return Reading{}, fmt.Errorf("read who is logged in: %w", err)
	case len(users) == 0:
		t.NoneBecause = "nobody is logged in"
	}
	for i, u := range users {
		if i == maxSessions {
			t.Rows = append(t.Rows, row(fmt.Sprintf("and %d more", len(users)-maxSessions), "", "", ""))
			break
		}
		t.Rows = append(t.Rows, row(u.User, u.Terminal, cmp.Or(u.Host, "local"),
			time.Unix(int64(u.Started), 0).UTC().Format(time.RFC3339)))
	}
	return Reading{Tables: []*wire.Table{t}}, nil
}
