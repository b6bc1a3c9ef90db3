package fleet

import (
	"errors"
	"strings"
	"testing"
)

// TestRoles is the whole of who may do what.
func TestRoles(t *testing.T) {
	all := []Right{MayRead, MayWork, MayResend, MayAdminister, MayScrape}
	want := map[Role]string{
		Admin:     "yes yes yes yes yes",
		Responder: "yes yes yes no yes",
		Viewer:    "yes no no no yes",
		Scrape:    "no no no no yes",
		"":        "no no no no no",
		"root":    "no no no no no",
	}
	for role, row := range want {
		for i, may := range strings.Fields(row) {
			if Allows(role, all[i]) != (may == "yes") {
				t.Errorf("%q may %s: want %s", role, all[i], may)
			}
		}
	}
	if Allows(Admin, "fly") {
		t.Error("a right that does not exist is given")
	}
	for _, r := range Roles() {
		if _, ok := want[r]; !ok {
			t.Errorf("role %s is not in this table", r)
		}
	}
}

func TestOperators(t *testing.T) {
	s := newSite(t)
	ann, err := s.AddOperator(t.Context(), "ann", Admin, "setup")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := s.AddOperator(t.Context(), "bob@example.com", Viewer, "ann")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(ann, "wbo_") || ann == bob {
		t.Errorf("tokens %s %s", ann, bob)
	}
	for range 2 {
		if o, ok := s.Authenticate(ann); !ok || o.Name != "ann" || o.Role != Admin {
			t.Errorf("ann is %+v, %v", o, ok)
		}
		for _, bad := range []string{"", "wbo_", ann + "x", ann[:len(ann)-1], strings.TrimPrefix(ann, "wbo_"), s.Operators()[0].Digest} {
			if o, ok := s.Authenticate(bad); ok {
				t.Errorf("%q is %+v", bad, o)
			}
		}
		s.restart()
	}
	_, err = s.AddOperator(t.Context(), "ann", Viewer, "ann")
	wantRefusal(t, err, ErrTaken, "watchbill operator remove ann")
	wantRefusal(t, s.RemoveOperator(t.Context(), "ann"), ErrLastAdmin, "last administrator", "operator add NAME --role admin")
	wantRefusal(t, s.RemoveOperator(t.Context(), "nobody"), ErrNotFound, "operator list")
	if err := s.RemoveOperator(t.Context(), "bob@example.com"); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Authenticate(bob); ok {
		t.Error("a removed operator is let in")
	}
	if _, err := s.AddOperator(t.Context(), "eve", Admin, "ann"); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveOperator(t.Context(), "ann"); err != nil {
		t.Errorf("with a second administrator: %v", err)
	}
}

func TestAddOperatorRefusals(t *testing.T) {
	for _, test := range []struct {
		name string
		role Role
		text string
	}{
		{"", Admin, "name"}, {"-x", Admin, "begin with a letter"}, {"a b", Admin, "name"}, {"a\x1b[31m", Admin, "name"},
		{strings.Repeat("a", 64), Admin, "at most 63"}, {"ann", "root", "one of [admin operator viewer scrape]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newSite(t).AddOperator(t.Context(), test.name, test.role, "x")
			wantRefusal(t, err, ErrInvalid, test.text)
		})
	}
}

// TestKeeperFails: a change that is not durable is not seen.
func TestKeeperFails(t *testing.T) {
	s := newSite(t)
	s.keeper.failBefore = true
	if _, err := s.AddOperator(t.Context(), "ann", Admin, "x"); !errors.Is(err, errKeeper) {
		t.Errorf("error %v", err)
	}
	if n := len(s.Operators()); n != 0 {
		t.Errorf("%d operators", n)
	}
	_, leaf := s.mustEnrol("acme", "york", "web1")
	s.keeper.failBefore = true
	if _, err := s.Revoke(t.Context(), "web1", "ann"); !errors.Is(err, errKeeper) {
		t.Errorf("error %v", err)
	}
	if _, err := s.AuthenticateCert(leaf); err != nil {
		t.Errorf("half revoked: %v", err)
	}
}

// TestUncertainCommit: the keeper committed a change and failed to say so. Memory shows what is, at once.
func TestUncertainCommit(t *testing.T) {
	s := newSite(t)
	_, leaf := s.mustEnrol("acme", "york", "web1")
	s.keeper.failAfter = true
	if _, err := s.Revoke(t.Context(), "web1", "ann"); !errors.Is(err, errKeeper) {
		t.Errorf("error %v", err)
	}
	_, err := s.AuthenticateCert(leaf)
	wantRefusal(t, err, ErrRevoked)
}

// TestUnreadableAfterFailure: the keeper cannot even be read after a failed change; the next change reads it first.
func TestUnreadableAfterFailure(t *testing.T) {
	s := newSite(t)
	_, leaf := s.mustEnrol("acme", "york", "web1")
	s.keeper.failAfter, s.keeper.failViews = true, 1
	if _, err := s.Revoke(t.Context(), "web1", "ann"); !errors.Is(err, errKeeper) {
		t.Errorf("error %v", err)
	}
	if _, err := s.AddOperator(t.Context(), "ann", Admin, "x"); err != nil {
		t.Fatal(err)
	}
	_, err := s.AuthenticateCert(leaf)
	wantRefusal(t, err, ErrRevoked)
}
