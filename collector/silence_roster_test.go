package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// crowd is a fleet of a silence: hosts that report when they are told to, on a clock that stands until it is moved.
type crowd struct {
	silence
	at     time.Time
	heard  map[string]incident.Life
	order  []incident.Life
	turned uint64
	// fresh counts how often somebody was looked at; failing makes commits fail.
	looked  int
	failing error
	said    []string
	downs   []string
	// witness hears of everything that is committed, if there is one.
	witness func(rules.Transition)
}

func newCrowd(sites, hosts int) *crowd {
	c := &crowd{at: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), heard: map[string]incident.Life{}}
	for s := range sites {
		for h := range hosts {
			l := incident.Life{Asset: fmt.Sprintf("s%dh%d", s, h), Customer: "acme", Site: fmt.Sprint("s", s), Heard: c.at, Interval: 10 * time.Second}
			c.order = append(c.order, l)
			c.heard[l.Asset] = l
		}
	}
	c.begin()
	return c
}

// begin makes what watches over the crowd, as a start does.
func (c *crowd) begin() {
	c.silence = silence{
		roster: roster{
			lives:   func() []incident.Life { return c.order },
			changed: func() uint64 { return c.turned },
			fresh:   func(l incident.Life) incident.Life { c.looked++; return c.heard[l.Asset] },
			patience: func(int) incident.Patience {
				p := incident.DefaultPatience
				p.Return = 32 * time.Second
				return p
			},
		},
		commit: func(_ context.Context, _ time.Time, ts []rules.Transition) error {
			if c.failing != nil {
				return c.failing
			}
			for _, t := range ts {
				c.hear(t)
			}
			return nil
		},
		down:   func(a window.Asset, _ time.Time) { c.downs = append(c.downs, a.Name) },
		record: func(labels.Labels, time.Time, float64) bool { return true },
		now:    func() time.Time { return c.at },
		active: map[string]*told{},
	}
}

// hear takes note of what was committed.
func (c *crowd) hear(t rules.Transition) {
	if c.witness != nil {
		c.witness(t)
	}
	how := "fires"
	switch {
	case t.Alert.State == rules.Inactive:
		how = string(t.Alert.End)
	case t.From == rules.Firing:
		return
	}
	l := t.Alert.Labels
	c.said = append(c.said, fmt.Sprintf("%s %s %s", t.Origin.Name, or(l.Get("instance"), l.Get("site")), how))
}

// report lets hosts report now.
func (c *crowd) report(assets ...string) {
	for _, a := range assets {
		l := c.heard[a]
		l.Heard, l.Word = c.at, incident.Report
		c.heard[a] = l
	}
}

// pass lets seconds pass, with a look in each, while those who speak report every ten.
func (c *crowd) pass(t *testing.T, seconds int, mute ...string) {
	t.Helper()
	for range seconds {
		c.at = c.at.Add(time.Second)
		if c.at.Unix()%10 == 0 {
			for asset := range c.heard {
				if !slices.Contains(mute, asset) {
					c.report(asset)
				}
			}
		}
		if err := c.look(t.Context()); err != nil && c.failing == nil {
			t.Fatal(err)
		}
	}
}

// Hosts that report are looked at once in the time they may be silent for, and in no other second is anybody.
func TestQuietHostsAreLeftAlone(t *testing.T) {
	const hosts, minutes = 200, 10
	c := newCrowd(20, 10)
	if c.pass(t, 1); c.looked != hosts {
		t.Errorf("looked %d times at the start, want at each of %d once", c.looked, hosts)
	}
	c.looked = 0
	c.pass(t, minutes*60)
	// Each comes due 30 s after the report it was last seen with, of which one comes in 10 s: every 20 s to 31 s.
	if low, high := hosts*minutes*60/32, hosts*minutes*60/19; c.looked < low || c.looked > high {
		t.Errorf("looked %d times in %d minutes, want %d to %d", c.looked, minutes, low, high)
	}
	if len(c.said) != 0 || len(c.downs) != 0 {
		t.Errorf("said %v, down %v", c.said, c.downs)
	}
}

// A host is found in the second in which it has been silent for too long, and heard again in the second it reports.
func TestASilentHostIsFoundInTime(t *testing.T) {
	c := newCrowd(3, 4)
	c.pass(t, 60)
	last := c.heard["s1h2"].Heard
	for len(c.said) == 0 && c.at.Sub(last) < time.Minute {
		c.pass(t, 1, "s1h2")
	}
	if d := c.at.Sub(last); !slices.Equal(c.said, []string{"HostSilent s1h2 fires"}) || d <= 30*time.Second || d > 32*time.Second {
		t.Errorf("said %v after %v", c.said, d)
	}
	if !slices.Equal(c.downs, []string{"s1h2"}) {
		t.Errorf("told the window %v", c.downs)
	}
	c.report("s1h2")
	c.pass(t, 1)
	if want := []string{"HostSilent s1h2 fires", "HostSilent s1h2 recovered"}; !slices.Equal(c.said, want) {
		t.Errorf("said %v", c.said)
	}
	c.looked = 0
	if c.pass(t, 1); c.looked > 12 {
		t.Errorf("%d looks when all is well again", c.looked)
	}
}

// A host that was given long is given no longer than any other once it reports: one that enrolled, said goodbye, was waited
// for since the start, or reported less often.
func TestAHostThatWasGivenLong(t *testing.T) {
	for name, was := range map[string]func(l *incident.Life){
		"enrolled":     func(l *incident.Life) { l.Word = incident.Enrolment },
		"said goodbye": func(l *incident.Life) { l.Goodbye = "reboot" },
		"started":      func(l *incident.Life) { l.Word, l.Interval = incident.Start, longestInterval },
		"was slow":     func(l *incident.Life) { l.Interval = longestInterval },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCrowd(2, 2)
			l := c.heard["s0h0"]
			was(&l)
			c.heard["s0h0"] = l
			c.pass(t, 5, "s0h0")
			l = c.order[0]
			l.Heard = c.at
			c.heard["s0h0"] = l // its last report
			for len(c.said) == 0 && c.at.Sub(l.Heard) < 20*time.Minute {
				c.pass(t, 1, "s0h0")
			}
			if d := c.at.Sub(l.Heard); !slices.Equal(c.said, []string{"HostSilent s0h0 fires"}) || d > 62*time.Second {
				t.Errorf("said %v after %v", c.said, d)
			}
		})
	}
}

// The roster judges what a walk over everybody would: sites, everything, and those who stay away.
func TestTheRosterSeesSitesAndEverything(t *testing.T) {
	c := newCrowd(2, 3)
	c.pass(t, 30)
	c.pass(t, 60, "s0h0", "s0h1", "s0h2")
	if want := []string{"SiteSilent s0 fires"}; !slices.Equal(c.said, want) {
		t.Fatalf("said %v", c.said)
	}
	all := []string{"s0h0", "s0h1", "s0h2", "s1h0", "s1h1", "s1h2"}
	c.pass(t, 60, all...)
	if want := []string{"SiteSilent s0 fires", "CollectorBlind  fires", "SiteSilent s0 superseded"}; !slices.Equal(c.said, want) {
		t.Fatalf("said %v", c.said)
	}
	c.said = nil
	c.pass(t, 120, "s0h0")
	slices.Sort(c.said)
	if want := []string{"CollectorBlind  recovered", "HostSilent s0h0 fires"}; !slices.Equal(c.said, want) {
		t.Errorf("said %v", c.said)
	}
}

// While it is not known whether it is a host or its site, rules about up are not told: they come after the cause.
func TestUpComesAfterTheCause(t *testing.T) {
	c := newCrowd(2, 2)
	c.pass(t, 30)
	c.report("s0h0")
	c.at = c.at.Add(5 * time.Second)
	c.report("s0h1", "s1h0", "s1h1")
	for range 60 {
		c.at = c.at.Add(time.Second)
		c.report("s1h0", "s1h1")
		if err := c.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(c.downs) > 0 && len(c.said) == 0 {
			t.Fatalf("%v are down before there is a cause", c.downs)
		}
	}
	if slices.Sort(c.downs); !slices.Equal(c.said, []string{"SiteSilent s0 fires"}) || !slices.Equal(c.downs, []string{"s0h0", "s0h1"}) {
		t.Errorf("said %v, down %v", c.said, c.downs)
	}
}

// What could not be committed is found again, and the fleet may change at any time.
func TestTheRosterFollows(t *testing.T) {
	c := newCrowd(2, 3)
	c.pass(t, 30)
	c.failing = errors.New("disk full")
	c.pass(t, 60, "s0h0")
	c.failing = nil
	c.pass(t, 1, "s0h0")
	if want := []string{"HostSilent s0h0 fires"}; !slices.Equal(c.said, want) {
		t.Fatalf("said %v", c.said)
	}
	c.order = slices.DeleteFunc(c.order, func(l incident.Life) bool { return l.Asset == "s0h0" }) // revoked
	c.turned++
	c.pass(t, 1)
	if want := []string{"HostSilent s0h0 fires", "HostSilent s0h0 series gone"}; !slices.Equal(c.said, want) {
		t.Errorf("said %v", c.said)
	}
	c.said = nil
	made := incident.Life{Asset: "new", Customer: "acme", Site: "s0", Heard: c.at, Word: incident.Enrolment, Interval: 10 * time.Second}
	c.order, c.heard["new"] = append(c.order, made), made
	c.turned++
	c.pass(t, 14*60, "new")
	if len(c.said) != 0 {
		t.Errorf("said %v of an agent that is being set up", c.said)
	}
	c.pass(t, 2*60, "new")
	if want := []string{"AgentNotSeen new fires"}; !slices.Equal(c.said, want) {
		t.Errorf("said %v", c.said)
	}
}

// Who is given more time than before is not back for that, and neither told again.
func TestMoreTimeIsNoRecovery(t *testing.T) {
	for name, mute := range map[string][]string{"host": {"s0h0"}, "site": {"s0h0", "s0h1"}} {
		t.Run(name, func(t *testing.T) {
			c := newCrowd(2, 2)
			c.pass(t, 30)
			c.pass(t, 90, mute...)
			said := len(c.said)
			was := c.roster.patience
			c.roster.patience = func(n int) incident.Patience {
				p := was(n)
				p.Intervals = 30
				return p
			}
			c.pass(t, 600, mute...)
			if said != 1 || len(c.said) != 1 {
				t.Fatalf("said %v", c.said)
			}
			c.roster.patience = func(n int) incident.Patience {
				p := was(n)
				p.Intervals = 300
				return p
			}
			c.pass(t, 20, mute...)
			c.pass(t, 11)
			if len(c.said) != 2 || !strings.HasSuffix(c.said[1], "recovered") {
				t.Errorf("said %v", c.said)
			}
		})
	}
}

// A wheel calls everybody once when their time is over, however far that is and however long nobody ticked.
func TestWheel(t *testing.T) {
	t0 := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for name, step := range map[string]time.Duration{"every second": time.Second, "seldom": 37 * time.Second, "after a day": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWheel(t0)
			want := map[*watched]time.Time{}
			for i := range 1000 {
				h := &watched{}
				want[h] = t0.Add(time.Duration(i*i) * 13 * time.Millisecond)
				w.put(h, want[h])
			}
			for now := t0; len(want) > 0 && now.Before(t0.Add(48*time.Hour)); now = now.Add(step) {
				w.tick(now, func(h *watched) {
					due, ok := want[h]
					if !ok || !now.After(due) || now.Sub(due) > step+2*time.Second {
						t.Fatalf("called at %v, due %v, known %v", now, due, ok)
					}
					delete(want, h)
				})
			}
			if len(want) > 0 || len(w.slots) > 0 {
				t.Errorf("%d were not called, %d slots are left", len(want), len(w.slots))
			}
		})
	}
}

// What a second costs of a fleet that reports every ten, all of it well.
func BenchmarkSilenceLook(b *testing.B) {
	for _, hosts := range []int{1000, 10000, 100000} {
		b.Run(fmt.Sprint(hosts), func(b *testing.B) {
			c := newCrowd(hosts/100, 100)
			f := newFacts()
			interval := 10 * time.Second
			for i, l := range c.order { // their reports are spread over the interval
				f.hosts[l.Asset] = hostFacts{Heard: c.at.Add(-interval * time.Duration(i) / time.Duration(hosts)), Interval: interval}
			}
			c.roster.fresh = func(l incident.Life) incident.Life {
				h, _ := f.sign(l.Asset)
				l.Heard, l.Interval = h.heard, h.interval
				if late := c.at.Sub(l.Heard); late > interval { // it has reported since
					l.Heard = l.Heard.Add(late.Truncate(interval))
					f.hosts[l.Asset] = hostFacts{Heard: l.Heard, Interval: interval}
				}
				return l
			}
			if err := c.look(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				c.at = c.at.Add(time.Second)
				if err := c.look(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			if len(c.said) > 0 {
				b.Fatal(c.said[0])
			}
		})
	}
}
