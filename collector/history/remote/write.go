package remote

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/record"

	"github.com/watchbill/watchbill/rules/window"
)

// maxRecord is how many series or samples one frame holds at most.
const maxRecord = 4096

// setKey is what decides a block's labels.
type setKey struct {
	asset  window.Asset
	kind   string
	layout *window.Layout
}

// told is a series under its own labels that the segment knows.
type told struct {
	labels labels.Labels
	ref    chunks.HeadSeriesRef
}

// writer turns batches into frames. It belongs to the goroutine that writes. What it knows is of one segment: another one
// gives its series other numbers, from 0 on.
type writer struct {
	// sets are the first numbers of the series of blocks, which follow each other in the layout's order.
	sets map[setKey]chunks.HeadSeriesRef
	// own are series under their own labels, by the hash of those.
	own  map[uint64][]told
	next chunks.HeadSeriesRef

	encoder record.Encoder
	builder *labels.Builder
	series  []record.RefSeries
	samples []record.RefSample
	record  []byte
	frames  []byte
}

// reset forgets what a segment knew.
func (w *writer) reset() {
	w.sets, w.own, w.next = map[setKey]chunks.HeadSeriesRef{}, map[uint64][]told{}, 0
	// The second kind of record tells each sample's number and time by its difference to the one before.
	w.encoder.EnableSTStorage = true
}

// write spools batches. What cannot be written is dropped and counted.
func (r *Remote) write(batches []*batch) {
	n := 0
	for _, b := range batches {
		n += b.len()
	}
	reason, err := r.writeAll(batches, n, time.Now())
	if err != nil {
		r.metrics.unspooled(reason, n)
		r.metrics.failures.Inc()
	}
	if said := r.disk.said(err); said {
		if err != nil {
			r.o.Logger.Warn("remote write cannot spool and drops samples; it goes on by itself when it can", "dir", r.dir, "err", err)
		} else {
			r.o.Logger.Info("remote write spools again", "dir", r.dir)
		}
	}
	for i, b := range batches {
		r.queue.release(b)
		batches[i] = nil
	}
}

// writeAll spools batches of n samples or nothing of them; reason is why not, in a word.
func (r *Remote) writeAll(batches []*batch, n int, now time.Time) (reason string, err error) {
	if !r.spool.isOpen() {
		return "not_open", fmt.Errorf("remote write's spool is not open")
	}
	if err := r.disk.check(now); err != nil {
		return "disk_full", err
	}
	fresh, err := r.spool.begin(now)
	if fresh {
		r.writer.reset()
	}
	if err == nil {
		err = r.spool.append(r.writer.encode(batches, now), n, now)
		if err != nil {
			r.writer.reset() // the segment was ended
		}
	}
	if err != nil {
		return "write_failed", err
	}
	r.metrics.spooled.Add(float64(n))
	return "", nil
}

// encode is frames of all samples of batches, with the series that the segment does not know in front. They are good until the
// next call.
func (w *writer) encode(batches []*batch, now time.Time) []byte {
	w.series, w.samples, w.frames = w.series[:0], w.samples[:0], w.frames[:0]
	for _, b := range batches {
		values := b.values
		for _, x := range b.blocks {
			first := w.set(setKey{b.asset, x.kind, x.layout})
			for i := range x.layout.Series {
				w.samples = append(w.samples, record.RefSample{Ref: first + chunks.HeadSeriesRef(i), T: x.at, V: values[i]})
			}
			values = values[len(x.layout.Series):]
		}
		for _, s := range b.own {
			w.samples = append(w.samples, record.RefSample{Ref: w.ownRef(s.Labels), T: s.T, V: s.V})
		}
	}
	at := now.UnixMilli()
	for part := range slices.Chunk(w.series, maxRecord) {
		w.record = w.encoder.Series(part, w.record[:0])
		w.frames = appendFrame(w.frames, seriesFrame, 0, at, w.record)
	}
	for part := range slices.Chunk(w.samples, maxRecord) {
		w.record = w.encoder.Samples(part, w.record[:0])
		w.frames = appendFrame(w.frames, samplesFrame, len(part), at, w.record)
	}
	clear(w.series) // labels are not kept alive
	return w.frames
}

// set is the number of the first series of a block.
func (w *writer) set(k setKey) chunks.HeadSeriesRef {
	first, ok := w.sets[k]
	if ok {
		return first
	}
	first = w.next
	w.sets[k] = first
	if w.builder == nil {
		w.builder = labels.NewBuilder(labels.EmptyLabels())
	}
	for _, ls := range k.layout.Series {
		w.builder.Reset(ls)
		w.builder.Set("job", k.kind).Set("instance", k.asset.Name).Set("customer", k.asset.Customer).Set("site", k.asset.Site)
		w.tell(w.builder.Labels())
	}
	return first
}

// ownRef is the number of a series under its own labels.
func (w *writer) ownRef(ls labels.Labels) chunks.HeadSeriesRef {
	h := ls.Hash()
	for _, t := range w.own[h] {
		if labels.Equal(t.labels, ls) {
			return t.ref
		}
	}
	t := told{ls, w.tell(ls)}
	w.own[h] = append(w.own[h], t)
	return t.ref
}

// tell has a series told to the segment.
func (w *writer) tell(ls labels.Labels) chunks.HeadSeriesRef {
	ref := w.next
	w.series = append(w.series, record.RefSeries{Ref: ref, Labels: ls})
	w.next++
	return ref
}

// room tells whether there is enough free space to write: a full disk would harm everything else that writes there, too.
type room struct {
	dir   string
	least uint64
	free  func(string) (free, total uint64, err error)
	// asked is when it was looked last, err what was found.
	asked time.Time
	err   error
	// failing is true from the first write that failed to the first that did not.
	failing bool
}

// check is an error wrapping syscall.ENOSPC when there is too little free space. It looks once a second.
func (r *room) check(now time.Time) error {
	if !r.asked.IsZero() && now.Sub(r.asked) < time.Second && !now.Before(r.asked) {
		return r.err
	}
	r.asked, r.err = now, nil
	free, total, err := r.free(r.dir)
	if err != nil {
		r.err = fmt.Errorf("ask for free space in %s: %w", r.dir, err)
		return r.err
	}
	least := r.least
	if least == 0 {
		least = min(256<<20, total/20)
	}
	if free < least {
		r.err = fmt.Errorf("%s has %d MiB free and remote write's spool wants %d MiB: free some space: %w",
			r.dir, free>>20, least>>20, syscall.ENOSPC)
	}
	return r.err
}

// said tells whether a write that ended so is news.
func (r *room) said(err error) bool {
	news := r.failing != (err != nil)
	r.failing = err != nil
	return news
}
