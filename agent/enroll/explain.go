package enroll

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

var (
	// ErrWrongCollector is wrapped when who answered is not the collector the agent was told to trust.
	ErrWrongCollector = errors.New("not the collector this agent was told to trust")
	// ErrClock is wrapped when a certificate is not valid by this host's clock.
	ErrClock = errors.New("certificate is not valid by this host's clock")
	// ErrUnreachable is wrapped when nobody answered.
	ErrUnreachable = errors.New("collector cannot be reached")
	// ErrUnwelcome is wrapped when the collector does not accept this agent's certificate.
	ErrUnwelcome = errors.New("the collector does not accept this agent's certificate")
)

// Explain puts in front of a transport's error what it means for an agent and what to do. The error itself stays
// wrapped; one that needs no explanation, or has one, is returned as it is.
func Explain(err error, collector string, now time.Time) error {
	var (
		invalid   x509.CertificateInvalidError
		hostname  x509.HostnameError
		authority x509.UnknownAuthorityError
		remote    *net.OpError
		dns       *net.DNSError
	)
	switch {
	case err == nil, explained(err):
		return err
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return explainClock(err, invalid.Cert, collector, now)
	case errors.As(err, &hostname):
		return fmt.Errorf("%w: %s shows a certificate for other names (%w): make a token with an address that is in it, or add this one to the collector's external names", ErrWrongCollector, collector, err)
	case errors.As(err, &authority):
		return fmt.Errorf("%w: who answers at %s is vouched for by another authority (%w): if the collector was set up anew, enrol again with a new token and --replace; otherwise something stands between, such as a proxy that opens TLS",
			ErrWrongCollector, collector, err)
	case errors.As(err, &remote) && remote.Op == "remote error":
		return fmt.Errorf("%w: %s ended the handshake (%w): if this agent was revoked or its certificate expired, enrol again with a new token and --replace", ErrUnwelcome, collector, err)
	case errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w: %s closed the connection (%w): it may be letting in others first, or something on the way cuts it; trying again", ErrUnreachable, collector, err)
	case errors.As(err, &dns):
		return fmt.Errorf("%w: the name in %s does not resolve (%w): check name resolution on this host or use an address", ErrUnreachable, collector, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nothing listens at %s (%w): check that the collector runs and that this is its agents' listener", ErrUnreachable, collector, err)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %s did not answer in time (%w): check firewalls and proxies on the way", ErrUnreachable, collector, err)
	}
	return err
}

func explained(err error) bool {
	return errors.Is(err, ErrWrongCollector) || errors.Is(err, ErrClock) || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrUnwelcome) || errors.Is(err, ErrProxy)
}

// explainClock says by how much a certificate's validity is missed; which of the two is wrong a person must decide.
func explainClock(err error, c *x509.Certificate, collector string, now time.Time) error {
	if now.Before(c.NotBefore) {
		return fmt.Errorf("%w: the certificate at %s is valid from %s, %s after this host's time %s (%w): set this host's clock",
			ErrClock, collector, stamp(c.NotBefore), roundly(c.NotBefore.Sub(now)), stamp(now), err)
	}
	return fmt.Errorf("%w: the certificate at %s ended %s, %s before this host's time %s (%w): set the clock of whichever is wrong; if both are right, the certificate was not renewed in time",
		ErrClock, collector, stamp(c.NotAfter), roundly(now.Sub(c.NotAfter)), stamp(now), err)
}

// roundly is d as precisely as a person needs it.
func roundly(d time.Duration) time.Duration {
	if d > 10*time.Minute {
		return d.Round(time.Minute)
	}
	return d.Round(time.Second)
}

// wrongCollector names the authority that was shown, so that two fingerprints can be compared.
func wrongCollector(collector string, shown []*x509.Certificate) error {
	sum := sha256.Sum256(shown[len(shown)-1].Raw)
	return fmt.Errorf("%w: the collector at %s is not the one the token was made for (the last certificate it shows has fingerprint %s): check the address, or whether a proxy opens TLS on the way; a collector set up anew needs a new token",
		ErrWrongCollector, collector, hex.EncodeToString(sum[:]))
}

// Certificate reports whether err is about trust, on either side, and not about the line: trying again soon is useless.
func Certificate(err error) bool {
	var verification *tls.CertificateVerificationError
	return errors.Is(err, ErrWrongCollector) || errors.Is(err, ErrClock) || errors.Is(err, ErrUnwelcome) || errors.As(err, &verification)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
