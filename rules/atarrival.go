package rules

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/watchbill/watchbill/rules/program"
	"github.com/watchbill/watchbill/rules/window"
)

// AtArrival evaluates rules about one asset by their programs, asset by asset, as when reports arrive, and the others by
// Prometheus' engine. Series belong to the asset that their instance names; those without one to an asset without a name.
// A test with native histograms, which assets do not report, is the engine's.
func AtArrival(bed TestBed) Evaluation {
	far := 100 * 365 * 24 * time.Hour
	out := &arrivalBed{
		TestBed: bed, window: window.New(window.Options{MaxLookback: far, MaxSeries: math.MaxInt32, MaxAssetSeries: math.MaxInt32, MaxSamples: math.MaxInt32}),
		assets: map[string]window.Asset{}, series: map[string]*bedSeries{}, programs: map[*Rule]map[string]*bedProgram{},
		until: math.MinInt64,
	}
	out.window.SetLookback(Lookback(bed.Groups))
	return out
}

// arrivalBed is the series of a test in a window.
type arrivalBed struct {
	TestBed
	window   *window.Window
	assets   map[string]window.Asset
	series   map[string]*bedSeries
	programs map[*Rule]map[string]*bedProgram
	machine  program.Machine
	// until is up to when series were read: what is written at that time may still come.
	until int64
	// histograms were seen.
	histograms bool
}

// bedSeries is one series of the test, a part of its own: it may have gaps that are no end.
type bedSeries struct {
	asset  string
	name   string
	layout *window.Layout
	// next is the first time that was not read yet.
	next int64
}

// bedProgram is the program of a rule for an asset as long as its parts are these.
type bedProgram struct {
	parts []*window.Part
	at    []int
	prog  *program.Program
}

// Evaluate is Evaluation's.
func (b *arrivalBed) Evaluate(ctx context.Context, r *Rule, at time.Time) (promql.Vector, error) {
	if r.Arrival == nil || b.histograms {
		return b.Query(ctx, r.Expr.String(), at)
	}
	if err := b.read(ctx, timestamp.FromTime(at)); err != nil {
		return nil, err
	}
	if b.histograms {
		return b.Query(ctx, r.Expr.String(), at)
	}
	for _, name := range r.Arrival.Instances() {
		b.meet(name, labels.EmptyLabels(), at)
	}
	var out promql.Vector
	for _, name := range slices.Sorted(maps.Keys(b.assets)) {
		made, err := b.run(r, name, timestamp.FromTime(at))
		if err != nil {
			return nil, err
		}
		out = append(out, made...)
	}
	return out, nil
}

// read brings what is new among the test's series into the window.
func (b *arrivalBed) read(ctx context.Context, until int64) error {
	q, err := b.Series.Querier(min(b.until, until), until)
	if err != nil {
		return err
	}
	defer q.Close()
	b.until = until
	set := q.Select(ctx, true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*"))
	for set.Next() {
		b.take(set.At())
	}
	return set.Err()
}

func (b *arrivalBed) take(s storage.Series) {
	lbls := s.Labels()
	key := string(lbls.Bytes(nil))
	x := b.series[key]
	it := s.Iterator(nil)
	kind := it.Next()
	if x != nil {
		kind = it.Seek(x.next)
	}
	for ; kind != chunkenc.ValNone; kind = it.Next() {
		if kind != chunkenc.ValFloat {
			b.histograms = true
			return
		}
		t, v := it.At()
		if x == nil {
			x = b.begin(key, lbls, timestamp.Time(t))
		}
		b.window.Record(x.asset, x.name, x.layout, timestamp.Time(t), []float64{v}, false)
		x.next = t + 1
	}
}

// begin makes a series known.
func (b *arrivalBed) begin(key string, lbls labels.Labels, at time.Time) *bedSeries {
	name := lbls.Get(instanceLabel)
	who := b.meet(name, lbls, at)
	lb := labels.NewBuilder(lbls)
	for own, label := range map[string][2]string{
		window.OwnInstance: {instanceLabel, who.Name}, window.OwnCustomer: {"customer", who.Customer}, window.OwnSite: {"site", who.Site},
	} {
		if v := label[1]; v != "" && lbls.Get(label[0]) == v {
			lb.Set(label[0], own)
		}
	}
	x := &bedSeries{asset: name, name: fmt.Sprintf("series %d", len(b.series)), layout: &window.Layout{Series: []labels.Labels{lb.Labels()}}, next: math.MinInt64}
	copy(x.layout.ID[:], fmt.Sprintf("series %d", len(b.series)))
	b.series[key] = x
	return x
}

// meet makes an asset known, with the customer and site of the first series that tells of it.
func (b *arrivalBed) meet(name string, lbls labels.Labels, at time.Time) window.Asset {
	who, ok := b.assets[name]
	if !ok {
		who = window.Asset{Name: name, Customer: lbls.Get("customer"), Site: lbls.Get("site")}
		b.assets[name] = who
		b.window.Apply(who, at, []window.Block{{Source: "test", At: at, Status: window.OK, Layout: &window.Layout{ID: [32]byte{1}}}})
	}
	return who
}

// run is the result of a rule for one asset.
func (b *arrivalBed) run(r *Rule, name string, t int64) (out promql.Vector, err error) {
	who := b.assets[name]
	b.window.View(name, func(v window.View) {
		p, fault := b.compiled(r, v)
		if p == nil || fault != nil {
			err = fault
			return
		}
		samples, fault := b.machine.Run(p.prog, v, p.at, t)
		err = fault
		for _, s := range samples {
			out = append(out, promql.Sample{Metric: who.Labels(p.prog.Labels(int(s.Lane))), T: t, F: s.V})
		}
	})
	if err != nil {
		return nil, fmt.Errorf("at arrival of %q: %w", name, err)
	}
	return out, nil
}

// compiled is the program of a rule for an asset; nil when it reads nothing of the asset and does not speak of it.
func (b *arrivalBed) compiled(r *Rule, v window.View) (*bedProgram, error) {
	parts, who := v.Parts(), v.Asset()
	if b.programs[r] == nil {
		b.programs[r] = map[string]*bedProgram{}
	}
	if p := b.programs[r][who.Name]; p != nil && slices.Equal(p.parts, parts) {
		return p, nil
	}
	p := &bedProgram{parts: parts}
	var chosen []*window.Part
	for i, part := range parts {
		if r.Arrival.Reads(part, who) {
			p.at, chosen = append(p.at, i), append(chosen, part)
		}
	}
	if len(chosen) == 0 && !slices.Contains(r.Arrival.Instances(), who.Name) {
		return nil, nil
	}
	var err error
	if p.prog, err = r.Arrival.Compile(chosen, r.Arrival.Identity(who)); err != nil {
		return nil, err
	}
	b.programs[r][who.Name] = p
	return p, nil
}
