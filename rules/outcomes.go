package rules

import (
	"slices"
	"strings"
	"text/template/parse"
)

// maxOutcomes bounds the texts of one template.
const maxOutcomes = 64

// outcomes are the texts that a label's template can become, each once; all is false when it can become others too: it
// writes a value, or there are more than anybody wants to know.
func outcomes(template string) (texts []string, all bool) {
	if !strings.Contains(template, "{{") {
		return []string{template}, true
	}
	t := parse.New("")
	t.Mode = parse.SkipFuncCheck
	tree, err := t.Parse(shorthands+template, "", "", map[string]*parse.Tree{})
	if err != nil {
		return nil, false // it is refused elsewhere
	}
	return ends(tree.Root)
}

// ends are the texts that a list of nodes can write.
func ends(list *parse.ListNode) (texts []string, all bool) {
	texts = []string{""}
	if list == nil {
		return texts, true
	}
	for _, n := range list.Nodes {
		var more []string
		switch n := n.(type) {
		case *parse.TextNode:
			more = []string{string(n.Text)}
		case *parse.ActionNode:
			if len(n.Pipe.Decl) == 0 {
				return nil, false
			}
			continue // it sets a variable and writes nothing
		case *parse.IfNode:
			more, all = either(n.BranchNode)
		case *parse.WithNode:
			more, all = either(n.BranchNode)
		default:
			return nil, false
		}
		if _, text := n.(*parse.TextNode); !text && !all || len(texts)*len(more) > maxOutcomes {
			return nil, false
		}
		texts = joinEach(texts, more)
	}
	return texts, true
}

// either is what one branch or the other can write.
func either(n parse.BranchNode) (texts []string, all bool) {
	yes, ok := ends(n.List)
	no, also := ends(n.ElseList)
	return append(yes, no...), ok && also
}

// joinEach is every text with every other behind it, each once.
func joinEach(texts, more []string) []string {
	var out []string
	for _, a := range texts {
		for _, b := range more {
			if !slices.Contains(out, a+b) {
				out = append(out, a+b)
			}
		}
	}
	return out
}
