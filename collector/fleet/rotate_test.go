package fleet

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// serves is the certificate the listener shows, checked as an agent does that trusts these authorities.
func serves(t *testing.T, s *site, cert *ServerCertificate, authorities [][]byte) error {
	t.Helper()
	c, err := cert.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	for _, der := range authorities {
		a, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		pool.AddCert(a)
	}
	_, err = c.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "localhost", CurrentTime: s.clock.now()})
	return err
}

// admits is whether TLS and the registry let an agent's certificate in.
func (s *site) admits(c *x509.Certificate) error {
	_, err := c.Verify(x509.VerifyOptions{
		Roots: s.ClientCAs(), CurrentTime: s.clock.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return err
	}
	_, err = s.AuthenticateCert(c)
	return err
}

func (s *site) advance() {
	s.t.Helper()
	if err := s.AdvanceAuthorities(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// TestRotation follows two agents through a rotation, with a restart at every step: at each moment both are admitted and
// both trust what the listener shows.
func TestRotation(t *testing.T) {
	s := newSite(t)
	cert, err := s.ServerCertificate([]string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	type held struct {
		leaf   *x509.Certificate
		trusts [][]byte
	}
	agents := map[string]*held{}
	for _, name := range []string{"web1", "web2"} {
		e, leaf := s.mustEnrol("acme", "york", name)
		agents[name] = &held{leaf, e.Authorities}
	}
	whole := func(step string) {
		t.Helper()
		for name, a := range agents {
			if err := errors.Join(s.admits(a.leaf), serves(t, s, cert, a.trusts)); err != nil {
				t.Errorf("%s: %s: %v", step, name, err)
			}
		}
		s.restart()
		if cert, err = s.ServerCertificate([]string{"localhost"}); err != nil {
			t.Fatal(err)
		}
	}
	renew := func(name string) {
		t.Helper()
		s.clock.add(2 * time.Second)
		e, err := s.Renew(t.Context(), agents[name].leaf, csr(t, newKey(t)))
		if err != nil {
			t.Fatal(err)
		}
		agents[name] = &held{leafOf(t, e), e.Authorities}
	}
	s.advance() // nothing is due
	first := s.Authorities()[0]
	if len(s.Authorities()) != 1 || s.Outdated(agents["web1"].leaf) || !first.Listener || !first.Signs {
		t.Fatalf("before: %+v", s.Authorities())
	}
	whole("before")
	s.clock.add(time.Hour)
	made, err := s.RotateAuthority(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	if s.Fingerprint() != first.Fingerprint || !made.Signs || made.Listener || !s.Outdated(agents["web1"].leaf) {
		t.Errorf("after the rotation: listener %s, new %+v", s.Fingerprint(), made)
	}
	whole("rotated")
	renew("web1")
	if s.Outdated(agents["web1"].leaf) || !s.Outdated(agents["web2"].leaf) {
		t.Error("who has renewed is asked again, or who has not is not")
	}
	// The answer has been given but not seen in use: it may have been lost.
	if got := s.Authorities()[0].Agents; !slices.Equal(got, []string{"web1", "web2"}) {
		t.Errorf("in need of the older: %v", got)
	}
	whole("web1 renewed")
	whole("seen, but not noted before the restart")
	if err := s.admits(agents["web1"].leaf); err != nil {
		t.Fatal(err)
	}
	s.advance()
	s.restart()
	if err := s.RetireAuthority(t.Context(), first.Fingerprint, false, "ann"); err == nil || !strings.Contains(err.Error(), "1 agents have not come over yet (web2)") {
		t.Errorf("retired although web2 needs it: %v", err)
	}
	renew("web2")
	old := agents["web2"].leaf
	whole("web2 renewed")
	if err := s.admits(old); err != nil {
		t.Fatal(err)
	}
	s.advance() // notes web2, and nobody needs the older
	if all := s.Authorities(); len(all) != 1 || all[0].Fingerprint != made.Fingerprint || s.Fingerprint() != made.Fingerprint {
		t.Errorf("after all have come over: %+v", all)
	}
	whole("retired")
	// Both hold what was made under two authorities: they are asked once more, and trust only the newer after that.
	if !s.Outdated(old) {
		t.Error("web2 is not asked to forget the older")
	}
	renew("web2")
	if len(agents["web2"].trusts) != 1 || s.Outdated(agents["web2"].leaf) {
		t.Errorf("web2 trusts %d authorities", len(agents["web2"].trusts))
	}
	whole("renewed again")
}

// TestRetireByForce cuts off who has not come over, on open connections too.
func TestRetireByForce(t *testing.T) {
	s := newSite(t)
	_, leaf := s.mustEnrol("acme", "york", "web1")
	open := s.token("acme", "york", "web2")
	wantRefusal(t, s.RetireAuthority(t.Context(), s.Fingerprint(), true, "ann"), ErrInvalid, "only one authority")
	first := s.Fingerprint()
	for range maxAuthorities - 1 {
		if _, err := s.RotateAuthority(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.RotateAuthority(t.Context(), "ann")
	wantRefusal(t, err, ErrInvalid, "3 authorities are in force already", "watchbill ca list")
	for name, given := range map[string]string{
		"too short": first[:7], "not the oldest": s.Authorities()[1].Fingerprint, "nothing": "",
	} {
		wantRefusal(t, s.RetireAuthority(t.Context(), given, true, name), ErrNotFound, first)
	}
	wantRefusal(t, s.RetireAuthority(t.Context(), first[:8], false, "ann"), ErrInvalid, "web1", "1 enrolment tokens", "--force")
	if err := s.RetireAuthority(t.Context(), strings.ToUpper(first[:8]), true, "ann"); err != nil {
		t.Fatal(err)
	}
	_, err = s.AuthenticateCert(leaf)
	wantRefusal(t, err, ErrCertificate, "was retired", "watchbill token create")
	if s.admits(leaf) == nil {
		t.Error("the handshake still lets it in")
	}
	if _, err := s.enrol(open, "web2"); err != nil { // the agent itself would refuse the collector, whose token it was not
		t.Error(err)
	}
}

// TestRotationByItself: an authority near its end gets a successor, and goes when its time is over.
func TestRotationByItself(t *testing.T) {
	s := newSite(t)
	first := s.Fingerprint()
	s.clock.add(authorityLife - rotateBefore - time.Hour)
	_, leaf := s.mustEnrol("acme", "york", "web1")
	s.advance()
	if n := len(s.Authorities()); n != 1 {
		t.Fatalf("%d authorities", n)
	}
	s.clock.add(2 * time.Hour)
	s.advance()
	if n := len(s.Authorities()); n != 2 || s.Fingerprint() != first {
		t.Fatalf("%d authorities two years before the end", n)
	}
	s.advance()
	if n := len(s.Authorities()); n != 2 {
		t.Fatalf("%d authorities: web1 has not come over", n)
	}
	s.clock.add(leafLife) // web1 never came back: its certificate is over, and with it its claim
	s.advance()
	if all := s.Authorities(); len(all) != 1 || all[0].Fingerprint == first {
		t.Errorf("%+v", all)
	}
	if s.admits(leaf) == nil {
		t.Error("an expired certificate is let in")
	}
}

// TestOpenTokenHoldsAuthority: a token that names the older authority keeps it until it is used or over, but not past
// the authority's own end.
func TestOpenTokenHoldsAuthority(t *testing.T) {
	s := newSite(t)
	s.token("acme", "york", "web1")
	if _, err := s.RotateAuthority(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	s.advance()
	if n := len(s.Authorities()); n != 2 {
		t.Fatalf("%d authorities: a token out there names the older", n)
	}
	s.clock.add(defaultTTL)
	s.advance()
	if n := len(s.Authorities()); n != 1 {
		t.Errorf("%d authorities", n)
	}
}

// TestRotationFails: a change that the keeper does not take changes nothing here, and one it took all the same is seen.
func TestRotationFails(t *testing.T) {
	s := newSite(t)
	s.keeper.failBefore = true
	if _, err := s.RotateAuthority(t.Context(), "ann"); !errors.Is(err, errKeeper) || len(s.Authorities()) != 1 {
		t.Errorf("%v, %d authorities", err, len(s.Authorities()))
	}
	s.keeper.failAfter = true
	if _, err := s.RotateAuthority(t.Context(), "ann"); !errors.Is(err, errKeeper) || len(s.Authorities()) != 2 {
		t.Errorf("%v, %d authorities", err, len(s.Authorities()))
	}
}

// TestParseTrustDamaged: what cannot be read is said, never guessed.
func TestParseTrustDamaged(t *testing.T) {
	a, b := mustAuthority(t), mustAuthority(t)
	cert, key, err := newTrust([]*Authority{a, b}, time.Unix(1_800_000_000, 0)).encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseTrust(cert, key)
	if err != nil || len(got.authorities) != 2 || got.changed.Unix() != 1_800_000_000 || got.signer().Fingerprint() != b.Fingerprint() {
		t.Fatalf("%+v %v", got, err)
	}
	oneKey := key[:len(key)/2+1]
	for name, c := range map[string]struct{ cert, key []byte }{
		"nothing": {nil, nil}, "a key is missing": {cert, oneKey}, "keys swapped": {cert, append(slices.Clone(key[len(key)/2:]), key[:len(key)/2]...)},
		"time": {[]byte(strings.Replace(string(cert), "2027-", "last-", 1)), key}, "rubbish behind": {append(slices.Clone(cert), "xx"...), key},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseTrust(c.cert, c.key); err == nil {
				t.Error("read")
			}
		})
	}
}

func mustAuthority(t *testing.T) *Authority {
	t.Helper()
	a, err := NewAuthority(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return a
}
