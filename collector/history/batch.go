package history

import (
	"time"

	"github.com/watchbill/watchbill/rules/window"
)

// maxBatches is how many reports may wait to be written, however few samples they have.
const maxBatches = 1 << 14

// batch is samples on their way to the disk: those of one report, or some that have labels of their own.
type batch struct {
	asset  window.Asset
	blocks []block
	// values of all blocks, one behind the other.
	values []float64
	// named are samples under their own labels.
	named []Sample
}

// size is how many samples there are.
func (b *batch) size() int { return len(b.values) + len(b.named) }

// block is samples of one time: a value for each series of its layout.
type block struct {
	kind   string
	layout *window.Layout
	at     int64 // ms
}

// Append queues the samples of a report's ok blocks for Run to write, under the labels that the window gives them: those
// of their layout with job, instance, customer and site. It never blocks: when the queue is full the report is dropped
// and counted. Nothing of blocks is kept but their layouts.
func (h *History) Append(a window.Asset, blocks []window.Block) {
	h.put(h.take(a, blocks))
}

// AppendSamples queues samples under their own labels for Run to write. It never blocks: when the queue is full they are
// dropped and counted. Nothing of samples is kept but their labels. What has no labels, or labels twice, is dropped by Run
// and counted as invalid.
func (h *History) AppendSamples(samples []Sample) {
	b := h.batch()
	b.named = append(b.named, samples...)
	h.put(b)
}

// put queues b, if there is room.
func (h *History) put(b *batch) {
	n := int64(b.size())
	if n == 0 {
		h.release(b)
		return
	}
	if h.waiting.Add(n) <= int64(h.o.Queue) {
		h.unwritten.Add(n)
		select {
		case h.queue <- b:
			return
		default:
		}
		h.unwritten.Add(-n)
	}
	h.waiting.Add(-n)
	h.lose("queue_full", b)
	h.release(b)
}

// batch is an empty one.
func (h *History) batch() *batch {
	b, ok := h.spare.Get().(*batch)
	if !ok {
		b = new(batch)
	}
	return b
}

// take copies what a report says.
func (h *History) take(a window.Asset, blocks []window.Block) *batch {
	b := h.batch()
	b.asset = a
	for i := range blocks {
		x := &blocks[i]
		if x.Status != window.OK || x.Layout == nil || len(x.Values) != len(x.Layout.Series) {
			continue
		}
		b.blocks = append(b.blocks, block{kind: x.Kind, layout: x.Layout, at: x.At.UnixMilli()})
		b.values = append(b.values, x.Values...)
	}
	return b
}

// lose counts a batch that is not written, and tells of it when it is of a report.
func (h *History) lose(reason string, b *batch) {
	h.metrics.drop(reason, b.size())
	if h.o.Lost == nil || len(b.blocks) == 0 {
		return
	}
	from, to := b.blocks[0].at, b.blocks[0].at
	for _, x := range b.blocks {
		from, to = min(from, x.at), max(to, x.at)
	}
	h.o.Lost(b.asset.Name, time.UnixMilli(from), time.UnixMilli(to), len(b.values))
}

// release gives back a batch that nobody needs any more.
func (h *History) release(b *batch) {
	clear(b.blocks) // an idle batch must not keep layouts and labels alive
	clear(b.named)
	b.asset, b.blocks, b.values, b.named = window.Asset{}, b.blocks[:0], b.values[:0], b.named[:0]
	h.spare.Put(b)
}

// releaseAll gives back the batches of one commit.
func (h *History) releaseAll(done []*batch) {
	for i, b := range done {
		h.unwritten.Add(-int64(b.size()))
		h.release(b)
		done[i] = nil
	}
}
