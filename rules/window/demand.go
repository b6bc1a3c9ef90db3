package window

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// demand is what is kept of which series.
type demand struct {
	// every is how far back all series are kept, in ms; 0 when only some are.
	every int64
	named map[string][]want // by metric name
	any   []want            // of no one metric name
	// longest is how far back anything is kept, in ms.
	longest int64
}

// want is one selector that looks back.
type want struct {
	keep     int64
	matchers []*labels.Matcher
}

// SetLookback tells that every series is kept as far back as d, StaleAfter at least and Options.MaxLookback at most. After
// a rise every asset is complete only since what was kept until now.
func (w *Window) SetLookback(d time.Duration) {
	keep := w.reach(max(d, StaleAfter))
	was := w.demand.Load()
	w.demanded(&demand{every: keep, longest: keep})
	if was.every == 0 || keep <= was.every {
		return
	}
	w.each(func(as *asset) {
		for _, src := range as.sources {
			if src.newest() != never {
				as.raise(src.newest() - was.every)
			}
		}
	})
}

// SetDemand tells what rules look back on: their selectors with how far each reaches back from the evaluation. The window
// keeps of a series what the furthest of the selectors looks back that match it by all labels but the asset's own, and
// of others the newest samples only. What is looked back on further than before is complete since what was kept until now
// (Look and View.Known know), and what is looked back on no more is forgotten.
func (w *Window) SetDemand(sels []Selector) {
	d := &demand{named: map[string][]want{}}
	for _, sel := range sels {
		if sel.Lookback <= 0 {
			continue
		}
		x, name := want{keep: w.reach(sel.Lookback)}, ""
		for _, m := range sel.Matchers {
			switch {
			case m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual:
				name = m.Value
			case m.Name != instanceLabel && m.Name != "customer" && m.Name != "site":
				x.matchers = append(x.matchers, m)
			}
		}
		d.longest = max(d.longest, x.keep)
		if name == "" {
			d.any = append(d.any, x)
		} else {
			d.named[name] = append(d.named[name], x)
		}
	}
	w.demanded(d)
}

// reach is how much is kept for what looks back so far, in ms.
func (w *Window) reach(lookback time.Duration) int64 {
	return (min(lookback, w.opts.MaxLookback) + slack).Milliseconds()
}

func (w *Window) demanded(d *demand) {
	w.demand.Store(w.parts.same(d))
	w.each(func(as *asset) { as.replan(w) })
	w.recorded.replan(w)
}

// same is a demand as before where it is one: what was made for it can then be used on.
func (x *parts) same(d *demand) *demand {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, old := range x.demands {
		if old.equal(d) {
			return old
		}
	}
	x.demands = append(x.demands, d)
	if len(x.demands) > maxPlans {
		x.demands = slices.Delete(x.demands, 0, 1)
	}
	return d
}

func (d *demand) equal(o *demand) bool {
	if d.every != o.every || len(d.named) != len(o.named) || !slices.EqualFunc(d.any, o.any, want.equal) {
		return false
	}
	for name, list := range d.named {
		if !slices.EqualFunc(list, o.named[name], want.equal) {
			return false
		}
	}
	return true
}

func (x want) equal(o want) bool {
	return x.keep == o.keep && slices.EqualFunc(x.matchers, o.matchers, func(a, b *labels.Matcher) bool {
		return a == b || a.String() == b.String()
	})
}

// keep is how far back a series is kept, in ms; 0 when only its newest samples are.
func (d *demand) keep(lbls labels.Labels) int64 {
	keep := d.every
	for _, list := range [2][]want{d.named[lbls.Get(model.MetricNameLabel)], d.any} {
		for _, x := range list {
			if x.keep > keep && matches(lbls, x.matchers) {
				keep = x.keep
			}
		}
	}
	return keep
}

// plan is what is kept of the series of a part. It is made once and shared by all who have the part.
type plan struct {
	demand *demand
	lanes  []*lane
	at     []place // by slot
}

// place is where a slot's samples are: lane is -1 when only the newest are kept.
type place struct{ lane, pos int32 }

// lane is the series of a part that are looked back on equally far.
type lane struct {
	keep  int64
	slots []int32
	ids   []uint64
	order []int32
}

func (l *lane) find(id uint64) (int32, bool) { return findID(l.ids, l.order, id) }

// bytes tells demands apart between processes.
func (d *demand) bytes() []byte {
	var lines []string
	line := func(name string, x want) {
		text := fmt.Sprintf("%q %d", name, x.keep)
		for _, m := range x.matchers {
			text += " " + m.String()
		}
		lines = append(lines, text)
	}
	for name, list := range d.named {
		for _, x := range list {
			line(name, x)
		}
	}
	for _, x := range d.any {
		line("", x)
	}
	slices.Sort(lines)
	sum := sha256.Sum256(fmt.Append(nil, d.every, slices.Compact(lines)))
	return sum[:]
}

// maxPlans is how many demands a part remembers its plans for: that of the window and those of forks.
const maxPlans = 4

// plan is what a demand keeps of the part.
func (p *Part) plan(d *demand) *plan {
	have := p.plans.Load()
	var old []*plan
	if have != nil {
		old = *have
	}
	for _, x := range old {
		if x.demand == d {
			return x
		}
	}
	made := &plan{demand: d, at: make([]place, len(p.Series))}
	for i, lbls := range p.Series {
		keep := d.keep(lbls)
		if keep == 0 {
			made.at[i].lane = -1
			continue
		}
		n := slices.IndexFunc(made.lanes, func(l *lane) bool { return l.keep == keep })
		if n < 0 {
			n = len(made.lanes)
			made.lanes = append(made.lanes, &lane{keep: keep})
		}
		l := made.lanes[n]
		made.at[i] = place{int32(n), int32(len(l.slots))}
		l.slots, l.ids = append(l.slots, int32(i)), append(l.ids, p.ids[i])
	}
	for _, l := range made.lanes {
		l.slots, l.ids, l.order = slices.Clip(l.slots), slices.Clip(l.ids), orderOf(l.ids)
	}
	if len(old) >= maxPlans {
		old = old[len(old)-maxPlans+1:]
	}
	next := append(slices.Clip(old), made)
	p.plans.CompareAndSwap(have, &next) // who was faster may have made another: then this is made again
	return made
}
