package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector"
	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// cli runs one command line against a server and returns what it did.
func cli(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// storage is a storage directory with an operator's token in it.
func storage(t *testing.T, token string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, collector.TokenName), []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// scripted answers every request with status and body, and remembers the last one.
type scripted struct {
	*httptest.Server
	status int
	body   any
	got    *http.Request
	sent   string
}

func newScripted(t *testing.T, status int, body any) *scripted {
	t.Helper()
	s := &scripted{status: status, body: body}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		s.got, s.sent = r, string(b)
		w.WriteHeader(s.status)
		if text, ok := s.body.(string); ok {
			_, _ = io.WriteString(w, text)
			return
		}
		_ = json.NewEncoder(w).Encode(s.body)
	}))
	t.Cleanup(s.Close)
	return s
}

// wallTime is a moment with the distance from UTC that it is told with.
func wallTime(text string) *time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return &t
}

func TestCommandsAskTheCollector(t *testing.T) {
	at := time.Now().Add(-5 * time.Minute)
	ptr := func(d time.Duration) *time.Time { x := time.Now().Add(d); return &x }
	row := api.TicketRow{Number: "WB-1001", Priority: "P1", State: ticket.New, Customer: "acme", Asset: "web1", Title: "disk full",
		Owner: "first level", OpenedAt: at}
	brave := row
	brave.State, brave.ResolvedAt = ticket.Done, &at
	brave.Alerts = []api.TicketAlert{{Alert: incident.Alert{Name: "FilesystemFull"}},
		{Alert: incident.Alert{Name: "Ended", EndedAt: at}}, {Alert: incident.Alert{Name: "HighLoad"}}}
	tests := []struct {
		args, request, sent string
		answer              any
		says                []string
	}{
		{"ticket list", "GET /tickets?fold=true&limit=100&open=true", "", api.TicketList{Tickets: []api.TicketRow{row}, Truncated: true},
			[]string{"NUMBER", "WB-1001", "P1", "disk full", "5m", "raise --limit"}},
		{"ticket list", "GET /tickets?fold=true&limit=100&open=true", "", api.TicketList{}, []string{"No open tickets."}},
		{"ticket list --all --limit 5", "GET /tickets?fold=true&limit=5", "", api.TicketList{}, []string{"No tickets."}},
		{"ticket list --state in-progress --customer a&b --asset x --priority P2", "GET /tickets?asset=x&customer=a%26b&limit=100&priority=P2&state=in-progress",
			"", api.TicketList{}, []string{"No tickets."}},
		{"ticket show WB-1001", "GET /tickets/WB-1001", "", api.Ticket{TicketRow: row}, []string{"disk full", "5. ACTIONS ALREADY TAKEN"}},
		{"ticket show ../operators", "GET /tickets/..%2Foperators", "", api.Ticket{TicketRow: row}, []string{"disk full"}},
		{"ticket verify-chain WB-1001", "GET /tickets/WB-1001/chain", "", api.Chain{OK: true, Events: 6, Head: "abc"}, []string{"verifies: 6 events, head abc"}},
		{"ticket ack WB-1001", "POST /tickets/WB-1001/ack", `{}`, api.Ticket{TicketRow: row}, []string{"WB-1001 is new: disk full"}},
		{"ticket note WB-1001 -m hello", "POST /tickets/WB-1001/note", `{"text":"hello"}`, api.Ticket{TicketRow: row}, []string{"noted on WB-1001\n"}},
		{"ticket action WB-1001 -m restarted", "POST /tickets/WB-1001/action", `{"text":"restarted"}`, api.Ticket{TicketRow: row},
			[]string{"action written down on WB-1001\n"}},
		{"ticket resolve WB-1001 -m brave", "POST /tickets/WB-1001/resolve", `{"text":"brave"}`, api.Ticket{TicketRow: brave},
			[]string{"WB-1001 is resolved: disk full\n2 alerts still fire (FilesystemFull, HighLoad): the ticket is reopened at " +
				brave.ResolvedAt.Add(15*time.Minute).Local().Format("15:04:05") + " unless they end\n"}},
		{"ticket resolve WB-1001 --message done", "POST /tickets/WB-1001/resolve", `{"text":"done"}`, api.Ticket{TicketRow: row}, []string{"WB-1001"}},
		{"alert list", "GET /alerts", "", api.AlertList{Alerts: []api.Alert{{Name: "HighLoad", State: rules.Firing, ActiveAt: at, FiredAt: ptr(-time.Minute),
			Ticket: &api.TicketRef{Number: "WB-1001"}, Annotations: map[string]string{"summary": "load"}}}}, []string{"HighLoad", "firing", "WB-1001", "1m"}},
		{"alert list", "GET /alerts", "", api.AlertList{Alerts: []api.Alert{
			{Name: "HighLoad", State: rules.Firing, ActiveAt: at, Unknown: "web3 is silent since 12:00:00", Ticket: &api.TicketRef{Number: "WB-1001", State: ticket.Done}},
			{Name: "LowMemory", State: rules.Pending, ActiveAt: at, Unknown: "web3 is silent since 12:00:00"}}},
			[]string{"firing, unknown ", "WB-1001 (resolved)", "pending, unknown", "\nunknown: web3 is silent since 12:00:00\n"}},
		{"alert list", "GET /alerts", "", api.AlertList{}, []string{"No alerts."}},
		{"alert list", "GET /alerts", "", api.AlertList{Alerts: []api.Alert{
			{Name: "A", State: rules.Firing, MutedBy: []incident.MutedBy{{ID: someSilence, By: "jane", Comment: "new disks\x1b[2J"}}},
			{Name: "B", State: rules.Firing, MutedBy: []incident.MutedBy{{Name: "patch-night", Comment: "updates"}}},
			{Name: "C", State: rules.Firing, MutedBy: []incident.MutedBy{{Name: "patch-night", Comment: "updates"}}},
			{Name: "D", State: rules.Firing, Ticket: &api.TicketRef{Number: "WB-1001", State: ticket.New}, MutedBy: []incident.MutedBy{{Name: "other"}}}}},
			[]string{"held: 5f1f9c1e\n", "held: patch-night", "WB-1001", "\nheld: silence " + someSilence + " of jane: new disks", "\nheld: patch-night: updates\n"}},
		{"maintenance list", "GET /maintenance", "", api.MaintenanceList{}, []string{"No maintenance windows: "}},
		{"maintenance ls --at 2026-11-28T22:00:00Z", "GET /maintenance?at=2026-11-28T22%3A00%3A00Z", "", api.MaintenanceList{Windows: []api.MaintenanceWindow{
			{Name: "patch-night", Active: true, Until: wallTime("2026-11-29T04:00:00+01:00"), Zone: "Europe/Berlin", Held: 12, Matchers: []string{`customer="acme"`, `a=~"b"`}},
			{Name: "next", From: wallTime("2026-12-05T22:00:00+01:00"), Comment: "updates\x1b[2J"}, {Name: "gone"}}},
			[]string{"active   holds already", "Sun 2026-11-29 04:00 +01:00  Europe/Berlin  12 ", `customer="acme" a=~"b"`,
				"pending  Sat 2026-12-05 22:00 +01:00  no end in sight", "over     not within 4 years"}},
		{"maintenance list -o json", "GET /maintenance", "", api.MaintenanceList{Windows: []api.MaintenanceWindow{{Name: "n"}}}, []string{`"held": 0`}},
		{"asset list", "GET /assets", "", api.AssetList{Assets: []api.Asset{{Name: "web1", State: api.Silent, LastReportAt: &at,
			Failed: []api.Source{{Name: "disk", Reason: "denied"}}}}}, []string{"web1", "silent", "5m ago", "disk: denied"}},
		{"asset list", "GET /assets", "", api.AssetList{Assets: []api.Asset{{Name: "web1", Kind: fleet.Host, State: api.Never},
			{Name: "web2", Kind: fleet.Host, State: api.Never, From: []string{"agent"}}, {Name: "fw1", Kind: fleet.Device, State: api.Never}}},
			[]string{"web1   no agent  never", "web2   never     never", "fw1    never     never"}},
		{"asset show web1", "GET /assets/web1", "", api.AssetDetail{Asset: api.Asset{Name: "web1", State: api.Never},
			Sources: []api.Source{{Name: "cpu", At: at, OK: true, Series: 8}}}, []string{"never", "cpu", "ok", "No open tickets."}},
		{"agent list", "GET /agents", "", api.AgentList{Agents: []api.Agent{{Asset: "web1", ExpiresAt: *ptr(time.Hour)},
			{Asset: "web2", ExpiresAt: *ptr(-time.Hour)}, {Asset: "web3", RevokedAt: ptr(0), RevokedBy: "bob"}}}, []string{"active", "expired", "revoked by bob"}},
		{"agent revoke web1", "POST /agents/web1/revoke", "", api.Agent{ID: "x1", Asset: "web1"}, []string{"Revoked the agent of web1 (x1)."}},
		{"ca list", "GET /authorities", "", api.AuthorityList{Authorities: []api.Authority{
			{Fingerprint: strings.Repeat("a", 64), Listener: true, Agents: []string{"web1"}, Tokens: 2}, {Fingerprint: strings.Repeat("b", 64), Signs: true}}},
			[]string{"aaaaaaaaaaaaaaaa", "listener", "signs"}},
		{"ca rotate", "POST /authorities/rotate", "", api.AuthorityList{}, []string{"A new authority is in force"}},
		{"ca retire oldest --force", "POST /authorities/oldest/retire", `{"force":true}`, api.AuthorityList{}, []string{"Retired."}},
		{"token create --customer acme --site berlin --ttl 1h", "POST /tokens", `{"customer":"acme","site":"berlin","ttl_seconds":3600}`,
			api.NewToken{Text: "wb1.abc", Command: "watchbill-agent enroll --token wb1.abc"}, []string{"wb1.abc\n"}},
		{"token list", "GET /tokens", "", api.TokenList{Tokens: []api.Token{{ID: "k1", UsedAt: &at, UsedBy: "x1"}, {ID: "k2", ExpiresAt: at}}},
			[]string{"used by agent x1", "expired"}},
		{"operator add bob --role viewer", "POST /operators", `{"name":"bob","role":"viewer"}`,
			api.NewOperator{Operator: api.Operator{Name: "bob", Role: string(fleet.Viewer)}, Token: "wbo_1"}, []string{"wbo_1\n"}},
		{"operator add prom --role scrape", "POST /operators", `{"name":"prom","role":"scrape"}`,
			api.NewOperator{Operator: api.Operator{Name: "prom", Role: string(fleet.Scrape)}, Token: "wbo_1"}, []string{"wbo_1\n"}},
		{"operator list", "GET /operators", "", api.OperatorList{Operators: []api.Operator{{Name: "bob", Role: string(fleet.Viewer)}}}, []string{"bob", "viewer"}},
		{"operator remove bob", "DELETE /operators/bob", "", api.Removed{Removed: "bob"}, []string{"Removed operator bob."}},
		{"outbox list --state buried", "GET /outbox?state=buried", "", api.MessageList{Messages: []api.Message{
			{ID: "m1", State: outbox.Buried, LastError: "send m1 to desk: refused: it answered 410 Gone", Receiver: "desk"},
			{ID: "m2", State: outbox.Queued, NextAt: ptr(90 * time.Second), LastError: "send m2 to desk: webhook desk: read secret_file x", Receiver: "desk"}}},
			[]string{"buried ", "not by itself\n  m1\n    refused: it answered 410 Gone\n", "in 1m", "\n  m2\n    read secret_file x\n"}},
		{"outbox resend m1", "POST /outbox/m1/resend", "", api.Message{ID: "m1", Receiver: "desk"}, []string{"Queued message m1 to desk again."}},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			s := newScripted(t, 200, tt.answer)
			code, out, errs := cli(t, append(strings.Fields(tt.args), "--url", s.URL, "--storage.path", storage(t, "wbo_secret"))...)
			if code != exitOK {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			if got := s.got.Method + " " + strings.TrimPrefix(s.got.URL.RequestURI(), api.Root); got != tt.request {
				t.Errorf("asked %s, want %s", got, tt.request)
			}
			if s.got.Header.Get("Authorization") != "Bearer wbo_secret" {
				t.Errorf("sent authorization %q", s.got.Header.Get("Authorization"))
			}
			if s.sent != tt.sent {
				t.Errorf("sent %s, want %s", s.sent, tt.sent)
			}
			for _, want := range tt.says {
				if !strings.Contains(out, want) {
					t.Errorf("says\n%s\nwant it to say %q", out, want)
				}
			}
			if strings.Contains(out, "wbo_secret") || errs != "" && !strings.HasPrefix(tt.args, "operator add ") && !strings.HasPrefix(tt.args, "token create ") {
				t.Errorf("said too much: %s %s", out, errs)
			}
		})
	}
}

// "> FILE" behind it makes a file that a program takes for its token: the words about it are not in it.
func TestOperatorAddPrintsTheTokenAlone(t *testing.T) {
	for role, words := range map[fleet.Role][]string{
		fleet.Viewer: {"Added bob as viewer", "into the file operator.token (mode 0600) of their own --storage.path", "$WATCHBILL_TOKEN"},
		fleet.Scrape: {"program that scrapes", "credentials_file"},
		fleet.Sender: {"program that sends", "credentials_file"},
	} {
		s := newScripted(t, 200, api.NewOperator{Operator: api.Operator{Name: "bob", Role: string(role)}, Token: "wbo_1"})
		code, out, errs := cli(t, "operator", "add", "bob", "--role", string(role), "--url", s.URL, "--storage.path", storage(t, "x"))
		if code != exitOK || out != "wbo_1\n" {
			t.Errorf("%s: exit code %d, output %q", role, code, out)
		}
		for _, want := range words {
			if !strings.Contains(errs, want) || strings.Contains(errs, "wbo_1") {
				t.Errorf("%s: says\n%s\nwant it to say %q, without the token", role, errs, want)
			}
		}
	}
}

func TestAnAuthorityOfOnesOwn(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	code, _, errs := cli(t, "asset", "list", "--url", s.URL, "--storage.path", storage(t, "x"))
	if code != exitFailed || !strings.Contains(errs, "$SSL_CERT_FILE") || !strings.Contains(errs, s.URL) {
		t.Errorf("exit code %d, says %s", code, errs)
	}
}

// TestAProxyThatDoesNotAnswer: no collector is to be started because a proxy is down.
func TestAProxyThatDoesNotAnswer(t *testing.T) {
	bin, _ := binaries(t)
	cmd := exec.Command(bin, "asset", "list", "--url", "http://collector.invalid:1", "--storage.path", storage(t, "x"))
	cmd.Env = append(os.Environ(), "HTTP_PROXY=http://127.0.0.1:1", "NO_PROXY=", "no_proxy=")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "the proxy that $HTTP_PROXY") || !strings.Contains(string(out), "collector.invalid") {
		t.Errorf("%v: says %s", err, out)
	}
}

func TestTokenCreatePrintsTheTokenAlone(t *testing.T) {
	s := newScripted(t, 200, api.NewToken{Text: "wb1.abc", Command: "watchbill-agent enroll --token wb1.abc"})
	code, out, errs := cli(t, "token", "create", "--customer", "acme", "--site", "berlin", "--url", s.URL, "--storage.path", storage(t, "x"))
	if code != exitOK || out != "wb1.abc\n" || !strings.Contains(errs, "\n  watchbill-agent enroll --token wb1.abc\n") {
		t.Errorf("exit code %d, output %q, says %s", code, out, errs)
	}
}

func TestOutputJSONIsTheAPIsObject(t *testing.T) {
	const answer = `{"tickets":[{"number":"WB-1","a_field_of_a_later_release":{"x":[1,2.50]},"title":"\u001b[2J<b>` + "\u202e" + `"}],"truncated":false}`
	s := newScripted(t, 200, answer)
	code, out, errs := cli(t, "ticket", "list", "--output", "json", "--url", s.URL, "--storage.path", storage(t, "x"))
	if code != 0 {
		t.Fatal(errs)
	}
	var want, got any
	if err := json.Unmarshal([]byte(answer), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(want)
	b, _ := json.Marshal(got)
	if !bytes.Equal(a, b) || !strings.Contains(out, "2.50") || acts([]byte(out)) != "" {
		t.Errorf("printed\n%s\nwant the same value, inert", out)
	}
}

func TestErrorsForPeople(t *testing.T) {
	const nobody = "http://127.0.0.1:1" // a port that no process is given
	plain := newScripted(t, 200, `{}`)
	plainTLS := "https" + strings.TrimPrefix(plain.URL, "http")
	failure := func(code, message, hint string) map[string]api.Error {
		return map[string]api.Error{"error": {Code: code, Message: message, Hint: hint}}
	}
	tests := []struct {
		name   string
		args   string
		status int
		body   any
		code   int
		says   string
	}{
		{"nobody there", "ticket list --url " + nobody, 0, nil, 1,
			"watchbill: no collector answers at " + nobody + " (connection refused): start one with `watchbill up`, or name another with --url\n"},
		// Such a name is refused before anybody is asked for it.
		{"no such host", "ticket list --url http://nowhere..invalid:1", 0, nil, 1, "no collector answers at http://nowhere..invalid:1 ("},
		{"not a URL", "ticket list --url localhost:9720", 0, nil, 2, "--url: want http://HOST:PORT or https://HOST:PORT, got \"localhost:9720\": say http://localhost:9720"},
		{"an address that is no URL", "ticket list --url 127.0.0.1:9720", 0, nil, 2, "got \"127.0.0.1:9720\": say http://127.0.0.1:9720"},
		{"no scheme but a path", "ticket list --url host/x", 0, nil, 2, "--url: want http://HOST:PORT"},
		{"https where there is none", "ticket list --url " + plainTLS, 0, nil, 1, "speaks HTTP without TLS: say --url " + plain.URL},
		{"http where there is TLS", "ticket list", 400, "Client sent an HTTP request to an HTTPS server.", 1, "check --url (with TLS it begins with https://)"},
		{"password in the URL", "ticket list --url http://a:b@localhost", 0, nil, 2, "leave name and password out"},
		{"token not known", "ticket list", 401, failure("unauthenticated", "x", "y"), 1, "does not know the token from $WATCHBILL_TOKEN"},
		{"no operator at all", "ticket list", 401, failure("no_operators", "this collector has no operator yet", "stop it"), 1, "no operator yet: stop it"},
		{"not allowed", "ticket ack WB-1", 403, failure("forbidden", "bob has the role viewer", "ask an administrator"), 1, "bob has the role viewer: ask an administrator"},
		{"refused", "ticket close WB-1", 409, failure("refused", "refused: WB-1 is new; resolve it first", ""), 1, "watchbill: refused: WB-1 is new; resolve it first\n"},
		{"hostile refusal", "ticket close WB-1", 409, failure("refused", "\x1b[31mhello\u202e", ""), 1, `\x1b[31mhello\u202e`},
		{"another server", "ticket list", 404, "<html>not found</html>", 1, "but not as a collector does: check --url"},
		{"another server that is fine", "ticket list", 200, "<html>", 1, "but not as a collector does"},
		{"a redirect", "ticket list", 302, "", 1, "but not as a collector does"},
		{"another release", "ticket list", 200, `{"tickets":"many"}`, 1, "use the same release on both sides"},
		{"damaged chain", "ticket verify-chain WB-1", 200, api.Chain{Error: "event 3 was altered"}, 1, "WB-1 does not verify: event 3 was altered"},
		{"damaged chain as JSON", "ticket verify-chain WB-1 --output json", 200, api.Chain{Error: "event 3 was altered"}, 1, ""},
		{"output", "ticket list --output xml", 200, `{}`, 2, "--output: want text or json"},
		{"output of a report", "report sla --output xml", 200, `{}`, 2, "--output: want text, json or csv, got \"xml\""},
		{"a day that is none", "report sla --from yesterday", 200, `{}`, 2, "--from: want a day like 2026-11-01"},
		{"a session without an end", "ticket session WB-1 RDP --consent Pat --start 10m", 200, `{}`, 2, "--until is missing: when it ended"},
		{"no ticket named", "ticket show", 200, `{}`, 2, "TICKET is missing"},
		{"two tickets named", "ticket show A B", 200, `{}`, 2, `"B" is one argument too many`},
		{"unknown command", "ticket lst", 200, `{}`, 2, `has no command "lst"; did you mean "list"?`},
		{"unknown top command", "tickt", 200, `{}`, 2, `did you mean "ticket"?`},
		{"unknown flag", "ticket list --al", 200, `{}`, 2, "unknown flag"},
		{"note of nothing", "ticket note WB-1 -m ", 200, `{}`, 2, "flag needs an argument"},
		{"resolve without a word", "ticket resolve WB-1", 200, `{}`, 2, `say what resolved it: -m "…"`},
		{"blank note", "ticket note WB-1 --message=", 200, `{}`, 2, "say what to write down"},
		{"token without customer", "token create --site x", 200, `{}`, 2, "--customer is missing"},
		{"token without site", "token create --customer x", 200, `{}`, 2, "--site is missing"},
		{"token for an address without a port", "token create --customer x --site y --address foo", 200, `{}`, 2, `--address: want HOST:PORT, got "foo"`},
		{"role of nobody", "operator add bob --role king", 200, `{}`, 2, `--role: want admin, operator, viewer, scrape, sender, technical`},
		{"help about nothing", "help foo", 0, nil, 2, `watchbill has no command "foo"`},
		{"help about nearly something", "help ticket lst", 0, nil, 2, `watchbill ticket has no command "lst"; did you mean "list"?`},
		{"help of an unknown word", "outbox retry --help", 0, nil, 2, `watchbill outbox has no command "retry"`},
		{"help of an unknown command", "foo --help", 0, nil, 2, `watchbill has no command "foo"`},
		{"token for no time", "token create --customer x --site y --ttl -1h", 200, `{}`, 2, "--ttl"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(tokenEnv, "wbo_env")
			args := strings.Fields(tt.args)
			if tt.status != 0 && !slices.Contains(args, "--url") {
				args = append(args, "--url="+newScripted(t, tt.status, tt.body).URL)
			}
			if tt.name == "note of nothing" { // -m must stay last
				args = []string{"ticket", "note", "WB-1", "-m"}
			}
			if tt.name == "unknown top command" {
				args = args[:1]
			}
			code, out, errs := cli(t, args...)
			if code != tt.code || !strings.Contains(errs, tt.says) {
				t.Errorf("exit code %d, want %d; says %q, want %q (%s)", code, tt.code, errs, tt.says, out)
			}
			if bad := acts([]byte(errs)); bad != "" {
				t.Errorf("%+q reached the terminal", bad)
			}
			if out != "" && tt.code != exitOK && !strings.Contains(tt.args, "json") {
				t.Errorf("standard output of a failure: %s", out)
			}
			if tt.code == exitUsage && !strings.Contains(errs, "--help") {
				t.Errorf("usage error that names no help: %s", errs)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	for args, want := range map[string]string{
		"": "Usage:", "--help": "Usage:", "help": "Usage:", "ticket": "Available Commands:", "help ticket resolve": "what resolved it (required)",
		"ticket resolve --help": "what resolved it (required)", "ticket show WB-1 --help": "record in five parts",
		"help tickets": "Tickets are opened by the collector",
	} {
		code, out, errs := cli(t, strings.Fields(args)...)
		if code != exitOK || errs != "" || !strings.Contains(out, want) {
			t.Errorf("%q: exit code %d, %s\n%s\nwant %q", args, code, errs, out, want)
		}
	}
}

func TestTokenFile(t *testing.T) {
	t.Setenv(tokenEnv, "")
	refuse := map[string]api.Error{"error": {Code: "unauthenticated", Message: "x"}}
	t.Run("missing", func(t *testing.T) {
		dir := t.TempDir()
		s := newScripted(t, 401, refuse)
		_, _, errs := cli(t, "ticket", "list", "--url", s.URL, "--storage.path", dir)
		if !strings.Contains(errs, "there is none in "+filepath.Join(dir, collector.TokenName)) || s.got.Header.Get("Authorization") != "" {
			t.Errorf("says %s", errs)
		}
	})
	t.Run("readable by others", func(t *testing.T) {
		dir := storage(t, "wbo_x")
		if err := os.Chmod(filepath.Join(dir, collector.TokenName), 0o644); err != nil { //nolint:gosec // the mistake under test
			t.Fatal(err)
		}
		s := newScripted(t, 200, `{}`)
		code, _, errs := cli(t, "ticket", "list", "--url", s.URL, "--storage.path", dir)
		if code != 1 || !strings.Contains(errs, "chmod 600") || s.got != nil {
			t.Errorf("exit code %d, says %s; the token must not be sent", code, errs)
		}
	})
	t.Run("a redirect gets no token", func(t *testing.T) {
		other := newScripted(t, 200, `{}`)
		s := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
		defer s.Close()
		if code, _, _ := cli(t, "ticket", "list", "--url", s.URL, "--storage.path", storage(t, "wbo_x")); code != 1 || other.got != nil {
			t.Errorf("exit code %d; the redirect was followed: %v", code, other.got != nil)
		}
	})
}

func TestCompletionOffersOpenTickets(t *testing.T) {
	s := newScripted(t, 200, api.TicketList{Tickets: []api.TicketRow{{Number: "WB-1001", Priority: "P1", Asset: "web1", Title: "disk\x1b[2J full"}}})
	_, out, _ := cli(t, "__complete", "ticket", "--url", s.URL, "show", "")
	if !strings.Contains(out, "WB-1001\tP1 web1: disk\\x1b[2J full") {
		t.Errorf("offers\n%s", out)
	}
}

// TestEveryCommandExplainsItself: help, long text and examples everywhere.
func TestEveryCommandExplainsItself(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "help" || c.Name() == "completion" {
			return
		}
		if c.Short == "" || c.Long == "" || c.Example == "" {
			t.Errorf("%s lacks a short text, a long text or examples", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRootCmd())
}
