package notify

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

func TestReceiversFromYAML(t *testing.T) {
	const text = `
- name: desk
  webhook:
    url: https://desk.example/hook
    secret_file: /etc/watchbill/desk.secret
    timeout: 3s
    max_alerts: 7
    http_config:
      tls_config: {ca_file: /etc/watchbill/ca.pem}
`
	decode := func(text string) ([]Receiver, error) {
		var rs []Receiver
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		return rs, d.Decode(&rs)
	}
	rs, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	w := rs[0].Webhook
	if w.Timeout != model.Duration(3*time.Second) || w.MaxAlerts != 7 || w.HTTP.TLSConfig.CAFile != "/etc/watchbill/ca.pem" ||
		!w.HTTP.FollowRedirects {
		t.Errorf("decoded %+v", w)
	}
	if err := Validate(rs); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"secrt: x", "http_config: {tls_config: {ca_fil: x}}"} {
		if _, err := decode("- name: desk\n  webhook:\n    " + key); err == nil {
			t.Errorf("unknown key in %q was accepted", key)
		}
	}
	b, err := yaml.Marshal(WebhookConfig{Secret: "geheim"})
	if err != nil || bytes.Contains(b, []byte("geheim")) {
		t.Errorf("a printed configuration tells the secret: %s %v", b, err)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	basic := promconfig.DefaultHTTPClientConfig
	basic.BearerToken, basic.BearerTokenFile = "x", "y"
	err := Validate([]Receiver{
		{},
		{Name: "twice", Webhook: &WebhookConfig{URL: "ftp://x"}},
		{Name: "twice", Webhook: &WebhookConfig{URL: "https://me:geheim@desk.example"}},
		{Name: "bad", Webhook: &WebhookConfig{URL: "http://\x7fgeheim", Secret: "a", SecretFile: "b", Timeout: -1, MaxAlerts: -1, HTTP: &basic}},
		{Name: "empty", Webhook: &WebhookConfig{}},
		{Name: "hostless", Webhook: &WebhookConfig{URL: "https:///x"}},
	})
	if err == nil {
		t.Fatal("no fault found")
	}
	for _, want := range []string{"receivers[0].name: must not be empty", "receivers[0]: says nowhere to send to",
		`receivers["twice"].webhook.url: must begin with https://`, `receivers[2].name: there is another`,
		`receivers[2].webhook.url: must not carry a user name`, `receivers["bad"].webhook.url: is not a URL`,
		`receivers["bad"].webhook.secret, secret_file: set one`, `receivers["bad"].webhook.timeout`,
		`receivers["bad"].webhook.max_alerts`, `receivers["bad"].webhook.http_config`,
		`receivers["empty"].webhook.url: must not be empty`, `receivers["hostless"].webhook.url: names no host`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "geheim") {
		t.Errorf("a fault repeats a secret: %v", err)
	}
	if _, err := New([]Receiver{{}}, Options{}); err == nil {
		t.Error("senders were made of faulty receivers")
	}
	senders, err := New([]Receiver{{Name: "desk", Webhook: &WebhookConfig{URL: "http://desk.example"}}}, Options{})
	if err != nil || senders["desk"] == nil {
		t.Errorf("senders %v, %v", senders, err)
	}
}

func TestNewReadsEverySecret(t *testing.T) {
	dir := t.TempDir()
	good, empty, missing := filepath.Join(dir, "good"), filepath.Join(dir, "empty"), filepath.Join(dir, "missing")
	for file, content := range map[string]string{good: "s3", empty: "\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	receiver := func(name, file string) Receiver {
		return Receiver{Name: name, Webhook: &WebhookConfig{URL: "http://desk.example", SecretFile: file}}
	}
	senders, err := New([]Receiver{receiver("a", missing), receiver("b", good), receiver("c", empty), receiver("d", dir)}, Options{})
	if err == nil || senders != nil {
		t.Fatalf("senders %v, error %v; want none of them", senders, err)
	}
	for _, want := range []string{"webhook a: ", missing, "webhook c: ", "is empty", "webhook d: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "webhook b") || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if senders, err := New([]Receiver{receiver("b", good)}, Options{}); err != nil || len(senders) != 1 {
		t.Errorf("a good one: %v, %v", senders, err)
	}
}
