package rules

import (
	"slices"
	"strings"
	"text/template/parse"

	"github.com/prometheus/prometheus/model/labels"
)

// moves tells whether the labels or annotations that a rule sets may change while a result keeps its labels: a template reads
// the result's value, the clock or other series.
func moves(set labels.Labels) bool {
	found := false
	set.Range(func(l labels.Label) { found = found || templateMoves(l.Value) })
	return found
}

// still are the fields of a template's data that are the same as long as a result's labels are.
var still = []string{"Labels", "ExternalLabels", "ExternalURL"}

// templateMoves is moves for one text. What cannot be parsed may be anything.
func templateMoves(text string) bool {
	if !strings.Contains(text, "{{") {
		return false
	}
	const name = "__label"
	names := "{{$labels := 0}}{{$externalLabels := 0}}{{$externalURL := 0}}{{$value := 0}}"
	t := parse.New(name)
	t.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := t.Parse(names+text, "", "", trees); err != nil {
		return true
	}
	for of, tree := range trees {
		if (&motion{all: of == name}).in(tree.Root) {
			return true
		}
	}
	return false
}

// motion looks for what moves in a template. all tells that the dot is all of the data, value included: not within what
// begins with {{with}}, {{range}} or {{define}}, where it is what was given to them, which was looked at there.
type motion struct{ all bool }

func (m *motion) in(n parse.Node) bool {
	switch n := n.(type) {
	case *parse.ListNode:
		return n != nil && slices.ContainsFunc(n.Nodes, m.in)
	case *parse.ActionNode:
		return m.in(n.Pipe)
	case *parse.PipeNode:
		return n != nil && slices.ContainsFunc(n.Cmds, func(c *parse.CommandNode) bool { return slices.ContainsFunc(c.Args, m.in) })
	case *parse.IfNode:
		return m.in(n.Pipe) || m.in(n.List) || m.in(n.ElseList)
	case *parse.WithNode:
		return m.scope(&n.BranchNode)
	case *parse.RangeNode:
		return m.scope(&n.BranchNode)
	case *parse.TemplateNode:
		return m.in(n.Pipe)
	case *parse.ChainNode:
		return m.in(n.Node)
	case *parse.IdentifierNode:
		return n.Ident == "query" || n.Ident == "now"
	case *parse.DotNode:
		return m.all
	case *parse.FieldNode:
		return m.all && !slices.Contains(still, n.Ident[0])
	case *parse.VariableNode:
		return m.variable(n.Ident)
	}
	return false
}

func (m *motion) scope(n *parse.BranchNode) bool {
	return m.in(n.Pipe) || (&motion{}).in(n.List) || m.in(n.ElseList)
}

// variable tells whether a variable moves: all but $ and $value were given what was looked at where they were.
func (m *motion) variable(ident []string) bool {
	switch {
	case ident[0] == "$value":
		return true
	case ident[0] != "$":
		return false
	}
	return len(ident) == 1 || !slices.Contains(still, ident[1])
}
