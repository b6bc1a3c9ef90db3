package collector

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/packs"
)

// TestPacksOpenTheirTickets runs the ticket tests of the shipped packs.
func TestPacksOpenTheirTickets(t *testing.T) {
	names, err := fs.Glob(packs.Files(), "*"+TicketTestSuffix)
	if err != nil || len(names) == 0 {
		t.Fatalf("no ticket tests of packs: %v", err)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := fs.ReadFile(packs.Files(), name)
			if err != nil {
				t.Fatal(err)
			}
			report, err := TicketRun{File: name, Content: text, Open: func(name string) ([]byte, error) {
				return fs.ReadFile(packs.Files(), name)
			}}.Run(t.Context())
			if err != nil || len(report.Tests) == 0 {
				t.Fatalf("%d tests ran, error %v", len(report.Tests), err)
			}
			for _, f := range report.Failures {
				t.Error(f)
			}
		})
	}
}

// TestTicketTestOfTheREADME runs the ticket test that rules/README.md shows.
func TestTicketTestOfTheREADME(t *testing.T) {
	doc, err := os.ReadFile("../rules/README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(doc), "```yaml\n")
	if len(blocks) < 4 {
		t.Fatalf("%d examples, want three", len(blocks)-1)
	}
	example := func(i int) []byte { return []byte(strings.SplitN(blocks[i], "```", 2)[0]) }
	report, err := TicketRun{File: "README.md", Content: example(3), Open: func(string) ([]byte, error) { return example(1), nil }}.Run(t.Context())
	if err != nil || len(report.Tests) != 1 {
		t.Fatalf("%v ran, error %v", report.Tests, err)
	}
	for _, f := range report.Failures {
		t.Error(f)
	}
}

const ticketRules = `
groups:
- name: g
  rules:
  - alert: Full
    expr: free < 5
    labels: {severity: critical, service: "disk {{ $labels.disk }}", system: server}
    annotations: {summary: "{{ $labels.disk }} of {{ $labels.instance }} is full"}
  - alert: Filling
    expr: free < 8
    labels: {severity: warning, service: "disk {{ $labels.disk }}", system: server}
`

func runTickets(t *testing.T, text string) (rules.TestReport, error) {
	t.Helper()
	return TicketRun{File: "x_ticket_test.yml", Content: []byte(text), Open: func(name string) ([]byte, error) {
		if name != "rules.yml" {
			return nil, fs.ErrNotExist
		}
		return []byte(ticketRules), nil
	}}.Run(t.Context())
}

const fillingDisk = `rule_files: [rules.yml]
tests:
- name: t
  assets: [{name: web1, customer: acme, site: london}]
  input_series: [{series: 'free{instance="web1", disk="a"}', values: '9 1 1 9 1x20'}]
  ticket_test:
`

// TestTicketTestsTouchNoStorage: where a collector keeps its files, what it left there is neither taken up nor changed, and a
// test finds nothing of the one before it.
func TestTicketTestsTouchNoStorage(t *testing.T) {
	dir := t.TempDir()
	left := map[string]string{windowSnapshot: "a window", remoteName: "{}"}
	for name, text := range left {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := TicketRun{File: "x_ticket_test.yml", Content: []byte(fillingDisk + "  - {eval_time: 0s, exp_tickets: []}\n  - {eval_time: 1m, exp_tickets: [{asset: web1, service: disk a, state: new}]}\n"),
		Open:   func(string) ([]byte, error) { return []byte(ticketRules), nil },
		Change: func(cfg *Config) { cfg.Storage.Path = dir },
	}
	for range 2 {
		if report, err := run.Run(t.Context()); err != nil || len(report.Failures) > 0 {
			t.Fatal(report.Failures, err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(left) {
		t.Errorf("%d files, want %d: %v", len(files), len(left), err)
	}
	for name, text := range left {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != text {
			t.Errorf("%s says %q, want %q: %v", name, got, text, err)
		}
	}
}

// Every key of an expected ticket is compared: what is right passes, what is not fails and shows both.
func TestTicketExpectations(t *testing.T) {
	for _, c := range []struct{ key, right, wrong string }{
		{"asset", "web1", "''"},
		{"service", "disk a", "disk b"},
		{"state", "reopened", "new"},
		{"priority", "P1", "P2"},
		{"severity", "critical", "warning"},
		{"title", "a of web1 is full", "a of web1 is empty"},
		{"customer", "acme", "other"},
		{"site", "london", "leeds"},
		{"system", "server", "sql"},
		{"owner", "first level", "second level"},
		{"key", "acme asset/web1 disk%20a", "acme asset/web1 disk"},
		{"alerts", "[Filling, Full]", "[Full]"},
		{"opened", "1m", "2m"},
		{"resolved", "3m", "4m"},
		{"reopened", "1", "2"},
		{"recurs", "false", "true"},
		{"told", "[opened, resolved, reopened]", "[opened, reopened, resolved]"},
	} {
		t.Run(c.key, func(t *testing.T) {
			expect := func(value string) []rules.Failure {
				at, fields := "4m", map[string]string{"asset": "web1", "service": "disk a", "state": "reopened"}
				if c.key == "resolved" { // a reopened ticket is not
					at, fields["state"] = "3m", "resolved"
				}
				fields[c.key] = value
				var all []string
				for k, v := range fields {
					all = append(all, k+": "+v)
				}
				report, err := runTickets(t, fillingDisk+"  - {eval_time: "+at+", exp_tickets: [{"+strings.Join(all, ", ")+"}]}\n")
				if err != nil {
					t.Fatal(err)
				}
				return report.Failures
			}
			if fs := expect(c.right); len(fs) > 0 {
				t.Error(fs)
			}
			switch fs := expect(c.wrong); {
			case len(fs) != 1:
				t.Errorf("%d failures, want one", len(fs))
			case len(fs[0].Want) != 1 || len(fs[0].Got) != 1 || fs[0].Want[0] == fs[0].Got[0] || fs[0].Line != 7:
				t.Errorf("%+v", fs[0])
			}
		})
	}
}

func TestTicketStories(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"one too many", fillingDisk + "  - {eval_time: 1m, exp_tickets: []}\n",
			`+ {asset: web1, service: disk a, state: new, priority: P1, title: a of web1 is full, alerts: [Filling, Full]}`},
		{"one too few", fillingDisk + "  - {eval_time: 0s, exp_tickets: [{asset: web1, service: disk a, state: new}]}\n",
			`test "t": tickets at 0s: - expected, + got (got nothing)` + "\n  - {asset: web1, service: disk a, state: new}"},
		{"between evaluations", fillingDisk + "  - {eval_time: 59s, exp_tickets: []}\n", ""},
		{"nobody to act on", strings.Replace(fillingDisk, "  ticket_test", "  people: [{at: 0s, asset: web1, service: disk a, verb: ack}]\n  ticket_test", 1) +
			"  - {eval_time: 1m}\n", `x_ticket_test.yml:6: test "t": people[0] at 0s: there is no ticket of asset "web1" and service "disk a" yet`},
		{"what a ticket refuses", strings.Replace(fillingDisk, "  ticket_test", "  people: [{at: 1m, asset: web1, service: disk a, verb: close}]\n  ticket_test", 1) +
			"  - {eval_time: 1m}\n", `people[0] at 1m: refused: WB-1001 is new; resolve it first`},
		{"beyond its window what comes back recurs", `rule_files: [rules.yml]
evaluation_interval: 1h
tests:
- assets: [{name: web1, customer: acme, site: london}]
  input_series: [{series: 'free{instance="web1", disk="a"}', values: '1 9x26 1x9'}]
  ticket_test:
  - {eval_time: 24h, exp_tickets: [{asset: web1, service: disk a, state: resolved, resolved: 1h}]}
  - {eval_time: 26h, exp_tickets: [{asset: web1, service: disk a, state: closed, told: [opened, resolved, closed]}]}
  - {eval_time: 30h, exp_tickets: [{asset: web1, service: disk a, state: closed, recurs: false}, {asset: web1, service: disk a, state: new, recurs: true, opened: 28h}]}
`, ""},
		{"a site that falls silent is one ticket", `rule_files: [rules.yml]
tests:
- start_timestamp: 2026-03-01T12:00:00Z
  assets: [{name: web1, customer: acme, site: london}, {name: web2, customer: acme, site: london}, {name: ups1, customer: acme, site: london, kind: device}, {name: far, customer: acme, site: leeds}]
  input_series:
  - {series: 'free{instance="web1", disk="a"}', values: '9x5'}
  - {series: 'free{instance="web2", disk="a"}', values: '9x5'}
  - {series: 'load{instance="ups1", job="snmp"}', values: '9x5'}
  - {series: 'free{instance="far", disk="a"}', values: '9x30'}
  ticket_test:
  - {eval_time: 20m, exp_tickets: [{site: london, service: availability, state: new, alerts: [SiteSilent], customer: acme}]}
`, ""},
		{"a ticket of a site that nobody expected", `rule_files: [rules.yml]
tests:
- assets: [{name: web1, customer: acme, site: london}, {name: web2, customer: acme, site: london}, {name: far, customer: acme, site: leeds}]
  input_series:
  - {series: 'free{instance="web1", disk="a"}', values: '9x5'}
  - {series: 'free{instance="web2", disk="a"}', values: '9x5'}
  - {series: 'free{instance="far", disk="a"}', values: '9x30'}
  ticket_test:
  - {eval_time: 20m}
`, "+ {service: availability, state: new, priority: P1,"},
		{"a job of its own and a look-back at the start", `rule_files: [rules.yml]
tests:
- assets: [{name: web1, customer: acme, site: london}]
  input_series: [{series: 'free{instance="web1", job="windows", disk="a"}', values: '1 1', source: disks}]
  ticket_test:
  - {eval_time: 0s, exp_tickets: [{asset: web1, service: disk a, state: new}]}
`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, err := runTickets(t, c.text)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.want == "" && len(report.Failures) > 0:
				t.Error(report.Failures)
			case c.want != "" && (len(report.Failures) != 1 || !strings.Contains(report.Failures[0].String(), c.want)):
				t.Errorf("failures are\n%v\nwant one with\n%s", report.Failures, c.want)
			}
		})
	}
}

func TestTicketTestsThatCannotRun(t *testing.T) {
	const assets = "tests:\n- assets: [{name: web1, customer: acme, site: london}]\n"
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", assets + "  tickets: []", `x_ticket_test.yml:3: tests[0]: unknown key "tickets": want one of assets, input_series`},
		{"no duration", assets + "  ticket_test: [{eval_time: 5}]", `x_ticket_test.yml:3: tests[0].ticket_test[0].eval_time: want a duration like 30s, 5m or 1h30m, got "5"`},
		{"no number", assets + "  ticket_test: [{exp_tickets: [{reopened: once}]}]", `exp_tickets[0].reopened: want a whole number, got "once"`},
		{"no asset of that name", assets + "  input_series:\n  - {series: 'a{instance=\"web2\"}', values: '1'}", `x_ticket_test.yml:4: tests[0].input_series[0].series: "web2" is none of the test's assets`},
		{"no series", assets + "  input_series: [{series: 'a{', values: '1'}]", `x_ticket_test.yml:3: tests[0].input_series[0].series: "a{ 1": 1:4: parse error`},
		{"up", assets + "  input_series: [{series: 'up{instance=\"web1\"}', values: '1'}]", "the collector writes up itself: use life"},
		{"a customer of its own", assets + "  input_series: [{series: 'a{instance=\"web1\", customer=\"b\"}', values: '1'}]", "label customer: comes from the test's assets"},
		{"histogram", assets + "  input_series: [{series: 'a{instance=\"web1\"}', values: '{{count:1}}'}]", "tests[0].input_series[0].values: native histograms are not kept"},
		{"twice", assets + "  input_series: [{series: 'a{instance=\"web1\"}', values: '1'}, {series: 'a{instance=\"web1\", job=\"node\"}', values: '1'}]", "tests[0].input_series[1].series: a{instance=\"web1\", job=\"node\"}: is there twice"},
		{"two jobs of a source", assets + "  input_series: [{series: 'a{instance=\"web1\"}', values: '1', source: s}, {series: 'b{instance=\"web1\", job=\"snmp\"}', values: '1', source: s}]", `source "s" is of job "node" already`},
		{"no such event", assets + "  life:\n  - {at: 1m, asset: web1, event: sleeps}", `x_ticket_test.yml:4: tests[0].life[0].event: "sleeps" is nothing that happens: want one of goodbye, silent, back, failed, mended`},
		{"no such sampler", assets + "  life: [{asset: web1, event: failed, source: cpu}]", `tests[0].life[0].source: "cpu" is no sampler of web1`},
		{"no such verb", assets + "  people: [{asset: web1, service: s, verb: sigh}]", `tests[0].people[0].verb: "sigh" is nothing a person can do: want one of [accept ack`},
		{"no service to act on", assets + "  people: [{asset: web1, verb: ack}]", `tests[0].people[0].service: is missing`},
		{"no such state", assets + "  ticket_test:\n  - exp_tickets:\n    - {asset: web1, service: s, state: open}", `x_ticket_test.yml:5: tests[0].ticket_test[0].exp_tickets[0].state: "open" is no state of a ticket: want one of new, acknowledged`},
		{"no service", assets + "  ticket_test: [{exp_tickets: [{asset: web1, state: new}]}]", `exp_tickets[0].service: is missing`},
		{"an asset without a site", "tests:\n- assets:\n  - {name: web1, customer: acme}", `x_ticket_test.yml:3: tests[0].assets[0].site: is missing`},
		{"an asset twice", "tests:\n- assets: [{name: web1, customer: acme, site: london}, {name: web1, customer: b, site: c}]", `x_ticket_test.yml:2: tests[0].assets: customer "b", site "c", asset "web1": asset "web1" is already declared`},
		{"every fault", assets + "  life: [{asset: web2, event: back}, {asset: web3, event: back}]", "x_ticket_test.yml:3: tests[0].life[0].asset: \"web2\" is none of the test's assets: declare it there, or name one of them\nx_ticket_test.yml:3: tests[0].life[1].asset"},
		{"no rules", "rule_files: [gone.yml]\n" + assets, "x_ticket_test.yml: rule_files: open gone.yml: file does not exist"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := runTickets(t, c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is\n%v\nwant in it\n%s", err, c.want)
			}
		})
	}
}

// An expectation that says less does not take the ticket away that another one needs.
func TestExpectationsArePairedWithTickets(t *testing.T) {
	resolved := foundTicket{"asset": "web1", "service": "s", "state": "resolved", "recurs": "true"}
	first := foundTicket{"asset": "web1", "service": "s", "state": "resolved", "recurs": "false"}
	yes := true
	loose := expectedTicket{Asset: "web1", Service: "s", State: "resolved"}
	strict := expectedTicket{Asset: "web1", Service: "s", State: "resolved", Recurs: &yes}
	for name, expected := range map[string][]expectedTicket{"loose first": {loose, strict}, "strict first": {strict, loose}} {
		want, got := compareTickets(expected, []foundTicket{resolved, first})
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if want, got := compareTickets([]expectedTicket{strict, strict}, []foundTicket{resolved, first}); cmp.Equal(want, got) {
		t.Errorf("two that recur were found in %v", got)
	}
}

// A test can choose how the collector runs, and which tests run.
func TestTicketRunOptions(t *testing.T) {
	text := fillingDisk + "  - {eval_time: 1m, exp_tickets: [{asset: web1, service: disk a, state: new}]}\n- name: other\n"
	changed := 0
	run := TicketRun{File: "x_ticket_test.yml", Content: []byte(text), Glob: func(string) ([]string, error) { return []string{"a.yml"}, nil },
		Open:   func(string) ([]byte, error) { return []byte(ticketRules), nil },
		Only:   func(name string) bool { return name == "t" },
		Change: func(c *Config) { changed++ }}
	report, err := run.Run(t.Context())
	if err != nil || len(report.Failures) > 0 || changed != 1 || !cmp.Equal(report.Tests, []string{"t"}) {
		t.Errorf("%+v, error %v, changed %d times", report, err, changed)
	}
	run.Only = func(string) bool { return false }
	if report, err := run.Run(t.Context()); err != nil || len(report.Warnings) != 1 {
		t.Errorf("%+v, error %v, want a warning that no test was run", report, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	run.Only = nil
	if _, err := run.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func FuzzParseTicketTests(f *testing.F) {
	f.Add([]byte(fillingDisk + "  - {eval_time: 1m}\n"))
	f.Add([]byte("tests: [{assets: [{name: a, customer: b, site: c, kind: device}], life: [{at: 1s, asset: a, event: failed}]}]"))
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := parseTicketTests("f.yml", content)
		if err == nil && file.EvaluationInterval <= 0 {
			t.Fatalf("accepted an evaluation interval of %v", file.EvaluationInterval)
		}
	})
}
