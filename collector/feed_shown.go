package collector

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// alertmanager answers Alertmanager's API v2.
func (c *Collector) alertmanager() http.Handler {
	build := api.ReadBuild()
	return ingest.NewFeedHandler(ingest.FeedOptions{
		Feed: shownFeed{c.feed, c}, Config: func() ingest.FeedConfig { return c.feed.terms.Load().FeedConfig },
		Version: build.Version, Revision: build.Revision, GoVersion: runtime.Version(),
		Started: c.started, Now: func() time.Time { return c.now() }, Logger: c.log.With("part", "feed"),
	})
}

// shownFeed shows the alerts of the house beside those of others.
type shownFeed struct {
	*feed
	c *Collector
}

// Standing implements ingest.Feed: every alert that fires and whose customer exists for who asks. Those of other programs
// have the labels that they were sent with; those of the house an end that moves ahead of them, as Prometheus gives its own.
func (s shownFeed) Standing(_ context.Context, who fleet.Operator, known bool) ([]ingest.FedStanding, error) {
	now, told := s.now(), func(all []incident.MutedBy) []incident.MutedBy { return all }
	if known {
		told = s.c.api.MutedFor(who)
	}
	sent := map[string]*fed{}
	for _, one := range s.standing() {
		sent[one.Origin.ID] = one
	}
	var out []ingest.FedStanding
	for _, st := range s.c.evaluator.Alerts() {
		if st.Alert.State != rules.Firing {
			continue
		}
		a := s.alertOf(rules.Transition{Origin: st.Origin, Alert: st.Alert})
		if known && !s.c.fleet.Sees(who, a.Customer) {
			continue
		}
		row := ingest.FedStanding{Group: groupOf(a)}
		if one := sent[st.Origin.ID]; one != nil {
			row.FedAlert = one.FedAlert
		} else {
			row.FedAlert = ingest.FedAlert{Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.FiredAt, UpdatedAt: now}
		}
		if row.EndsAt.IsZero() {
			row.EndsAt = now.Add(s.terms.Load().FeedTerms.ResolveTimeout)
		}
		if known && !who.May(fleet.MaySeeInternal) { // how things are found is the house's
			row.Labels, row.Annotations, row.Generator = outsideLabels(a), map[string]string{}, ""
		}
		if s.suppressed != nil {
			row.SilencedBy, row.MutedBy = suppressors(told(s.suppressed(a)))
		}
		out = append(out, row)
	}
	return out, nil
}

// suppressors are the IDs of silences and the names of all else that holds back the ticket of an alert.
func suppressors(all []incident.MutedBy) (silencedBy, mutedBy []string) {
	for _, by := range all {
		if by.ID != "" {
			silencedBy = append(silencedBy, by.ID)
		} else {
			mutedBy = append(mutedBy, by.Name)
		}
	}
	return silencedBy, mutedBy
}

// groupOf are the labels of the group that an alert is shown in: its incident.
func groupOf(a incident.Alert) map[string]string {
	out := map[string]string{"customer": a.Customer, "service": incident.KeyOf(a).Service}
	switch {
	case a.Asset != "":
		out["instance"] = a.Asset
	case a.Site != "":
		out["site"] = a.Site
	case a.Fed():
		out[model.AlertNameLabel] = a.Name
	}
	return out
}

// outsideLabels are what who is not of the house sees of an alert: what it is about.
func outsideLabels(a incident.Alert) map[string]string {
	out := map[string]string{model.AlertNameLabel: "alert", "severity": string(a.Severity), "customer": a.Customer}
	for k, v := range map[string]string{"instance": a.Asset, "site": a.Site, "service": a.Service} {
		if v != "" {
			out[k] = v
		}
	}
	return out
}

// fedEntries are the lines of evidence that only an alert of another program has: who sent it, where it comes from, what it is
// known by there, and what the mapping did not find.
func fedEntries(a incident.Alert) []ticket.Entry {
	if !a.Fed() {
		return nil
	}
	var out []ticket.Entry
	add := func(format string, args ...any) {
		out = append(out, ticket.Entry{Text: fmt.Sprintf(format, args...), Source: a.Source, At: a.FiredAt})
	}
	for _, name := range []string{"message", "runbook", "runbook_url", "dashboard_url"} {
		if v := a.Annotations[name]; v != "" {
			add("%s: %s", strings.ReplaceAll(name, "_", " "), v)
		}
	}
	if v := a.Annotations[generatorAnnotation]; v != "" {
		add("where it comes from: %s", v)
	}
	var lbls []string
	for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
		lbls = append(lbls, fmt.Sprintf("%s=%q", k, a.Labels[k]))
	}
	add("%s has the labels %s; its sender gave no value", a.Name, strings.Join(lbls, ", "))
	if v := a.Annotations[ingest.Truncated]; v != "" {
		add("%s", v)
	}
	return out
}

// unmapped are the lines about what the mapping of an alert did not find.
func unmapped(a incident.Alert) []ticket.Entry {
	why := a.Annotations[mappingAnnotation]
	if !a.Fed() || why == "" {
		return nil
	}
	return []ticket.Entry{{Text: why, Source: "feed.mappings", At: a.FiredAt}}
}
