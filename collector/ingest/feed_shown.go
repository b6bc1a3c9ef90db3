package ingest

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// gettableAlert is Alertmanager's, of its OpenAPI v2.
type gettableAlert struct {
	Annotations  map[string]string   `json:"annotations"`
	EndsAt       string              `json:"endsAt"`
	Fingerprint  string              `json:"fingerprint"`
	Receivers    []receiverReference `json:"receivers"`
	StartsAt     string              `json:"startsAt"`
	Status       alertStatus         `json:"status"`
	UpdatedAt    string              `json:"updatedAt"`
	GeneratorURL string              `json:"generatorURL,omitempty"`
	Labels       map[string]string   `json:"labels"`
}

type receiverReference struct {
	Name string `json:"name"`
}

type alertStatus struct {
	InhibitedBy []string `json:"inhibitedBy"`
	MutedBy     []string `json:"mutedBy"`
	SilencedBy  []string `json:"silencedBy"`
	// State is active or suppressed: nothing is unprocessed here.
	State string `json:"state"`
}

// alertGroup is Alertmanager's: the alerts of one incident.
type alertGroup struct {
	Alerts   []gettableAlert   `json:"alerts"`
	Labels   map[string]string `json:"labels"`
	Receiver receiverReference `json:"receiver"`
}

// dateTime is a time as Alertmanager's API writes it.
func dateTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

func gettable(a FedStanding) gettableAlert {
	state := "active"
	if len(a.SilencedBy) > 0 || len(a.MutedBy) > 0 {
		state = "suppressed"
	}
	return gettableAlert{
		Annotations: orNone(a.Annotations), Labels: orNone(a.Labels), Fingerprint: a.Fingerprint().String(),
		StartsAt: dateTime(a.StartsAt), EndsAt: dateTime(a.EndsAt), UpdatedAt: dateTime(a.UpdatedAt), GeneratorURL: a.Generator,
		Receivers: []receiverReference{{FedReceiver}},
		Status:    alertStatus{InhibitedBy: []string{}, MutedBy: listed(a.MutedBy), SilencedBy: listed(a.SilencedBy), State: state},
	}
}

func orNone(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func listed(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// gettables are alerts by fingerprint.
func gettables(all []FedStanding) []gettableAlert {
	out := make([]gettableAlert, 0, len(all))
	for _, a := range all {
		out = append(out, gettable(a))
	}
	slices.SortStableFunc(out, func(a, b gettableAlert) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	return out
}

// groups are the alerts by incident.
func (h *feedHandler) groups(r *http.Request) (any, error) {
	found, l, err := h.found(r)
	if err != nil {
		return nil, err
	}
	by := map[string][]FedStanding{}
	for _, a := range found {
		if !l.muted && len(a.MutedBy) > 0 {
			continue
		}
		key := ""
		for _, k := range slices.Sorted(maps.Keys(a.Group)) {
			key += k + "\x00" + a.Group[k] + "\x00"
		}
		by[key] = append(by[key], a)
	}
	out := make([]alertGroup, 0, len(by))
	for _, key := range slices.Sorted(maps.Keys(by)) {
		of := by[key]
		out = append(out, alertGroup{Alerts: gettables(of), Labels: orNone(of[0].Group), Receiver: receiverReference{FedReceiver}})
	}
	return out, nil
}
