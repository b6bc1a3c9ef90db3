package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// feeding is a collector to whose operators' listener a test sends alerts, as a program with a token would.
type feeding struct {
	*stage
	sender, reader string
}

func newFeeding(t *testing.T, cfg Config) *feeding {
	t.Helper()
	s := newStage(t, cfg)
	s.feed.looked = s.at
	f := &feeding{stage: s}
	f.sender, f.reader = f.token("edge", fleet.Scope{}, fleet.Sender), f.token("reader", fleet.Scope{}, fleet.Viewer)
	return f
}

func (f *feeding) token(name string, scope fleet.Scope, roles ...fleet.Role) string {
	f.t.Helper()
	token, err := f.fleet.AddOperatorWith(context.Background(), fleet.NewOperator{Name: name, Roles: roles, Scope: scope, By: "test"})
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

// ask sends one request and returns its answer.
func (f *feeding) ask(method, path, token, agent, body string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "watchbill.example"
	r.Header.Set("User-Agent", agent)
	if token != "" {
		r.SetBasicAuth("anybody", token)
	}
	w := httptest.NewRecorder()
	f.api.Handler().ServeHTTP(w, r)
	return w
}

const prometheusAgent = "Prometheus/2.42.0"

// post sends alerts and wants them taken.
func (f *feeding) post(alerts ...map[string]any) {
	f.t.Helper()
	body, err := json.Marshal(alerts)
	if err != nil {
		f.t.Fatal(err)
	}
	if w := f.ask("POST", "/api/v2/alerts", f.sender, prometheusAgent, string(body)); w.Code != http.StatusOK {
		f.t.Fatalf("answered %d: %s", w.Code, w.Body)
	}
}

// pass lets time pass in steps of a look.
func (f *feeding) pass(d time.Duration) {
	f.t.Helper()
	for end := f.at.Add(d); f.at.Before(end); {
		f.at = f.at.Add(min(10*time.Second, end.Sub(f.at)))
		if err := f.feed.lapse(context.Background()); err != nil {
			f.t.Fatal(err)
		}
	}
}

// down is an alert about an instance, as Prometheus sends it: until four minutes from now.
func (f *feeding) down(instance string) map[string]any {
	return f.until(instance, f.at.Add(4*time.Minute))
}

func (f *feeding) until(instance string, end time.Time) map[string]any {
	a := map[string]any{
		"labels":       map[string]string{"alertname": "InstanceDown", "instance": instance, "job": "shop", "severity": "page"},
		"annotations":  map[string]string{"summary": instance + " does not answer", "runbook_url": "https://wiki.example/down"},
		"startsAt":     f.at.Add(-time.Minute).Format(time.RFC3339Nano),
		"generatorURL": "http://prom.example:9090/graph?g0.expr=up+%3D%3D+0",
	}
	if !end.IsZero() {
		a["endsAt"] = end.Format(time.RFC3339Nano)
	}
	return a
}

// pair are two senders of one alert that say by turns, every few seconds, for how long it fires; it is never taken to be over.
func (f *feeding) pair(one, other time.Duration) {
	f.t.Helper()
	f.post(f.until("web1", f.at.Add(one)))
	opened := len(f.events(f.tickets()[0]))
	for range 60 {
		f.post(f.until("web1", f.at.Add(one)))
		f.pass(2500 * time.Millisecond)
		f.post(f.until("web1", f.at.Add(other)))
		f.pass(2500 * time.Millisecond)
	}
	if n := len(f.events(f.tickets()[0])); n != opened {
		f.t.Errorf("%d events became %d", opened, n)
	}
}

// from is an alert that a Watchbill of that name sent out.
func (f *feeding) from(instance, source string) map[string]any {
	a := f.down(instance)
	a["labels"].(map[string]string)[notify.SourceLabel] = source
	return a
}

// renamed reloads with another web.external_url.
func (f *feeding) renamed(url string) {
	f.t.Helper()
	cfg := f.cfg
	cfg.Web.ExternalURL = url
	f.o.Reread = func() (Config, error) { return cfg, nil }
	if _, err := f.Reload(context.Background()); err != nil {
		f.t.Fatal(err)
	}
}

// states are the tickets' states, newest first.
func (f *feeding) states() string {
	f.t.Helper()
	var out []string
	for _, t := range f.tickets() {
		out = append(out, string(t.State))
	}
	return strings.Join(out, " ")
}

func (f *feeding) wantStates(when, want string) {
	f.t.Helper()
	if got := f.states(); got != want {
		f.t.Fatalf("%s: tickets are [%s], want [%s]", when, got, want)
	}
}

func TestAFedAlertIsATicketWithASource(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	f.post(f.down("web1:9100"))
	all := f.tickets()
	if len(all) != 1 {
		t.Fatalf("%d tickets", len(all))
	}
	tk := all[0]
	if tk.Customer != "acme" || tk.Asset != "web1" || tk.Site != "london" || tk.Service != "shop" || tk.Severity != incident.Critical {
		t.Errorf("the ticket is about %s %s %s %s %s", tk.Customer, tk.Site, tk.Asset, tk.Service, tk.Severity)
	}
	if tk.Title != "web1:9100 does not answer" || tk.Alerts[0].Source != "prometheus via edge" {
		t.Errorf("title %q, source %q", tk.Title, tk.Alerts[0].Source)
	}
	said := f.evidenceText(tk)
	for _, want := range []string{"http://prom.example:9090/graph", "https://wiki.example/down", `exported_instance="web1:9100"`,
		"as its sender says", "customer Acme Ltd", "40 people depend on it", "who is logged in is unknown: no agent runs on this host",
		"failed units are unknown: no agent runs on this host"} {
		if !strings.Contains(said, want) {
			t.Errorf("the record does not say %q:\n%s", want, said)
		}
	}
	for _, a := range f.evaluator.Alerts() {
		if a.Origin.Name == "InstanceDown" && a.Alert.Labels.Get("instance") == "web1" {
			return
		}
	}
	t.Error("the alert does not stand beside those of rules")
}

// evidenceText is the whole record of a ticket.
func (f *feeding) evidenceText(tk ticket.Ticket) string {
	f.t.Helper()
	b, err := json.Marshal(f.record(tk))
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), `\"`, `"`)
}

// events are a ticket's timeline.
func (f *feeding) events(tk ticket.Ticket) (out []ticket.Event) {
	f.t.Helper()
	f.view(func(tx store.Tx) (err error) {
		out, err = tx.Timeline(tk.ID)
		return err
	})
	return out
}

// TestWhatFedAlertsDo: what senders say, and what becomes of the ticket.
func TestWhatFedAlertsDo(t *testing.T) {
	open, done := string(ticket.New), string(ticket.Done)
	for _, tt := range []struct {
		name string
		do   func(f *feeding)
		want string
	}{
		{"firing", func(f *feeding) { f.post(f.down("web1")) }, open},
		{"resent for an hour", func(f *feeding) {
			for range 60 {
				f.post(f.down("web1"))
				f.pass(time.Minute)
			}
		}, open},
		{"resolved", func(f *feeding) {
			f.post(f.down("web1"))
			f.pass(time.Minute)
			f.post(f.until("web1", f.at.Add(-time.Second)))
		}, done},
		{"resolved and not known", func(f *feeding) { f.post(f.until("web1", f.at)) }, ""},
		{"resolved by a clock that is ahead", func(f *feeding) {
			f.post(f.down("web1"))
			f.pass(time.Minute)
			f.post(f.until("web1", f.at.Add(20*time.Second)))
			f.pass(10 * time.Second)
			f.wantStates("before that end", open)
			f.pass(10 * time.Second)
		}, done},
		{"a pair that says it for a moment, by clocks that differ", func(f *feeding) {
			f.pair(20*time.Second, 12*time.Second)
		}, open},
		{"a pair of which one says it for a moment", func(f *feeding) {
			f.pair(4*time.Minute, 12*time.Second)
		}, open},
		{"… and both say that it is over", func(f *feeding) {
			f.pair(20*time.Second, 12*time.Second)
			f.post(f.until("web1", f.at.Add(4*time.Second)))
			f.pass(10 * time.Second)
			f.post(f.until("web1", f.at.Add(-6*time.Second))) // as vmalert does for a quarter of an hour
		}, done},
		{"… and are heard no more", func(f *feeding) {
			f.pair(20*time.Second, 12*time.Second)
			f.pass(time.Minute)
			if n := len(f.feed.standing()); n != 0 {
				f.t.Errorf("%d alerts stand", n)
			}
		}, open},
		{"without an end, and not sent again", func(f *feeding) {
			f.post(f.until("web1", time.Time{}))
			f.pass(4 * time.Minute)
			f.wantStates("before the resolve timeout", open)
			f.pass(2 * time.Minute)
		}, open},
		{"a pair of senders", func(f *feeding) {
			a, b := f.down("web1"), f.down("web1")
			a["labels"].(map[string]string)["prometheus_replica"] = "a"
			b["labels"].(map[string]string)["prometheus_replica"] = "b"
			f.post(a, b)
		}, open},
		{"resolved as its sender fell silent", func(f *feeding) {
			f.post(f.down("web1"))
			f.pass(5 * time.Minute) // lapsed
			f.wantStates("lapsed", open)
			f.post(f.until("web1", f.at.Add(-30*time.Second)))
		}, done},
		{"heard again after it lapsed", func(f *feeding) {
			f.post(f.down("web1"))
			f.pass(5 * time.Minute)
			f.post(f.down("web1"))
		}, open},
		{"… and resolved", func(f *feeding) {
			f.post(f.down("web1"))
			f.pass(5 * time.Minute)
			f.post(f.down("web1"))
			f.pass(time.Minute)
			f.post(f.until("web1", f.at))
		}, done},
		{"an end of before it began", func(f *feeding) {
			f.post(f.down("web1"))
			old := f.until("web1", f.at.Add(-time.Hour))
			old["startsAt"] = f.at.Add(-2 * time.Hour).Format(time.RFC3339)
			f.post(old)
		}, open},
		{"two of one incident", func(f *feeding) {
			other := f.down("web1")
			other["labels"].(map[string]string)["alertname"] = "Slow"
			f.post(f.down("web1"), other)
			f.pass(time.Minute)
			f.post(f.until("web1", f.at)) // the other fires on
		}, open},
		{"our own that come back", func(f *feeding) { f.post(f.from("web1", f.cfg.Source())) }, ""},
		{"our own of before a reload named us", func(f *feeding) {
			before := f.cfg.Source()
			f.renamed("https://one.example")
			f.renamed("https://two.example")
			f.post(f.from("web1", before), f.from("web1", "https://one.example"), f.from("web2", "https://two.example"))
		}, ""},
		{"of another Watchbill", func(f *feeding) { f.post(f.from("web1", "https://branch.example")) }, open},
		{"the machine slept", func(f *feeding) {
			f.post(f.down("web1"))
			f.at = f.at.Add(time.Hour)
			f.pass(10 * time.Second)
			if n := len(f.feed.standing()); n != 1 {
				f.t.Errorf("%d alerts stand: nobody could send while it slept", n)
			}
		}, open},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFeeding(t, testConfig(t, diskRules))
			tt.do(f)
			f.wantStates("at the end", tt.want)
		})
	}
}

func TestALapsedAlertSaysWhoFellSilent(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	f.post(f.down("web1"))
	f.pass(5 * time.Minute)
	tk := f.tickets()[0]
	if tk.Alerts[0].End != incident.Lapsed || tk.Alerts[0].Firing() {
		t.Fatalf("the alert ended as %q", tk.Alerts[0].End)
	}
	found := false
	for _, e := range f.events(tk) {
		found = found || e.Kind == ticket.AlertEnded && e.Actor.Name == "prometheus via edge" && strings.Contains(e.Text, "not heard of any more")
	}
	if !found {
		t.Error("the timeline does not say that its sender is not heard of any more")
	}
	if n := testutil.ToFloat64(f.feed.metrics.lapsed.WithLabelValues("prometheus via edge")); n != 1 {
		t.Errorf("counted %v lapses", n)
	}
	f.pass(25 * time.Hour)
	if len(f.feed.held) != 0 {
		t.Error("it is remembered for ever")
	}
}

func TestFedAlertsSurviveARestart(t *testing.T) {
	cfg := testConfig(t, diskRules)
	f := newFeeding(t, cfg)
	f.post(f.down("web1"), f.down("web2"))
	at := f.at
	f.Close()

	s := newStage(t, cfg)
	s.at = at.Add(time.Hour)
	f = &feeding{stage: s, sender: f.sender}
	for _, one := range s.feed.held { // restore ran by the real clock
		one.EndsAt = s.at.Add(5 * time.Minute)
	}
	s.feed.looked = s.at
	f.pass(4 * time.Minute)
	f.wantStates("in the time of grace", "new new")
	if n := len(f.feed.standing()); n != 2 {
		t.Fatalf("%d alerts stand after the restart", n)
	}
	f.post(f.down("web1"))
	f.wantStates("sent again", "new new")
	f.post(f.until("web1", f.at))
	f.pass(5 * time.Minute)
	f.wantStates("one resolved, one lapsed", "new resolved")
	if n := len(f.feed.standing()); n != 0 {
		t.Errorf("%d alerts stand", n)
	}
}

func TestAnAlertOfNobodyIsTheOperators(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	f.post(f.down("strange:1"))
	tk := f.tickets()[0]
	if tk.Customer != incident.OwnCustomer || tk.Asset != "strange" {
		t.Errorf("it is of %s, about %q", tk.Customer, tk.Asset)
	}
	if said := f.evidenceText(tk); !strings.Contains(said, "no customer:") {
		t.Errorf("the ticket does not say why:\n%s", said)
	}
}

func TestResendsWriteNothing(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	f.post(f.down("web1"))
	before := f.events(f.tickets()[0])
	f.feed.commit = nil // would panic
	for range 5 {
		f.at = f.at.Add(time.Minute)
		f.feed.looked = f.at
		f.post(f.down("web1"))
	}
	if after := f.events(f.tickets()[0]); len(after) != len(before) {
		t.Errorf("%d events became %d", len(before), len(after))
	}
}

const webhookBody = `{"version":"4","groupKey":"{}:{}","truncatedAlerts":%d,"status":"firing","receiver":"wb","groupLabels":{},
"commonLabels":{},"commonAnnotations":{},"externalURL":"http://am","alerts":[{"status":%q,"labels":{"alertname":"Backup","instance":"web2"},
"annotations":{"summary":"no backup"},"startsAt":"2020-01-01T00:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p","fingerprint":"ff"}]}`

func TestWebhook(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	send := func(status string, truncated int) {
		t.Helper()
		if w := f.ask("POST", "/api/v2/webhook", f.sender, "Alertmanager/0.25.0", fmt.Sprintf(webhookBody, truncated, status)); w.Code != 200 {
			t.Fatalf("answered %d: %s", w.Code, w.Body)
		}
	}
	send("firing", 3)
	f.pass(10 * time.Hour)
	f.wantStates("ten hours later", "new")
	if len(f.feed.standing()) != 1 {
		t.Error("what a webhook brought lapsed")
	}
	if said := f.evidenceText(f.tickets()[0]); !strings.Contains(said, "3 more alerts of this group") {
		t.Errorf("it does not say what was left out:\n%s", said)
	}
	send("resolved", 0)
	f.wantStates("resolved", "resolved")
}

func TestWhoMayFeedAndRead(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	f.post(f.down("web1"), f.down("strange"))
	scoped := f.token("boss", fleet.Scope{Customer: "acme"}, fleet.ClientOwnerUser)
	for _, tt := range []struct {
		name, method, path, token, body string
		status                          int
		says                            string
	}{
		{"nobody sends", "POST", "/api/v2/alerts", "", "[]", 401, "--role sender"},
		{"a reader sends", "POST", "/api/v2/alerts", f.reader, "[]", 403, "feed: ask an administrator for a role that may: admin, sender"},
		{"nobody reads", "GET", "/api/v2/alerts", "", "", 401, "token"},
		{"a sender reads", "GET", "/api/v2/alerts", f.sender, "", 403, ""},
		{"a reader reads", "GET", "/api/v2/alerts", f.reader, "", 200, "InstanceDown"},
		{"a customer reads", "GET", "/api/v2/alerts", scoped, "", 200, "web1"},
		{"no JSON", "POST", "/api/v2/alerts", f.sender, "x", 400, "JSON array"},
		{"no labels", "POST", "/api/v2/alerts", f.sender, `[{"labels":{}}]`, 400, "at least one label pair required"},
		{"an end before the start", "POST", "/api/v2/alerts", f.sender,
			`[{"labels":{"a":"b"},"startsAt":"2026-01-02T00:00:00Z","endsAt":"2026-01-01T00:00:00Z"}]`, 400, "start time must be before end time"},
		{"a bad matcher", "GET", "/api/v2/alerts?filter=%7B", f.reader, "", 400, "bad matcher format"},
		{"a bad flag", "GET", "/api/v2/alerts?active=perhaps", f.reader, "", 400, "perhaps"},
		{"a bad receiver", "GET", "/api/v2/alerts?receiver=(", f.reader, "", 400, "receiver"},
		{"status", "GET", "/api/v2/status", f.reader, "", 200, `"versionInfo"`},
		{"receivers", "GET", "/api/v2/receivers", f.reader, "", 200, `[{"name":"watchbill"}]`},
		{"another method", "PUT", "/api/v2/alerts", f.reader, "[]", 405, `{"code":405,"message":"method PUT is not allowed, but [GET,POST] are"}`},
		{"a webhook is not read", "GET", "/api/v2/webhook", f.reader, "", 405, "[POST]"},
		{"another path", "GET", "/api/v2/nothing", f.reader, "", 404, "/api/v2/webhook"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.t = t
			w := f.ask(tt.method, tt.path, tt.token, "test", tt.body)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) {
				t.Errorf("answered %d %s, want %d and %q", w.Code, w.Body, tt.status, tt.says)
			}
			var text string
			var misdirected struct{ Code int }
			if tt.status >= 400 && json.Unmarshal(w.Body.Bytes(), &text) != nil && (json.Unmarshal(w.Body.Bytes(), &misdirected) != nil || misdirected.Code != tt.status) {
				t.Errorf("an error of Alertmanager's API is a JSON string, that of its framework has a code: %s", w.Body)
			}
		})
	}
	w := f.ask("GET", "/api/v2/alerts", scoped, "test", "")
	if strings.Contains(w.Body.String(), "strange") || strings.Contains(w.Body.String(), "prom.example") {
		t.Errorf("a customer sees %s", w.Body)
	}
	if w := f.ask("GET", "/api/v2/alerts?filter=instance%3D%22web1%22", f.reader, "test", ""); strings.Contains(w.Body.String(), "strange") {
		t.Errorf("filtered: %s", w.Body)
	}
}

func TestAlertsAsAlertmanagerShowsThem(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	f.post(f.down("web1"))
	f.feed.suppressed = func(incident.Alert) []incident.MutedBy { return []incident.MutedBy{{ID: "id-1"}} }
	var got []map[string]any
	if err := json.Unmarshal(f.ask("GET", "/api/v2/alerts", f.reader, "test", "").Body.Bytes(), &got); err != nil || len(got) != 1 {
		t.Fatal(err, got)
	}
	for _, key := range []string{"annotations", "endsAt", "fingerprint", "receivers", "startsAt", "status", "updatedAt", "generatorURL", "labels"} {
		if got[0][key] == nil {
			t.Errorf("%s is missing", key)
		}
	}
	status, _ := json.Marshal(got[0]["status"])
	if string(status) != `{"inhibitedBy":[],"mutedBy":[],"silencedBy":["id-1"],"state":"suppressed"}` {
		t.Errorf("status %s", status)
	}
	// The fingerprint is Alertmanager's, of the labels as they were sent.
	if fp := (ingest.FedAlert{Labels: map[string]string{"alertname": "InstanceDown", "instance": "web1", "job": "shop", "severity": "page"}}).Fingerprint().String(); got[0]["fingerprint"] != fp {
		t.Errorf("fingerprint %v, want %s", got[0]["fingerprint"], fp)
	}
	if w := f.ask("GET", "/api/v2/alerts?silenced=false", f.reader, "test", ""); strings.TrimSpace(w.Body.String()) != "[]" {
		t.Errorf("silenced=false: %s", w.Body)
	}
	w := f.ask("GET", "/api/v2/alerts/groups", f.reader, "test", "")
	if !strings.Contains(w.Body.String(), `"labels":{"customer":"acme","instance":"web1","service":"shop"},"receiver":{"name":"watchbill"}`) {
		t.Errorf("groups: %s", w.Body)
	}
}

func TestFeedBounds(t *testing.T) {
	cfg := testConfig(t, diskRules)
	cfg.Feed.MaxAlerts, cfg.Feed.AlertsPerRequest, cfg.Feed.BodyBytes = 2, 3, 4096
	f := newFeeding(t, cfg)
	many := func(n int) string {
		var all []map[string]any
		for i := range n {
			all = append(all, map[string]any{"labels": map[string]string{"alertname": "A", "n": fmt.Sprint(i)}})
		}
		b, _ := json.Marshal(all)
		return string(b)
	}
	for _, tt := range []struct {
		body   string
		status int
		says   string
	}{
		{many(4), 413, "feed.alerts_per_request"}, {many(3), 429, "feed.max_alerts"},
		{`[{"labels":{"a":"` + strings.Repeat("x", 5000) + `"}}]`, 413, "feed.body_bytes"},
	} {
		if w := f.ask("POST", "/api/v2/alerts", f.sender, "x", tt.body); w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("answered %d %s, want %d and %s", w.Code, w.Body, tt.status, tt.says)
		}
	}
	if n := len(f.feed.standing()); n != 2 {
		t.Errorf("%d alerts stand, want the 2 that there is room for", n)
	}
}

func TestHostileFeedText(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	a := f.down("web1")
	a["annotations"] = map[string]string{"summary": "all is well\x1b[2J\nWB-1 closed \u202egnihton", "mapping": "made up"}
	f.post(a)
	tk := f.tickets()[0]
	if all := tk.Title + f.evidenceText(tk); bytes.ContainsAny([]byte(all), "\x1b") || strings.ContainsRune(all, '\u202e') || strings.Contains(all, "made up") {
		t.Errorf("the text came through: %q", all)
	}
}

// TestAFloodOfAlertsIsCommittedInPortions: thousands in one request are taken, and a storm is told as one.
func TestAFloodOfAlertsIsCommittedInPortions(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	var all []map[string]any
	for i := range 1200 {
		all = append(all, map[string]any{"labels": map[string]string{"alertname": "Down", "job": "shop", "instance": fmt.Sprintf("h%04d:9100", i)},
			"endsAt": f.at.Add(4 * time.Minute).Format(time.RFC3339)})
	}
	f.post(all...)
	if n := len(f.feed.standing()); n != 1200 {
		t.Fatalf("%d stand", n)
	}
	if n := testutil.ToFloat64(f.pipeline.metrics.storms); n == 0 {
		t.Error("1,200 tickets of one service at once are no storm")
	}
}

// TestAReloadMapsWhatComesNext: what fires keeps its ticket, what comes goes by the new mappings.
func TestAReloadMapsWhatComesNext(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	f.post(f.down("strange"))
	cfg := f.cfg
	cfg.Feed.Mappings = []ingest.Mapping{{Set: ingest.MappingSet{Customer: ingest.MappingValue{Value: "acme"}}}}
	f.o.Reread = func() (Config, error) { return cfg, nil }
	if _, err := f.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	f.at = f.at.Add(time.Second)
	f.post(f.down("strange"), f.down("stranger"))
	of := map[string]string{}
	for _, tk := range f.tickets() {
		of[tk.Asset] = tk.Customer
	}
	if len(of) != 2 || of["strange"] != incident.OwnCustomer || of["stranger"] != "acme" {
		t.Errorf("the tickets are of %v", of)
	}
}

// TestOwnAlertsAreKnownUnderAnotherName: what this house sent comes back after a restart under another external_url, or as an
// earlier release sent it; a Watchbill that goes by our name is another all the same.
func TestOwnAlertsAreKnownUnderAnotherName(t *testing.T) {
	a := newAman(t)
	s := newOutStage(t, a)
	s.report("web1", 0, 5)
	s.deliver()
	sent := one(t, a.take()).Labels
	s.Close()

	cfg := s.cfg
	cfg.Web.ExternalURL = "https://moved.example"
	f := newFeeding(t, cfg)
	back := f.down("web1")
	back["labels"] = sent
	f.post(back, f.from("web1", "https://moved.example"))
	if n := testutil.ToFloat64(f.feed.metrics.alerts.WithLabelValues("prometheus via edge", fedOwn)); n != 2 {
		t.Errorf("%v of 2 were taken for our own; the first had %v", n, sent)
	}
	other := f.from("web2", "https://moved.example")
	other["labels"].(map[string]string)[notify.InstallationLabel] = "ANOTHER"
	f.post(other)
	f.wantStates("of another house by our name, beside the first ticket", "new new")
}

// TestSourceTellsCollectorsApart: while nobody said where people reach them, two on one host are told apart by their ports.
func TestSourceTellsCollectorsApart(t *testing.T) {
	one, other := DefaultConfig(), DefaultConfig()
	other.Web.ListenAddress = "127.0.0.1:9820"
	if one.Source() == other.Source() || !strings.HasSuffix(other.Source(), ":9820") {
		t.Errorf("they are %q and %q", one.Source(), other.Source())
	}
	other.Web.ExternalURL = "https://watch.example"
	if got := other.Source(); got != "https://watch.example" {
		t.Errorf("with an address for people it is %q", got)
	}
}

// TestTimingIsOfRulesAlone: when an alert of another program began is its sender's word, and says nothing of how fast the house
// is; so it is of a silence, which is told after it lasted.
func TestTimingIsOfRulesAlone(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	f.post(f.down("web1")) // a minute after it began
	silent := incident.Alert{Source: "watchbill", Name: incident.HostSilent, FirstBadAt: f.at.Add(-time.Minute), ActiveAt: f.at, FiredAt: f.at}
	f.pipeline.metrics.committed(silent, f.at)
	if n := f.timed(); n != 0 {
		t.Errorf("%d alerts are timed that are of no rule", n)
	}
	f.report("web2", 0, 5)
	if n := f.timed(); n != 1 {
		t.Errorf("%d alerts of rules are timed, want 1", n)
	}
}

// TestRequestsAreTimed: from the request to its durability, those that change something apart from resends.
func TestRequestsAreTimed(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	commit := f.feed.commit
	f.feed.commit = func(ctx context.Context, at time.Time, ts []rules.Transition, also func(store.Tx) error) error {
		f.at = f.at.Add(300 * time.Millisecond)
		return commit(ctx, at, ts, also)
	}
	again := f.down("web1")
	f.post(again)
	f.post(again)
	f.post(again)
	f.post(f.until("web1", f.at))
	const hook = `{"version": "4", "alerts": [{"status": "firing", "labels": {"alertname": "A"}}]}`
	f.ask("POST", "/api/v2/webhook", f.sender, prometheusAgent, hook)
	f.ask("POST", "/api/v2/alerts", f.sender, prometheusAgent, `[{"labels": {}}]`) // nothing of it is durable
	want := map[string]string{"alerts changed": "2 in 0.6 s", "alerts unchanged": "2 in 0.0 s", "webhook changed": "1 in 0.3 s"}
	if got := f.requests(); !maps.Equal(got, want) {
		t.Errorf("timed %v, want %v", got, want)
	}
}

// requests are how many requests watchbill_feed_request_duration_seconds measured, and their sum, by its labels.
func (f *feeding) requests() map[string]string {
	f.t.Helper()
	all, err := f.reg.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	out := map[string]string{}
	for _, family := range all {
		if family.GetName() != "watchbill_feed_request_duration_seconds" {
			continue
		}
		for _, m := range family.GetMetric() {
			h := m.GetHistogram()
			out[m.Label[0].GetValue()+" "+m.Label[1].GetValue()] = fmt.Sprintf("%d in %.1f s", h.GetSampleCount(), h.GetSampleSum())
		}
	}
	return out
}

// timed is how many alerts watchbill_alert_sample_to_commit_seconds measured.
func (f *feeding) timed() uint64 {
	f.t.Helper()
	all, err := f.reg.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, m := range all {
		if m.GetName() == "watchbill_alert_sample_to_commit_seconds" {
			return m.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	return 0
}

// TestMutedFedAlerts: what another program sent is held back as any other, says so to amtool, and opens its ticket at the end,
// also when nobody ran then; one that its sender ended meanwhile opens nothing.
func TestMutedFedAlerts(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	id, err := f.pipeline.SetSilence(context.Background(), incident.Muting{StartsAt: f.at, EndsAt: f.at.Add(2 * time.Minute), CreatedBy: "ada",
		Comment: "new disks", Matchers: []incident.Matcher{matcher(t, `alertname="InstanceDown"`)}})
	if err != nil {
		t.Fatal(err)
	}
	f.post(f.down("web1:9100"), f.down("web2"))
	f.wantStates("silenced", "")
	if shown := f.ask("GET", "/api/v2/alerts", f.reader, "test", "").Body.String(); strings.Count(shown, `"silencedBy":["`+id+`"],"state":"suppressed"`) != 2 {
		t.Errorf("shown as %s", shown)
	}
	f.post(f.until("web2", f.at))
	f.Close() // nothing was told to it
	again, err := New(context.Background(), f.cfg, Options{Directory: testFleet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	late := &feeding{stage: &stage{Collector: again, t: t, at: f.at.Add(3 * time.Minute)}}
	again.pipeline.now = func() time.Time { return late.at }
	if err := again.pipeline.unmute(context.Background(), late.at); err != nil {
		t.Fatal(err)
	}
	late.wantStates("its silence ended while nobody ran", string(ticket.New))
	if tk := late.only(); tk.Asset != "web1" || tk.Alerts[0].Source != "prometheus via edge" || !strings.Contains(late.evidenceText(tk), "silence "+id+" of ada (new disks)") {
		t.Errorf("the ticket is about %s by %s", tk.Asset, tk.Alerts[0].Source)
	}
}

// TestSilencesOfOthersAreNotTold: who may not see a silence learns from an alert that it holds back no more than that there is
// one, by either API; their own they see.
func TestSilencesOfOthersAreNotTold(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	bob := f.token("bob", fleet.Scope{Customer: "acme"}, fleet.Responder)
	set := func(conditions ...string) string {
		m := incident.Muting{StartsAt: f.at, EndsAt: f.at.Add(time.Hour), CreatedBy: "ada", Comment: "patching of rivals"}
		for _, c := range conditions {
			m.Matchers = append(m.Matchers, matcher(t, c))
		}
		id, err := f.pipeline.SetSilence(context.Background(), m)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	ask := func(path, token string) string {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		f.api.Handler().ServeHTTP(w, r)
		return w.Body.String()
	}
	house := set(`alertname="InstanceDown"`)
	f.post(f.down("web1"))
	for _, path := range []string{"/api/v2/alerts", "/api/watchbill/v1/alerts"} {
		if told := ask(path, bob); strings.Contains(told, house) || strings.Contains(told, "rivals") || !strings.Contains(told, `a silence of the house"`) {
			t.Errorf("%s tells bob %s", path, told)
		}
		if told := ask(path, f.reader); !strings.Contains(told, house) {
			t.Errorf("%s tells who sees all %s", path, told)
		}
	}
	own := set(`alertname="InstanceDown"`, `customer="acme"`)
	if told := ask("/api/v2/alerts", bob); !strings.Contains(told, `"silencedBy":["`+own+`"],"state":"suppressed"`) {
		t.Errorf("of his own bob sees %s", told)
	}
}
