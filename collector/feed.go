package collector

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
)

// feed keeps the alerts that other programs send:
//
//	POST ─► ingest: decode, settle ─► merge with what stands ─► Commit, with the record ─► memory ─► 200
//	a tick ─► what was not sent again ─► Commit: ended, "not heard of any more"
//
// What changes nothing about a ticket (a resend) is remembered in memory alone. After a start each alert has as long to be
// sent again as it had when it was kept.
type feed struct {
	store  store.Store
	places ingest.Places
	commit func(ctx context.Context, at time.Time, ts []rules.Transition, also func(store.Tx) error) error
	// suppressed says which silences and maintenance windows hold back the tickets of an alert; nil: none.
	suppressed func(a incident.Alert) []incident.MutedBy
	alertOf    func(t rules.Transition) incident.Alert
	now        func() time.Time
	log        *slog.Logger
	metrics    *feedMetrics
	// installation is what this collector's own alerts are known by.
	installation string
	terms        atomic.Pointer[feedTerms]

	// turn is taken by who changes what stands, from before the transaction until memory shows it. It is a channel so
	// that waiting for it ends with a context.
	turn chan struct{}
	// looked is when lapses were looked for last. It belongs to who has the turn.
	looked time.Time

	mu   sync.Mutex
	held map[model.Fingerprint]*fed
}

// feedTerms are what is configured, ready for use.
type feedTerms struct {
	ingest.FeedConfig
	ingest.FeedTerms
	mapper *ingest.Mapper
	// installation is the value of notify.InstallationLabel that this collector's alerts have.
	installation string
	// own are the values of notify.SourceLabel that it has, and had since it started, for alerts without the other: what an
	// earlier release sent.
	own map[string]bool
}

// ours tells whether an alert went out from this collector. Those of other collectors are alerts as any.
func (t *feedTerms) ours(lbls map[string]string) bool {
	if by := lbls[notify.InstallationLabel]; by != "" {
		return by == t.installation
	}
	return t.own[lbls[notify.SourceLabel]]
}

// fed is one alert of another program, as it is kept. It is replaced, never changed.
type fed struct {
	ingest.FedAlert
	Sender string       `json:"sender"`
	Origin rules.Origin `json:"origin"`
	// Alert is what the house makes of it. Its labels stay while it stands, whatever is configured since.
	Alert rules.Alert `json:"alert"`
	// LapsedAt is when it ended because it was not heard of; zero while it fires.
	LapsedAt time.Time `json:"lapsed_at,omitzero"`
}

func (f *fed) fires() bool { return f.LapsedAt.IsZero() }

// ended tells whether the end has come that its sender announced.
func (f *fed) ended(now time.Time) bool {
	return f.fires() && !f.Ending.IsZero() && !f.Ending.After(now)
}

const (
	// fedTogether is how many alerts are committed at a time.
	fedTogether = 500
	// fedRemembered is how long a lapsed alert is remembered, so that its sender may still say that it is over.
	fedRemembered = 24 * time.Hour
	// fedPause is a pause between two looks after which nobody could be heard: the machine slept, or the store was full.
	fedPause = 15 * time.Second
)

func (c *Collector) newFeed() *feed {
	f := &feed{
		store: c.store, places: c.fleet, commit: c.pipeline.commitWith, alertOf: c.pipeline.alertOf, now: func() time.Time { return c.now() },
		log: c.log.With("part", "feed"), metrics: newFeedMetrics(c.reg), turn: make(chan struct{}, 1),
		held: map[model.Fingerprint]*fed{}, installation: c.installation,
	}
	f.metrics.standing(c.reg, f)
	f.configure(c.cfg)
	return f
}

// configure takes a configuration that Validate found good. What stands keeps its mapping.
func (f *feed) configure(house Config) {
	cfg, was := house.Feed, f.terms.Load()
	m, err := ingest.NewMapper(cfg.Mappings, cfg.CustomerLabel)
	if err != nil { // Validate reads the same
		f.log.Error("the mappings of alerts are as they were", "err", err)
		if was != nil {
			m, cfg.Mappings = was.mapper, was.Mappings
		} else if m, err = ingest.NewMapper(nil, false); err != nil {
			panic(err)
		}
	}
	own := map[string]bool{house.Source(): true, house.sourceHost(): true}
	if was != nil {
		maps.Copy(own, was.own)
	}
	f.terms.Store(&feedTerms{cfg, cfg.Terms(), m, f.installation, own})
}

// restore takes back what stood when the collector stopped. states are all alerts that stand; those of the feed without a
// record of their own are those of a store that was mended, and stand until they are sent again or lapse.
func (f *feed) restore(ctx context.Context, states []store.AlertState) error {
	now := f.now()
	var kept []store.Fed
	if err := f.store.View(ctx, func(tx store.Tx) (err error) {
		kept, err = tx.Fed()
		return err
	}); err != nil {
		return fmt.Errorf("read alerts of other programs: %w", err)
	}
	t := f.terms.Load()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = now
	known := make(map[string]bool, len(kept))
	for _, k := range kept {
		var one fed
		if err := json.Unmarshal(k.Body, &one); err != nil {
			return fmt.Errorf("read alert %s of another program: %w", k.ID, err)
		}
		one.FedAlert = one.Renewed(t.FeedTerms, now)
		f.held[one.Fingerprint()] = &one
		known[one.Origin.ID] = true
	}
	for _, s := range states {
		if incident.IsFed(s.Origin) && !known[s.Origin.ID] {
			one := &fed{Origin: s.Origin, Alert: s.Alert, Sender: s.Origin.Group, FedAlert: ingest.FedAlert{
				Labels: s.Alert.Labels.Map(), Annotations: s.Alert.Annotations.Map(), StartsAt: s.Alert.FirstBadAt,
				UpdatedAt: now, EndsAt: now.Add(t.FeedTerms.ResolveTimeout), Guessed: true,
			}}
			f.held[one.Fingerprint()] = one
		}
	}
	return nil
}

// enter waits for the turn; leave gives it back.
func (f *feed) enter(ctx context.Context) error {
	select {
	case f.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for other alerts: %w", ctx.Err())
	}
}

func (f *feed) leave() { <-f.turn }

// standing are the alerts that fire, in no order.
func (f *feed) standing() []*fed {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]*fed, 0, len(f.held))
	for _, one := range f.held {
		if one.fires() {
			out = append(out, one)
		}
	}
	return out
}

// alerts are those that fire now, as the evaluator shows its own.
func (f *feed) alerts() []evaluate.Standing {
	all := f.standing()
	out := make([]evaluate.Standing, 0, len(all))
	for _, one := range all {
		out = append(out, evaluate.Standing{Origin: one.Origin, Alert: one.Alert})
	}
	return out
}

// others are the alerts that stand beside those of rules.
func (c *Collector) others() []evaluate.Standing {
	return slices.Concat(c.silence.alerts(), c.feeds.alerts(), c.feed.alerts())
}

// draft is what one portion of alerts makes of what stands, before it is committed.
type draft struct {
	f *feed
	// changed are the alerts that are other than f.held has them; nil is forgotten.
	changed map[model.Fingerprint]*fed
	ts      []rules.Transition
	// write are the records to keep, nil to forget, by fingerprint.
	write map[model.Fingerprint]*fed
	count map[string]int
	// stands is how many fire.
	stands int
}

func (f *feed) draft() *draft {
	d := &draft{f: f, changed: map[model.Fingerprint]*fed{}, write: map[model.Fingerprint]*fed{}, count: map[string]int{}}
	for _, one := range f.held { // who drafts has the turn: nobody writes
		if one.fires() {
			d.stands++
		}
	}
	return d
}

func (d *draft) of(fp model.Fingerprint) *fed {
	if one, ok := d.changed[fp]; ok {
		return one
	}
	return d.f.held[fp]
}

// gather lets the alerts of one incident follow each other, each one's in their order, so that its ticket is written once.
func (d *draft) gather() {
	by := map[string][]rules.Transition{}
	for _, t := range d.ts {
		key := incident.KeyOf(d.f.alertOf(t)).String()
		by[key] = append(by[key], t)
	}
	d.ts = d.ts[:0]
	for _, key := range slices.Sorted(maps.Keys(by)) {
		d.ts = append(d.ts, by[key]...)
	}
}

// commit makes the draft durable and then shows it.
func (d *draft) commit(ctx context.Context, now time.Time) error {
	d.gather()
	records := make(map[string][]byte, len(d.write))
	for fp, one := range d.write {
		if one == nil {
			records[fp.String()] = nil
			continue
		}
		body, err := json.Marshal(one)
		if err != nil {
			return fmt.Errorf("keep alert %s of another program: %w", one.Name(), err)
		}
		records[fp.String()] = body
	}
	keep := func(tx store.Tx) error { return keepFed(tx, records) }
	var err error
	switch {
	case len(d.ts) > 0:
		err = d.f.commit(ctx, now, d.ts, keep)
	case len(records) > 0: // what lapsed long ago is forgotten
		err = d.f.store.Update(ctx, "", keep)
	}
	if err != nil {
		return err
	}
	d.f.mu.Lock()
	defer d.f.mu.Unlock()
	for fp, one := range d.changed {
		if one == nil {
			delete(d.f.held, fp)
		} else {
			d.f.held[fp] = one
		}
	}
	d.changed, d.ts = map[model.Fingerprint]*fed{}, nil
	clear(d.write)
	return nil
}

func keepFed(tx store.Tx, records map[string][]byte) error {
	for id, body := range maps.All(records) {
		var err error
		if body == nil {
			err = tx.DeleteFed(id)
		} else {
			err = tx.PutFed(store.Fed{ID: id, Body: body})
		}
		if err != nil {
			return fmt.Errorf("keep alert %s of another program: %w", id, err)
		}
	}
	return nil
}
