package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/template"
	"go.yaml.in/yaml/v3"
)

// reader walks a rule file and collects its faults: the YAML decoder's messages know neither group nor rule, rulefmt's often
// no line, and both stop before they have seen everything. A fault keeps nobody from looking at the rest.
type reader struct {
	file    string
	content []byte
	parser  parser.Parser
	// group and rule are where it is.
	group, rule string
	errs        []*Error
}

// readGroup is a group as it stands in its file, with those of its rules that have no fault.
type readGroup struct {
	rulefmt.RuleGroup
	line  int
	rules []readRule
}

type readRule struct {
	rulefmt.Rule
	line int
	expr parser.Expr
}

func (r *reader) fault(n *yaml.Node, format string, args ...any) {
	r.faultAt(n.Line, 0, fmt.Errorf(format, args...))
}

func (r *reader) faultAt(line, column int, err error) {
	r.errs = append(r.errs, &Error{File: r.file, Line: line, Column: column, Group: r.group, Rule: r.rule, Err: err})
}

// err joins the faults in the order of their lines; nil when there are none. What an alias repeats is said once.
func (r *reader) err() error {
	slices.SortStableFunc(r.errs, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
	var errs []error
	said := map[string]bool{}
	for _, e := range r.errs {
		if text := e.Error(); !said[text] {
			said[text] = true
			errs = append(errs, e)
		}
	}
	return errors.Join(errs...)
}

// read walks the file. What has a fault is left out of the groups.
func (r *reader) read() []readGroup {
	dec := yaml.NewDecoder(strings.NewReader(string(r.content)))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF): // an empty file has no groups
		return nil
	case err != nil:
		r.unreadable(err)
		return nil
	}
	var second yaml.Node
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		line := max(second.Line, afterFirst(r.content))
		r.faultAt(line, 0, errors.New("a second YAML document: want one per file, the rest would not be read"))
	}
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return nil
	}
	groups := r.keys(resolve(doc.Content[0]), "the file", fileKeys)["groups"]
	if groups.value == nil || groups.bad {
		return nil
	}
	var out []readGroup
	lines := map[string]int{}
	for _, n := range groups.value.Content {
		g := r.readGroup(resolve(n))
		if first, ok := lines[g.Name]; ok && g.Name != "" {
			r.group = g.Name
			r.faultAt(g.line, 0, fmt.Errorf("the group at line %d has this name too: want names that are unique over all files; rename one", first))
			r.group = ""
		} else {
			lines[g.Name] = g.line
		}
		out = append(out, g)
	}
	return out
}

func (r *reader) readGroup(n *yaml.Node) readGroup {
	r.group = name(n, "name")
	defer func() { r.group, r.rule = "", "" }()
	out := readGroup{line: n.Line}
	out.Name = r.group
	before := len(r.errs)
	keys := r.keys(n, "a group", groupKeys)
	if keys == nil {
		return out
	}
	if e := keys["name"]; e.text() == "" && !e.bad {
		r.fault(n, "name is missing: want one that no other group has")
	}
	r.checkLabels(keys["labels"])
	if len(r.errs) == before {
		// All but the rules, each of which is read by itself.
		var head struct {
			Name        string            `yaml:"name"`
			Interval    model.Duration    `yaml:"interval"`
			QueryOffset *model.Duration   `yaml:"query_offset"`
			Limit       int               `yaml:"limit"`
			Labels      map[string]string `yaml:"labels"`
		}
		if err := n.Decode(&head); err != nil {
			r.fault(n, "%w: want a group as Prometheus has them", err)
		}
		out.RuleGroup = rulefmt.RuleGroup{
			Name: head.Name, Interval: head.Interval, QueryOffset: head.QueryOffset, Limit: head.Limit, Labels: head.Labels,
		}
	}
	if rules := keys["rules"]; rules.value != nil && !rules.bad {
		for i, x := range rules.value.Content {
			if made, ok := r.readRule(resolve(x), i); ok {
				out.rules = append(out.rules, made)
			}
		}
	}
	return out
}

// readRule reads a rule and reports whether it has no fault.
func (r *reader) readRule(n *yaml.Node, i int) (readRule, bool) {
	r.rule = cmp.Or(name(n, "alert")+name(n, "record"), fmt.Sprintf("#%d", i+1))
	out := readRule{line: n.Line}
	before := len(r.errs)
	keys := r.keys(n, "a rule", ruleKeys)
	if keys == nil {
		return out, false
	}
	r.checkName(n, keys)
	out.expr = r.checkExpr(n, keys["expr"])
	r.checkLabels(keys["labels"])
	r.checkAnnotations(keys["annotations"])
	if keys["alert"].text() != "" {
		r.checkTemplates("label", keys["labels"])
		r.checkTemplates("annotation", keys["annotations"])
	}
	if len(r.errs) == before {
		if err := n.Decode(&out.Rule); err != nil {
			r.fault(n, "%w: want a rule as Prometheus has them", err)
		}
	}
	return out, len(r.errs) == before
}

// checkName checks what kind of rule it is, and that it has nothing of the other.
func (r *reader) checkName(n *yaml.Node, keys map[string]entry) {
	alert, record := keys["alert"], keys["record"]
	switch {
	case alert.bad || record.bad:
		return
	case alert.text() != "" && record.text() != "":
		later := alert.key
		if record.key.Line > later.Line {
			later = record.key
		}
		r.fault(later, "both alert and record: want one of them; make two rules of it")
		return
	case alert.text() == "" && record.text() == "":
		r.fault(n, "neither alert nor record: want one of them, with the rule's name")
		return
	case alert.text() != "":
		return
	}
	if strings.ContainsAny(record.text(), "{}") {
		r.fault(record.value, "record: %q has braces: want a metric's name; what is selected belongs into expr", record.text())
	}
	for _, key := range []string{"for", "keep_firing_for", "annotations"} {
		e, ok := keys[key]
		if !ok || e.bad || !says(e.value) {
			continue
		}
		r.fault(e.key, "%s in a recording rule: want it in alerts only; remove it", key)
	}
}

// says tells whether a mapping has something in it and a duration is not 0.
func says(v *yaml.Node) bool {
	if v.Kind == yaml.MappingNode {
		return len(v.Content) > 0
	}
	d, err := model.ParseDuration(v.Value)
	return err == nil && d != 0
}

// checkLabels checks what labels are called.
func (r *reader) checkLabels(e entry) {
	r.each("labels", e, func(key, _ *yaml.Node, _ string) {
		switch {
		case key.Value == "":
			r.fault(key, "labels: a name is empty: want every label to have one")
		case key.Value == model.MetricNameLabel:
			r.fault(key, "labels: %q is the metric's name: want another label; a recording rule's metric is its record", key.Value)
		}
	})
}

func (r *reader) checkAnnotations(e entry) {
	r.each("annotations", e, func(key, _ *yaml.Node, _ string) {
		if key.Value == "" {
			r.fault(key, "annotations: a name is empty: want every annotation to have one")
		}
	})
}

// checkTemplates checks that texts of an alert are templates.
func (r *reader) checkTemplates(what string, e entry) {
	data := template.AlertTemplateData(map[string]string{}, map[string]string{}, "", promql.Sample{})
	r.each(what+"s", e, func(key, v *yaml.Node, text string) {
		x := template.NewTemplateExpander(context.Background(), shorthands+text, "__alert_"+r.rule, data, 0, nil, nil, nil)
		if err := x.ParseTest(); err != nil {
			r.fault(v, "%s %q: %w: want a template such as {{ $labels.instance }} or {{ $value }}", what, key.Value, err)
		}
	})
}

// each calls fn for what a mapping of texts has, if it has the form of one.
func (r *reader) each(what string, e entry, fn func(key, v *yaml.Node, text string)) {
	if e.value == nil || e.bad {
		return
	}
	r.pairs(e.value, what, func(key, v *yaml.Node) { fn(key, v, entry{value: v}.text()) })
}

// checkExpr checks the expression and returns it; nil when it is at fault.
func (r *reader) checkExpr(n *yaml.Node, e entry) parser.Expr {
	text := e.text()
	switch {
	case e.bad:
		return nil
	case text == "":
		r.fault(n, "expr is missing: want a PromQL expression such as up == 0")
		return nil
	}
	expr, err := r.parser.ParseExpr(text)
	if err != nil {
		var all parser.ParseErrors
		if !errors.As(err, &all) {
			r.faultIn(e.value, text, 0, "%w", err)
		}
		for _, x := range all {
			r.faultIn(e.value, text, int(x.PositionRange.Start), "%w: want a PromQL expression", x.Err)
		}
		return nil
	}
	if t := expr.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		r.faultIn(e.value, text, int(expr.PositionRange().Start), "is a %s, want an instant vector or a scalar", parser.DocumentedType(t))
	}
	for _, at := range analyse(expr).fixed {
		r.faultIn(e.value, text, int(at.PositionRange().Start),
			"@ with a fixed time is not possible in a rule: want @ start(), @ end() or an offset")
	}
	var long *LongSubqueryError
	if errors.As(CheckSubqueries(expr, time.Time{}, time.Time{}, usualStep, MaxSubquerySteps), &long) {
		r.faultIn(e.value, text, int(long.At.PositionRange().Start), "%w", long)
	}
	return expr
}

// faultIn is a fault at the byte at of an expression.
func (r *reader) faultIn(n *yaml.Node, text string, at int, format string, args ...any) {
	at = max(0, min(at, len(text)))
	line, column := locate(r.content, n, text, at)
	shown := text
	if strings.Contains(strings.TrimSpace(text), "\n") { // one line is enough to find it
		shown = text[strings.LastIndexByte(text[:at], '\n')+1:]
		shown, _, _ = strings.Cut(shown, "\n")
	}
	shown = fmt.Sprintf("expr %q", strings.TrimSpace(shown))
	if column == 0 {
		shown += fmt.Sprintf(", character %d of it", utf8.RuneCountInString(text[:at])+1)
	}
	r.faultAt(line, column, fmt.Errorf("%s: "+format, append([]any{shown}, args...)...))
}

// ask asks Prometheus what it finds wrong.
func (r *reader) ask() {
	_, faults := rulefmt.Parse(r.content, false, model.UTF8Validation, r.parser, promslog.NewNopLogger())
	for _, err := range faults {
		r.refused(err)
	}
}

// refused says where a fault is that Prometheus finds and the reader did not.
func (r *reader) refused(err error) {
	var in *rulefmt.Error
	if !errors.As(err, &in) {
		r.unreadable(err)
		return
	}
	out := &Error{File: r.file, Group: in.Group, Rule: cmp.Or(in.RuleName, fmt.Sprintf("#%d", in.Rule)), Err: in}
	if inner := in.Err.Unwrap(); inner != nil {
		out.Err = inner
	}
	lines := ReadLines(r.content)
	for i := range len(under(lines.root, "groups").Content) {
		if n := under(under(lines.root, "groups"), i); name(n, "name") == in.Group {
			out.Line = lines.Of("groups", i, "rules", in.Rule-1)
		}
	}
	r.errs = append(r.errs, out)
}
