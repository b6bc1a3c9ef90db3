package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
)

// TestEveryVerbIsACommand: what the API lets people do there is a command for, and a command sends no field that its verb
// does not take.
func TestEveryVerbIsACommand(t *testing.T) {
	own := map[ticket.Verb]bool{ticket.Rebase: true} // has a command of its own, which also lists
	for _, v := range verbs() {
		own[v.verb] = true
		use, ok := api.UseOf(v.verb)
		if !ok {
			t.Errorf("the API knows no %q", v.verb)
		}
		in := api.ActionRequest{}
		if v.into != nil {
			word := map[string]string{"SCORE": "7", "WHEN": "4h", "NAME=WORD…": "impact=team"}[v.arg]
			if err := v.into(&in, or(word, "x")); err != nil {
				t.Errorf("%s: %v", v.verb, err)
			}
		}
		for _, f := range v.flags {
			word := "x"
			if f.name == "until" || f.name == "at" || f.name == "start" {
				word = "4h"
			}
			if err := f.into(&in, word); err != nil {
				t.Errorf("%s --%s: %v", v.verb, f.name, err)
			}
		}
		raw, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var sent map[string]any
		if err := json.Unmarshal(raw, &sent); err != nil {
			t.Fatal(err)
		}
		for _, field := range use.Fields {
			delete(sent, field)
		}
		if len(sent) > 0 {
			t.Errorf("%s sends %v, which its verb does not take (%v)", v.verb, sent, use.Fields)
		}
	}
	for _, v := range ticket.Verbs {
		if !own[v] {
			t.Errorf("there is no command for %q", v)
		}
	}
}

func TestVerbsAsk(t *testing.T) {
	row := api.Ticket{TicketRow: api.TicketRow{Number: "WB-1", State: ticket.InProgress, Title: "disk full", Owner: "first-level",
		TicketWork: api.TicketWork{Handoff: &ticket.Handoff{To: "hosting-provider"}}}}
	for _, tt := range []struct {
		args               []string
		request, sent, out string
	}{
		{[]string{"assign", "WB-1", "ann"}, "POST /tickets/WB-1/assign", `{"to":"ann"}`, "WB-1 is in progress"},
		{[]string{"assign", "WB-1"}, "POST /tickets/WB-1/assign", `{}`, "WB-1"},
		{[]string{"handoff", "WB-1", "hosting-provider", "-m", "disk"}, "POST /tickets/WB-1/handoff", `{"text":"disk","to":"hosting-provider"}`,
			"WB-1 is offered to hosting-provider; first-level owns it until it is accepted"},
		{[]string{"wait", "WB-1", "client", "-m", "the file"}, "POST /tickets/WB-1/wait", `{"text":"the file","what":"client"}`, "WB-1"},
		{[]string{"waive", "WB-1", "response", "--until", "2026-11-20T16:00:00Z", "--as", "general-manager", "-m", "snow"}, "POST /tickets/WB-1/waive",
			`{"text":"snow","as":"general-manager","until":"2026-11-20T16:00:00Z","what":"response"}`, "WB-1"},
		{[]string{"promise", "WB-1", "2026-11-20T16:00:00Z", "--with", "Pat"}, "POST /tickets/WB-1/promise", `{"until":"2026-11-20T16:00:00Z","to":"Pat"}`, "WB-1"},
		{[]string{"set", "WB-1", "impact=team", "lines-busy=yes"}, "POST /tickets/WB-1/set", `{"facts":{"impact":"team","lines-busy":"yes"}}`, "WB-1"},
		{[]string{"quote", "WB-1", "--price", "420 GBP", "--exceptions", "none", "--terms", "30 days", "--eta", "soon"}, "POST /tickets/WB-1/quote",
			`{"price":"420 GBP","exceptions":"none","terms":"30 days","eta":"soon"}`, "WB-1"},
		{[]string{"rate", "WB-1", "0"}, "POST /tickets/WB-1/rate", `{"score":0}`, "WB-1"},
		{[]string{"link", "WB-1", "WB-2", "--relation", "child of"}, "POST /tickets/WB-1/link", `{"other":"WB-2","relation":"child of"}`, "WB-1"},
		{[]string{"close", "WB-1", "--break-glass", "the client stands here"}, "POST /tickets/WB-1/close", `{"break_glass":"the client stands here"}`, "WB-1"},
		{[]string{"session", "WB-1", "RDP", "--consent", "Pat", "--start", "2026-11-20T16:00:00Z", "--until", "2026-11-20T16:20:00Z"}, "POST /tickets/WB-1/session",
			`{"at":"2026-11-20T16:00:00Z","until":"2026-11-20T16:20:00Z","to":"Pat","what":"RDP"}`, "WB-1"},
		{[]string{"open", "printer", "--customer", "acme", "--fact", "lines-busy=yes", "--received-at", "2026-11-20T16:00:00Z"}, "POST /tickets",
			`{"customer":"acme","title":"printer","received_at":"2026-11-20T16:00:00Z","facts":{"lines-busy":"yes"}}`, "WB-1 is open: disk full"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			s := newScripted(t, 200, row)
			code, out, errs := cli(t, append(append([]string{"ticket"}, tt.args...), "--url", s.URL, "--storage.path", storage(t, "x"))...)
			if code != exitOK || !strings.Contains(out, tt.out) {
				t.Fatalf("exit code %d, says %s%s, want %q", code, out, errs, tt.out)
			}
			if got := s.got.Method + " " + strings.TrimPrefix(s.got.URL.RequestURI(), api.Root); got != tt.request || s.sent != tt.sent {
				t.Errorf("asked %s %s\nwant %s %s", got, s.sent, tt.request, tt.sent)
			}
		})
	}
}

func TestVerbsRefuseWhatIsNoCommand(t *testing.T) {
	for args, says := range map[string]string{
		"ticket handoff WB-1":                        "PARTY is missing",
		"ticket handoff WB-1 x":                      `say why it is handed over: -m "…"`,
		"ticket rate WB-1 nine":                      "SCORE: want a number from 0 to 10",
		"ticket promise WB-1 soon":                   "WHEN: want 2026-11-20T16:00:00Z",
		"ticket promise WB-1 4h":                     "--with is missing: with whom of the client it was agreed",
		"ticket set WB-1 impact":                     "want NAME=WORD",
		"ticket ack WB-1 WB-2":                       `"WB-2" is one argument too many`,
		"ticket link WB-1 WB-2":                      "--relation is missing",
		"ticket rebase WB-1":                         "say why it is put under other terms",
		"oncall override nights bob":                 "--until is missing",
		"operator add x --department a --customer b": "department",
		"report gossip":                              `has no command "gossip"`,
		"customer apply":                             "FILE is missing",
		"ticket open":                                "TITLE is missing",
		"ticket open x --received-at yesterday":      "--received-at: want",
		"oncall show --until never":                  "--until: want",
	} {
		s := newScripted(t, 200, `{}`)
		code, _, errs := cli(t, append(strings.Fields(args), "--url", s.URL, "--storage.path", storage(t, "x"))...)
		if code == exitOK || !strings.Contains(errs, says) || s.got != nil {
			t.Errorf("%s: exit code %d, says %q, want %q; asked the collector: %v", args, code, errs, says, s.got != nil)
		}
	}
}

// TestGatesAreNamed: a gate's refusal is exit code 1 with everything that is missing, one by line, and inert.
func TestGatesAreNamed(t *testing.T) {
	refused := api.Refused{Error: api.Error{Code: "gate", Message: "refused", Gate: "complete-record", Missing: []string{"time", "users\x1b[2J"},
		Also: []ticket.GateError{{Gate: "order", Missing: []string{"order number"}}}}, Gate: "complete-record", Missing: []string{"time", "users"}}
	s := newScripted(t, 409, refused)
	args := []string{"ticket", "handoff", "WB-1", "developer", "-m", "x", "--url", s.URL, "--storage.path", storage(t, "x")}
	code, out, errs := cli(t, args...)
	want := "watchbill: refused: gate complete-record is missing:\n  time\n  users\\x1b[2J\ngate order is missing:\n  order number\n"
	if code != exitFailed || out != "" || errs != want {
		t.Errorf("exit code %d, says %q and %q, want %q", code, out, errs, want)
	}
	code, out, errs = cli(t, append(args, "--output", "json")...)
	var got struct {
		Gate    string
		Missing []string
		Error   struct{ Code string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFailed || errs != "" || got.Gate != "complete-record" || len(got.Missing) != 2 || got.Error.Code != "gate" {
		t.Errorf("exit code %d (%v), says %s%s", code, err, out, errs)
	}
	if bad := acts([]byte(out)); bad != "" {
		t.Errorf("%+q reached the terminal", bad)
	}
}

func TestNearestClock(t *testing.T) {
	now := time.Date(2026, 11, 20, 16, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { x := now.Add(d); return &x }
	for name, tt := range map[string]struct {
		clocks []api.Clock
		want   string
	}{
		"none":      {nil, ""},
		"informing": {[]api.Clock{{Clock: "response", Due: at(time.Hour)}}, ""},
		"the first": {[]api.Clock{{Clock: "resolution", Due: at(5 * time.Hour), Breaches: true}, {Clock: "response", Due: at(time.Hour), Breaches: true}}, "response in 1h"},
		"met":       {[]api.Clock{{Clock: "response", Due: at(time.Hour), Breaches: true, EndedAt: at(0)}, {Clock: "resolution", Due: at(5 * time.Hour), Breaches: true}}, "resolution in 5h"},
		"over":      {[]api.Clock{{Clock: "response", Due: at(-time.Minute), Breaches: true}}, "response 1m over"},
		"paused":    {[]api.Clock{{Clock: "response", State: sla.StatePaused, Breaches: true}}, "paused"},
	} {
		if got := nearest(tt.clocks, now); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func TestReports(t *testing.T) {
	rep := api.Report{Report: "sla", Tables: []api.ReportTable{{Title: "Targets", Columns: []string{"customer", "met"}, Rows: [][]string{{"acme\x1b[2J", "3"}}}}, RestsOn: "what tickets know"}
	s := newScripted(t, 200, rep)
	code, out, errs := cli(t, "report", "sla", "--customer", "acme", "--from", "2026-11-01", "--url", s.URL, "--storage.path", storage(t, "x"))
	if code != exitOK || !strings.Contains(out, `acme\x1b[2J`) || !strings.Contains(out, "what tickets know") || acts([]byte(out)) != "" {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if got := s.got.URL.RequestURI(); !strings.HasSuffix(got, "/reports/sla?customer=acme&from=2026-11-01") {
		t.Errorf("asked %s", got)
	}
	csv := newScripted(t, 200, "customer,met\nacme,3\n")
	code, out, errs = cli(t, "report", "sla", "--output", "csv", "--url", csv.URL, "--storage.path", storage(t, "x"))
	if code != exitOK || out != "customer,met\nacme,3\n" || !strings.Contains(csv.got.URL.RawQuery, "format=csv") {
		t.Errorf("exit code %d: %s%s (%s)", code, out, errs, csv.got.URL.RawQuery)
	}
}

func TestCustomerApply(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "acme.yml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("people:\n- {id: ann, name: Ann}\ncustomers:\n- id: acme\n  name: Acme\n")
	s := newScripted(t, 200, `{"changed":true,"warnings":["contract acme-1: worth a look"]}`)
	code, out, errs := cli(t, "customer", "apply", file, "--url", s.URL, "--storage.path", storage(t, "x"))
	if code != exitOK || out != "person ann: declared\ncustomer acme: declared\n" || !strings.Contains(errs, "warning: contract acme-1: worth a look") || s.got.Method != "PUT" || !strings.HasSuffix(s.got.URL.Path, "/customers/acme") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	var sent fleet.Customer
	if err := json.Unmarshal([]byte(s.sent), &sent); err != nil || sent.Name != "Acme" {
		t.Errorf("sent %s (%v)", s.sent, err)
	}
	write("customers:\n- id: acme\n  nmae: Acme\n")
	if code, _, errs := cli(t, "customer", "apply", file, "--url", s.URL, "--storage.path", storage(t, "x")); code != exitFailed || !strings.Contains(errs, "acme.yml:3: unknown key") {
		t.Errorf("exit code %d, says %s", code, errs)
	}
	write("contacts:\n- {role: engineer, name: X}\n")
	code, out, errs = cli(t, "customer", "apply", file, "--url", s.URL, "--storage.path", storage(t, "x"))
	if code != exitOK || !strings.HasPrefix(out, "operator's contacts: ") {
		t.Errorf("exit code %d, says %s%s", code, out, errs)
	}
}

// TestRefusedOpeningNamesFlags: what a new ticket lacks is said by the flag that gives it.
func TestRefusedOpeningNamesFlags(t *testing.T) {
	for name, tt := range map[string]struct {
		details []string
		want    string
	}{
		"facts":       {[]string{"facts.environment: it is not said", "facts.version: it is not said"}, "no ticket is opened: it needs --fact environment=…, --fact version=…"},
		"a customer":  {[]string{"customer: say whose ticket it is"}, "no ticket is opened: --customer: say whose ticket it is"},
		"a wrong one": {[]string{"facts.security: security is \"so\": say yes, no"}, "no ticket is opened: --fact security: security is \"so\": say yes, no"},
		"text, title": {[]string{"text: shorten it", "title: say a title"}, "no ticket is opened: -m: shorten it; TITLE: say a title"},
		"a time":      {[]string{"received_at: it is to come"}, "no ticket is opened: --received-at: it is to come"},
		"no field":    {[]string{"something"}, "no ticket is opened: something"},
	} {
		if got := inFlags(&api.Error{Code: "refused", Message: "x", Details: tt.details}); got.Error() != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
	plain := &api.Error{Code: "refused", Message: "there is no customer \"x\""}
	if got := inFlags(plain); got != error(plain) {
		t.Errorf("an error without fields became %v", got)
	}
}

// TestTimesAreNamedAsTheyAreGiven: what is no time is named by the argument or the flag that it was given with.
func TestTimesAreNamedAsTheyAreGiven(t *testing.T) {
	for _, v := range verbs() {
		if v.arg == "WHEN" {
			if err := v.into(&api.ActionRequest{}, "yesterday"); err == nil || !strings.HasPrefix(err.Error(), "WHEN: want 2026-11-20T16:00:00Z") {
				t.Errorf("%s: %v", v.verb, err)
			}
		}
		for _, f := range v.flags {
			if f.name != "until" && f.name != "at" && f.name != "start" {
				continue
			}
			if err := f.into(&api.ActionRequest{}, "yesterday"); err == nil || !strings.HasPrefix(err.Error(), "--"+f.name+": want ") {
				t.Errorf("%s: %v", v.verb, err)
			}
		}
	}
}

// TestEventText: nothing is said twice, and nothing of what is not there.
func TestEventText(t *testing.T) {
	for want, e := range map[string]ticket.Event{
		"impact: team; now P2":            {Kind: ticket.PriorityChanged, Text: "impact: team", Priority: "P2"},
		"worse; now P1 (critical)":        {Kind: ticket.PriorityChanged, Text: "worse", Priority: "P1", Severity: "critical"},
		"related to WB-1001":              {Kind: ticket.Linked, Text: "related to WB-1001", Link: &ticket.Link{Relation: "related to", Number: "WB-1001"}},
		"the same line; child of WB-1001": {Kind: ticket.Linked, Text: "the same line", Link: &ticket.Link{Relation: "child of", Number: "WB-1001"}},
	} {
		if got := eventText(e); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestLifecycleHelp: the help of the report says how far it looks, which is by the budget date and not by the calendar year.
func TestLifecycleHelp(t *testing.T) {
	_, out, errs := cli(t, "report", "lifecycle", "--help")
	text := strings.Join(strings.Fields(out+errs), " ")
	for _, want := range []string{"as far as the budget year lasts that begins with the next budget date of the customer's policy sets", "--from leaves nothing out"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in: %s", want, text)
		}
	}
}
