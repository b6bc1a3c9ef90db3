package collector

import (
	"fmt"
	"strings"
	"testing"
)

// Every expectation that is not met is a failure that says what was wanted and what there is, with file, line and time.
func TestExpectationsFail(t *testing.T) {
	const story = `
zone: Europe/London
directory:
  people: [{id: eve, name: Eve, email: eve@x.example, receivers: [mail-eve]}]
  contacts: [{role: engineer, person: eve}]
  customers: [{id: acme, name: Acme, instructions: call, contracts: [{id: acme-1, sets: [%s]}]}]
scenarios:
  - name: one
    timeline:
      - at: 2026-03-02 09:00
        open: {as: a, by: uma, channel: telephone, facts: {impact: team, urgency: time-critical}}
        expect: %s
`
	for name, tc := range map[string]struct{ expect, want string }{
		"state":            {"{state: closed}", `a: state: want "closed", got "new"`},
		"priority":         {"{priority: low}", `a: priority: want "low", got "high"`},
		"because":          {`{because: "*nothing*"}`, `a: because: want "*nothing*", got "a time-critical process of one team"`},
		"owner":            {"{owner: nobody}", `a: owner: want "nobody", got "support"`},
		"kind":             {"{kind: task}", `a: kind: want "task", got "incident"`},
		"fact":             {"{facts: {impact: business}}", `a: fact impact: want "business", got "team"`},
		"fact that is not": {`{facts: {channel: ""}}`, `a: fact channel: want nothing, got "telephone"`},
		"due":              {"{clocks: {response: {due: 2026-03-02 10:01}}}", "a: clock response: due: want Mon 2026-03-02 10:01:00 GMT, got Mon 2026-03-02 10:00:00 GMT"},
		"no due":           {"{clocks: {response: {due: none}}}", "a: clock response: due: want none, got Mon 2026-03-02 10:00:00 GMT"},
		"ended":            {"{clocks: {response: {ended: 2026-03-02 10:00}}}", "a: clock response: ended: want Mon 2026-03-02 10:00:00 GMT, got none"},
		"clock state":      {"{clocks: {response: {state: met}}}", `a: clock response: state: want "met", got "running"`},
		"left":             {"{clocks: {response: {left: 59m}}}", "a: clock response: left: want 59m0s, got 1h0m0s"},
		"breaches":         {"{clocks: {response: {breaches: false}}}", "a: clock response: breaches: want false, got true"},
		"forecast":         {"{clocks: {response: {forecast: 2026-03-02 11:00}}}", "a: clock response: forecast: want"},
		"intervals":        {"{clocks: {response: {intervals: [{counted: false}, {}]}}}", "interval 1: counted: want false, got true"},
		"no clock":         {"{clocks: {response: {none: true}}}", "a: clock response: want none, got 1h,business"},
		"a clock":          {"{clocks: {callback: {}}}", `a: clock callback: want one, got only "response resolution"`},
		"only":             {"{only: true, clocks: {response: {}}}", "a: clocks: want response, got resolution as well"},
		"says":             {`{says: ["closed: *"]}`, `a: timeline: want "closed: *"`},
		"silent":           {`{silent: ["opened: *"]}`, `a: timeline: want no "opened: *"`},
		"field":            {"{is: {number: WB-2}}", `a: number: want "WB-2", got "WB-1001"`},
		"count":            {`{is: {clocks/#: "3"}}`, `a: clocks/#: want "3", got "2"`},
		"terms":            {"{terms: {ticket/calendar/zone: UTC}}", `terms: ticket/calendar/zone: want "UTC", got "Europe/London"`},
		"where from":       {"{from: {targets: web-host}}", `where targets comes from: want "web-host", got "erp-partner 1"`},
		"tickets":          {"{tickets: []}", "open tickets: want nothing, got a"},
		"queue":            {"{queue: [b]}", "queue: want b, got a"},
		"told":             {"{told: [{to: nobody}]}", "told: want telling to nobody, got a opened all"},
		"not told":         {"{not_told: [{to: eve}]}", "told: want nobody by telling to eve"},
		"all told":         {"{all_told: true, told: [{what: closed}]}", "told: want nobody else, got a opened"},
		"on call":          {"{on_call: {web-host-on-call: nobody}}", `on call at web-host-on-call: want "nobody"`},
		"no rota":          {"{on_call: {x: y}}", `there is no rota "x"`},
		"findings":         {`{findings: ["*nonsense*"]}`, `a check: want "*nonsense*"`},
		"no findings":      {`{no_findings: ["*account-manager*"]}`, `a check: want no "*account-manager*"`},
		"clean":            {"{clean: true}", "a check: want no fault"},
		"moved":            {"{moved: [a]}", "tickets that the sets in force would move: want a, got nothing"},
		"message":          {"{message: {template: acknowledgement, contains: [nonsense]}}", `message acknowledgement: want "nonsense"`},
		"message without":  {"{message: {template: acknowledgement, without: [WB-1001]}}", `message acknowledgement: want no "WB-1001"`},
		"report":           {`{report: {sla: ["acme high response: 2 clocks*"]}}`, "report of targets, line 1: want"},
		"report is longer": {"{report: {sla: []}}", "report of targets, line 1: want no line"},
		"internal":         {"{internal: {acme: [a b]}}", "one party at acme: want a b, got nothing"},
		"instructions":     {"{instructions: {acme: write}}", `instructions of acme: want "write", got "call"`},
		"export":           {`{export: ["*nonsense*"]}`, `the export: want "*nonsense*"`},
		"a refusal":        {"{refused: {gate: x}}", "the action: want a refusal of gate x, got none"},
		"another ticket":   {"{ticket: b}", `there is no ticket "b": there are a`},
	} {
		t.Run(name, func(t *testing.T) {
			text := fmt.Sprintf(story, "erp-partner", tc.expect)
			report, err := ScenarioRun{File: "x_test.yml", Content: []byte(text), Sets: shippedSets(t)}.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range report.Failures {
				if strings.Contains(f.String(), tc.want) && f.Line == 10 && strings.HasPrefix(f.String(), "x_test.yml:10: one: Mon 2026-03-02 09:00:00 GMT: ") {
					return
				}
			}
			t.Errorf("got %v, want one with %q", report.Failures, tc.want)
		})
	}
}

func TestScenariosThatCannotBePlayed(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"no such set":      {"    sets: [nonsense]\n    timeline: [{at: 2026-03-02 09:00, open: {as: a}}]", `there is no policy set "nonsense"`},
		"edit of no set":   {"    edit: {nonsense: {guide: x}}\n    timeline: [{at: 2026-03-02 09:00, expect: {}}]", `there is no policy set "nonsense": want one of`},
		"edit of no place": {"    edit: {erp-partner: {targets: {99: null}}}\n    timeline: [{at: 2026-03-02 09:00, expect: {}}]", `"99" is no place of a list`},
		"nothing to take":  {"    edit: {erp-partner: {nonsense: null}}\n    timeline: [{at: 2026-03-02 09:00, expect: {}}]", `there is no "nonsense" to take away`},
		"faults that are not": {"    edit: {erp-partner: {guide: x}}\n    faults: [nonsense]\n    timeline: [{at: 2026-03-02 09:00, expect: {}}]",
			`loading the edited sets: want "nonsense", got no complaint`},
		"no such verb":     {"    timeline: [{at: 2026-03-02 09:00, open: {as: a}}, {at: now, do: {verb: nonsense}}]", `"nonsense" is nothing a person can do`},
		"no such customer": {"    timeline: [{at: 2026-03-02 09:00, open: {customer: nobody}}]", `there is no customer "nobody"`},
		"nothing fires":    {"    timeline: [{at: 2026-03-02 09:00, end: {name: x}}]", `no alert "x" fires`},
		"no ticket yet":    {"    timeline: [{at: 2026-03-02 09:00, expect: {state: new}}]", "no ticket was opened yet"},
	} {
		t.Run(name, func(t *testing.T) {
			text := "sets: [erp-partner]\nscenarios:\n  - name: one\n" + tc.text
			report, err := ScenarioRun{File: "x_test.yml", Content: []byte(text), Sets: shippedSets(t)}.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Failures) == 0 || !strings.Contains(fmt.Sprint(report.Failures), tc.want) {
				t.Errorf("got %v, want %q", report.Failures, tc.want)
			}
		})
	}
}

// A contract that is over keeps nobody from acting, although its set is gone: the collector takes such a directory too.
func TestScenarioTakesAnEndedContractOfAVanishedSet(t *testing.T) {
	const story = `
directory:
  customers: [{id: acme, contracts: [{id: old, sets: [vanished], until: %s}]}]
scenarios:
  - name: one
    timeline: [{at: 2026-03-02 09:00, open: {as: a, by: uma, channel: telephone}}]
`
	for until, refused := range map[string]bool{"2026-02-01": false, "2026-04-01": true} {
		report, err := ScenarioRun{File: "x_test.yml", Content: fmt.Appendf(nil, story, until), Sets: shippedSets(t)}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(fmt.Sprint(report.Failures), "vanished"); got != refused || !refused && len(report.Failures) > 0 {
			t.Errorf("until %s: %v, want it refused: %v", until, report.Failures, refused)
		}
	}
}
