package window

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// index finds series by metric name and by instance, the two labels that nearly every selector has.
type index struct {
	name, instance map[string][]*series
	size           int
}

func newIndex() index {
	return index{name: map[string][]*series{}, instance: map[string][]*series{}}
}

func (x *index) add(s *series) {
	n, i := s.lbls.Get(model.MetricNameLabel), s.lbls.Get(instanceLabel)
	s.named, s.placed = len(x.name[n]), len(x.instance[i])
	x.name[n] = append(x.name[n], s)
	x.instance[i] = append(x.instance[i], s)
	x.size++
}

func (x *index) remove(s *series) {
	n, i := s.lbls.Get(model.MetricNameLabel), s.lbls.Get(instanceLabel)
	cutOut(x.name, n, s.named, func(moved *series, at int) { moved.named = at })
	cutOut(x.instance, i, s.placed, func(moved *series, at int) { moved.placed = at })
	x.size--
}

func cutOut(m map[string][]*series, key string, at int, move func(*series, int)) {
	list := m[key]
	end := len(list) - 1
	list[at] = list[end]
	move(list[at], at)
	list[end] = nil
	if end == 0 {
		delete(m, key)
		return
	}
	m[key] = list[:end]
}

// lists are the shortest known lists that together hold every series the matchers can match.
func (x *index) lists(ms []*labels.Matcher) [][]*series {
	best, n := [][]*series(nil), x.size+1
	try := func(m map[string][]*series, values ...string) {
		var lists [][]*series
		sum := 0
		for _, v := range values {
			if l := m[v]; len(l) > 0 {
				lists = append(lists, l)
				sum += len(l)
			}
		}
		if sum < n {
			best, n = lists, sum
		}
	}
	for _, m := range ms {
		var by map[string][]*series
		switch m.Name {
		case model.MetricNameLabel:
			by = x.name
		case instanceLabel:
			by = x.instance
		default:
			continue
		}
		switch {
		case m.Type == labels.MatchEqual:
			try(by, m.Value)
		case m.Type == labels.MatchRegexp && len(m.SetMatches()) > 0:
			try(by, m.SetMatches()...)
		}
	}
	if n <= x.size {
		return best
	}
	all := make([][]*series, 0, len(x.name))
	for _, l := range x.name {
		all = append(all, l)
	}
	return all
}

// each calls fn for every series that the matchers match, until fn returns false.
func (x *index) each(ms []*labels.Matcher, fn func(*series) bool) {
	for _, list := range x.lists(ms) {
		for _, s := range list {
			if matches(s.lbls, ms) && !fn(s) {
				return
			}
		}
	}
}

func matches(lbls labels.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(lbls.Get(m.Name)) {
			return false
		}
	}
	return true
}
