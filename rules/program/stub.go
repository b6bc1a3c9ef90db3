// Package program is a stub.
package program

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchbill/watchbill/rules/window"
)

type Expr struct{}
type Timer struct {
	Expr parser.Expr
	Why  string
}
type Program struct{}
type Machine struct{}
type Sample struct {
	Lane int32
	V    float64
}

func Prepare(expr parser.Expr) (*Expr, *Timer)                                  { return nil, &Timer{} }
func (x *Expr) Reads(p *window.Part, a window.Asset) bool                       { return false }
func (x *Expr) Identity(a window.Asset) string                                  { return "" }
func (x *Expr) Instances() []string                                             { return nil }
func (x *Expr) Compile(parts []*window.Part, identity string) (*Program, error) { return nil, nil }
func (x *Expr) Selectors() [][]*labels.Matcher                                  { return nil }
func (x *Expr) Timed() bool                                                     { return false }
func (x *Expr) MaxRange() time.Duration                                         { return 0 }
func (p *Program) Labels(lane int) labels.Labels                                { return labels.EmptyLabels() }
func (p *Program) Lanes() int                                                   { return 0 }
func (p *Program) Bytes() int64                                                 { return 0 }
func (m *Machine) Run(p *Program, v *window.View, at []int, t int64) ([]Sample, error) {
	return nil, nil
}
