package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules/policies"
)

// shippedText is a shipped set's file.
func shippedText(t testing.TB, set string) string {
	t.Helper()
	content, err := fs.ReadFile(policies.Files(), set+"/policy.yml")
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// mistaken is text with one mistake, and the line that it is in.
func mistaken(t testing.TB, text, from, to string) (string, int) {
	t.Helper()
	i := strings.Index(text, from)
	if i < 0 {
		t.Fatalf("the set has no %q any more", from)
	}
	return text[:i] + to + text[i+len(from):], 1 + strings.Count(text[:i], "\n")
}

// Every mistake is found with its line, by what is wrong and what to do.
func TestMistakes(t *testing.T) {
	for _, tc := range []struct {
		name, set, from, to string
		// line is counted from where the mistake begins.
		line int
		want string
	}{
		{"unknown key", "software-group", "at_risk: 80%", "at_rsk: 80%", 0, `unknown key "at_rsk": did you mean "at_risk"? The keys here are agreement, at_risk`},
		{"unknown key of a target", "software-group", `clock: response, within: "2h,business"`, `clok: response, within: "2h,business"`, 0, `unknown key "clok" in targets[1]`},
		{"key twice", "software-group", "at_risk: 80%", "at_risk: 80%\nat_risk: 70%", 1, "at_risk stands twice: keep one of them"},
		{"not a number", "software-group", "at_risk: 80%", "at_risk: often", 0, `at_risk: "often" is no number: write a number like 0.8 or 80%`},
		{"not a duration", "software-group", "close_after: 24h", "close_after: soon", 0, `close_after: "soon" is no duration: write it like 90s, 15m, 24h or 7d`},
		{"not a list", "software-group", "priorities: [P1, P2, P3]", "priorities: P1", 0, "priorities: must be a list"},
		{"not true or false", "software-group", "beside: true", "beside: perhaps", 0, `"perhaps" is neither true nor false`},
		{"choice of nothing", "software-group", "choice: {operator: [every]}", "choice: {operator: [evry]}", 0, `marks "evry", which does not stand here`},
		{"choice of nobody", "software-group", "choice: {operator: [every]}", "choice: customer", 0, "choice is none that is known: write `choice: operator`"},

		{"hours that are none", "software-group", `"09:00-17:30"`, `"17:30-09:00"`, 0, "calendar.hours"},
		{"unknown region", "software-group", "region: GB-ENG", "region: GB-EN", 0, "region"},
		{"unknown zone", "software-group", "zone: Europe/London", "zone: Europe/Londn", 0, "Europe/Londn"},
		{"unknown cover", "software-group", "cover: {24x7: always}", "cover: {24x5: always}", 0, `calendar.cover: "24x5" is not known: did you mean "24x7"?`},
		{"business without calendar", "software-group", "calendar:\n  zone: Europe/London\n  hours: {mon-fri: \"09:00-17:30\"}\n  region: GB-ENG\n  cover: {24x7: always}\n", "", 22, "2h,business counts by a calendar and the set has none"},

		{"unknown priority of a class", "software-group", "priority: P1, because: a critical fault}", "priority: P9, because: a critical fault}", 0, `classify: priority: "P9" is not known`},
		{"class never reached", "software-group", "  - {when: {impact: business}, priority: P2", "  - {priority: P2, because: all}\n  - {when: {impact: business}, priority: P2", 1, "classify: this row is never reached: the one at"},
		{"priority that nobody gets", "software-group", "priorities: [P1, P2, P3]", "priorities: [P0, P1, P2, P3]", 0, `no ticket gets "P0"`},
		{"unknown fact", "software-group", "{impact: business}", "{impakt: business}", 0, `classify: fact: "impakt" is not known: did you mean "impact"?`},
		{"unknown word of a fact", "software-group", "{impact: business}", "{impact: busines}", 0, `classify: impact: "busines" is not known: did you mean "business"?`},

		{"clock that nobody can meet", "erp-partner", "access: {met_by: [restored, resolve]}", "access: {met_by: []}", 0, "clocks.access: nobody can meet it"},
		{"clock met by no verb", "erp-partner", "access: {met_by: [restored, resolve]}", "access: {met_by: [restord]}", 0, `clocks.access.met_by: "restord" is not known: did you mean "restored"?`},
		{"target without a clock", "erp-partner", "clock: access, within", "clock: acces, within", 0, `targets: clock "acces": nobody can meet it: say in clocks what meets it; there are access, resolution, response`},
		{"target in no mode", "erp-partner", `"4h,business"`, `"4h,busines"`, 0, "expected DURATION,MODE"},
		{"target of no priority", "erp-partner", "{priority: system-down, type", "{priority: systemdown, type", 0, `targets: priority: "systemdown" is not known: did you mean "system-down"?`},
		{"target never reached", "erp-partner", "  - {priority: high, type: \"!amendment\", clock: response", "  - {clock: response, within: \"9h,business\"}\n  - {priority: high, type: \"!amendment\", clock: response", 1, "targets: this row is never reached"},
		{"beside, and breaching", "software-group", `"next-business-day,inform"`, "next-business-day", 0, "stands beside another clock and would breach: write the target with ,inform"},
		{"waiting stops no clock", "erp-partner", "customer: {for:", "customer: {stops: [respnse], for:", 0, `waits.customer.stops: "respnse" is not known`},

		{"gate before no verb", "customer-operations", "four-eyes:\n    before: [close]", "four-eyes:\n    before: [clse]", 1, `gates.four-eyes.before: "clse" is not known: did you mean "close"?`},
		{"gate with an unknown need", "customer-operations", "{kind: verified}", "{kind: verifed}", 0, `need "verifed": there is none of that kind`},
		{"gate without a role", "customer-operations", "{kind: role, roles: [general-manager]}", "{kind: role}", 0, `need "role": names no roles`},
		{"gate with an unknown role", "customer-operations", "{kind: role, roles: [general-manager]}", "{kind: role, roles: [general-manger]}", 0, `gates.waiver.needs: role: "general-manger" is not known: did you mean "general-manager"?`},
		{"gate that asks for nothing", "customer-operations", "    needs: [{kind: verified}]\n", "", -1, "gates.four-eyes: it asks for nothing"},
		{"gate for a type that is none", "it-provider", "when: {type: access}", "when: {type: acess}", -1, `gates.access-prerequisites: type: "acess" is not known: did you mean "access"?`},
		{"break-glass for nobody", "customer-operations", "    needs: [{kind: verified}]", "    needs: [{kind: verified}]\n    break_glass: [boss]", -1, `gates.four-eyes.break_glass: "boss" is not known`},
		{"follow-up of no type", "customer-operations", "names: [documentation, investigation, re-test]", "names: [documentation, re-tst]", 0, `"re-tst": is no type of ticket`},

		{"gate of steps for a type without", "software-group", "type: [onboarding, training-room,", "type: [onboarding, query, training-room,", 1, "gates.steps: asks for steps of type query, which has none: it would stand open"},
		{"gate of evidence for a type without", "it-provider", "type: [signal-review, backup-review]", "type: [signal-review, backup-review, access]", 1, "gates.review-evidence: asks for evidence of type access, which has none"},
		{"gate of a checklist for a type without", "customer-operations", `when: {delivery: "!rejected"}`, `when: {type: [blocker, delivery, deviation]}`, 1, "gates.checklists: asks for checklist of type deviation, which has none"},
		{"overlays that contradict each other", "software-group", "  cover: {24x7: always}", "  overlays:\n    - {name: late, hours: {mon-fri: \"17:30-22:00\"}}\n    - {name: later, from: 2026-12-02, hours: {fri: \"17:30-20:00\"}}\n  cover: {24x7: always}", 2, "overlays late and later contradict each other on Friday, 2026-12-04: [17:30-22:00] and [17:30-20:00]: overlays only add hours"},
		{"party that cannot accept", "software-group", "  it-ops-manager: {role: it-ops-manager}", "  it-ops-manager: {role: management}", 0, "parties.it-ops-manager: role management cannot accept a ticket"},

		{"type of no kind", "it-provider", "access: {kind: incident", "access: {kind: incidnt", 0, `type "access": kind "incidnt": expected one of incident`},
		{"type owned by nobody", "it-provider", "owner: client-owner}", "owner: client-ower}", 0, `types.operating-model.owner: "client-ower" is not known: did you mean "client-owner"?`},
		{"checklist endorsed by nobody", "customer-operations", "endorsed_by: technical-operation-manager", "endorsed_by: technical-manager", -1, `checklists.incident.endorsed_by: "technical-manager" is not known`},

		{"unknown system", "it-provider", "systems: [client-device,", "systems: [client-devise,", 0, `owners: system: "client-devise" is not known: did you mean "client-device"?`},
		{"unknown owner", "it-provider", "framework], owner: developer}", "framework], owner: develper}", 0, `owners: owner: "develper" is not known: did you mean "developer"?`},
		{"owner nobody can reach", "it-provider", "developer: {role: developer}", "developer: {}", 0, "parties.developer: nobody can be reached: give it a role, a rota or both"},
		{"system owned twice", "it-provider", "{systems: [network, platform-security]", "{systems: [network, platform-security, iis]", 0, "owners: iis is owned by hosting-provider at"},
		{"owner row never reached", "it-provider", "  - {systems: [contract], owner: client-owner}", "  - {owner: developer}\n  - {systems: [contract], owner: client-owner}", 1, "owners: this row is never reached"},
		{"default owner unknown", "it-provider", "owner: it-provider\nreports", "owner: itprovider\nreports", 0, `owner: "itprovider" is not known`},
		{"escalation never reached", "it-provider", "escalations:", "escalations:\n  - {reason: infrastructure or platform fault, to: developer}", 2, "escalations: this row is never reached"},

		{"notice on no event", "it-provider", "name: returned, on: [handoff_returned]", "name: returned, on: [handoff_retuned]", 0, `notices: "returned": on: "handoff_retuned" is not known: did you mean "handoff_returned"?`},
		{"notice to nobody", "it-provider", "to: [{party: owner}, {person: assignee}]", "to: []", 0, `notices: "returned": nobody is told`},
		{"notice to two at once", "it-provider", "{person: assignee}]", "{person: assignee, role: engineer}]", 0, "exactly one of role, party, rota, person, receiver is expected"},
		{"internal words for the client owner", "it-provider", "{party: client-owner}], letter: approved}", "{party: client-owner}]}", 0, `notices: "approvals": client-owner is the client's, to whom internal words do not go`},
		{"a rung's for the client owner", "it-provider", "{party: client-owner}], letter: late}", "{role: client-owner-user}]}", 0, `ladder: "response missed": client-owner-user is the client's, to whom internal words do not go`},
		{"a party of a handoff that is none", "it-provider", "on: [handoff_accepted], to: [{party: offering}]", "on: [handoff_accepted, closed], to: [{party: offering}]", 0, `notices: "acceptance": party offering is known of handoffs alone`},
		{"a party with a word's name", "web-host", "  engineer: {role: engineer}", "  offered: {role: engineer}\n  engineer: {role: engineer}", 0, "parties.offered: the word means a party of the ticket"},
		{"no such letter", "software-group", "letter: news}", "letter: newz}", 0, `letter: "newz" is not known: did you mean "news"?`},
		{"a template and a letter", "software-group", "template: resolved}", "template: resolved, letter: news}", 0, "it has a template and a letter"},
		{"no such template", "it-provider", "template: resolved}", "template: resolvd}", 0, `template: "resolvd" is not known: did you mean "resolved"?`},
		{"no such placeholder", "it-provider", "Priority: {{priority}}.", "Priority: {{prority}}.", -4, "there is no placeholder {{prority}}"},
		{"rung of no clock", "erp-partner", "clock: access, share: 50%", "clock: acess, share: 50%", 0, `clock: "acess" is not known: did you mean "access"?`},
		{"rung never reached: no target", "erp-partner", "when: {priority: high}, to: [{role: service-director}]", "when: {priority: system-down}, to: [{role: service-director}]", 0, "is never reached: no target gives the clock resolution"},
		{"rung never reached: another before it", "erp-partner", "  - {name: response missed,", "  - {name: urgent response missed, clock: response, share: 100%, to: [{role: engineer}]}\n  - {name: urgent response missed, clock: response, share: 90%, to: [{role: engineer}]}\n  - {name: response missed,", 1, `ladder: "urgent response missed" is never reached`},
		{"share that is none", "erp-partner", "share: 50%", "share: 0", 0, "share 0"},

		{"rota of nobody", "web-host", "role: engineer, start", "start", 0, "people: expected the IDs of those who take turns"},
		{"rota without a start", "web-host", `start: "2026-01-05T08:00:00-05:00"`, `start: monday`, 0, `"monday" is no moment`},
		{"party on no rota", "web-host", "rota: web-host-on-call}\nowners", "rota: webhost}\nowners", 0, `parties.on-call.rota: "webhost" is not known`},
		{"unknown queue key", "web-host", "queue: [priority, remaining]", "queue: [priority, remaning]", 0, `queue: "remaning" is not known: did you mean "remaining"?`},
		{"no time to reopen", "web-host", "reopen_window: 48h\n", "", 0, "reopen_window and close_after: must be there and positive"},
		{"yields what it does not give", "default", "version: 1", "version: 1\nyields: [calendar]", 1, "yields: calendar, which the set does not give"},
		{"no day of the budget", "software-group", "budget: 10-01", "budget: 13-01", 0, `lifecycle.budget: "13-01" is no day of a year`},
		{"no version", "default", "version: 1\n", "", 0, "version: must not be empty"},
		{"unknown system of the policy list", "customer-operations", "systems: [patching]", "systems: [pathcing]", 0, `compliance.patches.systems: "pathcing" is not known`},
		{"two documents", "default", "close_after: 24h\n", "close_after: 24h\n---\nname: other\n", 0, "there is a second document"},
		{"a list that does not close", "default", "priorities: [P1, P2, P3]", "priorities: [P1, P2, P3", 0, "this is no YAML: did not find expected ',' or ']': look at this line and the one before it"},
		{"a text with a colon", "default", "description: No contract.", "description: None: no contract.", 0, "this is no YAML: mapping values are not allowed in this context: look at this line"},
		{"a text with a colon within braces", "software-group", "title: Query,", "title: Query: any,", 0, "this is no YAML: did not find expected ',' or '}': look at this line"},
		{"a tab", "software-group", "  zone: Europe/London", "\tzone: Europe/London", 0, "the line is indented with a tab: indent with spaces: YAML takes no tabs"},
		{"a time of 25 o'clock", "software-group", "09:00-17:30", "09:00-25:00", 0, `calendar.hours: hours "09:00-25:00": expected FROM-TO within one day, like 08:00-18:00`},
		{"hours that overlap", "software-group", `{mon-fri: "09:00-17:30"}`, `{mon-thu: "09:00-17:30", fri: ["09:00-13:00", "12:00-16:00"]}`, 0, "calendar.hours: fri: 12:00-16:00 overlaps 09:00-13:00: join them into one"},
		{"rung for an unknown role", "software-group", "{role: it-ops-manager}], ack_for", "{role: it-ops-manger}], ack_for", 0, `ladder: "at risk": role: "it-ops-manger" is not known: did you mean "it-ops-manager"?`},
		{"key of a clock that is near another", "software-group", "response: {met_by:", "response: {met-by:", 0, `unknown key "met-by" in clocks.response: did you mean "met_by"? The keys here are met_by, not_needed, choice`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text, line := mistaken(t, shippedText(t, tc.set), tc.from, tc.to)
			file := tc.set + "/policy.yml"
			_, err := Parse(file, []byte(text))
			if err == nil {
				t.Fatal("nothing is found")
			}
			var at []string
			for _, f := range strings.Split(err.Error(), "\n") {
				if strings.Contains(f, tc.want) {
					at = append(at, f)
				}
			}
			if len(at) == 0 {
				t.Fatalf("%v\nlacks %q", err, tc.want)
			}
			where := fmt.Sprintf("%s:%d: ", file, line+tc.line)
			if !strings.HasPrefix(at[0], where) && !wholeFile[tc.name] {
				t.Errorf("%s\nwant it at %s", at[0], where)
			}
		})
	}
}

// wholeFile are mistakes that stand in no line of their own.
var wholeFile = map[string]bool{"no time to reopen": true, "no version": true, "two documents": true}

// Ten mistakes in one copy of a set: each is found from its message alone, all at once.
func TestTenMistakesAtOnce(t *testing.T) {
	text := shippedText(t, "software-group")
	mistakes := []struct{ from, to, want string }{
		{"region: GB-ENG", "region: GB-XYZ", "GB-XYZ"},
		{"{impact: business, urgency: time-critical}", "{impact: busines, urgency: time-critical}", `did you mean "business"?`},
		{"priority: P3, because: everything else", "priority: P5, because: everything else", `classify: priority: "P5" is not known`},
		{"{met_by: [ack], not_needed: true}", "{met_by: [], not_needed: true}", "clocks.response: nobody can meet it"},
		{`"4h,business"`, `"4 hours"`, "expected DURATION,MODE"},
		{"{kind: order}", "{kind: ordr}", `need "ordr": there is none of that kind`},
		{"roles: [it-ops-manager]}]\n  # Equipment", "roles: [it-ops-boss]}]\n  # Equipment", `gates.quote.needs: role: "it-ops-boss" is not known`},
		{"device-support: {kind: request", "device-support: {kind: wish", `type "device-support": kind "wish"`},
		{"{systems: [contract], owner: department}", "{systems: [contrakt], owner: department}", `did you mean "contract"?`},
		{"{name: quotes, on: [quoted, estimated]", "{name: quotes, on: [qouted, estimated]", `did you mean "quoted"?`},
	}
	lines := map[string]int{}
	for _, m := range mistakes {
		text, _ = mistaken(t, text, m.from, m.to)
	}
	for _, m := range mistakes {
		lines[m.want] = 1 + strings.Count(text[:strings.Index(text, m.to)], "\n")
	}
	_, err := Parse("mine.yml", []byte(text))
	if err == nil {
		t.Fatal("nothing is found")
	}
	for _, m := range mistakes {
		found := ""
		for _, f := range strings.Split(err.Error(), "\n") {
			if strings.Contains(f, m.want) {
				found = f
			}
		}
		line := lines[m.want]
		if !strings.HasPrefix(found, fmt.Sprintf("mine.yml:%d: ", line)) {
			t.Errorf("%q in line %d is told as %q", m.to, line, found)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n > len(mistakes)+1 {
		t.Errorf("%d findings for %d mistakes:\n%v", n, len(mistakes), err)
	}
}

// A priority that no target gives a clock to, where others have one, is worth a look; and so are hours of a rota in which
// nobody is on call.
func TestWhatIsForgotten(t *testing.T) {
	for _, tc := range []struct{ name, set, from, to, want string }{
		{"a priority missing from the targets", "software-group", "  - {priority: P2, clock: response, within: \"4h,business\", choice: {operator: [within]}}\n", "",
			"mine.yml:41: targets: no row gives a clock to priority P2, and others have one: add a row for it"},
		{"a rota that begins too late", "web-host", `role: engineer, start: "2026-01-05T08:00:00-05:00"`, `people: [anna, eve], start: "2026-12-05T08:00:00-05:00"`,
			"mine.yml:187: rotas.web-host-on-call: nobody is on call from 2026-11-20T09:00:00Z until 2026-12-05T13:00:00Z: the rota begins at 2026-12-05T08:00:00-05:00"},
		{"nothing", "web-host", "at_risk: 80%", "at_risk: 70%", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text, _ := mistaken(t, shippedText(t, tc.set), tc.from, tc.to)
			set, err := Parse("mine.yml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			var told []string
			for _, f := range shipped(t).With(set).Check(fleet.Directory{}, at("2026-11-20T09:00:00Z")) {
				told = append(told, f.String())
			}
			if all := strings.Join(told, "\n"); !strings.Contains(all, tc.want) || tc.want == "" && all != "" {
				t.Errorf("%s\nwant %q", all, tc.want)
			}
		})
	}
}

const folk = `
people:
  - {id: anna, name: Anna, email: anna@example.com}
contacts:
  - {role: engineer, person: anna}
  - {role: it-provider-user, person: anna}
  - {role: technical-operation, person: anna}
  - {role: developer, person: anna}
  - {role: account-manager, person: anna}
  - {role: project-manager, person: anna}
`

// What contracts make of the sets is found with the contract's place.
func TestContractsAreChecked(t *testing.T) {
	const now = "2026-11-20T09:00:00Z"
	for _, tc := range []struct {
		name, people, contract string
		want                   string // empty: nothing is found
		fault                  bool
	}{
		{"good", folk, "sets: [erp-partner]", "", false},
		{"over", folk, "sets: [nothing]\n        until: 2026-10-01", "", false},
		{"still to come", folk, "sets: [nothing]\n        from: 2027-01-01", `there is no policy set "nothing"`, true},
		{"unknown set", folk, "sets: [erp-parner]", `there is no policy set "erp-parner": did you mean "erp-partner"? The sets are customer-operations`, true},
		{"two of one section", folk, "sets: [erp-partner, web-host]", "calendar: given by erp-partner and web-host", true},
		{"cover without agreement", folk, "sets: [it-provider]\n        cover: 24x7", "cover without a written agreement: under it-provider", true},
		{"oncall without agreement", folk, "sets: [it-provider]\n        oncall: true\n        agreement: none", "oncall without a written agreement", true},
		{"overlay without agreement", folk, "sets: [it-provider]\n        overlays: [{name: late, hours: {mon-fri: '07:00-22:00'}}]", "overlay late without a written agreement", true},
		{"target without agreement", folk, "sets: [it-provider]\n        targets: [{priority: P1, clock: response, within: '2h,business'}]", "target.P1.response without a written agreement", true},
		{"informing target without agreement", folk + "  - {role: client-owner-user, person: anna}\n", "sets: [it-provider]\n        targets: [{priority: P1, clock: response, within: '2h,business,inform'}]", "", false},
		{"with agreement", folk + "  - {role: client-owner-user, person: anna}\n", "sets: [it-provider]\n        agreement: A-1\n        cover: 24x7\n        targets: [{priority: P1, clock: response, within: '2h,business'}]", "", false},
		{"targets demanded", folk, "sets: [customer-operations]", "no targets: customer-operations takes them from the contract", true},
		{"targets for some", folk, "sets: [customer-operations]\n        targets: [{priority: P1, clock: response, within: '2h,business'}]", "the contract has no target for blocker", false},
		{"target of no priority", folk, "sets: [erp-partner]\n        targets: [{priority: P1, clock: response, within: '2h,business'}]", `target.P1.response: erp-partner has no priority "P1": its priorities are system-down`, true},
		{"target of no clock", folk, "sets: [erp-partner]\n        targets: [{priority: high, clock: callback, within: '2h,business'}]", `erp-partner has no clock "callback"`, true},
		{"target of no form", folk, "sets: [erp-partner]\n        targets: [{priority: high, clock: response, within: '2 hours'}]", "expected DURATION,MODE", true},
		{"region unknown", folk, "sets: [erp-partner]\n        region: GB-XX", `region "GB-XX" is none whose holidays are known: write one of`, true},
		{"owner of no system", folk, "sets: [it-provider]\n        agreement: A-1\n        owners: [{system: aplication, owner: it-provider}]", `owners: system: "aplication" is not known`, true},
		{"system of no owner", folk, "sets: [it-provider]\n        agreement: A-1\n        owners: [{system: application, owner: nobody}]", `owners: owner: "nobody" is not known`, true},
		{"nobody is the developer", strings.Replace(folk, "  - {role: developer, person: anna}\n", "", 1), "sets: [it-provider]\n        agreement: A-1", "developer (role developer) can own tickets and nobody can be reached for it", true},
		{"the developer has no address", strings.Replace(folk, "{role: developer, person: anna}", "{role: developer, name: Bob}", 1), "sets: [it-provider]\n        agreement: A-1", "developer (role developer) can own tickets", true},
		{"on call, and nobody is", strings.Replace(folk, "  - {role: engineer, person: anna}\n", "", 1), "sets: [web-host]", "rotas.web-host-on-call: nobody is on call from", true},
		{"oncall of no service", folk, "sets: [erp-partner]\n        oncall: true", "oncall changes nothing", false},
		{"overlays that contradict each other", folk, "sets: [erp-partner]\n        overlays:\n          - {name: late, hours: {mon-fri: '07:00-22:00'}}\n          - {name: later, from: 2026-12-01, until: 2026-12-31, hours: {mon: '08:00-20:00'}}",
			"overlays late and later contradict each other on Monday, 2026-12-07: [07:00-22:00] and [08:00-20:00]", true},
		{"overlays that say the same, or another time", folk, "sets: [erp-partner]\n        overlays:\n          - {name: late, hours: {mon-fri: '07:00-22:00'}}\n          - {name: same, hours: {mon: '07:00-22:00'}}\n          - {name: weekend, hours: {sat: '08:00-20:00'}}\n          - {name: night, hours: {mon: '22:00-24:00'}}", "", false},
		{"overlays one after the other", folk, "sets: [erp-partner]\n        overlays:\n          - {name: may, from: 2026-05-01, until: 2026-05-31, hours: {mon-fri: '07:00-22:00'}}\n          - {name: june, from: 2026-06-01, hours: {mon-fri: '08:00-20:00'}}\n          - {name: once, until: 2026-04-30, hours: {mon-fri: '08:00-21:00'}}", "", false},
		{"overlays on days that do not meet", folk, "sets: [erp-partner]\n        overlays:\n          - {name: late, hours: {mon: '07:00-22:00'}}\n          - {name: tuesday, from: 2026-12-01, until: 2026-12-01, hours: {mon-fri: '08:00-20:00'}}", "", false},
		{"no sets", folk, "agreement: A-1", "names no sets: the set default holds", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			text := strings.TrimPrefix(tc.people, "\n") + "customers:\n  - id: acme\n    contracts:\n      - id: acme-2026\n        " + tc.contract + "\n"
			if err := os.WriteFile(filepath.Join(dir, "acme.yml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			d, err := fleet.LoadDirectory(dir)
			if err != nil {
				t.Fatal(err)
			}
			got := shipped(t).Check(d, at(now))
			for _, f := range got {
				if tc.want != "" && strings.Contains(f.String(), tc.want) && f.Fault == tc.fault {
					if f.Where == "" || !strings.Contains(f.Where, ":") {
						t.Errorf("no place: %v", f)
					}
					return
				}
			}
			if tc.want != "" || len(got) > 0 {
				t.Errorf("%v\nwant %q, fault %v", got, tc.want, tc.fault)
			}
		})
	}
}

// A rota with people of its own is looked at without a directory, too.
func TestRotaGaps(t *testing.T) {
	const set = targetsX + routingX + noticesX + "rotas: {nights: {zone: Europe/London, people: [anna, bob], start: %q, every: 7d}}\n"
	for start, want := range map[string]string{
		"2026-01-05T08:00:00Z": "",
		"2026-12-01T08:00:00Z": "rotas.nights: nobody is on call from 2026-11-20T09:00:00Z until 2026-12-01T08:00:00Z: the rota begins at",
	} {
		got := shipped(t).With(own(t, "mine", fmt.Sprintf(set, start))).Check(fleet.Directory{}, at("2026-11-20T09:00:00Z"))
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0].String(), want) || !strings.HasPrefix(got[0].Where, "mine.yml:")) {
			t.Errorf("from %s: %v, want %q", start, got, want)
		}
	}
	one := own(t, "one", fmt.Sprintf(set, "2026-01-05T08:00:00Z"))
	two := own(t, "two", fmt.Sprintf(set, "2026-01-05T08:00:00Z"))
	got := shipped(t).With(one).With(two).Check(fleet.Directory{}, at("2026-11-20T09:00:00Z"))
	if len(got) != 1 || !strings.Contains(got[0].String(), "a rota of that name is at one.yml:") {
		t.Errorf("two of one name: %v", got)
	}
}

// A client who is named in a rota of the house is a fault, whoever declared them besides; others may stand there.
func TestClientsInARota(t *testing.T) {
	const set = targetsX + routingX + noticesX + "rotas: {nights: {zone: Europe/London, people: [anna, cleo, lou], start: \"2026-01-05T08:00:00Z\", every: 7d}}\n"
	d := fleet.Directory{People: []fleet.Person{{ID: "anna"}, {ID: "cleo"}, {ID: "lou"}},
		Contacts:  []fleet.Contact{{Role: fleet.Engineer, Person: "anna"}},
		Customers: []fleet.Customer{{ID: "acme", Contacts: []fleet.Contact{{Role: fleet.ClientOwnerUser, Person: "cleo"}, {Role: fleet.ClientOwnerUser, Person: "anna"}}}}}
	var got []string
	for _, f := range shipped(t).With(own(t, "mine", set)).Check(d, at("2026-11-20T09:00:00Z")) {
		if strings.Contains(f.Text, "rotas.") {
			got = append(got, fmt.Sprintf("%v %s", f.Fault, f))
		}
	}
	if len(got) != 1 || !strings.HasPrefix(got[0], "true mine.yml:") || !strings.Contains(got[0], "rotas.nights: cleo is of a client") {
		t.Errorf("%q", got)
	}
}

func TestLoad(t *testing.T) {
	mine := strings.Replace(shippedText(t, "default"), "name: default", "name: mine", 1)
	write := func(t *testing.T, files map[string]string) string {
		dir := t.TempDir()
		for name, text := range files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	t.Run("beside the shipped ones", func(t *testing.T) {
		b, err := Load(write(t, map[string]string{"mine/policy.yml": mine, "mine/policy_test.yml": "no set", "notes.txt": "none", "web-host.yml": strings.Replace(mine, "name: mine", "name: web-host", 1)}))
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := b.Set("mine"); !ok || s.Priorities[0] != "P1" || len(b.Sets()) != 7 {
			t.Errorf("%v", b.names())
		}
		if s, _ := b.Set("web-host"); s.Priorities[0] != "P1" {
			t.Error("the operator's set does not replace the shipped one of its name")
		}
		if s, ok := b.Set("erp-partner"); !ok || s.Priorities[0] != "system-down" {
			t.Error("the others do not stay")
		}
	})
	for name, tc := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"every fault of every file": {map[string]string{"a.yml": "name: a\nversion: 1\ncolour: red\n", "b/policy.yml": "name: b\nowner: us\n"}, []string{`a.yml:3: unknown key "colour"`, "version: must not be empty", `policy.yml:2: owner: "us" is not known`}},
		"files that say nothing": {map[string]string{"a.yml": "", "b.yml": "null\n", "c.yml": "&x\n", "d.yml": "# later\n---\n"},
			[]string{"a.yml: the file is empty", "b.yml: the file is empty", "c.yml: the file is empty", "d.yml: the file is empty"}},
		"another name":   {map[string]string{"other/policy.yml": mine}, []string{`the set is called "mine" but its file stands under "other"`}},
		"one name twice": {map[string]string{"mine/policy.yml": mine, "mine.yml": mine}, []string{`a set "mine" is in`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(write(t, tc.files))
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q", err, want)
				}
			}
			var f Finding
			if !errors.As(err, &f) {
				t.Errorf("no Finding: %v", err)
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a directory that is not there is read")
	}
}
