package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

var update = flag.Bool("update", false, "rewrite golden files")

// secrets differ with every run.
var secrets = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`wbo_[A-Za-z0-9_-]+`), "wbo_SECRET"},
	{regexp.MustCompile(`"[0-9a-f]{64}"`), `"SHA256"`},
	{regexp.MustCompile(`Watchbill authority [0-9a-f]{8}`), "Watchbill authority SERIAL"},
	{regexp.MustCompile(`wb1\.[A-Za-z0-9_-]+`), "wb1.SECRET"},
	{regexp.MustCompile(`"id": "[A-Za-z0-9_-]{10}",\n(\s*"customer")`), "\"id\": \"TOKENID\",\n$1"},
}

func golden(t *testing.T, name, body string) {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace([]byte(body)), "", "  "); err != nil {
		t.Fatalf("%s is not JSON: %v\n%s", name, err, body)
	}
	b.WriteByte('\n')
	got := b.Bytes()
	for _, s := range secrets {
		got = s.re.ReplaceAll(got, []byte(s.with))
	}
	compare(t, name+".json", got)
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update when that is meant):\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}

// goldens are the calls whose answers are kept in testdata, in this order.
var goldens = []struct{ name, method, path, body string }{
	{"index", "GET", "/", ""},
	{"tickets", "GET", "/tickets?open=true", ""},
	{"ticket", "GET", "/tickets/WB-1001", ""},
	{"chain", "GET", "/tickets/WB-1001/chain", ""},
	{"assets", "GET", "/assets", ""},
	{"asset", "GET", "/assets/db1", ""},
	{"alerts", "GET", "/alerts", ""},
	{"alerts_resolved", "GET", "/alerts?resolved=true", ""},
	{"maintenance", "GET", "/maintenance", ""},
	{"rules", "GET", "/rules", ""},
	{"outbox", "GET", "/outbox", ""},
	{"resend", "POST", "/outbox/m1/resend", ""},
	{"dropped", "DELETE", "/outbox/m3", ""},
	{"agents", "GET", "/agents", ""},
	{"agent_revoked", "POST", "/agents/a1/revoke", ""},
	{"authorities", "GET", "/authorities", ""},
	{"authority_rotated", "POST", "/authorities/rotate", ""},
	{"authority_retired", "POST", "/authorities/oldest/retire", `{"force":true}`},
	{"token_created", "POST", "/tokens", `{"customer":"acme","site":"berlin","asset":"web9","ttl_seconds":3600}`},
	{"tokens", "GET", "/tokens", ""},
	{"operator_added", "POST", "/operators", `{"name":"zoe"}`},
	{"operators", "GET", "/operators", ""},
	{"operator_removed", "DELETE", "/operators/zoe", ""},
	{"status", "GET", "/status", ""},
	{"ticket_resolved", "POST", "/tickets/WB-1002/resolve", `{"text":"logs deleted"}`},
	{"ticket_opened", "POST", "/tickets", `{"customer":"shop","title":"orders do not print","text":"since this morning","channel":"telephone","received_at":"2026-11-20T16:00:00Z","reporter":"Pat","impact":"person"}`},
	{"clocks", "GET", "/tickets/WB-2001/clocks", ""},
	{"ticket_linked", "POST", "/tickets/WB-1001/link", `{"other":"1002","relation":"related to"}`},
	{"rebase", "GET", "/rebase", ""},
	{"policies", "GET", "/policies?set=nights", ""},
	{"customers", "GET", "/customers", ""},
	{"customer", "GET", "/customers/acme", ""},
	{"customer_put", "PUT", "/customers/beta", `{"name":"Beta Ltd","sites":[{"id":"oslo","assets":[{"name":"web7"}]}]}`},
	{"customer_removed", "DELETE", "/customers/beta", ""},
	{"department_put", "PUT", "/departments/sales", `{"name":"Sales"}`},
	{"department", "GET", "/departments/sales", ""},
	{"departments", "GET", "/departments", ""},
	{"department_removed", "DELETE", "/departments/sales", ""},
	{"person_put", "PUT", "/people/zed", `{"name":"Zed","email":"zed@example.com"}`},
	{"people", "GET", "/people", ""},
	{"contacts_put", "PUT", "/contacts", `{"contacts":[{"role":"engineer","person":"zed"}]}`},
	{"contacts", "GET", "/contacts", ""},
	{"contacts_none", "PUT", "/contacts", `{"contacts":[]}`},
	{"software_put", "PUT", "/approved-software", `{"approved_software":[{"name":"Word","versions":["16*"]}]}`},
	{"software", "GET", "/approved-software", ""},
	{"person_removed", "DELETE", "/people/zed", ""},
	{"contracts", "GET", "/contracts", ""},
	{"contract", "GET", "/contracts/shop-2026", ""},
	{"oncall", "GET", "/oncall?until=2026-12-01T00:00:00Z", ""},
	{"override_made", "POST", "/oncall/overrides", `{"rota":"nights","person":"bob","until":"2026-11-22T12:00:00Z","reason":"Ann is ill"}`},
	{"overrides", "GET", "/oncall/overrides", ""},
	{"override_dropped", "DELETE", "/oncall/overrides/20261121t120000.000-abcdef", ""},
	{"intake_read", "POST", "/intakes/post/read", ""},
	{"intakes", "GET", "/intakes", ""},
	{"report_sla", "GET", "/reports/sla", ""},
	{"report_availability", "GET", "/reports/availability", ""},
	{"report_lifecycle", "GET", "/reports/lifecycle?due=2026-10-01", ""},
	{"report_compliance", "GET", "/reports/compliance", ""},
	{"report_nps", "GET", "/reports/nps", ""},
	{"report_first", "GET", "/reports/first-to-know", ""},
	{"error_fields", "POST", "/tickets/WB-1001/ack", `{"to":"bob","score":3}`},
	{"error_open", "POST", "/tickets", `{"kind":"wish","channel":"drum"}`},
	{"error_declared", "DELETE", "/customers/acme", ""},
	{"error_report", "GET", "/reports/gossip", ""},
	{"error_refused", "POST", "/tickets/WB-1002/ack", `{}`},
	{"error_not_found", "GET", "/tickets/WB-9999", ""},
	{"error_unknown_field", "POST", "/tickets/WB-1001/note", `{"txt":"hello"}`},
	{"error_unknown_parameter", "GET", "/tickets?costumer=acme", ""},
	{"error_state", "GET", "/tickets?state=done", ""},
}

// TestGolden holds the form of every object of the API: what is removed or renamed here breaks whoever reads it.
func TestGolden(t *testing.T) {
	h := newHouse(t)
	h.openTicket(1001, "web1")
	h.openTicket(1002, "db1")
	h.message("m1", outbox.Buried)
	h.message("m2", outbox.Queued)
	h.message("m3", outbox.Parked)
	h.agent("a1", "db1")
	h.report("web1", noon.Add(-2*time.Second), window.OK, map[string]float64{`node_load1`: 3})
	h.report("db1", noon.Add(-time.Minute), window.Failed, nil)
	h.window.SetDown(window.Asset{Name: "db1", Customer: "acme", Site: "berlin"}, noon)
	firing, pending := standing("web1", rules.Firing), standing("db1", rules.Pending)
	pending.Unknown = "the sampler failed"
	h.rules.alerts = []evaluate.Standing{pending, firing}
	over := standing("web2", rules.Inactive)
	over.Alert.EndedAt, over.Alert.End = noon, rules.Recovered
	h.rules.resolved = []evaluate.Standing{over}
	h.opts.Silencer.(*quiet).windows = someWindows(t)
	groups, err := rules.Load(map[string][]byte{"linux.yml": []byte(`
groups:
- name: linux
  rules:
  - record: instance:load
    expr: node_load1
  - alert: HighLoad
    expr: node_load1 > 10
    for: 30s
    labels: {severity: warning}
`)})
	if err != nil {
		t.Fatal(err)
	}
	h.rules.groups = []evaluate.GroupStatus{{Group: groups[0], Interval: 5 * time.Second, LastEvaluation: noon, Duration: time.Millisecond,
		Rules: []evaluate.RuleStatus{
			{Rule: groups[0].Rules[0], Health: evaluate.NotYet},
			{Rule: groups[0].Rules[1], Health: evaluate.Bad, LastError: "many-to-many", LastEvaluation: noon, Duration: time.Millisecond,
				Alerts: h.rules.alerts, Unknown: 1},
		}}}

	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			h.t = t
			golden(t, g.name, h.do(fleet.Admin, g.method, Root+g.path, g.body).Body.String())
		})
	}
}
