// Package fleet knows what is watched and for whom: customers, sites, assets; who may report for them: enrolment
// tokens, agents and the small CA that gives them their identity; and who may look: operators.
package fleet

import "time"

// Customer is whose servers are watched.
type Customer struct {
	// ID is a word of [a-z0-9-], unique in the fleet.
	ID   string `yaml:"id" json:"id"`
	Name string `yaml:"name,omitempty" json:"name"`
	// Department owns the customer; empty when the operator does.
	Department string `yaml:"department,omitempty" json:"department,omitempty"`
	// Zone is the customer's IANA time zone or a fixed offset like UTC-05:00; its department's when empty, then UTC.
	Zone string `yaml:"zone,omitempty" json:"zone,omitempty"`
	// Instructions are the customer's own for best effort.
	Instructions Prose         `yaml:"instructions,omitempty" json:"instructions,omitempty"`
	Contacts     []Contact     `yaml:"contacts,omitempty" json:"contacts,omitempty"`
	Contracts    []Contract    `yaml:"contracts,omitempty" json:"contracts,omitempty"`
	Applications []Application `yaml:"applications,omitempty" json:"applications,omitempty"`
	Sites        []Site        `yaml:"sites,omitempty" json:"sites"`
	// At is where it stands, as file:line; for one that was made by command, who made it. Empty in a directory made in code.
	At string `yaml:"-" json:"-"`
	// MadeBy is who made it by command; empty for what a file declares and for a department that is a customer.
	MadeBy string `yaml:"-" json:"made_by,omitempty"`
}

// Prose is text for people that may have several lines.
type Prose string

// Site is where assets stand together: one network, one line, one cause of common silence.
type Site struct {
	// ID is a word of [a-z0-9-], unique within the customer.
	ID     string  `yaml:"id" json:"id"`
	Name   string  `yaml:"name,omitempty" json:"name,omitempty"`
	Assets []Asset `yaml:"assets,omitempty" json:"assets,omitempty"`
	// At is as in Customer.
	At string `yaml:"-" json:"-"`
}

// AssetKind is what an asset is.
type AssetKind string

// The kinds of asset.
const (
	Host   AssetKind = "host"   // has an agent
	Device AssetKind = "device" // is probed by one
)

// Asset is what is watched.
type Asset struct {
	// Name becomes the `instance` label; unique in the whole fleet.
	Name     string    `yaml:"name" json:"name"`
	Customer string    `yaml:"-" json:"customer"`
	Site     string    `yaml:"-" json:"site"`
	Kind     AssetKind `yaml:"kind,omitempty" json:"kind"`
	// Role says what the asset is for, in the customer's words: "web server of the shop".
	Role string `yaml:"role,omitempty" json:"role,omitempty"`
	// Users is the declared number of people who depend on it; 0 when nobody declared one.
	Users int `yaml:"users,omitempty" json:"users,omitempty"`
	// Criticality is how much hangs on it; empty when nobody said.
	Criticality Criticality `yaml:"criticality,omitempty" json:"criticality,omitempty"`
	// Environment is what it serves for; empty when nobody said.
	Environment Environment `yaml:"environment,omitempty" json:"environment,omitempty"`
	// Versions are those of what runs on it, by name: os, iis, and so on.
	Versions map[string]string `yaml:"versions,omitempty" json:"versions,omitempty"`
	// SupportEnds is the last day of its maker's support; empty when nobody said.
	SupportEnds Date `yaml:"support_ends,omitempty" json:"support_ends,omitempty"`
	// Responsible is the Person who manages it; empty when nobody does.
	Responsible string `yaml:"responsible,omitempty" json:"responsible,omitempty"`
	// Supplied says whose equipment it is; empty when nobody said.
	Supplied Supplier `yaml:"supplied,omitempty" json:"supplied,omitempty"`
	// At is as in Customer.
	At string `yaml:"-" json:"-"`
	// Declared is true for assets from the fleet directory, false for those that only enrolment made.
	Declared bool `yaml:"-" json:"declared"`
	// Agent is the ID of the agent that enrolled for it last, revoked or not; empty when none ever did.
	Agent string `yaml:"-" json:"agent,omitempty"`
}

// Criticality is how much hangs on an asset.
type Criticality string

// The criticalities, the highest first.
const (
	CriticalAsset Criticality = "critical"
	HighAsset     Criticality = "high"
	NormalAsset   Criticality = "normal"
	LowAsset      Criticality = "low"
)

// Criticalities lists them, the highest first.
func Criticalities() []Criticality {
	return []Criticality{CriticalAsset, HighAsset, NormalAsset, LowAsset}
}

// Environment is what an asset serves for.
type Environment string

// The environments.
const (
	Production Environment = "production"
	Test       Environment = "test"
	Training   Environment = "training"
)

// Environments lists them.
func Environments() []Environment { return []Environment{Production, Test, Training} }

// Supplier says whose equipment an asset is.
type Supplier string

// The suppliers.
const (
	CompanySupplied Supplier = "company" // by the company that runs the service
	OwnSupplied     Supplier = "own"     // by its user or by the customer
)

// Suppliers lists them.
func Suppliers() []Supplier { return []Supplier{CompanySupplied, OwnSupplied} }

// Application is a program that a customer depends on.
type Application struct {
	// Name is unique within the customer.
	Name    string `yaml:"name" json:"name"`
	Version string `yaml:"version,omitempty" json:"version,omitempty"`
	Vendor  string `yaml:"vendor,omitempty" json:"vendor,omitempty"`
	// SupportEnds is the last day of its maker's support; empty when nobody said.
	SupportEnds Date `yaml:"support_ends,omitempty" json:"support_ends,omitempty"`
	// Responsible is the Person who manages it; empty when nobody does.
	Responsible string `yaml:"responsible,omitempty" json:"responsible,omitempty"`
	// Approved says that it may be used and is supported although the list of approved software does not name it.
	Approved bool `yaml:"approved,omitempty" json:"approved,omitempty"`
	// At is as in Customer.
	At string `yaml:"-" json:"-"`
}

// Active says whether the agent may still speak at now: neither revoked nor past its last certificate.
func (a Agent) Active(now time.Time) bool { return a.RevokedAt.IsZero() && now.Before(a.ExpiresAt) }

// Agent is one enrolled agent: the right to report for one host.
type Agent struct {
	// ID is in the certificate's URI: watchbill:agent/ID.
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Site     string `json:"site"`
	Asset    string `json:"asset"`
	// Serials are the certificates that speak for this agent, newest last, as lower-case hexadecimal.
	Serials    []string  `json:"serials"`
	EnrolledAt time.Time `json:"enrolled_at"`
	RenewedAt  time.Time `json:"renewed_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at"`
	// Authority is the fingerprint of the newest authority that the agent has shown to know, by a certificate of it; empty
	// while there has only been one.
	Authority string `json:"authority,omitempty"`
	Seen
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	RevokedBy string    `json:"revoked_by,omitempty"`
}

// Token lets one agent enrol once.
type Token struct {
	ID string `json:"id"`
	// Digest is the SHA-256 of the secret, hexadecimal; the secret itself is nowhere.
	Digest   string `json:"digest"`
	Customer string `json:"customer"`
	Site     string `json:"site"`
	// Asset is the name the agent gets; empty lets the host's name decide.
	Asset     string    `json:"asset,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	ExpiresAt time.Time `json:"expires_at"`
	UsedAt    time.Time `json:"used_at,omitzero"`
	// UsedBy is the ID of the agent that came of it.
	UsedBy string `json:"used_by,omitempty"`
	// UsedKey is the SHA-256 of the public key it was used with, hexadecimal: when the answer to an enrolment is lost,
	// the same key may ask again.
	UsedKey string `json:"used_key,omitempty"`
}

// Operator is a person, or a scraper, with a token of their own.
type Operator struct {
	Name string `json:"name"`
	// Roles are what the operator is; what they may do is the sum of what each may.
	Roles []Role `json:"roles,omitempty"`
	// Role is the mightiest desk role among Roles, for records and readers that know one role only. It is empty for an
	// operator with a Scope, so that a release that knows no scopes lets that token do nothing rather than everything.
	Role Role `json:"role,omitempty"`
	// Scope bounds what the operator sees; the zero value sees all.
	Scope Scope `json:"scope,omitzero"`
	// Person is the ID of the Person that the operator is; empty when nobody said.
	Person string `json:"person,omitempty"`
	// Digest is the SHA-256 of the token, hexadecimal.
	Digest    string    `json:"digest"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
}

// Scope is the part of the fleet that an operator sees: one department with the customers it owns, or one customer. The
// zero value is the whole.
type Scope struct {
	Department string `json:"department,omitempty"`
	Customer   string `json:"customer,omitempty"`
}
