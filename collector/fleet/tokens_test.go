package fleet

import (
	"context"
	"errors"
	"testing"
	"time"
)

// closed is a Keeper whose changes may not read all tokens.
type closed struct{ *memory }

type blind struct{ Records }

var errListed = errors.New("all tokens were read")

func (blind) Tokens() ([]Token, error) { return nil, errListed }

func (c closed) UpdateFleet(ctx context.Context, decision string, fn func(Records) error) error {
	return c.memory.UpdateFleet(ctx, decision, func(r Records) error { return fn(blind{r}) })
}

// TestTokenCostsNoOther: what a token costs does not grow with how many there are.
func TestTokenCostsNoOther(t *testing.T) {
	g := NewRegistry(closed{newMemory()}, Options{AgentAddress: "x:1"})
	if err := g.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.SetDirectory(directory()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, _, err := g.CreateToken(t.Context(), TokenRequest{Customer: "acme", Site: "york"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(g.Tokens()); n != 3 {
		t.Errorf("%d tokens, want 3", n)
	}
}

// TestTokenOpen: a token that is known and has not expired, used or not; nothing that only looks like one.
func TestTokenOpen(t *testing.T) {
	s := newSite(t)
	secret := s.token("acme", "leeds", "db1")
	check := func(what, secret string, want bool) {
		t.Helper()
		if got := s.TokenOpen(secret); got != want {
			t.Errorf("%s: %t", what, got)
		}
	}
	check("fresh", secret, true)
	check("none", "", false)
	check("its ID alone", tokenID(secret), false)
	check("another behind its ID", secret[:len(secret)-1], false)
	if _, err := s.enrol(secret, "db1"); err != nil {
		t.Fatal(err)
	}
	check("used", secret, true)
	s.restart()
	check("after a restart", secret, true)
	s.clock.add(30 * 24 * time.Hour)
	check("expired", secret, false)
}
