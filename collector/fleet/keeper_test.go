package fleet

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
)

// memory is a Keeper in memory. It holds what the contract allows a real one to do: every change is run twice, the
// first time on a state that is thrown away, and it can fail before or after the commit.
type memory struct {
	mu    sync.Mutex
	state records
	// failBefore and failAfter make the next Update fail without, or with, its change.
	failBefore, failAfter bool
	// failViews is how many views fail.
	failViews int
}

var errKeeper = errors.New("keeper failed")

func newMemory() *memory {
	return &memory{state: records{
		assets: map[string]Asset{}, agents: map[string]Agent{}, tokens: map[string]Token{}, operators: map[string]Operator{},
		declared: map[DeclaredKind]map[string]Declared{},
	}}
}

func (m *memory) UpdateFleet(_ context.Context, decision string, fn func(Records) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if decision == "" {
		return errors.New("a change of the fleet must be named")
	}
	if m.failBefore {
		m.failBefore = false
		return errKeeper
	}
	if err := fn(m.state.clone()); err != nil {
		return err
	}
	next := m.state.clone()
	if err := fn(next); err != nil {
		return err
	}
	m.state = *next
	if m.failAfter {
		m.failAfter = false
		return errKeeper
	}
	return nil
}

func (m *memory) ViewFleet(_ context.Context, fn func(Records) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failViews > 0 {
		m.failViews--
		return errKeeper
	}
	return fn(m.state.clone())
}

type records struct {
	assets    map[string]Asset
	agents    map[string]Agent
	tokens    map[string]Token
	operators map[string]Operator
	declared  map[DeclaredKind]map[string]Declared
	cert, key []byte
}

func (r *records) clone() *records {
	declared := map[DeclaredKind]map[string]Declared{}
	for kind, some := range r.declared {
		declared[kind] = maps.Clone(some)
	}
	return &records{
		declared: declared,
		assets:   maps.Clone(r.assets), agents: maps.Clone(r.agents), tokens: maps.Clone(r.tokens),
		operators: maps.Clone(r.operators), cert: r.cert, key: r.key,
	}
}

func find[T any](m map[string]T, key string) (T, bool, error) {
	v, ok := m[key]
	return v, ok, nil
}

func all[T any](m map[string]T) ([]T, error) {
	var out []T
	for _, k := range slices.SortedFunc(maps.Keys(m), strings.Compare) {
		out = append(out, m[k])
	}
	return out, nil
}

func (r *records) Asset(n string) (Asset, bool, error)       { return find(r.assets, n) }
func (r *records) PutAsset(a Asset) error                    { r.assets[a.Name] = a; return nil }
func (r *records) DeleteAsset(n string) error                { delete(r.assets, n); return nil }
func (r *records) Assets() ([]Asset, error)                  { return all(r.assets) }
func (r *records) Agent(id string) (Agent, bool, error)      { return find(r.agents, id) }
func (r *records) PutAgent(a Agent) error                    { r.agents[a.ID] = a; return nil }
func (r *records) Agents() ([]Agent, error)                  { return all(r.agents) }
func (r *records) Token(id string) (Token, bool, error)      { return find(r.tokens, id) }
func (r *records) PutToken(t Token) error                    { r.tokens[t.ID] = t; return nil }
func (r *records) DeleteToken(id string) error               { delete(r.tokens, id); return nil }
func (r *records) Tokens() ([]Token, error)                  { return all(r.tokens) }
func (r *records) Operator(n string) (Operator, bool, error) { return find(r.operators, n) }
func (r *records) PutOperator(o Operator) error              { r.operators[o.Name] = o; return nil }
func (r *records) DeleteOperator(n string) error             { delete(r.operators, n); return nil }
func (r *records) Operators() ([]Operator, error)            { return all(r.operators) }

func (r *records) PutDeclared(d Declared) error {
	if r.declared[d.Kind] == nil {
		r.declared[d.Kind] = map[string]Declared{}
	}
	r.declared[d.Kind][d.ID] = d
	return nil
}
func (r *records) DeleteDeclared(k DeclaredKind, id string) error {
	delete(r.declared[k], id)
	return nil
}
func (r *records) Declared(k DeclaredKind) ([]Declared, error) { return all(r.declared[k]) }

func (r *records) Authority() (cert, key []byte, ok bool, err error) {
	return r.cert, r.key, r.cert != nil, nil
}
func (r *records) PutAuthority(cert, key []byte) error               { r.cert, r.key = cert, key; return nil }
func (r *records) PutShape(string, [32]byte, []byte) error           { return nil }
func (r *records) DeleteShape(string, [32]byte) error                { return nil }
func (r *records) Shapes(func(string, [32]byte, []byte) error) error { return nil }
