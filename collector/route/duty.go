package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// turn is the number of the turn at an instant, 0 from the first handover on; before it, it means nothing. The wall may
// show a time again after the handover that came when it did so first.
func (r Rota) turn(at time.Time) int {
	n := int(civil(at, r.roster.loc).Sub(r.roster.start) / r.Every)
	for !r.handover(n + 1).After(at) {
		n++
	}
	return n
}

// handover is when turn n begins: the same time on the wall as every handover, across DST. The clocks that are put forward
// over it put it at the moment they are; of a time that comes twice it is the first.
func (r Rota) handover(n int) time.Time {
	return wallAt(r.roster.start.Add(time.Duration(n)*r.Every), r.roster.loc)
}

// cuts are the instants between two at which duty may change, both of these included, in order.
func (r Rota) cuts(from, until time.Time, hours []sla.Interval) []time.Time {
	all := []time.Time{from, until}
	between := func(t time.Time) {
		if t.After(from) && t.Before(until) {
			all = append(all, t.UTC())
		}
	}
	between(r.Start)
	for n := max(r.turn(from), 0) + 1; ; n++ {
		at := r.handover(n)
		if !at.Before(until) {
			break
		}
		between(at)
	}
	for _, o := range r.roster.overrides {
		between(o.From)
		between(o.Until)
	}
	for _, h := range hours {
		between(h.From)
	}
	slices.SortFunc(all, time.Time.Compare)
	return slices.CompactFunc(all, time.Time.Equal)
}

// override is the newest of those that stand at an instant.
func (r Rota) override(at time.Time) (Override, bool) {
	for _, o := range r.roster.overrides {
		if !at.Before(o.From) && at.Before(o.Until) {
			return o, true
		}
	}
	return Override{}, false
}

// duty is a stretch of time in which the same is true of who is on call.
type duty struct {
	from, until time.Time
	post
}

// post is who is on call, or why nobody is.
type post struct {
	person, override string
	turn             int
	reason           string
	planned          bool
}

// duties are what is true between two instants, in order and without a hole; none where until is not after from.
func (r Rota) duties(from, until time.Time) []duty {
	r.roster = r.ready()
	from, until = from.UTC().Round(0), until.UTC().Round(0)
	if limit := from.Add(maxPlan); until.After(limit) {
		until = limit
	}
	if !from.Before(until) {
		return nil
	}
	if r.roster.fault != "" {
		return []duty{{from, until, post{reason: r.roster.fault}}}
	}
	var hours []sla.Interval
	if r.roster.cal != nil {
		hours = sla.Clock{Start: from, Target: sla.Target{Mode: sla.Business}}.Explain(r.roster.cal, until)
	}
	cuts := r.cuts(from, until, hours)
	var out []duty
	for i, at := range cuts[:len(cuts)-1] {
		for len(hours) > 1 && !hours[0].To.After(at) {
			hours = hours[1:]
		}
		p := r.post(at, hours)
		if n := len(out); n > 0 && out[n-1].post == p {
			out[n-1].until = cuts[i+1]
			continue
		}
		out = append(out, duty{at, cuts[i+1], p})
	}
	return out
}

// post is who is on call at an instant; hours begins with the interval of the calendar that it lies in.
func (r Rota) post(at time.Time, hours []sla.Interval) post {
	if o, ok := r.override(at); ok {
		if !r.roster.known[o.Person] {
			return post{reason: fmt.Sprintf("%s, on call by override %s, is nobody the directory knows", o.Person, o.ID)}
		}
		return post{person: o.Person, override: cmp.Or(o.ID, "override")}
	}
	if at.Before(r.Start) {
		return post{reason: "the rota begins at " + r.Start.In(r.roster.loc).Format(time.RFC3339)}
	}
	if len(hours) > 0 && hours[0].Counted != (r.Hours == HoursInside) {
		return post{reason: "on call only " + r.Hours + " of hours: " + strings.TrimPrefix(hours[0].Reason, "closed: "), planned: true}
	}
	if len(r.roster.turns) == 0 {
		return post{reason: fmt.Sprintf("nobody has the role %s, whose people take turns", r.Role)}
	}
	n := r.turn(at)
	person := r.roster.turns[n%len(r.roster.turns)]
	if !r.roster.known[person] {
		return post{reason: fmt.Sprintf("%s, whose turn it is, is nobody the directory knows", person)}
	}
	return post{person: person, turn: n}
}
