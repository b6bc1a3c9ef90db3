package fleet

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"
)

// trust is the authorities in force at one time. It is immutable.
//
// While one authority takes over from another there are two: the older vouches for the agents' listener, because that is
// the one every agent knows; the newer signs agents' certificates, so that whoever shows one of those is known to trust
// it. Once all agents do, the older is not needed any more.
type trust struct {
	// authorities, oldest first; never empty.
	authorities []*Authority
	// changed is when one last came or went, to the second; zero when there has only ever been the first.
	changed time.Time
	pool    *x509.CertPool
}

// maxAuthorities is how many may be in force at a time: one taking over, and one more for whoever has reason to doubt
// even that.
const maxAuthorities = 3

// changedHeader keeps trust.changed in the store, on the first certificate.
const changedHeader = "Changed-At"

func newTrust(all []*Authority, changed time.Time) *trust {
	t := &trust{authorities: all, changed: changed.UTC().Truncate(time.Second), pool: x509.NewCertPool()}
	for _, a := range all {
		t.pool.AddCert(a.cert)
	}
	return t
}

// listener is the authority that vouches for the agents' listener, signer the one that signs agents' certificates.
func (t *trust) listener() *Authority { return t.authorities[0] }
func (t *trust) signer() *Authority   { return t.authorities[len(t.authorities)-1] }

// of is the authority that a certificate says has signed it; nil when it is none of these.
func (t *trust) of(c *x509.Certificate) *Authority {
	for _, a := range t.authorities {
		if bytes.Equal(c.AuthorityKeyId, a.cert.SubjectKeyId) {
			return a
		}
	}
	return nil
}

// ders are the certificates that agents are told to trust.
func (t *trust) ders() [][]byte {
	out := make([][]byte, len(t.authorities))
	for i, a := range t.authorities {
		out[i] = a.DER()
	}
	return out
}

// outdated says whether whoever holds this certificate has not been told of the last change of authorities.
func (t *trust) outdated(c *x509.Certificate) bool {
	if t.changed.IsZero() {
		return false
	}
	made := c.NotBefore.Add(backdate)
	return !made.After(t.changed) || !bytes.Equal(c.AuthorityKeyId, t.signer().cert.SubjectKeyId)
}

// encode writes certificates and keys for the store, each as PEM blocks one after the other, oldest first. One
// authority looks as it always did.
func (t *trust) encode() (certPEM, keyPEM []byte, err error) {
	for i, a := range t.authorities {
		cert, key, err := a.PEM()
		if err != nil {
			return nil, nil, err
		}
		if i == 0 && !t.changed.IsZero() {
			cert = pem.EncodeToMemory(&pem.Block{
				Type: "CERTIFICATE", Headers: map[string]string{changedHeader: t.changed.Format(time.RFC3339)}, Bytes: a.cert.Raw,
			})
		}
		certPEM, keyPEM = append(certPEM, cert...), append(keyPEM, key...)
	}
	return certPEM, keyPEM, nil
}

// parseTrust reads what encode wrote.
func parseTrust(certPEM, keyPEM []byte) (*trust, error) {
	var all []*Authority
	var changed time.Time
	for len(bytes.TrimSpace(certPEM)) > 0 || len(all) == 0 {
		head, restOfCerts := pem.Decode(certPEM)
		_, restOfKeys := pem.Decode(keyPEM)
		a, err := ParseAuthority(certPEM, keyPEM)
		if err != nil {
			return nil, err
		}
		if text := head.Headers[changedHeader]; text != "" {
			if changed, err = time.Parse(time.RFC3339, text); err != nil {
				return nil, fmt.Errorf("authorities in the store: time of the last change: %w: restore the store from a backup", err)
			}
		}
		all = append(all, a)
		certPEM, keyPEM = restOfCerts, restOfKeys
	}
	return newTrust(all, changed), nil
}
