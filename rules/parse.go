package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// Error is one fault of a rule file: what was found where, and what was expected.
type Error struct {
	File string
	// Line is 0 where the fault has no place. Column is that of a fault within an expression, in characters from 1; 0 where it
	// is not known.
	Line, Column int
	Group, Rule  string
	Err          error
}

// Error is the fault in one line, as editors read it: file:line:column: and what is wrong.
func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s = fmt.Sprintf("%s:%d", s, e.Line)
	}
	if e.Line > 0 && e.Column > 0 {
		s = fmt.Sprintf("%s:%d", s, e.Column)
	}
	if e.Group != "" {
		s += fmt.Sprintf(": group %q", e.Group)
	}
	if e.Rule != "" {
		s += fmt.Sprintf(": rule %q", e.Rule)
	}
	return s + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// NewParser makes the PromQL parser of rules: stable features only, as Prometheus ships it.
func NewParser() parser.Parser { return parser.NewParser(parser.Options{}) }

// Parse reads one Prometheus rule file, strictly. The error joins one *Error for every fault, in the order of their lines;
// the groups then are what has none, to look for more faults in and not to be used. What one file cannot show (the same
// group in two files, reading other rules' series) is found by Load.
func Parse(file string, content []byte) ([]Group, error) {
	r := &reader{file: file, content: content, parser: NewParser()}
	found := r.read()
	if len(r.errs) == 0 { // Prometheus has the last word, should it know more
		r.ask()
	}
	groups := make([]Group, 0, len(found))
	for _, g := range found {
		groups = append(groups, makeGroup(file, g))
	}
	return groups, r.err()
}

func makeGroup(file string, g readGroup) Group {
	out := Group{
		File: file, Line: g.line, Name: g.Name, Interval: time.Duration(g.Interval), Limit: g.Limit,
		Labels: labels.FromMap(g.Labels),
	}
	if g.QueryOffset != nil {
		out.QueryOffset = time.Duration(*g.QueryOffset)
	}
	times := map[string]int{}
	for _, r := range g.rules {
		made := makeRule(&out, r.Rule, r.expr)
		made.Line = r.line
		times[made.Origin.ID]++
		if n := times[made.Origin.ID]; n > 1 { // the very same rule again: its alerts are others
			made.Origin.ID = fmt.Sprintf("%s.%d", made.Origin.ID, n)
		}
		out.Rules = append(out.Rules, made)
	}
	return out
}

func makeRule(g *Group, r rulefmt.Rule, expr parser.Expr) *Rule {
	lbls := map[string]string{}
	maps.Copy(lbls, g.Labels.Map())
	maps.Copy(lbls, r.Labels)
	out := &Rule{
		Alert: r.Alert, Record: r.Record, Expr: expr, Text: r.Expr,
		For: time.Duration(r.For), KeepFiringFor: time.Duration(r.KeepFiringFor),
		Labels: labels.FromMap(lbls), Annotations: labels.FromMap(r.Annotations),
		QueryOffset: g.QueryOffset, Limit: g.Limit,
	}
	reach := analyse(expr)
	out.Selectors, out.direct, out.written = reach.selectors, reach.selectors, reach.written
	out.Lookback, out.moving, out.telling = lookback(out.Selectors), moves(out.Labels), moves(out.Annotations)
	out.Origin = Origin{
		ID: originID(g.Name, out.Name(), expr.String(), lbls), Group: g.Name, Name: out.Name(), Expr: expr.String(),
		For: out.For,
	}
	return out
}

// originID is 64 bits of a SHA-256 over what makes a rule this rule, each part with its length before it.
func originID(group, name, expr string, lbls map[string]string) string {
	h := sha256.New()
	part := func(s string) { fmt.Fprintf(h, "%d:%s", len(s), s) }
	part(group)
	part(name)
	part(expr)
	for _, k := range slices.Sorted(maps.Keys(lbls)) {
		part(k)
		part(lbls[k])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
