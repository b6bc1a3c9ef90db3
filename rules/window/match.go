package window

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

func matches(lbls labels.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(lbls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// matches is matches of an asset's series, whose own labels stand for its.
func (a *Asset) matches(lbls labels.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(a.own(lbls.Get(m.Name))) {
			return false
		}
	}
	return true
}

// compatible tells whether every label that a series and an alert both have is equal, but for the name.
func (a *Asset) compatible(lbls, alert labels.Labels) bool {
	ok := true
	lbls.Range(func(l labels.Label) {
		if l.Name == model.MetricNameLabel || l.Name == labels.AlertName {
			return
		}
		if v := alert.Get(l.Name); v != "" && v != a.own(l.Value) && a.own(l.Value) != "" {
			ok = false
		}
	})
	return ok
}

// finder finds the slots that matchers match, once for all assets that have the same part.
type finder struct {
	ms    []*labels.Matcher
	parts map[*Part]found
}

// found are slots of a part: those of all of its assets that are matched by asset, and those to be looked at for each.
type found struct{ sure, maybe []int32 }

func newFinder(ms []*labels.Matcher) *finder { return &finder{ms: ms, parts: map[*Part]found{}} }

// each calls fn with every slot of an asset's part that the matchers match, until it returns false.
func (f *finder) each(a *Asset, p *Part, fn func(slot int32) bool) bool {
	x, ok := f.parts[p]
	if !ok {
		x = f.look(p)
		f.parts[p] = x
	}
	for _, slot := range x.sure {
		if !fn(slot) {
			return false
		}
	}
	for _, slot := range x.maybe {
		if a.matches(p.Series[slot], f.ms) && !fn(slot) {
			return false
		}
	}
	return true
}

func (f *finder) look(p *Part) (x found) {
	for i, lbls := range p.Series {
		switch f.judge(lbls) {
		case yes:
			x.sure = append(x.sure, int32(i))
		case perhaps:
			x.maybe = append(x.maybe, int32(i))
		}
	}
	return x
}

type verdict uint8

const (
	no verdict = iota
	perhaps
	yes
)

// judge says whether a series is matched whatever asset has it.
func (f *finder) judge(lbls labels.Labels) verdict {
	v := yes
	for _, m := range f.ms {
		is := lbls.Get(m.Name)
		switch {
		case len(is) > 0 && is[0] == '\xff':
			v = perhaps
		case !m.Matches(is):
			return no
		}
	}
	return v
}
