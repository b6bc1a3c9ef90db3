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

// AddOperator makes an operator and the token to give to that person. The token is nowhere else: only its digest is
// kept. Refusals wrap ErrInvalid or ErrTaken.
func (g *Registry) AddOperator(ctx context.Context, name string, role Role, by string) (string, error) {
	if err := checkOperator(name, role); err != nil {
		return "", err
	}
	text := operatorPrefix + newSecret()
	o := Operator{Name: name, Role: role, Digest: digestOf(text), CreatedAt: g.now().UTC(), CreatedBy: by}
	g.change.Lock()
	defer g.change.Unlock()
	err := g.update(ctx, "operator", func(r Records) error {
		_, taken, err := r.Operator(name)
		if err != nil {
			return err
		}
		if taken {
			return refuse(ErrTaken, "operator %q exists already: remove it first with `watchbill operator remove %s`, "+
				"or choose another name", name, name)
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

func checkOperator(name string, role Role) error {
	if !validOperator(name) {
		return refuse(ErrInvalid, "add operator: name %q: must be of letters, digits, '.', '_', '-' and '@', at most %d "+
			"long, and begin with a letter or digit", name, maxID)
	}
	if _, known := rights[role]; !known {
		return refuse(ErrInvalid, "add operator: role %q is unknown: one of %v", role, Roles())
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
		admins, i := 0, slices.IndexFunc(all, func(o Operator) bool { return o.Name == name })
		for _, o := range all {
			if o.Role == Admin {
				admins++
			}
		}
		switch {
		case i < 0:
			return refuse(ErrNotFound, "no operator %q: `watchbill operator list` shows them", name)
		case all[i].Role == Admin && admins == 1:
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
