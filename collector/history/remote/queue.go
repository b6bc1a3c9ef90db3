package remote

import (
	"sync"
	"sync/atomic"

	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/rules/window"
)

// maxBatches is how many reports may wait to be written, however few samples they have.
const maxBatches = 1 << 14

// batch is the samples of one report, or samples under their own labels, on their way to the spool.
type batch struct {
	asset  window.Asset
	blocks []block
	// values of all blocks, one behind the other.
	values []float64
	own    []history.Sample
}

func (b *batch) len() int { return len(b.values) + len(b.own) }

// block is samples of one time: a value for each series of its layout.
type block struct {
	kind   string
	layout *window.Layout
	at     int64 // ms
}

// queue is what waits to be written.
type queue struct {
	// on is false while there is nobody to send to.
	on       atomic.Bool
	waiting  chan *batch
	room     int64
	samples  atomic.Int64
	spare    sync.Pool
	gathered []*batch
}

func (q *queue) init(room int) {
	q.waiting, q.room = make(chan *batch, maxBatches), int64(room)
}

// offer queues b; false when there is no room.
func (q *queue) offer(b *batch) bool {
	n := int64(b.len())
	if q.samples.Add(n) <= q.room {
		select {
		case q.waiting <- b:
			return true
		default:
		}
	}
	q.samples.Add(-n)
	return false
}

// take is a batch that nobody uses.
func (q *queue) take() *batch {
	b, ok := q.spare.Get().(*batch)
	if !ok {
		b = new(batch)
	}
	b.blocks, b.values, b.own = b.blocks[:0], b.values[:0], b.own[:0]
	return b
}

func (q *queue) release(b *batch) {
	clear(b.blocks) // an idle batch must not keep layouts and labels alive
	clear(b.own)
	q.spare.Put(b)
}

// gather adds to b what else waits, up to one write's worth. It belongs to the goroutine that writes.
func (q *queue) gather(b *batch) []*batch {
	batches, n := append(q.gathered[:0], b), b.len()
	for n < commitSamples {
		select {
		case b := <-q.waiting:
			batches, n = append(batches, b), n+b.len()
			continue
		default:
		}
		break
	}
	q.gathered = batches
	q.samples.Add(-int64(n))
	return batches
}

// Append queues the samples of a report's ok blocks, under the labels that the window gives them: those of their layout with
// job, instance, customer and site. It never blocks: when the queue is full the report is dropped and counted. Nothing of
// blocks is kept but their layouts.
func (r *Remote) Append(a window.Asset, blocks []window.Block) {
	if !r.queue.on.Load() {
		return
	}
	b := r.queue.take()
	b.asset = a
	for i := range blocks {
		x := &blocks[i]
		if x.Status != window.OK || x.Layout == nil || len(x.Values) != len(x.Layout.Series) {
			continue
		}
		b.blocks = append(b.blocks, block{kind: x.Kind, layout: x.Layout, at: x.At.UnixMilli()})
		b.values = append(b.values, x.Values...)
	}
	r.offer(b)
}

// AppendSamples queues samples under their own labels, as Append does. Nothing of the slice is kept but its labels.
func (r *Remote) AppendSamples(samples []history.Sample) {
	if !r.queue.on.Load() {
		return
	}
	b := r.queue.take()
	b.own = append(b.own, samples...)
	r.offer(b)
}

func (r *Remote) offer(b *batch) {
	n := b.len()
	r.metrics.in.Add(float64(n))
	if n == 0 || !r.queue.offer(b) {
		r.metrics.unspooled("queue_full", n)
		r.queue.release(b)
	}
}
