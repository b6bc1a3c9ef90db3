package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/rules"
)

// Rules and policies have one list of words for systems.
func TestSystemsAreOneList(t *testing.T) {
	want := slices.Sorted(slices.Values(rules.Systems))
	if got := policy.Systems(); !slices.Equal(got, want) {
		t.Errorf("policies know %v\nrules know %v", got, want)
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	file = filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update when that is meant):\n%s", file, got)
	}
}

func TestSLAExplainGolden(t *testing.T) {
	for file, args := range map[string][]string{
		"sla_erp.txt":     {"--set", "erp-partner", "--priority", "system-down", "--at", "2026-12-24T17:50:00Z"},
		"sla_erp.json":    {"--set", "erp-partner", "--priority", "system-down", "--at", "2026-12-24T17:50:00Z", "--output", "json"},
		"sla_p3.txt":      {"--set", "software-group", "--priority", "P3", "--at", "2026-11-20T16:00:00Z"},
		"sla_web.txt":     {"--set", "web-host", "--priority", "urgent", "--type", "password", "--fact", "lines-busy", "--channel", "telephone", "--contract", "cover=24x7", "--at", "2026-03-08T01:50:00-05:00"},
		"sla_best.json":   {"--set", "it-provider", "--priority", "P1", "--contract", "target.P1.response=2h,business,inform", "--contract", "zone=Europe/Berlin", "--at", "2026-10-23T17:30:00+02:00", "-o", "json"},
		"sla_normal.txt":  {"--set", "web-host", "--priority", "normal", "--at", "2026-03-08T01:50:00-05:00"},
		"sla_normal.json": {"--set", "web-host", "--priority", "normal", "--at", "2026-03-08T01:50:00-05:00", "--output", "json"},
	} {
		t.Run(file, func(t *testing.T) {
			code, out, errs := cli(t, append([]string{"sla", "explain"}, args...)...)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			golden(t, file, out)
		})
	}
}

// The worked examples, through the command.
func TestSLAExplainWorkedExamples(t *testing.T) {
	for _, tc := range []struct{ name, args, clock, due string }{
		{"system-down, response", "--set erp-partner --priority system-down --at 2026-12-24T17:50:00Z", "response", "2026-12-29T08:05:00Z"},
		{"system-down, access", "--set erp-partner --priority system-down --at 2026-12-24T17:50:00Z", "access", "2026-12-29T11:50:00Z"},
		{"high, resolution", "--set erp-partner --priority high --at 2026-03-27T17:30:00Z", "resolution", "2026-03-30T15:30:00+01:00"},
		{"24x7 in spring", "--set web-host --priority urgent --contract cover=24x7 --at 2026-03-08T01:50:00-05:00", "response", "2026-03-08T03:10:00-04:00"},
		{"24x7 in autumn", "--set web-host --priority urgent --contract cover=24x7 --at 2026-11-01T01:50:00-04:00", "response", "2026-11-01T01:10:00-05:00"},
		{"P3", "--set software-group --priority P3 --at 2026-11-20T16:00:00Z", "response", "2026-11-23T15:30:00Z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			args := append([]string{"sla", "explain", "--output", "json"}, strings.Fields(tc.args)...)
			code, out, errs := cli(t, args...)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			var got []struct {
				Clock, Mode string
				Start, Due  time.Time
				Breaches    bool
				Intervals   []struct {
					From, To time.Time
					Counted  bool
					Reason   string
				}
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			for _, c := range got {
				if c.Clock != tc.clock {
					continue
				}
				if c.Due.Format(time.RFC3339) != tc.due || !c.Breaches || c.Mode == "" || len(c.Intervals) == 0 {
					t.Errorf("%+v, want it due %s", c, tc.due)
				}
				last := c.Start
				for _, i := range c.Intervals {
					if !i.From.Equal(last) || i.Reason == "" {
						t.Errorf("%+v does not follow %v", i, last)
					}
					last = i.To
				}
				if !last.Equal(c.Due) {
					t.Errorf("intervals end %v, due %v", last, c.Due)
				}
				return
			}
			t.Errorf("no clock %s in %s", tc.clock, out)
		})
	}
}

func TestSLAExplainRefusals(t *testing.T) {
	for _, tc := range []struct {
		name, args string
		code       int
		says       string
	}{
		{"no set", "--priority P1 --at 2026-03-08T01:50:00Z", 2, "--set is missing"},
		{"no such set", "--set web-hots --priority urgent --at 2026-03-08T01:50:00Z", 2, "shipped sets are customer-operations, default, erp-partner"},
		{"no priority", "--set web-host --at 2026-03-08T01:50:00Z", 2, "write one of urgent, high, normal"},
		{"no such priority", "--set web-host --priority P1 --at 2026-03-08T01:50:00Z", 2, `priority: "P1" is not known: write one of urgent, high, normal`},
		{"no such type", "--set web-host --priority urgent --type pasword --at 2026-03-08T01:50:00Z", 2, `did you mean "password"?`},
		{"no such channel", "--set web-host --priority urgent --channel phone --at 2026-03-08T01:50:00Z", 2, "write one of telephone, email, on-call, page, detected"},
		{"no such fact", "--set web-host --priority urgent --fact lines-bsy --at 2026-03-08T01:50:00Z", 2, `did you mean "lines-busy"?`},
		{"no such word", "--set web-host --priority urgent --fact workaround=true --at 2026-03-08T01:50:00Z", 2, "write one of accepted, proposed"},
		{"no such key", "--set web-host --priority urgent --contract covr=24x7 --at 2026-03-08T01:50:00Z", 2, `did you mean "cover"?`},
		{"no such cover", "--set web-host --priority urgent --contract cover=24x5 --at 2026-03-08T01:50:00Z", 2, `web-host does not offer the cover "24x5": it offers 24x7`},
		{"no such region", "--set web-host --priority urgent --contract region=GB --at 2026-03-08T01:50:00Z", 2, "GB-ENG, GB-NIR, GB-SCT, US"},
		{"no such zone", "--set web-host --priority urgent --contract zone=Mars --at 2026-03-08T01:50:00Z", 2, "expected an IANA zone like Europe/London"},
		{"oncall by another word", "--set web-host --priority urgent --contract oncall=perhaps --at 2026-03-08T01:50:00Z", 2, "write true or false"},
		{"no value", "--set web-host --priority urgent --contract cover --at 2026-03-08T01:50:00Z", 2, "want KEY=VALUE"},
		{"target of no priority", "--set web-host --priority urgent --contract target.P1.response=1h,elapsed --at 2026-03-08T01:50:00Z", 2, "its priorities are urgent, high, normal"},
		{"target of no clock", "--set web-host --priority urgent --contract target.urgent.respond=1h,elapsed --at 2026-03-08T01:50:00Z", 2, "its clocks are callback, resolution, response, restore, turnaround"},
		{"target without a mode", "--set web-host --priority urgent --contract target.urgent.response=1h --at 2026-03-08T01:50:00Z", 2, "expected DURATION,MODE"},
		{"target without a clock", "--set web-host --priority urgent --contract target.urgent=1h,elapsed --at 2026-03-08T01:50:00Z", 2, "write target.PRIORITY.CLOCK=DURATION,MODE"},
		{"no time", "--set web-host --priority urgent", 2, "want a date, a time and its offset from UTC"},
		{"time without a zone", "--set web-host --priority urgent --at 2026-03-08T01:50:00", 2, "want a date, a time and its offset from UTC"},
		{"another output", "--set web-host --priority urgent --at 2026-03-08T01:50:00Z --output xml", 2, "--output: want text or json"},
		{"two sets that clash", "--set web-host,erp-partner --priority urgent --at 2026-03-08T01:50:00Z", 2, "calendar: given by web-host and erp-partner"},
		{"two sets, and which wins", "--set web-host,erp-partner --priority high --contract override.calendar=erp-partner --contract override.targets=erp-partner --at 2026-03-08T01:50:00Z", 0, "8h,business (erp-partner 1)"},
		{"three sets", "--set erp-partner,customer-operations,it-provider --priority high --at 2026-03-08T01:50:00Z", 0, "high under erp-partner+customer-operations+it-provider, version 1+1+1"},
		{"without agreement it informs", "--set it-provider --priority P1 --contract target.P1.response=2h,elapsed --at 2026-03-08T01:50:00Z", 0, "it informs and never breaches"},
		{"without targets it is said", "--set customer-operations --priority P1 --at 2026-03-08T01:50:00Z", 0, "warning: contract command-line: no targets: customer-operations takes them from the contract"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, out, errs := cli(t, append([]string{"sla", "explain"}, strings.Fields(tc.args)...)...)
			if code != tc.code || !strings.Contains(out+errs, tc.says) {
				t.Errorf("exit code %d, want %d; says\n%s%s\nwant %q", code, tc.code, out, errs, tc.says)
			}
		})
	}
}

func TestSLAExplainCustomer(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "acme.yml")
	write(t, file, `
customers:
  - id: acme
    contracts:
      - id: acme-2026
        sets: [web-host]
        from: 2026-01-01
        until: 2026-12-31
        cover: 24x7
        targets: [{priority: urgent, clock: resolution, within: "12h,elapsed"}]
      - {id: acme-2027, sets: [web-host], from: 2027-01-01}
`)
	for _, tc := range []struct {
		name, file, at, set string
		code                int
		says                string
	}{
		{"the contract in force", file, "2026-03-08T01:50:00-05:00", "", 0, "12h,elapsed (contract acme-2026)"},
		{"the next one", file, "2027-03-08T01:50:00-05:00", "", 0, "24h,elapsed (web-host 1)"},
		{"without one: the default set", file, "2025-03-08T01:50:00-05:00", "", 2, `priority: "urgent" is not known: write one of P1, P2, P3`},
		{"another set under its terms", file, "2026-03-08T01:50:00-05:00", "web-host", 0, "20m,elapsed"},
		{"a directory", dir, "2026-03-08T01:50:00-05:00", "", 0, "12h,elapsed"},
		{"no such file", filepath.Join(dir, "none.yml"), "2026-03-08T01:50:00-05:00", "", 1, "none.yml"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			args := []string{"sla", "explain", "--customer", tc.file, "--priority", "urgent", "--at", tc.at}
			if tc.set != "" {
				args = append(args, "--set", tc.set)
			}
			code, out, errs := cli(t, args...)
			if code != tc.code || !strings.Contains(out+errs, tc.says) {
				t.Errorf("exit code %d, want %d; says\n%s%s\nwant %q", code, tc.code, out, errs, tc.says)
			}
		})
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.TrimPrefix(text, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A set is copied, edited, checked and asked, as an operator would.
func TestPoliciesAreCopiedEditedAndChecked(t *testing.T) {
	dir := t.TempDir()
	step := func(code int, says string, args ...string) string {
		t.Helper()
		got, out, errs := cli(t, args...)
		if got != code || !strings.Contains(out+errs, says) {
			t.Fatalf("%v: exit code %d, want %d; says\n%s%s\nwant %q", args, got, code, out, errs, says)
		}
		return out + errs
	}
	file := filepath.Join(dir, "software-group", "policy.yml")
	step(0, file+": edit it", "policies", "copy", "software-group", dir)
	step(1, "is there already", "policies", "copy", "software-group", dir)
	step(0, "scenarios_test.yml: passed (", "test", "policies", filepath.Dir(file), "--run", "tables of software-group")
	half := filepath.Join(t.TempDir(), "half")
	write(t, filepath.Join(half, "web-host", "policy.yml"), "name: web-host\n")
	step(1, "policy.yml is there already", "policies", "copy", "web-host", half)
	if _, err := os.Stat(filepath.Join(half, "web-host", shippedScenarios)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a copy that was refused left scenarios behind: %v", err)
	}
	step(0, "default/policy.yml: edit it", "policies", "copy", "default", half)
	step(2, "there are customer-operations, default", "policies", "copy", "software", dir)
	step(2, "DIR is missing", "policies", "copy", "software-group")
	step(0, "erp-partner", "policies", "list")
	shown := step(0, "name: software-group", "policies", "show", "software-group")
	step(2, `no shipped policy set "none"`, "policies", "show", "none")
	step(0, "1 policy set is good.", "check", "policies", dir)
	step(0, "6 policy sets are good.", "check", "policies")
	step(0, "2 policy sets are good.", "check", "policies", "web-host", file)
	step(0, ": calendar\n", "check", "policies", "--choices", filepath.Join(dir, "software-group"))
	step(2, "holds no policy set", "check", "policies", t.TempDir())
	step(2, "no shipped set, directory or file", "check", "policies", "web-hots")

	step(0, "2h,business", "sla", "explain", "--set", dir, "--priority", "P1", "--at", "2026-11-20T16:00:00Z")
	two := filepath.Join(t.TempDir(), "two")
	step(0, "edit it", "policies", "copy", "software-group", two)
	step(0, "edit it", "policies", "copy", "web-host", two)
	step(2, "holds 2 policy sets, one is wanted: name "+filepath.Join(two, "software-group"), "sla", "explain", "--set", two, "--priority", "P1", "--at", "2026-11-20T16:00:00Z")
	step(2, "holds 0 policy sets", "sla", "explain", "--set", t.TempDir(), "--priority", "P1", "--at", "2026-11-20T16:00:00Z")

	write(t, file, strings.Replace(shown, `"2h,business"`, `"1h,business"`, 1))
	step(0, "1h,business", "sla", "explain", "--set", filepath.Dir(file), "--priority", "P1", "--at", "2026-11-20T16:00:00Z")
	step(1, `want "2h,business", got "1h,business"`, "test", "policies", filepath.Dir(file))
	write(t, file, strings.Replace(shown, `"2h,business"`, `"2h,busines"`, 1))
	step(1, file+":", "check", "policies", dir)
	step(1, file+":", "check", "policies", file)
	step(1, file+":", "sla", "explain", "--set", file, "--priority", "P1", "--at", "2026-11-20T16:00:00Z")
	write(t, file, shown)

	fleet := filepath.Join(dir, "fleet")
	write(t, filepath.Join(fleet, "acme.yml"), `
customers:
  - id: acme
    contracts: [{id: acme-2026, sets: [software-group, it-provider], cover: 24x7}]
`)
	got := step(1, "acme.yml:3: contract acme-2026: notices: given by software-group and it-provider", "check", "policies", dir, "--customers", fleet)
	if strings.Contains(got, "good") {
		t.Errorf("good all the same:\n%s", got)
	}
	step(1, "nowhere", "check", "policies", "--customers", filepath.Join(dir, "nowhere"))
}

// TestCheckConfigChecksTerms: what a collector would refuse to start with, and what nobody would ever be told by, is named
// with its place before it is started.
func TestCheckConfigChecksTerms(t *testing.T) {
	shipped, err := shippedFile("it-provider")
	if err != nil {
		t.Fatal(err)
	}
	paged := strings.Replace(string(shipped), "share: 100%, to: [{party: owner}", "share: 100%, to: [{receiver: pager}", 1)
	for name, tt := range map[string]struct {
		fleet, config string
		code          int
		says          []string
	}{
		"good": {"people: [{id: ann, name: Ann, receivers: [desk]}]\ncontacts: [{role: technical-operation, person: ann}]\n" +
			"customers: [{id: acme, name: Acme}]\n", "receivers: [{name: desk, webhook: {url: 'http://desk.example'}}]\n", 0, []string{"is good"}},
		"a set that is none": {"customers:\n- id: acme\n  contracts:\n  - {id: acme-1, sets: [no-such-set]}\n", "", 1,
			[]string{"fleet.yml:4: ", "no-such-set"}},
		"sets that overlap": {"customers:\n- id: acme\n  contracts:\n  - {id: acme-1, sets: [erp-partner, web-host]}\n", "", 1,
			[]string{"fleet.yml:4: ", "override"}},
		"a rung that names one": {"", "policies: {directory: sets}\n", 1, []string{`ladder: "response missed": receiver "pager" is not in the configuration, which has none`}},
		"a rung that names one, beside a fleet that cannot be read": {"peeple: []\n", "policies: {directory: sets}\n", 1,
			[]string{`unknown key "peeple"`, `ladder: "response missed": receiver "pager" is not in the configuration`}},
		"a receiver that could not be read": {"people:\n- {id: ann, name: Ann, receivers: [desk]}\ncustomers:\n- id: acme\n  contracts:\n  - {id: acme-1, sets: [no-such-set]}\n",
			"receivers: [{name: desk, webhook: {url: 'http://desk.example', http_config: {proxy_url: '::'}}}]\n", 1,
			[]string{"watchbill.yml: line 2: receivers[0]: parse", "no-such-set", "! is not in the configuration"}},
		"policies that could not be read": {"customers:\n- id: acme\n  contracts:\n  - {id: acme-1, sets: [mine]}\n", "policies: {directory: [sets]}\n", 1,
			[]string{"watchbill.yml: line 2: want text, got a list", "! mine"}},
		"a receiver that is none": {"people:\n- {id: ann, name: Ann, receivers: [pager]}\n", "", 1,
			[]string{`fleet.yml:2: person ann: receiver "pager" is not in the configuration, which has none: add it to receivers there`}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range map[string]string{"fleet/fleet.yml": tt.fleet, "watchbill.yml": "fleet: {directory: fleet}\n" + tt.config,
				"sets/it-provider/policy.yml": paged} {
				file = filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			code, out, errs := cli(t, "check", "config", filepath.Join(dir, "watchbill.yml"))
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.says {
				if not, is := strings.CutPrefix(want, "! "); is == strings.Contains(out+errs, not) {
					t.Errorf("says\n%s%s\nwant it to say %q", out, errs, want)
				}
			}
		})
	}
}
