package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/collector/outbox"
)

// SignatureHeader carries the signature of a signed webhook call.
const SignatureHeader = "X-Watchbill-Signature"

// WebhookConfig says where a webhook goes. The zero value of everything but URL is a default.
type WebhookConfig struct {
	// URL takes a POST; http or https, without user name and password.
	URL string `yaml:"url"`
	// Secret signs every call; or SecretFile, whose content (without the last line break) does and is read again for
	// every call. Without either the call is not signed.
	Secret     promconfig.Secret `yaml:"secret,omitempty"`
	SecretFile string            `yaml:"secret_file,omitempty"`
	// Timeout bounds one call; 10 s by default.
	Timeout model.Duration `yaml:"timeout,omitempty"`
	// MaxAlerts bounds the alerts in a call, firing and newest first; 100 by default. truncatedAlerts tells how many
	// were left out.
	MaxAlerts int `yaml:"max_alerts,omitempty"`
	// HTTP is Prometheus' HTTP client configuration: tls_config, basic_auth, authorization, proxy_url …
	HTTP *promconfig.HTTPClientConfig `yaml:"http_config,omitempty"`
}

// Validate names every fault at once. It opens no file, and repeats no part of a URL that may be secret.
func (c WebhookConfig) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if why := faultOfURL(c.URL, "https://desk.example/hooks/watchbill"); why != "" {
		fault("url: %s", why)
	}
	if c.Secret != "" && c.SecretFile != "" {
		fault("secret, secret_file: set one of them, not both")
	}
	if c.Timeout < 0 {
		fault("timeout: must be positive, got %v", c.Timeout)
	}
	if c.MaxAlerts < 0 {
		fault("max_alerts: must be positive, got %d", c.MaxAlerts)
	}
	if c.HTTP != nil {
		if err := c.HTTP.Validate(); err != nil {
			fault("http_config: %w", err)
		}
	}
	return errors.Join(errs...)
}

func (c *WebhookConfig) setDirectory(dir string) {
	c.SecretFile = promconfig.JoinDir(dir, c.SecretFile)
	if c.HTTP != nil {
		c.HTTP.SetDirectory(dir)
	}
}

func (c *WebhookConfig) sender(name string, o Options) (outbox.Sender, error) {
	return NewWebhook(name, *c, o)
}

// Webhook calls a URL with Alertmanager's webhook payload, version 4, with the ticket in addition; README.md shows it.
// The call is signed, and repeats of one message carry the same Idempotency-Key.
type Webhook struct {
	name    string
	config  WebhookConfig
	options Options
	client  *http.Client
}

// NewWebhook makes the sender of the receiver called name. It reads the certificates and the secret that c names, so that
// a wrong path is found before a message waits for it.
func NewWebhook(name string, c WebhookConfig, o Options) (*Webhook, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("webhook %s: %w", name, err)
	}
	c.Timeout = cmp.Or(c.Timeout, model.Duration(10*time.Second))
	c.MaxAlerts = cmp.Or(c.MaxAlerts, 100)
	httpConfig := promconfig.DefaultHTTPClientConfig
	if c.HTTP != nil {
		httpConfig = *c.HTTP
	}
	client, err := promconfig.NewClientFromConfig(httpConfig, "webhook "+name)
	if err != nil {
		return nil, fmt.Errorf("webhook %s: http_config: %w", name, err)
	}
	if httpConfig.FollowRedirects {
		client.CheckRedirect = sameHost
	}
	w := &Webhook{name: name, config: c, options: o.withDefaults(), client: client}
	if _, err := w.secret(); err != nil {
		return nil, err
	}
	return w, nil
}

// sameHost follows a redirect that repeats the POST at the same scheme and host; every other one is the answer. What
// turned into a GET would be an empty success, and what went elsewhere would carry the notice and its signature to a
// party that nobody configured.
func sameHost(r *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 3 || r.Method != first.Method || r.URL.Scheme != first.URL.Scheme || r.URL.Host != first.URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// Send makes one call. nil means that the receiver answered 2xx.
func (w *Webhook) Send(ctx context.Context, m outbox.Message) error {
	n, err := decode(m)
	if err != nil {
		return err
	}
	body, err := json.Marshal(payloadOf(w.name, w.options.ExternalURL, m, n, w.config.MaxAlerts))
	if err != nil {
		return fmt.Errorf("%w: render message %s: %w", outbox.ErrRefused, m.ID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(w.config.Timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.config.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: webhook %s: its url cannot be called", outbox.ErrRefused, w.name)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Watchbill/"+w.options.Version)
	req.Header.Set("Idempotency-Key", m.ID)
	secret, err := w.secret()
	if err != nil {
		return err
	}
	now := w.options.Now()
	if len(secret) > 0 {
		req.Header.Set(SignatureHeader, Sign(secret, now, body))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("call %s: %w", req.URL.Host, withoutURL(err))
	}
	return judge(resp, now)
}

// withoutURL takes a URL out of a client's error: its path or query may be all the secret a receiver has.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// secret is what calls are signed with; empty when they are not.
func (w *Webhook) secret() ([]byte, error) {
	return secretOf("webhook "+w.name, "secret_file", w.config.Secret, w.config.SecretFile)
}

// Sign is the value of SignatureHeader for body sent at now:
//
//	t=T,v1=hex(HMAC-SHA256(secret, T + "." + body))
//
// with T in Unix seconds, in decimal, and the digest in lower-case hexadecimal. The signed time lets a receiver refuse
// what was recorded and played again.
func Sign(secret []byte, now time.Time, body []byte) string {
	t := fmt.Sprint(now.Unix())
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
