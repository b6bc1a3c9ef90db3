package collector

import (
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/rules"
)

// roster is every watched host with the time at which it has to be looked at next. A host that reports is looked at once in
// the time it may be silent for; only those that are silent, and the sites they stand at, are looked at more often.
type roster struct {
	// lives are the watched hosts as they are known now; changed is another value whenever they are others.
	lives   func() []incident.Life
	changed func() uint64
	// fresh is a host with its newest sign of life.
	fresh func(incident.Life) incident.Life
	// patience is how long hosts may be silent in a fleet of so many.
	patience func(hosts int) incident.Patience

	hosts  map[string]*watched
	sites  map[where]*site
	wheel  *wheel
	silent map[*watched]bool
	// given is the patience that everybody's time was reckoned with, as of that value of changed.
	given incident.Patience
	as    uint64
}

// watched is one host of the roster.
type watched struct {
	incident.Life
	site *site
	// said is when the window was last told that it is silent.
	said time.Time
}

// site is the hosts of a site; silent is how many of them are.
type site struct {
	where  where
	hosts  []*watched
	silent int
}

// follow makes the roster that of the fleet as it is now, when that or the patience has changed.
func (r *roster) follow(now time.Time) (changed bool) {
	as := r.changed()
	if given := r.patience(len(r.hosts)); r.wheel != nil && as == r.as && given == r.given {
		return false
	}
	old := r.hosts
	lives := r.lives()
	r.as, r.given = as, r.patience(len(lives))
	r.hosts, r.sites, r.silent = make(map[string]*watched, len(lives)), map[where]*site{}, map[*watched]bool{}
	r.wheel = newWheel(now)
	for _, l := range lives {
		h := &watched{Life: l}
		if was := old[l.Asset]; was != nil {
			h.said = was.said
		}
		at := where{l.Customer, l.Site}
		if h.site = r.sites[at]; h.site == nil {
			h.site = &site{where: at}
			r.sites[at] = h.site
		}
		h.site.hosts = append(h.site.hosts, h)
		r.hosts[l.Asset] = h
		r.look(h, now)
	}
	return true
}

// look sorts a host that is not among the silent: they are joined, or it is put on the wheel.
func (r *roster) look(h *watched, now time.Time) {
	h.Life = r.fresh(h.Life)
	if r.given.Silent(h.Life, now) {
		r.silent[h] = true
		h.site.silent++
		return
	}
	r.wheel.put(h, r.next(h.Life, now))
}

// lookAgain is the longest that nobody looks at a host. Its time may become shorter without anybody saying so: it is told to
// report more often, or begins to report at all.
const lookAgain = 30 * time.Second

// next is when a host that is not silent has to be looked at.
func (r *roster) next(l incident.Life, now time.Time) time.Time {
	again := lookAgain
	if l.Word != incident.Report || l.Excused() { // it is given long, until its first report
		again = r.given.Least
	}
	if due := l.Heard.Add(r.given.Of(l)); due.Before(now.Add(again)) {
		return due
	}
	return now.Add(again)
}

// turn looks at those who are due and at those who are silent; it tells whether somebody fell silent or was heard again.
func (r *roster) turn(now time.Time) (news bool) {
	before := len(r.silent)
	r.wheel.tick(now, func(h *watched) { r.look(h, now) })
	news = len(r.silent) > before
	for h := range r.silent {
		heard := h.Heard
		h.Life = r.fresh(h.Life)
		switch {
		case !r.given.Silent(h.Life, now):
			delete(r.silent, h)
			h.site.silent--
			h.said = time.Time{} // told at once when it is silent again
			r.wheel.put(h, r.next(h.Life, now))
			news = true
		case !h.Heard.Equal(heard): // heard, and silent again
			news = true
		}
	}
	return news
}

// scene is what there is to judge: the sites where somebody is silent or an alert stands, and how all others are.
func (r *roster) scene(standing []rules.Alert, now time.Time) incident.Scene {
	s := incident.Scene{Active: standing, Patience: r.given}
	of := map[*site]bool{}
	for h := range r.silent {
		of[h.site] = true
	}
	everything := false
	for _, a := range standing {
		l := a.Labels
		if h := r.hosts[l.Get("instance")]; h != nil {
			of[h.site] = true
		} else if at := r.sites[where{l.Get("customer"), l.Get("site")}]; at != nil {
			of[at] = true
		}
		everything = everything || l.Get("customer") == ""
	}
	if everything {
		for _, at := range r.sites {
			of[at] = true
		}
	}
	for at := range of {
		for _, h := range at.hosts {
			h.Life = r.fresh(h.Life)
			s.Lives = append(s.Lives, h.Life)
		}
	}
	if len(of) > 0 {
		s.Elsewhere = r.elsewhere(of, now)
	}
	return s
}

// elsewhere is how the hosts are that are at none of those sites. It asks until one is found that is heard, which is the
// first as long as all is well: they come in no order.
func (r *roster) elsewhere(but map[*site]bool, now time.Time) incident.Elsewhere {
	out := incident.Nobody
	for _, h := range r.hosts {
		if but[h.site] {
			continue
		}
		h.Life = r.fresh(h.Life)
		switch {
		case h.Own || h.Excused():
		case !r.given.Overdue(h.Life, now):
			return incident.SomeHeard
		default:
			out = incident.AllOverdue
		}
	}
	return out
}
