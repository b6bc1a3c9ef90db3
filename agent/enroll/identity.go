package enroll

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// The files of an identity. Key and certificate share one so that a single rename replaces both; it is written last
// and its presence means: enrolled.
const (
	keyFile     = "agent.pem"
	caFile      = "ca.pem"
	factsFile   = "identity.json"
	pendingFile = "pending.key"
)

var (
	// ErrNotEnrolled is wrapped when a directory holds no identity yet.
	ErrNotEnrolled = errors.New("this agent is not enrolled")
	// ErrEnrolled is wrapped when a directory already holds an identity and nothing said to replace it.
	ErrEnrolled = errors.New("this agent is already enrolled")
	// ErrKeyExposed is wrapped when others on the host can read the private key.
	ErrKeyExposed = errors.New("private key is readable by others")
)

// Identity is who an agent is and whom it trusts.
type Identity struct {
	// Collector is the host:port the agent reports to.
	Collector string
	// Customer, Site and Asset are as the collector chose them at enrolment; only it decides, they are for people.
	Customer, Site, Asset string
	// EnrolledAt is when the first certificate was written, RenewAt when the present one should be replaced.
	EnrolledAt, RenewAt time.Time
	// Certificate is the agent's own, leaf parsed, with its key.
	Certificate tls.Certificate
	// Authorities are the CAs by which the agent knows the collector; no other is trusted.
	Authorities []*x509.Certificate
}

// facts is identity.json.
type facts struct {
	Collector  string    `json:"collector"`
	Customer   string    `json:"customer"`
	Site       string    `json:"site"`
	Asset      string    `json:"asset"`
	EnrolledAt time.Time `json:"enrolled_at"`
	RenewAt    time.Time `json:"renew_at,omitzero"`
}

// URL is the collector's base URL.
func (i Identity) URL() string { return "https://" + i.Collector }

// TLS is the configuration for mutual TLS with the collector: TLS 1.3, the identity's authorities and no other.
func (i Identity) TLS() *tls.Config {
	pool := x509.NewCertPool()
	for _, c := range i.Authorities {
		pool.AddCert(c)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, Certificates: []tls.Certificate{i.Certificate}}
}

// Transport is an HTTP/1.1 transport of one kept-alive connection with the identity's TLS, through the environment's
// proxy if there is one.
func (i Identity) Transport() *http.Transport { return transport(i.TLS(), nil, nil) }

// renewAt is when to renew: as the collector said, otherwise at two thirds of the certificate's life. A time outside
// that life belongs to another certificate (a renewal was interrupted between two files) and does not count.
func (i Identity) renewAt() time.Time {
	leaf := i.Certificate.Leaf
	if i.RenewAt.After(leaf.NotBefore) && i.RenewAt.Before(leaf.NotAfter) {
		return i.RenewAt
	}
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
}

// Load reads the identity that Enroll wrote to dir. It wraps ErrNotEnrolled when there is none and ErrKeyExposed when
// the key's file is open to others; every other error names the file and what to do.
func Load(dir string) (Identity, error) {
	path := filepath.Join(dir, keyFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Identity{}, fmt.Errorf("%w (no %s): ask for a token (`watchbill token create` at the collector) and run `watchbill-agent enroll --token TOKEN`", ErrNotEnrolled, path)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("look at the agent's key: %w", err)
	}
	if err := checkPrivate(path, info); err != nil {
		return Identity{}, err
	}
	pair, err := tls.LoadX509KeyPair(path, path)
	if err != nil {
		return Identity{}, damaged(path, err)
	}
	authorities, err := loadAuthorities(filepath.Join(dir, caFile))
	if err != nil {
		return Identity{}, err
	}
	f, err := loadFacts(filepath.Join(dir, factsFile))
	if err != nil {
		return Identity{}, err
	}
	return Identity{
		Collector: f.Collector, Customer: f.Customer, Site: f.Site, Asset: f.Asset,
		EnrolledAt: f.EnrolledAt, RenewAt: f.RenewAt, Certificate: pair, Authorities: authorities,
	}, nil
}

func loadAuthorities(path string) ([]*x509.Certificate, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, damaged(path, err)
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, damaged(path, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, damaged(path, errors.New("there is no certificate in it"))
	}
	return all, nil
}

func loadFacts(path string) (facts, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return facts{}, damaged(path, err)
	}
	var f facts
	if err := json.Unmarshal(raw, &f); err != nil {
		return facts{}, damaged(path, err)
	}
	if err := checkAddress(f.Collector); err != nil {
		return facts{}, damaged(path, err)
	}
	return f, nil
}

func damaged(path string, err error) error {
	return fmt.Errorf("read the agent's identity in %s: %w: restore the file, or enrol again with a new token and --replace", path, err)
}

// save writes i to dir. The renewal time and the authorities go first, key and certificate last and together: whatever
// is interrupted, Load finds a key with its certificate.
func (i Identity) save(dir string) error {
	var ca, own bytes.Buffer
	for _, c := range i.Authorities {
		_ = pem.Encode(&ca, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a Buffer does not fail
	}
	key, err := encodeKey(i.Certificate.PrivateKey)
	if err != nil {
		return err
	}
	for _, der := range i.Certificate.Certificate {
		_ = pem.Encode(&own, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	own.Write(key)
	text, err := json.MarshalIndent(facts{
		Collector: i.Collector, Customer: i.Customer, Site: i.Site, Asset: i.Asset, EnrolledAt: i.EnrolledAt, RenewAt: i.RenewAt,
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode identity: %w", err)
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{{caFile, ca.Bytes()}, {factsFile, append(text, '\n')}, {keyFile, own.Bytes()}} {
		if err := writeFile(filepath.Join(dir, f.name), f.content); err != nil {
			return err
		}
	}
	return nil
}

func encodeKey(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the agent's key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
