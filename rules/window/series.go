package window

import (
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// view is a series as it stood when it was selected: slabs, opened when it is read, and the samples behind them.
type view struct {
	asset      *Asset
	with       *labels.ScratchBuilder // shared by all of a selection
	of         labels.Labels
	lbls       labels.Labels
	id         uint64
	slabs      []slab
	mint, maxt int64
	t          []int64
	v          []float64
}

// Labels are made when they are asked for.
func (v *view) Labels() labels.Labels {
	if v.lbls.IsEmpty() {
		v.lbls = v.asset.build(v.with, v.of)
	}
	return v.lbls
}

// Iterator is storage.Series'.
func (v *view) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	i, ok := it.(*iterator)
	if !ok {
		i = &iterator{}
	}
	i.at, i.t, i.v = -1, v.t, v.v
	if len(v.slabs) > 0 {
		t, x := i.mem.t[:0], i.mem.v[:0]
		for k := range v.slabs {
			t, x = v.slabs[k].gather(v.id, v.mint, v.maxt, &i.mem.decoder, t, x)
		}
		i.mem.t, i.mem.v = append(t, v.t...), append(x, v.v...)
		i.t, i.v = tidySamples(i.mem.t, i.mem.v, 0, nil)
	}
	return i
}

type seriesSet struct {
	found []*view
	at    int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.found) }
func (s *seriesSet) At() storage.Series                { return s.found[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// millis is a time stamp as the engine has it: milliseconds since the epoch.
type millis = int64

// iterator walks a view; the window holds floats only.
type iterator struct {
	t   []int64
	v   []float64
	at  int
	mem Buffer
}

func (i *iterator) Next() chunkenc.ValueType {
	i.at++
	return i.kind()
}

func (i *iterator) kind() chunkenc.ValueType {
	if i.at < len(i.t) {
		return chunkenc.ValFloat
	}
	return chunkenc.ValNone
}

// Seek goes to the first sample at or after t, never back.
func (i *iterator) Seek(t millis) chunkenc.ValueType {
	i.at = max(i.at, 0)
	if i.at < len(i.t) && i.t[i.at] < t {
		n, _ := slices.BinarySearch(i.t[i.at:], t)
		i.at += n
	}
	return i.kind()
}

func (i *iterator) At() (int64, float64) { return i.t[i.at], i.v[i.at] }
func (i *iterator) AtT() int64           { return i.t[i.at] }
func (i *iterator) AtST() int64          { return 0 }
func (i *iterator) Err() error           { return nil }

func (i *iterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return i.t[i.at], nil
}

func (i *iterator) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return i.t[i.at], nil
}
