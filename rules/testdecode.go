package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"
)

// DecodeTests reads a file of tests into a struct, strictly. The error joins an *Error for every fault of its form, with
// file, line, field and what was expected there. An empty file leaves into as it is.
func DecodeTests(file string, content []byte, into any) error {
	dec := yaml.NewDecoder(bytes.NewReader(content))
	dec.KnownFields(true)
	err := dec.Decode(into)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	d := decoding{file: file}
	if root := ReadLines(content).root; root != nil {
		d.check(root, reflect.TypeOf(into).Elem(), "")
	}
	if len(d.errs) > 0 {
		return errors.Join(d.errs...)
	}
	return fmt.Errorf("%s: %w", file, err)
}

// decoding looks for what a document has and a Go type does not.
type decoding struct {
	file string
	errs []error
}

func (d *decoding) fault(n *yaml.Node, path, format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if path != "" {
		err = fmt.Errorf("%s: %w", path, err)
	}
	d.errs = append(d.errs, &Error{File: d.file, Line: n.Line, Err: err})
}

var (
	durationType = reflect.TypeFor[model.Duration]()
	startType    = reflect.TypeFor[TestStart]()
	labelsType   = reflect.TypeFor[labels.Labels]()
)

func (d *decoding) check(n *yaml.Node, t reflect.Type, path string) {
	if n = resolve(n); n.Tag == "!!null" {
		return
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	want := func(kind yaml.Kind, form string) bool {
		if n.Kind != kind {
			d.fault(n, path, "want %s, got %s", form, found(n))
		}
		return n.Kind == kind
	}
	switch {
	case t == labelsType, t.Kind() == reflect.Map:
		if want(yaml.MappingNode, "names with texts") {
			d.entries(n, path, func(key, v *yaml.Node) { d.check(v, reflect.TypeFor[string](), join(path, key.Value)) })
		}
	case t == durationType:
		if _, err := model.ParseDuration(n.Value); n.Kind != yaml.ScalarNode || err != nil {
			d.fault(n, path, "want a duration like 30s, 5m or 1h30m, got %s", found(n))
		}
	case t == startType:
		if _, ok := parseStart(n.Value); n.Kind != yaml.ScalarNode || !ok {
			d.fault(n, path, "want %s, got %s", startForm, found(n))
		}
	case t.Kind() == reflect.Struct:
		if want(yaml.MappingNode, "keys of "+strings.Join(keysOf(t), ", ")) {
			d.fields(n, t, path)
		}
	case t.Kind() == reflect.Slice:
		if want(yaml.SequenceNode, "a list") {
			for i, x := range n.Content {
				d.check(x, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
			}
		}
	default:
		if err := n.Decode(reflect.New(t).Interface()); err != nil {
			d.fault(n, path, "want %s, got %s", forms[t.Kind()], found(n))
		}
	}
}

// forms says what a value of a kind looks like in YAML.
var forms = map[reflect.Kind]string{
	reflect.String: "a text", reflect.Bool: "true or false", reflect.Int: "a whole number", reflect.Float64: "a number",
}

// fields checks the keys of a struct.
func (d *decoding) fields(n *yaml.Node, t reflect.Type, path string) {
	d.entries(n, path, func(key, v *yaml.Node) {
		for i := range t.NumField() {
			if keyOf(t.Field(i)) == key.Value && key.Value != "" {
				d.check(v, t.Field(i).Type, join(path, key.Value))
				return
			}
		}
		d.fault(key, path, "unknown key %q: want one of %s", key.Value, strings.Join(keysOf(t), ", "))
	})
}

// entries calls fn for every key of a mapping, those that are merged into it (<<) included.
func (d *decoding) entries(n *yaml.Node, path string, fn func(key, v *yaml.Node)) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		switch {
		case key.Tag == "!!merge":
			d.merged(v, path, fn)
		case seen[key.Value]:
			d.fault(key, path, "key %q twice: want it once", key.Value)
		default:
			seen[key.Value] = true
			fn(key, v)
		}
	}
}

func (d *decoding) merged(v *yaml.Node, path string, fn func(key, v *yaml.Node)) {
	v = resolve(v)
	from := []*yaml.Node{v}
	if v.Kind == yaml.SequenceNode {
		from = v.Content
	}
	for _, m := range from {
		if m = resolve(m); m.Kind == yaml.MappingNode {
			d.entries(m, path, fn)
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func keyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return key
}

func keysOf(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		if k := keyOf(t.Field(i)); k != "" && k != "-" {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// found says what stands somewhere.
func found(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "keys with values"
	}
	return strconv.Quote(n.Value)
}

// Lines finds where in a YAML document something stands.
type Lines struct{ root *yaml.Node }

// ReadLines reads a document's lines; of one that is not YAML, none is known.
func ReadLines(content []byte) Lines {
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil || len(doc.Content) == 0 {
		return Lines{}
	}
	return Lines{root: doc.Content[0]}
}

// Of is the line of what lies at path, of keys (string) and places in lists (int); where the path ends early, the line of
// what there is of it. It is 0 when nothing is known.
func (l Lines) Of(path ...any) int {
	n := l.root
	if n == nil {
		return 0
	}
	line := n.Line
	for _, step := range path {
		n = under(resolve(n), step)
		if n == nil {
			return line
		}
		line = n.Line
	}
	return line
}

func under(n *yaml.Node, step any) *yaml.Node {
	switch step := step.(type) {
	case int:
		if n.Kind == yaml.SequenceNode && step < len(n.Content) {
			return n.Content[step]
		}
	case string:
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	}
	return nil
}
