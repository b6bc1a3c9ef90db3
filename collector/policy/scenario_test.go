package policy

import (
	"strings"
	"testing"
)

const goodScenarios = `
zone: Europe/London
sets: [erp-partner]
scenarios:
  - name: one
    proves: ["001.6"]
    timeline:
      - at: 2026-03-27 17:30
        open: {as: a, channel: telephone, facts: {impact: team, urgency: time-critical}}
        expect: {priority: high}
      - at: +30m
        do: {verb: ack, by: eve, roles: [engineer]}
        expect: {state: acknowledged}
`

func TestScenarioFilesAreReadStrictly(t *testing.T) {
	if _, err := ParseScenarios("x_test.yml", []byte(goodScenarios)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ from, to, want string }{
		"unknown key of a step":    {"at: +30m", "att: +30m", `x_test.yml: line 11: unknown key "att"`},
		"unknown expectation":      {"{priority: high}", "{prio: high}", `x_test.yml: line 10: unknown key "prio"`},
		"no name":                  {"name: one", "name: ''", "x_test.yml:5: the scenario has no name"},
		"no such zone":             {"zone: Europe/London", "zone: Europe/Lundon", "x_test.yml:5: zone: "},
		"no time":                  {"at: 2026-03-27 17:30", "at: Friday", `x_test.yml:8: at: "Friday" is no time: want 2026-03-02T09:00:00Z`},
		"no zone in a time":        {"at: 2026-03-27 17:30", "at: 2026-03-27 17:30 Lundon", `"Lundon" is no zone`},
		"first step is relative":   {"at: 2026-03-27 17:30", "at: +5m", `want +DURATION after an earlier step`},
		"first step has no time":   {"at: 2026-03-27 17:30", "at: ''", "the first step needs a time"},
		"backwards":                {"at: +30m", "at: 2026-03-27 17:29", "lies before the step before it"},
		"two things in one step":   {"do: {", "end: {name: x}\n        do: {", "x_test.yml:11: one thing happens in a step"},
		"a step of nothing":        {"        do: {verb: ack, by: eve, roles: [engineer]}\n        expect: {state: acknowledged}\n", "", "x_test.yml:11: nothing happens in the step"},
		"nothing would be shown":   {"    timeline:", "    timelines:", `unknown key "timelines"`},
		"no zone after down":       {"do: {verb: ack, by: eve, roles: [engineer]}", "down: tomorrow", `x_test.yml:11: down: "tomorrow" is no time`},
		"two documents":            {"sets: [erp-partner]", "sets: [erp-partner]\n---\n", "second document"},
		"not YAML":                 {"sets: [erp-partner]", "sets: [", "x_test.yml"},
		"wrong type of a clock":    {"{priority: high}", "{clocks: {response: soon}}", "x_test.yml"},
		"two of one name":          {"  - name: one\n", "  - {name: one, timeline: [{at: 2026-03-27 17:30, expect: {}}]}\n  - name: one\n", "stands in line 5 already"},
		"neither timeline nor set": {"    timeline:", "    open: {x: y}\n  - name: two\n    timeline:", "has neither a timeline nor faults"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(goodScenarios, tc.from, tc.to, 1)
			if text == goodScenarios {
				t.Fatalf("%q is not in the file", tc.from)
			}
			_, err := ParseScenarios("x_test.yml", []byte(text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestLike(t *testing.T) {
	for _, tc := range []struct {
		want, got string
		is        bool
	}{
		{"", "", true}, {"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"*", "abc", true}, {"a*", "abc", true}, {"a*", "ba", false},
		{"*c", "abc", true}, {"*c", "abcd", false}, {"a*c", "abbc", true}, {"a*b*c", "a-b-c", true}, {"a*b*c", "a-c", false},
		{"*b*b*", "ab", false}, {"ab*b", "ab", false},
	} {
		if Like(tc.want, tc.got) != tc.is {
			t.Errorf("Like(%q, %q) is %v", tc.want, tc.got, !tc.is)
		}
	}
}
