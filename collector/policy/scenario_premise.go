package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/collector/fleet"
)

// Premise is what is in force at a moment of a scenario, as it is written: policy sets and the fleet directory.
type Premise struct {
	file *ScenarioFile
	s    *Scenario
	sets SetFiles
	book *Book
	doc  *yaml.Node
}

// NewPremise is what a scenario of a file begins with, before its own Edit: sets as written, and book, which is them read.
// Neither is changed. The error says why the scenario's contract cannot be made.
func NewPremise(file *ScenarioFile, s *Scenario, sets SetFiles, book *Book) (*Premise, error) {
	p := &Premise{file: file, s: s, sets: maps.Clone(sets), book: book}
	p.doc = p.directoryNode()
	if err := p.underSets(); err != nil {
		return nil, err
	}
	if s.Contract.Kind != 0 {
		return p, p.contract(&s.Contract)
	}
	return p, nil
}

// Book are the sets in force, read.
func (p *Premise) Book() *Book { return p.book }

// Edit puts changed sets in force: name → what is otherwise, merged as edited has it. The error joins every fault of those
// that changed, or says that there is no such set; then nothing changed.
func (p *Premise) Edit(edits map[string]yaml.Node) error {
	sets, book := maps.Clone(p.sets), p.book
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(edits)) {
		content, known := sets[name]
		if !known {
			return fmt.Errorf("edit: there is no policy set %q: want one of %s", name, strings.Join(slices.Sorted(maps.Keys(sets)), ", "))
		}
		edit := edits[name]
		changed, err := edited(content, &edit)
		if err != nil {
			return fmt.Errorf("edit %s: %w", name, err)
		}
		set, err := Parse(name+"/policy.yml", changed)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		sets[name], book = changed, book.With(set)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	p.sets, p.book = sets, book
	return nil
}

// Change puts another contract, directory or version of a set in force.
func (p *Premise) Change(c *ChangeStep) error {
	if err := p.Edit(c.Edit); err != nil {
		return fmt.Errorf("change: %w", err)
	}
	if c.Directory.Kind != 0 {
		doc, err := merged(p.doc, &c.Directory)
		if err != nil {
			return fmt.Errorf("change: %w", err)
		}
		p.doc = doc
	}
	if c.Contract.Kind != 0 {
		if err := p.contract(&c.Contract); err != nil {
			return fmt.Errorf("change: %w", err)
		}
	}
	return nil
}

// Directory is the fleet directory in force. The error names its faults.
func (p *Premise) Directory() (fleet.Directory, error) {
	var d fleet.Directory
	content, err := yaml.Marshal(p.doc)
	if err != nil {
		return d, fmt.Errorf("directory: %w", err)
	}
	if err := Decode("directory", content, &d); err != nil {
		return d, err
	}
	for i, c := range d.Customers {
		for j := range c.Contracts {
			d.Customers[i].Contracts[j].At = "contract " + c.Contracts[j].ID
		}
	}
	return d, nil
}

// Customer is whose tickets they are unless a step says otherwise: the scenario's, or the directory's first.
func (p *Premise) Customer() string {
	if p.s.Customer != "" {
		return p.s.Customer
	}
	for _, c := range items(p.doc, "customers") {
		if id := valueOf(c, "id"); id != nil {
			return id.Value
		}
	}
	return ""
}

// directoryNode is the scenario's fleet, the file's, or one customer under a contract of the sets.
func (p *Premise) directoryNode() *yaml.Node {
	for _, n := range []*yaml.Node{&p.s.Directory, &p.file.Directory} {
		if n.Kind != 0 {
			return n
		}
	}
	word := func(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }
	mapping := func(pairs ...*yaml.Node) *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Content: pairs} }
	list := func(all ...*yaml.Node) *yaml.Node { return &yaml.Node{Kind: yaml.SequenceNode, Content: all} }
	contract := mapping(word("id"), word("acme-1"))
	return mapping(word("customers"), list(mapping(word("id"), word("acme"), word("name"), word("Acme"),
		word("contracts"), list(contract))))
}

// underSets puts the customer's first contract under the sets that the scenario names, or the file does.
func (p *Premise) underSets() error {
	sets := p.s.Sets
	if len(sets) == 0 && p.s.Directory.Kind == 0 {
		sets = p.file.Sets
	}
	if len(sets) == 0 {
		return nil
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, name := range sets {
		list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name})
	}
	return p.contract(node("sets", list))
}

// contract changes the customer's first contract.
func (p *Premise) contract(edit *yaml.Node) error {
	customer := p.Customer()
	customers := valueOf(p.doc, "customers")
	if customers == nil {
		return fmt.Errorf("contract: the directory has no customers")
	}
	for i, c := range customers.Content {
		if id := valueOf(c, "id"); id == nil || id.Value != customer {
			continue
		}
		over := node("customers", node(strconv.Itoa(i), node("contracts", node("0", edit))))
		doc, err := merged(p.doc, over)
		p.doc = doc
		return err
	}
	return fmt.Errorf("contract: there is no customer %q in the directory", customer)
}

// node is a mapping of one key.
func node(key string, value *yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value}}
}
