package main

import (
	"testing"
	"time"
)

func at(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }

// crew is a comeback with agents that are to report, the first few with a spool.
func crew(n, spooled int) (*comeback, []*standing) {
	c := &comeback{}
	all := make([]*standing, n)
	for i := range all {
		all[i] = &standing{spool: i < spooled}
		c.join(all[i])
	}
	return c, all
}

// told is an answer that took a tenth of a second.
func (c *comeback) told(w *standing, incarnation uint64, came float64, reached ...stage) {
	a := answer{incarnation: incarnation, sent: at(came - 0.1), came: at(came)}
	a.reached[stageBack] = true
	for _, s := range reached {
		a.reached[s] = true
	}
	c.heard(w, a)
}

func TestComebackStageByStage(t *testing.T) {
	c, all := crew(3, 1)
	for i, w := range all {
		c.told(w, 7, float64(i), stageLive)
	}
	c.failed(at(10)) // the collector is killed
	c.failed(at(11))
	c.told(all[0], 8, 13)
	c.told(all[1], 8, 14, stageLive)
	if r := c.all()[1]; r.stages[stageBack].whole || r.stages[stageLive].whole || r.stages[stageReplayed].whole {
		t.Errorf("2 of 3 had an answer and it is whole: %+v", r)
	}
	c.told(all[2], 8, 20, stageLive)
	c.told(all[0], 8, 25, stageLive)
	c.told(all[0], 8, 40, stageLive, stageReplayed)
	c.told(all[0], 8, 55, stageLive, stageReplayed)
	got := c.all()
	if len(got) != 2 {
		t.Fatalf("%d returns, want 2", len(got))
	}
	first := got[0].times()
	if !first.Back.Whole || first.Back.FromFirst != 2 || first.Back.FromLost != 0 || !first.Lost.IsZero() {
		t.Errorf("at first %+v, want all 3 after 2 s, and nobody lost before", first)
	}
	if first.Replayed == nil || first.Replayed.Whole || first.Replayed.Agents != 0 || first.Replayed.FromFirst != 0 {
		t.Errorf("at first %+v: nothing was replayed", first.Replayed)
	}
	r := got[1].times()
	for name, c := range map[string]struct {
		got      stageTimes
		agents   int
		from, to float64
	}{
		"back":     {r.Back, 3, 7, 10},
		"live":     {r.Live, 3, 12, 15},
		"replayed": {*r.Replayed, 1, 27, 30},
	} {
		want := stageTimes{Agents: c.agents, Expected: c.agents, Whole: true, FromFirst: c.from, FromLost: c.to}
		if c.got != want {
			t.Errorf("%s: %+v, want %+v", name, c.got, want)
		}
	}
}

// Which failure was the first of a loss.
func TestComebackTellsALossFromAMishap(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(c *comeback, all []*standing)
		lost    float64 // 0: nobody was lost
	}{
		"nobody noticed":       {func(*comeback, []*standing) {}, 0},
		"one line, then it":    {func(c *comeback, all []*standing) { c.failed(at(5)); c.told(all[1], 1, 6); c.failed(at(10)) }, 10},
		"only one line":        {func(c *comeback, all []*standing) { c.failed(at(5)); c.told(all[1], 1, 6) }, 0},
		"turned away at first": {func(c *comeback, all []*standing) { c.failed(at(5)); c.told(all[0], 1, 5.05); c.failed(at(7)) }, 5},
		"out of order":         {func(c *comeback, _ []*standing) { c.failed(at(10.2)); c.failed(at(10)) }, 10},
		"the whole loss":       {func(c *comeback, _ []*standing) { c.failed(at(10)); c.failed(at(12)) }, 10},
	} {
		t.Run(name, func(t *testing.T) {
			k, all := crew(2, 0)
			k.told(all[0], 1, 1)
			k.told(all[1], 1, 2)
			c.happens(k, all)
			k.told(all[0], 2, 20)
			k.failed(at(20.5)) // the door of the new one lets others in first
			k.told(all[1], 2, 21)
			r := k.all()[1]
			want := time.Time{}
			if c.lost != 0 {
				want = at(c.lost)
			}
			if !r.lost.Equal(want) {
				t.Errorf("lost since %v, want %v", r.lost, want)
			}
			k.failed(at(30))
			k.told(all[0], 3, 31)
			if r := k.all()[2]; !r.lost.Equal(at(30)) {
				t.Errorf("then lost since %v, want its own first failure, %v", r.lost, at(30))
			}
		})
	}
}

func TestComebackOfThoseWhoReport(t *testing.T) {
	for name, c := range map[string]struct {
		happens          func(c *comeback, all []*standing)
		agents, expected int
		whole            bool
		last             float64
	}{
		"one of them is silent": {func(c *comeback, all []*standing) {
			c.leave(all[2])
			c.told(all[0], 2, 11)
			c.told(all[1], 2, 12)
		}, 2, 2, true, 12},
		"the last that is missing falls silent": {func(c *comeback, all []*standing) {
			c.told(all[0], 2, 11)
			c.told(all[1], 2, 12)
			c.leave(all[2])
		}, 2, 2, true, 12},
		"one that is back falls silent, one is missing": {func(c *comeback, all []*standing) {
			c.told(all[0], 2, 11)
			c.told(all[1], 2, 12)
			c.leave(all[1])
		}, 1, 2, false, 12},
		"one comes late to a return that is over": {func(c *comeback, all []*standing) {
			c.leave(all[2])
			c.told(all[0], 2, 11)
			c.told(all[1], 2, 12)
			c.join(all[2])
			c.told(all[2], 2, 90)
		}, 2, 2, true, 12},
		"one comes late to a return that is not": {func(c *comeback, all []*standing) {
			c.leave(all[2])
			c.told(all[0], 2, 11)
			c.join(all[2])
			c.told(all[1], 2, 12)
		}, 2, 3, false, 12},
		"one that was told while silent": {func(c *comeback, all []*standing) {
			c.told(all[0], 2, 11)
			c.leave(all[2])
			c.told(all[2], 2, 11.5)
			c.join(all[2])
			c.told(all[1], 2, 12)
		}, 3, 3, true, 12},
		"an answer of the one before comes late": {func(c *comeback, all []*standing) {
			c.told(all[0], 2, 11)
			c.told(all[1], 1, 11.5)
			c.told(all[1], 2, 12)
			c.told(all[2], 2, 13)
		}, 3, 3, true, 13},
		"answers out of order": {func(c *comeback, all []*standing) {
			c.told(all[0], 2, 11)
			c.told(all[1], 2, 13)
			c.told(all[2], 2, 12)
		}, 3, 3, true, 13},
		"all are silent": {func(c *comeback, all []*standing) {
			c.told(all[0], 2, 11)
			for _, w := range all {
				c.leave(w)
			}
		}, 0, 0, false, 11},
	} {
		t.Run(name, func(t *testing.T) {
			k, all := crew(3, 0)
			for i, w := range all {
				k.told(w, 1, float64(i))
			}
			c.happens(k, all)
			rs := k.all()
			if len(rs) != 2 {
				t.Fatalf("%d returns, want 2", len(rs))
			}
			want := reached{agents: c.agents, expected: c.expected, whole: c.whole, last: at(c.last)}
			if got := rs[1].stages[stageBack]; got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}
