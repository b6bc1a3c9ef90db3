package collector

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/watchbill/watchbill/rules"
)

// Every path in the configuration is relative to its file, wherever the collector was started.
func TestPathsAreRelativeToTheirFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "watchbill.yml")
	for name, content := range map[string]string{
		"watchbill.yml": `
storage: {path: data}
backup: {path: /srv/backups}
web: {config_file: tls/web.yml}
fleet: {directory: fleet}
rules: {files: ["rules/*.yml"]}
receivers:
- name: desk
  webhook:
    url: https://desk.example/
    secret_file: secrets/hook
    http_config:
      basic_auth: {username: w, password_file: secrets/basic}
      tls_config: {ca_file: tls/ca.pem, cert_file: tls/cert.pem, key_file: /abs/key.pem}
- name: token
  webhook: {url: "https://desk.example/", http_config: {authorization: {credentials_file: secrets/token}}}
- name: mail
  mail:
    smarthost: mail.example:587
    from: watch@example.org
    to: [ops@example.org]
    username: w
    password_file: secrets/mail
    tls_config: {ca_file: tls/mail-ca.pem, cert_file: tls/mail.pem, key_file: tls/mail.key}
- name: plain
  mail: {smarthost: "mail.example:587", from: watch@example.org, to: [ops@example.org]}
`,
		"tls/web.yml": "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := LoadConfig(file); err == nil || !strings.Contains(err.Error(), "web.config_file: ") || !strings.Contains(err.Error(), "cert.pem") {
		t.Errorf("without the certificate that the web configuration names: %v", err)
	}
	writeCertificate(t, filepath.Join(dir, "tls"))
	c, err := LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	hook, mail := c.Receivers[0].Webhook, c.Receivers[2].Mail
	for got, want := range map[string]string{
		c.Storage.Path: "data", c.Backup.Path: "/srv/backups", c.Web.ConfigFile: "tls/web.yml", c.Fleet.Directory: "fleet",
		c.Rules.Files[0]: "rules/*.yml",
		hook.SecretFile:  "secrets/hook", hook.HTTP.BasicAuth.PasswordFile: "secrets/basic",
		hook.HTTP.TLSConfig.CAFile: "tls/ca.pem", hook.HTTP.TLSConfig.CertFile: "tls/cert.pem", hook.HTTP.TLSConfig.KeyFile: "/abs/key.pem",
		c.Receivers[1].Webhook.HTTP.Authorization.CredentialsFile: "secrets/token",
		mail.PasswordFile: "secrets/mail", mail.TLSConfig.CAFile: "tls/mail-ca.pem", mail.TLSConfig.CertFile: "tls/mail.pem",
		mail.TLSConfig.KeyFile: "tls/mail.key",
	} {
		if !filepath.IsAbs(want) {
			want = filepath.Join(dir, want)
		}
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if c.Receivers[1].Webhook.SecretFile != "" {
		t.Errorf("a secret file that nobody named: %s", c.Receivers[1].Webhook.SecretFile)
	}

	// What the web configuration names is relative to that.
	if err := web.Validate(c.Web.ConfigFile); err != nil {
		t.Error(err)
	}
}

// writeCertificate writes cert.pem and key.pem.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What missing series do to alerts is one of two words, and reaches every rule that does not say so itself.
func TestRulesMissing(t *testing.T) {
	c := DefaultConfig()
	groups, _, err := LoadRules(c)
	if err != nil {
		t.Fatal(err)
	}
	if groups[0].Rules[0].Resolves() {
		t.Error("alerts resolve when nothing is known, by default")
	}
	c.Rules.Missing = rules.Resolve
	if groups, _, err = LoadRules(c); err != nil || !groups[0].Rules[0].Resolves() {
		t.Errorf("rules.missing: resolve does not reach the rules: %v", err)
	}
	c.Rules.Missing = "ignore"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), `rules.missing: want freeze or resolve, got "ignore"`) {
		t.Errorf("error %v", err)
	}
}

// What `up` tells people to type reaches the listener: over TLS where the listener has a web configuration.
func TestDialURL(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	if got, want := s.Collector.DialURL(), "http://"+s.WebAddress(); got != want {
		t.Errorf("without TLS: %s, want %s", got, want)
	}
	s.Collector.cfg.Web.ConfigFile = "web.yml"
	if got := s.Collector.DialURL(); !strings.HasPrefix(got, "https://") {
		t.Errorf("with TLS: %s", got)
	}
}
