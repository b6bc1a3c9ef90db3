package collector

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/rules"
)

// The outcomes of an alert that was received, as the metric names them.
const (
	fedOpened    = "opened"
	fedRefreshed = "refreshed"
	fedResolved  = "resolved"
	fedNotKnown  = "resolved_unknown"
	fedStale     = "stale"
	fedOwn       = "own"
	fedInvalid   = "invalid"
	fedTooMany   = "over_limit"
)

// Take implements ingest.Feed: when it returns nil all of the batch is durable. Of a batch that fails in the middle the
// portions before it are; its sender sends it again.
func (f *feed) Take(ctx context.Context, sender string, b ingest.Batch) error {
	now := f.now()
	f.metrics.heard(sender, now)
	f.metrics.count(sender, fedInvalid, len(b.Invalid))
	f.metrics.truncated(sender, b.Truncated)
	if b.Truncated > 0 {
		f.log.Warn("a webhook leaves out alerts: raise max_alerts of its receiver", "sender", sender, "left_out", b.Truncated)
	}
	if len(b.Alerts) == 0 {
		return nil
	}
	if err := f.enter(ctx); err != nil {
		return err
	}
	defer f.leave()
	t := f.terms.Load()
	d, refused, changed := f.draft(), 0, false
	for portion := range slices.Chunk(b.Alerts, fedTogether) {
		for _, in := range portion {
			d.take(t, in, sender, now)
		}
		changed = changed || len(d.ts) > 0
		if err := d.commit(ctx, now); err != nil {
			return err
		}
		refused += d.count[fedTooMany]
		for outcome, n := range d.count {
			f.metrics.count(sender, outcome, n)
		}
		clear(d.count)
	}
	f.metrics.took(b, changed, f.now())
	if n := refused; n > 0 {
		return &ingest.FeedError{Status: 429, Text: fmt.Sprintf(
			"%d alerts were not taken: %d stand already; raise feed.max_alerts, or send fewer", n, d.stands)}
	}
	return nil
}

// take is what one alert that came in changes.
func (d *draft) take(t *feedTerms, in ingest.FedAlert, sender string, now time.Time) {
	if t.ours(in.Labels) { // on its way back from an Alertmanager: a ticket about a ticket
		d.count[fedOwn]++
		return
	}
	fp := in.Fingerprint()
	was := d.of(fp)
	switch {
	case was == nil && in.Over(now):
		d.count[fedNotKnown]++
	case was == nil, !was.fires() && !in.Over(now):
		if d.stands >= t.MaxAlerts {
			d.count[fedTooMany]++
			return
		}
		d.begin(t, fp, was, in, sender, now)
	case !was.fires(): // it lapsed, and now it is said to be over
		if t.Before(in, was.FedAlert) {
			d.count[fedStale]++
			return
		}
		d.end(fp, was, rules.Inactive, incident.Recovered, now)
		d.count[fedResolved]++
	default:
		d.merge(t, fp, was, in, sender, now)
	}
}

// begin lets an alert fire.
func (d *draft) begin(t *feedTerms, fp model.Fingerprint, was *fed, in ingest.FedAlert, sender string, now time.Time) {
	m := t.mapper.Map(in.Labels, d.f.places)
	one := &fed{FedAlert: in, Sender: sender, Origin: incident.FedOrigin(fp, in.Name(), sender)}
	if was != nil { // it comes again after it lapsed: the same alert, of the same ticket
		one.Origin = was.Origin
	}
	one.Alert = rules.Alert{
		Labels: mappedLabels(in.Labels, m), Annotations: fedAnnotations(in, m), State: rules.Firing,
		FirstBadAt: in.StartsAt, ActiveAt: now, FiredAt: now,
	}
	d.ts = append(d.ts, rules.Transition{Origin: one.Origin, From: rules.Inactive, Alert: one.Alert})
	d.changed[fp], d.write[fp] = one, one
	d.stands++
	d.count[fedOpened]++
}

// merge is what a message makes of an alert that fires.
func (d *draft) merge(t *feedTerms, fp model.Fingerprint, was *fed, in ingest.FedAlert, sender string, now time.Time) {
	merged, verdict := t.Merge(was.FedAlert, in, now)
	switch verdict {
	case ingest.FedStale:
		d.count[fedStale]++
	case ingest.FedEnds:
		d.end(fp, was, rules.Firing, incident.Recovered, now)
		d.count[fedResolved]++
	default:
		one := *was
		one.FedAlert, one.Sender = merged, sender
		d.changed[fp] = &one
		if !merged.Ending.Equal(was.Ending) { // its sender need not say it again
			d.write[fp] = &one
		}
		d.count[fedRefreshed]++
	}
}

// end lets an alert end, for good or until it is heard of again.
func (d *draft) end(fp model.Fingerprint, was *fed, from rules.State, how rules.End, now time.Time) {
	al := was.Alert
	al.State, al.EndedAt, al.End = rules.Inactive, now, how
	origin := was.Origin
	origin.Group = was.Sender // who sent it last
	d.ts = append(d.ts, rules.Transition{Origin: origin, From: from, Alert: al})
	if from == rules.Firing {
		d.stands--
	}
	if how != incident.Lapsed {
		d.changed[fp], d.write[fp] = nil, nil
		return
	}
	one := *was
	one.LapsedAt = now
	d.changed[fp], d.write[fp] = &one, &one
}

// mappedLabels are those of the alert with what it is about as the house names it. A label that said something else is
// kept beside it, as Prometheus keeps the labels of a target.
func mappedLabels(in map[string]string, m ingest.Mapped) labels.Labels {
	out := map[string]string{}
	for k, v := range in {
		out[k] = v
	}
	out[model.AlertNameLabel] = cmp.Or(in[model.AlertNameLabel], "alert")
	for name, v := range map[string]string{"instance": m.Asset, "customer": m.Customer, "site": m.Site, "service": m.Service,
		"system": m.System, "severity": m.Severity} {
		if was := in[name]; was != "" && was != v {
			out["exported_"+name] = was
		}
		if v == "" {
			delete(out, name)
			continue
		}
		out[name] = v
	}
	return labels.FromMap(out)
}

// The annotations that the house adds.
const (
	generatorAnnotation = "generator_url"
	mappingAnnotation   = "mapping"
)

func fedAnnotations(in ingest.FedAlert, m ingest.Mapped) labels.Labels {
	out := map[string]string{}
	for k, v := range in.Annotations {
		out[k] = v
	}
	delete(out, mappingAnnotation)
	if in.Generator != "" {
		out[generatorAnnotation] = in.Generator
	}
	if len(m.Why) > 0 {
		out[mappingAnnotation] = strings.Join(m.Why, "; ")
	}
	return labels.FromMap(out)
}

// run looks for alerts that are not heard of any more until ctx ends.
func (f *feed) run(ctx context.Context) error {
	return every(ctx, watchEvery, func() {
		if err := f.lapse(ctx); err != nil && ctx.Err() == nil {
			f.log.Error("alerts that are not heard of any more could not be ended; trying again", "err", err)
		}
	})
}

// lapse ends alerts that were not sent again in time, and those whose sender said that they would be over now. What nobody could
// send, because the house itself did nothing for a while, has that much longer.
func (f *feed) lapse(ctx context.Context) error {
	if err := f.enter(ctx); err != nil {
		return nil // it stops
	}
	defer f.leave()
	now := f.now()
	pause := now.Sub(f.looked)
	f.looked = now
	if pause > fedPause {
		f.wait(pause)
	}
	var due []model.Fingerprint
	for fp, one := range f.held {
		if one.ended(now) || one.fires() && one.Over(now) || !one.fires() && now.Sub(one.LapsedAt) > fedRemembered {
			due = append(due, fp)
		}
	}
	slices.Sort(due)
	d := f.draft()
	for portion := range slices.Chunk(due, fedTogether) {
		for _, fp := range portion {
			switch was := f.held[fp]; {
			case was.ended(now):
				d.end(fp, was, rules.Firing, incident.Recovered, now)
				f.metrics.count(was.Sender, fedResolved, 1)
			case was.fires():
				d.end(fp, was, rules.Firing, incident.Lapsed, now)
				f.metrics.lapse(was.Sender)
			default:
				d.changed[fp], d.write[fp] = nil, nil
			}
		}
		if err := d.commit(ctx, now); err != nil {
			return err
		}
	}
	return nil
}

// wait gives every alert longer to be sent again.
func (f *feed) wait(longer time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for fp, one := range f.held {
		if one.fires() && !one.EndsAt.IsZero() {
			later := *one
			later.EndsAt = one.EndsAt.Add(longer)
			if !one.Ending.IsZero() {
				later.Ending = one.Ending.Add(longer)
			}
			f.held[fp] = &later
		}
	}
}
