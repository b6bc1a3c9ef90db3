package policy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
)

// The sections that come from exactly one set each.
const (
	sectionCalendar = "calendar"
	sectionTargets  = "targets"
	sectionRouting  = "routing"
	sectionNotices  = "notices"
)

// Sections are the parts of a policy that come from exactly one set each, in the order of the file.
func Sections() []string {
	return []string{sectionCalendar, sectionTargets, sectionRouting, sectionNotices}
}

// gives tells whether a set says anything of a section.
func (s Set) gives(section string) bool {
	switch section {
	case sectionCalendar:
		return s.Calendar != nil
	case sectionTargets:
		return len(s.Priorities)+len(s.Classify)+len(s.Targets) > 0
	case sectionRouting:
		return s.Owner != "" || s.Reports != "" || len(s.Owners)+len(s.Escalations) > 0
	default:
		return len(s.Notices)+len(s.Templates)+len(s.Ladder)+len(s.Urgent)+len(s.Fallback) > 0 || s.Quiet != nil || s.Drafts
	}
}

// label names a set with its version, as tickets show it.
func (s Set) label() string { return s.Name + " " + s.Version }

// composition is the sets of a contract with what each of them wins.
type composition struct {
	sets     []Set
	contract fleet.Contract
	override map[string]string
	// where is what findings are told with: the contract's place.
	where   string
	winners map[string]Set
	found   []Finding
}

// compose finds the sets of a contract and which gives what. Everything that is ambiguous is found at once.
func (b *Book) compose(k fleet.Contract) *composition {
	c := &composition{contract: k, override: k.Override, where: k.At, winners: map[string]Set{}}
	if c.where == "" && k.ID != "" {
		c.where = "contract " + k.ID
	}
	for i, name := range k.Sets {
		s, ok := b.Set(name)
		switch {
		case !ok:
			fix := "the sets are " + strings.Join(b.names(), ", ")
			if near := nearest(name, b.names()); near != "" {
				fix = fmt.Sprintf("did you mean %q? %s", near, "T"+fix[1:])
			}
			c.fault(fmt.Sprintf("sets: there is no policy set %q", name), fix)
		case slices.Contains(k.Sets[:i], name):
			c.fault(fmt.Sprintf("sets: %q stands twice", name), "keep it once")
		default:
			c.sets = append(c.sets, s)
		}
	}
	c.overrides()
	for _, section := range Sections() {
		c.pick(section)
	}
	return c
}

func (c *composition) fault(text, fix string) {
	c.found = append(c.found, Finding{Where: c.where, Text: text, Fix: fix, Fault: true})
}

func (c *composition) named(name string) (Set, bool) {
	i := slices.IndexFunc(c.sets, func(s Set) bool { return s.Name == name })
	if i < 0 {
		return Set{}, false
	}
	return c.sets[i], true
}

// overrides looks whether each override names something that its winner has.
func (c *composition) overrides() {
	for _, key := range slices.Sorted(maps.Keys(c.override)) {
		s, ok := c.named(c.override[key])
		if !ok {
			c.fault(fmt.Sprintf("override.%s names %q, which is none of the contract's sets", key, c.override[key]),
				"its sets are "+strings.Join(c.contract.Sets, ", "))
			continue
		}
		kind, name, _ := strings.Cut(key, ".")
		var has bool
		switch {
		case slices.Contains(Sections(), key):
			has = s.gives(key)
		case kind == "gate":
			_, has = s.Gates[name]
		case kind == "type":
			_, has = s.Types[name]
		case kind == "checklist":
			_, has = s.Checklists[name]
		case kind == "compliance":
			_, has = s.Compliance[name]
		default:
			c.fault(fmt.Sprintf("override.%s is nothing that sets can clash in", key),
				"override "+strings.Join(Sections(), ", ")+", gate.NAME, type.NAME, checklist.NAME or compliance.NAME")
			continue
		}
		if !has {
			c.fault(fmt.Sprintf("override.%s names %s, which does not say anything of it", key, s.Name), "name the set that does")
		}
	}
}

// pick finds the one set that gives a section: the one that the contract names, otherwise the only one that does not yield
// it, otherwise the only one that says anything of it.
func (c *composition) pick(section string) {
	if s, ok := c.named(c.override[section]); ok && s.gives(section) { // else overrides told of it
		c.winners[section] = s
		return
	}
	var firm, weak []Set
	for _, s := range c.sets {
		switch {
		case !s.gives(section):
		case slices.Contains(s.Yields, section):
			weak = append(weak, s)
		default:
			firm = append(firm, s)
		}
	}
	if len(firm) == 0 {
		firm = weak
	}
	switch len(firm) {
	case 0:
		if len(c.sets) > 0 && section != sectionCalendar {
			c.fault(section+": given by none of its sets", "add a set that gives them, or give them in one of these")
		}
	case 1:
		c.winners[section] = firm[0]
	default:
		names := make([]string, len(firm))
		for i, s := range firm {
			names[i] = s.Name
		}
		c.fault(fmt.Sprintf("%s: given by %s: they come from exactly one set", section, strings.Join(names, " and ")),
			fmt.Sprintf("say which with `override: {%s: %s}` in the contract", section, names[0]))
		c.winners[section] = firm[0]
	}
}

// addUp gathers what sets have by name: gates, types, checklists. Two sets may say the same; where they differ the
// contract has to name the winner.
func addUp[T any](c *composition, kind string, of func(Set) map[string]T, same func(a, b T) bool, take func(name string, v T, from Set)) {
	from := map[string]Set{}
	for _, s := range c.sets {
		for _, name := range slices.Sorted(maps.Keys(of(s))) {
			first, taken := from[name]
			winner, named := c.named(c.override[kind+"."+name])
			switch {
			case named && winner.Name != s.Name:
			case taken && !same(of(first)[name], of(s)[name]):
				c.fault(fmt.Sprintf("%s %s is defined differently by %s and %s", kind, name, first.Name, s.Name),
					fmt.Sprintf("say which holds with `override: {%s.%s: %s}` in the contract", kind, name, first.Name))
			case !taken:
				from[name] = s
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(from)) {
		take(name, of(from[name])[name], from[name])
	}
}

// alike compares two entries of sets, wherever they stand in their files.
func alike[T any](a, b T) bool {
	return reflect.DeepEqual(placeless(reflect.ValueOf(a)), placeless(reflect.ValueOf(b)))
}

// placeless is a value without the places that its parts were read from.
func placeless(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Struct:
		out := map[string]any{}
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "At" {
				out[name] = placeless(v.Field(i))
			}
		}
		return out
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = placeless(v.Index(i))
		}
		return out
	}
	return v.Interface()
}
