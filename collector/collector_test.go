package collector

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules/window"
)

const diskRules = `groups:
- name: disk
  rules:
  - alert: DiskFull
    expr: node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.1
    labels: {severity: warning, service: filesystem, system: server}
    annotations: {summary: "{{ $labels.mountpoint }} is filling on {{ $labels.instance }}"}
  - alert: DiskBrimful
    expr: node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.01
    labels: {severity: critical, service: filesystem, system: server}
    annotations: {summary: "{{ $labels.mountpoint }} is full on {{ $labels.instance }}"}
`

// stage is a collector whose clock and reports the test holds; nothing runs by itself.
type stage struct {
	*Collector
	t    *testing.T
	at   time.Time
	sink *sink
	seq  uint64
}

func testConfig(t *testing.T, rules string) Config {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "rules.yml")
	if err := os.WriteFile(file, []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Storage.Path = filepath.Join(dir, "data")
	cfg.Web.ListenAddress, cfg.Agents.ListenAddress = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Rules.Packs, cfg.Rules.Files = false, []string{file}
	cfg.Silence.Ping.Count = 0 // a test's hosts are nowhere
	cfg.Receivers = []notify.Receiver{{Name: "desk", Webhook: &notify.WebhookConfig{URL: "http://127.0.0.1:1/"}}}
	return cfg
}

var testFleet = fleet.Directory{Customers: []fleet.Customer{{
	ID: "acme", Name: "Acme Ltd", Department: "software-one", Zone: "Europe/London",
	Sites: []fleet.Site{{ID: "london", Assets: []fleet.Asset{{Name: "web1", Role: "the shop", Users: 40}, {Name: "web2"}}}},
}}}

func newStage(t *testing.T, cfg Config) *stage {
	t.Helper()
	c, err := New(context.Background(), cfg, Options{Directory: testFleet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s := &stage{Collector: c, t: t, at: time.Now().Truncate(time.Second),
		sink: c.newSink()}
	clock := func() time.Time { return s.at }
	c.now, c.pipeline.now, c.silence.now = clock, clock, clock
	return s
}

// disk is a layout of one file system.
var disk = &window.Layout{ID: [32]byte{1}, Series: []labels.Labels{
	labels.FromStrings("__name__", "node_filesystem_avail_bytes", "mountpoint", "/srv"),
	labels.FromStrings("__name__", "node_filesystem_size_bytes", "mountpoint", "/srv"),
}}

// report lets an asset report its free space after d, and evaluates.
func (s *stage) report(asset string, d time.Duration, avail float64, also ...func(*ingest.Report)) {
	s.t.Helper()
	s.at = s.at.Add(d)
	s.seq++
	r := ingest.Report{
		Agent: fleet.Agent{Asset: asset, EnrolledAt: s.at.Add(-time.Second)},
		Asset: window.Asset{Name: asset, Customer: "acme", Site: "london"},
		Epoch: 1, Sequence: s.seq, MadeAt: s.at, ReceivedAt: s.at,
		Blocks: []window.Block{{Source: "filesystem", Kind: "node", At: s.at, Interval: 10 * time.Second, Status: window.OK,
			Layout: disk, Values: []float64{avail, 100}}},
	}
	for _, f := range also {
		f(&r)
	}
	if err := s.sink.Apply(context.Background(), r); err != nil {
		s.t.Fatal(err)
	}
	if err := s.evaluator.EvaluateOnce(context.Background(), s.at); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) tickets() []ticket.Ticket {
	s.t.Helper()
	var out []ticket.Ticket
	s.view(func(tx store.Tx) (err error) {
		out, err = tx.Tickets(store.TicketFilter{})
		return err
	})
	return out
}

func (s *stage) only() ticket.Ticket {
	s.t.Helper()
	all := s.tickets()
	if len(all) != 1 {
		s.t.Fatalf("%d tickets, want one: %+v", len(all), all)
	}
	return all[0]
}

func (s *stage) view(fn func(store.Tx) error) {
	s.t.Helper()
	if err := s.store.View(context.Background(), fn); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) record(t ticket.Ticket) ticket.Record {
	s.t.Helper()
	var rec ticket.Record
	s.view(func(tx store.Tx) error {
		timeline, err := tx.Timeline(t.ID)
		if err != nil {
			return err
		}
		if err := ticket.VerifyChain(timeline, t.Seq, t.Head); err != nil {
			return err
		}
		rec, err = ticket.AssembleRecord(timeline, func(seq int) ([]byte, bool, error) { return tx.Evidence(t.ID, seq) })
		return err
	})
	return rec
}

func (s *stage) messages() []string {
	s.t.Helper()
	var out []string
	s.view(func(tx store.Tx) error {
		all, err := tx.Messages(outbox.Queued, 100)
		for _, m := range all {
			out = append(out, m.Number+" "+m.What)
		}
		return err
	})
	return out
}

func text(p ticket.PartRecord) string {
	var b strings.Builder
	for _, e := range p.Entries {
		fmt.Fprintf(&b, "%s | %s", e.Text, e.Source)
		if e.Table != nil {
			fmt.Fprintf(&b, " %v", e.Table.Rows)
		}
		b.WriteByte('\n')
	}
	return b.String() + p.None
}

// The whole way: the record of a fresh ticket says everything that was known when it opened.
func TestRecordIsCompleteAtBirth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, testConfig(t, diskRules))
		s.report("web1", 0, 50)
		s.report("web1", 10*time.Second, 50)
		s.report("web1", 10*time.Second, 5, func(r *ingest.Report) {
			r.Tables = []ingest.Table{
				{Kind: "sessions", SampledAt: s.at, Columns: []string{"user"}, Rows: [][]string{{"petra"}}},
				{Kind: "failed_units", SampledAt: s.at, Columns: []string{"unit", "status"}, Rows: [][]string{{"nginx.service", "exit 1"}}},
				{Kind: "processes", SampledAt: s.at, Columns: []string{"name"}, Rows: [][]string{{"logger"}}},
			}
			r.Events = []ingest.Event{{ID: 1, Kind: "host_rebooted", At: s.at, Text: "web1 was rebooted"},
				{ID: 2, Kind: "unit_failed", At: s.at, Text: "nginx.service failed with exit status 1"}}
			r.Inventory = &ingest.Inventory{BootedAt: s.at.Add(-time.Minute)}
			r.Blocks = append(r.Blocks, window.Block{Source: "disk", Kind: "node", At: s.at, Interval: 10 * time.Second,
				Status: window.Failed, Reason: "permission denied"})
		})
		tk := s.only()
		if tk.Priority != "P2" || tk.Customer != "acme" || tk.Site != "london" || tk.Asset != "web1" || tk.Owner == "" ||
			tk.Title != "/srv is filling on web1" || tk.Number != "WB-1001" {
			t.Errorf("ticket %+v", tk)
		}
		rec := s.record(tk)
		for part, tc := range map[string]struct {
			got  ticket.PartRecord
			want []string
		}{
			"time":     {rec.Time, []string{"first bad sample", "Europe/London", "detected", "brought to a ticket"}},
			"symptoms": {rec.Symptom, []string{"/srv is filling", "< 0.1", "value 0.05", "nothing else fires", "logger"}},
			"users":    {rec.Users, []string{"Acme Ltd", "software-one", "the shop", "40 people", "petra"}},
			"errors":   {rec.Errors, []string{"nginx.service", "exit 1", "sampler disk fails: permission denied", "unit_failed"}},
			"actions":  {rec.Actions, []string{"was rebooted", "was booted at "}},
		} {
			for _, w := range tc.want {
				if !strings.Contains(text(tc.got), w) {
					t.Errorf("%s does not say %q:\n%s", part, w, text(tc.got))
				}
			}
		}
		if got := strings.Join(s.messages(), ","); got != "WB-1001 opened" {
			t.Errorf("messages %s", got)
		}
	})
}

// When there is nothing to say each part says why.
func TestRecordSaysWhyThereIsNothing(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	s.report("web2", 0, 5, func(r *ingest.Report) {
		r.Tables = []ingest.Table{
			{Kind: "failed_units", NoneBecause: "systemd is not PID 1 on this host"},
			{Kind: "sessions", NoneBecause: "there is no utmp"},
		}
	})
	rec := s.record(s.only())
	for got, want := range map[string]string{
		text(rec.Errors):  "none, because systemd is not PID 1 on this host",
		text(rec.Actions): "none, because no restart",
		text(rec.Users):   "no sessions: there is no utmp",
		text(rec.Symptom): "no curve of the last hour",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
}

func TestOneTicketThroughItsLife(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	s.report("web1", 0, 50)
	s.report("web1", 10*time.Second, 5)
	s.report("web1", 10*time.Second, 0) // worse: attached, priority raised
	tk := s.only()
	if tk.Priority != "P1" || len(tk.Alerts) != 2 {
		t.Fatalf("%s with %d alerts, want P1 with 2", tk.Priority, len(tk.Alerts))
	}
	s.report("web1", 10*time.Second, 5)
	if s.only().State != ticket.New {
		t.Error("resolved although an alert still fires")
	}
	s.report("web1", 10*time.Second, 50)
	if s.only().State != ticket.Done {
		t.Errorf("state %s, want resolved", s.only().State)
	}
	s.report("web1", time.Minute, 5)
	if got := s.only(); got.State != ticket.Again || got.Reopened != 1 {
		t.Errorf("%s, reopened %d times", got.State, got.Reopened)
	}
	s.report("web1", time.Minute, 50)
	if _, err := s.pipeline.Act(context.Background(), "WB-1001", ticket.Action{Verb: ticket.Close}, ticket.By{Actor: ticket.Actor{Kind: ticket.Person, Name: "anna"}}); err != nil {
		t.Fatal(err)
	}
	s.report("web1", time.Minute, 5)
	all := s.tickets()
	if len(all) != 2 || all[0].Number != "WB-1002" || all[0].Links[0].Number != "WB-1001" || all[1].Links[0].Number != "WB-1002" {
		t.Fatalf("%+v, want a recurrence linked both ways", all)
	}
	if got := text(s.record(all[0]).Actions); !strings.Contains(got, "WB-1001, the same incident") {
		t.Errorf("the recurrence does not tell of the ticket before: %s", got)
	}
	want := "WB-1001 opened,WB-1001 priority_changed,WB-1001 resolved,WB-1001 reopened,WB-1001 resolved,WB-1001 closed,WB-1002 opened"
	if got := strings.Join(s.messages(), ","); got != want {
		t.Errorf("messages\n%s, want\n%s", got, want)
	}
}

// A series that goes away with its file system does not resolve the ticket.
func TestUnmountedIsNotMended(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	s.report("web1", 0, 5)
	s.report("web1", 10*time.Second, 5, func(r *ingest.Report) {
		r.Blocks[0].Layout, r.Blocks[0].Values = &window.Layout{ID: [32]byte{2}}, nil
	})
	if tk := s.only(); tk.State != ticket.New || tk.Firing() != 0 {
		t.Errorf("%s with %d firing, want it open with none", tk.State, tk.Firing())
	}
}

// A silent host's alerts freeze, silence has a ticket of its own, and a closed one closes by time alone.
func TestSilence(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	ctx := context.Background()
	s.report("web1", 0, 5)
	alive := []incident.Life{{Asset: "web1", Customer: "acme", Site: "london", Interval: 10 * time.Second, Heard: s.at}}
	s.silence.instead(func() []incident.Life { return alive })
	s.at = s.at.Add(20 * time.Second)
	if err := s.silence.look(ctx); err != nil || len(s.tickets()) != 1 {
		t.Fatalf("%v, %d tickets after 20 s", err, len(s.tickets()))
	}
	for range 3 {
		s.at = s.at.Add(20 * time.Second)
		if err := s.silence.look(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.evaluator.EvaluateOnce(ctx, s.at); err != nil {
			t.Fatal(err)
		}
	}
	all := s.tickets()
	if len(all) != 2 || all[0].Title != "web1 is silent" || all[0].Priority != "P1" {
		t.Fatalf("%+v, want a second ticket: web1 is silent", all)
	}
	if all[1].Firing() != 1 {
		t.Error("the disk's alert ended while nobody could see")
	}
	if n := s.firing("HostSilent"); n != 1 {
		t.Errorf("%d series ALERTS of HostSilent, want one", n)
	}
	s.report("web1", time.Second, 50)
	alive[0].Heard = s.at
	if err := s.silence.look(ctx); err != nil {
		t.Fatal(err)
	}
	for _, tk := range s.tickets() {
		if tk.State != ticket.Done {
			t.Errorf("%s is %s, want resolved", tk.Title, tk.State)
		}
	}
	if n := s.firing("HostSilent"); n != 0 {
		t.Errorf("%d series ALERTS of HostSilent after the host is back", n)
	}
	s.at = s.at.Add(25 * time.Hour)
	if _, err := s.pipeline.elapse(ctx); err != nil {
		t.Fatal(err)
	}
	for _, tk := range s.tickets() {
		if tk.State != ticket.Shut {
			t.Errorf("%s is %s a day later, want closed", tk.Title, tk.State)
		}
	}
}

// firing counts the live series ALERTS of an alert.
func (s *stage) firing(name string) int {
	n := 0
	s.window.Last(func(l labels.Labels, _ time.Time, _ float64) {
		if l.Get("__name__") == "ALERTS" && l.Get("alertname") == name {
			n++
		}
	})
	return n
}

// Two alerts of one moment know of each other.
func TestAlertsOfOneMomentKnowOfEachOther(t *testing.T) {
	s := newStage(t, testConfig(t, strings.Replace(diskRules, "service: filesystem, system: server}\n    annotations: {summary: \"{{ $labels.mountpoint }} is full", "service: brim, system: server}\n    annotations: {summary: \"{{ $labels.mountpoint }} is full", 1)))
	s.report("web1", 0, 0)
	all := s.tickets()
	if len(all) != 2 {
		t.Fatalf("%d tickets, want one per service", len(all))
	}
	for i, other := range []string{"DiskFull", "DiskBrimful"} {
		if got := text(s.record(all[i]).Symptom); !strings.Contains(got, "also firing on this asset: "+other) {
			t.Errorf("%s does not know of %s:\n%s", all[i].Title, other, got)
		}
	}
}

// What nobody could see is not called good.
func TestRecordOfAHostThatNeverReported(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	s.enrolled("web1")
	s.silence.instead(func() []incident.Life {
		return []incident.Life{{Asset: "web1", Customer: "acme", Site: "london", Heard: s.at.Add(-time.Hour), Word: incident.Start}}
	})
	if err := s.silence.look(context.Background()); err != nil {
		t.Fatal(err)
	}
	rec := s.record(s.only())
	all := text(rec.Errors) + text(rec.Actions) + text(rec.Symptom)
	for _, lie := range []string{"every sampler works", "no error event", "no restart", "no curve"} {
		if strings.Contains(all, lie) {
			t.Errorf("it says %q of a host that never reported:\n%s", lie, all)
		}
	}
	if !strings.Contains(all, "the host has not reported since the collector started") {
		t.Errorf("it does not say why it knows nothing:\n%s", all)
	}
}

// Whatever was committed is there after a restart, and the next evaluation goes on exactly from there.
func TestRestart(t *testing.T) {
	cfg := testConfig(t, strings.Replace(diskRules, "    labels: {severity: warning", "    for: 30s\n    labels: {severity: warning", 1))
	s := newStage(t, cfg)
	s.report("web1", 0, 5)
	began, seq := s.at, s.seq
	if n := len(s.tickets()); n != 0 {
		t.Fatalf("%d tickets while pending", n)
	}
	s.Close()

	s = newStage(t, cfg)
	s.at, s.seq = began, seq
	s.report("web1", 20*time.Second, 5)
	if n := len(s.tickets()); n != 0 {
		t.Fatalf("%d tickets after 20 s of 30 s", n)
	}
	s.report("web1", 10*time.Second, 5)
	if got := s.only().Alerts[0].ActiveAt; !got.Equal(began) {
		t.Errorf("active since %v, want %v: the restart was forgotten", got, began)
	}
	if s.incarnation != 2 {
		t.Errorf("incarnation %d, want 2", s.incarnation)
	}
}

// A rule that was removed while the collector was down ends its alerts without resolving their tickets.
func TestRemovedRule(t *testing.T) {
	cfg := testConfig(t, diskRules)
	s := newStage(t, cfg)
	s.report("web1", 0, 5)
	if err := os.WriteFile(cfg.Rules.Files[0], []byte("groups: []\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.report("web1", 10*time.Second, 5)
	if tk := s.only(); tk.State != ticket.New || tk.Firing() != 0 {
		t.Errorf("%s with %d firing, want it open with none", tk.State, tk.Firing())
	}
}

func TestReloadChangesAllOrNothing(t *testing.T) {
	cfg := testConfig(t, diskRules)
	s := newStage(t, cfg)
	if err := os.WriteFile(cfg.Rules.Files[0], []byte("groups:\n- name: a\n  rules:\n  - alert: B\n    expr: up ==\n  - alert: C\n    exprr: up\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := s.Reload(context.Background())
	if err == nil || !strings.Contains(err.Error(), "rules.yml") {
		t.Fatalf("%v, want the file named", err)
	}
	s.report("web1", 0, 5)
	s.only() // the rules from before still run
}

// A full disk refuses a report with events unacknowledged and says what to do.
func TestFullDiskRefusesUnacknowledged(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	s.sink.store = fullStore{s.store}
	r := ingest.Report{Asset: window.Asset{Name: "web1"}, Events: []ingest.Event{{ID: 1, Kind: "x", At: s.at}}, ReceivedAt: s.at}
	err := s.sink.Apply(context.Background(), r)
	later, ok := err.(*ingest.Later)
	if !ok || !strings.Contains(later.Text, "disk is full") {
		t.Errorf("%v, want the agent told to come again because the disk is full", err)
	}
	if _, heard := s.facts.host("web1"); heard {
		t.Error("a refused report left a trace")
	}
}

// Events that are known are not new: the quota of an agent that replays them is for others.
func TestKnownEventsAreNotNew(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	var told []int
	events := func(ids ...uint64) func(*ingest.Report) {
		return func(r *ingest.Report) {
			for _, id := range ids {
				r.Events = append(r.Events, ingest.Event{ID: id, Kind: "x", At: s.at})
			}
			r.NewEvents = func(n int) { told = append(told, n) }
		}
	}
	s.report("web1", 0, 50, events(1, 2))
	s.report("web1", time.Second, 50, events(1, 2, 3))
	s.report("web2", time.Second, 50, events(1))
	s.report("web1", time.Second, 50, events())
	if fmt.Sprint(told) != "[2 1 1]" {
		t.Errorf("new events of each report: %v, want 2, 1 and 1", told)
	}
}

type fullStore struct{ store.Store }

func (fullStore) Update(context.Context, string, func(store.Tx) error) error {
	return fmt.Errorf("write: %w", store.ErrFull)
}

func TestConfigErrors(t *testing.T) {
	for name, tc := range map[string]struct{ yaml, want string }{
		"unknown key":      {"storage: {path: x}\nwep: {}\n", `line 2: unknown key "wep"`},
		"bad address":      {"web: {listen_address: here}\n", `web.listen_address: want host:port, got "here"`},
		"bad duration":     {"evaluation: {interval: soon}\n", `line 1: "soon" is no duration`},
		"no interval":      {"evaluation: {interval: 0s}\n", "evaluation.interval: must be positive"},
		"receiver nowhere": {"receivers: [{name: desk}]\n", "says nowhere to send to"},
		"every fault":      {"evaluation: {interval: 0s}\nsilence: {intervals: 0}\n", "silence.intervals: must be at least 1"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "watchbill.yml")
			if err := os.WriteFile(file, []byte(tc.yaml), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := LoadConfig(file)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("%v, want the file and %q", err, tc.want)
			}
		})
	}
}

func TestPortTaken(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	cfg := testConfig(t, diskRules)
	cfg.Agents.ListenAddress = s.agents.Addr().String()
	_, err := New(context.Background(), cfg, Options{Directory: testFleet})
	if err == nil || !strings.Contains(err.Error(), "--agent.listen-address") {
		t.Errorf("%v, want the flag to change", err)
	}
}

// An agent on this host is told an address it can dial and the certificate knows, wherever the collector listens.
func TestOwnAgentAddress(t *testing.T) {
	cfg := testConfig(t, diskRules)
	cfg.Agents.ListenAddress = "0.0.0.0:0"
	s := newStage(t, cfg)
	if host, _, err := net.SplitHostPort(s.OwnAgentAddress()); err != nil || host != "localhost" {
		t.Errorf("%s, %v: want localhost", s.OwnAgentAddress(), err)
	}
}

func TestNoticeCarriesTheTicket(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	s.report("web1", 0, 5)
	var m outbox.Message
	s.view(func(tx store.Tx) error {
		all, err := tx.Messages(outbox.Queued, 1)
		m = all[0]
		return err
	})
	var n notify.Notice
	if err := json.Unmarshal(m.Body, &n); err != nil {
		t.Fatal(err)
	}
	if n.Ticket.Number != "WB-1001" || n.Ticket.Priority != "P2" || len(n.Alerts) != 1 || !n.Alerts[0].Firing() {
		t.Errorf("%+v", n)
	}
}
