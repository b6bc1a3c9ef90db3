package window

import (
	"slices"
	"sync"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// index finds, by metric name, the parts that have it, and the sources that have such a part. It changes only when an
// asset's shape does.
type index struct {
	mu     sync.RWMutex
	shapes map[*Part]*shape
	names  map[string][]*shape
}

// shape is a part that is in use.
type shape struct {
	part  *Part
	users []*source
	// names are its metrics, and at where it stands in their lists.
	names []string
	at    []int32
}

func newIndex() index { return index{shapes: map[*Part]*shape{}, names: map[string][]*shape{}} }

// add takes in a source with its part.
func (x *index) add(s *source) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.put(s, s.part)
}

// remove lets go of a source.
func (x *index) remove(s *source) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.take(s)
}

// move is called before a source's part becomes another.
func (x *index) move(s *source, to *Part) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.take(s)
	x.put(s, to)
}

func (x *index) put(s *source, p *Part) {
	sh := x.shapes[p]
	if sh == nil {
		sh = &shape{part: p, names: make([]string, len(p.Series))}
		x.shapes[p] = sh
		for i, lbls := range p.Series {
			sh.names[i] = lbls.Get(model.MetricNameLabel)
		}
		slices.Sort(sh.names)
		sh.names = slices.Clip(slices.Compact(sh.names))
		sh.at = make([]int32, len(sh.names))
		for i, n := range sh.names {
			sh.at[i] = int32(len(x.names[n]))
			x.names[n] = append(x.names[n], sh)
		}
	}
	s.at = int32(len(sh.users))
	sh.users = append(sh.users, s)
}

func (x *index) take(s *source) {
	sh := x.shapes[s.part]
	last := sh.users[len(sh.users)-1]
	sh.users[s.at], last.at = last, s.at
	sh.users[len(sh.users)-1] = nil
	if sh.users = sh.users[:len(sh.users)-1]; len(sh.users) > 0 {
		return
	}
	delete(x.shapes, s.part)
	for i, n := range sh.names {
		list := x.names[n]
		end := list[len(list)-1]
		k, _ := slices.BinarySearch(end.names, n)
		list[sh.at[i]], end.at[k] = end, sh.at[i]
		list[len(list)-1] = nil
		if x.names[n] = list[:len(list)-1]; len(list) == 1 {
			delete(x.names, n)
		}
	}
}

// matching are the shapes in which there may be series that the matchers match; the caller holds mu.
func (x *index) matching(ms []*labels.Matcher) []*shape {
	for _, m := range ms {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual && m.Value != "" {
			return x.names[m.Value]
		}
	}
	all := make([]*shape, 0, len(x.shapes))
	for _, sh := range x.shapes {
		all = append(all, sh)
	}
	return all
}

// assets are those that have series that the matchers may match, once each.
func (x *index) assets(ms []*labels.Matcher) (list []*asset) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	shapes := x.matching(ms)
	n := 0
	for _, sh := range shapes {
		n += len(sh.users)
	}
	list = make([]*asset, 0, n)
	for _, sh := range shapes {
		for _, s := range sh.users {
			list = append(list, s.asset)
		}
	}
	same := func(o *shape) bool { return o.part.Name == shapes[0].part.Name }
	if slices.ContainsFunc(shapes, func(o *shape) bool { return !same(o) }) { // an asset has a source but once
		seen := make(map[*asset]bool, len(list))
		list = slices.DeleteFunc(list, func(as *asset) bool {
			was := seen[as]
			seen[as] = true
			return was
		})
	}
	return list
}
