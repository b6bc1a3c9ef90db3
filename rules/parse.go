package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// Error is one fault of a rule file: what was found where, and what was expected.
type Error struct {
	File string
	// Line is 0 where the fault has no place.
	Line        int
	Group, Rule string
	Err         error
}

func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s = fmt.Sprintf("%s:%d", s, e.Line)
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

// Parse reads one Prometheus rule file, strictly. The error joins one *Error for every fault. What one file cannot show
// (the same group in two files, reading other rules' series) is found by Load.
func Parse(file string, content []byte) ([]Group, error) {
	lay, errs := readLayout(file, content)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	p := NewParser()
	decoded, faults := rulefmt.Parse(content, false, model.UTF8Validation, p, promslog.NewNopLogger())
	if len(faults) > 0 {
		for _, err := range faults {
			errs = append(errs, lay.place(err))
		}
		return nil, errors.Join(errs...)
	}
	groups := make([]Group, 0, len(decoded.Groups))
	for i, g := range decoded.Groups {
		made, err := makeGroup(file, g, lay.groups[i], p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		groups = append(groups, made)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return groups, nil
}

// place says in our words where a fault is that rulefmt found.
func (l *layout) place(err error) error {
	var in *rulefmt.Error
	if !errors.As(err, &in) {
		var bad *yaml.TypeError
		if errors.As(err, &bad) && len(bad.Errors) > 0 {
			err = errors.New(bad.Errors[0])
		}
		return &Error{File: l.file, Err: err}
	}
	out := &Error{File: l.file, Group: in.Group, Rule: in.RuleName, Err: err}
	if in.Err.Unwrap() != nil {
		out.Err = in.Err.Unwrap()
	}
	for _, g := range l.groups {
		if g.name == in.Group && in.Rule >= 1 && in.Rule <= len(g.rules) {
			out.Line = g.rules[in.Rule-1].line
			if n := g.rules[in.Rule-1].expr; n != nil && isParseError(err) {
				out.Line = n.Line
				out.Err = fmt.Errorf("expr %q: %w", n.Value, out.Err)
			}
		}
	}
	if out.Rule == "" {
		out.Rule = fmt.Sprintf("#%d", in.Rule)
	}
	return out
}

func isParseError(err error) bool {
	var errs parser.ParseErrors
	return errors.As(err, &errs)
}

func makeGroup(file string, g rulefmt.RuleGroup, at groupLayout, p parser.Parser) (Group, error) {
	out := Group{
		File: file, Name: g.Name, Interval: time.Duration(g.Interval), Limit: g.Limit, Labels: labels.FromMap(g.Labels),
	}
	if g.QueryOffset != nil {
		out.QueryOffset = time.Duration(*g.QueryOffset)
	}
	var errs []error
	times := map[string]int{}
	for i, r := range g.Rules {
		made, err := makeRule(&out, r, p)
		if err != nil {
			errs = append(errs, &Error{File: file, Line: at.rules[i].line, Group: g.Name, Rule: r.Alert + r.Record, Err: err})
			continue
		}
		made.Line = at.rules[i].line
		times[made.Origin.ID]++
		if n := times[made.Origin.ID]; n > 1 { // the very same rule again: its alerts are others
			made.Origin.ID = fmt.Sprintf("%s.%d", made.Origin.ID, n)
		}
		out.Rules = append(out.Rules, made)
	}
	return out, errors.Join(errs...)
}

func makeRule(g *Group, r rulefmt.Rule, p parser.Parser) (*Rule, error) {
	expr, err := p.ParseExpr(r.Expr)
	if err != nil {
		return nil, fmt.Errorf("expr %q: %w", r.Expr, err)
	}
	if t := expr.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return nil, fmt.Errorf("expr %q: is a %s, want an instant vector or a scalar", r.Expr, parser.DocumentedType(t))
	}
	lbls := map[string]string{}
	maps.Copy(lbls, g.Labels.Map())
	maps.Copy(lbls, r.Labels)
	out := &Rule{
		Alert: r.Alert, Record: r.Record, Expr: expr, Text: r.Expr,
		For: time.Duration(r.For), KeepFiringFor: time.Duration(r.KeepFiringFor),
		Labels: labels.FromMap(lbls), Annotations: labels.FromMap(r.Annotations),
		QueryOffset: g.QueryOffset, Limit: g.Limit,
	}
	reach, err := analyse(expr)
	if err != nil {
		return nil, fmt.Errorf("expr %q: %w", r.Expr, err)
	}
	out.Selectors, out.direct, out.written = reach.selectors, reach.selectors, reach.written
	out.Lookback = lookback(out.Selectors)
	out.Origin = Origin{
		ID: originID(g.Name, out.Name(), expr.String(), lbls), Group: g.Name, Name: out.Name(), Expr: expr.String(),
		For: out.For,
	}
	return out, nil
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
