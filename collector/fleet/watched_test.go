package fleet

import "testing"

// Whoever keeps a list of agents learns from Watched that it has changed, and is left alone by what changes nothing of it.
func TestWatched(t *testing.T) {
	s := newSite(t)
	changed := func(what string, want bool, do func()) {
		t.Helper()
		was := s.Watched()
		do()
		if got := s.Watched() != was; got != want {
			t.Errorf("%s: changed %v, want %v", what, got, want)
		}
	}
	changed("nothing", false, func() { s.Agents() })
	changed("enrolment", true, func() { s.mustEnrol("acme", "york", "web1") })
	_, cert := s.mustEnrol("acme", "york", "web2")
	changed("renewal", false, func() {
		if _, err := s.Renew(t.Context(), cert, csr(t, newKey(t))); err != nil {
			t.Fatal(err)
		}
	})
	revoke := func() {
		if _, err := s.Revoke(t.Context(), "web2", "ann"); err != nil {
			t.Fatal(err)
		}
	}
	changed("revocation", true, revoke)
	changed("revocation of a revoked one", false, revoke)
	changed("reading anew", true, func() {
		if err := s.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
