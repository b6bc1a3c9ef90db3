package collector

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// freeKeys hold text for people, or what is known of a set and not what it decides: they are not changed.
var freeKeys = map[string]bool{
	"name": true, "version": true, "description": true, "document": true, "title": true, "because": true, "link": true,
	"for": true, "choice": true, "fix": true,
}

// mutant is one change of a document, told by its path.
type mutant struct {
	what string
	// path are places in Content from the document's mapping down; drop takes the last away, else it becomes value.
	path  []int
	drop  bool
	pair  bool
	value string
}

// mutantsIn are all mutants of a set.
func mutantsIn(doc *yaml.Node) []mutant {
	var out []mutant
	values := valuesByKey(doc.Content[0])
	walkNode(doc.Content[0], "", "", nil, func(n *yaml.Node, at, key string, path []int, inList, inMap bool) {
		path = slices.Clone(path)
		if inList {
			out = append(out, mutant{what: at + ": left out", path: path, drop: true})
		}
		if inMap && len(path) > 0 {
			out = append(out, mutant{what: at + ": left out", path: path, drop: true, pair: true})
		}
		if n.Kind == yaml.ScalarNode {
			for _, v := range changesOf(n.Value, values[key]) {
				out = append(out, mutant{what: fmt.Sprintf("%s: %s instead of %s", at, v, n.Value), path: path, value: v})
			}
		}
	})
	return out
}

// walkNode visits every value below a mapping or a list, but those of free keys.
func walkNode(n *yaml.Node, at, key string, path []int, visit func(n *yaml.Node, at, key string, path []int, inList, inMap bool)) {
	for i, c := range n.Content {
		switch n.Kind {
		case yaml.MappingNode:
			if i%2 == 0 {
				continue
			}
			k := n.Content[i-1].Value
			if freeKeys[k] {
				continue
			}
			name := strings.TrimPrefix(at+"."+k, ".")
			next := append(slices.Clone(path), i)
			visit(c, name, k, next, false, true)
			walkNode(c, name, k, next, visit)
		case yaml.SequenceNode:
			name := fmt.Sprintf("%s[%s]", at, labelOf(c, i))
			next := append(slices.Clone(path), i)
			visit(c, name, key, next, true, false)
			walkNode(c, name, key, next, visit)
		}
	}
}

// labelOf is what an element of a list is known by: its name, its text, or its place.
func labelOf(n *yaml.Node, i int) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	for k := 0; n.Kind == yaml.MappingNode && k+1 < len(n.Content); k += 2 {
		if n.Content[k].Value == "name" {
			return n.Content[k+1].Value
		}
	}
	return strconv.Itoa(i)
}

// valuesByKey are the words that stand under a key anywhere in the set: one is changed into another.
func valuesByKey(n *yaml.Node) map[string][]string {
	out := map[string][]string{}
	walkNode(n, "", "", nil, func(n *yaml.Node, _, key string, _ []int, _, _ bool) {
		if n.Kind == yaml.ScalarNode && !slices.Contains(out[key], n.Value) {
			out[key] = append(out[key], n.Value)
		}
	})
	return out
}

var (
	spanText   = regexp.MustCompile(`^(\d\d):(\d\d)-(\d\d):(\d\d)$`)
	targetText = regexp.MustCompile(`^([0-9]+[smhd]?[0-9smh]*),(business|elapsed|business-days)(,inform)?$`)
)

// changesOf is what a value is changed into.
func changesOf(value string, others []string) []string {
	if m := spanText.FindStringSubmatch(value); m != nil {
		from, _ := strconv.Atoi(m[1])
		to, _ := strconv.Atoi(m[3])
		return []string{
			fmt.Sprintf("%02d:%s-%s:%s", from+1, m[2], m[3], m[4]), fmt.Sprintf("%s:%s-%02d:%s", m[1], m[2], to-1, m[4]),
		}
	}
	if m := targetText.FindStringSubmatch(value); m != nil {
		return targetChanges(m)
	}
	if b, err := strconv.ParseBool(value); err == nil && (value == "true" || value == "false") {
		return []string{strconv.FormatBool(!b)}
	}
	if n, err := strconv.ParseFloat(value, 64); err == nil {
		return []string{strconv.FormatFloat(n*0.9, 'g', 6, 64)}
	}
	if d, err := time.ParseDuration(value); err == nil {
		return []string{(d * 2).String()}
	}
	i := slices.Index(others, value)
	if len(others) > 1 {
		return []string{others[(i+1)%len(others)]}
	}
	return nil
}

// targetChanges are a target's: a little more, a little less, another mode.
func targetChanges(m []string) []string {
	if m[2] == "business-days" {
		n, _ := strconv.Atoi(strings.TrimSuffix(m[1], "d"))
		return []string{fmt.Sprintf("%d,business-days%s", n+1, m[3])}
	}
	d, err := time.ParseDuration(m[1])
	if err != nil {
		return nil
	}
	other := map[string]string{"business": "elapsed", "elapsed": "business"}[m[2]]
	return []string{
		fmt.Sprintf("%s,%s%s", d+time.Minute, m[2], m[3]), fmt.Sprintf("%s,%s%s", d-time.Minute, m[2], m[3]),
		fmt.Sprintf("%s,%s%s", m[1], other, m[3]),
	}
}

// apply is the document with the change.
func (x mutant) apply(doc *yaml.Node) ([]byte, error) {
	return yaml.Marshal(changedAt(doc.Content[0], x.path, x))
}

func changedAt(n *yaml.Node, path []int, x mutant) *yaml.Node {
	out := *n
	out.Content = slices.Clone(n.Content)
	i := path[0]
	switch {
	case len(path) > 1:
		out.Content[i] = changedAt(n.Content[i], path[1:], x)
	case x.drop && x.pair:
		out.Content = slices.Delete(out.Content, i-1, i+1)
	case x.drop:
		out.Content = slices.Delete(out.Content, i, i+1)
	default:
		leaf := *n.Content[i]
		leaf.Value = x.value
		out.Content[i] = &leaf
	}
	return &out
}
