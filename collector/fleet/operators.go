package fleet

import (
	"context"
	"crypto/subtle"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// operatorPrefix marks an operator's token, so that one found in a log can be told for what it is.
const operatorPrefix = "wbo_"

// NewOperator says who is to get a token.
type NewOperator struct {
	Name string
	// Roles are one or more of AllRoles.
	Roles []Role
	// Scope bounds what the operator sees, by department or by customer. Who has only roles of outsiders
	// (department-member, it-provider-user, client-owner-user, administrator) must have one; who administers or scrapes must have none.
	Scope Scope
	// Person is the ID of the declared person that the operator is; empty when it is none.
	Person string
	// By is who adds the operator.
	By string
}

// AddOperator makes an operator with one desk role and the token to give to that person; otherwise as AddOperatorWith.
func (g *Registry) AddOperator(ctx context.Context, name string, role Role, by string) (string, error) {
	if err := checkOperatorName(name); err != nil {
		return "", err
	}
	if !slices.Contains(Roles(), role) {
		return "", refuse(ErrInvalid, "add operator: role %q is unknown: one of %s", role, oneLine(Roles()))
	}
	return g.AddOperatorWith(ctx, NewOperator{Name: name, Roles: []Role{role}, By: by})
}

// AddOperatorWith makes an operator and the token to give to that person. The token is nowhere else: only its digest is
// kept. Refusals wrap ErrInvalid, ErrTaken, or ErrNotFound for a person, department or customer that is not declared.
func (g *Registry) AddOperatorWith(ctx context.Context, n NewOperator) (string, error) {
	if err := g.checkOperator(n); err != nil {
		return "", err
	}
	text := operatorPrefix + newSecret()
	o := Operator{
		Name: n.Name, Roles: inOrder(n.Roles), Scope: n.Scope, Person: n.Person,
		Digest: digestOf(text), CreatedAt: g.now().UTC(), CreatedBy: n.By,
	}
	if desk := slices.IndexFunc(o.Roles, func(r Role) bool { return byRole[r].desk }); desk >= 0 && o.SeesAll() {
		o.Role = o.Roles[desk]
	}
	g.change.Lock()
	defer g.change.Unlock()
	err := g.update(ctx, "operator", func(r Records) error {
		_, taken, err := r.Operator(o.Name)
		if err != nil {
			return err
		}
		if taken {
			return refuse(ErrTaken, "operator %q exists already: remove it first with `watchbill operator remove %s`, "+
				"or choose another name", o.Name, o.Name)
		}
		return r.PutOperator(o)
	})
	if err != nil {
		return "", fmt.Errorf("add operator: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.operators[o.Digest] = o
	return text, nil
}

// inOrder are the roles as AllRoles lists them, none twice.
func inOrder(roles []Role) []Role {
	return rolesWhere(func(r roleRow) bool { return slices.Contains(roles, r.role) })
}

func checkOperatorName(name string) error {
	if !validOperator(name) {
		return refuse(ErrInvalid, "add operator: name %q: must be of letters, digits, '.', '_', '-' and '@', at most %d "+
			"long, and begin with a letter or digit", name, maxID)
	}
	return nil
}

func (g *Registry) checkOperator(n NewOperator) error {
	if err := checkOperatorName(n.Name); err != nil {
		return err
	}
	if len(n.Roles) == 0 {
		return refuse(ErrInvalid, "add operator: %q has no role: give one or more of %s", n.Name, oneLine(AllRoles()))
	}
	for _, r := range n.Roles {
		if _, known := byRole[r]; !known {
			return refuse(ErrInvalid, "add operator: role %q is unknown: one of %s", r, oneLine(AllRoles()))
		}
	}
	whole := slices.ContainsFunc(n.Roles, func(r Role) bool { return r == Admin || r == Scrape || r == Sender })
	switch s := n.Scope; {
	case s.Customer != "" && s.Department != "":
		return refuse(ErrInvalid, "add operator: %q cannot be bound to department %q and to customer %q at once: give one",
			n.Name, s.Department, s.Customer)
	case s != Scope{} && whole:
		return refuse(ErrInvalid, "add operator: %q cannot be bound to a department or customer: what %s, %s and %s may do concerns "+
			"the whole fleet; give another role", n.Name, Admin, Scrape, Sender)
	case s == Scope{} && needsScope(n.Roles):
		return refuse(ErrInvalid, "add operator: %q would see nothing: who is only %s must be bound to a department or a customer",
			n.Name, oneLine(inOrder(n.Roles)))
	}
	return g.checkNamed(n)
}

// checkNamed: what an operator is bound to must be declared, so that a slip of the pen is found at once. A registry that
// knows no customer at all (a command that writes to the store without the directory) cannot tell: there an operator who
// is bound to nothing that exists sees nothing.
func (g *Registry) checkNamed(n NewOperator) error {
	if len(g.Customers()) == 0 {
		return nil
	}
	if id := n.Person; id != "" {
		if _, ok := g.Person(id); !ok {
			return refuse(ErrNotFound, "add operator: person %q is not declared: declare it, or leave it out", id)
		}
	}
	if id := n.Scope.Customer; id != "" {
		if _, ok := g.Customer(id); !ok {
			return refuse(ErrNotFound, "add operator: customer %q is not declared: declare it first", id)
		}
	}
	known := func(d Department) bool { return d.ID == n.Scope.Department }
	if id := n.Scope.Department; id != "" && !slices.ContainsFunc(g.Departments(), known) {
		return refuse(ErrNotFound, "add operator: department %q is not declared and no customer names it: declare it first", id)
	}
	return nil
}

func validOperator(name string) bool {
	if name == "" || len(name) > maxID {
		return false
	}
	for i, r := range strings.ToLower(name) {
		alphanumeric := r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		if !alphanumeric && (i == 0 || !strings.ContainsRune("._-@", r)) {
			return false
		}
	}
	return true
}

// RemoveOperator takes an operator's access away, at once. The last administrator stays (ErrLastAdmin).
func (g *Registry) RemoveOperator(ctx context.Context, name string) error {
	g.change.Lock()
	defer g.change.Unlock()
	err := g.update(ctx, "operator-removed", func(r Records) error {
		all, err := r.Operators()
		if err != nil {
			return err
		}
		administers := func(o Operator) bool { return o.May(MayAdminister) }
		admins, i := 0, slices.IndexFunc(all, func(o Operator) bool { return o.Name == name })
		for _, o := range all {
			if administers(o) {
				admins++
			}
		}
		switch {
		case i < 0:
			return refuse(ErrNotFound, "no operator %q: `watchbill operator list` shows them", name)
		case administers(all[i]) && admins == 1:
			return refuse(ErrLastAdmin, "operator %q is the last administrator, without whom nobody could add another: "+
				"add one first with `watchbill operator add NAME --role %s`", name, Admin)
		}
		return r.DeleteOperator(name)
	})
	if err != nil {
		return fmt.Errorf("remove operator: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.operators, func(_ string, o Operator) bool { return o.Name == name })
	return nil
}

// Operators are the operators by name.
func (g *Registry) Operators() []Operator {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.SortedFunc(maps.Values(g.operators), func(a, b Operator) int { return strings.Compare(a.Name, b.Name) })
}

// Authenticate finds the operator whose token this is. What is looked up is a digest, which tells a listener to its
// timing nothing about the token; the match itself is compared in constant time.
func (g *Registry) Authenticate(token string) (Operator, bool) {
	if !strings.HasPrefix(token, operatorPrefix) {
		return Operator{}, false
	}
	digest := digestOf(token)
	g.mu.RLock()
	defer g.mu.RUnlock()
	o, ok := g.operators[digest]
	return o, ok && subtle.ConstantTimeCompare([]byte(o.Digest), []byte(digest)) == 1
}
