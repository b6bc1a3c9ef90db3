package collector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent"
	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

const min1 = time.Minute

// dip is a file system that fills and is emptied again.
func dip(from, to time.Duration) func(time.Duration) float64 {
	return func(d time.Duration) float64 {
		if d >= from && d < to {
			return 5
		}
		return 50
	}
}

// Promise 21: a fault during an outage of the collector or of the line is told afterwards, once per asset, and changes
// no live alert.
func TestWhatNobodySawIsToldOnce(t *testing.T) {
	// web1's disk is full from minute 20 to 30; the outage lasts from minute 10 to 60.
	for name, outage := range map[string]func(*town, *citizen){
		"collector down": func(n *town, _ *citizen) {
			n.at(10 * min1)
			n.down()
			n.at(60 * min1)
			n.up()
		},
		"line cut": func(n *town, h *citizen) {
			n.at(10 * min1)
			h.set(func(h *citizen) { h.cut = true })
			n.at(60 * min1)
			h.set(func(h *citizen) { h.cut = false })
		},
		"both, one after the other": func(n *town, h *citizen) {
			n.at(10 * min1)
			n.down()
			n.at(25 * min1)
			h.set(func(h *citizen) { h.cut = true })
			n.at(40 * min1)
			n.up()
			n.at(60 * min1)
			h.set(func(h *citizen) { h.cut = false })
		},
		"agent started anew in between": func(n *town, h *citizen) {
			n.at(10 * min1)
			h.set(func(h *citizen) { h.cut = true })
			n.at(24*min1 + 5*time.Second)
			h.halt()
			n.at(24*min1 + 15*time.Second)
			h.run()
			n.at(60 * min1)
			h.set(func(h *citizen) { h.cut = false })
		},
		"everything arrives twice": func(n *town, h *citizen) {
			h.set(func(h *citizen) { h.twice = true })
			n.at(10 * min1)
			n.down()
			n.at(60 * min1)
			n.up()
		},
		"collector killed in the middle of the telling": func(n *town, h *citizen) {
			n.at(10 * min1)
			h.set(func(h *citizen) { h.cut = true })
			n.at(60 * min1)
			n.c.past.gather = func(context.Context, evaluate.Unseen) (func(context.Context, func(store.Tx) error) error, error) {
				return nil, errors.New("killed")
			}
			h.set(func(h *citizen) { h.cut = false })
			waitFor(n, func() bool { return n.gaps() == 1 })
			time.Sleep(min1) // all is acknowledged, nothing is told
			n.down()
			n.at(65 * min1)
			n.up()
		},
	} {
		for _, orderly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, orderly %v", name, orderly), func(t *testing.T) {
				inTown(t, diskRules, func(n *town) {
					n.orderly = orderly
					h := n.hosts["web1"]
					h.set(func(h *citizen) { h.avail = dip(20*min1, 30*min1) })
					outage(n, h)
					n.at(90 * min1)
					toldOnce(n, "web1")
					n.at(180 * min1)
					toldOnce(n, "web1")
				})
			})
		}
	}
}

// What still fires when the asset is seen again is a live alert like any other, and opens no second ticket; what fired
// before the outage goes on through it.
func TestWhatIsStillSoIsLive(t *testing.T) {
	for name, c := range map[string]struct {
		avail  func(time.Duration) float64
		opened []string
	}{
		"begins in the outage":           {dip(20*min1, 80*min1), []string{"/srv is filling on web1"}},
		"began before, ends in it":       {dip(5*min1, 20*min1), []string{"/srv is filling on web1"}},
		"began before, is still so":      {dip(5*min1, 80*min1), []string{"/srv is filling on web1"}},
		"over just before it comes back": {dip(50*min1, 59*min1+55*time.Second), []string{"While we could not see web1"}},
		"nothing happens":                {dip(0, 0), nil},
	} {
		t.Run(name, func(t *testing.T) {
			for how, outage := range map[string]func(*town, *citizen){
				"collector down": func(n *town, _ *citizen) { n.at(10 * min1); n.down(); n.at(60 * min1); n.up() },
				"line cut": func(n *town, h *citizen) {
					n.at(10 * min1)
					h.set(func(h *citizen) { h.cut = true })
					n.at(60 * min1)
					h.set(func(h *citizen) { h.cut = false })
				},
			} {
				inTown(t, diskRules, func(n *town) {
					h := n.hosts["web1"]
					h.set(func(h *citizen) { h.avail = c.avail })
					outage(n, h)
					n.at(75 * min1)
					all := n.tickets()
					delete(all, "web1 is silent")
					if got := titles(all); !slices.Equal(got, c.opened) {
						t.Errorf("%s: tickets %q, want %q", how, got, c.opened)
					}
					for _, tk := range all {
						if tk.Reopened != 0 || len(tk.Alerts) != 1 {
							t.Errorf("%s: %s was reopened %d times, has %d alerts", how, tk.Title, tk.Reopened, len(tk.Alerts))
						}
					}
					if g := n.gaps(); g != 0 {
						t.Errorf("%s: %d gaps are still noted", how, g)
					}
				})
			}
		})
	}
}

// TestACrashTellsNothingTwice: an agent that was killed sends up to 64 reports again, and a collector that was as well does
// not know that it had them. What was seen live, or told already, is no news; what nobody saw is, also beside that.
func TestACrashTellsNothingTwice(t *testing.T) {
	const live, unseen = "/srv is filling on web1", "While we could not see web1"
	both := func(n *town, h *citizen) { // at minute 26; since 21:20 the agent kept no acknowledgement
		n.at(26 * min1)
		h.crash()
		n.down()
		n.at(26*min1 + 15*time.Second)
		n.up()
		h.run()
	}
	collectorFirst := func(n *town, h *citizen) { // and the agent at minute 36
		n.at(26 * min1)
		n.down()
		n.at(36 * min1)
		h.crash()
		n.up()
		h.run()
	}
	for name, c := range map[string]struct {
		dips  [][2]time.Duration
		crash func(*town, *citizen)
		want  map[string]int // tickets, and how often something came to them
	}{
		"ends in what comes again":  {[][2]time.Duration{{18 * min1, 25 * min1}}, both, map[string]int{live: 1}},
		"is all in it":              {[][2]time.Duration{{22 * min1, 24 * min1}}, both, map[string]int{live: 1}},
		"twice":                     {[][2]time.Duration{{18 * min1, 22 * min1}, {23 * min1, 25 * min1}}, both, map[string]int{live: 2}},
		"fires again at the return": {[][2]time.Duration{{18 * min1, 25 * min1}, {26 * min1, 40 * min1}}, both, map[string]int{live: 2}},
		"still fires":               {[][2]time.Duration{{18 * min1, 40 * min1}}, both, map[string]int{live: 1}},
		"began in it, still fires":  {[][2]time.Duration{{24 * min1, 40 * min1}}, both, map[string]int{live: 1}},
		"news behind what comes again": {[][2]time.Duration{{18 * min1, 25 * min1}, {30 * min1, 33 * min1}}, collectorFirst,
			map[string]int{live: 1, unseen: 1}},
		"news behind what is all in it": {[][2]time.Duration{{22 * min1, 24 * min1}, {30 * min1, 33 * min1}}, collectorFirst,
			map[string]int{live: 1, unseen: 1}},
		"told already": {[][2]time.Duration{{20 * min1, 22 * min1}}, func(n *town, h *citizen) {
			n.at(15 * min1)
			n.down()
			n.at(24 * min1)
			n.up()
			n.at(25 * min1)
			both(n, h)
		}, map[string]int{unseen: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			inTown(t, diskRules, func(n *town) {
				h := n.hosts["web1"]
				h.set(func(h *citizen) {
					h.avail = func(d time.Duration) float64 {
						free := 50.0
						for _, x := range c.dips {
							free = min(free, dip(x[0], x[1])(d))
						}
						return free
					}
				})
				c.crash(n, h)
				n.at(60 * min1)
				got := map[string]int{}
				for title, tk := range n.tickets() {
					if title != "web1 is silent" && title != "web2 is silent" {
						got[title] = n.brought(tk)
					}
				}
				if !maps.Equal(got, c.want) {
					t.Errorf("tickets %v, want %v", got, c.want)
				}
				if g := n.gaps(); g != 0 {
					t.Errorf("%d gaps are still noted", g)
				}
			})
		})
	}
}

// brought is how often an alert came to a ticket, the one that opened it included.
func (n *town) brought(t ticket.Ticket) (times int) {
	n.t.Helper()
	n.view(func(tx store.Tx) error {
		line, err := tx.Timeline(t.ID)
		for _, e := range line {
			if e.Kind == ticket.Opened || e.Kind == ticket.AlertAttached || e.Kind == ticket.AlertRefired {
				times++
			}
		}
		return err
	})
	return times
}

// A second outage is told in the same ticket, while that is open.
func TestASecondOutageJoinsTheTicket(t *testing.T) {
	inTown(t, diskRules, func(n *town) {
		h := n.hosts["web1"]
		h.set(func(h *citizen) {
			h.avail = func(d time.Duration) float64 { return min(dip(20*min1, 30*min1)(d), dip(100*min1, 110*min1)(d)) }
		})
		for _, from := range []time.Duration{10 * min1, 90 * min1} {
			n.at(from)
			h.set(func(h *citizen) { h.cut = true })
			n.at(from + 50*min1)
			h.set(func(h *citizen) { h.cut = false })
		}
		n.at(150 * min1)
		unseen := n.tickets()["While we could not see web1"]
		said := n.symptoms(unseen)
		if len(unseen.Alerts) != 2 || unseen.State != ticket.New || n.paged(unseen.Number) || !strings.Contains(said, " 00:20:") || !strings.Contains(said, " 01:40:") {
			t.Errorf("%+v\n%s", unseen, said)
		}
	})
}

// Every host of a site has its own.
func TestASiteIsToldHostByHost(t *testing.T) {
	inTown(t, diskRules, func(n *town) {
		n.at(10 * min1)
		for _, h := range n.hosts {
			h.set(func(h *citizen) { h.cut, h.avail = true, dip(20*min1, 30*min1) })
		}
		n.at(60 * min1)
		for _, h := range n.hosts {
			h.set(func(h *citizen) { h.cut = false })
		}
		n.at(80 * min1)
		toldOnce(n, "web1")
		toldOnce(n, "web2")
	})
}

// Promise 4: three days without a line lose nothing that fits the spool; what does not fit goes oldest first, is counted,
// and raises an alert. -long plays it at the agent's own interval.
func TestThreeDaysWithoutALine(t *testing.T) {
	const backOff = 30 * time.Second // what an agent waits at most before it finds that its line is back
	every := 2 * min1
	if *long {
		every = agent.DefaultConfig().Interval
	}
	days := func(cfg *Config, a *agent.Config) {
		cfg.Rules.Packs = true
		cfg.Evaluation.Interval = policy.Duration(every)
		a.Interval = every
	}
	t.Run("all of it fits", func(t *testing.T) {
		inTown(t, diskRules, func(n *town) {
			h := n.hosts["web1"]
			h.set(func(h *citizen) { h.avail = dip(30*time.Hour, 31*time.Hour) })
			unseen := n.threeDays(h)
			said, late := n.record(unseen), false
			for made := 72*time.Hour/every - 1; made <= (72*time.Hour+backOff)/every; made++ { // the last is live
				late = late || strings.Contains(said, fmt.Sprintf("%d reports about that time", made))
			}
			if !late || !strings.Contains(said, "DiskFull: /srv is filling on web1; from 2000-01-02 06:") {
				t.Errorf("record:\n%s", said)
			}
		}, days)
	})
	t.Run("more than the spool holds", func(t *testing.T) {
		inTown(t, diskRules, func(n *town) {
			h := n.hosts["web1"]
			h.set(func(h *citizen) { h.noise, h.avail = 1300, dip(70*time.Hour, 71*time.Hour) })
			unseen := n.threeDays(h)
			said := n.record(unseen)
			for _, want := range []string{"DiskFull: /srv is filling on web1; from 2000-01-03 22:", "AgentDropsReports", "reports were dropped unsent"} {
				if !strings.Contains(said, want) {
					t.Errorf("record lacks %q:\n%s", want, said)
				}
			}
			if !slices.ContainsFunc(titles(n.tickets()), func(s string) bool {
				return strings.HasSuffix(s, " reports were dropped while the collector could not be reached")
			}) {
				t.Errorf("no alert of reports that were dropped: %q", titles(n.tickets()))
			}
			if from := unseen.Alerts[0].FirstBadAt.Sub(n.start); from < time.Hour {
				t.Errorf("the oldest that was delivered is %v old, of three days more than fit", from)
			}
		}, days, func(cfg *Config, a *agent.Config) {
			a.Spool.MaxBytes = 16 << 20
			cfg.Evaluation.Interval = policy.Duration(every / 2) // one report tells of it, and only until the next
		})
	})
}

// threeDays cuts a host off for 72 hours and returns what was told of them a while later.
func (n *town) threeDays(h *citizen) ticket.Ticket {
	n.t.Helper()
	n.hosts["web2"].halt()
	n.at(min1)
	made, received := h.made, n.received()
	h.set(func(h *citizen) { h.cut = true })
	n.at(72*time.Hour + min1)
	h.set(func(h *citizen) { h.cut = false })
	n.at(75 * time.Hour)
	dropped := int(n.last(h.name, "watchbill_agent_spool_dropped_reports_total"))
	if made, got := h.made-made, n.received()-received; got+dropped != made || dropped > 0 != (h.noise > 0) {
		n.t.Errorf("%d reports made, %d received, %d said to be dropped", made, got, dropped)
	}
	unseen, ok := n.tickets()["While we could not see "+h.name]
	if !ok {
		n.t.Fatalf("nothing was told: %v", titles(n.tickets()))
	}
	return unseen
}

// A host whose clock is wrong, or is set while it runs, is seen at the right times, and nothing of it passes for late.
func TestAWrongClockIsSeenThrough(t *testing.T) {
	for name, c := range map[string]struct{ before, after time.Duration }{
		"an hour behind":         {-time.Hour, -time.Hour},
		"an hour ahead":          {time.Hour, time.Hour},
		"set right":              {-time.Hour, 0},
		"set a day ahead":        {0, 24 * time.Hour},
		"set an hour back":       {0, -time.Hour},
		"a little off, and back": {time.Second, -time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inTown(t, diskRules, func(n *town) {
				h := n.hosts["web1"]
				n.at(min1)
				h.halt()
				h.set(func(h *citizen) { h.wrong, h.avail = c.before, dip(20*min1, 30*min1) })
				n.at(2 * min1)
				h.run()
				n.at(15 * min1)
				h.set(func(h *citizen) { h.wrong = c.after })
				n.at(25 * min1)
				tk, ok := n.tickets()["/srv is filling on web1"]
				if !ok {
					t.Fatalf("no ticket in the middle of the fault: %q", titles(n.tickets()))
				}
				if bad := tk.Alerts[0].FirstBadAt.Sub(n.start); bad < 20*min1 || bad > 20*min1+20*time.Second {
					t.Errorf("first bad after %v, want 20 min", bad)
				}
				n.at(40 * min1)
				if tk := n.tickets()["/srv is filling on web1"]; tk.State != ticket.Done {
					t.Errorf("the ticket is %s after the fault", tk.State)
				}
				if got := titles(n.tickets()); len(got) != 1 {
					t.Errorf("tickets %q", got)
				}
				st, _ := n.c.window.Asset("web1")
				if at := st.Blocks[0].LastOK.Sub(n.start); at < 40*min1-15*time.Second || at > 40*min1 || st.CompleteSince.After(n.start) {
					t.Errorf("newest sample at %v, complete since %v", at, st.CompleteSince)
				}
			})
		})
	}
}

// waitFor lets time pass until something is so.
func waitFor(n *town, so func() bool) {
	n.t.Helper()
	for range 600 {
		if so() {
			return
		}
		time.Sleep(time.Second)
	}
	n.t.Fatal("it never happened")
}

// toldOnce expects one quiet ticket about the asset's full disk, and no other alert about any disk.
func toldOnce(n *town, asset string) {
	n.t.Helper()
	all := n.tickets()
	unseen, ok := all["While we could not see "+asset]
	if !ok {
		n.t.Fatalf("nothing was told: %v", titles(all))
	}
	if unseen.Priority != "P3" || unseen.State != ticket.New || unseen.Owner != "first level" || unseen.Kind != "incident" || len(unseen.Alerts) != 1 {
		n.t.Errorf("ticket %+v", unseen)
	}
	said := n.symptoms(unseen)
	for _, want := range []string{
		"DiskFull: /srv is filling on " + asset + "; from ", " 00:20:", " to ", " 00:30:", "worst value 0.05", "rule disk/DiskFull",
		"node_filesystem_avail_bytes{mountpoint=\"/srv\"} around that time",
	} {
		if !strings.Contains(said, want) {
			n.t.Errorf("symptoms lack %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "DiskBrimful") {
		n.t.Errorf("symptoms:\n%s", said)
	}
	if n.paged(unseen.Number) {
		n.t.Error("somebody was paged for what is over")
	}
	for title := range all {
		if strings.Contains(title, "/srv") {
			n.t.Errorf("a live alert came of it: %q", title)
		}
	}
	if g := n.gaps(); g != 0 {
		n.t.Errorf("%d gaps are still noted", g)
	}
}

func titles(all map[string]ticket.Ticket) (out []string) {
	for title := range all {
		out = append(out, title)
	}
	slices.Sort(out)
	return out
}
