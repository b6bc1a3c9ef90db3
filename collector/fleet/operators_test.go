package fleet

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

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
		{strings.Repeat("a", 64), Admin, "at most 63"}, {"ann", "root", "one of admin, operator, viewer, scrape"},
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

// TestAddOperatorWith: what a token carries survives a restart, in the table's order and none twice.
func TestAddOperatorWith(t *testing.T) {
	s := newSite(t)
	if err := s.PutPerson(t.Context(), Person{ID: "anna", Name: "Anna Berg"}, "ann"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		n    NewOperator
		want Operator
	}{
		{"several roles of one person", NewOperator{Name: "anna", Person: "anna", Roles: []Role{GeneralManager, Responder, GeneralManager, Viewer}},
			Operator{Name: "anna", Person: "anna", Role: Responder, Roles: []Role{Responder, Viewer, GeneralManager}}},
		{"no desk role", NewOperator{Name: "tom", Roles: []Role{TechnicalOperationManager}},
			Operator{Name: "tom", Roles: []Role{TechnicalOperationManager}}},
		{"bound to a customer", NewOperator{Name: "clara", Roles: []Role{ClientOwnerUser}, Scope: Scope{Customer: "acme"}},
			Operator{Name: "clara", Roles: []Role{ClientOwnerUser}, Scope: Scope{Customer: "acme"}}},
		{"bound to a department that only a customer names", NewOperator{Name: "dan", Roles: []Role{Viewer, DepartmentMember}, Scope: Scope{Department: "retail"}},
			Operator{Name: "dan", Roles: []Role{Viewer, DepartmentMember}, Scope: Scope{Department: "retail"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.n.By = "ann"
			token, err := s.AddOperatorWith(t.Context(), test.n)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				got, ok := s.Authenticate(token)
				got.Digest, got.CreatedAt = "", time.Time{}
				test.want.CreatedBy = "ann"
				if diff := cmp.Diff(test.want, got); !ok || diff != "" {
					t.Errorf("found %v (-want +got):\n%s", ok, diff)
				}
				s.restart()
			}
		})
	}
}

func TestAddOperatorWithRefusals(t *testing.T) {
	for _, test := range []struct {
		name string
		n    NewOperator
		kind error
		text []string
	}{
		{"no role", NewOperator{}, ErrInvalid, []string{"has no role", "general-manager"}},
		{"unknown role", NewOperator{Roles: []Role{Viewer, "pilot"}}, ErrInvalid, []string{`"pilot"`, "unknown", "team-leader"}},
		{"administrator of one customer", NewOperator{Roles: []Role{Admin}, Scope: Scope{Customer: "acme"}}, ErrInvalid, []string{"whole fleet"}},
		{"scraper of one department", NewOperator{Roles: []Role{Viewer, Scrape}, Scope: Scope{Department: "retail"}}, ErrInvalid, []string{"whole fleet"}},
		{"two bounds", NewOperator{Roles: []Role{Viewer}, Scope: Scope{Customer: "acme", Department: "retail"}}, ErrInvalid, []string{"at once"}},
		{"outsider without bounds", NewOperator{Roles: []Role{ClientOwnerUser, DepartmentMember}}, ErrInvalid, []string{"see nothing", "client-owner-user"}},
		{"unknown customer", NewOperator{Roles: []Role{Viewer}, Scope: Scope{Customer: "acne"}}, ErrNotFound, []string{`"acne"`, "declare it"}},
		{"unknown department", NewOperator{Roles: []Role{Viewer}, Scope: Scope{Department: "wholesale"}}, ErrNotFound, []string{`"wholesale"`}},
		{"unknown person", NewOperator{Roles: []Role{Viewer}, Person: "nobody"}, ErrNotFound, []string{`"nobody"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.n.Name = "eve"
			s := newSite(t)
			_, err := s.AddOperatorWith(t.Context(), test.n)
			wantRefusal(t, err, test.kind, test.text...)
			if len(s.Operators()) != 0 {
				t.Error("a refused operator is there")
			}
		})
	}
}

// TestOlderOperator: a record of a release that knew one role loads and means the same; one that is bound lets a release
// that knows no bounds find no role in it.
func TestOlderOperator(t *testing.T) {
	s := newSite(t)
	const token = operatorPrefix + "old"
	var old Operator
	if err := json.Unmarshal([]byte(`{"name":"old","role":"operator","digest":"`+digestOf(token)+`"}`), &old); err != nil {
		t.Fatal(err)
	}
	s.keeper.state.operators["old"] = old
	s.restart()
	got, ok := s.Authenticate(token)
	if !ok || !slices.Equal(got.Roles, []Role{Responder}) || !got.May(MayWork) || got.May(MayAdminister) || !got.Sees("acme", "") {
		t.Errorf("older record: %+v, %v", got, ok)
	}
	for _, n := range []NewOperator{
		{Name: "free", Roles: []Role{Responder, TeamLeader}},
		{Name: "bound", Roles: []Role{Responder, TeamLeader}, Scope: Scope{Customer: "acme"}},
	} {
		if _, err := s.AddOperatorWith(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"free": "operator", "bound": ""} {
		raw, err := json.Marshal(s.keeper.state.operators[name])
		var older struct{ Role string }
		if err := errors.Join(err, json.Unmarshal(raw, &older)); err != nil || older.Role != want {
			t.Errorf("%s: an older release reads role %q, want %q (%v)", name, older.Role, want, err)
		}
	}
}
