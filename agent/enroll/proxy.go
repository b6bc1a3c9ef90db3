package enroll

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// ErrProxy is wrapped when the proxy on the way to the collector refused.
var ErrProxy = errors.New("the proxy refuses")

// Proxy is an HTTP proxy that connections to the collector go through, by CONNECT: it sees neither reports nor keys,
// and TLS is with the collector. A nil *Proxy means what the environment says (HTTPS_PROXY and NO_PROXY, as
// golang.org/x/net/http/httpproxy reads them).
type Proxy struct{ url *url.URL }

// ParseProxy reads "http://[user:password@]host:port", or "none" for no proxy whatever the environment says. Empty is
// nil. Errors say what is wrong and never repeat the password.
func ParseProxy(text string) (*Proxy, error) {
	switch text {
	case "":
		return nil, nil //nolint:nilnil // nil is a Proxy: the environment's
	case "none":
		return &Proxy{}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("proxy: not a URL: want http://host:port or http://user:password@host:port, with special characters of a password written as %XX")
	}
	shown := u.Redacted()
	switch {
	case u.Scheme != "http":
		return nil, fmt.Errorf("proxy %q: want http://host:port: what the agent says is encrypted for the collector whatever the proxy speaks", shown)
	case u.Hostname() == "" || u.Port() == "":
		return nil, fmt.Errorf("proxy %q: want host and port, as in http://proxy.example:3128", shown)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("proxy %q: nothing may follow host and port", shown)
	}
	return &Proxy{url: u}, nil
}

// String is the proxy without its password, for logs.
func (p *Proxy) String() string {
	switch {
	case p == nil:
		return "as the environment says"
	case p.url == nil:
		return "none"
	}
	return p.url.Redacted()
}

// forRequest is for http.Transport.
func (p *Proxy) forRequest(r *http.Request) (*url.URL, error) {
	if p == nil {
		return http.ProxyFromEnvironment(r)
	}
	return p.url, nil
}

// proxyAnswered says what a proxy's refusal means.
func proxyAnswered(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusProxyAuthRequired:
		return fmt.Errorf("%w: %s wants other credentials (%s): put user and password into its URL, as in http://user:password@%s", ErrProxy, proxy.Host, resp.Status, proxy.Host)
	case http.StatusForbidden, http.StatusMethodNotAllowed:
		return fmt.Errorf("%w: %s does not let this host through (%s): have it allow CONNECT to the collector's address and port", ErrProxy, proxy.Host, resp.Status)
	}
	return fmt.Errorf("%w: %s cannot reach the collector (%s): check the address from there, and that CONNECT to its port is allowed", ErrProxy, proxy.Host, resp.Status)
}
