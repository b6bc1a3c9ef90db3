package sample

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

const (
	// socketsRows is how many processes the bundle shows, socketsPorts how many ports of each.
	socketsRows  = 40
	socketsPorts = 10
)

// socketsBundle shows who holds how many connections, and who listens where.
type socketsBundle struct{ host }

// holder is a process with its sockets, or a user where the process cannot be told.
type holder struct {
	pid           int
	command, user string
	ports         []string
	established   int
	// closing are those that the other side has closed and the program has not: many of them are a fault of the program.
	closing, other int
}

func (h holder) total() int { return len(h.ports) + h.established + h.closing + h.other }

func (b socketsBundle) make(ctx context.Context, now time.Time, _ string) (*wire.Table, error) {
	t := &wire.Table{
		Kind: "sockets", SampledAtMs: now.UnixMilli(),
		Columns: []string{"pid", "user", "command", "listens on", "established", "closed by the other side", "other"},
	}
	p := pace{work: usageStretch}
	owners, closed, err := b.socketOwners(ctx, &p)
	if err != nil {
		return nil, err
	}
	holders, err := b.group(ctx, &p, owners)
	if err != nil {
		return nil, err
	}
	for i, h := range holders {
		if i == socketsRows {
			t.Rows = append(t.Rows, row("", "", fmt.Sprintf("and %d more", len(holders)-i), "", "", "", ""))
			break
		}
		t.Rows = append(t.Rows, row(pidText(h.pid), h.user, cmp.Or(h.command, "unknown"), portsText(h.ports),
			strconv.Itoa(h.established), strconv.Itoa(h.closing), strconv.Itoa(h.other)))
	}
	if closed > 0 {
		t.Rows = append(t.Rows, row("", "", fmt.Sprintf("of %d processes the agent may not see the sockets (CAP_SYS_PTRACE); theirs are counted by user", closed), "", "", "", ""))
	}
	if len(t.Rows) == 0 {
		t.NoneBecause = "no process has a socket of TCP or UDP"
	}
	return t, nil
}

// group brings the sockets to those who hold them, the most first. One that was opened since the owners were looked for
// counts as its user's.
func (b socketsBundle) group(ctx context.Context, p *pace, all owners) ([]holder, error) {
	users := b.users()
	by := map[string]*holder{}
	err := b.eachSocket(ctx, func(s socket) {
		p.step(ctx) // the end of ctx is noticed by who calls
		o, known := all.of(s.inode)
		user := cmp.Or(users[s.uid], s.uid)
		if s.inode == 0 { // the kernel's own by now: nobody has it open
			user = "nobody, the kernel waits"
		}
		key := "user " + user
		if known {
			key = strconv.Itoa(o.pid)
		}
		h := by[key]
		if h == nil {
			h = &holder{pid: o.pid, command: o.command, user: user}
			if known {
				h.user = b.owner(o.pid, users)
			}
			by[key] = h
		}
		h.add(s)
	})
	if err != nil {
		return nil, err
	}
	out := make([]holder, 0, len(by))
	for _, k := range slices.Sorted(maps.Keys(by)) {
		out = append(out, *by[k])
	}
	slices.SortStableFunc(out, func(a, b holder) int { return cmp.Compare(b.total(), a.total()) })
	return out, nil
}

func (h *holder) add(s socket) {
	switch {
	case listens(s):
		port := s.protocol + " " + s.local.String()
		if !slices.Contains(h.ports, port) {
			h.ports = append(h.ports, port)
		}
	case s.state == tcpEstablished:
		h.established++
	case s.state == tcpCloseWait:
		h.closing++
	default:
		h.other++
	}
}

// listens says whether s waits for whoever comes.
func listens(s socket) bool {
	return s.protocol == "tcp" && s.state == tcpListen ||
		s.protocol == "udp" && s.state == tcpClose && s.local.Port() != 0 && s.remote.Port() == 0
}

func portsText(ports []string) string {
	if more := len(ports) - socketsPorts; more > 0 {
		return strings.Join(ports[:socketsPorts], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(ports, ", ")
}

func pidText(pid int) string {
	if pid == 0 {
		return ""
	}
	return strconv.Itoa(pid)
}
