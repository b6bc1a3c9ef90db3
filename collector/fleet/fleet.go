// Package fleet knows what is watched and for whom: customers, sites, assets; who may report for them: enrolment
// tokens, agents and the small CA that gives them their identity; and who may look: operators.
package fleet

import "time"

// Customer is whose servers are watched.
type Customer struct {
	// ID is a word of [a-z0-9-], unique in the fleet.
	ID   string `yaml:"id" json:"id"`
	Name string `yaml:"name" json:"name"`
	// Department owns the customer; empty when the operator does.
	Department string `yaml:"department,omitempty" json:"department,omitempty"`
	// Zone is the customer's IANA time zone; UTC when empty.
	Zone  string `yaml:"zone,omitempty" json:"zone,omitempty"`
	Sites []Site `yaml:"sites" json:"sites"`
}

// Site is where assets stand together: one network, one line, one cause of common silence.
type Site struct {
	// ID is a word of [a-z0-9-], unique within the customer.
	ID     string  `yaml:"id" json:"id"`
	Name   string  `yaml:"name,omitempty" json:"name,omitempty"`
	Assets []Asset `yaml:"assets,omitempty" json:"assets,omitempty"`
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
	// Declared is true for assets from the fleet directory, false for those that only enrolment made.
	Declared bool `yaml:"-" json:"declared"`
	// Agent is the ID of the agent that enrolled for it last, revoked or not; empty when none ever did.
	Agent string `yaml:"-" json:"agent,omitempty"`
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

// Role is what an operator may do.
type Role string

// The roles, each including what the ones after it may do, except Scrape, which may only read /metrics and /federate.
const (
	Admin     Role = "admin"    // everything: operators, tokens, agents
	Responder Role = "operator" // work on tickets, re-send messages
	Viewer    Role = "viewer"   // read
	Scrape    Role = "scrape"
)

// Operator is a person, or a scraper, with a token of their own.
type Operator struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Digest is the SHA-256 of the token, hexadecimal.
	Digest    string    `json:"digest"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
}
