package fleet

import "context"

// Records is the fleet's part of a store transaction. Get methods report false for what is not there.
type Records interface {
	Asset(name string) (Asset, bool, error)
	PutAsset(Asset) error
	DeleteAsset(name string) error
	Assets() ([]Asset, error)

	Agent(id string) (Agent, bool, error)
	PutAgent(Agent) error
	Agents() ([]Agent, error)

	Token(id string) (Token, bool, error)
	PutToken(Token) error
	DeleteToken(id string) error
	Tokens() ([]Token, error)

	Operator(name string) (Operator, bool, error)
	PutOperator(Operator) error
	DeleteOperator(name string) error
	Operators() ([]Operator, error)

	// Authority is the CA's certificate and key in PEM, several of each while one takes over from another; false before
	// the first start.
	Authority() (certPEM, keyPEM []byte, ok bool, err error)
	PutAuthority(certPEM, keyPEM []byte) error

	// PutShape keeps a shape known for a customer; encoded is wire's protobuf of it.
	PutShape(customer string, id [32]byte, encoded []byte) error
	// DeleteShape forgets one; forgetting an unknown one is no error.
	DeleteShape(customer string, id [32]byte) error
	// Shapes calls fn for every known shape.
	Shapes(fn func(customer string, id [32]byte, encoded []byte) error) error
}

// Keeper is where the fleet is kept: the store, as seen from here. fn may run more than once and must be pure; the
// change is durable when Update returns nil. decision names it for good: a second Update with the same one does nothing.
// It is empty for a change that may safely happen twice.
type Keeper interface {
	UpdateFleet(ctx context.Context, decision string, fn func(Records) error) error
	ViewFleet(ctx context.Context, fn func(Records) error) error
}
