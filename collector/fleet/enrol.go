package fleet

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// keepSerials is how many certificates may speak for one agent at a time: the one in use and a few renewals whose
// answers may have been lost.
const keepSerials = 4

// Request asks for the first certificate of a new agent.
type Request struct {
	// Token is the secret part of the one-time token.
	Token string
	// CSR is a PKCS#10 request in DER; only its public key counts.
	CSR []byte
	// Hostname is what the host calls itself, the asset's name when the token names none.
	Hostname string
}

// Enrolment is what an agent gets.
type Enrolment struct {
	Agent Agent
	// Certificates is the agent's certificate and its issuers, DER, leaf first.
	Certificates [][]byte
	// Authorities are those by which the agent knows the collector, DER.
	Authorities [][]byte
	// RenewAt is when to ask for the next one.
	RenewAt time.Time
}

// Enrol turns a token into an agent, its asset and its certificate, in one transaction. The token decides customer and
// site, and the name too when it carries one. A name whose agent is active is refused (ErrTaken), so is one that is
// declared for, or last enrolled by, another site; a declared or revoked asset of the same site is taken over, so is
// one whose agent let its certificate expire. Asking again with the same token and key gives the same agent another
// certificate. Other refusals wrap ErrTokenUnknown, ErrTokenExpired, ErrTokenUsed, ErrInvalid or ErrNotFound.
func (g *Registry) Enrol(ctx context.Context, q Request) (Enrolment, error) {
	key, err := readRequest(q.CSR)
	if err != nil {
		return Enrolment{}, fmt.Errorf("enrol: %w", err)
	}
	g.change.Lock()
	defer g.change.Unlock()
	now := g.now().UTC()
	agent, again, err := g.admit(q, key, now)
	if err != nil {
		return Enrolment{}, fmt.Errorf("enrol: %w", err)
	}
	leaf, err := g.trust.signer().agentLeaf(agent.ID, key.public, now)
	if err != nil {
		return Enrolment{}, fmt.Errorf("enrol %s: %w", agent.Asset, err)
	}
	var done joined
	err = g.update(ctx, "enrol", func(r Records) (err error) {
		done, err = join(r, agent, again, q.Token, key.digest, leaf, now)
		return err
	})
	if err != nil {
		return Enrolment{}, fmt.Errorf("enrol %s: %w", agent.Asset, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if done.replaced.ID != "" {
		g.agents[done.replaced.ID] = done.replaced
	}
	g.watched++
	g.tokens[done.token.ID], g.agents[done.agent.ID], g.enrolled[done.asset.Name] = done.token, done.agent, done.asset
	g.merge(done.asset.Name)
	g.log.Info("agent enrolled", "agent", done.agent.ID, "asset", done.asset.Name, "customer", done.agent.Customer,
		"site", done.agent.Site, "token", done.token.ID)
	return g.enrolment(done.agent, leaf, now), nil
}

func (g *Registry) enrolment(a Agent, leaf *x509.Certificate, now time.Time) Enrolment {
	return Enrolment{
		Agent:        a,
		Certificates: [][]byte{leaf.Raw, g.trust.signer().DER()},
		Authorities:  g.trust.ders(),
		RenewAt:      now.Add(leafRenew),
	}
}

// admit checks the request against memory, so that what is hopeless costs no transaction, and names the agent to be:
// a new one, or the one that the same token and key made before.
func (g *Registry) admit(q Request, key request, now time.Time) (a Agent, again bool, err error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.trust == nil {
		return Agent{}, false, errNotLoaded
	}
	t := g.tokens[tokenID(q.Token)]
	if err := checkToken(t, q.Token, key.digest, now); err != nil {
		return Agent{}, false, err
	}
	if !t.UsedAt.IsZero() {
		a, ok := g.agents[t.UsedBy]
		if !ok || !a.Active(now) {
			return Agent{}, false, refuse(ErrRevoked, "the agent that this token enrolled is revoked: ask for a new token "+
				"with `watchbill token create`")
		}
		return a, true, nil
	}
	if err := g.checkPlace(t.Customer, t.Site); err != nil {
		return Agent{}, false, err
	}
	name := t.Asset
	if name == "" {
		if name = AssetName(q.Hostname); name == "" {
			return Agent{}, false, refuse(ErrInvalid, "the host has no name that could become the asset's: ask for a token "+
				"that carries one with `watchbill token create --asset NAME`")
		}
	}
	if err := g.checkName(name, t.Customer, t.Site); err != nil {
		return Agent{}, false, err
	}
	return Agent{ID: newSecret(), Customer: t.Customer, Site: t.Site, Asset: name, EnrolledAt: now}, false, nil
}

// checkName refuses a name that this site may not have. What holds it at another customer is not told. The caller
// holds mu.
func (g *Registry) checkName(name, customer, site string) error {
	a, ok := g.assets[name]
	if !ok {
		a, ok = g.enrolled[name]
	}
	if !ok {
		return nil
	}
	if a.Customer != customer || a.Site != site {
		return refuse(ErrTaken, "asset name %q is taken at another site, and names are unique in the whole fleet: choose "+
			"another with `watchbill token create --asset NAME`; if the host has moved, revoke its agent and declare it "+
			"under its new site in the fleet directory", name)
	}
	if a.Kind == Device {
		return refuse(ErrTaken, "asset %q is declared as a device, which has no agent of its own: choose another name with "+
			"`watchbill token create --asset NAME`, or declare it as a host", name)
	}
	return g.checkFree(g.agents[a.Agent], name)
}

func (g *Registry) checkFree(holder Agent, name string) error {
	if !holder.Active(g.now()) {
		return nil
	}
	return refuse(ErrTaken, "an agent is already enrolled as %q: if it is gone for good, revoke the old agent first with "+
		"`watchbill agent revoke %s`; if not, choose another name with `watchbill token create --asset NAME`", name, name)
}

// joined is what an enrolment changed.
type joined struct {
	token           Token
	agent, replaced Agent
	asset           Asset
}

// join is the transaction of an enrolment. It checks again what admit saw, for another collector on the same store may
// have been faster. It is pure.
func join(r Records, a Agent, again bool, secret, keyDigest string, leaf *x509.Certificate, now time.Time) (joined, error) {
	t, ok, err := r.Token(tokenID(secret))
	if err != nil {
		return joined{}, err
	}
	if !ok {
		t = Token{}
	}
	if err := checkToken(t, secret, keyDigest, now); err != nil {
		return joined{}, err
	}
	if again != !t.UsedAt.IsZero() || again && t.UsedBy != a.ID {
		return joined{}, refuse(ErrTokenUsed, "the token is being used elsewhere at this moment: try again")
	}
	done := joined{token: t, agent: a}
	if again {
		if done.agent, ok, err = r.Agent(a.ID); err != nil || !ok {
			return joined{}, orRefuse(err, ErrNotFound, "the agent that this token enrolled is gone: ask for a new token")
		}
	}
	done.agent = withCertificate(done.agent, leaf, "")
	done.token.UsedAt, done.token.UsedBy, done.token.UsedKey = now, a.ID, keyDigest
	if again {
		done.token.UsedAt = t.UsedAt
	}
	if done.asset, done.replaced, err = takeOver(r, done.agent, now); err != nil {
		return joined{}, err
	}
	if done.replaced.ID != "" {
		if err := r.PutAgent(done.replaced); err != nil {
			return joined{}, err
		}
	}
	if err := r.PutToken(done.token); err != nil {
		return joined{}, err
	}
	if err := r.PutAgent(done.agent); err != nil {
		return joined{}, err
	}
	return done, r.PutAsset(done.asset)
}

// takeOver makes the asset a's. The agent that had it before, when there was one, is returned as revoked.
func takeOver(r Records, a Agent, now time.Time) (Asset, Agent, error) {
	asset, ok, err := r.Asset(a.Asset)
	if err != nil {
		return Asset{}, Agent{}, err
	}
	var old Agent
	if ok && asset.Agent != "" && asset.Agent != a.ID {
		if old, _, err = r.Agent(asset.Agent); err != nil {
			return Asset{}, Agent{}, err
		}
		if old.Active(now) {
			return Asset{}, Agent{}, refuse(ErrTaken, "an agent is already enrolled as %q: revoke the old agent first with "+
				"`watchbill agent revoke %s`", a.Asset, a.Asset)
		}
		if old.RevokedAt.IsZero() {
			old.RevokedAt, old.RevokedBy = now, "enrolment of agent "+a.ID
		}
	}
	return Asset{Name: a.Asset, Customer: a.Customer, Site: a.Site, Kind: Host, Agent: a.ID}, old, nil
}

// withCertificate adds a certificate to those that speak for a. The one in use, by its serial, is never pushed out.
func withCertificate(a Agent, leaf *x509.Certificate, inUse string) Agent {
	serials := slices.DeleteFunc(slices.Clone(a.Serials), func(s string) bool { return s == inUse })
	room := keepSerials - 1
	if inUse != "" {
		room--
	}
	serials = serials[max(0, len(serials)-room):]
	if inUse != "" {
		serials = append([]string{inUse}, serials...)
	}
	a.Serials = append(serials, serialText(leaf))
	a.ExpiresAt = leaf.NotAfter.UTC()
	return a
}

func orRefuse(err, kind error, text string) error {
	if err != nil {
		return err
	}
	return refuse(kind, "%s", text)
}
