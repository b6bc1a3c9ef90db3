package packs_test

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchbill/watchbill/rules"
)

// packFile is a pack as far as its mutants need it: what alerts say is left out.
type packFile struct {
	Groups []packGroup `yaml:"groups"`
}

type packGroup struct {
	Name  string     `yaml:"name"`
	Rules []packRule `yaml:"rules"`
}

type packRule struct {
	Alert  string            `yaml:"alert"`
	Expr   string            `yaml:"expr"`
	For    model.Duration    `yaml:"for,omitempty"`
	Keep   model.Duration    `yaml:"keep_firing_for,omitempty"`
	Labels map[string]string `yaml:"labels,omitempty"`
}

// mutant is a rule that somebody got a little wrong.
type mutant struct {
	// name says what is wrong; no two mutants of a rule have one name.
	name string
	rule packRule
}

// mutantsOf are the ways to get a rule a little wrong: every number that something is compared with, factors included, and every
// number that a function is given, a tenth lower and higher (by one where it is 0, or a whole number and whole is set); equals
// on the other side of a comparison; an operand of and, or and unless left out; for and keep_firing_for a tenth shorter and
// longer; ranges and offsets half and twice as long.
func mutantsOf(r packRule, whole bool) ([]mutant, error) {
	expr, err := rules.NewParser().ParseExpr(r.Expr)
	if err != nil {
		return nil, fmt.Errorf("parse the expression of %s: %w", r.Alert, err)
	}
	m := mutation{rule: r, root: expr, whole: whole, seen: map[string]int{}}
	m.visit(&m.root)
	m.reach()
	m.wait("for", &m.rule.For)
	m.wait("keep_firing_for", &m.rule.Keep)
	return m.all, nil
}

// mutation makes the mutants of one rule: it changes the rule, keeps a copy and changes it back.
type mutation struct {
	rule  packRule
	root  parser.Expr
	whole bool
	seen  map[string]int
	all   []mutant
}

// add keeps what the rule looks like now. A name that was there already is numbered.
func (m *mutation) add(format string, args ...any) {
	name := fmt.Sprintf(format, args...)
	if m.seen[name]++; m.seen[name] > 1 {
		name = fmt.Sprintf("%s (%d)", name, m.seen[name])
	}
	r := m.rule
	r.Expr = m.root.String()
	m.all = append(m.all, mutant{name: name, rule: r})
}

func (m *mutation) visit(at *parser.Expr) {
	switch e := (*at).(type) {
	case *parser.BinaryExpr:
		m.operands(at, e)
		m.boundary(e)
		m.compared(e)
		m.visit(&e.LHS)
		m.visit(&e.RHS)
	case *parser.ParenExpr:
		m.visit(&e.Expr)
	case *parser.UnaryExpr:
		m.visit(&e.Expr)
	case *parser.AggregateExpr:
		m.visit(&e.Expr)
	case *parser.SubqueryExpr:
		m.visit(&e.Expr)
	case *parser.Call:
		for i := range e.Args {
			m.number(&e.Args[i], short(e))
			m.visit(&e.Args[i])
		}
	}
}

// operands leaves out what may restrict or add to a result.
func (m *mutation) operands(at *parser.Expr, e *parser.BinaryExpr) {
	if !e.Op.IsSetOperator() {
		return
	}
	*at = e.LHS
	m.add("without: %s %s", e.Op, short(e.RHS))
	if e.Op == parser.LOR {
		*at = e.RHS
		m.add("without: %s %s", short(e.LHS), e.Op)
	}
	*at = e
}

// boundaries are the comparisons and their twins that differ in what they make of equals.
var boundaries = map[parser.ItemType]parser.ItemType{
	parser.GTR: parser.GTE, parser.GTE: parser.GTR, parser.LSS: parser.LTE, parser.LTE: parser.LSS,
}

func (m *mutation) boundary(e *parser.BinaryExpr) {
	was := e.Op
	if twin, ok := boundaries[was]; ok {
		e.Op = twin
		m.add("boundary: %s", short(e))
		e.Op = was
	}
}

// compared moves the numbers that something is compared with, and those that multiply it.
func (m *mutation) compared(e *parser.BinaryExpr) {
	if !e.Op.IsComparisonOperator() {
		return
	}
	text := short(e)
	for _, side := range []*parser.Expr{&e.LHS, &e.RHS} {
		m.number(side, text)
		if x, is := (*side).(*parser.BinaryExpr); is && x.Op == parser.MUL {
			m.number(&x.LHS, text)
			m.number(&x.RHS, text)
		}
	}
}

// number moves a number, where there is one.
func (m *mutation) number(at *parser.Expr, text string) {
	was := *at
	v, ok := constant(was)
	if !ok {
		return
	}
	step := math.Abs(v) / 10
	if v == 0 || m.whole && v == math.Trunc(v) {
		step = 1
	}
	for _, x := range []float64{v - step, v + step} {
		*at = &parser.NumberLiteral{Val: x}
		m.add("number: %s: %s -> %.6g", text, was, x)
	}
	*at = was
}

// wait makes a wait shorter and longer.
func (m *mutation) wait(key string, d *model.Duration) {
	was := *d
	for _, tenths := range []model.Duration{9, 11} {
		if was > 0 {
			*d = was / 10 * tenths
			m.add("%s: %v -> %v", key, was, *d)
		}
	}
	*d = was
}

// reach halves and doubles how far a rule looks back: all ranges of one length at once, and all offsets, since to whoever wrote
// them they are one number.
func (m *mutation) reach() {
	ranges, offsets := map[time.Duration][]*time.Duration{}, map[time.Duration][]*time.Duration{}
	parser.Inspect(m.root, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.MatrixSelector:
			ranges[n.Range] = append(ranges[n.Range], &n.Range)
		case *parser.VectorSelector:
			if n.OriginalOffset != 0 {
				offsets[n.OriginalOffset] = append(offsets[n.OriginalOffset], &n.OriginalOffset)
			}
		}
		return nil
	})
	set := func(all []*time.Duration, to time.Duration) {
		for _, d := range all {
			*d = to
		}
	}
	for _, what := range []string{"range", "offset"} {
		of := map[string]map[time.Duration][]*time.Duration{"range": ranges, "offset": offsets}[what]
		for _, was := range slices.Sorted(maps.Keys(of)) {
			for _, to := range []time.Duration{was / 2, was * 2} {
				set(of[was], to)
				m.add("%s: %v -> %v", what, model.Duration(was), model.Duration(to))
			}
			set(of[was], was)
		}
	}
}

// constant is the value of an expression of numbers alone.
func constant(e parser.Expr) (float64, bool) {
	switch e := e.(type) {
	case *parser.NumberLiteral:
		return e.Val, true
	case *parser.ParenExpr:
		return constant(e.Expr)
	case *parser.UnaryExpr:
		v, ok := constant(e.Expr)
		if e.Op == parser.SUB {
			v = -v
		}
		return v, ok
	case *parser.BinaryExpr:
		x, ok := constant(e.LHS)
		y, both := constant(e.RHS)
		arith := map[parser.ItemType]float64{
			parser.ADD: x + y, parser.SUB: x - y, parser.MUL: x * y, parser.DIV: x / y, parser.POW: math.Pow(x, y),
		}
		v, known := arith[e.Op]
		return v, ok && both && known
	}
	return 0, false
}

var matchers = regexp.MustCompile(`\{("(\\.|[^"\\])*"|[^}"])*\}`)

// short is an expression without what its selectors match.
func short(e parser.Expr) string { return matchers.ReplaceAllString(e.String(), "") }

// metricsOf is the names of the metrics that an expression reads; nil when one of its selectors has none.
func metricsOf(expr string) ([]string, error) {
	e, err := rules.NewParser().ParseExpr(expr)
	if err != nil {
		return nil, fmt.Errorf("parse %q: %w", expr, err)
	}
	var out []string
	nameless := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			out, nameless = append(out, s.Name), nameless || s.Name == ""
		}
		return nil
	})
	if nameless {
		return nil, nil
	}
	return out, nil
}
