package rules

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchbill/watchbill/rules/window"
)

// Demand is what the window has to keep for these groups: the selectors of their expressions, and of the queries in their
// templates, with how far each reaches back from the evaluation, the groups' query offset included.
func Demand(groups []Group) []window.Selector {
	var out []window.Selector
	p := NewParser()
	for _, g := range groups {
		for _, r := range g.Rules {
			out = append(out, offset(r, r.direct)...)
			for _, texts := range []labels.Labels{r.Labels, r.Annotations} {
				texts.Range(func(l labels.Label) {
					for _, expr := range queries(p, l.Value) {
						if found := analyse(expr); len(found.fixed) == 0 { // else it fails when it is asked
							out = append(out, offset(r, found.selectors)...)
						}
					}
				})
			}
		}
	}
	return out
}

// offset is how far selectors reach back from the evaluation of a rule.
func offset(r *Rule, sels []window.Selector) []window.Selector {
	sels = slices.Clone(sels)
	for i := range sels {
		sels[i].Lookback += r.QueryOffset
	}
	return sels
}

// literal is a text in a template.
var literal = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`")

// queries are the texts in a template that can be asked for, and formats of such texts: a label that is filled in can
// have any value.
func queries(p parser.Parser, template string) (out []parser.Expr) {
	if !strings.Contains(template, "{{") {
		return nil
	}
	for _, quoted := range literal.FindAllString(template, -1) {
		text, err := strconv.Unquote(quoted)
		if err != nil {
			continue
		}
		expr, err := p.ParseExpr(text)
		if err != nil {
			continue // it is a text for people, or will fail when it is asked
		}
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			if sel, ok := n.(*parser.VectorSelector); ok {
				sel.LabelMatchers = slices.DeleteFunc(sel.LabelMatchers, func(m *labels.Matcher) bool {
					return strings.Contains(m.Value, "%")
				})
			}
			return nil
		})
		out = append(out, expr)
	}
	return out
}
