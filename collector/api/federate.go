package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/watchbill/watchbill/rules"
)

// lookback is how far back a series' last value still counts as alive, as in Prometheus.
const lookback = 5 * time.Minute

// maxSelectors bounds match[].
const maxSelectors = 100

// federate writes the last value of every live series in Prometheus' text format (version 0.0.4), with its time stamp,
// grouped by metric name. match[] selects as it does in Prometheus' own /federate, except that none means all. It holds
// one metric name's series at a time, never the whole fleet's.
func (a *API) federate(w http.ResponseWriter, r *http.Request) {
	sets, err := selectors(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), streamTimeout)
	defer cancel()
	// See endpoint: not every ResponseWriter has deadlines.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(streamTimeout))

	now := a.o.Now()
	q, err := a.o.Window.Querier(now.Add(-lookback).UnixMilli(), now.UnixMilli())
	if err != nil {
		a.fail(w, r, fmt.Errorf("federate: %w", err))
		return
	}
	defer func() { _ = q.Close() }()
	names, _, err := q.LabelValues(ctx, model.MetricNameLabel, nil)
	if err != nil {
		a.fail(w, r, fmt.Errorf("federate: %w", err))
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	f := federation{q: q, w: bufio.NewWriterSize(w, 32<<10), sets: sets,
		hints: &storage.SelectHints{Start: now.Add(-lookback).UnixMilli(), End: now.UnixMilli()}}
	for _, name := range names {
		if err = errors.Join(ctx.Err(), f.family(ctx, name)); err != nil {
			break
		}
	}
	if err == nil {
		err = f.w.Flush()
	}
	if err != nil {
		a.o.Logger.Warn("federation broken off", "err", err)
		panic(http.ErrAbortHandler) // the scraper must see a broken answer, not a short one
	}
}

// selectors reads match[]; the one empty set that stands for none selects everything.
func selectors(r *http.Request) ([][]*labels.Matcher, error) {
	q := r.URL.Query()
	for name := range q {
		if name != "match[]" {
			return nil, badRequest("known is: match[]", "unknown parameter %q", name)
		}
	}
	match := q["match[]"]
	if len(match) == 0 {
		return [][]*labels.Matcher{nil}, nil
	}
	if len(match) > maxSelectors {
		return nil, badRequest(fmt.Sprintf("send at most %d", maxSelectors), "there are %d selectors", len(match))
	}
	for _, text := range match {
		if err := bounded(text); err != nil {
			return nil, badRequest("select less, or by another label", "match[]: %v", err)
		}
	}
	sets, err := rules.NewParser().ParseMetricSelectors(match)
	if err != nil {
		return nil, badRequest(`a selector is like {job="node"}`, "match[]: %v", err)
	}
	return sets, nil
}

type federation struct {
	q     storage.Querier
	hints *storage.SelectHints
	w     *bufio.Writer
	sets  [][]*labels.Matcher
	it    chunkenc.Iterator
	line  []byte
}

// family writes every selected series of one metric name.
func (f *federation) family(ctx context.Context, name string) error {
	var found []storage.SeriesSet
	for _, set := range f.sets {
		if rest, ok := forName(set, name); ok {
			found = append(found, f.q.Select(ctx, true, f.hints, rest...))
		}
	}
	var all storage.SeriesSet
	switch len(found) {
	case 0:
		return nil
	case 1:
		all = found[0]
	default:
		all = storage.NewMergeSeriesSet(found, 0, storage.ChainedSeriesMerge)
	}
	titled := false
	for all.Next() {
		s := all.At()
		t, v, ok, err := f.last(s)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if !titled {
			titled = true
			f.line = append(append(append(f.line[:0], "# TYPE "...), textName(name)...), " untyped\n"...)
			if _, err := f.w.Write(f.line); err != nil {
				return err
			}
		}
		if err := f.sample(s.Labels(), t, v); err != nil {
			return err
		}
	}
	return all.Err()
}

// forName is set narrowed to one metric name, false when it cannot select any series of that name.
func forName(set []*labels.Matcher, name string) ([]*labels.Matcher, bool) {
	rest := make([]*labels.Matcher, 0, len(set)+1)
	rest = append(rest, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name))
	for _, m := range set {
		if m.Name != model.MetricNameLabel {
			rest = append(rest, m)
		} else if !m.Matches(name) {
			return nil, false
		}
	}
	return rest, true
}

// last is the newest sample of s within the look-back, false for a series that has none or has gone stale.
func (f *federation) last(s storage.Series) (t int64, v float64, ok bool, err error) {
	f.it = s.Iterator(f.it)
	for kind := f.it.Next(); kind != chunkenc.ValNone; kind = f.it.Next() {
		if kind != chunkenc.ValFloat {
			continue // agents send floats alone
		}
		st, sv := f.it.At()
		if st < f.hints.Start || st > f.hints.End {
			continue
		}
		t, v, ok = st, sv, !value.IsStaleNaN(sv)
	}
	return t, v, ok, f.it.Err()
}

// sample writes one line: name{label="value",…} value milliseconds.
func (f *federation) sample(lbls labels.Labels, t int64, v float64) error {
	b := append(f.line[:0], textName(lbls.Get(model.MetricNameLabel))...)
	sep := byte('{')
	lbls.Range(func(l labels.Label) {
		if l.Name == model.MetricNameLabel {
			return
		}
		b = append(append(b, sep), textLabel(l.Name)...)
		b = append(b, '=', '"')
		b = appendEscaped(b, l.Value)
		b = append(b, '"')
		sep = ','
	})
	if sep == ',' {
		b = append(b, '}')
	}
	b = appendValue(append(b, ' '), v)
	b = strconv.AppendInt(append(b, ' '), t, 10)
	f.line = append(b, '\n')
	_, err := f.w.Write(f.line)
	return err
}

// textName is a metric's name as version 0.0.4 can carry it; one that is not of the classic letters is escaped as
// Prometheus does.
func textName(name string) string {
	if model.LegacyValidation.IsValidMetricName(name) {
		return name
	}
	return model.EscapeName(name, model.UnderscoreEscaping)
}

// textLabel is textName for the name of a label, which cannot have a colon either.
func textLabel(name string) string {
	if model.LegacyValidation.IsValidLabelName(name) {
		return name
	}
	return strings.ReplaceAll(model.EscapeName(name, model.UnderscoreEscaping), ":", "_")
}

// appendEscaped writes a label value as the text format wants it: backslash, quote and line feed escaped, and nothing
// that is not UTF-8.
func appendEscaped(b []byte, s string) []byte {
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch r {
		case '\\':
			b = append(b, '\\', '\\')
		case '"':
			b = append(b, '\\', '"')
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, string(r)...)
		}
	}
	return b
}

func appendValue(b []byte, v float64) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(b, "+Inf"...)
	case math.IsInf(v, -1):
		return append(b, "-Inf"...)
	case math.IsNaN(v):
		return append(b, "NaN"...)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}
