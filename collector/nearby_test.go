package collector

import (
	"fmt"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/rules"
)

// standingAt makes what fires from incidents' alerts; alert finds them again by the rule's name.
func standingAt(alerts ...incident.Alert) ([]rules.Transition, func(rules.Transition) incident.Alert) {
	byID := map[string]incident.Alert{}
	var ts []rules.Transition
	for i := range alerts {
		alerts[i].ID = fmt.Sprint(i)
		byID[alerts[i].ID] = alerts[i]
		ts = append(ts, rules.Transition{Origin: rules.Origin{ID: alerts[i].ID}})
	}
	return ts, func(t rules.Transition) incident.Alert { return byID[t.Origin.ID] }
}

func TestNearby(t *testing.T) {
	at := func(customer, site, asset, name string) incident.Alert {
		return incident.Alert{Customer: customer, Site: site, Asset: asset, Name: name}
	}
	standing, alert := standingAt(
		at("acme", "york", "web1", "Full"), at("acme", "york", "web1", "Slow"), at("acme", "york", "db1", "Down"),
		at("acme", "york", "", "SiteSilent"), at("acme", "leeds", "web2", "Full"), at("other", "york", "web9", "Full"),
		at("acme", "", "", "Odd"),
		at("acme", "hull", "pod1", "Crash"), at("acme", "hull", "pod2", "Crash"), at("acme", "hull", "pod1", "Crash"),
		at("acme", "hull", "pod1", "Slow"), at("acme", "hull", "pod1", "Crash"), at("acme", "hull", "", "Slow"),
		at("acme", "hull", "", "Slow"),
	)
	n := newNearby(standing, alert)
	n.add(alert(standing[8])) // one that was held back stands before it comes
	for name, c := range map[string]struct {
		of   int
		want string
	}{
		"an asset's":           {0, "on this asset: Slow; at this site: db1 Down, the site SiteSilent"},
		"a site's":             {3, "at this site: web1 Full, web1 Slow, db1 Down"},
		"alone at its site":    {4, ""},
		"another customer's":   {5, ""},
		"of no site, no asset": {6, ""},
		"one of several":       {7, "on this asset: Crash (2), Slow; at this site: pod2 Crash, the site Slow (2)"},
		"beside several":       {8, "at this site: pod1 Crash (3), pod1 Slow, the site Slow (2)"},
		"several at a site":    {13, "at this site: pod1 Crash (3), pod2 Crash, pod1 Slow, the site Slow"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := n.said(alert(standing[c.of])); got != c.want {
				t.Errorf("said %q, want %q", got, c.want)
			}
		})
	}
}

// Ten thousand hosts of one site fall silent at once: each alert's evidence counts the others and names a few of them,
// and what fires is looked through once, not once for each.
func TestNearbyInAStorm(t *testing.T) {
	const n = 10_000
	var alerts []incident.Alert
	for i := range n {
		// Two of the first, which is no more left unnamed for that.
		alerts = append(alerts, incident.Alert{Customer: "acme", Site: "york", Asset: fmt.Sprintf("web%d", max(0, i-1)), Name: "HostSilent"})
	}
	standing, alert := standingAt(alerts...)
	seen := 0
	around := newNearby(standing, func(t rules.Transition) incident.Alert { seen++; return alert(t) })
	want := "at this site: "
	for i := range maxElse {
		want += fmt.Sprintf("web%d HostSilent, ", i)
	}
	want = strings.Replace(want, "web0 HostSilent", "web0 HostSilent (2)", 1)
	want = want[:len(want)-2] + fmt.Sprintf(" and %d more", n-1-1-maxElse)
	for i := n - 100; i < n; i++ {
		if got := around.said(alerts[i]); got != want {
			t.Fatalf("said %q, want %q", got, want)
		}
	}
	if seen != n {
		t.Errorf("%d alerts were looked at, want each once", seen)
	}
}
