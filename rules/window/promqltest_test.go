package window

import (
	"context"
	"errors"
	"path"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/teststorage"
)

// notOurs are the files of Prometheus' own corpus that a window cannot pass, each with its reason.
var notOurs = map[string]string{
	"start_timestamps.test": "the window keeps no start times of counters: agents do not send any",
}

// TestPrometheusOwnCorpus runs the corpus of expressions and results that Prometheus tests its engine with over windows.
// Native histograms, which a window does not hold, lie beside it in Prometheus' own storage.
func TestPrometheusOwnCorpus(t *testing.T) {
	promqltest.RunBuiltinTestsWithStorage(chosen{t}, promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery),
		func(t testing.TB) storage.Storage {
			w := New(Options{MaxLookback: 10 * 365 * 24 * time.Hour})
			w.SetLookback(10 * 365 * 24 * time.Hour)
			return corpus{w, teststorage.New(t)}
		})
}

// chosen leaves out the files of notOurs.
type chosen struct{ *testing.T }

func (c chosen) Run(name string, run func(*testing.T)) bool {
	return c.T.Run(name, func(t *testing.T) {
		if why := notOurs[path.Base(name)]; why != "" {
			t.Skip(why)
		}
		run(t)
	})
}

// corpus is a window into which series of any labels are written, as recording rules do, with histograms beside it.
type corpus struct {
	w    *Window
	rest storage.Storage
}

func (s corpus) Querier(mint, maxt int64) (storage.Querier, error) {
	floats, err := s.w.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	rest, err := s.rest.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	return storage.NewMergeQuerier([]storage.Querier{floats, rest}, nil, storage.ChainedSeriesMerge), nil
}

func (s corpus) ChunkQuerier(_, _ int64) (storage.ChunkQuerier, error) {
	return nil, errors.New("a window has no chunks")
}
func (s corpus) Appender(ctx context.Context) storage.Appender { return s.rest.Appender(ctx) }
func (s corpus) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return corpusAppender{s.rest.AppenderV2(ctx), s.w}
}
func (s corpus) StartTime() (int64, error) { return 0, nil }
func (s corpus) Close() error              { return s.rest.Close() }

type corpusAppender struct {
	storage.AppenderV2
	w *Window
}

func (a corpusAppender) Append(ref storage.SeriesRef, lbls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AppendV2Options) (storage.SeriesRef, error) {
	if h != nil || fh != nil {
		return a.AppenderV2.Append(ref, lbls, st, t, v, h, fh, o)
	}
	a.w.AppendRecorded(lbls, timestamp.Time(t), v)
	return 0, nil
}
