package fleet

import (
	"errors"
	"fmt"
)

// What a refusal is about; test with errors.Is. The text beside it is for a person and says what to do.
var (
	// ErrInvalid: the request itself is wrong.
	ErrInvalid = errors.New("invalid request")
	// ErrNotFound: no such customer, department, person, site, agent, token or operator.
	ErrNotFound = errors.New("not found")
	// ErrTaken: the name is in use.
	ErrTaken = errors.New("name is taken")
	// ErrDeclared: a file of the directory declares it, and it can only be changed there.
	ErrDeclared = errors.New("declared in a file")
	// ErrTokenUnknown, ErrTokenExpired, ErrTokenUsed: the enrolment token opens nothing.
	ErrTokenUnknown = errors.New("token is unknown")
	ErrTokenExpired = errors.New("token has expired")
	ErrTokenUsed    = errors.New("token was already used")
	// ErrCertificate: the certificate speaks for no agent of this fleet.
	ErrCertificate = errors.New("certificate is not accepted")
	// ErrRevoked: it did, until somebody revoked the agent.
	ErrRevoked = errors.New("agent is revoked")
	// ErrExpired: the certificate's time is over.
	ErrExpired = errors.New("certificate has expired")
	// ErrLastAdmin: without this operator nobody could administer.
	ErrLastAdmin = errors.New("last administrator")
)

// Refusal is a request that was understood and refused. Its text may be shown to whoever asked: it says what happened
// and what to do, and nothing about other customers.
type Refusal struct {
	// Kind is one of the sentinels above.
	Kind error
	Text string
}

// Error is the text for a person.
func (r *Refusal) Error() string { return r.Text }

// Unwrap makes errors.Is find Kind.
func (r *Refusal) Unwrap() error { return r.Kind }

func refuse(kind error, format string, args ...any) error {
	return &Refusal{Kind: kind, Text: fmt.Sprintf(format, args...)}
}
