package history

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// MaxCurves is how many series one Series call returns at most.
const MaxCurves = 200

// Point is one value of a curve.
type Point struct {
	T time.Time
	V float64
}

// Curve is one series over time, oldest point first.
type Curve struct {
	Labels labels.Labels
	Points []Point
}

// Series returns the series that all matchers select, with their samples in [from, to], thinned to maxPoints each (see
// Thin). What no chart can show is left out: stale markers, NaN, infinities, histograms; and a series of which nothing
// is left. ErrTooMany when there are more than MaxCurves, ErrUnavailable when there is no history now.
func (h *History) Series(ctx context.Context, matchers []*labels.Matcher, from, to time.Time, maxPoints int) ([]Curve, error) {
	return Curves(ctx, h.Queryable(), matchers, from, to, maxPoints)
}

// Curves is Series of whatever keeps samples.
func Curves(ctx context.Context, of storage.Queryable, matchers []*labels.Matcher, from, to time.Time, maxPoints int) (curves []Curve, err error) {
	if len(matchers) == 0 {
		return nil, fmt.Errorf("read history: no matcher; name at least the metric")
	}
	q, err := of.Querier(from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := q.Close(); e != nil && err == nil {
			err = fmt.Errorf("read history: %w", e)
		}
	}()
	set := q.Select(ctx, true, nil, matchers...)
	var it chunkenc.Iterator
	for set.Next() {
		s := set.At()
		it = s.Iterator(it)
		points, err := pointsOf(it)
		if err != nil {
			return nil, fmt.Errorf("read history of %s: %w", s.Labels(), err)
		}
		switch {
		case len(points) == 0:
			continue
		case len(curves) == MaxCurves:
			return nil, fmt.Errorf("read history: %w: more than %d; narrow the matchers", ErrTooMany, MaxCurves)
		}
		curves = append(curves, Curve{Labels: s.Labels().Copy(), Points: Thin(points, maxPoints)})
	}
	if err := set.Err(); err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	return curves, ctx.Err()
}

func pointsOf(it chunkenc.Iterator) ([]Point, error) {
	var points []Point
	for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
		if typ != chunkenc.ValFloat {
			continue
		}
		t, v := it.At()
		if value.IsStaleNaN(v) || math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		points = append(points, Point{T: time.UnixMilli(t).UTC(), V: v})
	}
	return points, it.Err()
}

// Thin returns at most max(n, 4) of points, which are in order of time. The first and the last stay; what lies between
// is cut into (n−2)/2 slices of equal time, and each keeps its lowest and its highest point, in order of time. So no
// peak and no dip is lost, however short, and no point is made up.
func Thin(points []Point, n int) []Point {
	n = max(n, 4)
	if len(points) <= n {
		return points
	}
	first, last := points[0], points[len(points)-1]
	slices := int64(n-2) / 2
	span := last.T.Sub(first.T)
	thin := append(make([]Point, 0, n), first)
	inner := points[1 : len(points)-1]
	for from := 0; from < len(inner); {
		slice := sliceOf(inner[from].T.Sub(first.T), span, slices)
		low, high, end := from, from, from+1
		for ; end < len(inner) && sliceOf(inner[end].T.Sub(first.T), span, slices) == slice; end++ {
			if inner[end].V < inner[low].V {
				low = end
			}
			if inner[end].V > inner[high].V {
				high = end
			}
		}
		thin = append(thin, inner[min(low, high)])
		if low != high {
			thin = append(thin, inner[max(low, high)])
		}
		from = end
	}
	return append(thin, last)
}

// sliceOf is which of n slices of span a point at offset lies in.
func sliceOf(offset, span time.Duration, n int64) int64 {
	return min(int64(float64(offset)/float64(span)*float64(n)), n-1)
}

// Queryable reads the history for a PromQL engine. A querier holds the files open until it is closed.
func (h *History) Queryable() storage.Queryable {
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		s := h.shelf.Load()
		// Not RLock: it would wait for a Close that itself waits for a querier of the same reader.
		if s == nil || !s.readers.TryRLock() {
			return nil, fmt.Errorf("read history: %w; see the log for why, it comes back by itself", ErrUnavailable)
		}
		q, err := s.db.Querier(mint, maxt)
		if err != nil {
			s.readers.RUnlock()
			return nil, fmt.Errorf("read history: %w", err)
		}
		return &querier{Querier: q, done: sync.OnceFunc(s.readers.RUnlock)}, nil
	})
}

// querier lets go of its shelf when it is closed.
type querier struct {
	storage.Querier
	done func()
}

func (q *querier) Close() error {
	defer q.done()
	return q.Querier.Close()
}
