// Package sample looks inward: what this host's kernel, file systems and services say of themselves, under the names
// the Prometheus exporters gave them.
package sample

import (
	"context"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// Reading is what one sampler found at one time.
type Reading struct {
	Samples []wire.Sample
	Tables  []*wire.Table
	// Events carry kind, time, text and fields; the agent gives them their ID.
	Events []*wire.Event
}

// Sampler looks at one thing. It keeps what it needs between readings, starts no process and no goroutine that
// outlives Read, and returns within ctx. Read is called from one goroutine at a time. With an error only the events of the
// Reading count: a source that is partly out of reach tells what it has seen of the rest. A Read that is called has the
// events of the one before taken.
type Sampler interface {
	Read(ctx context.Context, now time.Time) (Reading, error)
}

// Source is a sampler with its place in a report.
type Source struct {
	// Name is the block's source: cpu, filesystem.
	Name string
	// Kind is the block's kind, which becomes the job label: node. Empty for a sampler that only makes tables.
	Kind string
	// Every is how often it is worth reading; zero means with every report.
	Every   time.Duration
	Sampler Sampler
}
