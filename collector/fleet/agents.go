package fleet

import (
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Agents are all agents, revoked ones too, by asset and then by age.
func (g *Registry) Agents() []Agent {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.SortedFunc(maps.Values(g.agents), func(a, b Agent) int {
		if c := strings.Compare(a.Asset, b.Asset); c != 0 {
			return c
		}
		return a.EnrolledAt.Compare(b.EnrolledAt)
	})
}

// Watched changes with every agent that enrols or is revoked: while it is the same, so are they.
func (g *Registry) Watched() uint64 {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.watched
}

// AuthenticateCert says which agent a certificate speaks for, now: call it for every request, for a connection outlives
// a revocation. That the certificate was signed by the authority is TLS's to check; this checks that it is an agent's,
// listed with that agent, neither expired nor revoked. Errors wrap ErrCertificate, ErrExpired or ErrRevoked.
func (g *Registry) AuthenticateCert(c *x509.Certificate) (Agent, error) {
	id, ok := agentID(c)
	if !ok {
		return Agent{}, refuse(ErrCertificate, "the certificate is not an agent's: enrol this host with a token from "+
			"`watchbill token create`")
	}
	now := g.now()
	g.mu.RLock()
	a, ok := g.agents[id]
	by, cameOver := g.shows(a, c)
	g.mu.RUnlock()
	switch {
	case !ok:
		return Agent{}, refuse(ErrCertificate, "no agent of this collector has this certificate: enrol this host with a "+
			"token from `watchbill token create`")
	case !a.RevokedAt.IsZero():
		return Agent{}, refuse(ErrRevoked, "this agent was revoked on %s: if the host is to be watched again, enrol it "+
			"with a new token from `watchbill token create`", a.RevokedAt.Format(time.RFC3339))
	case !slices.Contains(a.Serials, serialText(c)):
		return Agent{}, refuse(ErrCertificate, "the certificate was replaced by newer ones: use the newest, or enrol this "+
			"host with a new token from `watchbill token create`")
	case now.After(c.NotAfter):
		return Agent{}, refuse(ErrExpired, "the certificate expired on %s: enrol this host with a new token from "+
			"`watchbill token create`", c.NotAfter.UTC().Format(time.RFC3339))
	case by == nil:
		return Agent{}, refuse(ErrCertificate, "the authority that signed the certificate was retired: enrol this host with a "+
			"new token from `watchbill token create`")
	}
	if cameOver {
		g.prove(id, by)
	}
	return a, nil
}

// shows is the authority in force that signed c, nil when none did, and whether this is the first sign that a knows it
// beside the one that vouches for the listener. The caller holds mu.
func (g *Registry) shows(a Agent, c *x509.Certificate) (by *Authority, cameOver bool) {
	if g.trust == nil {
		return nil, false
	}
	by = g.trust.of(c)
	if by == nil || by == g.trust.listener() {
		return by, false
	}
	return by, a.Authority != by.fingerprint && g.proven[a.ID] != by.fingerprint
}

// Outdated says whether the agent that shows this certificate should renew it now because authorities have changed since
// it was made.
func (g *Registry) Outdated(c *x509.Certificate) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.trust != nil && g.trust.outdated(c)
}

// Renew gives the agent that holds a certificate the next one, on a new or the same key. The present one stays good
// until it expires, so that an answer that gets lost costs nothing.
func (g *Registry) Renew(ctx context.Context, present *x509.Certificate, csr []byte) (Enrolment, error) {
	key, err := readRequest(csr)
	if err != nil {
		return Enrolment{}, fmt.Errorf("renew certificate: %w", err)
	}
	g.change.Lock()
	defer g.change.Unlock()
	a, err := g.AuthenticateCert(present)
	if err != nil {
		return Enrolment{}, fmt.Errorf("renew certificate: %w", err)
	}
	now := g.now().UTC()
	leaf, err := g.trust.signer().agentLeaf(a.ID, key.public, now)
	if err != nil {
		return Enrolment{}, fmt.Errorf("renew certificate of %s: %w", a.Asset, err)
	}
	a, err = g.changeAgent(ctx, a.ID, "renew", func(a Agent) (Agent, error) {
		if !a.RevokedAt.IsZero() {
			return a, refuse(ErrRevoked, "this agent was revoked on %s", a.RevokedAt.Format(time.RFC3339))
		}
		a = withCertificate(a, leaf, serialText(present))
		a.RenewedAt = now
		return a, nil
	})
	if err != nil {
		return Enrolment{}, fmt.Errorf("renew certificate: %w", err)
	}
	return g.enrolment(a, leaf, now), nil
}

// Revoke ends an agent's right to report, by its ID or its asset's name, on open connections too: the next request is
// refused. Revoking a revoked agent changes nothing. ErrNotFound when there is no such agent.
func (g *Registry) Revoke(ctx context.Context, ref, by string) (Agent, error) {
	g.change.Lock()
	defer g.change.Unlock()
	g.mu.RLock()
	id := ref
	if e, ok := g.enrolled[ref]; ok && e.Agent != "" {
		id = e.Agent
	}
	g.mu.RUnlock()
	now := g.now().UTC()
	a, err := g.changeAgent(ctx, id, "revoke", func(a Agent) (Agent, error) {
		if a.RevokedAt.IsZero() {
			a.RevokedAt, a.RevokedBy = now, by
		}
		return a, nil
	})
	if err != nil {
		return Agent{}, fmt.Errorf("revoke %s: %w", ref, err)
	}
	g.log.Info("agent revoked", "agent", a.ID, "asset", a.Asset, "by", a.RevokedBy)
	return a, nil
}

// changeAgent runs one agent through a pure change, in the Keeper first and then in memory. The caller holds change.
func (g *Registry) changeAgent(ctx context.Context, id, kind string, change func(Agent) (Agent, error)) (Agent, error) {
	var done Agent
	err := g.update(ctx, kind, func(r Records) error {
		a, ok, err := r.Agent(id)
		if err != nil || !ok {
			return orRefuse(err, ErrNotFound, "no such agent: `watchbill agent list` shows them")
		}
		if done, err = change(a); err != nil {
			return err
		}
		return r.PutAgent(done)
	})
	if err != nil {
		return Agent{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !done.RevokedAt.Equal(g.agents[id].RevokedAt) {
		g.watched++
	}
	g.agents[id] = done
	g.merge(done.Asset)
	return done, nil
}
