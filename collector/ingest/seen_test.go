package ingest

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/agent/wire"
)

// TestSeenModel: as long as nothing is forgotten, seen is a set.
func TestSeenModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s seen
		type name struct{ epoch, sequence uint64 }
		model := map[name]bool{}
		var newest name
		for range rapid.IntRange(0, 200).Draw(t, "reports") {
			n := name{rapid.Uint64Range(1, 4).Draw(t, "epoch"), rapid.Uint64Range(1, 60).Draw(t, "sequence")}
			if got := s.has(n.epoch, n.sequence); got != model[n] {
				t.Fatalf("%v seen: %v", n, got)
			}
			behind := n.epoch < newest.epoch || n.epoch == newest.epoch && n.sequence < newest.sequence
			if got := s.behind(n.epoch, n.sequence); got != behind {
				t.Fatalf("%v behind %v: %v", n, newest, got)
			}
			s.add(n.epoch, n.sequence)
			model[n] = true
			if !behind {
				newest = n
			}
			for _, e := range s.epochs {
				for i := 1; i < len(e.spans); i++ {
					if e.spans[i-1].to+1 >= e.spans[i].from {
						t.Fatalf("spans touch: %v", e.spans)
					}
				}
			}
		}
		for n := range model {
			if !s.has(n.epoch, n.sequence) {
				t.Fatalf("%v is forgotten", n)
			}
		}
	})
}

// TestSeenBounds: whatever an agent sends, little is remembered, and what is claimed was really there.
func TestSeenBounds(t *testing.T) {
	var s seen
	for epoch := uint64(1); epoch <= 100; epoch++ {
		for n := uint64(1); n <= 1000; n++ {
			s.add(epoch, 2*n)
		}
	}
	if len(s.epochs) != maxEpochs || len(s.epochs[0].spans) != maxSpans {
		t.Fatalf("%d epochs of %d spans", len(s.epochs), len(s.epochs[0].spans))
	}
	for n := uint64(1); n <= 2001; n++ {
		if s.has(100, n) && n%2 == 1 {
			t.Fatalf("%d was never there", n)
		}
	}
	if !s.has(100, 2000) || s.has(1, 2000) {
		t.Error("the newest must be remembered, not the oldest")
	}
	s.add(100, ^uint64(0)) // the last number there is
	spans := slices.Clone(s.epochs[maxEpochs-1].spans)
	s.add(100, ^uint64(0))
	if !slices.Equal(spans, s.epochs[maxEpochs-1].spans) {
		t.Error("the last number twice is not the same as once")
	}
	if !s.has(100, ^uint64(0)) || s.has(100, 1) {
		t.Error("the last number")
	}
}

// TestReordered: reports come in any order and some of them twice. Each takes effect once, and among the blocks that
// count as live, time only moves forward.
func TestReordered(t *testing.T) {
	const n = 24
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, nil)
		c := w.enrol("acme", "leeds", "web1")
		reports := make([]*wire.Report, n)
		for k := range reports {
			reports[k] = c.report(c.block("cpu", 2, time.Duration(n-k)*time.Second))
			if k >= n/2 { // a new process
				reports[k].Epoch, reports[k].Sequence = 2, uint64(k-n/2+1)
			}
		}
		order := rapid.Permutation(append(slices.Clone(reports), reports[:n/3]...)).Draw(rt, "order")
		for _, m := range order {
			c.deliver(m)
		}
		type name struct{ epoch, sequence uint64 }
		applied, live := map[name]int{}, time.Time{}
		for _, r := range w.sink.all() {
			applied[name{r.Epoch, r.Sequence}]++
			b := r.Blocks[0]
			if b.Late {
				continue
			}
			if r.Replayed || !b.At.After(live) {
				rt.Fatalf("a live block goes back from %v to %v", live, b.At)
			}
			live = b.At
		}
		for _, m := range reports {
			if got := applied[name{m.Epoch, m.Sequence}]; got != 1 {
				rt.Fatalf("report %d/%d was applied %d times", m.Epoch, m.Sequence, got)
			}
		}
	})
}
