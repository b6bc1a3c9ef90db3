package collector

import (
	"math"

	"github.com/prometheus/prometheus/model/value"

	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/rules/window"
)

// keeper takes samples for good: the history, and what writes them on to engines elsewhere. It never blocks.
type keeper interface {
	// Append takes the ok blocks of a report. Nothing of blocks is kept but their layouts.
	Append(window.Asset, []window.Block)
	// AppendSamples takes samples under their own labels. Nothing of the slice is kept but its labels.
	AppendSamples([]history.Sample)
}

// curves hands samples to everything that keeps them. Whoever has samples hands them here, and nowhere else.
type curves []keeper

// Append hands on the blocks of a report.
func (c curves) Append(a window.Asset, blocks []window.Block) {
	for _, k := range c {
		k.Append(a, blocks)
	}
}

// AppendSamples hands on samples that have their labels.
func (c curves) AppendSamples(samples []history.Sample) {
	for _, k := range c {
		k.AppendSamples(samples)
	}
}

// endings are the stale markers of series that ended, without which they would be seen for as long as a last value stands.
func endings(all []window.Ended) []history.Sample {
	var out []history.Sample
	for _, e := range all {
		out = append(out, history.Sample{Labels: e.Labels, T: e.At.UnixMilli(), V: math.Float64frombits(value.StaleNaN)})
	}
	return out
}

func (c *Collector) curves() curves {
	var all curves
	if c.history != nil {
		all = append(all, c.history)
	}
	if c.remote != nil { // a rehearsal has none
		all = append(all, c.remote)
	}
	return all
}
