package enroll

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// transport speaks HTTP/1.1 over one kept-alive connection (DESIGN D12), through proxy if there is one.
// Certificates are judged by now; time.Now when nil.
func transport(c *tls.Config, proxy *Proxy, now func() time.Time) *http.Transport {
	c.Time = now
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  proxy.forRequest,
		OnProxyConnectResponse: proxyAnswered,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        c,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        5 * time.Minute,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
}

// pin verifies a collector that is known only by its authority's fingerprint.
type pin struct {
	token Token
	now   func() time.Time
	// authority is the pinned certificate, once the collector has shown it.
	authority *x509.Certificate
}

func (p *pin) tls() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// No root store knows the authority: verify, on every handshake, does what is switched off here and more.
		InsecureSkipVerify: true,
		VerifyConnection:   p.verify,
	}
}

// verify accepts a connection whose chain holds the pinned authority and whose leaf that authority vouches for, now and
// under the name or address in the token.
func (p *pin) verify(s tls.ConnectionState) error {
	middle := x509.NewCertPool()
	var authority *x509.Certificate
	for _, c := range s.PeerCertificates {
		sum := sha256.Sum256(c.Raw)
		if strings.EqualFold(hex.EncodeToString(sum[:]), p.token.Fingerprint) {
			authority = c
			continue
		}
		middle.AddCert(c)
	}
	if authority == nil {
		return wrongCollector(p.token.Address, s.PeerCertificates)
	}
	host, _, err := net.SplitHostPort(p.token.Address)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	now := p.now()
	if _, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: middle, DNSName: host, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}); err != nil {
		return Explain(err, p.token.Address, now)
	}
	p.authority = authority
	return nil
}

// ask posts one Enrol and reads its answer. A refusal wraps ErrRefused with the collector's words; errors of the line
// are explained.
func ask(ctx context.Context, via http.RoundTripper, collector, path string, key *ecdsa.PrivateKey, e *wire.Enrol, now func() time.Time) (*wire.Enrolled, error) {
	csr, err := request(key)
	if err != nil {
		return nil, err
	}
	e.Csr = csr
	body, coding, err := wire.Encode(e)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+collector+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("collector address %q: %w", collector, err)
	}
	req.Header.Set(wire.HeaderType, wire.TypeEnrol)
	req.Header.Set(wire.HeaderAccept, wire.TypeEnrol)
	if coding != "" {
		req.Header.Set(wire.HeaderCoding, coding)
	}
	resp, err := via.RoundTrip(req)
	if err != nil {
		return nil, Explain(err, collector, now())
	}
	defer resp.Body.Close()
	answer, err := readEnrolled(resp, collector)
	if err != nil && ctx.Err() != nil {
		// A server may still answer the request that its client has just given up. What came of it is no refusal.
		return nil, Explain(ctx.Err(), collector, now())
	}
	return answer, err
}

func readEnrolled(resp *http.Response, collector string) (*wire.Enrolled, error) {
	if !strings.HasPrefix(resp.Header.Get(wire.HeaderType), wire.TypeEnrol) {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 400)) // for the message only
		return nil, fmt.Errorf("%w: %s answered %s %q, not as a collector of this version does: check that the address is its agents' listener and compare the versions of agent and collector",
			ErrRefused, collector, resp.Status, strings.TrimSpace(string(text)))
	}
	var a wire.Enrolled
	if err := wire.Decode(resp.Body, resp.Header.Get(wire.HeaderCoding), wire.DefaultLimits(), &a); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", collector, err)
	}
	switch {
	case a.Error != "":
		return nil, fmt.Errorf("%w: %q", ErrRefused, a.Error)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: %s answered %s without a reason: look into the collector's log", ErrRefused, collector, resp.Status)
	}
	return &a, nil
}
