package fleet

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"time"
)

// Lifetimes of certificates.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 90 * 24 * time.Hour
	// leafRenew is when a leaf is renewed: two thirds of its life, so that a month of outage costs no identity.
	leafRenew = leafLife * 2 / 3
	// backdate is how far before its making a certificate is already valid. An agent whose clock is up to a day slow
	// can so reach the collector and learn the right time from it.
	backdate = 24 * time.Hour
)

// agentScheme and agentPath make the URI that names an agent in its certificate: watchbill:agent/ID.
const (
	agentScheme = "watchbill"
	agentPath   = "agent/"
)

// Authority is the small CA that gives agents and the agents' listener their certificates: ECDSA P-256, 10 years, no
// further CA below it.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	// fingerprint is the SHA-256 of the certificate, hexadecimal.
	fingerprint string
}

// NewAuthority makes a key and a self-signed certificate that are valid for ten years from now.
func NewAuthority(now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority's key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Watchbill authority " + serial.Text(16)[:8]},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make authority's certificate: %w", err)
	}
	return newAuthority(der, key)
}

// ParseAuthority reads what PEM wrote and checks that key and certificate belong together.
func ParseAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, fmt.Errorf("authority's certificate in the store: not PEM: restore the store from a backup")
	}
	keyBlock, _ := pem.Decode(keyPEM)
	if keyBlock == nil {
		return nil, fmt.Errorf("authority's key in the store: not PEM: restore the store from a backup")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("authority's key in the store: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("authority's key in the store: %T, expected an ECDSA key", parsed)
	}
	a, err := newAuthority(block.Bytes, key)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(a.cert.PublicKey) {
		return nil, fmt.Errorf("authority in the store: key and certificate do not belong together: restore the store " +
			"from a backup")
	}
	return a, nil
}

func newAuthority(der []byte, key crypto.Signer) (*Authority, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("authority's certificate: %w", err)
	}
	sum := sha256.Sum256(cert.Raw)
	return &Authority{cert: cert, key: key, fingerprint: hex.EncodeToString(sum[:])}, nil
}

// PEM is the certificate and the private key (PKCS#8) for the store.
func (a *Authority) PEM() (certPEM, keyPEM []byte, err error) {
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode authority's key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), nil
}

// Fingerprint is the SHA-256 of the certificate's DER in lower-case hexadecimal, by which an enrolling agent knows it.
func (a *Authority) Fingerprint() string { return a.fingerprint }

// DER is the authority's certificate.
func (a *Authority) DER() []byte { return bytes.Clone(a.cert.Raw) }

// agentLeaf signs a client certificate that says "agent id" and nothing else.
func (a *Authority) agentLeaf(id string, public crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
	return a.leaf(&x509.Certificate{
		Subject:     pkix.Name{CommonName: id},
		URIs:        []*url.URL{{Scheme: agentScheme, Opaque: agentPath + id}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, public, now)
}

// serverLeaf signs a certificate for the agents' listener under the names and addresses agents may call it by.
func (a *Authority) serverLeaf(names []string, public crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
	t := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "Watchbill collector"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	return a.leaf(t, public, now)
}

func (a *Authority) leaf(t *x509.Certificate, public crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	t.SerialNumber = serial
	t.NotBefore = now.Add(-backdate)
	t.NotAfter = now.Add(leafLife)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// newSerial is 128 random bits, positive, never zero.
func newSerial() (*big.Int, error) {
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	raw[0] |= 0x80 // so that the text is always as long
	return new(big.Int).SetBytes(raw), nil
}

// serialText is how serials stand in Agent.Serials.
func serialText(c *x509.Certificate) string { return c.SerialNumber.Text(16) }

// agentID reads the agent's ID from its certificate; false when the certificate is not an agent's.
func agentID(c *x509.Certificate) (string, bool) {
	if len(c.URIs) != 1 || c.URIs[0].Scheme != agentScheme {
		return "", false
	}
	id, ok := strings.CutPrefix(c.URIs[0].Opaque, agentPath)
	return id, ok && id != ""
}

// request is what a certificate request is good for: its public key, proven to be held by who asks.
type request struct {
	public crypto.PublicKey
	// digest is the SHA-256 of the key's PKIX encoding, hexadecimal.
	digest string
}

// readRequest takes nothing from a PKCS#10 request but its key: ECDSA on P-256 or P-384, or Ed25519.
func readRequest(der []byte) (request, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return request{}, refuse(ErrInvalid, "the certificate request cannot be read (%v): update the agent", err)
	}
	switch k := csr.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
			return request{}, refuse(ErrInvalid, "the certificate request has a key on %s, expected P-256 or P-384",
				k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return request{}, refuse(ErrInvalid, "the certificate request has a key of kind %s, expected ECDSA or Ed25519",
			csr.PublicKeyAlgorithm)
	}
	if err := csr.CheckSignature(); err != nil {
		return request{}, refuse(ErrInvalid, "the certificate request is not signed by its own key (%v)", err)
	}
	raw, err := x509.MarshalPKIXPublicKey(csr.PublicKey)
	if err != nil {
		return request{}, refuse(ErrInvalid, "the certificate request's key cannot be encoded (%v)", err)
	}
	sum := sha256.Sum256(raw)
	return request{public: csr.PublicKey, digest: hex.EncodeToString(sum[:])}, nil
}
