package rules

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// tolerate loads rule files as promtool's tests do: Prometheus' own checks and no more. Load refuses what would go wrong
// in the collector: groups of one name in two files, a fixed time after @, a second document.
func tolerate(files map[string][]byte, ignoreUnknownFields bool) ([]Group, error) {
	p := NewParser()
	var groups []Group
	var errs []error
	for _, file := range slices.Sorted(maps.Keys(files)) {
		decoded, faults := rulefmt.Parse(files[file], ignoreUnknownFields, model.UTF8Validation, p, promslog.NewNopLogger())
		if len(faults) > 0 {
			errs = append(errs, faults...)
			continue
		}
		for _, g := range decoded.Groups {
			made, err := tolerateGroup(file, g, p)
			errs = append(errs, err)
			groups = append(groups, made)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	connect(groups)
	return groups, nil
}

func tolerateGroup(file string, g rulefmt.RuleGroup, p parser.Parser) (Group, error) {
	out := Group{
		File: file, Name: g.Name, Interval: time.Duration(g.Interval), Limit: g.Limit, Labels: labels.FromMap(g.Labels),
	}
	if g.QueryOffset != nil {
		out.QueryOffset = time.Duration(*g.QueryOffset)
	}
	for _, r := range g.Rules {
		expr, err := p.ParseExpr(r.Expr)
		if err != nil {
			return Group{}, err
		}
		lbls := maps.Clone(g.Labels)
		if lbls == nil {
			lbls = map[string]string{}
		}
		maps.Copy(lbls, r.Labels)
		made := &Rule{
			Alert: r.Alert, Record: r.Record, Expr: expr, Text: r.Expr,
			For: time.Duration(r.For), KeepFiringFor: time.Duration(r.KeepFiringFor),
			Labels: labels.FromMap(lbls), Annotations: labels.FromMap(r.Annotations),
			QueryOffset: out.QueryOffset, Limit: g.Limit,
		}
		reach := analyse(expr)
		made.Selectors, made.written = reach.selectors, reach.written
		made.Lookback, made.moving = lookback(made.Selectors), moves(made.Labels)
		made.Origin = Origin{
			ID: originID(file+";"+g.Name, made.Name(), expr.String(), lbls), Group: g.Name, Name: made.Name(),
			Expr: expr.String(), For: made.For,
		}
		out.Rules = append(out.Rules, made)
	}
	return out, nil
}
