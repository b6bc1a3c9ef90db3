package main

import (
	"fmt"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// Bounds of a layout's size: below, not even what every server has would fit; above, no agent's reports are taken.
const (
	minSeries = 175
	maxSeries = 8000
)

// ownName stands in a label for the name of the host.
const ownName = "{host}"

// series is one time series of a source and how its value moves.
type series struct {
	name   string
	labels []wire.Label
	motion motion
}

// source is what one sampler of an agent reports.
type source struct {
	kind, name string
	// comesAndGoes is the label whose values do on real hosts: devices, units. Empty when the source's series stay.
	comesAndGoes string
	series       []series
}

// one is a series; labels are name and value in turn.
func one(m motion, name string, labels ...string) series {
	s := series{name: name, motion: m}
	for i := 0; i+1 < len(labels); i += 2 {
		s.labels = append(s.labels, wire.Label{Name: labels[i], Value: labels[i+1]})
	}
	return s
}

// block is a source as it goes over the wire. Blocks are shared by the hosts that report the same and never change.
type block struct {
	kind, name   string
	comesAndGoes string
	samples      []wire.Sample // names and labels, as declared; values unused
	motions      []motion      // one per sample
	// order is where a slot of the wire's order is among samples.
	order []int32
	id    []byte // of the shape
}

// newBlock finds out the order of the series on the wire and the shape's ID.
func newBlock(s source) (*block, error) {
	b := &block{kind: s.kind, name: s.name, comesAndGoes: s.comesAndGoes}
	for _, one := range s.series {
		b.samples = append(b.samples, wire.Sample{Name: one.name, Labels: one.labels})
		b.motions = append(b.motions, one.motion)
	}
	return b, b.arrange()
}

// arrange has the wire's own builder sort the series: each sample's value is its place among them.
func (b *block) arrange() error {
	numbered := make([]wire.Sample, len(b.samples))
	for i, s := range b.samples {
		numbered[i] = wire.Sample{Name: s.Name, Labels: s.Labels, Value: float64(i)}
	}
	made, err := wire.NewBuilder(wire.DefaultLimits()).Block(b.kind, b.name, time.UnixMilli(1), time.Second, numbered)
	if err != nil {
		return fmt.Errorf("simulated source %s: %w", b.name, err)
	}
	b.id = made.ShapeId
	b.order = make([]int32, len(made.Values))
	for slot, v := range made.Values {
		b.order[slot] = int32(v)
	}
	return nil
}

// shape is the block's shape in full, made anew each time: it is asked for once, if at all.
func (b *block) shape() (*wire.Shape, error) {
	w := wire.NewBuilder(wire.DefaultLimits())
	if _, err := w.Block(b.kind, b.name, time.UnixMilli(1), time.Second, b.samples); err != nil {
		return nil, fmt.Errorf("simulated source %s: %w", b.name, err)
	}
	s, ok := w.Shape(b.id)
	if !ok {
		return nil, fmt.Errorf("simulated source %s: its shape has another ID now", b.name)
	}
	return s, nil
}

// renamed is b with one value of a label replaced by another.
func (b *block) renamed(label, from, to string) (*block, error) {
	n := &block{kind: b.kind, name: b.name, comesAndGoes: b.comesAndGoes, motions: b.motions}
	n.samples = make([]wire.Sample, len(b.samples))
	for i, s := range b.samples {
		n.samples[i] = s
		for k, l := range s.Labels {
			if l.Name != label || l.Value != from {
				continue
			}
			labels := append([]wire.Label(nil), s.Labels...)
			labels[k].Value = to
			n.samples[i].Labels = labels
			break
		}
	}
	return n, n.arrange()
}

// namesHost tells whether b holds the host's own name.
func (b *block) namesHost() (label string, ok bool) {
	for _, s := range b.samples {
		for _, l := range s.Labels {
			if l.Value == ownName {
				return l.Name, true
			}
		}
	}
	return "", false
}

// layout is what one make of server reports: its blocks, shared by all hosts of that make.
type layout struct {
	os     string
	blocks []*block
	series int
	sizes  []int // how many series each block has
	// breaks is the series that a value fault breaks, and to what; nil where no shipped rule would notice.
	breaks *breakage
}

// breakage is a value that makes a shipped rule fire at once.
type breakage struct {
	source, series, label, value string
	to                           float64
	// rule is the alert that fires.
	rule string
}

// Makes of servers: a fleet is built from few images, so its hosts share most of their shapes.
const (
	linuxMakes   = 8
	windowsMakes = 4
)

const (
	osLinux   = "linux"
	osWindows = "windows"
)

// newLayouts makes the layouts of one operating system with n series each.
func newLayouts(os string, n int) ([]*layout, error) {
	if n < minSeries || n > maxSeries {
		return nil, fmt.Errorf("%d series per host: a simulated server has between %d and %d", n, minSeries, maxSeries)
	}
	makes, sources, breaks := linuxMakes, linuxSources, linuxBreakage()
	if os == osWindows {
		makes, sources, breaks = windowsMakes, windowsSources, nil
	}
	var all []*layout
	for number := range makes {
		l := &layout{os: os, breaks: breaks}
		for _, s := range sources(number, n) {
			b, err := newBlock(s)
			if err != nil {
				return nil, err
			}
			l.blocks = append(l.blocks, b)
			l.series += len(b.samples)
			l.sizes = append(l.sizes, len(b.samples))
		}
		all = append(all, l)
	}
	return all, nil
}

// fill adds groups of series until there are n: whole groups first, and what is left over as single series of a list.
func fill(have, n, group int) (groups, singles int) {
	left := max(n-have, 0)
	return left / group, left % group
}

func count(sources []source) int {
	n := 0
	for _, s := range sources {
		n += len(s.series)
	}
	return n
}
