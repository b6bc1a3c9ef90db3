package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// reader decodes a set from YAML nodes, so that every fault, every later finding and every choice can say file and line,
// and an unknown key can name the known ones.
type reader struct {
	file    string
	found   []Finding
	choices []Choice
}

// readSet decodes one file. The findings are all that is wrong with its form; what has none is in the set. A set without
// Lines could not be read at all.
func readSet(file string, content []byte) (Set, []Finding) {
	r := &reader{file: file}
	set := Set{At: file}
	dec := yaml.NewDecoder(bytes.NewReader(content))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF), err == nil && doc.Content[0].Tag == "!!null":
		r.fault(nil, "write name, version, owner and what else rules/policies/README.md lists", "the file is empty")
		return set, r.found
	case err != nil:
		r.found = append(r.found, broken(file, content, err))
		return set, r.found
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		r.fault(nil, "put one set into one file", "there is a second document after `---`")
	}
	root := doc.Content[0]
	if root.Kind == yaml.MappingNode {
		set.Lines = map[string]int{}
		for i := 0; i+1 < len(root.Content); i += 2 {
			set.Lines[root.Content[i].Value] = root.Content[i].Line
		}
	}
	r.value(root, reflect.ValueOf(&set).Elem(), "")
	set.Choices = r.choices
	return set, r.found
}

// brokenAt is how the YAML package says where a text is no YAML. Should it change its words, they are told as they are.
var brokenAt = regexp.MustCompile(`^yaml: line (\d+): (.+)$`)

// broken is the finding of a text that is no YAML, with what it mostly is: a tab, or else what the parser stumbled over, which
// may lie a line before.
func broken(file string, content []byte, err error) Finding {
	out := Finding{Where: file, Text: "this is no YAML: " + strings.TrimPrefix(err.Error(), "yaml: "), Fault: true,
		Fix: "look at this line and the one before it: how far they are indented, brackets and quotes that do not close, and text with a colon, comma or # in it, which wants quotes"}
	if m := brokenAt.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1])
		if strings.HasPrefix(m[2], "did not find expected") { // what its parser says, other than its scanner, counts lines from 0
			line++
		}
		out.Where, out.Text = fmt.Sprintf("%s:%d", file, line), "this is no YAML: "+m[2]
	}
	for i, line := range strings.Split(string(content), "\n") {
		if indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.Contains(indent, "\t") {
			out.Where, out.Text, out.Fix = fmt.Sprintf("%s:%d", file, i+1), "the line is indented with a tab", "indent with spaces: YAML takes no tabs"
			break
		}
	}
	return out
}

func (r *reader) fault(n *yaml.Node, fix, format string, args ...any) {
	at := r.file
	if n != nil {
		at = fmt.Sprintf("%s:%d", r.file, n.Line)
	}
	r.found = append(r.found, Finding{Where: at, Text: fmt.Sprintf(format, args...), Fix: fix, Fault: true})
}

// under is the path of a key.
func under(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Types that are read in ways of their own.
var (
	typeDuration = reflect.TypeFor[Duration]()
	typeTime     = reflect.TypeFor[time.Time]()
	typeWords    = reflect.TypeFor[Words]()
)

func (r *reader) value(n *yaml.Node, into reflect.Value, path string) {
	switch {
	case n.Kind == yaml.AliasNode:
		r.fault(n, "write the value out", "%s: YAML aliases are not read here", path)
	case n.Tag == "!!null": // a key without a value is as good as none
	case into.Kind() == reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		r.value(n, into.Elem(), path)
	case into.Type() == typeDuration:
		r.duration(n, into, path)
	case into.Type() == typeTime:
		r.time(n, into, path)
	case into.Type() == typeWords && n.Kind == yaml.ScalarNode:
		into.Set(reflect.ValueOf(Words{n.Value}))
	case into.Kind() == reflect.Struct:
		r.entry(n, into, path)
	case into.Kind() == reflect.Map:
		r.names(n, into, path)
	case into.Kind() == reflect.Slice:
		r.list(n, into, path)
	default:
		r.scalar(n, into, path)
	}
}

func (r *reader) entry(n *yaml.Node, into reflect.Value, path string) {
	known := keysOf(into.Type())
	if n.Kind != yaml.MappingNode {
		r.fault(n, "write it as key: value with "+strings.Join(slices.Sorted(maps.Keys(known)), ", "), "%s: must be a mapping", path)
		return
	}
	if at := into.FieldByName("At"); at.IsValid() && path != "" {
		at.SetString(fmt.Sprintf("%s:%d", r.file, n.Line))
	}
	lines, _ := into.Addr().Interface().(*Calendar)
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if lines != nil {
			lines.stands(key.Value, fmt.Sprintf("%s:%d", r.file, key.Line))
		}
		index, ok := known[key.Value]
		switch {
		case seen[key.Value]:
			r.fault(key, "keep one of them", "%s stands twice", under(path, key.Value))
		case key.Value == "choice":
			r.choice(n, key, value, path)
		case !ok:
			r.fault(key, keysHere(key.Value, known), "unknown key %q%s", key.Value, within(path))
		default:
			r.value(value, into.Field(index), under(path, key.Value))
		}
		seen[key.Value] = true
	}
}

// keysHere says what a key may be, and which one a wrong one is near.
func keysHere(got string, known map[string]int) string {
	all := slices.Sorted(maps.Keys(known))
	fix := "the keys here are " + strings.Join(all, ", ") + ", choice"
	if near := nearest(got, all); near != "" {
		fix = fmt.Sprintf("did you mean %q? %s", near, "T"+fix[1:])
	}
	return fix
}

func within(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

// keysOf are the keys of a mapping that is read into a type, with the indices of their fields.
func keysOf(t reflect.Type) map[string]int {
	keys := map[string]int{}
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" && key != "-" {
			keys[key] = i
		}
	}
	return keys
}

// choice notes what is marked as the operator's to choose: `choice: operator` a whole mapping, `choice: {operator: [hours,
// zone]}` some of its keys.
func (r *reader) choice(entry, key, value *yaml.Node, path string) {
	const fix = "write `choice: operator` for the whole, or `choice: {operator: [KEY, …]}` for some of its keys"
	note := func(n *yaml.Node, what string) {
		r.choices = append(r.choices, Choice{At: fmt.Sprintf("%s:%d", r.file, n.Line), What: what})
	}
	if value.Kind == yaml.ScalarNode && value.Value == "operator" && path != "" {
		note(key, path)
		return
	}
	if value.Kind != yaml.MappingNode || len(value.Content) != 2 || value.Content[0].Value != "operator" || value.Content[1].Kind != yaml.SequenceNode {
		r.fault(value, fix, "%s is none that is known", under(path, "choice"))
		return
	}
	for _, k := range value.Content[1].Content {
		found := false
		for i := 0; i+1 < len(entry.Content); i += 2 {
			if entry.Content[i].Value == k.Value && k.Value != "choice" {
				note(entry.Content[i], under(path, k.Value))
				found = true
			}
		}
		if !found {
			r.fault(k, "name keys that stand beside it", "%s marks %q, which does not stand here", under(path, "choice"), k.Value)
		}
	}
}

func (r *reader) names(n *yaml.Node, into reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		r.fault(n, "write it as NAME: value", "%s: must be a mapping of names", path)
		return
	}
	into.Set(reflect.MakeMap(into.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := reflect.ValueOf(key.Value)
		if into.MapIndex(name).IsValid() {
			r.fault(key, "keep one of them", "%s stands twice", under(path, key.Value))
			continue
		}
		item := reflect.New(into.Type().Elem()).Elem()
		r.value(value, item, under(path, key.Value))
		into.SetMapIndex(name, item)
	}
}

func (r *reader) list(n *yaml.Node, into reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		r.fault(n, "write it as [a, b] or with a dash before each entry", "%s: must be a list", path)
		return
	}
	list := reflect.MakeSlice(into.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		r.value(c, list.Index(i), fmt.Sprintf("%s[%d]", path, i+1))
	}
	into.Set(list)
}

func (r *reader) scalar(n *yaml.Node, into reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		r.fault(n, "write one value", "%s: must be a single value", path)
		return
	}
	switch into.Kind() {
	case reflect.String:
		into.SetString(n.Value)
	case reflect.Bool:
		if n.Tag != "!!bool" {
			r.fault(n, "write true or false", "%s: %q is neither true nor false", path, n.Value)
			return
		}
		into.SetBool(n.Value == "true")
	default:
		text, percent := strings.CutSuffix(n.Value, "%")
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			r.fault(n, "write a number like 0.8 or 80%", "%s: %q is no number", path, n.Value)
			return
		}
		if percent {
			v /= 100
		}
		into.SetFloat(v)
	}
}

func (r *reader) duration(n *yaml.Node, into reflect.Value, path string) {
	v, err := model.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		r.fault(n, "write it like 90s, 15m, 24h or 7d", "%s: %q is no duration", path, n.Value)
		return
	}
	into.SetInt(int64(v))
}

func (r *reader) time(n *yaml.Node, into reflect.Value, path string) {
	v, err := time.Parse(time.RFC3339, n.Value)
	if err != nil {
		r.fault(n, "write it with its offset, like 2026-01-05T08:00:00Z", "%s: %q is no moment", path, n.Value)
		return
	}
	into.Set(reflect.ValueOf(v))
}
