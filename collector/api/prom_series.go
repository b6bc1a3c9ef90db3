package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/watchbill/watchbill/collector/ingest"
)

// maxListed bounds lists of series, names and values: they are in memory whole. A list that is cut says so.
const maxListed = 100_000

// listing is what the three lists read of a request.
type listing struct {
	limit      int
	start, end time.Time
	sets       [][]*labels.Matcher
}

// listing reads a request for a list. wrong gives the form of the error about match[].
func (a *API) listing(c *promCall, wrong func(error) error) (l listing, err error) {
	if l.limit, err = wantedOf(c.value("limit")); err != nil {
		return l, badParameter("limit", err)
	}
	if l.start, l.end, err = c.span(); err != nil {
		return l, err
	}
	sets, err := readSelectors(c.matchers())
	if err != nil {
		return l, wrong(err)
	}
	l.sets = c.reach.narrow(sets)
	a.queries.metrics.count(c.reach)
	if l.limit == 0 || l.limit > maxListed {
		l.limit = maxListed
	}
	return l, nil
}

// badMatch is how lists of labels refuse match[]; series names the parameter.
func badMatch(err error) error { return &promError{Type: promBadData, Err: err} }

// promSeries lists the label sets of series that any of match[] selects.
func (a *API) promSeries(c *promCall) (promAnswer, error) {
	if len(c.matchers()) == 0 {
		return promAnswer{}, promErrorf(promBadData, "no match[] parameter provided")
	}
	l, err := a.listing(c, func(err error) error { return badParameter("match[]", err) })
	if err != nil {
		return promAnswer{}, err
	}
	q, err := a.source(c).Querier(l.start.UnixMilli(), l.end.UnixMilli())
	if err != nil {
		return promAnswer{}, queryError(err)
	}
	out := promAnswer{done: func() { _ = q.Close() }}
	hints := &storage.SelectHints{Start: l.start.UnixMilli(), End: l.end.UnixMilli(), Func: "series", Limit: l.limit + 1}
	ctx := c.r.Context()
	set := q.Select(ctx, len(l.sets) > 1, hints, l.sets[0]...)
	if len(l.sets) > 1 {
		found := []storage.SeriesSet{set}
		for _, ms := range l.sets[1:] {
			found = append(found, q.Select(ctx, true, hints, ms...))
		}
		set = storage.NewMergeSeriesSet(found, 0, storage.ChainedSeriesMerge)
	}
	series := []labels.Labels{}
	for set.Next() {
		if len(series) == l.limit {
			c.note(errTruncated)
			break
		}
		series = append(series, set.At().Labels())
		if len(series)%128 == 0 && ctx.Err() != nil {
			return out, contextError(ctx.Err(), "list of series")
		}
	}
	if err := set.Err(); err != nil {
		return out, queryError(err)
	}
	c.notes.Merge(set.Warnings())
	out.data = series
	return out, nil
}

// promLabelNames lists the names of labels.
func (a *API) promLabelNames(c *promCall) (promAnswer, error) {
	return a.promWords(c, func(q storage.Querier, h *storage.LabelHints, ms []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelNames(c.r.Context(), h, ms...)
	})
}

// promLabelValues lists the values of one label.
func (a *API) promLabelValues(c *promCall) (promAnswer, error) {
	name := c.r.PathValue("name")
	if strings.HasPrefix(name, "U__") {
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return promAnswer{}, promErrorf(promBadData, "invalid label name: %q", name)
	}
	return a.promWords(c, func(q storage.Querier, h *storage.LabelHints, ms []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelValues(c.r.Context(), name, h, ms...)
	})
}

// promWords lists names or values of labels, of the series that any of match[] selects.
func (a *API) promWords(c *promCall, read func(storage.Querier, *storage.LabelHints, []*labels.Matcher) ([]string, annotations.Annotations, error)) (promAnswer, error) {
	l, err := a.listing(c, badMatch)
	if err != nil {
		return promAnswer{}, err
	}
	q, err := a.source(c).Querier(l.start.UnixMilli(), l.end.UnixMilli())
	if err != nil {
		return promAnswer{}, queryError(err)
	}
	defer func() { _ = q.Close() }()
	if len(l.sets) == 0 {
		l.sets = [][]*labels.Matcher{nil}
	}
	words := []string{}
	for _, ms := range l.sets {
		found, notes, err := read(q, &storage.LabelHints{Limit: l.limit + 1}, ms)
		if err != nil {
			return promAnswer{}, queryError(err)
		}
		c.notes.Merge(notes)
		words = append(words, found...)
	}
	for i, w := range words { // the storage's memory may go away with the querier
		words[i] = strings.Clone(w)
	}
	slices.Sort(words)
	words = slices.Compact(words)
	if len(words) > l.limit {
		words = words[:l.limit]
		c.note(errTruncated)
	}
	return promAnswer{data: words}, nil
}

// metricMetadata is what is known of a metric.
type metricMetadata struct {
	Type string `json:"type"`
	Unit string `json:"unit"`
	Help string `json:"help"`
}

// promMetadata lists the metrics of which there are series that who asks may see, with what this collector says of its own and
// senders of remote write of theirs. Agents send no help and no types: what ends in _total is a counter by its name, of the
// others it is not known.
func (a *API) promMetadata(c *promCall) (promAnswer, error) {
	limit, err := c.countOf("limit")
	if err != nil {
		return promAnswer{}, err
	}
	if _, err := c.countOf("limit_per_metric"); err != nil { // there is one of each
		return promAnswer{}, err
	}
	now := a.o.Now()
	q, err := a.source(c).Querier(now.Add(-lookback).UnixMilli(), now.UnixMilli())
	if err != nil {
		return promAnswer{}, queryError(err)
	}
	defer func() { _ = q.Close() }()
	names, _, err := q.LabelValues(c.r.Context(), model.MetricNameLabel, nil, c.reach.must...)
	if err != nil {
		return promAnswer{}, queryError(fmt.Errorf("list metrics: %w", err))
	}
	out, about := map[string][]metricMetadata{}, a.about()
	for _, name := range names {
		if limit >= 0 && len(out) >= limit {
			break
		}
		family, m := familyOf(name, about)
		if want := c.value("metric"); want == "" || want == family {
			out[strings.Clone(family)] = []metricMetadata{m}
		}
	}
	return promAnswer{data: out}, nil
}

// familyOf is the metric that a series belongs to, and what is known of it: of a histogram and a summary that senders told of
// it is what stands before _bucket, _sum and _count.
func familyOf(name string, about map[string]ingest.RemoteMetadata) (string, metricMetadata) {
	if said, ok := about[name]; ok {
		return name, metricMetadata{string(said.Type), said.Unit, said.Help}
	}
	if at := strings.LastIndexByte(name, '_'); at > 0 && slices.Contains([]string{"_bucket", "_sum", "_count"}, name[at:]) {
		said := about[name[:at]]
		if said.Type == model.MetricTypeHistogram || said.Type == model.MetricTypeSummary {
			return name[:at], metricMetadata{string(said.Type), said.Unit, said.Help}
		}
	}
	m := metricMetadata{Type: string(model.MetricTypeUnknown)}
	if strings.HasSuffix(name, "_total") {
		m.Type = string(model.MetricTypeCounter)
	}
	return name, m
}
