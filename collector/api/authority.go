package api

import (
	"net/http"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
)

// Authority is a certificate authority in force for agents and their listener.
type Authority struct {
	// Fingerprint is the SHA-256 of its certificate, which enrolment tokens carry.
	Fingerprint string    `json:"fingerprint"`
	Name        string    `json:"name"`
	MadeAt      time.Time `json:"made_at"`
	ExpiresAt   time.Time `json:"expires_at"`
	// Listener: it vouches for the agents' listener.
	Listener bool `json:"listener"`
	// Signs: it signs agents' certificates.
	Signs bool `json:"signs"`
	// Agents are the assets whose agents trust no newer authority as far as they have shown: retiring this one cuts them off.
	Agents []string `json:"agents"`
	// Tokens is how many enrolment tokens that can still be used name it.
	Tokens int `json:"tokens"`
}

// AuthorityList is every authority in force, oldest first.
type AuthorityList struct {
	Authorities []Authority `json:"authorities"`
}

// RetireRequest ends an authority.
type RetireRequest struct {
	// Force retires it although agents or tokens need it; they must enrol again.
	Force bool `json:"force,omitempty"`
}

func (a *API) authorities() AuthorityList {
	list := AuthorityList{Authorities: []Authority{}}
	for _, s := range a.o.Fleet.Authorities() {
		list.Authorities = append(list.Authorities, Authority{
			Fingerprint: s.Fingerprint, Name: s.Name, MadeAt: s.MadeAt.UTC(), ExpiresAt: s.ExpiresAt.UTC(), Listener: s.Listener,
			Signs: s.Signs, Agents: orEmpty(s.Agents), Tokens: s.Tokens,
		})
	}
	return list
}

func (a *API) listAuthorities(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	if s := a.sight(who); !s.all() || !s.inside() {
		return AuthorityList{Authorities: []Authority{}}, nil // they name agents of every customer
	}
	return a.authorities(), nil
}

func (a *API) rotateAuthority(r *http.Request, who fleet.Operator) (any, error) {
	if err := decode(r, &struct{}{}); err != nil {
		return nil, err
	}
	if _, err := a.o.Fleet.RotateAuthority(r.Context(), who.Name); err != nil {
		return nil, err // says what was tried
	}
	return a.authorities(), nil
}

func (a *API) retireAuthority(r *http.Request, who fleet.Operator) (any, error) {
	var in RetireRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := a.o.Fleet.RetireAuthority(r.Context(), r.PathValue("fingerprint"), in.Force, who.Name); err != nil {
		return nil, err // says what was tried
	}
	return a.authorities(), nil
}
