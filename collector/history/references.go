package history

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/watchbill/watchbill/rules/window"
)

// forgetAfter is how many rounds of upkeep, a minute each, references stay that are not used: slow samplers report every
// two minutes. The TSDB itself keeps a series in memory for longer, and spends a hundred times what a reference takes on
// it: so references need no bound of their own.
const forgetAfter = 10

// references are the TSDB's names for the series that come in, by asset and layout. One that the TSDB has let go of, as
// its head does with series that nobody writes, is noticed when it is used and looked up anew by its labels. They belong
// to the goroutine that writes; the zero value is ready.
type references struct {
	// of is the shelf that the references are of: another one gives other references.
	of   *shelf
	sets map[setKey]*set
	// named are those of samples with labels of their own, by the labels' hash.
	named map[uint64]*named
	// round counts upkeep.
	round   int
	builder *labels.Builder
	// gathered is room for the batches of one commit.
	gathered []*batch
}

// setKey is what decides a block's labels.
type setKey struct {
	asset  window.Asset
	kind   string
	layout *window.Layout
}

// set is the references of one block's series, in the layout's order; 0 where there is none yet.
type set struct {
	refs []storage.SeriesRef
	used int // in this round of upkeep
}

// named is the reference of one series.
type named struct {
	labels labels.Labels
	ref    storage.SeriesRef
	used   int // in this round of upkeep
}

// tally is what became of the samples of one commit.
type tally struct{ written, lookedUp, tooOld, duplicate, invalid int }

// appendAll commits batches as one, or nothing of them.
func (r *references) appendAll(s *shelf, batches []*batch, t *tally) error {
	if r.of != s || r.sets == nil {
		r.of, r.sets, r.named = s, map[setKey]*set{}, map[uint64]*named{}
	}
	app := s.db.Appender(context.Background())
	for _, b := range batches {
		values := b.values
		for _, x := range b.blocks {
			n := len(x.layout.Series)
			if err := r.append(app, setKey{b.asset, x.kind, x.layout}, x.at, values[:n], t); err != nil {
				return errors.Join(fmt.Errorf("append to history: %w", err), app.Rollback())
			}
			values = values[n:]
		}
		for i := range b.named {
			if err := r.appendNamed(app, &b.named[i], t); err != nil {
				return errors.Join(fmt.Errorf("append to history: %w", err), app.Rollback())
			}
		}
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("commit to history: %w", err)
	}
	return nil
}

// append appends one block. Samples that no history takes are left out and counted.
func (r *references) append(app storage.Appender, k setKey, at int64, values []float64, t *tally) error {
	known := r.sets[k]
	if known == nil {
		known = &set{refs: make([]storage.SeriesRef, len(values))}
		r.sets[k] = known
	}
	known.used = r.round
	for i, v := range values {
		err := tsdb.ErrInvalidSample
		if ref := known.refs[i]; ref != 0 {
			_, err = app.Append(ref, labels.EmptyLabels(), at, v)
		}
		if err != nil && errors.Is(err, tsdb.ErrInvalidSample) { // new here, or the TSDB has let go of it
			t.lookedUp++
			known.refs[i], err = app.Append(0, r.labels(k, i), at, v)
		}
		if err := t.count(err); err != nil {
			return err
		}
	}
	return nil
}

// appendNamed appends a sample that has its labels. Of two series whose labels have the same hash, the later one is looked
// up each time.
func (r *references) appendNamed(app storage.Appender, x *Sample, t *tally) error {
	hash := x.Labels.Hash()
	known := r.named[hash]
	if known == nil {
		known = &named{labels: x.Labels}
		r.named[hash] = known
	}
	err := tsdb.ErrInvalidSample
	mine := labels.Equal(known.labels, x.Labels)
	if mine {
		known.used = r.round
		if known.ref != 0 {
			_, err = app.Append(known.ref, labels.EmptyLabels(), x.T, x.V)
		}
	}
	if err != nil && errors.Is(err, tsdb.ErrInvalidSample) {
		t.lookedUp++
		var ref storage.SeriesRef
		ref, err = app.Append(0, x.Labels, x.T, x.V)
		if mine {
			known.ref = ref
		}
	}
	return t.count(err)
}

// count notes what became of one sample; what it returns concerns more than that one.
func (t *tally) count(err error) error {
	switch {
	case err == nil:
		t.written++
	case errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds),
		errors.Is(err, storage.ErrOutOfOrderSample):
		t.tooOld++
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		t.duplicate++
	case errors.Is(err, tsdb.ErrInvalidSample):
		t.invalid++
	default:
		return err
	}
	return nil
}

// labels are those of the i-th series of a block.
func (r *references) labels(k setKey, i int) labels.Labels {
	if r.builder == nil {
		r.builder = labels.NewBuilder(labels.EmptyLabels())
	}
	r.builder.Reset(k.layout.Series[i])
	r.builder.Set("job", k.kind).Set("instance", k.asset.Name).Set("customer", k.asset.Customer).Set("site", k.asset.Site)
	return r.builder.Labels()
}

// forget lets go of references that were not used for long. It is part of upkeep.
func (r *references) forget() {
	r.round++
	for k, s := range r.sets {
		if r.round-s.used > forgetAfter {
			delete(r.sets, k)
		}
	}
	for k, s := range r.named {
		if r.round-s.used > forgetAfter {
			delete(r.named, k)
		}
	}
}
