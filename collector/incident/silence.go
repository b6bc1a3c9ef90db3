package incident

import (
	"fmt"
	"slices"
	"sort"
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
	// Interval is how often the host reports.
	Interval time.Duration
	// Goodbye is the reason the agent gave for stopping; empty when it did not say goodbye since Heard.
	Goodbye string
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
	// AfterGoodbye is what an agent that stopped in an orderly way may take to come back.
	AfterGoodbye time.Duration
	// AfterEnrolment is what an agent may take from its enrolment to its first report.
	AfterEnrolment time.Duration
	// Return is what an agent may take to come back to a collector that was away, beyond the reports it may miss: the
	// longest it waits between two attempts, and the time over which a fleet spreads its return.
	Return time.Duration
}

// DefaultPatience is three reports, at least 10 s, two minutes after a goodbye, and a quarter of an hour to be started.
var DefaultPatience = Patience{
	Intervals: 3, Least: 10 * time.Second, AfterGoodbye: 2 * time.Minute, AfterEnrolment: 15 * time.Minute,
}

// Of is how long this host may be silent.
func (p Patience) Of(l Life) time.Duration {
	switch {
	case l.Goodbye != "":
		return p.AfterGoodbye
	case l.Word == Enrolment:
		return p.AfterEnrolment
	}
	d := max(time.Duration(p.Intervals)*l.Interval, p.Least)
	if l.Word == Start {
		d += p.Return
	}
	return d
}

// The alerts that silence raises. Their rule is Watchbill's own.
const (
	HostSilent     = "HostSilent"
	AgentStopped   = "AgentStopped"
	AgentNotSeen   = "AgentNotSeen"
	SiteSilent     = "SiteSilent"
	CollectorBlind = "CollectorBlind"
)

// SilenceOrigin is the rule that silence alerts come from, one per name.
func SilenceOrigin(name string) rules.Origin {
	return rules.Origin{ID: "silence-" + name, Group: "watchbill", Name: name}
}

// Silence finds who is silent and says why as far as silence alone can tell: one cause, one alert. A host alone is
// silent; when every host of a site with more than one is silent it is the site; when every host of more than one site
// is silent the collector suspects itself. active are the silence alerts that stand; one about hosts of which none was
// heard since the collector started stays until they have had the time to come back, for nothing is known yet. It returns
// their transitions.
func Silence(lives []Life, active []rules.Alert, p Patience, now time.Time) []rules.Transition {
	want := causes(lives, p, now)
	var out []rules.Transition
	standing := map[uint64]bool{}
	for _, a := range active {
		id := a.Labels.Hash()
		standing[id] = true
		if _, still := want[id]; still || unknown(lives, a, p, now) {
			continue
		}
		a.State, a.EndedAt, a.End = rules.Inactive, now, rules.Recovered
		if !heard(lives, a) {
			a.End = rules.SeriesGone // not heard again: another cause took over, or the host left the fleet
		}
		out = append(out, rules.Transition{Origin: SilenceOrigin(a.Labels.Get(labels.AlertName)), From: rules.Firing, Alert: a})
	}
	for id, a := range want {
		if !standing[id] {
			out = append(out, rules.Transition{Origin: SilenceOrigin(a.Labels.Get(labels.AlertName)), From: rules.Inactive, Alert: a})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID() < out[j].ID() })
	return out
}

// about are the hosts that an alert is about.
func about(lives []Life, a rules.Alert) (out []Life) {
	host, site, customer := a.Labels.Get("instance"), a.Labels.Get("site"), a.Labels.Get("customer")
	for _, l := range lives {
		if (host == "" || l.Asset == host) && (site == "" || l.Site == site) && (customer == "" || l.Customer == customer) {
			out = append(out, l)
		}
	}
	return out
}

// heard tells whether somebody the alert was about has spoken since it fired.
func heard(lives []Life, a rules.Alert) bool {
	return slices.ContainsFunc(about(lives, a), func(l Life) bool { return l.Word == Report && l.Heard.After(a.FirstBadAt) })
}

// unknown tells whether none of those the alert is about was heard since the collector started, or since its agent
// enrolled, and some of them may yet be in time.
func unknown(lives []Life, a rules.Alert, p Patience, now time.Time) bool {
	hosts := about(lives, a)
	return all(hosts, p, now, unheard) && !all(hosts, p, now, silent)
}

func unheard(l Life, _ Patience, _ time.Time) bool { return l.Word != Report }

type place struct{ customer, site string }

// causes is the alerts that should stand now, by the hash of their labels.
func causes(lives []Life, p Patience, now time.Time) map[uint64]rules.Alert {
	sites := map[place][]Life{}
	for _, l := range lives {
		at := place{l.Customer, l.Site}
		sites[at] = append(sites[at], l)
	}
	out := map[uint64]rules.Alert{}
	put := func(a rules.Alert) { out[a.Labels.Hash()] = a }
	if len(sites) > 1 && all(lives, p, now, silent) && !allExcused(lives) {
		put(blind(lives, now))
		return out
	}
	for at, hosts := range sites {
		switch {
		case len(hosts) > 1 && all(hosts, p, now, silent) && !allExcused(hosts):
			put(siteSilent(at, hosts, now))
		case len(hosts) > 1 && all(hosts, p, now, overdue):
			// Some are silent and the rest are about to be: a moment's wait tells one host from the whole site.
		default:
			for _, l := range hosts {
				if silent(l, p, now) {
					put(hostSilent(l, now))
				}
			}
		}
	}
	return out
}

func silent(l Life, p Patience, now time.Time) bool { return now.Sub(l.Heard) > p.Of(l) }

// overdue is a host that missed a report, or was not heard since the start, but may yet be heard in time; an excused one is
// not waited for.
func overdue(l Life, p Patience, now time.Time) bool {
	return !excused(l) && (l.Word == Start || now.Sub(l.Heard) > l.Interval+l.Interval/2)
}

func all(lives []Life, p Patience, now time.Time, is func(Life, Patience, time.Time) bool) bool {
	for _, l := range lives {
		if !is(l, p, now) {
			return false
		}
	}
	return len(lives) > 0
}

// excused is a host whose silence has a cause of its own.
func excused(l Life) bool { return l.Goodbye != "" || l.Word == Enrolment }

func allExcused(lives []Life) bool {
	for _, l := range lives {
		if !excused(l) {
			return false
		}
	}
	return true
}

func hostSilent(l Life, now time.Time) rules.Alert {
	on := func(service, system string) map[string]string {
		return map[string]string{"instance": l.Asset, "customer": l.Customer, "site": l.Site, "service": service, "system": system}
	}
	switch {
	case l.Goodbye != "":
		return alert(AgentStopped, Warning, l.Heard, now, on("agent", "monitoring"),
			fmt.Sprintf("The agent on %s stopped and has not come back", l.Asset),
			fmt.Sprintf("Its last report, at %s, said goodbye: %s. Nobody watches %s since.", clock(l.Heard), l.Goodbye, l.Asset),
			"Is the host up? If it is, start the agent (systemctl start watchbill-agent). If it was taken out of service, revoke the agent.")
	case l.Word == Enrolment:
		return alert(AgentNotSeen, Warning, l.Heard, now, on("agent", "monitoring"),
			fmt.Sprintf("The agent on %s enrolled but never reported", l.Asset),
			fmt.Sprintf("It enrolled at %s and not one report has come. %s is not watched.", clock(l.Heard), l.Asset),
			"Was the agent started (systemctl status watchbill-agent)? Its log says what keeps it. If it is not wanted, revoke it.")
	case l.Word == Start:
		return alert(HostSilent, Critical, l.Heard, now, on("availability", "server"),
			fmt.Sprintf("%s is silent", l.Asset),
			fmt.Sprintf("No report has come since the collector started at %s; when it last reported before that is not known. The agent, the host or the line to it is down.", clock(l.Heard)),
			silentChecks)
	}
	return alert(HostSilent, Critical, l.Heard, now, on("availability", "server"),
		fmt.Sprintf("%s is silent", l.Asset),
		fmt.Sprintf("The last report came at %s; one is due every %s. The agent, the host or the line to it is down, without a goodbye.", clock(l.Heard), l.Interval),
		silentChecks)
}

const silentChecks = "Ping the host. Look at its console. If it is up: systemctl status watchbill-agent, journalctl -u watchbill-agent."

func siteSilent(at place, hosts []Life, now time.Time) rules.Alert {
	return alert(SiteSilent, Critical, newest(hosts), now, map[string]string{
		"customer": at.customer, "site": at.site, "service": "availability", "system": "client-network",
	}, fmt.Sprintf("All %d hosts at site %s are silent", len(hosts), at.site),
		fmt.Sprintf("The last report from the site came at %s. One cause is likelier than %d: its line, its firewall or its power.", clock(newest(hosts)), len(hosts)),
		"Is the site's line up (provider's status, ping of its router)? Can anybody there be reached by telephone?")
}

func blind(lives []Life, now time.Time) rules.Alert {
	return alert(CollectorBlind, Critical, newest(lives), now, map[string]string{
		"service": "availability", "system": "monitoring",
	}, fmt.Sprintf("Nothing is heard from any of %d hosts", len(lives)),
		fmt.Sprintf("The last report came at %s. The collector or its own network is the likely cause.", clock(newest(lives))),
		"Can agents reach the collector's address? Look at its network, firewall and the log of `watchbill serve`.")
}

func newest(lives []Life) time.Time {
	var t time.Time
	for _, l := range lives {
		if l.Heard.After(t) {
			t = l.Heard
		}
	}
	return t
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") + " UTC" }

func alert(name string, sev Severity, since, now time.Time, lbls map[string]string, summary, description, checks string) rules.Alert {
	b := labels.NewBuilder(labels.FromMap(lbls))
	b.Set(labels.AlertName, name).Set("severity", string(sev))
	return rules.Alert{
		Labels:      b.Labels(),
		Annotations: labels.FromStrings("summary", summary, "description", description, "first_checks", checks),
		State:       rules.Firing, Value: rules.Value(now.Sub(since).Seconds()),
		FirstBadAt: since, ActiveAt: now, FiredAt: now,
	}
}
