package rules

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// layout is where things stand in a rule file. The YAML decoder's own messages know neither group nor rule, so what it
// would refuse is looked for here first.
type layout struct {
	file   string
	groups []groupLayout
}

type groupLayout struct {
	name  string
	rules []ruleLayout
}

type ruleLayout struct {
	line int
	expr *yaml.Node
}

// kind is what a key's value must be.
type kind uint8

const (
	text kind = iota
	number
	duration
	textMap
	list
)

// The keys of rule files: https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/
var (
	fileKeys  = map[string]kind{"groups": list}
	groupKeys = map[string]kind{
		"name": text, "interval": duration, "query_offset": duration, "limit": number, "labels": textMap, "rules": list,
	}
	ruleKeys = map[string]kind{
		"alert": text, "record": text, "expr": text, "for": duration, "keep_firing_for": duration, "labels": textMap,
		"annotations": textMap,
	}
)

// layoutReader collects faults while it walks a file.
type layoutReader struct {
	file, group, rule string
	errs              []error
}

func (r *layoutReader) fault(n *yaml.Node, format string, args ...any) {
	r.errs = append(r.errs, &Error{File: r.file, Line: n.Line, Group: r.group, Rule: r.rule, Err: fmt.Errorf(format, args...)})
}

func readLayout(file string, content []byte) (*layout, []error) {
	r := &layoutReader{file: file}
	out := &layout{file: file}
	dec := yaml.NewDecoder(strings.NewReader(string(content)))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF): // an empty file has no groups
		return out, nil
	case err != nil:
		return nil, []error{&Error{File: file, Err: err}}
	}
	var second yaml.Node
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		r.fault(&second, "a second YAML document: want one per file, the rest would not be read")
	}
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return out, r.errs
	}
	top := r.keys(doc.Content[0], "the file", fileKeys)
	if n := top["groups"]; n != nil {
		for _, g := range n.Content {
			out.groups = append(out.groups, r.readGroup(g))
		}
	}
	return out, r.errs
}

func (r *layoutReader) readGroup(n *yaml.Node) groupLayout {
	r.group, r.rule = name(n, "name"), ""
	defer func() { r.group, r.rule = "", "" }()
	out := groupLayout{name: r.group}
	keys := r.keys(n, "a group", groupKeys)
	if rules := keys["rules"]; rules != nil {
		for i, x := range rules.Content {
			x = resolve(x)
			r.rule = name(x, "alert") + name(x, "record")
			if r.rule == "" {
				r.rule = fmt.Sprintf("#%d", i+1)
			}
			out.rules = append(out.rules, ruleLayout{line: x.Line, expr: r.keys(x, "a rule", ruleKeys)["expr"]})
		}
	}
	return out
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func name(n *yaml.Node, key string) string {
	n = resolve(n)
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1].Value
		}
	}
	return ""
}

// keys checks a mapping's keys and their values, and returns the values that are right.
func (r *layoutReader) keys(n *yaml.Node, what string, want map[string]kind) map[string]*yaml.Node {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		r.fault(n, "%s: want a mapping with keys of %s", what, known(want))
		return nil
	}
	out := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], resolve(n.Content[i+1])
		k, ok := want[key.Value]
		switch {
		case !ok:
			r.fault(key, "unknown key %q in %s: want one of %s", key.Value, what, known(want))
		case out[key.Value] != nil:
			r.fault(key, "key %q twice in %s: want it once", key.Value, what)
		case v.Tag == "!!null":
		default:
			out[key.Value] = v
			r.check(key.Value, v, k)
		}
	}
	return out
}

func (r *layoutReader) check(key string, v *yaml.Node, k kind) {
	switch k {
	case list:
		if v.Kind != yaml.SequenceNode {
			r.fault(v, "%s: want a list", key)
			v.Content = nil
		}
	case textMap:
		r.checkStrings(key, v)
	case number:
		var n int
		if err := v.Decode(&n); err != nil {
			r.fault(v, "%s: %q is not a whole number", key, v.Value)
		}
	case duration:
		if _, err := model.ParseDuration(v.Value); err != nil || v.Kind != yaml.ScalarNode {
			r.fault(v, "%s: %q is not a duration: want one like 30s, 5m or 1h30m", key, v.Value)
		}
	default:
		if v.Kind != yaml.ScalarNode {
			r.fault(v, "%s: want a text", key)
		}
	}
}

func (r *layoutReader) checkStrings(key string, v *yaml.Node) {
	if v.Kind != yaml.MappingNode {
		r.fault(v, "%s: want a mapping of names to texts", key)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(v.Content); i += 2 {
		k := v.Content[i]
		if seen[k.Value] {
			r.fault(k, "%s: %q twice: want it once", key, k.Value)
		}
		seen[k.Value] = true
		if x := resolve(v.Content[i+1]); x.Kind != yaml.ScalarNode {
			r.fault(x, "%s: %q: want a text", key, k.Value)
		}
	}
}

func known(want map[string]kind) string {
	names := make([]string, 0, len(want))
	for k := range want {
		names = append(names, k)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
