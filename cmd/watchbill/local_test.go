package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector"
	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/bolt"
)

func TestFirstAdministrator(t *testing.T) {
	nobody := errUnreachable
	dir := filepath.Join(t.TempDir(), "state")
	first, err := addLocally(t.Context(), dir, api.OperatorRequest{Name: "alice"}, nobody)
	if err != nil || first.Role != string(fleet.Admin) {
		t.Fatalf("first is %+v, %v; want an administrator", first, err)
	}
	second, err := addLocally(t.Context(), dir, api.OperatorRequest{Name: "bob"}, nobody)
	if err != nil || second.Role != string(fleet.Responder) {
		t.Fatalf("second is %+v, %v; want an operator", second, err)
	}
	if _, err := addLocally(t.Context(), dir, api.OperatorRequest{Name: "bob"}, nobody); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("twice: %v", err)
	}
	s, err := bolt.Open(filepath.Join(dir, collector.StoreName), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	reg := fleet.NewRegistry(store.Keeper(s), fleet.Options{})
	if err := reg.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if who, ok := reg.Authenticate(first.Token); !ok || who.Name != "alice" || who.Role != fleet.Admin {
		t.Errorf("the printed token is %+v's, %v", who, ok)
	}
	if _, err := addLocally(t.Context(), dir, api.OperatorRequest{Name: "eve"}, nobody); err == nil ||
		!strings.Contains(err.Error(), "storage cannot be written to directly") {
		t.Errorf("beside another process: %v", err)
	}
}

func TestOperatorAddElsewhereNeverWritesHere(t *testing.T) {
	dir := t.TempDir()
	code, _, errs := cli(t, "operator", "add", "eve", "--url", "http://127.0.0.1:1", "--storage.path", dir)
	if code != exitFailed || !strings.Contains(errs, "no collector answers at http://127.0.0.1:1") {
		t.Errorf("exit code %d, says %s", code, errs)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("a collector was named, and yet %v was made here", left)
	}
}

// A token of a store that no collector runs with is of no use, and who makes one has to hear of it.
func TestOperatorAddSaysThatItWroteToAStoreItself(t *testing.T) {
	if conn, err := net.DialTimeout("tcp", "127.0.0.1:9720", time.Second); err == nil {
		_ = conn.Close()
		requirePeer(t, "something listens at the default --url, and nothing may")
	}
	home := t.TempDir()
	for _, name := range []string{"HOME", "XDG_STATE_HOME", "LocalAppData"} {
		t.Setenv(name, home)
	}
	code, out, errs := cli(t, "operator", "add", "prom", "--role", "sender")
	if code != exitFailed || out != "" || !strings.Contains(errs, "no store at") || !strings.Contains(errs, "--storage.path") {
		t.Errorf("exit code %d, output %q, says %s", code, out, errs)
	}
	if left, _ := os.ReadDir(home); len(left) != 0 {
		t.Errorf("nobody named a place, and yet %v was made", left)
	}
	dir := filepath.Join(home, "state")
	for _, want := range []string{"a new store, ", "written to the store, "} {
		code, out, errs = cli(t, "operator", "add", "a"+strconv.Itoa(len(want)), "--storage.path", dir)
		if code != exitOK || !strings.HasPrefix(out, "wbo_") || !strings.Contains(errs, want+filepath.Join(dir, collector.StoreName)) ||
			!strings.Contains(errs, "no collector answered at "+defaultURL) {
			t.Errorf("exit code %d, output %q, says %s; want %q", code, out, errs, want)
		}
	}
}

func TestCheckAndTestRules(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := write("good.yml", `
groups:
- name: g
  rules:
  - alert: Down
    expr: up == 0
    labels: {severity: critical, service: host, system: server}
    annotations: {summary: "{{ $labels.instance }} is down"}
`)
	other := write("other.yml", "groups:\n- name: o\n  rules:\n  - {record: a, expr: up}\n  - {record: b, expr: up}\n")
	poor := write("poor.yml", "groups:\n- name: p\n  rules:\n  - alert: Poor\n    expr: up == 0\n")
	unowned := write("unowned.yml", "groups:\n- name: u\n  rules:\n  - alert: Unowned\n    expr: up == 0\n    labels: {system: printer}\n")
	broken := write("broken.yml", "groups:\n- name: b\n  rules:\n  - alert: One\n    expr: up ==\n  - alert: Two\n    expr: sum(\n")
	frozen := write("frozen.yml", "groups:\n- name: f\n  rules:\n  - alert: Frozen\n    expr: up == 0\n    labels: {watchbill_missing: melt}\n")
	subquery := write("subquery.yml", "groups:\n- name: s\n  rules:\n  - alert: Sub\n    expr: max_over_time(up[1h:]) == 0\n")
	test := func(name, alert string) string {
		return write(name, `
rule_files: [good.yml]
evaluation_interval: 1m
tests:
- input_series:
  - {series: 'up{instance="web1"}', values: "0 0"}
  alert_rule_test:
  - eval_time: 1m
    alertname: Down
    exp_alerts: [`+alert+`]
`)
	}
	passes := test("good_test.yml", `{exp_labels: {instance: web1, severity: critical, service: host, system: server}, exp_annotations: {summary: "web1 is down"}}`)
	fails := test("bad_test.yml", "")
	meaning := write("meaning.yml", "groups:\n- name: m\n  rules:\n  - alert: Meaning\n    expr: up == 0\n    labels:\n      watchbill_missing: foo\n")
	far := write("far.yml", "groups:\n- name: f\n  rules:\n  - alert: Far\n    expr: rate(x[30d]) > 1\n")
	refusedTest := write("meaning_test.yml", "rule_files: [meaning.yml]\ntests: [{promql_expr_test: [{expr: '1', eval_time: 0, exp_samples: [{value: 1}]}]}]\n")
	poorConfig := write("poorc.yml", "rules:\n  files: [poor.yml]\n")
	meaningConfig := write("meaningc.yml", "rules:\n  files: [meaning.yml, unowned.yml]\n")
	config := write("c.yml", "rules:\n  files: [good.yml]\n")
	badConfig := write("bad.yml", "rules:\n  fils: [good.yml]\n")
	receivers := "receivers:\n- {name: desk, webhook: {url: 'http://desk.example', secret_file: /nowhere/a}}\n" +
		"- {name: pager, webhook: {url: 'http://pager.example', secret_file: /nowhere/b}}\n"
	unownedConfig := write("unownedc.yml", "rules:\n  files: [unowned.yml, poor.yml]\n")
	worseConfig := write("worse.yml", "rules:\n  files: [broken.yml, unowned.yml]\nfleet:\n  directory: nowhere\n"+receivers)
	worstConfig := write("worst.yml", "storage: {path: ''}\nfleet: {directory: nowhere}\n"+receivers)
	badTest := write("badkey_test.yml", "tests:\n- intervall: 1m\n")

	tests := []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"good rules", []string{"check", "rules", good}, 0, []string{"1 rule in 1 group of 1 file is good."}},
		{"more good rules", []string{"check", "rules", good, other}, 0, []string{"3 rules in 2 groups of 2 files are good."}},
		{"good rules, lint", []string{"check", "rules", "--lint", good}, 0, nil},
		{"poor rules", []string{"check", "rules", poor}, 0, []string{"warning: " + poor, "severity"}},
		{"poor rules, lint", []string{"check", "rules", "--lint", poor}, 1, []string{poor, "severity"}},
		{"a system nobody knows", []string{"check", "rules", good, unowned}, 1,
			[]string{"\n" + unowned + ":6: ", `label "system" is "printer": want a word of the ownership map`, "words for system: client-device", "warning: " + unowned}},
		{"a label that means nothing", []string{"check", "rules", meaning}, 1, []string{meaning + `:7: group "m": rule "Meaning": label "watchbill_missing" is "foo"`}},
		{"a range nobody keeps", []string{"check", "rules", far}, 1, []string{far + `:5: group "f": rule "Far": looks back 30d, and the window keeps 8d`}},
		{"a test of what the collector refuses", []string{"test", "rules", refusedTest}, 0,
			[]string{"warning: " + refusedTest + ": the collector would refuse these rules: " + meaning + ":7: ", "passed"}},
		{"every fault", []string{"check", "rules", broken}, 1, []string{"One", "Two", "\n" + broken + ":7:15: "}},
		{"every fault of every file", []string{"check", "rules", broken, unowned, frozen}, 1, []string{
			broken + ":5:16: ", "\n" + broken + ":7:15: ", "\n" + unowned + ":6: ", `label "system" is "printer"`,
			frozen + ":6: ", `label "watchbill_missing" is "melt"`}},
		{"a subquery without a step", []string{"check", "rules", "--explain", subquery}, 0, []string{"arrival  Sub  ("}},
		{"a subquery of too many steps", []string{"check", "rules", "--explain", "--evaluation-interval", "1s", subquery}, 0,
			[]string{"timer    Sub  (a subquery of 3600 steps"}},
		{"no file", []string{"check", "rules", filepath.Join(dir, "none.yml")}, 1, []string{"watchbill: read rules: open "}},
		{"no argument", []string{"check", "rules"}, 2, []string{"FILE is missing"}},
		{"tests pass", []string{"test", "rules", passes}, 0, []string{passes + ": passed (1 test)"}},
		{"tests fail", []string{"test", "rules", passes, fails}, 1, []string{passes + ": passed", "Down", "expected"}},
		{"no test", []string{"test", "rules", filepath.Join(dir, "none.yml")}, 1, []string{"none.yml"}},
		{"good configuration", []string{"check", "config", config}, 0, []string{"is good"}},
		{"a configuration whose rules are poor", []string{"check", "config", poorConfig}, 0, []string{"warning: " + poor + ":4: ", "is good"}},
		{"a configuration whose rules are refused, and others", []string{"check", "config", meaningConfig}, 1,
			[]string{meaning + ":7: ", unowned + `:6: group "u": rule "Unowned": label "system" is "printer"`}},
		{"a configuration whose rules have a system nobody knows", []string{"check", "config", unownedConfig}, 1,
			[]string{unowned + `:6: group "u": rule "Unowned": label "system" is "printer"`}},
		{"misspelt key", []string{"check", "config", badConfig}, 1, []string{`bad.yml: line 2: unknown key "fils"`}},
		{"everything it names", []string{"check", "config", worseConfig}, 1, []string{"One", "Two", `label "system" is "printer"`, "nowhere",
			`worse.yml: line 6: receivers["desk"]: webhook desk: read secret_file`, `line 7: receivers["pager"]: webhook pager: read secret_file`}},
		{"values and what it names", []string{"check", "config", worstConfig}, 1, []string{"storage.path: must name", "nowhere", "webhook desk: "}},
		{"a misspelt key and what it names", []string{"check", "config", write("both.yml", "wep: {}\nrules: {files: [broken.yml, none.yml]}\n"+receivers)}, 1,
			[]string{`both.yml: line 1: unknown key "wep"`, broken + ":7:15: ", "both.yml: line 2: rules.files: ", "webhook pager: read secret_file"}},
		{"misspelt test", []string{"test", "rules", badTest}, 1, []string{badTest + `:2: tests[0]: unknown key "intervall": want one of alert_rule_test`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := cli(t, tt.args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.says {
				if !strings.Contains(out+errs, want) {
					t.Errorf("says\n%s%s\nwant it to say %q", out, errs, want)
				}
			}
		})
	}
}

func TestVersion(t *testing.T) {
	if code, out, _ := cli(t, "version"); code != 0 || !regexp.MustCompile(`^watchbill \S+ \(.+\) go1\.\d+\S* \w+/\w+\n$`).MatchString(out) {
		t.Errorf("exit code %d: %q", code, out)
	}
	_, long, _ := cli(t, "version")
	if code, out, _ := cli(t, "--version"); code != 0 || out != long {
		t.Errorf("exit code %d: %q, want %q", code, out, long)
	}
	if code, out, _ := cli(t, "version", "--output", "json"); code != 0 || !strings.Contains(out, `"go_version": "go1.`) {
		t.Errorf("exit code %d: %q", code, out)
	}
	if code, _, _ := cli(t, "version", "--output", "xml"); code != exitUsage {
		t.Errorf("exit code %d, want 2", code)
	}
}
