package collector

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/rules"
)

// doubtful is a rule that a check finds fault with, beside a good one.
func doubtful(label string) string {
	return "groups:\n- name: g\n  rules:\n  - alert: Odd\n    expr: up == 0\n    annotations: {summary: s}\n    labels:\n" +
		"      severity: critical\n      service: host\n      " + label + "\n"
}

// A check, a start and a reload say the same of a rule: what nobody can take is refused by all, what is an error of its writer
// alone is one to a check and is told by a collector, which watches all the same.
func TestWhatIsFoundIsTheSameEverywhere(t *testing.T) {
	const place = `rules.yml:10: group "g": rule "Odd": `
	for name, tc := range map[string]struct {
		label, says     string
		refused, listed bool
	}{
		"a label that means nothing": {"watchbill_missing: foo", place + `label "watchbill_missing" is "foo": want freeze or resolve`, true, false},
		"a system nobody knows":      {"system: serverr", place + `label "system" is "serverr": want a word of the ownership map`, false, true},
		"a system by a template":     {"system: 'x{{ $labels.x }}'", place + `label "system" is the template "x{{ $labels.x }}"`, false, true},
		"a good one":                 {"system: server", "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t, doubtful(tc.label))
			var log bytes.Buffer
			c, err := New(t.Context(), cfg, Options{Directory: testFleet, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
			if err == nil {
				t.Cleanup(c.Close)
			}
			told := strings.ReplaceAll(log.String(), `\"`, `"`)
			switch {
			case tc.refused:
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("it starts: %v, want %s", err, tc.says)
				}
			case err != nil:
				t.Errorf("it does not start: %v", err)
			case tc.says != "" && strings.Count(told, tc.says) != 1, tc.says == "" && strings.Contains(told, "rules.yml"):
				t.Errorf("the log of the start is\n%s\nwant in it once: %s", told, tc.says)
			case tc.listed != strings.Contains(told, rules.Systems[0]):
				t.Errorf("the log of the start lists the words: %v, want %v", !tc.listed, tc.listed)
			}

			s := newStage(t, testConfig(t, diskRules))
			log.Reset()
			s.log = slog.New(slog.NewJSONHandler(&log, nil))
			if err := os.WriteFile(s.cfg.Rules.Files[0], []byte(doubtful(tc.label)), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := s.Reload(t.Context())
			told = strings.ReplaceAll(log.String(), `\"`, `"`)
			switch {
			case tc.refused:
				if err == nil || !strings.Contains(err.Error(), tc.says) || out.Reloaded {
					t.Errorf("it reloads: %+v, %v, want %s", out, err, tc.says)
				}
			case err != nil || !out.Reloaded:
				t.Errorf("it does not reload: %v", err)
			case tc.says == "" && len(out.Warnings) > 0, tc.says != "" && (len(out.Warnings) != 2 || !strings.Contains(out.Warnings[0], tc.says)):
				t.Errorf("the answer warns %q, want %s and the words", out.Warnings, tc.says)
			case tc.says != "" && strings.Count(told, tc.says) != 1:
				t.Errorf("the log of the reload is\n%s\nwant in it once: %s", told, tc.says)
			}
		})
	}
}

// Rules that were written for others have none of our labels: they load, with warnings, of which there is an end.
func TestDoubtsAreBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString("groups:\n- name: g\n  rules:\n")
	for i := range 200 {
		fmt.Fprintf(&text, "  - {alert: R%d, expr: up == %d}\n", i, i)
	}
	text.WriteString("  - {alert: Odd, expr: up == 0, labels: {system: serverr}}\n")
	s := newStage(t, testConfig(t, text.String()))
	out, err := s.Reload(context.Background())
	if err != nil || len(out.Warnings) != mostTold+2 {
		t.Fatalf("%d warnings, %v; want %d, how many more, and the words", len(out.Warnings), err, mostTold)
	}
	if !strings.Contains(out.Warnings[0], `:204: group "g": rule "Odd": label "system" is "serverr"`) {
		t.Errorf("the fault is not told first: %q", out.Warnings[0])
	}
	if !slices.Contains(out.Warnings, "and 704 more: `watchbill check config FILE` names them all") {
		t.Errorf("%q", out.Warnings[mostTold:])
	}
}

// A ticket test refuses what the collector refuses, and says what a check finds fault with.
func TestTicketTestsDoubtTheirRules(t *testing.T) {
	for label, want := range map[string]struct{ warns, fails string }{
		"watchbill_missing: foo": {"", `rules.yml:10: group "g": rule "Odd": label "watchbill_missing" is "foo"`},
		"system: serverr":        {`x_ticket_test.yml: a check of these rules fails: rules.yml:10: group "g": rule "Odd": label "system" is "serverr"`, ""},
		"system: server":         {},
	} {
		report, err := TicketRun{File: "x_ticket_test.yml", Content: []byte(fillingDisk + "  - {eval_time: 1m, exp_tickets: []}\n"),
			Open: func(string) ([]byte, error) { return []byte(doubtful(label)), nil }}.Run(t.Context())
		if want.fails == "" && err != nil || want.fails != "" && (err == nil || !strings.HasPrefix(err.Error(), want.fails)) {
			t.Errorf("%s: error %v, want %q", label, err, want.fails)
		}
		if got := strings.Join(report.Warnings, "\n"); !strings.HasPrefix(got, want.warns) || want.warns == "" && got != "" {
			t.Errorf("%s: warns %q, want %q", label, got, want.warns)
		}
	}
}
