package rules

import "go.yaml.in/yaml/v3"

// spot is what a finding is about: a key of a rule, and one in it; the zero value is the rule itself.
type spot struct{ key, in string }

// places finds lines in rule files. A file is read when something is found in it, and not before.
type places struct {
	files map[string][]byte
	read  map[string]*yaml.Node
}

// line is where something of a rule stands: in the rule, or else among its group's labels; the rule's line when it is found
// nowhere.
func (p *places) line(g Group, r *Rule, at spot) int {
	if at.key == "" || p.files[g.File] == nil {
		return r.Line
	}
	root, known := p.read[g.File]
	if !known {
		root = ReadLines(p.files[g.File]).root
		if p.read == nil {
			p.read = map[string]*yaml.Node{}
		}
		p.read[g.File] = root
	}
	group, rule := find(root, g.Name, r)
	for _, n := range []*yaml.Node{rule, group} {
		if line := keyLine(n, at); line > 0 {
			return line
		}
	}
	return r.Line
}

// find is a rule in its file, and its group; nil when they are not there.
func find(root *yaml.Node, group string, r *Rule) (inGroup, rule *yaml.Node) {
	for _, g := range items(valueOf(root, "groups")) {
		if name(g, "name") != group {
			continue
		}
		for _, x := range items(valueOf(g, "rules")) {
			if x = resolve(x); x.Line == r.Line && name(x, "alert")+name(x, "record") == r.Name() {
				return resolve(g), x
			}
		}
	}
	return nil, nil
}

func items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// valueOf is a key's value, what it is an alias of.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	if n == nil {
		return nil
	}
	if n = under(resolve(n), key); n != nil {
		n = resolve(n)
	}
	return n
}

// keyLine is the line of the key that a spot names, 0 when there is none.
func keyLine(n *yaml.Node, p spot) int {
	key := p.key
	if p.in != "" {
		n, key = valueOf(n, p.key), p.in
	}
	if n == nil {
		return 0
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i].Line
		}
	}
	return 0
}
