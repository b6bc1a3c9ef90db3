package enroll

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// defaultTimeout bounds one enrolment or renewal: a person waits for the first.
const defaultTimeout = 30 * time.Second

// ErrRefused is wrapped when the collector answered and said no: trying again with the same token cannot help.
var ErrRefused = errors.New("the collector refused")

// Options of Enroll.
type Options struct {
	Token Token
	// Dir is where the identity is kept; it is made if missing, for its owner only.
	Dir string
	// Inventory tells the collector what host asks; the host's name becomes the asset's unless the token names one.
	Inventory *wire.Inventory
	// Replace lets an existing identity be overwritten.
	Replace bool
	// Now is the wall clock; time.Now when nil.
	Now func() time.Time
	// Timeout bounds the whole exchange; 30 s when zero.
	Timeout time.Duration
	// Proxy is the way to the collector; what the environment says when nil.
	Proxy *Proxy
}

// Enroll makes a key, has the collector that the token names sign a certificate for it, and writes both to Dir. It
// trusts exactly the authority whose fingerprint the token carries. When it fails nothing of an earlier identity has
// changed; the key made is kept and used again by the next try, so that a collector can recognise an answer it gave
// but that never arrived. Errors wrap ErrEnrolled, ErrRefused, ErrWrongCollector, ErrClock or ErrUnreachable where
// that is the reason.
func Enroll(ctx context.Context, o Options) (Identity, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if err := o.Token.check(); err != nil {
		return Identity{}, err
	}
	if old, err := Load(o.Dir); err == nil && !o.Replace {
		return Identity{}, fmt.Errorf("%w: as %s (customer %s, site %s) with the collector at %s: to enrol anew, add --replace", ErrEnrolled, old.Asset, old.Customer, old.Site, old.Collector)
	}
	if err := privateDir(o.Dir); err != nil {
		return Identity{}, err
	}
	key, err := pendingKey(filepath.Join(o.Dir, pendingFile), nil)
	if err != nil {
		return Identity{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()

	pin := &pin{token: o.Token, now: o.Now}
	line := transport(pin.tls(), o.Proxy, o.Now)
	defer line.CloseIdleConnections()
	answer, err := ask(ctx, line, o.Token.Address, wire.PathEnrol, key, &wire.Enrol{Token: o.Token.Secret, Inventory: o.Inventory}, o.Now)
	if err != nil {
		return Identity{}, fmt.Errorf("enrol with token %s: %w", o.Token.ID, err)
	}
	id, err := identityFrom(answer, key, []*x509.Certificate{pin.authority}, o.Token.Address, o.Now())
	if err != nil {
		return Identity{}, fmt.Errorf("enrol with token %s: %w", o.Token.ID, err)
	}
	id.EnrolledAt = o.Now().UTC().Truncate(time.Second)
	if err := id.save(o.Dir); err != nil {
		return Identity{}, err
	}
	if err := os.Remove(filepath.Join(o.Dir, pendingFile)); err != nil {
		return Identity{}, fmt.Errorf("remove the key's first copy: %w", err)
	}
	return id, nil
}

// pendingKey is the key that the next certificate will be for: the one an earlier, unfinished try left at path, or a
// new one, on disk before anybody is asked to certify it. It is never the one in use.
func pendingKey(path string, inUse crypto.PublicKey) (*ecdsa.PrivateKey, error) {
	raw, err := os.ReadFile(path)
	if err == nil {
		if key := decodeKey(path, raw); key != nil && !key.PublicKey.Equal(inUse) {
			return key, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the key of an unfinished enrolment: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the agent's key: %w", err)
	}
	text, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeFile(path, text)
}

// decodeKey is nil for a key that is damaged or that others could have read: it was never used, so a new one does.
func decodeKey(path string, raw []byte) *ecdsa.PrivateKey {
	info, err := os.Stat(path)
	if err != nil || checkPrivate(path, info) != nil {
		return nil
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil
	}
	key, _ := parsed.(*ecdsa.PrivateKey)
	return key
}

// request is the PKCS#10 request for key. It names nobody: the collector chooses the identity.
func request(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "watchbill agent"}}, key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate request: %w", err)
	}
	return der, nil
}

// identityFrom checks what the collector answered before any of it is kept: the certificate is for our key, valid now
// and signed by an authority we are told to trust. known are the authorities to keep when the answer names none.
func identityFrom(a *wire.Enrolled, key *ecdsa.PrivateKey, known []*x509.Certificate, collector string, now time.Time) (Identity, error) {
	if len(a.Certificates) == 0 {
		return Identity{}, errors.New("the collector's answer holds no certificate: compare the versions of agent and collector")
	}
	authorities, err := parseAll(a.Authorities)
	if err != nil {
		return Identity{}, fmt.Errorf("read the authorities in the collector's answer: %w", err)
	}
	if len(authorities) == 0 {
		authorities = known
	}
	chain, err := parseAll(a.Certificates)
	if err != nil {
		return Identity{}, fmt.Errorf("read the certificate in the collector's answer: %w", err)
	}
	leaf := chain[0]
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return Identity{}, errors.New("the collector's answer certifies another key than ours: try again, and if it stays so, report it as a fault of the collector")
	}
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range authorities {
		roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		middle.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return Identity{}, Explain(fmt.Errorf("check the new certificate: %w", err), collector, now)
	}
	id := Identity{
		Collector: collector, Customer: a.Customer, Site: a.Site, Asset: a.Asset, Authorities: authorities,
		Certificate: tls.Certificate{Certificate: a.Certificates, PrivateKey: key, Leaf: leaf},
	}
	if a.RenewAtMs > 0 {
		id.RenewAt = time.UnixMilli(a.RenewAtMs).UTC()
	}
	return id, nil
}

func parseAll(ders [][]byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}
