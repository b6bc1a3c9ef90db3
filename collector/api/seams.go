package api

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/storage"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules/window"
)

// Fleet is the registry of customers, assets, agents and operators, as far as the API asks it. Refusals are
// *fleet.Refusal: their text is shown to the operator.
type Fleet interface {
	// Authenticate tells whose token it is, in constant time.
	Authenticate(token string) (fleet.Operator, bool)
	Customer(id string) (fleet.Customer, bool)
	Customers() []fleet.Customer
	Departments() []fleet.Department
	People() []fleet.Person
	Person(id string) (fleet.Person, bool)
	// ContractAt is what a customer is under at a time; Entitled when a contract's support begins.
	ContractAt(customer string, at time.Time) (fleet.Contract, bool)
	Entitled(c fleet.Contract) (at time.Time, known bool)
	// Directory is everything that files and commands declare.
	Directory() fleet.Directory
	PutCustomer(ctx context.Context, c fleet.Customer, by string, o ...fleet.PutOption) error
	PutDepartment(ctx context.Context, d fleet.Department, by string, o ...fleet.PutOption) error
	PutPerson(ctx context.Context, p fleet.Person, by string, o ...fleet.PutOption) error
	PutContacts(ctx context.Context, all []fleet.Contact, by string, o ...fleet.PutOption) error
	PutApprovedSoftware(ctx context.Context, all []fleet.Software, by string, o ...fleet.PutOption) error
	RemoveDeclared(ctx context.Context, kind fleet.DeclaredKind, id string) error
	Assets() []fleet.Asset
	// Seen is how the agent of an asset was last seen, as far as it is kept over a restart.
	Seen(asset string) (fleet.Seen, bool)
	CreateToken(ctx context.Context, r fleet.TokenRequest) (fleet.Token, string, error)
	// Revoke ends the right to report of an agent, by its ID or the name of its asset.
	Revoke(ctx context.Context, ref, by string) (fleet.Agent, error)
	// Authorities are those in force, oldest first. Rotate brings in another, Retire ends the oldest.
	Authorities() []fleet.AuthorityStatus
	RotateAuthority(ctx context.Context, by string) (fleet.AuthorityStatus, error)
	RetireAuthority(ctx context.Context, fingerprint string, force bool, by string) error
	// AddOperatorWith answers the token, which is nowhere else.
	AddOperatorWith(ctx context.Context, n fleet.NewOperator) (string, error)
	RemoveOperator(ctx context.Context, name string) error
	Operators() []fleet.Operator
}

// Rules is the evaluator, as far as the API asks it.
type Rules interface {
	// Alerts are those that are pending or firing.
	Alerts() []evaluate.Standing
	// Resolved are those that fired and ended a short while ago.
	Resolved() []evaluate.Standing
	Groups() []evaluate.GroupStatus
}

// Window is the window, as far as the API asks it.
type Window interface {
	storage.Queryable
	// Assets is every asset that is known of, Asset one of them.
	Assets() []window.AssetStatus
	Asset(name string) (window.AssetStatus, bool)
}
