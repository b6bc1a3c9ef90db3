package notify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/collector/outbox"
)

// HookConfig says where a chat's incoming webhook is. Its address is a secret: whoever has it can write there.
type HookConfig struct {
	// URL takes a POST; or URLFile, whose content (without the last line break) does and is read again for every call.
	URL     promconfig.Secret `yaml:"url,omitempty"`
	URLFile string            `yaml:"url_file,omitempty"`
	// Timeout bounds one call; 10 s by default.
	Timeout model.Duration `yaml:"timeout,omitempty"`
	// HTTP is Prometheus' HTTP client configuration: tls_config, proxy_url …
	HTTP *promconfig.HTTPClientConfig `yaml:"http_config,omitempty"`
}

// Validate names every fault at once. It opens no file, and repeats no part of the address.
func (c HookConfig) Validate() error {
	var errs []error
	switch {
	case c.URL != "" && c.URLFile != "":
		errs = append(errs, errors.New("url, url_file: set one of them, not both"))
	case c.URL == "" && c.URLFile == "":
		errs = append(errs, errors.New("url, url_file: set one of them, to where the chat takes messages"))
	case c.URL != "":
		if why := faultOfURL(string(c.URL), "https://chat.example/hook/…"); why != "" {
			errs = append(errs, fmt.Errorf("url: %s", why))
		}
	}
	return errors.Join(append(errs, validateCall(c.Timeout, c.HTTP)...)...)
}

func (c *HookConfig) setDirectory(dir string) {
	c.URLFile = promconfig.JoinDir(dir, c.URLFile)
	if c.HTTP != nil {
		c.HTTP.SetDirectory(dir)
	}
}

// hook is a chat's incoming webhook.
type hook struct {
	*caller
	config HookConfig
}

// newHook reads the address and the certificates, so that a wrong path is found before a message waits for it.
func newHook(receiver string, c HookConfig, o Options) (hook, error) {
	if err := c.Validate(); err != nil {
		return hook{}, fmt.Errorf("%s: %w", receiver, err)
	}
	call, err := newCaller(receiver, c.Timeout, c.HTTP, o)
	if err != nil {
		return hook{}, err
	}
	h := hook{call, c}
	_, err = h.address()
	return h, err
}

// address is where the hook is now.
func (h hook) address() (string, error) {
	b, err := secretOf(h.receiver, "url_file", h.config.URL, h.config.URLFile)
	if err != nil {
		return "", err
	}
	if why := faultOfURL(string(b), "https://chat.example/hook/…"); why != "" {
		return "", fmt.Errorf("%s: url_file: %s", h.receiver, why)
	}
	return string(b), nil
}

// say makes one call with a body in JSON.
func (h hook) say(ctx context.Context, body []byte, judge judging) error {
	to, err := h.address()
	if err != nil {
		return err
	}
	return h.post(ctx, to, body, nil, judge)
}

// caller makes calls to one receiver by HTTP.
type caller struct {
	// receiver is its kind and name, for errors.
	receiver string
	client   *http.Client
	timeout  time.Duration
	options  Options
}

// newCaller reads the certificates that h names; a nil h is Prometheus' default.
func newCaller(receiver string, timeout model.Duration, h *promconfig.HTTPClientConfig, o Options) (*caller, error) {
	config := promconfig.DefaultHTTPClientConfig
	if h != nil {
		config = *h
	}
	client, err := promconfig.NewClientFromConfig(config, receiver)
	if err != nil {
		return nil, fmt.Errorf("%s: http_config: %w", receiver, err)
	}
	if config.FollowRedirects {
		client.CheckRedirect = sameHost
	}
	return &caller{receiver, client, time.Duration(cmp.Or(timeout, model.Duration(10*time.Second))), o.withDefaults()}, nil
}

// judging reads an answer and closes it, as judge does.
type judging func(resp *http.Response, now time.Time) error

// post makes one call. An address may be all the secret a receiver has: no error repeats more of it than its host, be it
// that the receiver says it.
func (c *caller) post(ctx context.Context, to string, body []byte, header map[string]string, judge judging) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %s: its url cannot be called", outbox.ErrRefused, c.receiver)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Watchbill/"+c.options.Version)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("call %s: %w", req.URL.Host, withoutURL(err))
	}
	resp.Body = io.NopCloser(bytes.NewReader(read(resp.Body, hiding(req.URL))))
	return judge(resp, c.options.Now())
}

// read is the beginning of an answer without what is secret.
func read(body io.ReadCloser, hide func(string) string) []byte {
	defer body.Close()
	b, _ := io.ReadAll(io.LimitReader(body, maxAnswer)) // the status decides; the text is for people
	return []byte(hide(string(b)))
}

// minHidden is how long a part of an address must be to be taken for a secret: shorter ones are words of an answer, too.
const minHidden = 6

// hiding replaces every part of u's path and query in a text.
func hiding(u *url.URL) func(string) string {
	var pairs []string
	hide := func(s string) {
		if len(s) >= minHidden {
			pairs = append(pairs, s, "…")
		}
	}
	for _, whole := range []string{u.String(), u.RequestURI(), u.Path, u.EscapedPath(), u.RawQuery} {
		hide(whole)
	}
	for _, path := range []string{u.Path, u.EscapedPath()} {
		for segment := range strings.SplitSeq(path, "/") {
			hide(segment)
		}
	}
	for _, values := range u.Query() {
		for _, v := range values {
			hide(v)
		}
	}
	return strings.NewReplacer(pairs...).Replace
}

// faultOfURL says what is wrong with an address that calls go to; empty when nothing is. It repeats no part of it.
func faultOfURL(address, example string) string {
	u, err := url.Parse(address)
	switch {
	case address == "":
		return "must not be empty"
	case err != nil:
		return "is not a URL; want something like " + example
	case u.Scheme != "http" && u.Scheme != "https":
		return "must begin with https:// or http://"
	case u.Hostname() == "":
		return "names no host"
	case u.User != nil:
		return "must not carry a user name or password, they would show in logs; use http_config.basic_auth"
	}
	return ""
}

// validateCall are the faults of what every call has.
func validateCall(timeout model.Duration, h *promconfig.HTTPClientConfig) (errs []error) {
	if timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: must be positive, got %v", timeout))
	}
	if h != nil {
		if err := h.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("http_config: %w", err))
		}
	}
	return errs
}
