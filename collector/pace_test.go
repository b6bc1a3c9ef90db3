package collector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent"
	"github.com/watchbill/watchbill/collector/ticket"
)

// A restart of the collector makes nobody silent, however seldom a host reports and however long the collector was away.
func TestARestartIsNoSilence(t *testing.T) {
	for _, c := range []struct{ interval, lived, away time.Duration }{
		{10 * time.Second, 10 * min1, 5 * time.Second},
		{10 * time.Second, 10 * min1, 20 * min1},
		{min1, 10 * min1, 5 * time.Second},
		{min1, 10 * min1, 20 * min1},
		{2 * min1, 10 * min1, 5 * time.Second},
		{2 * min1, 10 * min1, 20 * min1},
		// Killed before anybody could keep how often it reports, as under an earlier release.
		{2 * min1, 30 * time.Second, 5 * time.Second},
	} {
		t.Run(fmt.Sprintf("every %v, away for %v after %v", c.interval, c.away, c.lived), func(t *testing.T) {
			inTown(t, diskRules, func(n *town) {
				n.at(c.lived)
				n.down()
				n.at(c.lived + c.away)
				n.up()
				n.at(c.lived + c.away + 10*min1)
				if got := titles(n.tickets()); len(got) != 0 {
					t.Errorf("tickets %q", got)
				}
				for _, a := range n.c.fleet.Agents() {
					if a.Interval != c.interval {
						t.Errorf("%s is kept to report every %v, want %v", a.Asset, a.Interval, c.interval)
					}
				}
			}, func(_ *Config, a *agent.Config) { a.Interval = c.interval })
		})
	}
}

// A host that fell silent while the collector was away is found when it has had the time to come back, and no later.
func TestAHostThatDoesNotComeBackIsFound(t *testing.T) {
	inTown(t, diskRules, func(n *town) {
		n.at(10 * min1)
		n.down()
		h := n.hosts["web1"]
		h.set(func(h *citizen) { h.cut = true })
		n.at(20 * min1)
		n.up()
		n.at(21 * min1)
		if got := titles(n.tickets()); len(got) != 0 {
			t.Errorf("tickets %q before its time was over", got)
		}
		n.at(20*min1 + 30*time.Second + 2*time.Second + 30*time.Second + 10*time.Second) // back-off, spread, reports, look
		if got := titles(n.tickets()); !slices.Equal(got, []string{"web1 is silent"}) {
			t.Errorf("tickets %q, want that web1 is silent", got)
		}
		h.set(func(h *citizen) { h.cut = false })
		n.at(25 * min1)
		if tk := n.tickets()["web1 is silent"]; tk.State != ticket.Done {
			t.Errorf("the ticket is %s when the host is back", tk.State)
		}
	})
}

// What is known of a silent host outlasts a restart: its ticket is neither resolved nor made another of.
func TestASilenceOutlastsARestart(t *testing.T) {
	for name, c := range map[string]struct {
		begin, end func(h *citizen)
		title      string
	}{
		"host silent": {
			func(h *citizen) { h.set(func(h *citizen) { h.cut = true }) },
			func(h *citizen) { h.set(func(h *citizen) { h.cut = false }) }, "web1 is silent",
		},
		"agent stopped": {(*citizen).halt, (*citizen).run, "The agent on web1 stopped and has not come back"},
	} {
		t.Run(name, func(t *testing.T) {
			inTown(t, diskRules, func(n *town) {
				n.at(10 * min1)
				h := n.hosts["web1"]
				c.begin(h)
				n.at(15 * min1)
				n.down()
				n.at(15*min1 + 5*time.Second)
				n.up()
				n.at(15*min1 + 35*time.Second)
				if tk := n.tickets()[c.title]; tk.Firing() != 1 {
					t.Errorf("%d alerts of it fire while nobody can know yet, want one", tk.Firing())
				}
				n.at(25 * min1)
				all := n.tickets()
				tk, ok := all[c.title]
				if !ok || len(all) != 1 || tk.State != ticket.New || tk.Reopened != 0 {
					t.Fatalf("tickets %q, the one %s, reopened %d times", titles(all), tk.State, tk.Reopened)
				}
				c.end(h)
				n.at(30 * min1)
				if tk := n.tickets()[c.title]; tk.State != ticket.Done || tk.Reopened != 0 {
					t.Errorf("the ticket is %s when the host is back, reopened %d times", tk.State, tk.Reopened)
				}
				for title := range n.tickets() {
					if strings.HasPrefix(title, "web2") || strings.HasPrefix(title, "All ") {
						t.Errorf("a ticket about others: %q", title)
					}
				}
			})
		})
	}
}
