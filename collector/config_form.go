package collector

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/collector/policy"
)

// form is a configuration file as it is written: which sections it has and on which line each of its fields stands.
type form struct {
	file    string
	content []byte
	// root has the sections; nil in an empty file.
	root *yaml.Node
	// unread are the sections that were not read whole: what their values say may be untrue.
	unread map[string]bool
}

// formOf reads a file's form. An error is one with which nothing in it can be read.
func formOf(file string, content []byte) (form, error) {
	var doc yaml.Node
	if err := policy.Decode(file, content, &doc); err != nil {
		return form{}, err
	}
	f := form{file: file, content: content, unread: map[string]bool{}}
	if len(doc.Content) > 0 && doc.Content[0].Kind == yaml.MappingNode {
		f.root = doc.Content[0]
	}
	return f, nil
}

// decode reads all sections into c, names every fault of form and notes what is unread. What is wrong in one section keeps no
// other from being read.
func (f form) decode(c *Config) []error {
	errs, rest := f.aborts()
	if rest != nil {
		errs = append(errs, apart(policy.Decode(f.file, rest, c))...)
	}
	for _, err := range errs {
		if at, ok := errors.AsType[*policy.Fault](err); ok {
			f.unread[f.section(at.Line)] = true
		}
	}
	return errs
}

// aborts finds faults at which the YAML package reads no further, as those of Prometheus' own types are, and gives them a line.
// rest is the file without the sections that have one; nil where these cannot be taken out.
func (f form) aborts() (errs []error, rest []byte) {
	lines := bytes.SplitAfter(f.content, []byte("\n"))
	for i := 0; f.root != nil && i+1 < len(f.root.Content); i += 2 {
		key, value := f.root.Content[i], f.root.Content[i+1]
		bad := aborting(key, value)
		if len(bad) == 0 {
			continue
		}
		for _, b := range bad {
			errs = append(errs, &policy.Fault{File: f.file, Line: b.line, Err: fmt.Errorf("%s: %w", b.path, b.err)})
		}
		if f.root.Style&yaml.FlowStyle != 0 {
			return errs, nil
		}
		end := len(lines)
		if i+2 < len(f.root.Content) {
			end = f.root.Content[i+2].Line - 1
		}
		for n := key.Line - 1; n < end; n++ {
			lines[n] = []byte("\n")
		}
	}
	return errs, bytes.Join(lines, nil)
}

// abort is one fault at which reading ends.
type abort struct {
	path string
	line int
	err  error
}

// aborting are those of a section, of a list that of every item.
func aborting(key, value *yaml.Node) (out []abort) {
	try := func(path string, at, value *yaml.Node) {
		section := yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{key, value}}
		var types *yaml.TypeError
		if err := section.Decode(new(DefaultConfig())); err != nil && !errors.As(err, &types) {
			out = append(out, abort{path, at.Line, err})
		}
	}
	if value.Kind != yaml.SequenceNode {
		try(key.Value, key, value)
		return out
	}
	for i, item := range value.Content {
		list := yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{item}}
		try(fmt.Sprintf("%s[%d]", key.Value, i), item, &list)
	}
	return out
}

// section is the one that a line stands in.
func (f form) section(line int) (name string) {
	for i := 0; f.root != nil && i < len(f.root.Content); i += 2 {
		if key := f.root.Content[i]; key.Line <= line {
			name = key.Value
		}
	}
	return name
}

// judged are the faults of values, with their lines, but for those in sections that are unread.
func (f form) judged(values []error) (out []error) {
	for _, err := range values {
		if path := pathOf(err); len(path) == 0 || !f.unread[path[0]] {
			out = append(out, f.place(err))
		}
	}
	return out
}

// place names the file and the line of the field that a fault begins with.
func (f form) place(err error) error {
	return &policy.Fault{File: f.file, Line: f.line(pathOf(err)), Err: err}
}

// line is where a field stands, or the nearest there is around it; 0 when there is none.
func (f form) line(path []string) (line int) {
	at := f.root
	for _, step := range path {
		key, value := fieldOf(at, step)
		if value == nil {
			break
		}
		line, at = key.Line, value
	}
	return line
}

// fieldOf is what a step of a path leads to: by key in a mapping; by number or, in quotation marks, by name in a list. key is
// what stands for it: of a list's item itself.
func fieldOf(n *yaml.Node, step string) (key, value *yaml.Node) {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n == nil:
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i], n.Content[i+1]
			}
		}
	case n.Kind == yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i]
		}
		name, err := strconv.Unquote(step)
		for _, item := range n.Content {
			if _, v := fieldOf(item, "name"); err == nil && item.Kind == yaml.MappingNode && v != nil && v.Value == name {
				return item, item
			}
		}
	}
	return nil, nil
}

// fieldPath is how every fault of a value begins, as Validate writes it: history.size, remote_write[0] (mimir).url,
// receivers["desk"].webhook.url.
var (
	fieldPath = regexp.MustCompile(`^[a-z_]+(?:\.[a-zA-Z0-9_-]+|\[\d+\]|\["(?:[^"\\]|\\.)*"\]| \([^()]*\))*`)
	pathStep  = regexp.MustCompile(`[a-zA-Z0-9_-]+|"(?:[^"\\]|\\.)*"| \([^()]*\)`)
)

// pathOf are the steps to the field that a fault of a value is about.
func pathOf(err error) (steps []string) {
	for _, s := range pathStep.FindAllString(fieldPath.FindString(err.Error()), -1) {
		if !strings.HasPrefix(s, " (") { // a name beside the number
			steps = append(steps, s)
		}
	}
	return steps
}

// apart are the faults that were joined into an error, each for itself. What names two causes in words of its own is one fault.
func apart(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || errors.Join(joined.Unwrap()...).Error() != err.Error() {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, apart(e)...)
	}
	return out
}
