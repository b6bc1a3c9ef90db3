package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// madeRecords is what commands declared, by kind and ID.
type madeRecords map[DeclaredKind]map[string]Declared

// PutOption says more of a Put.
type PutOption func(*putting)

// putting is what the options of a Put say.
type putting struct {
	may  func(was, becomes Customer) error
	note *bool
	// was and becomes are the customer before and after, as the change was tried last.
	was, becomes Customer
}

// OnlyIf has a customer changed only where may lets it: it sees the customer as it is at that moment (the zero value for one
// that is new) and as it is to be. One that has no contract at that moment, or is not there, is seen as it was last known
// with contracts. It may be called more than once and must be pure; its error is returned.
func OnlyIf(may func(was, becomes Customer) error) PutOption { return func(p *putting) { p.may = may } }

// NoteChange sets changed: false where what is put is what files or commands declare already, to the last word. Nothing is
// written then, and who declared it and when stay as they were.
func NoteChange(changed *bool) PutOption { return func(p *putting) { p.note = changed } }

// PutPerson declares a person, in place of one of that ID that a command declared before. What is declared already, by a
// command or a file, is no change. Refusals wrap ErrInvalid, with every fault, or ErrDeclared: what a file declares
// otherwise is changed there.
func (g *Registry) PutPerson(ctx context.Context, p Person, by string, o ...PutOption) error {
	return g.putDeclared(ctx, Declared{Kind: DeclaredPerson, ID: p.ID, Person: &p, By: by}, o)
}

// PutDepartment declares a department; otherwise as PutPerson.
func (g *Registry) PutDepartment(ctx context.Context, d Department, by string, o ...PutOption) error {
	return g.putDeclared(ctx, Declared{Kind: DeclaredDepartment, ID: d.ID, Department: &d, By: by}, o)
}

// PutCustomer declares a customer with all that belongs to it: contacts, contracts, applications, sites and assets;
// otherwise as PutPerson.
func (g *Registry) PutCustomer(ctx context.Context, c Customer, by string, o ...PutOption) error {
	return g.putDeclared(ctx, Declared{Kind: DeclaredCustomer, ID: c.ID, Customer: &c, By: by}, o)
}

// PutContacts declares the operator's own contacts, all of them; none takes back what a command declared. Where a file
// declares any, they stand in files alone. Otherwise as PutPerson.
func (g *Registry) PutContacts(ctx context.Context, all []Contact, by string, o ...PutOption) error {
	return g.putDeclared(ctx, Declared{Kind: DeclaredContacts, ID: operatorsOwn, Contacts: all, By: by}, o)
}

// PutApprovedSoftware declares the approved software, all of it; otherwise as PutContacts.
func (g *Registry) PutApprovedSoftware(ctx context.Context, all []Software, by string, o ...PutOption) error {
	return g.putDeclared(ctx, Declared{Kind: DeclaredSoftware, ID: operatorsOwn, Software: all, By: by}, o)
}

// operatorsOwn is the ID of what there is once.
const operatorsOwn = "operator"

// errSame: what is to be declared is declared already.
var errSame = errors.New("declared already")

func (g *Registry) putDeclared(ctx context.Context, d Declared, options []PutOption) error {
	var p putting
	for _, say := range options {
		say(&p)
	}
	d.At, d.Change = g.now().UTC(), newSecret()
	d = d.settled()
	err := g.changeDeclared(ctx, declaredChange{
		what:   string(d.Kind),
		apply:  func(made madeRecords, files Directory) error { return p.apply(d, made, files) },
		faults: func(err error) error { return refuse(ErrInvalid, "%s %q was not changed:\n%v", d.Kind, d.ID, err) },
		write: func(r Records, made madeRecords) error {
			if err := p.allow(r, d); err != nil {
				return err
			}
			if one, ok := made[d.Kind][d.ID]; ok {
				return r.PutDeclared(one)
			}
			return r.DeleteDeclared(d.Kind, d.ID)
		},
	})
	if p.note != nil {
		*p.note = err == nil
	}
	if errors.Is(err, errSame) {
		return nil
	}
	return err
}

// apply puts d among what commands declare, or says why it cannot be there; errSame when it would change nothing.
func (p *putting) apply(d Declared, made madeRecords, files Directory) error {
	was := files.with(made)
	becomes := was.having(d)
	before, err := was.entryText(d.Kind, d.ID)
	if err != nil {
		return err
	}
	after, err := becomes.entryText(d.Kind, d.ID)
	if err != nil {
		return err
	}
	if before == after && (before != "" || d.empty()) {
		return errSame
	}
	if at := files.standsAt(d.Kind, d.ID); at != "" {
		return declaredIn(d.Kind, d.ID, at)
	}
	if d.Customer != nil {
		p.was, p.becomes = was.customer(d.ID), becomes.customer(d.ID)
	}
	if made[d.Kind][d.ID] = d; d.empty() {
		delete(made[d.Kind], d.ID)
	}
	return nil
}

// RemoveDeclared takes back what a command declared. Refusals wrap ErrNotFound, ErrDeclared for what only a file
// declares, or ErrInvalid where something else still refers to it.
func (g *Registry) RemoveDeclared(ctx context.Context, kind DeclaredKind, id string) error {
	var gone *Customer // what is no longer in force then
	return g.changeDeclared(ctx, declaredChange{
		what: string(kind) + "-removed",
		apply: func(made madeRecords, files Directory) error {
			at := files.standsAt(kind, id)
			if gone = made[kind][id].Customer; at != "" {
				gone = nil
			}
			if _, ok := made[kind][id]; !ok {
				if at != "" {
					return declaredIn(kind, id, at)
				}
				return refuse(ErrNotFound, "no %s %q: nothing was removed", kind, id)
			}
			delete(made[kind], id)
			return nil
		},
		faults: func(err error) error {
			return refuse(ErrInvalid, "%s %q is still needed, change this first:\n%v", kind, id, err)
		},
		write: func(r Records, _ madeRecords) error {
			if gone != nil {
				if err := keepKnown(r, *gone, g.now()); err != nil {
					return err
				}
			}
			return r.DeleteDeclared(kind, id)
		},
	})
}

func declaredIn(kind DeclaredKind, id, at string) error {
	if id == operatorsOwn && (kind == DeclaredContacts || kind == DeclaredSoftware) {
		return refuse(ErrDeclared, "the operator's %s stand at %s: change them there and reload", kind, at)
	}
	return refuse(ErrDeclared, "%s %q is declared at %s: change it there and reload", kind, id, at)
}

// declaredChange is one change of what commands declare.
type declaredChange struct {
	// what names it for the Keeper.
	what string
	// apply changes made, which is its own, or refuses.
	apply func(made madeRecords, files Directory) error
	// faults makes the refusal of what is not valid together.
	faults func(error) error
	// write puts what became of it into the store.
	write func(r Records, made madeRecords) error
}

// outcome is what a change leads to: what is declared then, or why not.
type outcome struct {
	made madeRecords
	p    picture
	err  error
}

// on tries the change on what is declared.
func (c declaredChange) on(made madeRecords, files Directory) outcome {
	made = made.clone()
	err := c.apply(made, files)
	if err != nil && !errors.Is(err, errSame) {
		return outcome{err: err}
	}
	whole := files.with(made)
	if err != nil {
		return outcome{made: made, p: newPicture(whole), err: err}
	}
	if err := whole.Validate(); err != nil {
		return outcome{err: c.faults(err)}
	}
	return outcome{made: made, p: newPicture(whole)}
}

// changeDeclared makes one change and shows it in memory. What it leads to is found before the transaction, so that nobody
// waits for it, and again within where another collector on the same store changed something meanwhile.
func (g *Registry) changeDeclared(ctx context.Context, c declaredChange) error {
	g.change.Lock()
	defer g.change.Unlock()
	expected, tried := g.made, c.on(g.made, g.files)
	var got outcome
	err := g.update(ctx, c.what, func(r Records) error {
		made, err := readMade(r)
		if err != nil {
			return err
		}
		if got = tried; !made.same(expected) {
			got = c.on(made, g.files)
		}
		if got.err != nil {
			return got.err
		}
		return c.write(r, got.made)
	})
	if err != nil && !errors.Is(err, errSame) {
		return fmt.Errorf("change the fleet: %w", err)
	}
	g.show(g.files, got.made, got.p)
	return err
}

// clone is a copy in which every kind has a map of its own.
func (m madeRecords) clone() madeRecords {
	next := madeRecords{}
	for _, kind := range DeclaredKinds() {
		next[kind] = map[string]Declared{}
		maps.Copy(next[kind], m[kind])
	}
	return next
}

// same tells that both hold the same, going by the changes that made them.
func (m madeRecords) same(other madeRecords) bool {
	for _, kind := range DeclaredKinds() {
		if !maps.EqualFunc(m[kind], other[kind], func(a, b Declared) bool { return a.Change == b.Change }) {
			return false
		}
	}
	return true
}

// readMade reads what commands declared. Every kind has a map.
func readMade(r Records) (madeRecords, error) {
	made := madeRecords{}
	for _, kind := range DeclaredKinds() {
		some, err := r.Declared(kind)
		if err != nil {
			return nil, err
		}
		made[kind] = make(map[string]Declared, len(some))
		for _, d := range some {
			made[kind][d.ID] = d
		}
	}
	return made, nil
}

// sayMade warns where what commands declared and what files declare do not go together: both declare the same, or, when
// the files changed while nobody looked, one contradicts the other. The files' is in force then.
func (g *Registry) sayMade() {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, kind := range DeclaredKinds() {
		for _, d := range g.made.of(kind) {
			if at := g.files.standsAt(kind, d.ID); at != "" {
				g.log.Warn("a file declares what a command had declared; the file is in force, and the command's is kept until "+
					"it is removed", "kind", kind, "id", d.ID, "file", at, "made_by", d.By)
			}
		}
	}
	if len(g.files.Customers) == 0 {
		return // a command that works on the store alone, or a start before the directory is read
	}
	if err := g.directory.Validate(); err != nil {
		g.log.Warn("what commands declared does not fit the directory; it is in force as far as it does: change it, or the "+
			"directory", "faults", err)
	}
}

// of are the declared ones of a kind by ID.
func (m madeRecords) of(kind DeclaredKind) []Declared {
	return slices.SortedFunc(maps.Values(m[kind]), func(a, b Declared) int { return cmp.Compare(a.ID, b.ID) })
}

// settled is a copy of d in which every part says who made it and what it belongs to.
func (d Declared) settled() Declared {
	where := fmt.Sprintf("%s %q (made by %s on %s)", d.Kind, d.ID, d.By, d.At.Format("2006-01-02"))
	if d.ID == operatorsOwn && d.Person == nil && d.Department == nil && d.Customer == nil {
		where = fmt.Sprintf("the operator's %s (made by %s on %s)", d.Kind, d.By, d.At.Format("2006-01-02"))
	}
	switch {
	case d.Person != nil:
		p := *d.Person
		p.Receivers = slices.Clone(p.Receivers)
		p.At, p.MadeBy = where, d.By
		d.Person = &p
	case d.Department != nil:
		dep := *d.Department
		dep.Contacts = slices.Clone(dep.Contacts)
		dep.At, dep.MadeBy = where, d.By
		stand(where, dep.Contacts, func(c *Contact) *string { return &c.At })
		d.Department = &dep
	case d.Customer != nil:
		c := d.Customer.settled()
		c.standAt(where)
		c.MadeBy = d.By
		d.Customer = &c
	case d.Kind == DeclaredContacts:
		d.Contacts = slices.Clone(d.Contacts)
		stand(where, d.Contacts, func(c *Contact) *string { return &c.At })
	case d.Kind == DeclaredSoftware:
		d.Software = slices.Clone(d.Software)
		for i := range d.Software {
			d.Software[i].Kind = cmp.Or(d.Software[i].Kind, KindSoftware)
		}
		stand(where, d.Software, func(s *Software) *string { return &s.At })
	}
	return d
}

// empty tells a declaration that takes back what was declared.
func (d Declared) empty() bool {
	return (d.Kind == DeclaredContacts || d.Kind == DeclaredSoftware) && len(d.Contacts)+len(d.Software) == 0
}

// standAt says of the customer and all that belongs to it where it stands.
func (c *Customer) standAt(where string) {
	c.At = where
	stand(where, c.Contacts, func(c *Contact) *string { return &c.At })
	stand(where, c.Applications, func(a *Application) *string { return &a.At })
	for i := range c.Contracts {
		k := &c.Contracts[i]
		k.At = where
		stand(where, k.Overlays, func(o *Overlay) *string { return &o.At })
		stand(where, k.Targets, func(t *Target) *string { return &t.At })
		stand(where, k.Owners, func(o *Owner) *string { return &o.At })
	}
	for i := range c.Sites {
		c.Sites[i].At = where
		stand(where, c.Sites[i].Assets, func(a *Asset) *string { return &a.At })
	}
}

func stand[T any](where string, all []T, at func(*T) *string) {
	for i := range all {
		*at(&all[i]) = where
	}
}
