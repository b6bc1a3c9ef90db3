package remote

import (
	"strings"
	"testing"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/collector/policy"
)

func parse(t *testing.T, text string) (Config, error) {
	t.Helper()
	c := DefaultConfig()
	return c, policy.Decode("watchbill.yml", []byte(text), &c)
}

func TestConfigReadsWhatPrometheusReads(t *testing.T) {
	c := DefaultConfig()
	if err := policy.Decode("watchbill.yml", []byte(`
remote_write:
  - url: https://mimir.example/api/v1/push
    name: mimir
    remote_timeout: 10s
    protobuf_message: io.prometheus.write.v2.Request
    headers: {X-Scope-OrgID: tenant}
    basic_auth: {username: watchbill, password_file: mimir.password}
    tls_config: {ca_file: ca.pem}
    queue_config:
      min_shards: 2
      max_shards: 20
      max_samples_per_send: 5000
      batch_send_deadline: 1s
      min_backoff: 100ms
      max_backoff: 30s
      sample_age_limit: 12h
  - url: http://localhost:9090/api/v1/write
    bearer_token: old
remote_write_spool: {size: 8GiB, age: 1d}
remote_write_external_labels: {cluster: eu}
`), &c); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c.SetDirectory("/etc/watchbill")
	a, b := c.Targets[0], c.Targets[1]
	if a.Message != remoteapi.WriteV2MessageType || b.Message != remoteapi.WriteV1MessageType {
		t.Errorf("messages are %s and %s", a.Message, b.Message)
	}
	if got := a.HTTP.BasicAuth.PasswordFile; got != "/etc/watchbill/mimir.password" {
		t.Errorf("the password's file is %s", got)
	}
	if got := a.HTTP.TLSConfig.CAFile; got != "/etc/watchbill/ca.pem" {
		t.Errorf("the authority's file is %s", got)
	}
	if b.HTTP.Authorization == nil || b.HTTP.Authorization.Credentials != "old" {
		t.Error("bearer_token does not become authorization")
	}
	if a.Queue.MaxSamplesPerSend != 5000 || b.Queue.MaxSamplesPerSend != 2000 || time.Duration(a.RemoteTimeout) != 10*time.Second {
		t.Errorf("queues are %+v and %+v", a.Queue, b.Queue)
	}
	if c.Spool.Size != 8<<30 || time.Duration(c.Spool.Age) != 24*time.Hour {
		t.Errorf("spool is %+v", c.Spool)
	}
	if a.ID() != "mimir" || len(b.ID()) != 6 {
		t.Errorf("targets are called %q and %q", a.ID(), b.ID())
	}
}

func TestConfigNamesEveryFaultAtOnce(t *testing.T) {
	c, err := parse(t, "")
	if err != nil || c.Validate() != nil {
		t.Fatalf("an empty configuration is wrong: %v, %v", err, c.Validate())
	}
	c = DefaultConfig()
	if err := policy.Decode("watchbill.yml", []byte(`
remote_write:
  - url: ftp://a/b
    name: a b
    remote_timeout: 0s
    protobuf_message: v3
    headers: {content-type: text/plain, Authorization: secret, Retry-Attempt: "1", "a b": c}
    http_headers: {Host: {values: [x]}}
    follow_redirects: true
    write_relabel_configs:
      - {action: replace, source_labels: [a]}
      - {regex: "("}
      - {action: nonsense}
    queue_config: {min_shards: 9, max_shards: 3, max_samples_per_send: 0, batch_send_deadline: 0s, min_backoff: 2s, max_backoff: 1s}
  - url: http://me:secret@b/write
    name: twice
    basic_auth: {username: a}
    authorization: {credentials: secret}
  - name: twice
  - url: http://c/write
    proxy_url: http://p
    proxy_from_environment: true
remote_write_spool: {size: 1MiB, age: 1s}
remote_write_external_labels: {__name__: x, empty: ""}
`), &c); err != nil {
		t.Fatal(err)
	}
	err = c.Validate()
	if err == nil {
		t.Fatal("it has no fault")
	}
	for _, want := range []string{
		"remote_write[0] (a b).url: want an http or https URL", "remote_write[0] (a b).name: want up to 63",
		"remote_timeout: must be positive", `protobuf_message: want prometheus.WriteRequest or io.prometheus.write.v2.Request, got "v3"`,
		"headers.content-type: is part of the protocol", "headers.Authorization: is part of the protocol", "headers.Retry-Attempt: is part",
		"headers.Host: is part", "headers.a b: cannot be a header", "follow_redirects: cannot be true",
		"write_relabel_configs[0]: relabel configuration for replace action requires 'target_label'", "write_relabel_configs[1]: ", "write_relabel_configs[2]: unknown relabel action",
		"queue_config.min_shards: must be 1 to max_shards (3), got 9", "queue_config.max_samples_per_send:", "queue_config.batch_send_deadline:", "queue_config.min_backoff:",
		"remote_write[1] (twice).url: must not hold a password", "remote_write[1] (twice).http client: at most one of",
		"remote_write[2] (twice).url: must be where", "remote_write[2] (twice).name: remote_write[1] has the same",
		"remote_write[3].http client: ", "remote_write_spool.size: must be at least 16MiB", "remote_write_spool.age: must be at least 1m",
		`remote_write_external_labels: "__name__" cannot be a label`, "remote_write_external_labels.empty:",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s", want)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("a secret is told: %v", err)
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestConfigIsStrict(t *testing.T) {
	_, err := parse(t, `
remote_write:
  - url: http://a/write
    nonsense: 1
    remote_timeout: soon
    queue_config: {capacity_of: 3}
    basic_auth: {user: a}
    write_relabel_configs: [{sources: [a]}]
remote_write_spool: {size: much}
`)
	if err == nil {
		t.Fatal("it is taken")
	}
	for _, want := range []string{`line 4: unknown key "nonsense"`, `line 5: "soon" is no duration`, `line 6: unknown key "capacity_of"`,
		`line 7: unknown key "user"`, `line 8: unknown key "sources"`, `line 9: "much" is no size`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s\nin %v", want, err)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	c := DefaultConfig()
	if err := policy.Decode("watchbill.yml", []byte(`
remote_write:
  - url: http://a/write?token=hidden
    headers: {X-Token: hidden}
    basic_auth: {username: a, password: hidden}
`), &c); err != nil {
		t.Fatal(err)
	}
	if got := c.Targets[0].shownURL(); got != "http://a/write" {
		t.Errorf("its URL is shown as %s", got)
	}
	c.Targets[0].URL = ""
	b, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "hidden") || !strings.Contains(string(b), "<secret>") {
		t.Errorf("written out:\n%s", b)
	}
}
