package incident

import (
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
)

// UnseenService is the service of the incident that holds what happened while an asset could not be seen. It is the
// house's own: an alert of a rule never gets it.
const UnseenService = "unseen"

// unseen is the name of both alerts of a time that nobody saw: Gap while it is being judged, Unseen for the ticket.
const unseen = "Unseen"

// UnseenOrigin is the rule that Gap comes from.
func UnseenOrigin() rules.Origin { return rules.Origin{ID: "unseen", Group: "watchbill", Name: unseen} }

// Gap is the alert that stands while late reports of an asset are judged. It opens no ticket: it is kept so that a
// restart knows that reports since then were acknowledged, and not judged.
func Gap(asset, customer, site string, since, now time.Time) rules.Alert {
	a := alert(unseen, Info, since, now, map[string]string{
		"instance": asset, "customer": customer, "site": site, "service": UnseenService, "system": "monitoring",
	}, fmt.Sprintf("Late reports of %s are being judged", asset),
		fmt.Sprintf("They are about the time since %s, when %s could not be seen. What came and went in that time becomes one ticket.", since.UTC().Format(time.DateTime), asset),
		"Nothing: this ends by itself.")
	a.FirstBadAt, a.ActiveAt = since, since
	return a
}

// GapID is the identity of an asset's Gap.
func GapID(asset, customer, site string) string {
	return rules.AlertID(UnseenOrigin().ID, Gap(asset, customer, site, time.Time{}, time.Time{}).Labels)
}

// IsGap tells whether an alert's origin is that of Gap.
func IsGap(o rules.Origin) bool { return o.ID == UnseenOrigin().ID }

// Missed is what a ticket is told about one time that nobody saw.
type Missed struct {
	Asset, Customer, Site string
	// From and To are the first and the last report about it.
	From, To time.Time
	// Alerts is how many came and went. Unjudged says why not all could be judged, empty when they were.
	Alerts   int
	Unjudged string
}

// Unseen is the alert that brings m to the ticket of its incident: over already, about the past, and for nobody's pager.
func Unseen(m Missed) Alert {
	lbls := map[string]string{
		labels.AlertName: unseen, "instance": m.Asset, "customer": m.Customer, "site": m.Site, "severity": string(Info),
		"service": UnseenService, "system": "monitoring",
	}
	what := fmt.Sprintf("%d alerts came and went", m.Alerts)
	if m.Alerts == 1 {
		what = "one alert came and went"
	}
	if m.Unjudged != "" {
		what += "; not all could be judged: " + m.Unjudged
	}
	return Alert{
		ID: fmt.Sprintf("%s-%d", GapID(m.Asset, m.Customer, m.Site), m.From.UnixMilli()), Name: unseen, Source: ours,
		Severity: Info, Service: UnseenService, System: "monitoring", Customer: m.Customer, Site: m.Site, Asset: m.Asset,
		Labels: lbls, Value: rules.Value(m.Alerts),
		Annotations: map[string]string{
			"summary": "While we could not see " + m.Asset,
			"description": fmt.Sprintf("Between %s and %s UTC nobody could see %s: %s.", m.From.UTC().Format(time.DateTime),
				m.To.UTC().Format(time.DateTime), m.Asset, what),
			"first_checks": "Read what came and went. Ask the host's users whether they noticed. Nothing of this fires now, what does has a ticket of its own.",
		},
		FirstBadAt: m.From, ActiveAt: m.From, FiredAt: m.From, EndedAt: m.To, End: Recovered,
	}
}

// Quiet tells whether an alert's incident pages nobody.
func Quiet(a Alert) bool { return a.Source == ours && a.Name == unseen }
