package main

import (
	"bytes"
	"encoding/xml"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/rules/policies"
)

// policyDir is a directory with an edited erp-partner, whose high response is two hours, and a scenario of its own.
func policyDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	set, err := fs.ReadFile(policies.Files(), "erp-partner/policy.yml")
	if err != nil {
		t.Fatal(err)
	}
	edited := bytes.Replace(set, []byte(`within: "1h,business"`), []byte(`within: "2h,business"`), 1)
	if bytes.Equal(set, edited) {
		t.Fatal("erp-partner has no target of one hour")
	}
	const story = `
sets: [erp-partner]
scenarios:
  - name: two hours
    timeline: [{at: 2026-03-02 09:00, open: {as: a, facts: {impact: team, urgency: time-critical}}, expect: {clocks: {response: {due: 2026-03-02 11:00}}}}]
  - name: three hours
    timeline: [{at: 2026-03-02 09:00, open: {as: a, facts: {impact: team, urgency: time-critical}}, expect: {clocks: {response: {due: 2026-03-02 12:00}}}}]
`
	for name, text := range map[string]string{
		"sets/erp-partner/policy.yml": string(edited), "sets/erp-partner/own_test.yml": story,
		"alone_test.yml": story, "bad_test.yml": "scenarios: [{name: x, timeline: [{att: y}]}]\n", "empty/notes.txt": "nothing",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTestPolicies(t *testing.T) {
	dir := policyDir(t)
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"a directory's own sets and scenarios", []string{at("sets")}, 1, []string{
			at("sets/erp-partner/own_test.yml") + ":7: three hours: Mon 2026-03-02 09:00:00 UTC: a: clock response: due: want Mon 2026-03-02 12:00:00 UTC, got Mon 2026-03-02 11:00:00 UTC"}},
		{"only the good one", []string{"--run", "^two", at("sets")}, 0, []string{"own_test.yml: passed (1 scenario)"}},
		{"a file over the shipped sets", []string{"--run", "two", at("alone_test.yml")}, 1, []string{"alone_test.yml:5: two hours", "got Mon 2026-03-02 10:00:00 UTC"}},
		{"a file over a directory's sets", []string{"--run", "two", "--sets", at("sets"), at("alone_test.yml")}, 0, []string{"passed (1 scenario)"}},
		{"what an edited set no longer does", []string{"--sets", at("sets"), "--run", "all four priorities"}, 1, []string{
			"erp-partner/scenarios_test.yml:", `response and resolution of all four priorities`, `want "1h,business", got "2h,business"`}},
		{"none of that name", []string{"--run", "nothing", at("alone_test.yml")}, 0, []string{"no scenario was played", "passed (0 scenarios)"}},
		{"a faulty file", []string{at("bad_test.yml")}, 1, []string{`bad_test.yml: line 1: unknown key "att"`}},
		{"no such file", []string{at("gone_test.yml")}, 1, []string{"read scenarios: ", "gone_test.yml"}},
		{"no scenarios in it", []string{at("empty")}, 1, []string{"there is no file of scenarios in it: want names that end in _test.yml"}},
		{"no directory of sets", []string{"--sets", at("alone_test.yml")}, 1, []string{"--sets: ", "is no directory"}},
		{"no expression", []string{"--run", "(", at("alone_test.yml")}, 2, []string{"--run: error parsing regexp"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := cli(t, append([]string{"test", "policies"}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.says {
				if !strings.Contains(out+errs, want) {
					t.Errorf("says\n%s%s\nwant it to say %q", out, errs, want)
				}
			}
		})
	}
}

func TestTestPoliciesRunsWhatShips(t *testing.T) {
	file := filepath.Join(t.TempDir(), "verdicts.xml")
	code, out, errs := cli(t, "test", "policies", "--junit", file)
	text, err := os.ReadFile(file)
	if err != nil || code != 0 {
		t.Fatalf("exit code %d, %v:\n%s%s", code, err, out, errs)
	}
	var got junitFile
	if err := xml.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, s := range got.Suites {
		cases += s.Tests
		if s.Failures+s.Errors > 0 || len(s.Cases) != s.Tests {
			t.Errorf("%+v", s)
		}
	}
	if len(got.Suites) < 6 || cases < 100 {
		t.Errorf("%d suites with %d scenarios: want those of every set", len(got.Suites), cases)
	}
}
