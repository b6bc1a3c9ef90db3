package ingest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/watchbill/watchbill/rules/window"
)

const (
	// remoteSweepEvery is how often it is looked at whether assets are still what they were taken for.
	remoteSweepEvery = 10 * time.Second
	// forgetSeries is how long a series counts after its last sample, forgetAsset an asset that the fleet does not declare.
	forgetSeries = 10 * time.Minute
	forgetAsset  = 24 * time.Hour
)

// newAsset makes an asset, with the series that the window has of it from before this start: they go on in the same
// sources. Was is how a sender calls it and what is known of its targets. The caller holds r.mu.
func (r *Remote) newAsset(who window.Asset, declared bool, was RemoteAssetState) *remoteAsset {
	a := &remoteAsset{
		instance: was.Instance, Asset: who, declared: declared, series: map[uint64]*remoteSeries{},
		targets: map[targetKey]*remoteTarget{}, plain: map[string]*remoteTarget{}, by: map[string]time.Time{}, newest: never,
	}
	a.resumeTargets(was, r.o.Now())
	r.assets[who.Name] = a
	intervals := map[string]time.Duration{}
	st, _ := r.o.Window.Asset(who.Name)
	for _, b := range st.Blocks {
		intervals[b.Source] = b.Interval
	}
	r.o.Window.View(who.Name, func(v window.View) {
		if v.Asset() != who {
			return
		}
		for i, p := range v.Parts() {
			if t, ok := v.NewestOf(i); ok && strings.HasPrefix(p.Name, remoteBlock) {
				a.resume(r, v, i, p, t, intervals[p.Name])
			}
		}
	})
	return a
}

// resume makes a group of a part of the window; its newest row is of t.
func (a *remoteAsset) resume(r *Remote, v window.View, at int, p *window.Part, t int64, every time.Duration) {
	g := &remoteGroup{asset: a, source: p.Name, newest: t, scrape: strings.HasSuffix(p.Name, scrapeBlock)}
	g.gaps = [3]time.Duration{every, every, every}
	for slot, lbls := range p.Series[:p.Live] {
		lb := labels.NewBuilder(lbls).Del(instanceLabel, customerLabel, siteLabel)
		own := lb.Labels()
		hash := sum(r.seed, own)
		if a.series[hash] != nil {
			continue
		}
		last, val, ok := v.Last(at, slot, t)
		if !ok || value.IsStaleNaN(val) {
			continue
		}
		s := a.know(own, a.resumeTarget(own, r.o.Now()), hash)
		s.newest, s.last, s.rowAt, s.value = last, val, last, val
		g.target = s.target
		g.add(s)
	}
	if len(g.series) == 0 {
		return
	}
	a.groups = append(a.groups, g)
	a.made += len(a.groups)
	a.resumed, a.newest = true, max(a.newest, t)
	if every > 0 && (a.pace == 0 || every < a.pace) {
		a.pace = every
	}
}

// undeclared is how many assets a sender brought that the fleet does not declare; the caller holds r.mu.
func (r *Remote) undeclared(sender string) int {
	n := 0
	for _, a := range r.assets {
		if a.brought == sender && !a.declared {
			n++
		}
	}
	return n
}

// remember makes durable who writes and what, when there is something new.
func (r *Remote) remember(ctx context.Context) error {
	r.mu.Lock()
	unsaved := r.unsaved
	r.unsaved = false
	r.mu.Unlock()
	if !unsaved {
		return nil
	}
	err := r.o.Remember(ctx)
	if err != nil {
		r.mu.Lock()
		r.unsaved = true
		r.mu.Unlock()
	}
	return err
}

// Sweep looks whether assets are still what they were taken for, and forgets what nobody writes any more.
func (r *Remote) Sweep(ctx context.Context, now time.Time) {
	senders, assets := r.all()
	for _, a := range assets {
		who, declared := r.declared(a.instance)
		if a.moved(who, declared) || a.idle(now) {
			r.drop(a, now)
			continue
		}
		if r.tidy(a, now) {
			if err := r.o.Judge(ctx, a.Name); err != nil && ctx.Err() == nil {
				r.o.Logger.Error("what ended could not be judged; it is tried again", "asset", a.Name, "err", err)
			}
		}
	}
	for _, s := range senders {
		s.mu.Lock()
		for key, a := range s.aliases {
			if a.series.dead.Load() {
				delete(s.aliases, key)
			}
		}
		s.mu.Unlock()
	}
}

// moved tells whether the fleet says otherwise of an asset than when it was first written.
func (a *remoteAsset) moved(who window.Asset, declared bool) bool {
	if declared != a.declared {
		return true
	}
	return declared && who != a.Asset
}

// idle tells whether an asset that the fleet does not declare has not been written for long.
func (a *remoteAsset) idle(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, at := range a.by {
		if now.Sub(at) < forgetAsset {
			return false
		}
	}
	return !a.declared
}

// drop lets go of an asset. Its next sample makes it anew, as what it is then.
func (r *Remote) drop(a *remoteAsset, now time.Time) {
	r.mu.Lock()
	delete(r.assets, a.Name)
	delete(r.waiting, a)
	r.mu.Unlock()
	a.mu.Lock()
	a.gone = true
	r.end(slices.Collect(maps.Values(a.series)), now)
	for _, s := range a.series {
		s.dead.Store(true)
	}
	a.mu.Unlock()
	if _, ok := r.o.Fleet.Asset(a.Name); !ok {
		r.forget(a.Name, now)
	}
}

// tidy forgets series that nobody writes any more, and ends those that the asset's agent has begun to report and those that
// are to go on without exported_instance. It tells whether any ended.
func (r *Remote) tidy(a *remoteAsset, now time.Time) (ended bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	again := a.tidyTargets(now)
	for hash, s := range a.series {
		if s.group == nil && (again[s.target] || now.Sub(time.Unix(0, s.heard)) > forgetSeries) {
			s.dead.Store(true)
			delete(a.series, hash)
		}
	}
	kinds := r.kindsOf(a, now)
	for i := 0; i < len(a.groups); i++ {
		g := a.groups[i]
		if !again[g.target] && !slices.Contains(kinds, g.target.job) {
			continue
		}
		r.end(g.series, now)
		for _, s := range g.series {
			s.dead.Store(true)
			delete(a.series, s.hash)
		}
		r.ended(r.o.Window.Apply(a.Asset, now, []window.Block{{Source: g.source, At: now, Interval: g.pace(), Status: window.OK,
			Layout: &window.Layout{}, Values: []float64{}}}))
		a.groups = slices.Delete(a.groups, i, i+1)
		i--
		ended = true
	}
	return ended
}

// Asset is an asset that is written from outside, by its name.
func (r *Remote) Asset(name string) (window.Asset, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.assets[name]; a != nil {
		return a.Asset, true
	}
	if s, ok := strings.CutPrefix(name, RemotePrefix); ok && r.senders[s] != nil {
		return window.Asset{Name: name, Customer: OperatorsOwn}, true
	}
	return window.Asset{}, false
}

// RemoteMetadata is what senders say of a metric.
type RemoteMetadata struct {
	Type model.MetricType
	Help string
	Unit string
}

// remoteAbout is what senders said of metrics.
type remoteAbout struct {
	mu  sync.RWMutex
	all map[string]RemoteMetadata
}

// The bounds of what is kept of metrics.
const (
	maxMetadata = 20_000
	maxHelp     = 1024
)

// remoteTypes are those of both versions, by their number.
var remoteTypes = [...]model.MetricType{
	model.MetricTypeUnknown, model.MetricTypeCounter, model.MetricTypeGauge, model.MetricTypeHistogram,
	model.MetricTypeGaugeHistogram, model.MetricTypeSummary, model.MetricTypeInfo, model.MetricTypeStateset,
}

func (x *remoteAbout) learn(m wireMeta) {
	x.mu.RLock()
	was, known := x.all[string(m.name)]
	n := len(x.all)
	x.mu.RUnlock()
	kind := model.MetricTypeUnknown
	if m.kind < uint64(len(remoteTypes)) {
		kind = remoteTypes[m.kind]
	}
	if len(m.name) == 0 || len(m.name) > 256 || len(m.help) > maxHelp || len(m.unit) > 64 || !known && n >= maxMetadata ||
		known && was.Type == kind && was.Help == string(m.help) && was.Unit == string(m.unit) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all[string(m.name)] = RemoteMetadata{kind, strings.ToValidUTF8(string(m.help), ""), strings.ToValidUTF8(string(m.unit), "")}
}

// Metadata is what senders said of metrics, by name.
func (r *Remote) Metadata() map[string]RemoteMetadata {
	r.about.mu.RLock()
	defer r.about.mu.RUnlock()
	out := make(map[string]RemoteMetadata, len(r.about.all))
	for name, m := range r.about.all {
		out[name] = m
	}
	return out
}
