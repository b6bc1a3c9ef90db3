package api

import (
	"context"

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
	// AddOperator answers the token, which is nowhere else.
	AddOperator(ctx context.Context, name string, role fleet.Role, by string) (string, error)
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
