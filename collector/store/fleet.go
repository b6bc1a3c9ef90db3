package store

import (
	"context"
	"fmt"

	"github.com/watchbill/watchbill/collector/fleet"
)

func (x *tx) Asset(name string) (fleet.Asset, bool, error) {
	return load[fleet.Asset](x, tableAsset.key().str(name))
}
func (x *tx) PutAsset(a fleet.Asset) error   { return x.put(tableAsset.key().str(a.Name), a) }
func (x *tx) DeleteAsset(name string) error  { return x.remove(tableAsset.key().str(name)) }
func (x *tx) Assets() ([]fleet.Asset, error) { return all[fleet.Asset](x, tableAsset) }

func (x *tx) Agent(id string) (fleet.Agent, bool, error) {
	return load[fleet.Agent](x, tableAgent.key().str(id))
}
func (x *tx) PutAgent(a fleet.Agent) error   { return x.put(tableAgent.key().str(a.ID), a) }
func (x *tx) Agents() ([]fleet.Agent, error) { return all[fleet.Agent](x, tableAgent) }

func (x *tx) Token(id string) (fleet.Token, bool, error) {
	return load[fleet.Token](x, tableToken.key().str(id))
}
func (x *tx) PutToken(t fleet.Token) error   { return x.put(tableToken.key().str(t.ID), t) }
func (x *tx) DeleteToken(id string) error    { return x.remove(tableToken.key().str(id)) }
func (x *tx) Tokens() ([]fleet.Token, error) { return all[fleet.Token](x, tableToken) }

func (x *tx) Operator(name string) (fleet.Operator, bool, error) {
	return load[fleet.Operator](x, tableOperator.key().str(name))
}
func (x *tx) PutOperator(o fleet.Operator) error   { return x.put(tableOperator.key().str(o.Name), o) }
func (x *tx) DeleteOperator(name string) error     { return x.remove(tableOperator.key().str(name)) }
func (x *tx) Operators() ([]fleet.Operator, error) { return all[fleet.Operator](x, tableOperator) }

func (x *tx) PutDeclared(d fleet.Declared) error {
	return x.put(tableDeclared.key().str(string(d.Kind)).str(d.ID), d)
}

func (x *tx) DeleteDeclared(kind fleet.DeclaredKind, id string) error {
	return x.remove(tableDeclared.key().str(string(kind)).str(id))
}

func (x *tx) Declared(kind fleet.DeclaredKind) ([]fleet.Declared, error) {
	return under[fleet.Declared](x, tableDeclared.key().str(string(kind)))
}

// authority is the CA as it is kept. The file's mode is what guards the key.
type authority struct {
	Cert []byte `json:"cert"`
	Key  []byte `json:"key"`
}

func (x *tx) Authority() (certPEM, keyPEM []byte, ok bool, err error) {
	a, ok, err := load[authority](x, metaKey("authority"))
	return a.Cert, a.Key, ok, err
}

func (x *tx) PutAuthority(certPEM, keyPEM []byte) error {
	return x.put(metaKey("authority"), authority{Cert: certPEM, Key: keyPEM})
}

func (x *tx) PutShape(customer string, id [32]byte, encoded []byte) error {
	return x.putBytes(tableShape.key().str(customer).str(string(id[:])), encoded)
}

func (x *tx) DeleteShape(customer string, id [32]byte) error {
	return x.remove(tableShape.key().str(customer).str(string(id[:])))
}

func (x *tx) Shapes(fn func(customer string, id [32]byte, encoded []byte) error) error {
	return x.scan(tableShape.key(), tableShape.key().after(), false, func(k key, payload []byte) (bool, error) {
		p := split(k)
		customer, raw := p.str(), p.str()
		if p.bad || len(raw) != 32 {
			return false, x.damaged(fmt.Sprintf("%s has an identity of %d bytes", describe(k), len(raw)))
		}
		return true, fn(customer, [32]byte([]byte(raw)), payload)
	})
}

// Keeper is the store as the fleet sees it.
func Keeper(s Store) fleet.Keeper { return keeper{s} }

type keeper struct{ s Store }

func (k keeper) UpdateFleet(ctx context.Context, decision string, fn func(fleet.Records) error) error {
	return k.s.Update(ctx, decision, func(tx Tx) error { return fn(tx) })
}

func (k keeper) ViewFleet(ctx context.Context, fn func(fleet.Records) error) error {
	return k.s.View(ctx, func(tx Tx) error { return fn(tx) })
}
