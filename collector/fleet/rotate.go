package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// rotateBefore is how long before its end an authority gets its successor. Agents are over to that within 90 days at the
// latest, the life of a certificate; the rest is for whoever has to look into it.
const rotateBefore = 2 * 365 * 24 * time.Hour

// provenAtOnce bounds how many agents one transaction notes as having come over.
const provenAtOnce = 1000

// AuthorityStatus is one authority in force, for a person.
type AuthorityStatus struct {
	// Fingerprint is the SHA-256 of the certificate, by which agents know the authority when they enrol.
	Fingerprint string
	Name        string
	MadeAt      time.Time
	ExpiresAt   time.Time
	// Listener: it vouches for the agents' listener. Signs: it signs agents' certificates.
	Listener, Signs bool
	// Agents are the assets of active agents that trust no newer authority as far as they have shown: were this one
	// retired, they would be cut off. By name.
	Agents []string
	// Tokens is how many enrolment tokens carry its fingerprint and can still be used.
	Tokens int
}

// Authorities are those in force, oldest first.
func (g *Registry) Authorities() []AuthorityStatus {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.trust == nil {
		return nil
	}
	now := g.now()
	out := make([]AuthorityStatus, len(g.trust.authorities))
	for i, a := range g.trust.authorities {
		out[i] = AuthorityStatus{
			Fingerprint: a.Fingerprint(), Name: a.cert.Subject.CommonName, MadeAt: a.cert.NotBefore.Add(backdate),
			ExpiresAt: a.cert.NotAfter, Listener: a == g.trust.listener(), Signs: a == g.trust.signer(),
			Agents: g.dependents(i, now),
		}
		if i == 0 {
			out[i].Tokens = g.openTokens(now)
		}
	}
	return out
}

// dependents are the assets of active agents that have shown no certificate of a newer authority than the i-th. The
// caller holds mu.
func (g *Registry) dependents(i int, now time.Time) []string {
	newer := map[string]bool{}
	for _, a := range g.trust.authorities[i+1:] {
		newer[a.Fingerprint()] = true
	}
	var out []string
	for id, a := range g.agents {
		if a.Active(now) && !newer[a.Authority] && !newer[g.proven[id]] {
			out = append(out, a.Asset)
		}
	}
	slices.Sort(out)
	return out
}

// openTokens counts the tokens that can still be used. Each carries the fingerprint of the authority that vouches for
// the listener: another was never in that place since it was made. The caller holds mu.
func (g *Registry) openTokens(now time.Time) (n int) {
	for _, t := range g.tokens {
		if t.UsedAt.IsZero() && now.Before(t.ExpiresAt) {
			n++
		}
	}
	return n
}

// RotateAuthority brings a new authority into force beside the present one. From now on it signs agents' certificates;
// agents are asked, a few a second, to renew theirs and learn of it by that. The listener goes on under the older
// authority, so nobody is cut off, and AdvanceAuthorities retires that one when nobody needs it any more. ErrInvalid when
// three are in force already.
func (g *Registry) RotateAuthority(ctx context.Context, by string) (AuthorityStatus, error) {
	g.change.Lock()
	defer g.change.Unlock()
	if err := g.rotate(ctx, by); err != nil {
		return AuthorityStatus{}, fmt.Errorf("rotate authority: %w", err)
	}
	all := g.Authorities()
	return all[len(all)-1], nil
}

// rotate is RotateAuthority for who holds change.
func (g *Registry) rotate(ctx context.Context, by string) error {
	now := g.now()
	made, err := NewAuthority(now)
	if err != nil {
		return err
	}
	err = g.changeTrust(ctx, "rotate", func(all []*Authority) ([]*Authority, error) {
		if len(all) >= maxAuthorities {
			return nil, refuse(ErrInvalid, "%d authorities are in force already: `watchbill ca list` shows who still needs the "+
				"oldest; it goes when nobody does, or with `watchbill ca retire --force`", len(all))
		}
		return append(slices.Clone(all), made), nil
	}, now)
	if err != nil {
		return err
	}
	g.log.Info("a new authority is in force beside the older; agents learn of it as they renew", "fingerprint",
		made.Fingerprint(), "by", by)
	return nil
}

// RetireAuthority ends the oldest authority, which fingerprint (or its beginning, eight letters at least, or the word
// "oldest") must name: its certificates are refused, on open connections too, and the listener goes over to the next. While agents or tokens
// still need it this is refused with their names (ErrInvalid), unless force is set: then those must enrol again.
func (g *Registry) RetireAuthority(ctx context.Context, fingerprint string, force bool, by string) error {
	g.change.Lock()
	defer g.change.Unlock()
	all := g.Authorities()
	switch {
	case len(all) == 0:
		return errNotLoaded
	case len(all) == 1:
		return fmt.Errorf("retire authority: %w", refuse(ErrInvalid, "there is only one authority: bring in another first with "+
			"`watchbill ca rotate`"))
	case fingerprint == "oldest":
	case len(fingerprint) < 8 || !strings.HasPrefix(all[0].Fingerprint, strings.ToLower(fingerprint)):
		return fmt.Errorf("retire authority: %w", refuse(ErrNotFound, "%.80q is not the oldest authority, which is %s: only the "+
			"oldest can be retired, `watchbill ca list` shows them", fingerprint, all[0].Fingerprint))
	}
	if !force && (len(all[0].Agents) > 0 || all[0].Tokens > 0) {
		return fmt.Errorf("retire authority: %w", refuse(ErrInvalid, "%s: wait until they have come over (agents that run do "+
			"within the hour), withdraw the tokens, or add --force; whoever is cut off must enrol again", needs(all[0])))
	}
	return g.retire(ctx, all[0], by)
}

// retire ends the oldest authority. The caller holds change.
func (g *Registry) retire(ctx context.Context, oldest AuthorityStatus, by string) error {
	err := g.changeTrust(ctx, "retire", func(all []*Authority) ([]*Authority, error) {
		if len(all) < 2 || all[0].Fingerprint() != oldest.Fingerprint {
			return nil, refuse(ErrNotFound, "authority %s is not in force any more", oldest.Fingerprint)
		}
		return slices.Clone(all[1:]), nil
	}, g.now())
	if err != nil {
		return fmt.Errorf("retire authority: %w", err)
	}
	g.log.Info("an authority is retired", "fingerprint", oldest.Fingerprint, "by", by, "agents_cut_off", len(oldest.Agents))
	return nil
}

// needs says who needs an authority, by name as far as that can be read.
func needs(s AuthorityStatus) string {
	var parts []string
	if n := len(s.Agents); n > 0 {
		const shown = 10
		text := strings.Join(s.Agents[:min(n, shown)], ", ")
		if n > shown {
			text += fmt.Sprintf(" and %d more", n-shown)
		}
		parts = append(parts, fmt.Sprintf("%d agents have not come over yet (%s)", n, text))
	}
	if s.Tokens > 0 {
		parts = append(parts, fmt.Sprintf("%d enrolment tokens name it", s.Tokens))
	}
	return strings.Join(parts, ", ")
}

// AdvanceAuthorities does what is due: notes which agents have come over, retires the oldest authority when nobody
// needs it any more or its time is over, and brings in a successor two years before the newest one ends. Call it every
// minute or so; it mostly does nothing and costs nothing.
func (g *Registry) AdvanceAuthorities(ctx context.Context) error {
	g.change.Lock()
	defer g.change.Unlock()
	all := g.Authorities()
	if len(all) == 0 {
		return errNotLoaded
	}
	if err := g.keepProven(ctx); err != nil {
		return fmt.Errorf("note which agents have a newer authority: %w", err)
	}
	now, oldest := g.now(), all[0]
	switch left := oldest.ExpiresAt.Sub(now); {
	case len(all) > 1 && len(oldest.Agents) == 0 && oldest.Tokens == 0:
		return g.retire(ctx, oldest, "watchbill")
	case len(all) > 1 && left < leafLife:
		g.log.Error("an authority ends soon and is retired; who has not come over must enrol again", "who", needs(oldest))
		return g.retire(ctx, oldest, "watchbill")
	case all[len(all)-1].ExpiresAt.Sub(now) < rotateBefore:
		return g.rotate(ctx, "watchbill")
	}
	return nil
}

// keepProven puts into the Keeper which agents have shown a certificate of a newer authority, so that neither a restart
// nor another collector on the same store has to wait for them again. The caller holds change.
func (g *Registry) keepProven(ctx context.Context) error {
	g.mu.RLock()
	proven := maps.Clone(g.proven)
	maps.DeleteFunc(proven, func(id, by string) bool { return g.agents[id].Authority == by })
	g.mu.RUnlock()
	if len(proven) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(proven))
	ids = ids[:min(len(ids), provenAtOnce)]
	var done []Agent
	err := g.update(ctx, "proven", func(r Records) error {
		done = done[:0]
		for _, id := range ids {
			a, ok, err := r.Agent(id)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			a.Authority = proven[id]
			if err := r.PutAgent(a); err != nil {
				return err
			}
			done = append(done, a)
		}
		return nil
	})
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range done {
		g.agents[a.ID] = a
	}
	for _, id := range ids {
		delete(g.proven, id)
	}
	return nil
}

// changeTrust runs the authorities through a pure change, in the Keeper first and then in memory. The caller holds
// change.
func (g *Registry) changeTrust(ctx context.Context, kind string, change func([]*Authority) ([]*Authority, error), now time.Time) error {
	var next *trust
	err := g.update(ctx, kind, func(r Records) error {
		certPEM, keyPEM, there, err := r.Authority()
		if err != nil || !there {
			return orRefuse(err, ErrNotFound, "there is no authority yet")
		}
		old, err := parseTrust(certPEM, keyPEM)
		if err != nil {
			return err
		}
		all, err := change(old.authorities)
		if err != nil {
			return err
		}
		next = newTrust(all, now)
		if certPEM, keyPEM, err = next.encode(); err != nil {
			return err
		}
		return r.PutAuthority(certPEM, keyPEM)
	})
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trust = next
	return nil
}

// prove notes that an agent has shown a certificate of a newer authority than the one that vouches for the listener.
func (g *Registry) prove(id string, by *Authority) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.proven[id] = by.fingerprint
}
