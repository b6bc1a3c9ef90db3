package api

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
)

// Agent is an enrolled agent.
type Agent struct {
	ID         string     `json:"id"`
	Asset      string     `json:"asset"`
	Customer   string     `json:"customer"`
	Site       string     `json:"site"`
	EnrolledAt time.Time  `json:"enrolled_at"`
	RenewedAt  *time.Time `json:"renewed_at"`
	// ExpiresAt is the end of its newest certificate.
	ExpiresAt time.Time  `json:"expires_at"`
	RevokedAt *time.Time `json:"revoked_at"`
	RevokedBy string     `json:"revoked_by"`
	// Serials are its certificates, newest last.
	Serials []string `json:"serials"`
}

// AgentList is every agent ever enrolled.
type AgentList struct {
	Agents []Agent `json:"agents"`
}

// Token is an enrolment token without its secret, which is nowhere.
type Token struct {
	ID        string     `json:"id"`
	Customer  string     `json:"customer"`
	Site      string     `json:"site"`
	Asset     string     `json:"asset"`
	CreatedAt time.Time  `json:"created_at"`
	CreatedBy string     `json:"created_by"`
	ExpiresAt time.Time  `json:"expires_at"`
	UsedAt    *time.Time `json:"used_at"`
	UsedBy    string     `json:"used_by"`
}

// TokenList is the tokens that are kept.
type TokenList struct {
	Tokens []Token `json:"tokens"`
}

// NewToken is a token just made: the only time its text is seen.
type NewToken struct {
	Token
	// Text is what the agent enrols with.
	Text string `json:"text"`
	// Command is what to run on the server.
	Command string `json:"command"`
}

// TokenRequest asks for an enrolment token.
type TokenRequest struct {
	Customer string `json:"customer"`
	Site     string `json:"site"`
	// Asset is the name the agent gets; empty lets the host's name decide.
	Asset string `json:"asset,omitempty"`
	// TTLSeconds is how long the token can be used; 0 means 24 hours.
	TTLSeconds float64 `json:"ttl_seconds,omitempty"`
	// Address is the host:port where the agent reaches the collector, when it is not the configured one.
	Address string `json:"address,omitempty"`
}

// Operator is a person, or a scraper, without their token.
type Operator struct {
	Name string `json:"name"`
	// Role is the mightiest desk role among Roles, empty when there is none.
	Role string `json:"role"`
	// Roles are all that the token carries. Department or Customer bound what it shows, empty for everything; Person is the
	// ID of the declared person that it is of.
	Roles      []fleet.Role `json:"roles"`
	Department string       `json:"department"`
	Customer   string       `json:"customer"`
	Person     string       `json:"person"`
	CreatedAt  time.Time    `json:"created_at"`
	CreatedBy  string       `json:"created_by"`
}

// OperatorList is everybody who may look.
type OperatorList struct {
	Operators []Operator `json:"operators"`
}

// OperatorRequest asks for an operator.
type OperatorRequest struct {
	Name string `json:"name"`
	// Role is one role, Roles are several; fleet.Responder ("operator") when both are left out.
	Role  fleet.Role   `json:"role,omitempty"`
	Roles []fleet.Role `json:"roles,omitempty"`
	// Department or Customer bound what the operator sees; Person is the ID of the declared person that they are.
	Department string `json:"department,omitempty"`
	Customer   string `json:"customer,omitempty"`
	Person     string `json:"person,omitempty"`
}

// All are the roles that are asked for, none twice; fleet.Responder when none is.
func (q OperatorRequest) All() []fleet.Role {
	var out []fleet.Role
	for _, r := range append([]fleet.Role{q.Role}, q.Roles...) {
		if r != "" && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return []fleet.Role{fleet.Responder}
	}
	return out
}

// NewOperator is an operator just made: the only time their token is seen.
type NewOperator struct {
	Operator
	Token string `json:"token"`
}

// Removed names what was removed.
type Removed struct {
	Removed string `json:"removed"`
}

// CheckAgentAddress refuses what no agent can dial: it must be HOST:PORT with a host and a port from 1 to 65535.
func CheckAgentAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("want HOST:PORT, got %q", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("want a port from 1 to 65535 after the host, got %q", address)
	}
	return nil
}

// CheckRole refuses a role that is none, naming those there are.
func CheckRole(role fleet.Role) error {
	var names []string
	for _, r := range fleet.AllRoles() {
		if r == role {
			return nil
		}
		names = append(names, string(r))
	}
	last := len(names) - 1
	return fmt.Errorf("want %s or %s, got %q", strings.Join(names[:last], ", "), names[last], role)
}

func agentRow(g fleet.Agent) Agent {
	return Agent{ID: g.ID, Asset: g.Asset, Customer: g.Customer, Site: g.Site, EnrolledAt: g.EnrolledAt,
		RenewedAt: orNull(g.RenewedAt), ExpiresAt: g.ExpiresAt, RevokedAt: orNull(g.RevokedAt), RevokedBy: g.RevokedBy,
		Serials: orEmpty(g.Serials)}
}

func tokenRow(t fleet.Token) Token {
	return Token{ID: t.ID, Customer: t.Customer, Site: t.Site, Asset: t.Asset, CreatedAt: t.CreatedAt,
		CreatedBy: t.CreatedBy, ExpiresAt: t.ExpiresAt, UsedAt: orNull(t.UsedAt), UsedBy: t.UsedBy}
}

func operatorRow(o fleet.Operator) Operator {
	return Operator{Name: o.Name, Role: string(o.Role), Roles: orEmpty(o.Held()), Department: o.Scope.Department, Customer: o.Scope.Customer,
		Person: o.Person, CreatedAt: o.CreatedAt, CreatedBy: o.CreatedBy}
}

func (a *API) listAgents(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	s := a.sight(who)
	var list AgentList
	err := a.o.Store.View(r.Context(), func(tx store.Tx) error {
		list = AgentList{Agents: []Agent{}}
		agents, err := tx.Agents()
		for _, g := range agents {
			if s.customer(g.Customer) {
				list.Agents = append(list.Agents, agentRow(g))
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	return list, nil
}

func (a *API) revokeAgent(r *http.Request, who fleet.Operator) (any, error) {
	if err := decode(r, &struct{}{}); err != nil {
		return nil, err
	}
	g, err := a.o.Fleet.Revoke(r.Context(), r.PathValue("id"), who.Name)
	if err != nil {
		return nil, fmt.Errorf("revoke agent %s: %w", r.PathValue("id"), err)
	}
	return agentRow(g), nil
}

func (a *API) listTokens(r *http.Request, _ fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	list := TokenList{Tokens: []Token{}}
	err := a.o.Store.View(r.Context(), func(tx store.Tx) error {
		tokens, err := tx.Tokens()
		for _, t := range tokens {
			list.Tokens = append(list.Tokens, tokenRow(t))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return list, nil
}

func (a *API) createToken(r *http.Request, who fleet.Operator) (any, error) {
	var in TokenRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if in.TTLSeconds < 0 || in.TTLSeconds > (365*24*time.Hour).Seconds() {
		return nil, badRequest("give seconds; 0 means 24 hours", "ttl_seconds: got %v", in.TTLSeconds)
	}
	if err := CheckAgentAddress(in.Address); in.Address != "" && err != nil {
		return nil, badRequest("give HOST:PORT as servers reach it, like "+a.o.AgentAddress, "address: %v", err)
	}
	t, text, err := a.o.Fleet.CreateToken(r.Context(), fleet.TokenRequest{Customer: in.Customer, Site: in.Site,
		Asset: in.Asset, TTL: time.Duration(in.TTLSeconds * float64(time.Second)),
		By: who.Name, Address: in.Address})
	if err != nil {
		return nil, fmt.Errorf("create token: %w", err)
	}
	return created{NewToken{Token: tokenRow(t), Text: text, Command: "watchbill-agent enroll --token " + text}}, nil
}

func (a *API) listOperators(r *http.Request, _ fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	list := OperatorList{Operators: []Operator{}}
	for _, o := range a.o.Fleet.Operators() {
		list.Operators = append(list.Operators, operatorRow(o))
	}
	return list, nil
}

func (a *API) addOperator(r *http.Request, who fleet.Operator) (any, error) {
	var in OperatorRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	for _, role := range in.All() {
		if err := CheckRole(role); err != nil {
			return nil, badRequest("", "role: %v", err)
		}
	}
	token, err := a.o.Fleet.AddOperatorWith(r.Context(), fleet.NewOperator{Name: in.Name, Roles: in.All(),
		Scope: fleet.Scope{Department: in.Department, Customer: in.Customer}, Person: in.Person, By: who.Name})
	if err != nil {
		return nil, fmt.Errorf("add operator: %w", err)
	}
	o, ok := a.o.Fleet.Authenticate(token)
	if !ok { // removed by somebody else in this very moment
		return nil, refusal(http.StatusConflict, "conflict", "look who did: `watchbill operator list`",
			"operator %s was added and at once removed again", in.Name)
	}
	return created{NewOperator{Operator: operatorRow(o), Token: token}}, nil
}

func (a *API) removeOperator(r *http.Request, _ fleet.Operator) (any, error) {
	name := r.PathValue("name")
	if err := a.o.Fleet.RemoveOperator(r.Context(), name); err != nil {
		return nil, fmt.Errorf("remove operator %s: %w", name, err)
	}
	return Removed{Removed: name}, nil
}
