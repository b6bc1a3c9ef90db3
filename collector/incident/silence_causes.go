package incident

import (
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
)

// group is hosts that may be silent for one cause.
type group struct {
	silent []Life
	// awaited were not heard since the collector started and have time left: neither silent nor back.
	awaited []Life
	// late have missed a report or are awaited; total is all of them, before those that were silent long before.
	late, total, before int
	sites               map[place]bool
}

// together groups those of hosts that fell silent at about the same time, or are not silent at all. cause, when it stands,
// says when that was; otherwise it is when the last of them was heard.
func (j *judgement) together(hosts []Life, cause rules.Alert, stands bool) group {
	since := cause.FirstBadAt
	for _, l := range hosts {
		if fell := j.fell(l); !stands && j.Patience.Silent(l, j.now) && fell.After(since) {
			since = fell
		}
	}
	since = since.Add(-j.Patience.Together)
	g := group{sites: map[place]bool{}}
	for _, l := range hosts {
		silent := j.Patience.Silent(l, j.now)
		awaited := !silent && l.Word == Start
		if (silent || awaited) && j.fell(l).Before(since) {
			g.before++
			continue
		}
		g.total++
		g.sites[place{l.Customer, l.Site}] = true
		switch {
		case silent:
			g.silent = append(g.silent, l)
		case awaited:
			g.awaited = append(g.awaited, l)
			g.late++
		case j.Patience.Overdue(l, j.now):
			g.late++
		}
	}
	return g
}

// fell is since when a host is silent, if it is. One that was when the collector stopped, as the alert about it or its site
// tells, has been since before that, unless it is known to have been heard later.
func (j *judgement) fell(l Life) time.Time {
	if l.Word != Start {
		return l.Heard
	}
	for _, a := range []rules.Alert{j.about[l.Asset], j.ofSite[place{l.Customer, l.Site}]} {
		if !a.ActiveAt.IsZero() && a.ActiveAt.Before(l.Heard) && !l.Before.After(a.FirstBadAt) {
			return a.FirstBadAt
		}
	}
	return l.Heard
}

// all tells whether n of the group are all of it, most whether they are most.
func (g group) all(n int) bool  { return n >= 2 && n == g.total }
func (g group) most(n int) bool { return g.all(n) || n >= 3 && 2*n > g.total }

// everything judges whether the collector itself is the cause. Its own host does not count: that it is heard shows that the
// collector works, not that anybody can reach it.
func (j *judgement) everything() {
	var far []Life
	for _, l := range j.Lives {
		if l = j.hosts[l.Asset]; !l.Own && !l.Excused() {
			far = append(far, l)
		}
	}
	made := blind(far, j.now)
	was, stands := j.standing[idOf(made)]
	g := j.together(far, was, stands)
	isIt := func(n int) bool { return j.Elsewhere == Nobody && len(g.sites) > 1 && g.all(n) }
	holds := isIt(len(g.silent))
	j.waitAll = !holds && len(g.silent)+g.late == g.total &&
		(j.Elsewhere == AllOverdue || j.Elsewhere == Nobody && len(g.sites) > 1)
	if holds {
		made = blind(g.silent, j.now)
	}
	if j.broadAll = j.cause(made, holds, isIt(len(g.silent)+g.late), g); j.broadAll {
		j.cover(g.silent, made)
		for _, l := range j.hosts {
			if l.Own && j.Patience.Silent(l, j.now) && !l.Excused() {
				j.cover([]Life{l}, made)
			}
		}
	}
}

// site judges whether a site is the cause.
func (j *judgement) site(at place) {
	var hosts []Life
	for _, l := range j.sites[at] {
		if !l.Excused() && j.covered[l.Asset] == "" {
			hosts = append(hosts, l)
		}
	}
	made := siteSilent(at, group{silent: hosts, total: len(hosts)}, j.now)
	was, stands := j.standing[idOf(made)]
	if len(hosts) == 0 {
		return
	}
	g := j.together(hosts, was, stands)
	n := len(g.silent)
	holds := g.all(n) || g.most(n) && (stands || g.late == 0 || !j.early(g.silent))
	if holds {
		made = siteSilent(at, g, j.now)
	}
	if holds && !stands && j.waitAll && j.early(g.silent) {
		j.soon, j.wait[at] = true, true
		return
	}
	j.wait[at] = !holds && g.most(n+g.late)
	if j.broad[at] = j.cause(made, holds, g.most(n+g.late), g); j.broad[at] {
		j.cover(g.silent, made)
	}
}

// early tells whether hosts that are silent may be waited for: one of them was heard no longer ago than twice what it may
// be silent for.
func (j *judgement) early(silent []Life) bool {
	return slices.ContainsFunc(silent, func(l Life) bool { return j.now.Sub(j.fell(l)) <= 2*j.Patience.Of(l) })
}

func (j *judgement) cover(hosts []Life, by rules.Alert) {
	key := silenceKey(by)
	for _, l := range hosts {
		j.covered[l.Asset] = key
	}
}

// silenceKey is the key of the incident that an alert of silence belongs to.
func silenceKey(a rules.Alert) string {
	l := a.Labels
	customer := l.Get("customer")
	if customer == "" {
		customer = OwnCustomer
	}
	return KeyOf(Alert{Source: ours, Name: l.Get(labels.AlertName), Customer: customer, Site: l.Get("site"), Asset: l.Get("instance")}).String()
}

// cause says what becomes of a broader cause, and whether it explains the group's silence: it begins when it holds, stays
// while it does or may, when those who are late are silent too, is held up while hosts come back or are awaited, and ends.
func (j *judgement) cause(made rules.Alert, holds, may bool, g group) bool {
	was, stands := j.standing[idOf(made)]
	switch {
	case holds && !stands:
		j.begin(made)
		return true
	case !stands:
		return false
	case holds:
		j.keep(was, time.Time{})
		return true
	case len(g.silent)+len(g.awaited) == 0:
		return false
	}
	since := was.KeepFiringSince
	if !may && since.IsZero() {
		since = j.now
	}
	if !may && len(g.awaited) == 0 && j.now.Sub(since) >= j.comingBack(g.silent) {
		return false
	}
	j.keep(was, since)
	j.soon = true
	return true
}

// comingBack is how long hosts may take to be heard when what kept them is mended.
func (j *judgement) comingBack(silent []Life) time.Duration {
	var d time.Duration
	for _, l := range silent {
		d = max(d, j.Patience.reports(l))
	}
	return d + j.Patience.Return
}

func (j *judgement) begin(a rules.Alert) {
	j.kept[idOf(a)] = true
	j.out = append(j.out, rules.Transition{Origin: originOf(a), From: rules.Inactive, Alert: a})
}

// keep lets an alert stand on; since when hosts come back outlasts a restart with it.
func (j *judgement) keep(a rules.Alert, comingBackSince time.Time) {
	j.kept[idOf(a)] = true
	if !a.KeepFiringSince.Equal(comingBackSince) {
		a.KeepFiringSince = comingBackSince
		j.out = append(j.out, rules.Transition{Origin: originOf(a), From: rules.Firing, Alert: a})
	}
}

func originOf(a rules.Alert) rules.Origin { return SilenceOrigin(a.Labels.Get(labels.AlertName)) }

// host judges one host that no broader cause explains.
func (j *judgement) host(at place, l Life) {
	if !j.Patience.Silent(l, j.now) || j.covered[l.Asset] != "" {
		return
	}
	made := hostSilent(l, j.now)
	was, stands := j.about[l.Asset]
	switch {
	case stands && j.same(was, made, l):
		j.keep(was, was.KeepFiringSince)
	case l.Excused() && (j.broad[at] || j.broadAll):
		// It may be the broader cause that keeps it from coming back.
	case !l.Excused() && (j.waitAll || j.wait[at]) && j.early([]Life{l}):
		j.soon, j.waiting = true, append(j.waiting, l.Asset)
	default:
		j.begin(made)
	}
}

// same tells whether the alert about a host that stands is still what is to be said: it is until the host is heard, but
// for one that is being set up anew.
func (j *judgement) same(was, made rules.Alert, l Life) bool {
	heard := l.Word == Report && l.Heard.After(was.FirstBadAt)
	return idOf(was) == idOf(made) || l.Word != Enrolment && !heard
}

// rest ends the alerts that do not stand on.
func (j *judgement) rest() {
	for id, a := range j.standing {
		if j.kept[id] {
			continue
		}
		hosts := j.hostsOf(a)
		by := ""
		for _, l := range hosts {
			if c := j.covered[l.Asset]; c != "" && c != silenceKey(a) && a.Labels.Has("site") { // nothing is broader than everything
				by = c
			}
		}
		a.State, a.EndedAt, a.End = rules.Inactive, j.now, rules.SeriesGone // nobody was heard: they left the fleet
		switch {
		case by != "":
			a.End = Superseded
			a.Annotations = labels.NewBuilder(a.Annotations).Set(SupersededBy, by).Labels()
		case slices.ContainsFunc(hosts, func(l Life) bool { return l.Word == Report && l.Heard.After(a.FirstBadAt) }):
			a.End = rules.Recovered
		case j.inTime(hosts):
			j.soon = true // nobody says so when they are heard: they are not among the silent
			continue
		}
		j.out = append(j.out, rules.Transition{Origin: originOf(a), From: rules.Firing, Alert: a})
	}
}

// hostsOf are the hosts that an alert is about.
func (j *judgement) hostsOf(a rules.Alert) []Life {
	l := a.Labels
	switch host, site := l.Get("instance"), l.Get("site"); {
	case host != "":
		if one, ok := j.hosts[host]; ok {
			return []Life{one}
		}
		return nil
	case site != "":
		return j.sites[place{l.Get("customer"), site}]
	}
	return j.Lives
}

// inTime tells whether some of them may be heard in time: not yet since the start, or more time was given to them.
func (j *judgement) inTime(hosts []Life) bool {
	return slices.ContainsFunc(hosts, func(l Life) bool { return !j.Patience.Silent(l, j.now) })
}
