package ticket

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// CheckGates names everything that is wrong with the gates, types and checklists of terms, nil when nothing is: needs that
// nobody can meet because this package does not know them or they say too little, verbs that do not exist, names that
// stand twice.
func (t Terms) CheckGates() error {
	var errs []error
	seen := map[string]bool{}
	for _, g := range t.Gates {
		if seen[g.Name] {
			errs = append(errs, fmt.Errorf("gate %q: stands twice: name one of them otherwise, or leave it out", g.Name))
		}
		seen[g.Name] = true
		errs = append(errs, t.checkGate(g))
	}
	types := map[string]bool{}
	for _, ty := range t.Types {
		if types[ty.Name] {
			errs = append(errs, fmt.Errorf("type %q: stands twice: name one of them otherwise, or leave it out", ty.Name))
		}
		types[ty.Name] = true
		errs = append(errs, t.checkType(ty))
	}
	for _, c := range t.Checklists {
		if c.Name == "" || c.Version == "" || len(c.Items) == 0 || strings.ContainsAny(c.Name+c.Version, "/@") {
			errs = append(errs, fmt.Errorf("checklist %q version %q: wants a name and a version without / and @, and items", c.Name, c.Version))
		}
	}
	return errors.Join(errs...)
}

func (t Terms) checkGate(g Gate) error {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("gate %q: "+format, append([]any{g.Name}, args...)...))
	}
	if g.Name == "" {
		fault("has no name: give it one")
	}
	if len(g.Before) == 0 {
		fault("stands before nothing: name verbs in before")
	}
	for _, v := range g.Before {
		if !slices.Contains(Verbs, v) {
			fault("stands before %q, which is no verb: expected one of %s", v, verbList())
		}
	}
	if len(g.Needs) == 0 {
		fault("needs nothing: name what it asks for, or leave it out")
	}
	for _, n := range g.Needs {
		if err := t.checkNeed(n); err != nil {
			errs = append(errs, fmt.Errorf("gate %q: %w", g.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (t Terms) checkNeed(n Need) error {
	k, ok := needKinds[n.Kind]
	if !ok {
		return fmt.Errorf("need %q: there is none of that kind: expected one of %s", n.Kind, strings.Join(needNames(), ", "))
	}
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("need %q: "+format, append([]any{n.Kind}, args...)...))
	}
	if k.NeedsRoles && len(n.Roles) == 0 {
		fault("names no roles: say %s", k.Roles)
	}
	if k.NeedsNames && len(n.Names) == 0 {
		fault("names nothing: say %s", k.Names)
	}
	if k.Roles == "" && len(n.Roles) > 0 {
		fault("takes no roles, and has %s", strings.Join(n.Roles, ", "))
	}
	if k.Names == "" && len(n.Names) > 0 {
		fault("takes no names, and has %s", strings.Join(n.Names, ", "))
	}
	for kind, typ := range map[string]string{needVersion: TypeDeliverVersion, needMonitoring: TypeMonitoring} {
		if _, ok := t.Type(typ); n.Kind == kind && !ok && (kind == needVersion || len(n.Names) == 0) {
			fault("wants a type %s of task to open: add it to the types", typ)
		}
	}
	for _, name := range n.Names {
		if problem := t.checkName(n.Kind, name); problem != "" {
			fault("%q: %s", name, problem)
		}
	}
	return errors.Join(errs...)
}

// checkName is what is wrong with a name that a need gives, empty for nothing.
func (t Terms) checkName(kind, name string) string {
	_, typed := t.Type(name)
	switch kind {
	case needRecord:
		if !slices.Contains(Parts, Part(name)) {
			return fmt.Sprintf("is no part of the record: expected one of %v", Parts)
		}
	case needVersion:
		if !slices.Contains(t.Priorities, name) {
			return "is no priority: expected one of " + strings.Join(t.Priorities, ", ")
		}
	case needChild, needChildDone, needMonitoring, needFollowUp:
		if !typed {
			return "is no type of ticket: add it to the types, or name one of them"
		}
	case needChecklist:
		if !slices.ContainsFunc(t.Checklists, func(c Checklist) bool { return c.Name == name }) {
			return "is no checklist: add it, or name one of them"
		}
	}
	return ""
}
