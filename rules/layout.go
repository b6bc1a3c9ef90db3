package rules

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

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

// entry is a key of a mapping and its value.
type entry struct {
	key, value *yaml.Node
	// bad: the value is not of the key's kind, which is a fault already.
	bad bool
}

// text is what a scalar says; "" where there is none.
func (e entry) text() string {
	var s string
	if e.value == nil || e.bad || e.value.Decode(&s) != nil {
		return ""
	}
	return s
}

// keys checks a mapping's keys and their values. It returns those that are known and have a value; nil for no mapping.
func (r *reader) keys(n *yaml.Node, what string, want map[string]kind) map[string]entry {
	if n.Kind != yaml.MappingNode {
		r.fault(n, "%s: want a mapping with keys of %s", what, known(want))
		return nil
	}
	out := map[string]entry{}
	r.pairs(n, what, func(key, v *yaml.Node) {
		k, ok := want[key.Value]
		switch {
		case !ok:
			r.fault(key, "unknown key %q in %s: want one of %s", key.Value, what, known(want))
		case v.Tag != "!!null":
			before := len(r.errs)
			r.check(key.Value, v, k)
			out[key.Value] = entry{key: key, value: v, bad: len(r.errs) > before}
		}
	})
	return out
}

// pairs calls fn for every key of a mapping, those that are merged into it (<<) and that it has not itself included.
func (r *reader) pairs(n *yaml.Node, what string, fn func(key, v *yaml.Node)) {
	seen, merged := map[string]bool{}, map[*yaml.Node]bool{}
	var walk func(n *yaml.Node, own bool)
	walk = func(n *yaml.Node, own bool) {
		merged[n] = true
		var others []*yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, v := resolve(n.Content[i]), resolve(n.Content[i+1])
			switch {
			case key.Tag == "!!merge" && v.Kind == yaml.SequenceNode:
				others = append(others, v.Content...)
			case key.Tag == "!!merge":
				others = append(others, v)
			case !seen[key.Value]:
				seen[key.Value] = true
				fn(key, v)
			case own:
				r.fault(key, "key %q twice in %s: want it once", key.Value, what)
			}
		}
		for _, m := range others {
			switch m = resolve(m); {
			case m.Kind != yaml.MappingNode:
				r.fault(m, "<< in %s: want a mapping whose keys are merged", what)
			case !merged[m]:
				walk(m, false)
			}
		}
	}
	walk(n, true)
}

func (r *reader) check(key string, v *yaml.Node, k kind) {
	switch k {
	case list:
		if v.Kind != yaml.SequenceNode {
			r.fault(v, "%s: want a list", key)
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
		r.checkString(key, v)
	}
}

func (r *reader) checkStrings(key string, v *yaml.Node) {
	if v.Kind != yaml.MappingNode {
		r.fault(v, "%s: want a mapping of names to texts", key)
		return
	}
	r.pairs(v, key, func(k, x *yaml.Node) {
		if r.checkString(key, k); x.Tag != "!!null" {
			r.checkString(fmt.Sprintf("%s: %q", key, k.Value), x)
		}
	})
}

func (r *reader) checkString(what string, v *yaml.Node) {
	var s string
	switch {
	case v.Kind != yaml.ScalarNode:
		r.fault(v, "%s: want a text", what)
	case v.Decode(&s) != nil:
		r.fault(v, "%s: %q is no text that can be read as %s: want it in quotes", what, v.Value, v.Tag)
	case !utf8.ValidString(s):
		r.fault(v, "%s: %q is not UTF-8: want a text", what, s)
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
