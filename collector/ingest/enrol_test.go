package ingest

import (
	"bytes"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

func TestEnrolmentQuotas(t *testing.T) {
	w := newWorld(t, nil)
	c := w.enrol("acme", "leeds", "web1")
	t.Run("renewals", func(t *testing.T) {
		for n := range DefaultQuotas().Agent.RenewalsPerHour + 1 {
			_, der := newCSR(t)
			e, status := c.enrolment(wire.PathRenew, &wire.Enrol{Csr: der})
			if refused := n == DefaultQuotas().Agent.RenewalsPerHour; refused != (status == 429) || refused != strings.Contains(e.Error, "quotas.agent.renewals_per_hour") {
				t.Fatalf("renewal %d: %d %v", n, status, e.Error)
			}
		}
	})
	t.Run("enrolments", func(t *testing.T) {
		secret := w.secret("acme", "leeds", "web2")
		for n := range enrolsAtOnce + 1 {
			e, status := w.stranger().enrolment(wire.PathEnrol, &wire.Enrol{Token: secret})
			if (n == enrolsAtOnce) != (status == 429) {
				t.Fatalf("enrolment %d: %d %s", n, status, e.Error)
			}
		}
	})
}

// TestGuessingKeepsNobodyOut: unknown tokens count for the address they come from and for nobody else, not even for
// others behind it who have one.
func TestGuessingKeepsNobodyOut(t *testing.T) {
	w := newWorld(t, nil)
	enrol := func(from, token string) int {
		t.Helper()
		_, csr := newCSR(t)
		body, coding, err := wire.Encode(&wire.Enrol{Token: token, Csr: csr})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequest(http.MethodPost, wire.PathEnrol, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = from
		r.Header.Set(wire.HeaderType, wire.TypeEnrol)
		r.Header.Set(wire.HeaderCoding, coding)
		answer := &discard{status: http.StatusOK}
		w.ingest.Handler().ServeHTTP(answer, r)
		return answer.status
	}
	open := w.secret("acme", "leeds", "web9")
	for n := range 2 * enrolsAtOnce {
		want := 403
		if n >= guessesAtOnce {
			want = 429
		}
		token := []string{"guess", open[:len(open)-1] + "?"}[n%2]
		if status := enrol("192.0.2.1:4711", token); status != want {
			t.Fatalf("guess %d: %d, want %d", n, status, want)
		}
	}
	if status := enrol("[2001:db8::1]:4711", "guess"); status != 403 {
		t.Errorf("a guess from elsewhere: %d", status)
	}
	for _, from := range []string{"192.0.2.1:4712", "192.0.2.2:4711"} {
		if status := enrol(from, w.secret("acme", "leeds", "")); status != 400 { // it says no name
			t.Errorf("who has a token, from %s: %d", from, status)
		}
	}
	w.clock.add(time.Minute)
	if status := enrol("192.0.2.1:4711", "guess"); status != 403 {
		t.Errorf("a minute later: %d", status)
	}
	// What is remembered is bounded, and who has been quiet is forgotten.
	for n := range maxAddresses + 100 {
		enrols := w.ingest.enrols
		enrols.guess(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), w.clock.now())
		if n := len(enrols.guesses); n > maxAddresses {
			t.Fatalf("%d addresses are remembered", n)
		}
	}
	w.clock.add(time.Minute)
	if !w.ingest.enrols.guess(netip.MustParseAddr("192.0.2.77"), w.clock.now()) || len(w.ingest.enrols.guesses) != 1 {
		t.Errorf("%d addresses are remembered a minute later", len(w.ingest.enrols.guesses))
	}
}
