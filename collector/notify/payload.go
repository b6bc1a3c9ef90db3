package notify

import (
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/collector/outbox"
)

// payload is Alertmanager's webhook message, version 4
// (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config), with ticket and notice in addition, so
// that what understands Alertmanager understands this.
type payload struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            string            `json:"status"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []payloadAlert    `json:"alerts"`
	Ticket            Ticket            `json:"ticket"`
	Notice            payloadNotice     `json:"notice"`
}

type payloadAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"` // the year 1 while firing, as Alertmanager has it
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

type payloadNotice struct {
	ID   string    `json:"id"`
	What string    `json:"what"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

const (
	firing   = "firing"
	resolved = "resolved"
)

func payloadOf(receiver, externalURL string, m outbox.Message, n Notice, maxAlerts int) payload {
	p := payload{
		Version:     "4",
		GroupKey:    "watchbill/ticket/" + n.Ticket.ID,
		Status:      statusOf(n),
		Receiver:    receiver,
		GroupLabels: groupLabels(n.Ticket),
		ExternalURL: externalURL,
		Alerts:      []payloadAlert{},
		Ticket:      n.Ticket,
		Notice:      payloadNotice{ID: m.ID, What: n.What, Text: n.Text, At: n.At},
	}
	alerts := slices.Clone(n.Alerts)
	slices.SortStableFunc(alerts, func(a, b Alert) int {
		switch {
		case a.Firing() == b.Firing():
			return b.StartsAt.Compare(a.StartsAt)
		case a.Firing():
			return -1
		}
		return 1
	})
	if len(alerts) > maxAlerts {
		p.TruncatedAlerts = len(alerts) - maxAlerts
		alerts = alerts[:maxAlerts]
	}
	p.TruncatedAlerts += n.More
	for _, a := range alerts {
		p.Alerts = append(p.Alerts, payloadAlertOf(a))
	}
	p.CommonLabels = common(alerts, func(a Alert) map[string]string { return a.Labels })
	p.CommonAnnotations = common(alerts, func(a Alert) map[string]string { return a.Annotations })
	return p
}

// statusOf follows the alerts, as receivers made for Alertmanager expect; ticket.state says where the ticket stands. A
// ticket without alerts fires until it is resolved.
func statusOf(n Notice) string {
	switch {
	case slices.ContainsFunc(n.Alerts, Alert.Firing), n.More > 0:
		return firing
	case len(n.Alerts) > 0, n.Ticket.State == "resolved", n.Ticket.State == "closed":
		return resolved
	}
	return firing
}

// groupLabels are the labels that the alerts of one incident share by its key.
func groupLabels(t Ticket) map[string]string {
	g := map[string]string{}
	for name, value := range map[string]string{"customer": t.Customer, "instance": t.Asset, "service": t.Service} {
		if value != "" {
			g[name] = value
		}
	}
	return g
}

func payloadAlertOf(a Alert) payloadAlert {
	set := make(model.LabelSet, len(a.Labels))
	for name, value := range a.Labels {
		set[model.LabelName(name)] = model.LabelValue(value)
	}
	p := payloadAlert{
		Status: firing, Labels: notNil(a.Labels), Annotations: notNil(a.Annotations),
		StartsAt: a.StartsAt, EndsAt: a.EndsAt, GeneratorURL: a.GeneratorURL,
		// Alertmanager's own way to name an alert, so that the same alert has the same name from either.
		Fingerprint: set.Fingerprint().String(),
	}
	if !a.Firing() {
		p.Status = resolved
	}
	return p
}

func notNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// common is what all alerts have alike.
func common(alerts []Alert, of func(Alert) map[string]string) map[string]string {
	c := map[string]string{}
	if len(alerts) == 0 {
		return c
	}
	for name, value := range of(alerts[0]) {
		differs := func(a Alert) bool {
			v, ok := of(a)[name]
			return !ok || v != value
		}
		if !slices.ContainsFunc(alerts, differs) {
			c[name] = value
		}
	}
	return c
}
