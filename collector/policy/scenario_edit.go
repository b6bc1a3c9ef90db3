package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// SetFiles are policy sets as written: name → content of its policy.yml.
type SetFiles map[string][]byte

// Book reads all sets. The error joins every fault, each with the set's name and the line.
func (f SetFiles) Book() (*Book, error) {
	b := &Book{sets: map[string]Set{}}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(f)) {
		s, err := Parse(name+"/policy.yml", f[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		b.sets[s.Name] = s
	}
	return b, errors.Join(errs...)
}

// edited is one set with what an edit says otherwise.
func edited(content []byte, edit *yaml.Node) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) != 1 {
		return nil, fmt.Errorf("there is nothing to edit: want a policy set")
	}
	changed, err := merged(doc.Content[0], edit)
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(changed)
}

// merged is base with what over says otherwise: mappings key by key, where null takes a key away; lists by place, where over
// is a mapping of places ({0: …, 3: null}, "+" adds a list at the end and "first" one at the beginning); everything else as
// over has it. Neither is changed.
func merged(base, over *yaml.Node) (*yaml.Node, error) {
	if base == nil || over.Kind != yaml.MappingNode {
		return over, nil
	}
	switch base.Kind {
	case yaml.MappingNode:
		return mergedMapping(base, over)
	case yaml.SequenceNode:
		return mergedList(base, over)
	default:
		return over, nil
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func mergedMapping(base, over *yaml.Node) (*yaml.Node, error) {
	out := *base
	out.Content = slices.Clone(base.Content)
	for i := 0; i+1 < len(over.Content); i += 2 {
		key, value := over.Content[i], over.Content[i+1]
		at := slices.IndexFunc(keyNodes(&out), func(k *yaml.Node) bool { return k.Value == key.Value }) * 2
		switch {
		case isNull(value) && at < 0:
			return nil, fmt.Errorf("line %d: there is no %q to take away", key.Line, key.Value)
		case isNull(value):
			out.Content = slices.Delete(out.Content, at, at+2)
		case at < 0:
			out.Content = append(out.Content, key, value)
		default:
			changed, err := merged(out.Content[at+1], value)
			if err != nil {
				return nil, err
			}
			out.Content[at+1] = changed
		}
	}
	return &out, nil
}

// keyNodes are the keys of a mapping in their order.
func keyNodes(n *yaml.Node) []*yaml.Node {
	var keys []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		keys = append(keys, n.Content[i])
	}
	return keys
}

func mergedList(base, over *yaml.Node) (*yaml.Node, error) {
	out := *base
	out.Content = slices.Clone(base.Content)
	var gone []int
	for i := 0; i+1 < len(over.Content); i += 2 {
		key, value := over.Content[i], over.Content[i+1]
		at, err := strconv.Atoi(key.Value)
		switch {
		case key.Value == "+":
			out.Content = append(out.Content, value.Content...)
		case key.Value == "first":
			out.Content = append(slices.Clone(value.Content), out.Content...)
		case err != nil || at < 0 || at >= len(base.Content):
			return nil, fmt.Errorf("line %d: %q is no place of a list of %d: want 0 to %d, + or first", key.Line, key.Value, len(base.Content), len(base.Content)-1)
		case isNull(value):
			gone = append(gone, at)
		default:
			if out.Content[at], err = merged(base.Content[at], value); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(gone)
	for _, at := range slices.Backward(gone) {
		out.Content = slices.Delete(out.Content, at, at+1)
	}
	return &out, nil
}
