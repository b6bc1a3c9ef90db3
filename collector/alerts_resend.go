package collector

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
)

const (
	// resendLook is how often it is looked for alerts that are to be said again, at most: as often as rules are evaluated by
	// default, which is when Prometheus looks. Where a resend delay is short it is looked four times in it.
	resendLook = 5 * time.Second
	// resolvedRetention is how long it is said again that an alert ended, as in Prometheus.
	resolvedRetention = 15 * time.Minute
	// resendMost is how many alerts one look says again to one receiver, as the notifier's queue in Prometheus has room for;
	// those that were said longest ago come first, so that the rest follow with the next look and none is dropped.
	resendMost = 10_000
)

// alertsOut is what goes to Alertmanagers. What it holds in memory is soft: a start says again all that stands.
type alertsOut struct {
	standing func() []evaluate.Standing
	// links finds the tickets of alerts, by the alerts' identities, where there is where to link to.
	links   func(context.Context, []evaluate.Standing) map[string]string
	metrics *notify.AlertMetrics
	log     *slog.Logger
	now     func() time.Time

	outlets   atomic.Pointer[[]*outlet]
	intervals atomic.Pointer[map[string]time.Duration]

	mu sync.Mutex
	// ended are the alerts that ended in the last resolvedRetention, linked where tickets of those that stand are.
	ended  map[string]notify.OutAlert
	linked map[string]string
}

// outlet is one receiver of alerts.
type outlet struct {
	name string
	to   *notify.Alertmanager
	// busy: a round is under way.
	busy atomic.Bool
	// failing is true since a round failed.
	failing bool

	mu   sync.Mutex
	sent map[string]time.Time
}

// configure replaces the receivers. Each is told all that stands with the next look.
func (o *alertsOut) configure(senders map[string]outbox.Sender) {
	var all []*outlet
	for _, name := range slices.Sorted(maps.Keys(senders)) {
		if am, ok := senders[name].(*notify.Alertmanager); ok {
			all = append(all, &outlet{name: name, to: am, sent: map[string]time.Time{}})
		}
	}
	o.outlets.Store(&all)
}

// rules says how often the rules of each group are evaluated.
func (o *alertsOut) rules(groups []rules.Group, usual time.Duration) {
	every := map[string]time.Duration{}
	for _, g := range groups {
		every[g.Name] = cmp.Or(g.Interval, usual)
	}
	o.intervals.Store(&every)
}

func (o *alertsOut) all() []*outlet {
	if o == nil {
		return nil
	}
	if p := o.outlets.Load(); p != nil {
		return *p
	}
	return nil
}

func (o *alertsOut) wanted() bool { return len(o.all()) > 0 }

func (o *alertsOut) names() (names []string) {
	for _, out := range o.all() {
		names = append(names, out.name)
	}
	return names
}

func (o *alertsOut) alertOf(origin rules.Origin, a rules.Alert) notify.OutAlert {
	al := notify.OutAlert{
		Labels: a.Labels.Map(), Annotations: a.Annotations.Map(), StartsAt: a.FiredAt, EndsAt: a.EndedAt,
	}
	if al.StartsAt.IsZero() {
		al.StartsAt = a.ActiveAt
	}
	if every := o.intervals.Load(); every != nil {
		al.Interval = (*every)[origin.Group]
	}
	return al
}

// note remembers what a transaction let go: it need not be said again at once, and what ended is not said to stand.
func (o *alertsOut) note(let []outgoing, now time.Time) {
	if len(let) == 0 {
		return
	}
	o.mu.Lock()
	for _, one := range let {
		o.linked[one.id] = one.alert.GeneratorURL
		if one.alert.EndsAt.IsZero() {
			delete(o.ended, one.id)
		} else {
			o.ended[one.id] = one.alert
		}
	}
	o.mu.Unlock()
	for _, out := range o.all() {
		out.mark(let, now)
	}
}

func (out *outlet) mark(said []outgoing, now time.Time) {
	out.mu.Lock()
	defer out.mu.Unlock()
	for _, one := range said {
		out.sent[one.id] = now
	}
}

// Run says again what stands, and for a while what ended, until ctx ends; it returns when no call is under way any more.
func (o *alertsOut) Run(ctx context.Context) error {
	var rounds sync.WaitGroup
	defer rounds.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		o.look(ctx, &rounds)
		timer.Reset(o.pace())
	}
}

// pace is how long until the next look.
func (o *alertsOut) pace() time.Duration {
	pace := resendLook
	for _, out := range o.all() {
		pace = min(pace, out.to.ResendDelay()/4)
	}
	return max(pace, 50*time.Millisecond)
}

// look begins a round with every receiver that is not in one.
func (o *alertsOut) look(ctx context.Context, rounds *sync.WaitGroup) {
	var free []*outlet
	for _, out := range o.all() {
		if out.busy.CompareAndSwap(false, true) {
			free = append(free, out)
		}
	}
	if len(free) == 0 {
		return
	}
	now := o.now()
	present := o.present(ctx, now)
	for _, out := range free {
		rounds.Go(func() {
			defer out.busy.Store(false)
			o.round(ctx, out, out.due(present, now), now)
		})
	}
}

// present is every alert of the house that stands or ended a short while ago.
func (o *alertsOut) present(ctx context.Context, now time.Time) []outgoing {
	standing := o.standing()
	standing = slices.DeleteFunc(standing, func(s evaluate.Standing) bool {
		return s.Alert.State != rules.Firing || incident.IsFed(s.Origin)
	})
	o.link(ctx, standing)
	var all []outgoing
	there := make(map[string]bool, len(standing))
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range standing {
		id := rules.AlertID(s.Origin.ID, s.Alert.Labels)
		if there[id] {
			continue
		}
		there[id] = true
		if _, over := o.ended[id]; !over { // it ended, and the evaluator is about to know
			al := o.alertOf(s.Origin, s.Alert)
			al.EndsAt, al.GeneratorURL = time.Time{}, o.linked[id]
			all = append(all, outgoing{id, al})
		}
	}
	for id, al := range o.ended {
		if now.Sub(al.EndsAt) > resolvedRetention {
			delete(o.ended, id)
			continue
		}
		there[id] = true
		all = append(all, outgoing{id, al})
	}
	maps.DeleteFunc(o.linked, func(id, _ string) bool { return !there[id] })
	return all
}

// link finds the tickets of alerts that are new to this process: after a start, mostly.
func (o *alertsOut) link(ctx context.Context, standing []evaluate.Standing) {
	o.mu.Lock()
	fresh := slices.DeleteFunc(slices.Clone(standing), func(s evaluate.Standing) bool {
		_, known := o.linked[rules.AlertID(s.Origin.ID, s.Alert.Labels)]
		return known
	})
	o.mu.Unlock()
	if len(fresh) == 0 {
		return
	}
	found := o.links(ctx, fresh)
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, url := range found {
		if _, known := o.linked[id]; !known { // a transaction knew better meanwhile
			o.linked[id] = url
		}
	}
}

// due are the alerts that this receiver was last told of longer ago than the resend delay, those of longest ago first.
func (out *outlet) due(present []outgoing, now time.Time) []outgoing {
	out.mu.Lock()
	defer out.mu.Unlock()
	there := make(map[string]bool, len(present))
	var due []outgoing
	for _, one := range present {
		there[one.id] = true
		if out.sent[one.id].Add(out.to.ResendDelay()).Before(now) {
			due = append(due, one)
		}
	}
	maps.DeleteFunc(out.sent, func(id string, _ time.Time) bool { return !there[id] })
	slices.SortFunc(due, func(a, b outgoing) int {
		return cmp.Or(out.sent[a.id].Compare(out.sent[b.id]), cmp.Compare(a.id, b.id))
	})
	return due[:min(len(due), resendMost)]
}

// round says alerts again. Whether they were taken or not, they are due again after the resend delay, as in Prometheus; where
// nobody takes them, the rest wait for the next look.
func (o *alertsOut) round(ctx context.Context, out *outlet, due []outgoing, now time.Time) {
	for chunk := range slices.Chunk(due, notify.MaxAlertBatch) {
		_, err := out.to.Resend(ctx, func() []notify.OutAlert { return o.asOfNow(chunk) })
		out.mark(chunk, now)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			level := slog.LevelDebug
			if !out.failing {
				level = slog.LevelWarn
			}
			out.failing = true
			o.log.Log(ctx, level, "alerts that stand could not be said again; they will be, and what began and ended waits in the outbox",
				"receiver", out.name, "alerts", len(due), "err", err)
			return
		case out.failing:
			out.failing = false
			o.log.Info("alerts that stand are said again", "receiver", out.name)
		}
	}
}

// asOfNow is what is to be said again after all that was let go meanwhile.
func (o *alertsOut) asOfNow(chunk []outgoing) []notify.OutAlert {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []notify.OutAlert
	for _, one := range chunk {
		ended, over := o.ended[one.id]
		switch {
		case over:
			out = append(out, ended)
		case one.alert.EndsAt.IsZero(): // else it fires again, and was said to
			out = append(out, one.alert)
		}
	}
	return out
}

// openAlertsOut makes what tells Alertmanagers; configure and rules tell it whom and what.
func (c *Collector) openAlertsOut() (err error) {
	o := &alertsOut{
		log: c.log.With("part", "alerts out"), now: func() time.Time { return c.now() },
		ended: map[string]notify.OutAlert{}, linked: map[string]string{},
	}
	o.standing = func() []evaluate.Standing { return c.evaluator.Alerts() }
	o.links = func(ctx context.Context, all []evaluate.Standing) map[string]string {
		return c.pipeline.links(ctx, all)
	}
	o.metrics, err = notify.NewAlertMetrics(c.reg)
	c.alertsOut = o
	return err
}

// links are where the tickets of alerts can be looked at, by the alerts' identities; empty strings where there is no such place.
func (p *pipeline) links(ctx context.Context, all []evaluate.Standing) map[string]string {
	url := p.audience.Load().url
	found := map[string]string{}
	err := p.store.View(ctx, func(tx store.Tx) error {
		var errs []error
		for _, s := range all {
			t := rules.Transition{Origin: s.Origin, Alert: s.Alert}
			found[t.ID()] = ""
			if url == "" {
				continue
			}
			open, ok, err := tx.OpenTicket(incident.KeyOf(p.alertOf(t)).String())
			errs = append(errs, err)
			if !ok {
				open.Number = ""
			}
			found[t.ID()] = linkOf(url, open.Number)
		}
		return errors.Join(errs...)
	})
	if err != nil {
		p.log.Error("alerts go out without a link to their tickets", "err", err)
	}
	return found
}
