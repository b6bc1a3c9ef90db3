package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// host is a server that does not exist: what its samplers would read. One goroutine uses it.
type host struct {
	name   string
	layout *layout
	// blocks are the layout's, but for those that hold the host's name or whose devices have changed.
	blocks []*block
	// values are those of all series, block by block, as declared.
	values []float64
	rand   *rand.Rand
	boot   time.Time
	read   time.Time // the last time samples was called

	// churn is the share of series that change a label in an hour; owed is how many should have and have not.
	churn float64
	owed  float64
	// renamed counts the changes, so that each gets a name of its own.
	renamed int
	broken  bool
}

// newHost boots a server some days before now. The same seed gives the same server.
func newHost(name string, l *layout, seed uint64, churn float64, now time.Time) (*host, error) {
	h := &host{
		name: name, layout: l, churn: churn, read: now,
		rand:   rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), //nolint:gosec // servers are simulated, not secrets
		blocks: append([]*block(nil), l.blocks...),
		values: make([]float64, 0, l.series),
	}
	h.boot = now.Add(-time.Hour - time.Duration(h.rand.Int64N(int64(90*24*time.Hour))))
	for i, b := range h.blocks {
		if label, ok := b.namesHost(); ok {
			own, err := b.renamed(label, ownName, name)
			if err != nil {
				return nil, err
			}
			h.blocks[i] = own
		}
		for _, m := range b.motions {
			h.values = append(h.values, m.first(h.rand, now, h.boot))
		}
	}
	return h, nil
}

// samples is what the host's samplers read at a time, one block for each. every is told as their interval.
func (h *host) samples(now time.Time, every time.Duration) ([]*wire.Block, error) {
	d := now.Sub(h.read)
	h.read = now
	if err := h.rename(d); err != nil {
		return nil, err
	}
	blocks := make([]*wire.Block, len(h.blocks))
	rest := h.values
	for i, b := range h.blocks {
		own := rest[:len(b.motions)]
		rest = rest[len(b.motions):]
		for k, m := range b.motions {
			own[k] = m.next(own[k], h.rand, now, d)
		}
		blocks[i] = h.block(b, own, now, every)
	}
	return blocks, nil
}

func (h *host) block(b *block, own []float64, now time.Time, every time.Duration) *wire.Block {
	out := &wire.Block{
		Kind: b.kind, Source: b.name, SampledAtMs: now.UnixMilli(), IntervalMs: uint32(every.Milliseconds()), //nolint:gosec // checked
		Status: wire.Block_STATUS_OK, ShapeId: b.id, Values: make([]float64, len(own)),
	}
	broken := -1
	if h.broken {
		broken = h.layout.breaks.in(b)
	}
	for slot, i := range b.order {
		out.Values[slot] = own[i]
		if int(i) == broken {
			out.Values[slot] = h.layout.breaks.to
		}
	}
	return out
}

// sizes are how many series each block of a report of h has; a change of names does not change them.
func (h *host) sizes(m *wire.Report) []int {
	if len(m.Blocks) == 0 {
		return nil
	}
	return h.layout.sizes
}

// in is the place of the series that breaks among b's; -1 when it is not there.
func (x *breakage) in(b *block) int {
	if x == nil || b.name != x.source {
		return -1
	}
	for i, s := range b.samples {
		if s.Name != x.series {
			continue
		}
		for _, l := range s.Labels {
			if l.Name == x.label && l.Value == x.value {
				return i
			}
		}
	}
	return -1
}

// rename lets devices and units go and others come, as far as d's share of churn has it: all series of one at once.
func (h *host) rename(d time.Duration) error {
	h.owed += h.churn * float64(len(h.values)) * d.Hours()
	if h.owed < 1 {
		return nil
	}
	from := h.rand.IntN(len(h.blocks))
	for k := range h.blocks {
		i := (from + k) % len(h.blocks)
		b := h.blocks[i]
		value, n := h.pick(b)
		if n == 0 {
			continue
		}
		if float64(n) > h.owed {
			return nil // more at once than is due: later
		}
		h.renamed++
		next, err := b.renamed(b.comesAndGoes, value, fmt.Sprintf("new%d", h.renamed))
		if err != nil {
			return err
		}
		h.blocks[i], h.owed = next, h.owed-float64(n)
		return nil
	}
	return nil
}

// pick is a value of the label that comes and goes in b, and how many series have it. What a value fault breaks stays.
func (h *host) pick(b *block) (value string, n int) {
	if b.comesAndGoes == "" {
		return "", 0
	}
	value = labelOf(b.samples[h.rand.IntN(len(b.samples))], b.comesAndGoes)
	if x := h.layout.breaks; value == "" || x != nil && x.source == b.name && x.value == value {
		return "", 0
	}
	for _, s := range b.samples {
		if labelOf(s, b.comesAndGoes) == value {
			n++
		}
	}
	return value, n
}

func labelOf(s wire.Sample, name string) string {
	for _, l := range s.Labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// shape finds a shape of one of the host's present blocks.
func (h *host) shape(id []byte) (*wire.Shape, bool) {
	for _, b := range h.blocks {
		if string(b.id) == string(id) {
			s, err := b.shape()
			return s, err == nil
		}
	}
	return nil, false
}

// inventory is what the host says of itself.
func (h *host) inventory() *wire.Inventory {
	v := &wire.Inventory{
		Hostname: h.name, Os: h.layout.os, Architecture: "x86_64", Cpus: 2, MemoryBytes: 8 << 30, Zone: "Europe/London",
		AgentVersion: "simulated", BootedAtMs: h.boot.UnixMilli(), OsVersion: "Debian GNU/Linux 12", Kernel: "6.1.0-38-amd64",
	}
	if h.layout.os == osWindows {
		v.OsVersion, v.Kernel, v.MemoryBytes = "Windows Server 2022", "10.0.20348", 16<<30
	}
	return v
}
