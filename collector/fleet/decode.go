package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader decodes one file of the directory from YAML nodes, so that every fault and every later message can say file
// and line, and an unknown key can name the known ones.
type reader struct {
	file string
	d    *Directory
	errs []error
	// key is the one whose value is being read.
	key string
}

// read adds the customers of one file to d.
func (d *Directory) read(file string, body []byte) []error {
	r := reader{file: file, d: d}
	dec := yaml.NewDecoder(bytes.NewReader(body))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil // an empty file declares nothing
	case err != nil:
		return []error{fmt.Errorf("%s: %w", file, err)}
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return []error{fmt.Errorf("%s: more than one YAML document: put the second into a file of its own", file)}
	}
	r.mapping(doc.Content[0], "file", fields{
		"people": listOf(&r, &d.People, r.person), "contacts": listOf(&r, &d.Contacts, r.contact),
		"departments":       listOf(&r, &d.Departments, r.department),
		"approved_software": listOf(&r, &d.ApprovedSoftware, r.software),
		"customers":         listOf(&r, &d.Customers, r.customer),
	})
	return r.errs
}

// fields are the keys a mapping may have and what reads each.
type fields map[string]func(*yaml.Node)

func (r *reader) fault(n *yaml.Node, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s: %w", r.at(n), fmt.Errorf(format, args...)))
}

func (r *reader) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", r.file, n.Line) }

func (r *reader) mapping(n *yaml.Node, what string, f fields) {
	if n.Kind != yaml.MappingNode {
		r.fault(n, "%s: must be a mapping with %s", what, strings.Join(slices.Sorted(maps.Keys(f)), ", "))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, known := f[key.Value]
		switch {
		case !known:
			r.fault(key, "unknown key %q in %s: known are %s", key.Value, what,
				strings.Join(slices.Sorted(maps.Keys(f)), ", "))
		case seen[key.Value]:
			r.fault(key, "key %q stands twice in %s", key.Value, what)
		case value.Kind == yaml.AliasNode:
			r.fault(value, "%s: YAML aliases are not read here: write the value out", key.Value)
		case value.Tag == "!!null": // a key without a value is as good as none
		default:
			if key.Line != n.Line {
				r.d.lines[place(what, r.at(n), key.Value)] = r.at(key)
			}
			r.key = key.Value
			read(value)
		}
		seen[key.Value] = true
	}
}

// listOf reads a list, each entry by item, onto the end of into.
func listOf[T any](r *reader, into *[]T, item func(*yaml.Node) T) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			r.fault(n, "%s: must be a list, each entry beginning with a dash", r.key)
			return
		}
		for _, c := range n.Content {
			*into = append(*into, item(c))
		}
	}
}

// text reads any scalar as it is written.
func text[T ~string](r *reader, into *T) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode {
			r.fault(n, "%s: must be text", r.key)
			return
		}
		*into = T(n.Value)
	}
}

func (r *reader) number(into *int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Tag != "!!int" || n.Decode(into) != nil { // Decode alone would cut a fraction off
			r.fault(n, "%s: must be a whole number, got %q", r.key, n.Value)
		}
	}
}

func (r *reader) flag(into *bool) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Decode(into) != nil {
			r.fault(n, "%s: must be true or false, got %q", r.key, n.Value)
		}
	}
}

// texts reads a list of scalars.
func (r *reader) texts(into *[]string) func(*yaml.Node) {
	return listOf(r, into, func(n *yaml.Node) (s string) {
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
			r.fault(n, "%s: each entry must be text", r.key)
			return ""
		}
		return n.Value
	})
}

// spans reads one scalar or a list of them.
func (r *reader) spans(n *yaml.Node) (out Spans) {
	if n.Kind == yaml.ScalarNode {
		return Spans{n.Value}
	}
	r.texts((*[]string)(&out))(n)
	return out
}

func (r *reader) word(n *yaml.Node) (s string) {
	text(r, &s)(n)
	return s
}

// table reads a mapping whose keys the person chooses.
func table[T any](r *reader, into *map[string]T, value func(*yaml.Node) T) func(*yaml.Node) {
	return func(n *yaml.Node) {
		what := r.key
		if n.Kind != yaml.MappingNode {
			r.fault(n, "%s: must be a mapping of names to values", what)
			return
		}
		*into = map[string]T{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, v := n.Content[i], n.Content[i+1]
			_, twice := (*into)[key.Value]
			switch {
			case key.Kind != yaml.ScalarNode:
				r.fault(key, "%s: each name must be text", what)
			case twice:
				r.fault(key, "key %q stands twice in %s", key.Value, what)
			case v.Kind == yaml.AliasNode:
				r.fault(v, "%s: YAML aliases are not read here: write the value out", key.Value)
			case v.Tag == "!!null":
				r.fault(v, "%s: %s: must have a value", what, key.Value)
			default:
				r.key = what + ": " + key.Value
				(*into)[key.Value] = value(v)
			}
		}
	}
}
