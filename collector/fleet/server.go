package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// ServerCertificate is the certificate of the agents' listener. It lives in memory alone and is made anew, with a new
// key, when two thirds of its 90 days have passed or another authority has come to vouch for it; connections that stand
// are not touched.
type ServerCertificate struct {
	registry *Registry
	names    []string

	mu      sync.Mutex
	current *tls.Certificate
	by      *Authority
	renewAt time.Time
}

// ServerCertificate makes the certificate under these names and addresses (see ServerNames). It needs Load first.
func (g *Registry) ServerCertificate(names []string) (*ServerCertificate, error) {
	s := &ServerCertificate{registry: g, names: names}
	if _, err := s.GetCertificate(nil); err != nil {
		return nil, err
	}
	return s, nil
}

// GetCertificate is for tls.Config. The chain includes the authority, so that an enrolling agent, which knows only its
// fingerprint, can check it.
func (s *ServerCertificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.registry.mu.RLock()
	t := s.registry.trust
	s.registry.mu.RUnlock()
	if t == nil {
		return nil, errNotLoaded
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.registry.now()
	if s.current != nil && s.by == t.listener() && now.Before(s.renewAt) {
		return s.current, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of the agents' listener: %w", err)
	}
	leaf, err := t.listener().serverLeaf(s.names, key.Public(), now)
	if err != nil {
		return nil, fmt.Errorf("make certificate of the agents' listener: %w", err)
	}
	s.current = &tls.Certificate{
		Certificate: [][]byte{leaf.Raw, t.listener().cert.Raw}, PrivateKey: key, Leaf: leaf,
	}
	s.by = t.listener()
	s.renewAt = now.Add(leafRenew)
	return s.current, nil
}

// ServerNames are the names and addresses under which agents may call a collector that listens on listen (host:port):
// the listen address, localhost, this host's name, all its addresses when it listens on all, and external names or
// host:port addresses that the operator configured. Sorted, each once.
func ServerNames(listen string, external ...string) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if h, err := os.Hostname(); err == nil {
		names = append(names, h)
	}
	host := hostOf(listen)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		names = append(names, interfaceAddresses()...)
	} else {
		names = append(names, host)
	}
	for _, e := range external {
		names = append(names, hostOf(e))
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "" })
	slices.Sort(names)
	return slices.Compact(names)
}

// hostOf is the host of host:port, or the whole when there is no port; the zone of an IPv6 address is left out, for a
// certificate has no place for it.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	host, _, _ = strings.Cut(host, "%")
	return strings.ToLower(host)
}

func interfaceAddresses() []string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil // without them an agent must be told a configured name: its error says which names there are
	}
	var out []string
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
			out = append(out, n.IP.String())
		}
	}
	return out
}
