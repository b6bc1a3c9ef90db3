// Package window holds the samples that rules read, in memory, as far back as some rule looks. It is pure: what comes
// in carries its time.
package window

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Asset is whose samples they are. Its labels are added to every series: instance, customer, site.
type Asset struct{ Name, Customer, Site string }

// Layout is the ordered label sets of a block, without the asset's identity and without job; immutable and shared by
// every asset that reports in this shape.
type Layout struct {
	ID     [32]byte
	Series []labels.Labels
}

// Status says whether a block holds samples.
type Status uint8

// The statuses of a block.
const (
	OK Status = iota + 1
	// Failed: the sampler could not look. What it used to report is unknown.
	Failed
	// Unchanged: as the block before it.
	Unchanged
)

// Block is what one sampler produced for one asset at one time.
type Block struct {
	// Source is unique per asset: cpu, filesystem. Kind becomes the job label. A block without a kind comes from outside:
	// its series have jobs of their own, it says nothing about whether the asset's agent reports, and the house writes no
	// `up` for it.
	Source, Kind string
	At           time.Time
	Interval     time.Duration
	Status       Status
	// Reason says why it failed.
	Reason string
	// Layout and Values are set when Status is OK: one value per series.
	Layout *Layout
	Values []float64
	// Late blocks fill windows behind what is already there; they are never the newest word about an asset.
	Late bool
}
