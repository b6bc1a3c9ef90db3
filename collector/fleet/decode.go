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
	r.mapping(doc.Content[0], "file", fields{"customers": r.list(r.customer)})
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
			r.key = key.Value
			read(value)
		}
		seen[key.Value] = true
	}
}

func (r *reader) list(item func(*yaml.Node)) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			r.fault(n, "%s: must be a list, each entry beginning with a dash", r.key)
			return
		}
		for _, c := range n.Content {
			item(c)
		}
	}
}

func (r *reader) text(into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode {
			r.fault(n, "%s: must be text", r.key)
			return
		}
		*into = n.Value
	}
}

func (r *reader) number(into *int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if err := n.Decode(into); err != nil {
			r.fault(n, "%s: must be a whole number, got %q", r.key, n.Value)
		}
	}
}

func (r *reader) customer(n *yaml.Node) {
	i := len(r.d.Customers)
	r.d.where[spot{i, -1, -1}] = r.at(n)
	var c Customer
	r.mapping(n, "customer", fields{
		"id": r.text(&c.ID), "name": r.text(&c.Name), "department": r.text(&c.Department), "zone": r.text(&c.Zone),
		"sites": r.list(func(n *yaml.Node) { c.Sites = append(c.Sites, r.site(n, i, len(c.Sites))) }),
	})
	for j := range c.Sites {
		for k := range c.Sites[j].Assets {
			c.Sites[j].Assets[k].Customer = c.ID
		}
	}
	r.d.Customers = append(r.d.Customers, c)
}

func (r *reader) site(n *yaml.Node, i, j int) Site {
	r.d.where[spot{i, j, -1}] = r.at(n)
	var s Site
	r.mapping(n, "site", fields{
		"id": r.text(&s.ID), "name": r.text(&s.Name),
		"assets": r.list(func(n *yaml.Node) {
			r.d.where[spot{i, j, len(s.Assets)}] = r.at(n)
			s.Assets = append(s.Assets, r.asset(n))
		}),
	})
	for k := range s.Assets {
		s.Assets[k].Site = s.ID
	}
	return s
}

func (r *reader) asset(n *yaml.Node) Asset {
	a := Asset{Kind: Host, Declared: true}
	var kind string
	r.mapping(n, "asset", fields{
		"name": r.text(&a.Name), "kind": r.text(&kind), "role": r.text(&a.Role), "users": r.number(&a.Users),
	})
	if kind != "" {
		a.Kind = AssetKind(kind)
	}
	return a
}
