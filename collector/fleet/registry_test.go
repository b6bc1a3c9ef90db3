package fleet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clock is a time that stands until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// site is a loaded registry with two customers.
type site struct {
	*Registry
	t      *testing.T
	clock  *clock
	keeper *memory
	log    *bytes.Buffer
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, clock: newClock(), keeper: newMemory(), log: &bytes.Buffer{}}
	s.restart()
	return s
}

func directory() Directory {
	return Directory{Customers: []Customer{
		{ID: "acme", Name: "Acme", Department: "retail", Sites: []Site{
			{ID: "leeds", Assets: []Asset{{Name: "db1", Role: "orders", Users: 40}, {Name: "fw1", Kind: Device}}},
			{ID: "york"},
		}},
		{ID: "beta", Sites: []Site{{ID: "main", Assets: []Asset{{Name: "beta-db"}}}}},
	}}
}

// restart makes a new registry from what the keeper holds.
func (s *site) restart() {
	s.t.Helper()
	s.Registry = NewRegistry(s.keeper, Options{
		Now: s.clock.now, Logger: slog.New(slog.NewTextHandler(s.log, nil)), AgentAddress: "watch.example:9721",
	})
	if err := s.Load(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if err := s.SetDirectory(directory()); err != nil {
		s.t.Fatal(err)
	}
}

// token makes one and returns its secret.
func (s *site) token(customer, site, asset string) string {
	s.t.Helper()
	_, text, err := s.CreateToken(s.t.Context(), TokenRequest{Customer: customer, Site: site, Asset: asset, By: "ann"})
	if err != nil {
		s.t.Fatal(err)
	}
	return secretOf(s.t, text)
}

func secretOf(t *testing.T, text string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, "wb1."))
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]string
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v["s"]
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func csr(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "somebody-else"}, DNSNames: []string{"somebody.else"},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (s *site) enrol(secret, hostname string) (Enrolment, error) {
	s.t.Helper()
	return s.Enrol(s.t.Context(), Request{Token: secret, CSR: csr(s.t, newKey(s.t)), Hostname: hostname})
}

func (s *site) mustEnrol(customer, site, asset string) (Enrolment, *x509.Certificate) {
	s.t.Helper()
	e, err := s.enrol(s.token(customer, site, asset), "host.example")
	if err != nil {
		s.t.Fatal(err)
	}
	return e, leafOf(s.t, e)
}

func leafOf(t *testing.T, e Enrolment) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(e.Certificates[0])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantRefusal checks the kind, that the text says what to do, and that it says nothing of other customers.
func wantRefusal(t *testing.T, err, kind error, texts ...string) {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || !errors.Is(err, kind) {
		t.Fatalf("error %v, want a refusal of kind %v", err, kind)
	}
	for _, want := range texts {
		if !strings.Contains(r.Text, want) {
			t.Errorf("refusal lacks %q: %s", want, r.Text)
		}
	}
}

func TestEnrolGivesIdentity(t *testing.T) {
	s := newSite(t)
	key := newKey(t)
	e, err := s.Enrol(t.Context(), Request{Token: s.token("acme", "york", ""), CSR: csr(t, key), Hostname: "WEB7"})
	if err != nil {
		t.Fatal(err)
	}
	if e.Agent.Asset != "web7" || e.Agent.Customer != "acme" || e.Agent.Site != "york" {
		t.Errorf("agent %+v", e.Agent)
	}
	leaf := leafOf(t, e)
	if want := "watchbill:agent/" + e.Agent.ID; leaf.URIs[0].String() != want {
		t.Errorf("URI %s, want %s", leaf.URIs[0], want)
	}
	if len(leaf.DNSNames) != 0 || leaf.Subject.CommonName != e.Agent.ID {
		t.Errorf("the certificate took more than the key from the request: %v %v", leaf.Subject, leaf.DNSNames)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		t.Error("the certificate is for another key")
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: s.ClientCAs(), CurrentTime: s.clock.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		t.Error(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: s.ClientCAs(), CurrentTime: s.clock.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}); err == nil {
		t.Error("an agent's certificate must not do for a server")
	}
	if got := leaf.NotAfter.Sub(s.clock.now()); got != leafLife {
		t.Errorf("good for %v", got)
	}
	if got := e.RenewAt.Sub(s.clock.now()); got != 60*24*time.Hour {
		t.Errorf("renewed after %v", got)
	}
	if n := leaf.SerialNumber.BitLen(); n != 128 {
		t.Errorf("serial of %d bits", n)
	}
	s.restart()
	a, err := s.AuthenticateCert(leaf)
	if err != nil || a.ID != e.Agent.ID {
		t.Errorf("after a restart: %+v, %v", a, err)
	}
	if got, ok := s.Asset("web7"); !ok || got.Declared || got.Agent != e.Agent.ID || got.Kind != Host {
		t.Errorf("asset %+v, %v", got, ok)
	}
}

func TestEnrolRefusals(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		do    func(*site) error
		kind  error
		texts []string
	}{
		{"unknown token", func(s *site) error { _, err := s.enrol("abc.def", "h"); return err },
			ErrTokenUnknown, []string{"not known", "watchbill token create"}},
		{"empty token", func(s *site) error { _, err := s.enrol("", "h"); return err }, ErrTokenUnknown, nil},
		{"right id, wrong secret", func(s *site) error {
			_, err := s.enrol(tokenID(s.token("acme", "york", ""))+".guess", "h")
			return err
		}, ErrTokenUnknown, nil},
		{"expired token", func(s *site) error {
			secret := s.token("acme", "york", "")
			s.clock.add(24 * time.Hour)
			_, err := s.enrol(secret, "h")
			return err
		}, ErrTokenExpired, []string{"expired on 2026-11-22T09:00:00Z", "watchbill token create"}},
		{"replayed token", func(s *site) error {
			secret := s.token("acme", "york", "")
			if _, err := s.enrol(secret, "h"); err != nil {
				return err
			}
			s.clock.add(time.Minute)
			_, err := s.enrol(secret, "h2")
			return err
		}, ErrTokenUsed, []string{"already used on 2026-11-21T09:00:00Z", "watchbill token create", "agent list"}},
		{"replayed after restart", func(s *site) error {
			secret := s.token("acme", "york", "")
			if _, err := s.enrol(secret, "h"); err != nil {
				return err
			}
			s.restart()
			_, err := s.enrol(secret, "h2")
			return err
		}, ErrTokenUsed, nil},
		{"name with an active agent", func(s *site) error {
			other := s.token("acme", "york", "")
			s.mustEnrol("acme", "york", "web1")
			_, err := s.enrol(other, "web1")
			return err
		}, ErrTaken, []string{"already enrolled", "watchbill agent revoke web1"}},
		{"name of another customer", func(s *site) error {
			_, err := s.enrol(s.token("acme", "york", ""), "beta-db")
			return err
		}, ErrTaken, []string{"unique in the whole fleet", "--asset NAME"}},
		{"name declared at another site", func(s *site) error {
			_, err := s.enrol(s.token("acme", "york", ""), "db1")
			return err
		}, ErrTaken, []string{"declare it under its new site"}},
		{"name of another customer's revoked agent", func(s *site) error {
			s.mustEnrol("beta", "main", "old")
			if _, err := s.Revoke(s.t.Context(), "old", "ann"); err != nil {
				return err
			}
			_, err := s.enrol(s.token("acme", "york", ""), "old")
			return err
		}, ErrTaken, nil},
		{"name of a device", func(s *site) error {
			_, err := s.enrol(s.token("acme", "leeds", ""), "fw1")
			return err
		}, ErrTaken, []string{"declared as a device"}},
		{"host without a name", func(s *site) error { _, err := s.enrol(s.token("acme", "york", ""), "***"); return err },
			ErrInvalid, []string{"token create --asset NAME"}},
		{"customer gone from the directory", func(s *site) error {
			secret := s.token("acme", "york", "")
			if err := s.SetDirectory(Directory{}); err != nil {
				return err
			}
			_, err := s.enrol(secret, "h")
			return err
		}, ErrNotFound, []string{`customer "acme" is not declared`, "fleet directory"}},
		{"no certificate request", func(s *site) error {
			_, err := s.Enrol(s.t.Context(), Request{Token: s.token("acme", "york", ""), CSR: []byte("x"), Hostname: "h"})
			return err
		}, ErrInvalid, []string{"cannot be read"}},
		{"RSA key", func(s *site) error {
			_, err := s.Enrol(s.t.Context(), Request{Token: s.token("acme", "york", ""), CSR: csr(s.t, rsaKey), Hostname: "h"})
			return err
		}, ErrInvalid, []string{"expected ECDSA or Ed25519"}},
		{"request with a broken signature", func(s *site) error {
			der := csr(s.t, newKey(s.t))
			der[len(der)-1] ^= 1
			_, err := s.Enrol(s.t.Context(), Request{Token: s.token("acme", "york", ""), CSR: der, Hostname: "h"})
			return err
		}, ErrInvalid, []string{"not signed by its own key"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			err := test.do(s)
			wantRefusal(t, err, test.kind, test.texts...)
			for _, secret := range []string{"beta/", `"beta"`, "customer beta"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the refusal tells of another customer: %v", err)
				}
			}
		})
	}
}

// TestEnrolTakesOver: who may have a name that is already there.
func TestEnrolTakesOver(t *testing.T) {
	tests := []struct {
		name   string
		before func(*site)
		asset  string
	}{
		{"declared only", func(*site) {}, "db1"},
		{"revoked", func(s *site) {
			s.mustEnrol("acme", "leeds", "db1")
			if _, err := s.Revoke(s.t.Context(), "db1", "ann"); err != nil {
				s.t.Fatal(err)
			}
		}, "db1"},
		{"certificate expired", func(s *site) {
			s.mustEnrol("acme", "leeds", "db1")
			s.clock.add(leafLife + time.Second)
		}, "db1"},
		{"revoked and undeclared", func(s *site) {
			s.mustEnrol("acme", "leeds", "web9")
			if _, err := s.Revoke(s.t.Context(), "web9", "ann"); err != nil {
				s.t.Fatal(err)
			}
			if _, ok := s.Asset("web9"); ok {
				s.t.Error("nobody declares it and nobody reports for it: it is not watched")
			}
		}, "web9"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			test.before(s)
			e, leaf := s.mustEnrol("acme", "leeds", test.asset)
			for range 2 {
				if a, err := s.AuthenticateCert(leaf); err != nil || a.ID != e.Agent.ID {
					t.Fatalf("agent %+v, %v", a, err)
				}
				if a, _ := s.Asset(test.asset); a.Agent != e.Agent.ID {
					t.Errorf("asset %+v", a)
				}
				active := 0
				for _, a := range s.Agents() {
					if a.Asset == test.asset && a.RevokedAt.IsZero() {
						active++
					}
				}
				if active != 1 {
					t.Errorf("%d agents speak for %s", active, test.asset)
				}
				s.restart()
			}
		})
	}
}

// TestEnrolAgain: the answer to an enrolment got lost, or the commit was not certain; the same token and key ask again.
func TestEnrolAgain(t *testing.T) {
	s := newSite(t)
	q := Request{Token: s.token("acme", "york", ""), CSR: csr(t, newKey(t)), Hostname: "web1"}
	s.keeper.failBefore = true
	if _, err := s.Enrol(t.Context(), q); !errors.Is(err, errKeeper) {
		t.Fatalf("error %v", err)
	}
	first, err := s.Enrol(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	s.clock.add(time.Hour)
	again, err := s.Enrol(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if first.Agent.ID != again.Agent.ID {
		t.Errorf("two agents came of one token")
	}
	for _, e := range []Enrolment{first, again} {
		if _, err := s.AuthenticateCert(leafOf(t, e)); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Revoke(t.Context(), "web1", "ann"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Enrol(t.Context(), q)
	wantRefusal(t, err, ErrRevoked)
}

// TestEnrolUncertainCommit: the keeper committed and then failed. After a restart the same request finds what it did.
func TestEnrolUncertainCommit(t *testing.T) {
	s := newSite(t)
	q := Request{Token: s.token("acme", "york", ""), CSR: csr(t, newKey(t)), Hostname: "web1"}
	s.keeper.failAfter = true
	if _, err := s.Enrol(t.Context(), q); !errors.Is(err, errKeeper) {
		t.Fatalf("error %v", err)
	}
	e, err := s.Enrol(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.Agents()); n != 1 || s.Agents()[0].ID != e.Agent.ID {
		t.Errorf("%d agents", n)
	}
}

// TestEnrolRace: many hosts with one token, and many tokens for one name: one wins.
func TestEnrolRace(t *testing.T) {
	s := newSite(t)
	one := s.token("acme", "york", "")
	for name, secret := range map[string]func() string{
		"one token": func() string { return one },
		"one name":  func() string { return s.token("acme", "leeds", "") },
	} {
		t.Run(name, func(t *testing.T) {
			const n = 16
			errs := make(chan error, n)
			for i := range n {
				host := "db1"
				if name == "one token" {
					host = fmt.Sprintf("h%d", i)
				}
				q := Request{Token: secret(), CSR: csr(t, newKey(t)), Hostname: host}
				go func() { _, err := s.Enrol(context.Background(), q); errs <- err }()
			}
			won := 0
			for range n {
				switch err := <-errs; {
				case err == nil:
					won++
				case !errors.Is(err, ErrTokenUsed) && !errors.Is(err, ErrTaken):
					t.Error(err)
				}
			}
			if won != 1 {
				t.Errorf("%d enrolled", won)
			}
		})
	}
}

func TestCreateToken(t *testing.T) {
	s := newSite(t)
	tok, text, err := s.CreateToken(t.Context(), TokenRequest{Customer: "acme", Site: "york", By: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, "wb1."))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "watch.example:9721", "f": s.Fingerprint(), "i": tok.ID, "s": got["s"]}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("token (-want +got):\n%s", diff)
	}
	if tok.ExpiresAt.Sub(tok.CreatedAt) != 24*time.Hour || tok.CreatedBy != "ann" {
		t.Errorf("token %+v", tok)
	}
	for _, kept := range s.Tokens() {
		if strings.Contains(fmt.Sprintf("%+v", kept), got["s"]) {
			t.Error("the secret is kept")
		}
	}
	if err := s.RemoveToken(t.Context(), tok.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.enrol(got["s"], "h")
	wantRefusal(t, err, ErrTokenUnknown)
	wantRefusal(t, s.RemoveToken(t.Context(), tok.ID), ErrNotFound, "watchbill token list")
}

func TestCreateTokenRefusals(t *testing.T) {
	tests := []struct {
		name string
		q    TokenRequest
		kind error
		text string
	}{
		{"unknown customer", TokenRequest{Customer: "acmee", Site: "york"}, ErrNotFound, `"acmee" is not declared (declared: acme, beta)`},
		{"unknown site", TokenRequest{Customer: "acme", Site: "hull"}, ErrNotFound, `"hull" of customer "acme" is not declared (declared: leeds, york)`},
		{"bad name", TokenRequest{Customer: "acme", Site: "york", Asset: "Web 1"}, ErrInvalid, `"web-1" would do`},
		{"taken name", TokenRequest{Customer: "acme", Site: "york", Asset: "beta-db"}, ErrTaken, "unique"},
		{"too long", TokenRequest{Customer: "acme", Site: "york", TTL: 31 * 24 * time.Hour}, ErrInvalid, "between 1m0s and 720h0m0s"},
		{"too short", TokenRequest{Customer: "acme", Site: "york", TTL: time.Second}, ErrInvalid, "between"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := newSite(t).CreateToken(t.Context(), test.q)
			wantRefusal(t, err, test.kind, test.text)
		})
	}
	t.Run("name with an active agent", func(t *testing.T) {
		s := newSite(t)
		s.mustEnrol("acme", "york", "web1")
		_, _, err := s.CreateToken(t.Context(), TokenRequest{Customer: "acme", Site: "york", Asset: "web1"})
		wantRefusal(t, err, ErrTaken, "watchbill agent revoke web1")
	})
	t.Run("no address", func(t *testing.T) {
		s := newSite(t)
		s.address = ""
		_, _, err := s.CreateToken(t.Context(), TokenRequest{Customer: "acme", Site: "york"})
		wantRefusal(t, err, ErrInvalid, "agent.external_address")
	})
	t.Run("not loaded", func(t *testing.T) {
		g := NewRegistry(newMemory(), Options{AgentAddress: "x:1"})
		if err := g.SetDirectory(directory()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := g.CreateToken(t.Context(), TokenRequest{Customer: "acme", Site: "york"}); !errors.Is(err, errNotLoaded) {
			t.Errorf("error %v", err)
		}
	})
}

// TestOldTokensGo: tokens do not pile up.
func TestOldTokensGo(t *testing.T) {
	s := newSite(t)
	s.token("acme", "york", "")
	s.clock.add(maxTTL + forgetTokens + time.Hour)
	s.token("acme", "york", "")
	if n := len(s.Tokens()); n != 1 {
		t.Errorf("%d tokens", n)
	}
	s.restart()
	if n := len(s.Tokens()); n != 1 {
		t.Errorf("%d tokens after a restart", n)
	}
}
