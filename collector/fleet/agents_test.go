package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRenew(t *testing.T) {
	s := newSite(t)
	e, first := s.mustEnrol("acme", "york", "web1")
	s.clock.add(61 * 24 * time.Hour)
	var newest *x509.Certificate
	// Answers get lost: the agent asks again and again with its first certificate, which must not be pushed out.
	for range 10 {
		r, err := s.Renew(t.Context(), first, csr(t, newKey(t)))
		if err != nil {
			t.Fatal(err)
		}
		if r.Agent.ID != e.Agent.ID || len(r.Agent.Serials) > keepSerials {
			t.Fatalf("agent %+v", r.Agent)
		}
		newest = leafOf(t, r)
	}
	s.restart()
	for _, c := range []*x509.Certificate{first, newest} {
		if _, err := s.AuthenticateCert(c); err != nil {
			t.Error(err)
		}
	}
	s.clock.add(30 * 24 * time.Hour)
	_, err := s.AuthenticateCert(first)
	wantRefusal(t, err, ErrExpired, "expired on 2027-02-19T09:00:00Z", "watchbill token create")
	if _, err := s.AuthenticateCert(newest); err != nil {
		t.Error(err)
	}
	// Renewals with the newest push the rest out.
	for range keepSerials {
		r, err := s.Renew(t.Context(), newest, csr(t, newKey(t)))
		if err != nil {
			t.Fatal(err)
		}
		newest = leafOf(t, r)
	}
	if a := s.Agents()[0]; slices.Contains(a.Serials, serialText(first)) {
		t.Errorf("serials %v", a.Serials)
	}
}

func TestRevoke(t *testing.T) {
	s := newSite(t)
	e, leaf := s.mustEnrol("acme", "york", "web1")
	a, err := s.Revoke(t.Context(), e.Agent.ID, "ann")
	if err != nil || a.RevokedBy != "ann" || !a.RevokedAt.Equal(s.clock.now()) {
		t.Fatalf("agent %+v, %v", a, err)
	}
	for range 2 {
		_, err = s.AuthenticateCert(leaf)
		wantRefusal(t, err, ErrRevoked, "revoked on 2026-11-21T09:00:00Z", "watchbill token create")
		_, err = s.Renew(t.Context(), leaf, csr(t, newKey(t)))
		wantRefusal(t, err, ErrRevoked)
		s.restart()
	}
	if a, err := s.Revoke(t.Context(), "web1", "bob"); err != nil || a.RevokedBy != "ann" {
		t.Errorf("revoked again: %+v, %v", a, err)
	}
	_, err = s.Revoke(t.Context(), "nobody", "ann")
	wantRefusal(t, err, ErrNotFound, "watchbill agent list")
	if _, ok := s.Asset("web1"); ok {
		t.Error("the asset is still watched")
	}
}

// TestAuthenticateCertRefusals: certificates of the right authority that speak for nobody here.
func TestAuthenticateCertRefusals(t *testing.T) {
	s := newSite(t)
	e, _ := s.mustEnrol("acme", "york", "web1")
	key := newKey(t)
	forged := func(id string) *x509.Certificate {
		c, err := s.trust.signer().agentLeaf(id, key.Public(), s.clock.now())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	server, err := s.trust.listener().serverLeaf([]string{"localhost"}, key.Public(), s.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*x509.Certificate{
		"serial that is not listed": forged(e.Agent.ID), "unknown agent": forged("nobody"), "no agent": forged(""), "server's": server,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.AuthenticateCert(c)
			wantRefusal(t, err, ErrCertificate, "enrol this host")
		})
	}
}

func TestSetDirectory(t *testing.T) {
	s := newSite(t)
	e, _ := s.mustEnrol("acme", "leeds", "db1")
	if a, _ := s.Asset("db1"); a.Role != "orders" || a.Users != 40 || !a.Declared || a.Agent != e.Agent.ID {
		t.Errorf("declared and enrolled: %+v", a)
	}
	t.Run("invalid changes nothing", func(t *testing.T) {
		if err := s.SetDirectory(Directory{Customers: []Customer{{ID: "X"}}}); err == nil {
			t.Error("accepted")
		}
		if _, ok := s.Customer("acme"); !ok {
			t.Error("the old directory is gone")
		}
	})
	t.Run("vanished asset stays while its agent lives", func(t *testing.T) {
		if err := s.SetDirectory(Directory{Customers: []Customer{{ID: "acme", Sites: []Site{{ID: "leeds"}}}}}); err != nil {
			t.Fatal(err)
		}
		if a, ok := s.Asset("db1"); !ok || a.Declared || a.Agent != e.Agent.ID {
			t.Errorf("asset %+v, %v", a, ok)
		}
		if _, ok := s.Asset("fw1"); ok {
			t.Error("a device that is declared no longer is still there")
		}
		if n := len(s.Assets()); n != 1 {
			t.Errorf("%d assets", n)
		}
	})
	t.Run("declared for another customer", func(t *testing.T) {
		other := Directory{Customers: []Customer{{ID: "beta", Sites: []Site{{ID: "main", Assets: []Asset{{Name: "db1"}}}}}}}
		if err := s.SetDirectory(other); err != nil {
			t.Fatal(err)
		}
		if a, _ := s.Asset("db1"); a.Customer != "acme" {
			t.Errorf("the directory moved an enrolled agent to %s", a.Customer)
		}
		if !strings.Contains(s.log.String(), "agent revoke db1") {
			t.Errorf("no warning: %s", s.log)
		}
		if _, err := s.Revoke(t.Context(), "db1", "ann"); err != nil {
			t.Fatal(err)
		}
		if a, _ := s.Asset("db1"); a.Customer != "beta" || a.Agent != "" {
			t.Errorf("after the revocation: %+v", a)
		}
	})
}

func TestViews(t *testing.T) {
	s := newSite(t)
	var names []string
	for _, a := range s.Assets() {
		names = append(names, a.Name+"@"+a.Customer+"/"+a.Site)
	}
	if want := []string{"beta-db@beta/main", "db1@acme/leeds", "fw1@acme/leeds"}; !slices.Equal(names, want) {
		t.Errorf("assets %v, want %v", names, want)
	}
	if c := s.Customers(); len(c) != 2 || c[0].ID != "acme" {
		t.Errorf("customers %v", c)
	}
	if _, ok := s.Site("acme", "york"); !ok {
		t.Error("no site")
	}
	if _, ok := s.Site("beta", "york"); ok {
		t.Error("a site of another customer")
	}
}

func TestAuthority(t *testing.T) {
	now := newClock().now()
	a, err := NewAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := a.PEM()
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseAuthority(certPEM, keyPEM)
	if err != nil || b.Fingerprint() != a.Fingerprint() || len(a.Fingerprint()) != 64 {
		t.Fatalf("read back: %v", err)
	}
	if !a.cert.IsCA || !a.cert.MaxPathLenZero || a.cert.NotAfter.Before(now.Add(authorityLife)) {
		t.Errorf("certificate %+v", a.cert)
	}
	other, err := NewAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	otherCert, _, err := other.PEM()
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2][]byte{
		"no certificate": {nil, keyPEM}, "no key": {certPEM, nil}, "key as certificate": {keyPEM, certPEM},
		"another's key": {otherCert, keyPEM},
	} {
		if _, err := ParseAuthority(pair[0], pair[1]); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// hasty is a keeper on which, between one start's look and its change, another start comes first.
type hasty struct {
	*memory
	before func()
}

func (h *hasty) UpdateFleet(ctx context.Context, decision string, fn func(Records) error) error {
	if first := h.before; first != nil {
		h.before = nil
		first()
	}
	return h.memory.UpdateFleet(ctx, decision, fn)
}

// TestAuthorityOnce: of two starts on one store one authority wins.
func TestAuthorityOnce(t *testing.T) {
	keeper := &hasty{memory: newMemory()}
	one, other := NewRegistry(keeper, Options{}), NewRegistry(keeper, Options{})
	keeper.before = func() {
		if err := other.Load(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := one.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if one.Fingerprint() == "" || one.Fingerprint() != other.Fingerprint() {
		t.Errorf("fingerprints %q and %q", one.Fingerprint(), other.Fingerprint())
	}
}

func TestServerCertificate(t *testing.T) {
	s := newSite(t)
	if _, err := NewRegistry(newMemory(), Options{}).ServerCertificate(nil); !errors.Is(err, errNotLoaded) {
		t.Errorf("before Load: %v", err)
	}
	cert, err := s.ServerCertificate(ServerNames("192.0.2.7:9721", "watch.example:9721", "fe80::1%eth0"))
	if err != nil {
		t.Fatal(err)
	}
	get := func() *tls.Certificate {
		c, err := cert.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := get()
	for _, name := range []string{"localhost", "127.0.0.1", "192.0.2.7", "watch.example", "fe80::1"} {
		if _, err := first.Leaf.Verify(x509.VerifyOptions{Roots: s.ClientCAs(), DNSName: name, CurrentTime: s.clock.now()}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(first.Certificate) != 2 {
		t.Error("the chain lacks the authority, which an enrolling agent needs")
	}
	s.clock.add(59 * 24 * time.Hour)
	if get() != first {
		t.Error("made anew too early")
	}
	s.clock.add(2 * 24 * time.Hour)
	if c := get(); c == first || c.Leaf.NotAfter.Before(s.clock.now().Add(leafLife)) {
		t.Error("not made anew when two thirds had passed")
	}
}

func TestServerNames(t *testing.T) {
	for _, listen := range []string{":9721", "0.0.0.0:9721", "[::]:9721"} {
		names := ServerNames(listen)
		if !slices.Contains(names, "127.0.0.1") || slices.Contains(names, "0.0.0.0") || slices.Contains(names, "::") {
			t.Errorf("%s: %v", listen, names)
		}
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && !slices.Contains(names, n.IP.String()) {
				t.Errorf("%s: lacks %v", listen, n.IP)
			}
		}
	}
	if names := ServerNames("Watch.Example:1"); !slices.Contains(names, "watch.example") {
		t.Errorf("names %v", names)
	}
}
