package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// FeedError is why a body, or a part of it, is not taken. Its text is the answer.
type FeedError struct {
	// Status is the HTTP status it travels with.
	Status int
	Text   string
}

// Error is the text.
func (e *FeedError) Error() string { return e.Text }

// stamp is a time as senders write it: RFC 3339; empty or null is none.
type stamp struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (s *stamp) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil || text == "" {
		return err
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("parsing datetime %.40q: want RFC 3339", text)
	}
	if t.Year() > 1 { // Go's zero time is how programs write none
		s.Time = t.UTC()
	}
	return nil
}

// postableAlert is Alertmanager's, of its API v2; of the webhook with a status.
type postableAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     stamp             `json:"startsAt"`
	EndsAt       stamp             `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
}

func (p postableAlert) alert() FedAlert {
	return FedAlert{Labels: p.Labels, Annotations: p.Annotations, StartsAt: p.StartsAt.Time, EndsAt: p.EndsAt.Time,
		Generator: p.GeneratorURL}
}

// Batch is what one body says.
type Batch struct {
	// Request is what brought it, one of the words below; ReceivedAt when that began to be read.
	Request    string
	ReceivedAt time.Time
	Alerts     []FedAlert
	// Invalid are faults of single alerts; the others are taken.
	Invalid []error
	// Truncated is how many alerts the sender left out of the body.
	Truncated int
}

// What brings alerts, as the metric names it.
const (
	FedByAlerts  = "alerts"
	FedByWebhook = "webhook"
)

// invalidTold bounds the faults that an answer tells.
const invalidTold = 20

// add takes in one alert, or its fault.
func (b *Batch) add(a FedAlert, err error) {
	if err == nil {
		b.Alerts = append(b.Alerts, a)
		return
	}
	b.Invalid = append(b.Invalid, err)
}

// Fault is the answer about the alerts that are not taken; nil when there are none.
func (b *Batch) Fault() error {
	if len(b.Invalid) == 0 {
		return nil
	}
	told := b.Invalid[:min(len(b.Invalid), invalidTold)]
	if more := len(b.Invalid) - len(told); more > 0 {
		told = append(told[:len(told):len(told)], fmt.Errorf("and %d more", more))
	}
	return &FeedError{400, errors.Join(told...).Error()}
}

// DecodeAlerts reads the body of POST /api/v2/alerts: at most `most` alerts.
func (t FeedTerms) DecodeAlerts(body []byte, most int, now time.Time) (Batch, error) {
	var b Batch
	dec := json.NewDecoder(bytes.NewReader(body))
	if string(bytes.TrimSpace(body)) == "null" { // how Go programs write an empty list
		return b, nil
	}
	if tok, err := dec.Token(); err != nil || tok != json.Delim('[') {
		return b, &FeedError{400, "parsing alerts body failed: want a JSON array of alerts"}
	}
	for n := 0; dec.More(); n++ {
		if n >= most {
			return Batch{}, tooMany(most)
		}
		var p postableAlert
		if err := dec.Decode(&p); err != nil {
			return Batch{}, &FeedError{400, fmt.Sprintf("parsing alerts body failed: alert %d: %v", n+1, err)}
		}
		a := p.alert()
		if a.EndsAt.IsZero() {
			a.Guessed = true
		}
		a, err := t.settle(a, now)
		if err == nil && a.EndsAt.IsZero() {
			a.EndsAt = now.Add(t.ResolveTimeout)
		}
		if err != nil {
			err = fmt.Errorf("alert %d: %w", n+1, err)
		}
		b.add(a, err)
	}
	if _, err := dec.Token(); err != nil {
		return Batch{}, &FeedError{400, "parsing alerts body failed: the array does not end"}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Batch{}, &FeedError{400, "parsing alerts body failed: something follows the array"}
	}
	return b, nil
}

func tooMany(most int) error {
	return &FeedError{413, fmt.Sprintf("more than %d alerts in one request: send them in several, or raise feed.alerts_per_request", most)}
}

// webhook is Alertmanager's webhook, version 4; Grafana writes it as version 1.
type webhook struct {
	Version   string          `json:"version"`
	GroupKey  string          `json:"groupKey"`
	Truncated int             `json:"truncatedAlerts"`
	Alerts    []postableAlert `json:"alerts"`
}

// DecodeWebhook reads the body of POST /api/v2/webhook: Alertmanager's webhook v4, and what Grafana makes of it. What fires
// there has no end: it fires until it is said to be resolved, or for WebhookLapse.
func (t FeedTerms) DecodeWebhook(body []byte, most int, now time.Time) (Batch, error) {
	var w webhook
	if err := json.Unmarshal(body, &w); err != nil {
		return Batch{}, &FeedError{400, fmt.Sprintf("parsing webhook body failed: %v", err)}
	}
	switch {
	case w.Version != "4" && w.Version != "1":
		return Batch{}, &FeedError{400, fmt.Sprintf("parsing webhook body failed: version %.20q: want Alertmanager's version 4", w.Version)}
	case len(w.Alerts) > most:
		return Batch{}, tooMany(most)
	case w.Truncated < 0:
		w.Truncated = 0
	}
	b := Batch{Truncated: w.Truncated}
	for i, p := range w.Alerts {
		a, err := t.webhookAlert(p, now)
		if err == nil && w.Truncated > 0 {
			a.Annotations[Truncated] = fmt.Sprintf("%d more alerts of this group were left out by the sender", w.Truncated)
		}
		if err != nil {
			err = fmt.Errorf("alert %d: %w", i+1, err)
		}
		b.add(a, err)
	}
	return b, nil
}

// Truncated is the annotation that says how many alerts of its group the sender left out.
const Truncated = "truncated_alerts"

func (t FeedTerms) webhookAlert(p postableAlert, now time.Time) (FedAlert, error) {
	a := p.alert()
	switch p.Status {
	case "firing":
		a.EndsAt = time.Time{}
		a.Guessed = true
	case "resolved":
		if a.EndsAt.IsZero() || a.EndsAt.After(now) { // it says so, whatever its clock shows
			a.EndsAt = now
		}
		if a.StartsAt.After(a.EndsAt) {
			a.StartsAt = a.EndsAt
		}
	default:
		return a, fmt.Errorf("status %.20q: want firing or resolved", p.Status)
	}
	a, err := t.settle(a, now)
	if err == nil && a.EndsAt.IsZero() && t.WebhookLapse > 0 {
		a.EndsAt = now.Add(t.WebhookLapse)
	}
	return a, err
}
