package ingest

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/prometheus/common/model"
)

// FedAlert is an alert that another program sent, made harmless: names and texts are clean, and within bounds.
type FedAlert struct {
	// Labels are what it is known by, without those that tell one of a pair of senders from the other.
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"starts_at"`
	// EndsAt is until when it fires unless it is sent again; past: it is over. Zero: until it is said to be over.
	EndsAt time.Time `json:"ends_at,omitzero"`
	// Ending is when it is over as its sender says, by a clock that is ahead, unless another message comes before. Zero: nobody
	// said so.
	Ending time.Time `json:"ending,omitzero"`
	// Guessed: its sender gave no end, and EndsAt is the receiver's guess.
	Guessed   bool   `json:"guessed,omitempty"`
	Generator string `json:"generator,omitempty"`
	// UpdatedAt is when it was received.
	UpdatedAt time.Time `json:"updated_at"`
}

// Fingerprint is Alertmanager's: that of the labels.
func (a FedAlert) Fingerprint() model.Fingerprint { return labelSet(a.Labels).Fingerprint() }

// Name is the alert's name, "alert" for one that has none.
func (a FedAlert) Name() string {
	if n := a.Labels[model.AlertNameLabel]; n != "" {
		return n
	}
	return "alert"
}

// Over tells whether its end has come.
func (a FedAlert) Over(now time.Time) bool { return !a.EndsAt.IsZero() && !a.EndsAt.After(now) }

func labelSet(m map[string]string) model.LabelSet {
	out := make(model.LabelSet, len(m))
	for k, v := range m {
		out[model.LabelName(k)] = model.LabelValue(v)
	}
	return out
}

// Bounds of one alert. A label that is too long is a fault, for it is what the alert is known by; other texts are cut.
const (
	maxFedLabels     = 64
	maxFedName       = 256
	maxFedLabel      = 4 << 10
	maxFedAnnotation = 8 << 10
	maxFedURL        = 2 << 10
)

// FeedTerms is how alerts of others are taken. The zero value is not ready; see DefaultFeed.
type FeedTerms struct {
	// ResolveTimeout is how long an alert without an end fires unless it is sent again.
	ResolveTimeout time.Duration
	// WebhookLapse is the same for what Alertmanager's webhook brings; 0: until it says that it is over.
	WebhookLapse time.Duration
	// ClockSkew is how far a sender's clock may be from this one: see Merge.
	ClockSkew time.Duration
	// Drop are labels by which senders of a pair differ.
	Drop map[string]bool
}

// settle makes one alert harmless and gives it the times it lacks, as Alertmanager does. The error says what is wrong with
// it, in Alertmanager's words where it has some.
func (t FeedTerms) settle(a FedAlert, now time.Time) (FedAlert, error) {
	if len(a.Labels) > maxFedLabels || len(a.Annotations) > maxFedLabels {
		return a, fmt.Errorf("an alert has at most %d labels and %d annotations", maxFedLabels, maxFedLabels)
	}
	var err error
	if a.Labels, err = t.labels(a.Labels); err != nil {
		return a, err
	}
	a.Annotations = annotations(a.Annotations)
	a.Generator = cut(clean(a.Generator), maxFedURL)
	a.UpdatedAt = now
	if a.StartsAt.IsZero() {
		if a.StartsAt = now; !a.EndsAt.IsZero() {
			a.StartsAt = a.EndsAt
		}
	}
	if !a.EndsAt.IsZero() && a.EndsAt.Before(a.StartsAt) {
		return a, errors.New("start time must be before end time")
	}
	if a.StartsAt.After(now) { // its sender's clock is ahead
		a.StartsAt = now
	}
	return a, nil
}

// labels are those that an alert is known by.
func (t FeedTerms) labels(in map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(in))
	for k, v := range in {
		k, v = clean(k), clean(v)
		switch {
		case k == "" || k == model.MetricNameLabel:
			return nil, fmt.Errorf("invalid label set: invalid name %q", k)
		case len(k) > maxFedName || len(v) > maxFedLabel:
			return nil, fmt.Errorf("invalid label set: label %.40q has more than %d bytes", k, maxFedLabel)
		case v != "" && !t.Drop[k]: // an empty label is none
			out[k] = v
		}
	}
	if len(out) == 0 {
		return nil, errors.New("at least one label pair required")
	}
	return out, nil
}

func annotations(in map[string]string) map[string]string {
	out := make(map[string]string, len(in))
	for k, v := range in {
		if k = clean(k); k != "" && len(k) <= maxFedName {
			out[k] = cut(clean(v), maxFedAnnotation)
		}
	}
	return out
}

// cut shortens text to a number of bytes, between characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	most -= len("…")
	for most > 0 && s[most]&0xC0 == 0x80 {
		most--
	}
	return s[:most] + "…"
}

// End is what a message makes of an alert.
type FedVerdict int

// The verdicts.
const (
	// FedFires: it fires, or goes on firing.
	FedFires FedVerdict = iota
	// FedEnds: its sender says that it is over.
	FedEnds
	// FedStale: the message is of an earlier time than what stands, and changes nothing.
	FedStale
)

// Merge is what becomes of the alert that stands, when a message about it comes in at now: Alertmanager's rules of the
// provider's Put and Alert.Merge (the younger message's end holds, whether it says firing or resolved; an end that a sender
// gave beats an earlier one, one that the receiver guessed does not; the earliest start holds), with two deviations, both for
// senders whose clocks or messages are apart: a message of before the alert began (by more than ClockSkew) does not end it, and
// an end that was brought forward to less than ClockSkew from now is one when it comes: see Ending.
func (t FeedTerms) Merge(old, in FedAlert, now time.Time) (FedAlert, FedVerdict) {
	over := in.Over(now)
	if over && t.Before(in, old) {
		return old, FedStale
	}
	if old.StartsAt.Before(in.StartsAt) {
		in.StartsAt = old.StartsAt
	}
	if over {
		return in, FedEnds
	}
	in.Ending = t.ending(old, in, now)
	if !in.EndsAt.IsZero() && old.EndsAt.After(in.EndsAt) && (!old.Guessed || !in.Ending.IsZero()) {
		in.EndsAt = old.EndsAt
	}
	return in, FedFires
}

// ending is when an alert is over by a message whose end is to come; zero when the message says no such thing. Who resolves an
// alert gives it the end that their clock shows, and the same one again; who says that it fires gives a later one each time.
// Of a sender whose alerts fire for no longer than ClockSkew at a time the one cannot be told from the other: what it
// resolves is over when it says so once its end has passed.
func (t FeedTerms) ending(old, in FedAlert, now time.Time) time.Time {
	switch {
	case in.Guessed || in.EndsAt.IsZero() || old.EndsAt.IsZero():
	case !in.EndsAt.Before(old.EndsAt) || !in.EndsAt.Before(now.Add(t.ClockSkew)): // it fires on
	case old.EndsAt.Sub(old.UpdatedAt) <= t.ClockSkew:
	case !old.Ending.IsZero() && in.EndsAt.After(old.Ending): // the end moves: it was none
	default:
		return in.EndsAt
	}
	return time.Time{}
}

// Before tells whether an end is of a time before an alert began, however the clocks of those who said so differ.
func (t FeedTerms) Before(end, began FedAlert) bool {
	return end.EndsAt.Before(began.StartsAt.Add(-t.ClockSkew))
}

// Renewed is the alert with an end that counts from now, for one that was put back after a start: its sender could not be
// heard meanwhile, and has as long to come again as it had when the alert was kept.
func (a FedAlert) Renewed(t FeedTerms, now time.Time) FedAlert {
	if !a.EndsAt.IsZero() {
		a.EndsAt = now.Add(max(t.ResolveTimeout, a.EndsAt.Sub(a.UpdatedAt)))
	}
	if !a.Ending.IsZero() {
		a.Ending = now.Add(a.Ending.Sub(a.UpdatedAt))
	}
	a.Labels, a.Annotations = maps.Clone(a.Labels), maps.Clone(a.Annotations)
	return a
}
