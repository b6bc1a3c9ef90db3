package collector

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestConfigFaultsAreToldAtOnce: whatever is wrong in one section, faults of the others are told, too, each with its line and field.
func TestConfigFaultsAreToldAtOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		yaml string
		want []string
	}{
		"an unknown key keeps no value from being judged": {"wep: {}\nevaluation: {interval: 0s}\n", []string{
			`line 1: unknown key "wep"`, "line 2: evaluation.interval: must be positive, got 0s"}},
		"nor does a wrong type": {"fleet: 3\nhistory: {size: 1MB}\n", []string{
			`line 1: want keys with values, got "3"`, "line 2: history.size: must be 0 (no bound) or at least 64MiB, got 1MiB"}},
		"nor what Prometheus' types read no further at": {`receivers:
- name: a
  webhook: {url: "http://a", http_config: {proxy_url: "::"}}
- name: b
  webhook: {url: "http://b", http_config: {bearer_token: x, basic_auth: {username: y}}}
web: {listen_address: here}
history: {size: a lot}
evaluation: {interval: 0s}
`, []string{`line 2: receivers[0]: parse "::": missing protocol scheme`, "line 4: receivers[1]: at most one of ",
			`line 7: "a lot" is no size; write it like 512MB or 4GiB`,
			`line 6: web.listen_address: want host:port, got "here"`, "line 8: evaluation.interval: must be positive, got 0s"}},
		"a section that was not read whole is not judged": {`remote_write:
- {url: http://a/w, queue_config: {max_shards: many}}
- {url: "ftp://b"}
maintenance:
- {name: n, matchers: ['a="b"'], times: [{weekdays: [funday]}]}
rules: {missing: never}
`, []string{`line 2: want a number, got "many"`, "line 5: a time of maintenance: ", "line 6: rules.missing: want freeze or resolve"}},
		"in a list, by name and number": {`receivers:
- name: desk
  webhook:
    url: ""
- name: desk
  mail: {to: [a@b.example], from: a@b.example, smarthost: nowhere}
-
  name: ""
remote_write:
- url: http://a/w
- name: long-term
  url: ftp://a
  queue_config:
    max_shards: 0
maintenance:
- name: release
  matchers: ['a="b"']
  times: [{}]
- {name: release, matchers: ['a="b"', nonsense, 'x=~"("'], times: [{weekdays: [monday]}]}
`, []string{`line 4: receivers["desk"].webhook.url: `, `line 5: receivers[1].name: there is another receiver with the name "desk"`,
			"line 6: receivers[1].mail.smarthost: ", "line 8: receivers[2].name: ", "line 8: receivers[2]: says nowhere",
			"line 12: remote_write[1] (long-term).url: ", "line 14: remote_write[1] (long-term).queue_config.max_shards: ",
			"line 13: remote_write[1] (long-term).queue_config.min_shards: ",
			`line 18: maintenance["release"].times[0]: `, "line 19: maintenance[1].name: ", "line 19: maintenance[1].matchers: bad matcher",
			"line 19: maintenance[1].matchers: error parsing regexp"}},
		"all of one thing": {"silence: {ping: {count: 99, most: 0, timeout: 1ms}}\n", []string{
			"line 1: silence.ping.count: ", "line 1: silence.ping.most: ", "line 1: silence.ping.timeout: "}},
		"in a file of braces": {`{evaluation: {interval: 0s}, receivers: [{name: a, webhook: {url: "http://a", http_config: {proxy_url: "::"}}}]}`, []string{
			"line 1: receivers[0]: parse"}},
		"what cannot be read at all": {"a: [\n", []string{"yaml: line "}},
	} {
		t.Run(name, func(t *testing.T) {
			file := configFile(t, tt.yaml)
			_, err := LoadConfig(file)
			told := apart(err)
			if len(told) != len(tt.want) {
				t.Errorf("%d faults, want %d:\n%v", len(told), len(tt.want), err)
			}
			for _, want := range tt.want {
				if !slices.ContainsFunc(told, func(e error) bool { return strings.HasPrefix(e.Error(), file+": "+want) }) {
					t.Errorf("no fault begins with %q:\n%v", want, err)
				}
			}
		})
	}
}

// TestFaultsAreTakenApartWithAllTheirWords: faults that were joined are one each, however deep; one that names two causes is one.
func TestFaultsAreTakenApartWithAllTheirWords(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	both := fmt.Errorf("web.listen_address: %w, and then %w", a, b)
	var got []string
	for _, err := range apart(errors.Join(errors.Join(c, both), errors.Join(a))) {
		got = append(got, err.Error())
	}
	if want := []string{"c", "web.listen_address: a, and then b", "a"}; !slices.Equal(got, want) {
		t.Errorf("apart they are %q, want %q", got, want)
	}
}

// TestCheckConfigTellsWhatIsNamed: files that are not there are faults of the field that names them, and none of them hides
// another.
func TestCheckConfigTellsWhatIsNamed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "watchbill.yml")
	for name, text := range map[string]string{"watchbill.yml": `rules:
  packs: false
  files: ["none/*.yml", broken.yml, "[.yml"]
fleet: {directory: nofleet}
policies: {directory: nosets}
receivers:
- {name: a, mail: {smarthost: nowhere}}
- {name: b, webhook: {url: "http://b", secret_file: gone}}
remote_write:
- {url: http://a/w, tls_config: {ca_file: gone.pem}}
- {url: http://b/w, authorization: {credentials_file: ""}, tls_config: {ca_file: gone2.pem}}
- {url: http://c/w, authorization: {credentials_file: nothere}}
web: {external_url: "localhost:19720"}
evaluation: {interval: 0s, intervall: 1s}
`, "broken.yml": "groups:\n- name: g\n  rules:\n  - {alert: A, expr: sum(}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := CheckConfig(file, time.Unix(1_800_000_000, 0))
	told := apart(err)
	for _, want := range []string{
		file + `: line 14: unknown key "intervall"`,
		file + ": line 3: rules.files: " + filepath.Join(dir, "none/*.yml") + " names no file: ",
		file + ": line 3: rules.files: " + filepath.Join(dir, "[.yml") + ": syntax error in pattern",
		filepath.Join(dir, "broken.yml") + ":4:",
		file + ": line 4: fleet.directory: ", file + ": line 5: policies.directory: ",
		file + `: line 7: receivers["a"].mail.smarthost: `, file + `: line 8: receivers["b"]: webhook b: read secret_file`,
		file + ": line 10: remote_write[0]: ", file + ": line 11: remote_write[1]: ",
		file + ": line 12: remote_write[2].authorization.credentials_file: open " + filepath.Join(dir, "nothere"),
		file + ": line 13: web.external_url: want http://HOST:PORT",
	} {
		if !slices.ContainsFunc(told, func(e error) bool { return strings.HasPrefix(e.Error(), want) }) {
			t.Errorf("no fault begins with %q:\n%v", want, err)
		}
	}
}

// TestCheckConfigWarnsOfPlacesNobodyDeclared: what a mapping of the feed names may be declared later, and is a slip more often.
func TestCheckConfigWarnsOfPlacesNobodyDeclared(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "watchbill.yml")
	if err := os.Mkdir(filepath.Join(dir, "fleet"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"watchbill.yml": `fleet: {directory: fleet}
feed:
  mappings:
  - match: ['a="b"']
    set: {customer: {value: acmee}, site: {value: leeds}}
  - match: ['a="c"']
    set:
      customer: {label: tenant, map: {t1: acme, t2: acmee}}
      site: {label: x, map: {a: ledes}}
`, "fleet/acme.yml": "customers:\n- {id: acme, name: Acme, sites: [{id: leeds}]}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := CheckConfig(file, time.Unix(1_800_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, f := range found.Terms {
		if strings.Contains(f.Text, "feed.mappings") && !f.Fault {
			told = append(told, f.String())
		}
	}
	want := []string{`: line 5: feed.mappings[0].set.customer: "acmee" is no customer`, `: line 8: feed.mappings[1].set.customer: "acmee" is no customer`,
		`: line 9: feed.mappings[1].set.site: "ledes" is no site`}
	if len(told) != len(want) {
		t.Fatalf("warns of %q, want %q", told, want)
	}
	for i := range want {
		if !strings.HasPrefix(told[i], file+want[i]) {
			t.Errorf("warns %q, want %q", told[i], want[i])
		}
	}
}
