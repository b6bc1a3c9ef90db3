package history

import "github.com/watchbill/watchbill/rules/window"

// maxBatches is how many reports may wait to be written, however few samples they have.
const maxBatches = 1 << 14

// batch is the samples of one report on their way to the disk.
type batch struct {
	asset  window.Asset
	blocks []block
	// values of all blocks, one behind the other.
	values []float64
}

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
	b := h.take(a, blocks)
	n := int64(len(b.values))
	if n == 0 {
		h.spare.Put(b)
		return
	}
	if h.waiting.Add(n) <= int64(h.o.Queue) {
		select {
		case h.queue <- b:
			return
		default:
		}
	}
	h.waiting.Add(-n)
	h.metrics.drop("queue_full", int(n))
	h.release(b)
}

// take copies what a report says.
func (h *History) take(a window.Asset, blocks []window.Block) *batch {
	b, ok := h.spare.Get().(*batch)
	if !ok {
		b = new(batch)
	}
	b.asset, b.blocks, b.values = a, b.blocks[:0], b.values[:0]
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

// release gives back a batch that nobody needs any more.
func (h *History) release(b *batch) {
	clear(b.blocks) // an idle batch must not keep layouts alive
	h.spare.Put(b)
}

// releaseAll gives back the batches of one commit.
func (h *History) releaseAll(done []*batch) {
	for i, b := range done {
		h.release(b)
		done[i] = nil
	}
}
