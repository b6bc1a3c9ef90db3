package fleet

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Bounds of a token's life. A token is an open door: a day is enough to walk to the server with it.
const (
	defaultTTL = 24 * time.Hour
	minTTL     = time.Minute
	maxTTL     = 30 * 24 * time.Hour
	// forgetTokens is how long a used or expired token is still listed.
	forgetTokens = 30 * 24 * time.Hour
)

// TokenRequest asks for a token that lets one agent enrol once.
type TokenRequest struct {
	Customer, Site string
	// Asset is the name the agent gets; empty lets the host's own name decide.
	Asset string
	// TTL is how long the token may be used; 24 h when zero, between a minute and 30 days otherwise.
	TTL time.Duration
	// By is who asks.
	By string
	// Address is the collector's host:port for agents; Options.AgentAddress when empty.
	Address string
}

// CreateToken makes a token and the text to give to the agent. The text is nowhere else: only its digest is kept.
//
// Text: "wb1." and unpadded base64url of the JSON {"a": collector's address, "f": authority's fingerprint, "i": id,
// "s": secret}. The secret begins with the id and a dot, so that the collector finds the token by it.
func (g *Registry) CreateToken(ctx context.Context, q TokenRequest) (Token, string, error) {
	if err := g.checkTokenRequest(&q); err != nil {
		return Token{}, "", err
	}
	fingerprint := g.Fingerprint()
	if fingerprint == "" {
		return Token{}, "", errNotLoaded
	}
	now := g.now().UTC()
	id := newSecret()[:10]
	secret := id + "." + newSecret()
	t := Token{
		ID: id, Digest: digestOf(secret), Customer: q.Customer, Site: q.Site, Asset: q.Asset,
		CreatedAt: now, CreatedBy: q.By, ExpiresAt: now.Add(q.TTL),
	}
	text, err := json.Marshal(struct {
		Address     string `json:"a"`
		Fingerprint string `json:"f"`
		ID          string `json:"i"`
		Secret      string `json:"s"`
	}{q.Address, fingerprint, id, secret})
	if err != nil {
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	if err := g.keepToken(ctx, t, now); err != nil {
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	return t, "wb1." + base64.RawURLEncoding.EncodeToString(text), nil
}

// keepToken stores a token and lets go of those that nobody will ask about any more. Which those are memory says: reading
// all tokens anew for each that is made would make ten thousand of them a matter of hours.
func (g *Registry) keepToken(ctx context.Context, t Token, now time.Time) error {
	g.change.Lock()
	defer g.change.Unlock()
	gone := g.forgotten(now)
	err := g.update(ctx, "token", func(r Records) error {
		for _, id := range gone {
			if err := r.DeleteToken(id); err != nil {
				return err
			}
		}
		return r.PutToken(t)
	})
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range gone {
		delete(g.tokens, id)
	}
	g.tokens[t.ID] = t
	return nil
}

// forgotten are the tokens that expired so long ago that nobody will ask about them.
func (g *Registry) forgotten(now time.Time) (ids []string) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for id, t := range g.tokens {
		if now.Sub(t.ExpiresAt) > forgetTokens {
			ids = append(ids, id)
		}
	}
	return ids
}

// checkTokenRequest fills in defaults and refuses what would only fail on the server, in front of whoever enrols.
func (g *Registry) checkTokenRequest(q *TokenRequest) error {
	q.TTL = cmp.Or(q.TTL, defaultTTL)
	q.Address = cmp.Or(q.Address, g.address)
	g.mu.RLock()
	defer g.mu.RUnlock()
	if err := g.checkPlace(q.Customer, q.Site); err != nil {
		return err
	}
	switch {
	case q.Address == "":
		return refuse(ErrInvalid, "create token: the collector has no address for agents: configure "+
			"agent.external_address, or name one with the token")
	case q.TTL < minTTL || q.TTL > maxTTL:
		return refuse(ErrInvalid, "create token: it must be good for between %v and %v, got %v", minTTL, maxTTL, q.TTL)
	case q.Asset == "":
		return nil
	case !validName(q.Asset):
		return refuse(ErrInvalid, "create token: asset name %q: must be of a-z, 0-9, '.', '_', ':' and '-'; %q would do",
			q.Asset, AssetName(q.Asset))
	}
	return g.checkName(q.Asset, q.Customer, q.Site)
}

// checkPlace refuses a customer or site that the directory does not declare. The caller holds mu.
func (g *Registry) checkPlace(customer, site string) error {
	c, ok := g.customers[customer]
	if !ok {
		return refuse(ErrNotFound, "customer %q is not declared (declared: %s): add it to the fleet directory and reload",
			customer, list(slices.Sorted(maps.Keys(g.customers))))
	}
	if _, ok := g.site(customer, site); !ok {
		var sites []string
		for _, s := range c.Sites {
			sites = append(sites, s.ID)
		}
		return refuse(ErrNotFound, "site %q of customer %q is not declared (declared: %s): add it to the fleet directory "+
			"and reload", site, customer, list(sites))
	}
	return nil
}

func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// Tokens are the enrolment tokens, newest first.
func (g *Registry) Tokens() []Token {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.SortedFunc(maps.Values(g.tokens), func(a, b Token) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(a.ID, b.ID))
	})
}

// RemoveToken withdraws a token; an agent that enrolled with it is not touched.
func (g *Registry) RemoveToken(ctx context.Context, id string) error {
	g.change.Lock()
	defer g.change.Unlock()
	err := g.update(ctx, "token-removed", func(r Records) error {
		if _, ok, err := r.Token(id); err != nil || !ok {
			return cmp.Or(err, refuse(ErrNotFound, "no token %q: `watchbill token list` shows them", id))
		}
		return r.DeleteToken(id)
	})
	if err != nil {
		return fmt.Errorf("remove token: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.tokens, id)
	return nil
}

// checkToken says whether a token opens the door at now for a key; the same key may come again when the answer to its
// first request was lost.
func checkToken(t Token, secret, keyDigest string, now time.Time) error {
	const fresh = "ask for a new one with `watchbill token create`"
	switch {
	case subtle.ConstantTimeCompare([]byte(t.Digest), []byte(digestOf(secret))) != 1:
		return refuse(ErrTokenUnknown, "the token is not known to this collector: copy it whole, or "+fresh)
	case !t.UsedAt.IsZero() && t.UsedKey == keyDigest && now.Before(t.ExpiresAt):
		return nil
	case !t.UsedAt.IsZero():
		return refuse(ErrTokenUsed, "the token was already used on %s, and a token enrols one agent once: "+fresh+
			"; if it was not you who used it, revoke the agent that did: `watchbill agent list`", t.UsedAt.Format(time.RFC3339))
	case !now.Before(t.ExpiresAt):
		return refuse(ErrTokenExpired, "the token expired on %s: "+fresh, t.ExpiresAt.Format(time.RFC3339))
	}
	return nil
}

// TokenOpen says whether the secret part of a token is one of this collector's that has not expired, used or not. It costs
// a look into memory: who asks for it thousands of times over without one need not get any further.
func (g *Registry) TokenOpen(secret string) bool {
	g.mu.RLock()
	t := g.tokens[tokenID(secret)]
	g.mu.RUnlock()
	return subtle.ConstantTimeCompare([]byte(t.Digest), []byte(digestOf(secret))) == 1 && g.now().Before(t.ExpiresAt)
}

// tokenID is the part of a secret that names its token.
func tokenID(secret string) string {
	id, _, _ := strings.Cut(secret, ".")
	return id
}
