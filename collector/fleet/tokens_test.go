package fleet

import (
	"context"
	"errors"
	"testing"
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
