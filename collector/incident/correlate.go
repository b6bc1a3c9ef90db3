package incident

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// Correlation says when many incidents are one storm.
type Correlation struct {
	// Assets of one reach whose tickets of one service open within Window make a storm, when they are Share of the reach's
	// assets or Enough of them, whatever their share.
	Assets int
	Share  float64
	Enough int
	Window time.Duration
	// Most is the share of a wider reach's flips in a narrower one from which on the narrower is where the storm is.
	Most float64
	// Quiet is how long after the last one a further flip still belongs to the storm.
	Quiet time.Duration
	// Floor is how few standing tickets go on by themselves once it is quiet. The common cause is mended then, and what is
	// left has a cause of its own, which nobody was told of alone; and a storm of thousands must not stay open for one.
	Floor int
	// Tell is how long after its first notice a storm is told of again, if there is something new; each time twice as
	// long passes, up to TellMost.
	Tell, TellMost time.Duration
}

// DefaultCorrelation is 20 assets and a tenth of them all within a minute.
var DefaultCorrelation = Correlation{
	Assets: 20, Share: 0.1, Enough: 100, Window: time.Minute, Most: 0.8, Quiet: 10 * time.Minute, Floor: 5,
	Tell: 10 * time.Second, TellMost: 15 * time.Minute,
}

// need is how many assets of a reach with so many make a storm.
func (c Correlation) need(of int) int {
	return max(c.Assets, min(int(math.Ceil(c.Share*float64(of))), c.Enough))
}

// Begun is a storm that is recognised now.
type Begun struct {
	Reach
	Service string
	// Flips are its first members, those that opened before it was recognised among them; Storms the IDs of the narrower
	// storms that become part of it.
	Flips  []Flip
	Storms []string
}

// Join is a flip and the storm it belongs to.
type Join struct {
	Storm string // ID
	Flip  Flip
}

// Plan is which flips belong to which storm.
type Plan struct {
	Joins []Join
	Begun []Begun
}

// Correlate decides which of the flips in fresh belong to a storm: to one of going, or to one that they make together
// with loose, the recent flips that belong to none. assets is how many assets there are in a reach. A flip belongs to one
// storm at most, the widest that goes on. It changes nothing.
func Correlate(going []Storm, loose, fresh []Flip, assets func(Reach) int, c Correlation, now time.Time) Plan {
	var p Plan
	rest := map[string][]Flip{}
	seen := map[string]bool{}
	add := func(f Flip) {
		if !seen[f.Key] {
			seen[f.Key] = true
			rest[f.Service] = append(rest[f.Service], f)
		}
	}
	for _, f := range fresh {
		if i := widest(going, f, c, now); i >= 0 {
			if !seen[f.Key] {
				p.Joins = append(p.Joins, Join{going[i].ID, f})
			}
			seen[f.Key] = true
			continue
		}
		add(f)
	}
	for _, f := range loose {
		if now.Sub(f.At) <= c.Window {
			add(f)
		}
	}
	services := make([]string, 0, len(rest))
	for s, flips := range rest {
		if len(flips) >= c.Assets || len(going) > 0 {
			services = append(services, s)
		}
	}
	slices.Sort(services)
	for _, s := range services {
		r := recognition{going: going, assets: assets, c: c, now: now, plan: &p}
		r.service(s, rest[s])
	}
	return p
}

// alive tells whether a storm may still take flips in.
func (c Correlation) alive(s Storm, now time.Time) bool {
	return s.OverAt.IsZero() && s.Into == "" && now.Sub(s.Last) <= c.Quiet
}

// widest is the index of the widest storm that a flip belongs to, -1 when it belongs to none.
func widest(going []Storm, f Flip, c Correlation, now time.Time) int {
	found := -1
	for i, s := range going {
		if s.Service == f.Service && s.covers(f.Reach) && c.alive(s, now) && (found < 0 || s.covers(going[found].Reach)) {
			found = i
		}
	}
	return found
}

// recognition finds the storms in flips of one service that belong to none yet.
type recognition struct {
	going  []Storm
	assets func(Reach) int
	c      Correlation
	now    time.Time
	plan   *Plan
}

// crowd is what flipped in a reach: loose flips, and storms that may become part of a wider one.
type crowd struct {
	flips  []Flip
	storms []Storm
}

func (w crowd) assets() int {
	n := len(w.flips)
	for _, s := range w.storms {
		n += s.Assets
	}
	return n
}

// by divides a crowd into its parts, in order of their reach.
func (w crowd) by(part func(Reach) Reach) []Reach {
	var out []Reach
	for _, f := range w.flips {
		out = append(out, part(f.Reach))
	}
	for _, s := range w.storms {
		out = append(out, part(s.Reach))
	}
	slices.SortFunc(out, func(a, b Reach) int {
		return cmp.Or(strings.Compare(a.Customer, b.Customer), strings.Compare(a.Site, b.Site))
	})
	return slices.Compact(out)
}

// in is what of a crowd is in a reach.
func (w crowd) in(r Reach, exactly bool) crowd {
	fits := func(o Reach) bool { return r == o || !exactly && r.covers(o) }
	var out crowd
	for _, f := range w.flips {
		if fits(f.Reach) {
			out.flips = append(out.flips, f)
		}
	}
	for _, s := range w.storms {
		if fits(s.Reach) {
			out.storms = append(out.storms, s)
		}
	}
	return out
}

// service looks for the widest storms first: a fault of a whole fleet is one thing, not one of each of its sites.
func (r recognition) service(service string, flips []Flip) {
	all := crowd{flips: flips}
	for _, s := range r.going {
		if s.Service == service && s.Reach != (Reach{}) && r.c.alive(s, r.now) && r.now.Sub(s.Last) <= r.c.Window {
			all.storms = append(all.storms, s)
		}
	}
	customers := all.by(func(o Reach) Reach { return Reach{Customer: o.Customer} })
	if r.spread(all, Reach{}, customers) {
		r.begin(service, Reach{}, all)
		return
	}
	for _, customer := range customers {
		mine := all.in(customer, false)
		sites := mine.by(func(o Reach) Reach { return o })
		if r.spread(mine, customer, sites) {
			r.begin(service, customer, mine)
			continue
		}
		for _, site := range sites {
			here := mine.in(site, true)
			here.storms = nil // they are where they are already
			if len(here.flips) >= r.c.need(r.assets(site)) {
				r.begin(service, site, here)
			}
		}
	}
}

// spread tells whether a crowd makes a storm of a reach and not only of one of its parts.
func (r recognition) spread(w crowd, in Reach, parts []Reach) bool {
	n := w.assets()
	if len(parts) < 2 || len(w.flips) == 0 || n < r.c.Assets || n < r.c.need(r.assets(in)) {
		return false
	}
	for _, part := range parts {
		if float64(w.in(part, in != Reach{}).assets()) >= r.c.Most*float64(n) {
			return false
		}
	}
	return true
}

// begin plans a storm; one of the same service and reach that was quiet for long goes on instead.
func (r recognition) begin(service string, in Reach, w crowd) {
	for _, s := range r.going {
		if s.Service == service && s.Reach == in && s.OverAt.IsZero() {
			for _, f := range w.flips {
				r.plan.Joins = append(r.plan.Joins, Join{s.ID, f})
			}
			return
		}
	}
	slices.SortStableFunc(w.flips, func(a, b Flip) int { return a.At.Compare(b.At) })
	b := Begun{Reach: in, Service: service, Flips: w.flips}
	for _, s := range w.storms {
		b.Storms = append(b.Storms, s.ID)
	}
	r.plan.Begun = append(r.plan.Begun, b)
}

// Step is what a storm wants done.
type Step int

// The steps.
const (
	// Wait: nothing.
	Wait Step = iota
	// Tell: something happened that nobody was told of yet.
	Tell
	// Release: it is quiet and few stand: they go on by themselves, and it is over.
	Release
	// Over: none of its tickets is open any more.
	Over
)

// Next is what a storm wants done at now.
func (c Correlation) Next(s Storm, now time.Time) Step {
	quiet := now.Sub(s.Last) > c.Quiet
	switch {
	case !s.OverAt.IsZero():
		return Wait
	case s.Standing <= 0:
		return Over
	case quiet && s.Standing <= c.Floor:
		return Release
	case len(s.Untold) > 0 && now.Sub(s.ToldAt) >= c.pause(s.Notices):
		return Tell
	}
	return Wait
}

// pause is how long after its nth notice a storm is told of again.
func (c Correlation) pause(n int) time.Duration {
	d := c.Tell
	for i := 1; i < n && d < c.TellMost; i++ {
		d *= 2
	}
	return min(d, c.TellMost)
}
