package collector

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/rules"
)

const (
	// reachBudget is how long a ticket about silence may wait for what is asked before it. Silence takes ten seconds at
	// least to be one; a ticket whose title says whether the host is up is worth one more.
	reachBudget = 3 * time.Second
	// pingsAtOnce bounds the pings under way.
	pingsAtOnce = 32
	// pingsOfSite and pingsOfAll are how many hosts are asked about a site's silence, and about everything's.
	pingsOfSite = 3
	pingsOfAll  = 5
	// asksKept is how long answers are good for an alert that could not be committed.
	asksKept = time.Minute
)

// pingTerms are how hosts are pinged; a Count of 0 is not at all.
type pingTerms struct {
	// Count is how many echo requests a host is sent, a tenth of a second apart, Timeout how long they may take together.
	Count   int
	Timeout time.Duration
	// Most is how many hosts are pinged that fall silent at one moment.
	Most int
}

// reach finds out what can be found out about a silence before it is told: whether hosts answer pings, and of everything's
// silence what the collector sees of itself.
type reach struct {
	pinger pinger
	terms  *atomic.Pointer[pingTerms]
	sign   func(asset string) (sign, bool)
	// self is what the collector finds when it looks at itself.
	self func(ctx context.Context, lives []incident.Life, now time.Time) []string
	now  func() time.Time
	// pings counts what they came to.
	pings *prometheus.CounterVec

	// known are the last answers, by alert, for a commit that has to be tried again.
	known   map[string]incident.Inquiry
	knownAt time.Time
}

// ask finds out about the alerts that begin among ts and adds it to them. It takes reachBudget at most.
func (r *reach) ask(ctx context.Context, ts []rules.Transition, lives []incident.Life, now time.Time) []rules.Transition {
	ctx, cancel := context.WithTimeout(ctx, reachBudget)
	defer cancel()
	if now.Sub(r.knownAt) > asksKept {
		r.known = nil
	}
	round := newRound(r, lives)
	for _, t := range ts {
		if _, known := r.known[t.ID()]; !known && t.From == rules.Inactive && t.Alert.State == rules.Firing {
			round.want(t)
		}
	}
	round.run(ctx)
	known := map[string]incident.Inquiry{}
	out := slices.Clone(ts)
	for i, t := range out {
		found, ok := r.known[t.ID()]
		if !ok {
			found, ok = round.found(ctx, t, now)
		}
		if ok {
			known[t.ID()], out[i].Alert = found, found.Found(t.Alert)
		}
	}
	r.known, r.knownAt = known, now
	return out
}

// round is the asking for the alerts of one moment: every host once, every address once.
type round struct {
	*reach
	terms pingTerms
	lives []incident.Life
	hosts map[string][]incident.Life // by alert
	asked map[string]*incident.Asked // by host
	order []*incident.Asked
	at    map[netip.Addr][]*incident.Asked
	left  map[string]int // by alert
}

func newRound(r *reach, lives []incident.Life) *round {
	return &round{
		reach: r, terms: *r.terms.Load(), lives: lives, hosts: map[string][]incident.Life{}, asked: map[string]*incident.Asked{},
		at: map[netip.Addr][]*incident.Asked{}, left: map[string]int{},
	}
}

// want notes whom to ask about an alert.
func (r *round) want(t rules.Transition) {
	hosts, most := about(r.lives, t.Alert), len(r.lives)
	switch t.Origin.Name {
	case incident.AgentNotSeen: // it was never there to be asked
		return
	case incident.SiteSilent:
		most = pingsOfSite
	case incident.CollectorBlind:
		most = pingsOfAll
	}
	if r.terms.Count == 0 {
		hosts = nil
	}
	// Who was heard last first, of every site one before the second of any.
	slices.SortStableFunc(hosts, func(a, b incident.Life) int { return b.Heard.Compare(a.Heard) })
	for _, l := range spread(hosts, most) {
		if len(r.asked) >= r.terms.Most && r.asked[l.Asset] == nil {
			r.left[t.ID()]++
			continue
		}
		r.hosts[t.ID()] = append(r.hosts[t.ID()], l)
		r.askFor(l)
	}
	if _, asked := r.hosts[t.ID()]; !asked {
		r.hosts[t.ID()] = nil
	}
}

// askFor notes one host to be asked.
func (r *round) askFor(l incident.Life) {
	if r.asked[l.Asset] != nil {
		return
	}
	a := &incident.Asked{Asset: l.Asset, Own: l.Own}
	r.asked[l.Asset] = a
	r.order = append(r.order, a)
	switch s, heard := r.sign(l.Asset); {
	case l.Own:
	case !heard && !s.from.IsValid():
		a.Why = "its address is not known: none was kept, and no report of it has come since the collector started"
	case !s.from.IsValid():
		a.Why = "the address its reports came from is not known"
	default:
		a.Address, a.Shared = s.from.String(), !s.alone
		r.at[s.from] = append(r.at[s.from], a)
	}
}

// run pings every address.
func (r *round) run(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(pingsAtOnce)
	for addr, all := range r.at {
		g.Go(func() error {
			at := r.now()
			e, why := r.one(ctx, addr)
			for _, a := range all {
				a.At, a.Sent, a.Answered, a.RTT, a.Why = at, e.sent, e.answered, e.fastest, why
			}
			return nil
		})
	}
	_ = g.Wait() // they return none
}

// one pings one address and says why there is nothing to go by, if so.
func (r *round) one(ctx context.Context, to netip.Addr) (echoes, string) {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < time.Duration(r.terms.Count)*pingEvery {
		r.pings.WithLabelValues(pingLeftOut).Inc()
		return echoes{}, "so many were asked that its turn did not come in " + reachBudget.String()
	}
	ctx, cancel := context.WithTimeout(ctx, r.terms.Timeout)
	defer cancel()
	e, err := r.pinger.Ping(ctx, to, r.terms.Count)
	result := pingUnanswered
	switch {
	case err != nil:
		r.pings.WithLabelValues(pingFailed).Inc()
		return echoes{}, oneLine(err.Error())
	case e.answered > 0:
		result = pingAnswered
	}
	r.pings.WithLabelValues(result).Inc()
	return e, ""
}

// found is what was found out about an alert; false when nothing was looked for.
func (r *round) found(ctx context.Context, t rules.Transition, now time.Time) (incident.Inquiry, bool) {
	hosts, asked := r.hosts[t.ID()]
	if !asked {
		return incident.Inquiry{}, false
	}
	out := incident.Inquiry{Left: r.left[t.ID()], Most: r.terms.Most}
	for _, l := range hosts {
		out.Asked = append(out.Asked, *r.asked[l.Asset])
	}
	if t.Origin.Name == incident.CollectorBlind || t.Origin.Name == incident.SiteSilent && oneSite(r.lives) {
		out.Self = r.self(ctx, r.lives, now)
	}
	return out, true
}

// oneSite tells whether all hosts there are, as far as silence is concerned, are at one site: then what cuts them off may be
// the collector's as well as theirs.
func oneSite(lives []incident.Life) bool {
	at := map[where]bool{}
	for _, l := range lives {
		if !l.Own {
			at[where{l.Customer, l.Site}] = true
		}
	}
	return len(at) == 1
}

// about are the hosts that an alert is about, those that are excused left out of a site's.
func about(lives []incident.Life, a rules.Alert) []incident.Life {
	host, site, customer := a.Labels.Get("instance"), a.Labels.Get("site"), a.Labels.Get("customer")
	var out []incident.Life
	for _, l := range lives {
		switch {
		case host != "" && l.Asset != host, site != "" && l.Site != site, customer != "" && l.Customer != customer:
		case host == "" && (l.Excused() || l.Own):
		default:
			out = append(out, l)
		}
	}
	return out
}

// spread takes up to most hosts, one of each site, then the second of each, and so on; they keep their order within a site.
func spread(hosts []incident.Life, most int) []incident.Life {
	rank := map[string]int{}
	seen := map[where]int{}
	for _, l := range hosts {
		at := where{l.Customer, l.Site}
		rank[l.Asset] = seen[at]
		seen[at]++
	}
	out := slices.Clone(hosts)
	slices.SortStableFunc(out, func(a, b incident.Life) int { return rank[a.Asset] - rank[b.Asset] })
	return out[:min(most, len(out))]
}

// lookedAt is what was done about a silence before its ticket opened, a line each.
func lookedAt(a incident.Alert) []string {
	if s := a.Annotations[incident.Looked]; s != "" {
		return strings.Split(s, "\n")
	}
	return nil
}
