package fleet

import (
	"context"
	"time"
)

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

	// PutDeclared keeps what a command declared, in place of an earlier one of its kind and ID.
	PutDeclared(Declared) error
	// DeleteDeclared forgets one; forgetting an unknown one is no error.
	DeleteDeclared(kind DeclaredKind, id string) error
	// Declared are those of a kind, by ID.
	Declared(kind DeclaredKind) ([]Declared, error)

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

// DeclaredKind is what a record of the directory's part in the store is about.
type DeclaredKind string

// The kinds.
const (
	DeclaredPerson     DeclaredKind = "person"
	DeclaredDepartment DeclaredKind = "department"
	DeclaredCustomer   DeclaredKind = "customer"
	// DeclaredContacts and DeclaredSoftware are the operator's own, one record each.
	DeclaredContacts DeclaredKind = "contacts"
	DeclaredSoftware DeclaredKind = "approved software"
	// DeclaredFiled is what was known of a customer's contracts last, by a file or a command; it stays when they, or the
	// customer, are taken away. It is no declaration, and none of DeclaredKinds: it tells what was changed, also while nobody
	// ran or in several steps.
	DeclaredFiled DeclaredKind = "filed customer"
)

// DeclaredKinds lists them, in the order in which one may refer to another.
func DeclaredKinds() []DeclaredKind {
	return []DeclaredKind{DeclaredPerson, DeclaredContacts, DeclaredSoftware, DeclaredDepartment, DeclaredCustomer}
}

// Declared is what a command declared, as a file of the directory could have. One of Person, Department, Customer,
// Contacts and Software is set, as Kind says.
type Declared struct {
	Kind       DeclaredKind `json:"kind"`
	ID         string       `json:"id"`
	Person     *Person      `json:"person,omitempty"`
	Department *Department  `json:"department,omitempty"`
	Customer   *Customer    `json:"customer,omitempty"`
	Contacts   []Contact    `json:"contacts,omitempty"`
	Software   []Software   `json:"approved_software,omitempty"`
	// By is who did it last, At when, Change that change's own name.
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Change string    `json:"change"`
}
