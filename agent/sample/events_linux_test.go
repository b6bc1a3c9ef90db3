package sample

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
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

// Above what the table shows, a log-out is one event and no log-in of those behind it.
func TestSessionsBeyondTheTable(t *testing.T) {
	h := copyFixture(t)
	log := func(from int) {
		var all []byte
		for i := from; i < maxSessions+10; i++ {
			all = append(all, utmp(t, 7, fmt.Sprintf("user%03d", i), fmt.Sprintf("pts/%d", i), "", 1763763000)...)
		}
		write(t, h.root("var/run/utmp"), string(all))
	}
	log(0)
	s := newSessions(sessionsSampler{h})
	c := &stepping{t, noon}
	if r := c.tells(s, 0, ""); len(r.Tables[0].Rows) != maxSessions+1 || r.Tables[0].Rows[maxSessions].Cells[0] != "and 10 more" {
		t.Errorf("%d rows", len(r.Tables[0].Rows))
	}
	log(1)
	c.tells(s, 15*time.Second, "user000 logged out (pts/0, from local).")
	log(0)
	c.tells(s, 2*time.Minute, "user000 logged in (pts/0, from local).")
}

// A distribution without utmp has the record of systemd-logind.
func TestSessionsOfLogind(t *testing.T) {
	h := host{Path{Rootfs: t.TempDir()}}
	session := func(id, more string) {
		write(t, h.root("run/systemd/sessions", id), "# This is private data. Do not parse.\nUID=1000\n"+more)
	}
	session("3", "USER=anna\nACTIVE=1\nSTATE=active\nREMOTE=1\nTYPE=tty\nCLASS=user\nTTY=pts/0\nREMOTE_HOST=192.0.2.7\nSERVICE=sshd\nREALTIME=1763763000000000\n")
	session("c1", "USER=gdm\nSTATE=active\nCLASS=greeter\nSERVICE=gdm\n")
	session("1", "USER=anna\nSTATE=active\nCLASS=manager\n")
	session("4", "USER=eve\nSTATE=closing\nCLASS=user\n")
	session("5", "USER=cron\nSTATE=active\nCLASS=background\n")
	s := newSessions(sessionsSampler{h})
	c := &stepping{t, noon}
	r := c.tells(s, 0, "")
	if d := cmp.Diff([][]string{{"anna", "pts/0", "192.0.2.7", "2025-11-21T22:10:00Z"}}, rows(t, r)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	session("7", "USER=bob\nSTATE=online\nCLASS=user-early\nSERVICE=login\n")
	if err := unix.Mkfifo(h.root("run/systemd/sessions/7.ref"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.tells(s, 15*time.Second, "bob logged in (login, from local).")
	if err := os.Remove(h.root("run/systemd/sessions/3")); err != nil {
		t.Fatal(err)
	}
	c.tells(s, 15*time.Second, "anna logged out (pts/0, from 192.0.2.7).")
	if err := os.Mkdir(h.root("run/systemd/sessions/8"), 0o755); err != nil { // nobody can read a directory, root neither
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), noon); err == nil || !strings.Contains(err.Error(), "who is logged in") {
		t.Errorf("of a record that cannot be read: %v", err)
	}
}
