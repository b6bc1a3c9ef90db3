package incident

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
)

// Life is the last sign of life of one enrolled host.
type Life struct {
	Asset, Customer, Site string
	// Heard is when the last report was received, by the collector's clock; or, when there was none, since when one
	// was waited for. Word says which.
	Heard time.Time
	Word  Word
	// Before is when the host reported last before the Start that Heard is the time of, as far as that is known; zero when
	// it is not. There may have been reports shortly after that nobody remembers.
	Before time.Time
	// Interval is how often the host reports.
	Interval time.Duration
	// Goodbye is the reason the agent gave for stopping; empty when it did not say goodbye with the last report there was,
	// which that of Before is when it did.
	Goodbye string
	// Own is the host that the collector runs on: its reports cross no line, and say nothing about one.
	Own bool
}

// Word is what Life.Heard is the time of.
type Word int

// What was last heard of a host.
const (
	// Report: a report of the host.
	Report Word = iota
	// Enrolment: nothing; its agent enrolled then and has not reported yet.
	Enrolment
	// Start: nothing; the collector started then, and does not know what came before.
	Start
)

// Patience says how long silence may last before it is an alert.
type Patience struct {
	// Intervals that a host may miss, at least Least in all.
	Intervals int
	Least     time.Duration
	// AfterGoodbye is what an agent that stopped in an orderly way may take to come back. It is counted from its goodbye,
	// though the collector was started anew since.
	AfterGoodbye time.Duration
	// AfterEnrolment is what an agent may take from its enrolment to its first report.
	AfterEnrolment time.Duration
	// Return is what an agent may take to come back to a collector that was away, beyond the reports it may miss: the
	// longest it waits between two attempts, and the time over which a fleet spreads its return. Agents take as long when
	// it was their line that was away.
	Return time.Duration
	// Together is how long after one another hosts may fall silent for one cause.
	Together time.Duration
}

// DefaultPatience is three reports, at least 10 s, two minutes after a goodbye, and a quarter of an hour to be started or
// to fall silent after one another.
var DefaultPatience = Patience{
	Intervals: 3, Least: 10 * time.Second, AfterGoodbye: 2 * time.Minute, AfterEnrolment: 15 * time.Minute,
	Together: 15 * time.Minute,
}

// Of is how long this host may be silent.
func (p Patience) Of(l Life) time.Duration {
	if l.Word == Enrolment {
		return p.AfterEnrolment
	}
	d := p.reports(l)
	if l.Word == Start {
		d += p.Return
	}
	switch {
	case l.Goodbye == "":
		return d
	case l.Word != Start:
		return p.AfterGoodbye
	case l.Before.IsZero():
		return max(d, p.AfterGoodbye)
	}
	return max(d, p.AfterGoodbye-l.Heard.Sub(l.Before))
}

// Last is when the host was last heard, as far as that is known; reported is false when it is not, and then Last is since
// when it was waited for.
func (l Life) Last() (at time.Time, reported bool) {
	switch {
	case l.Word == Report:
		return l.Heard, true
	case l.Word == Start && !l.Before.IsZero():
		return l.Before, true
	}
	return l.Heard, false
}

// reports is how long the reports take that a host may miss.
func (p Patience) reports(l Life) time.Duration {
	return max(time.Duration(p.Intervals)*l.Interval, p.Least)
}

// Silent tells whether a host has been silent for longer than it may be.
func (p Patience) Silent(l Life, now time.Time) bool { return now.Sub(l.Heard) > p.Of(l) }

// Overdue is a host that missed a report, or was not heard since the start, but may yet be heard in time; an excused one is
// not waited for.
func (p Patience) Overdue(l Life, now time.Time) bool {
	return !l.Excused() && (l.Word == Start || now.Sub(l.Heard) > l.Interval+l.Interval/2)
}

// Excused is a host whose silence has a cause of its own: its agent said goodbye, or has never been started.
func (l Life) Excused() bool { return l.Goodbye != "" || l.Word == Enrolment }

// The alerts that silence raises. Their rule is Watchbill's own.
const (
	HostSilent     = "HostSilent"
	AgentStopped   = "AgentStopped"
	AgentNotSeen   = "AgentNotSeen"
	SiteSilent     = "SiteSilent"
	CollectorBlind = "CollectorBlind"
)

func isSilence(name string) bool {
	switch name {
	case HostSilent, AgentStopped, AgentNotSeen, SiteSilent, CollectorBlind:
		return true
	}
	return false
}

// IsSilence tells whether a rule is one of those that silence alerts come from.
func IsSilence(o rules.Origin) bool { return strings.HasPrefix(o.ID, silenceOrigins) }

const silenceOrigins = "silence-"

// SilenceOrigin is the rule that silence alerts come from, one per name.
func SilenceOrigin(name string) rules.Origin {
	return rules.Origin{ID: silenceOrigins + name, Group: "watchbill", Name: name}
}

// Scene is what Silence judges by.
type Scene struct {
	// Lives are all hosts of every site that is of interest: somebody there is silent, or an alert about it stands. When
	// one about everything stands, that is every site.
	Lives []Life
	// Elsewhere says how the hosts of all other sites are.
	Elsewhere Elsewhere
	// Active are the silence alerts that stand.
	Active   []rules.Alert
	Patience Patience
}

// Elsewhere is what there is to know of hosts that cannot be silent, or that nobody asks about. Those that are on the
// collector's own host and those that are excused do not count.
type Elsewhere int

const (
	// Nobody: there are no others.
	Nobody Elsewhere = iota
	// AllOverdue: there are others, and not one of them has reported when it should have.
	AllOverdue
	// SomeHeard: one of the others at least is heard.
	SomeHeard
)

// Found is what Silence found.
type Found struct {
	// Transitions of silence alerts; broader causes begin before what they explain ends.
	Transitions []rules.Transition
	// Soon: something waits to be told apart, or is held up. Look again in a second, though nothing may be heard until then.
	Soon bool
	// Waiting are the hosts that are silent and of which it is not known yet whether it is they, their site or everything.
	Waiting []string
}

// SupersededBy is the annotation of an alert that ended as Superseded: the key of the incident that took it over.
const SupersededBy = "superseded_by"

// Silence finds who is silent and says why as far as silence alone can tell: one cause, one alert.
//
//   - A host alone is silent, or its agent said goodbye and stayed away, or was never started.
//   - When all hosts of a site fell silent within Patience.Together, two at least, or most of them, three at least, it is
//     the site. Who was silent long before has a cause of its own, and so has who is excused.
//   - When all hosts of more than one site did, but for the collector's own host, the collector suspects itself.
//
// While a site, or everything, may yet turn out to be the cause, because others have missed a report, new alerts of less
// are held back for as long again as their host may be silent. What was found earlier ends as Superseded when a broader
// cause is found. A broader cause stays until everybody is back, or those who are not have had the time for it: then they
// are silent for a cause of their own. Who was not heard since the collector started and has time left is neither silent nor
// back: what stood at the stop stands on until it is contradicted by those that are heard and those that are not.
func Silence(s Scene, now time.Time) Found {
	j := newJudgement(s, now)
	j.everything()
	for _, at := range j.places {
		j.site(at)
	}
	for _, at := range j.places {
		for _, l := range j.sites[at] {
			j.host(at, l)
		}
	}
	j.rest()
	slices.SortFunc(j.out, func(a, b rules.Transition) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), strings.Compare(a.ID(), b.ID()))
	})
	return Found{Transitions: j.out, Soon: j.soon, Waiting: j.waiting}
}

// order is that of transitions within one commit: what explains more comes first, what ends last.
func order(t rules.Transition) int {
	switch {
	case t.Alert.State == rules.Inactive:
		return 3
	case t.Origin.Name == CollectorBlind:
		return 0
	case t.Origin.Name == SiteSilent:
		return 1
	}
	return 2
}

type place struct{ customer, site string }

// judgement is Silence at work.
type judgement struct {
	Scene
	now    time.Time
	sites  map[place][]Life
	places []place
	hosts  map[string]Life
	// standing are the active alerts by their ID, about those about one host by its name, ofSite those about a site.
	standing map[string]rules.Alert
	about    map[string]rules.Alert
	ofSite   map[place]rules.Alert
	// kept are the IDs of those that stand on, covered is the key of the broader cause that explains a host.
	kept    map[string]bool
	covered map[string]string
	// waitAll and wait say that everything, or a site, may yet be the cause; broad that one is.
	waitAll  bool
	wait     map[place]bool
	broad    map[place]bool
	broadAll bool
	out      []rules.Transition
	soon     bool
	waiting  []string
}

func newJudgement(s Scene, now time.Time) *judgement {
	j := &judgement{
		Scene: s, now: now, sites: map[place][]Life{}, hosts: make(map[string]Life, len(s.Lives)),
		standing: make(map[string]rules.Alert, len(s.Active)), about: map[string]rules.Alert{}, ofSite: map[place]rules.Alert{},
		kept: map[string]bool{}, covered: map[string]string{}, wait: map[place]bool{}, broad: map[place]bool{},
	}
	for _, a := range s.Active {
		j.standing[idOf(a)] = a
		switch host, site := a.Labels.Get("instance"), a.Labels.Get("site"); {
		case host != "":
			j.about[host] = a
		case site != "":
			j.ofSite[place{a.Labels.Get("customer"), site}] = a
		}
	}
	for _, l := range s.Lives {
		at := place{l.Customer, l.Site}
		j.sites[at] = append(j.sites[at], l)
		j.hosts[l.Asset] = l
	}
	j.places = slices.SortedFunc(maps.Keys(j.sites), func(a, b place) int {
		return cmp.Or(strings.Compare(a.customer, b.customer), strings.Compare(a.site, b.site))
	})
	return j
}

func idOf(a rules.Alert) string {
	return rules.AlertID(SilenceOrigin(a.Labels.Get(labels.AlertName)).ID, a.Labels)
}
