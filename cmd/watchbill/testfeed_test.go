package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTestFeed(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"fleet/acme.yml": "customers: [{id: acme, sites: [{id: london, assets: [{name: db1}]}]}]\n",
		"watchbill.yml": `
fleet: {directory: fleet}
feed:
  mappings:
  - match: ['tenant=~".+"']
    set: {customer: {label: tenant, map: {t-17: acme}}, asset: {label: vm, regex: "vm-(.*)", replace: "$1"}}
    continue: true
  - match: ['team="db"']
    set: {service: {value: database}, severity: {label: prio, map: {P1: critical, "*": warning}}}
`,
		"bad.yml": `
feed:
  resolve_timeout: soon
  mappings: [{match: ['{{'], set: {severity: {value: dire}}}, {set: {custommer: {value: x}}}]
`,
		"wrong.yml": `feed: {webhook_lapse: 1s, mappings: [{match: ['{{'], set: {severity: {value: dire}}}]}`,
		"feed_test.yml": `
config: watchbill.yml
tests:
- name: a database of acme
  labels: {alertname: PostgresDown, tenant: t-17, vm: vm-db1, team: db, prio: P1}
  expect: {customer: acme, asset: db1, site: london, service: database, system: "", severity: critical}
- name: nobody's
  labels: {alertname: PostgresDown, instance: "db9:9187"}
  expect: {customer: "", asset: db9, why: no customer}
- name: wrong
  labels: {alertname: X, instance: "db1:1"}
  expect: {customer: beta, why: no customer}
`,
		"empty_test.yml": "config: watchbill.yml\ntests: [{name: a, labels: {}, expect: {colour: red}}, {labels: {a: b}}]\n",
		"lost_test.yml":  "config: lost.yml\ntests: [{name: a, labels: {a: b}, expect: {customer: x}}]\n",
		"none_test.yml":  "tests: [{name: a, labels: {a: b}, expect: {customer: x}}]\n",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"what holds", []string{"test", "feed", "--run", "acme|nobody", at("feed_test.yml")}, 0, []string{"feed_test.yml: passed (2 tests)"}},
		{"what does not", []string{"test", "feed", at("feed_test.yml")}, 1, []string{`wrong: customer is "acme", want "beta"`, `wrong: why is "", want it to say "no customer"`}},
		{"another configuration", []string{"test", "feed", "--config", at("watchbill.yml"), at("none_test.yml")}, 1, []string{`customer is "", want "x"`}},
		{"without a configuration", []string{"test", "feed", at("none_test.yml")}, 1, []string{"config: name the collector's configuration"}},
		{"a configuration that is not there", []string{"test", "feed", at("lost_test.yml")}, 1, []string{"lost_test.yml: config: stat ", "or give --config"}},
		{"a faulty file", []string{"test", "feed", at("empty_test.yml")}, 1, []string{`tests[0].expect: unknown key "colour"`, "tests[0].labels", "tests[1].name", "tests[1].expect"}},
		{"no such file", []string{"test", "feed", at("gone.yml")}, 1, []string{"read the tests"}},
		{"a check of a good configuration", []string{"check", "config", at("watchbill.yml")}, 0, []string{"is good"}},
		{"a check of a bad form", []string{"check", "config", at("bad.yml")}, 1, []string{`"soon" is no duration`, `unknown key "custommer"`}},
		{"a check of bad values", []string{"check", "config", at("wrong.yml")}, 1, []string{"feed.webhook_lapse", "feed.mappings[0].match", `feed.mappings[0].set.severity: value "dire"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := cli(t, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d:\n%s%s", code, c.code, out, errs)
			}
			for _, want := range c.says {
				if !strings.Contains(out+errs, want) {
					t.Errorf("says\n%s%s\nwant it to say %q", out, errs, want)
				}
			}
		})
	}
}
