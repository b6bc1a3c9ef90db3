package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
)

func hostSilent(l Life, now time.Time) rules.Alert {
	on := func(service, system string) map[string]string {
		return map[string]string{"instance": l.Asset, "customer": l.Customer, "site": l.Site, "service": service, "system": system}
	}
	last, reported := l.Last()
	switch {
	case l.Goodbye != "":
		said := fmt.Sprintf("Its last report, at %s, said goodbye: %s.", clock(last), l.Goodbye)
		if !reported {
			said = fmt.Sprintf("It said goodbye: %s.", l.Goodbye)
		}
		return alert(AgentStopped, Warning, last, now, on("agent", "monitoring"),
			fmt.Sprintf("The agent on %s stopped and has not come back", l.Asset),
			fmt.Sprintf("%s Nobody watches %s since.", said, l.Asset), stoppedChecks)
	case l.Word == Enrolment:
		return alert(AgentNotSeen, Warning, l.Heard, now, on("agent", "monitoring"),
			fmt.Sprintf("The agent on %s enrolled but never reported", l.Asset),
			fmt.Sprintf("It enrolled at %s and not one report has come. %s is not watched.", clock(l.Heard), l.Asset),
			"Was the agent started (systemctl status watchbill-agent)? Its log says what keeps it. If it is not wanted, revoke it.")
	}
	said := fmt.Sprintf("The last report came at %s; one is due every %s. There was no goodbye.", clock(l.Heard), l.Interval)
	if l.Word == Start {
		said = fmt.Sprintf("No report has come since the collector started at %s; ", clock(l.Heard))
		if reported {
			said += fmt.Sprintf("before that the last one that is known of came at %s.", last.UTC().Format("2006-01-02 15:04:05 UTC"))
		} else {
			said += "when it last reported before that is not known."
		}
	}
	return alert(HostSilent, Critical, last, now, on(Availability, "server"),
		fmt.Sprintf("%s is silent", l.Asset), said+undecided, silentChecks)
}

// undecided is what is said of a silent host as long as nobody has an answer from it, or none; see Inquiry.Found.
const undecided = " The agent, the host or the line to it is down."

const stoppedChecks = "Is the host up? If it is, start the agent (systemctl start watchbill-agent). If it was taken out of service, revoke the agent."

const silentChecks = "Ping the host. Look at its console. If it is up: systemctl status watchbill-agent, journalctl -u watchbill-agent."

func siteSilent(at place, g group, now time.Time) rules.Alert {
	n := len(g.silent)
	since, reported := newest(g.silent)
	summary := fmt.Sprintf("All %d hosts at site %s are silent", n, at.site)
	likely := "its line, its firewall or its power"
	if n < g.total {
		summary = fmt.Sprintf("%d of %d hosts at site %s are silent", n, g.total, at.site)
		likely = "a switch, a virtualisation host or a part of its network"
	}
	said := fmt.Sprintf("Silent: %s. %s One cause is likelier than %d: %s.",
		names(g.silent), lastOfAll(since, reported), n, likely)
	if g.before > 0 {
		said += fmt.Sprintf(" %d more had been silent for long before.", g.before)
	}
	return alert(SiteSilent, Critical, since, now, map[string]string{
		"customer": at.customer, "site": at.site, "service": Availability, "system": "client-network",
	}, summary, said,
		"Is the site's line up (provider's status, ping of its router)? Can anybody there be reached by telephone?")
}

// maxNames bounds the hosts that a text names.
const maxNames = 20

// names are those of hosts in a text, in order.
func names(hosts []Life) string {
	all := make([]string, 0, len(hosts))
	for _, l := range hosts {
		all = append(all, l.Asset)
	}
	slices.Sort(all)
	if more := len(all) - maxNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:maxNames], ", "), more)
	}
	return strings.Join(all, ", ")
}

func blind(lives []Life, now time.Time) rules.Alert {
	since, reported := newest(lives)
	return alert(CollectorBlind, Critical, since, now, map[string]string{
		"service": Availability, "system": "monitoring",
	}, fmt.Sprintf("Nothing is heard from any of %d hosts", len(lives)),
		lastOfAll(since, reported)+" The collector or its own network is the likely cause.",
		"Can agents reach the collector's address? Look at its network, firewall and the log of `watchbill serve`.")
}

// newest is when the last report of several hosts came, as far as that is known, else since when they were waited for.
func newest(lives []Life) (t time.Time, reported bool) {
	for _, l := range lives {
		switch at, did := l.Last(); {
		case did && !reported:
			t, reported = at, true
		case did == reported && at.After(t):
			t = at
		}
	}
	return t, reported
}

func lastOfAll(since time.Time, reported bool) string {
	if !reported {
		return fmt.Sprintf("No report of them has come since %s.", clock(since))
	}
	return fmt.Sprintf("The last report of them came at %s.", clock(since))
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
