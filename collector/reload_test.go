package collector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
)

// reloaded is a stage that reads this configuration, changed, when it reloads.
func reloaded(t *testing.T, change func(*Config)) (s *stage, log *bytes.Buffer) {
	t.Helper()
	s = newStage(t, testConfig(t, diskRules))
	log = &bytes.Buffer{}
	s.log = slog.New(slog.NewTextHandler(log, nil))
	s.o.Reread = func() (Config, error) {
		cfg := s.cfg
		change(&cfg)
		return cfg, nil
	}
	return s, log
}

// lineOf is a line to the collector by which an agent is just what it says.
func (s *stage) lineOf(asset string) *rawLine {
	n := &town{t: s.t, c: s.Collector}
	return &rawLine{t: s.t, c: s.Collector, cert: n.enrol(asset), builder: wire.NewBuilder(wire.DefaultLimits())}
}

// What an agent is refused for is over with a reload, and so is what a person finds too soon told or wrongly addressed.
func TestAReloadAppliesBoundsSilenceAndAddress(t *testing.T) {
	s, _ := reloaded(t, func(c *Config) {
		c.Quotas.Agent.Series, c.Backlog.Credits, c.Agents.Door.PerSecond = 7, 9, 10
		c.Silence.Least = policy.Duration(time.Hour)
		c.Web.ExternalURL = "https://watch.example"
		c.Receivers = append(slices.Clone(c.Receivers), notify.Receiver{Name: "second", Webhook: &notify.WebhookConfig{URL: "http://127.0.0.1:1/"}})
	})
	line := s.lineOf("web1")
	line.send(line.report(1, 1, 50), wire.LaneLive)
	before := line.post(line.report(1, 2, 50), wire.LaneLive)
	if _, err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := line.post(line.report(1, 3, 50), wire.LaneLive)
	if before.Credits == 9 || after.Credits != 9 {
		t.Errorf("%d credits, then %d; want 9 after the reload", before.Credits, after.Credits)
	}
	if got := s.ingest.SpreadFor(100); got != 10*time.Second {
		t.Errorf("a hundred agents spread their return over %v, want 10 s at ten a second", got)
	}
	if got := s.patience(1); got.Least != time.Hour || got.Return != longestBackOff+2*time.Second {
		t.Errorf("patience %+v", got)
	}
	var wide []wire.Sample
	for _, name := range strings.Fields("a b c d e f g h") {
		wide = append(wide, wire.Sample{Name: name, Value: 1})
	}
	b, err := line.builder.Block("node", "wide", time.Now(), 10*time.Second, wide)
	if err != nil {
		t.Fatal(err)
	}
	shape, _ := line.builder.Shape(b.ShapeId)
	ack := line.post(&wire.Report{Epoch: 1, Sequence: 4, MadeAtMs: time.Now().UnixMilli(), Blocks: []*wire.Block{b}, Shapes: []*wire.Shape{shape}}, wire.LaneLive)
	if len(ack.Refusals) != 1 || !strings.Contains(ack.Refusals[0].Error, "at most 7") {
		t.Errorf("a block of eight series: %v, want it refused by the new quota", ack)
	}

	s.report("web2", time.Minute, 5)
	var to []string
	s.view(func(tx store.Tx) error {
		all, err := tx.Messages(outbox.Queued, 10)
		for _, m := range all {
			var n notify.Notice
			if err := json.Unmarshal(m.Body, &n); err != nil {
				return err
			}
			to = append(to, m.Receiver+" "+n.Ticket.URL)
		}
		return err
	})
	slices.Sort(to)
	const at = " https://watch.example/api/watchbill/v1/tickets/WB-1001"
	if want := []string{"desk" + at, "second" + at}; !slices.Equal(to, want) {
		t.Errorf("told %q, want %q", to, want)
	}
}

// What a reload cannot change is said, by key, to who asked and in the log; the rest takes effect.
func TestAReloadSaysWhatWaitsForTheNextStart(t *testing.T) {
	s, log := reloaded(t, func(c *Config) {
		c.Storage.Path, c.Backup.Keep, c.Agents.Names = "/elsewhere", 99, []string{"a"}
		c.Silence.Least = policy.Duration(time.Hour)
	})
	for range 2 { // it differs until then
		later, err := s.Reload(t.Context())
		if want := []string{"storage.path", "backup.keep", "agents.names"}; err != nil || !slices.Equal(later.NextStart, want) {
			t.Errorf("%+v, %v; want %q", later, err, want)
		}
	}
	if !strings.Contains(log.String(), `msg="storage.path changed: takes effect at the next start"`) {
		t.Errorf("log\n%s", log)
	}
	if s.patience(1).Least != time.Hour || s.StoragePath() == "/elsewhere" {
		t.Error("the one that can change did not, or the one that cannot did")
	}
}

// Every key either takes effect with a reload or is said to wait: a new one needs somebody to decide.
func TestEveryKeyIsReloadedOrSaidToWait(t *testing.T) {
	live := []string{
		"web.external_url", "agents.door", "fleet.directory", "policies.directory", "rules.packs", "rules.files", "silence.intervals", "silence.least",
		"silence.after_goodbye", "silence.after_enrolment", "silence.together", "silence.ping", "flapping.changes",
		"flapping.window", "flapping.stable", "rules.missing", "quotas", "backlog", "receivers",
		"query", "feed", "maintenance", "remote_write", "remote_write_spool", "remote_write_external_labels", "remote_write_in",
	}
	for _, s := range atStart(DefaultConfig()) {
		live = append(live, s.key)
	}
	var keys []string
	config := reflect.TypeFor[Config]()
	for _, section := range reflect.VisibleFields(config) {
		name := section.Tag.Get("yaml")
		if slices.Contains(live, name) { // as a whole
			keys = append(keys, name)
			continue
		}
		for _, f := range reflect.VisibleFields(section.Type) {
			keys = append(keys, strings.TrimPrefix(strings.TrimPrefix(name, ",inline")+"."+f.Tag.Get("yaml"), "."))
		}
	}
	slices.Sort(keys)
	slices.Sort(live)
	if !slices.Equal(keys, live) {
		t.Errorf("the configuration has the keys\n%q, known to a reload are\n%q", keys, live)
	}
}

// Whatever is wrong, all of it is named at once, and nothing has changed.
func TestAReloadThatIsWrongChangesNothing(t *testing.T) {
	s, _ := reloaded(t, func(c *Config) {
		c.Quotas.Agent.Series, c.Backlog.Credits, c.Silence.Intervals = 5, 0, 0
		c.Silence.Least = policy.Duration(time.Hour)
		c.Receivers = []notify.Receiver{{Name: "desk", Webhook: &notify.WebhookConfig{URL: "http://127.0.0.1:1/", SecretFile: "/nowhere/secret"}}}
	})
	if err := os.WriteFile(s.cfg.Rules.Files[0], []byte("groups:\n- name: a\n  rules:\n  - {alert: B, expr: 'up =='}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := s.Reload(t.Context())
	for _, want := range []string{"rules.yml", "backlog.credits", "silence.intervals", "/nowhere/secret"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s named", err, want)
		}
	}
	if s.patience(1).Least == time.Hour {
		t.Error("silence has changed")
	}
	line := s.lineOf("web1")
	line.send(line.report(1, 1, 50), wire.LaneLive)
	if ack := line.post(line.report(1, 2, 50), wire.LaneLive); int(ack.Credits) != ingest.DefaultBacklog().Credits {
		t.Errorf("%d credits", ack.Credits)
	}
}

// A subquery without a step has that of the running collector's evaluation, at arrival as on a timer, until the next start.
func TestSubqueriesKeepTheirStepOverAReload(t *testing.T) {
	cfg := testConfig(t, "groups: [{name: g, rules: [{alert: A, expr: 'max_over_time(up[30m:]) == 0'}]}]")
	cfg.Rules.Packs = false
	s := newStage(t, cfg)
	for _, interval := range []time.Duration{5 * time.Second, time.Second} { // 1,800 steps are too many for an arrival
		cfg.Evaluation.Interval = policy.Duration(interval)
		groups, _, err := LoadRules(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := groups[0].Rules[0].Arrival != nil, interval == 5*time.Second; got != want {
			t.Errorf("started with %v: at arrival %v, want %v", interval, got, want)
		}
		if r, err := s.read(cfg); err != nil || r.groups[0].Rules[0].Arrival == nil {
			t.Errorf("reloaded with %v: at a timer, want the place that %v gives; error %v", interval, time.Duration(s.cfg.Evaluation.Interval), err)
		}
	}
}

// Whether what is written down is what is in force can be asked by name, and since when; a failed reload leaves the time of
// the last good one.
func TestAReloadIsCounted(t *testing.T) {
	good := true
	s, _ := reloaded(t, func(c *Config) {
		if !good {
			c.Silence.Intervals = 0
		}
	})
	at := s.now()
	s.now = func() time.Time { return at }
	tells := func(successful int, since time.Time) {
		t.Helper()
		want := fmt.Sprintf(`# HELP watchbill_config_last_reload_success_timestamp_seconds When configuration, rules and fleet were last loaded with success.
# TYPE watchbill_config_last_reload_success_timestamp_seconds gauge
watchbill_config_last_reload_success_timestamp_seconds %v
# HELP watchbill_config_last_reload_successful Whether the last attempt to load configuration, rules and fleet succeeded: 1 or 0.
# TYPE watchbill_config_last_reload_successful gauge
watchbill_config_last_reload_successful %d
`, float64(since.UnixMilli())/1e3, successful)
		if err := testutil.GatherAndCompare(s.reg, strings.NewReader(want),
			"watchbill_config_last_reload_successful", "watchbill_config_last_reload_success_timestamp_seconds"); err != nil {
			t.Error(err)
		}
		if ok, at := s.pipeline.metrics.reloads(); ok != (successful == 1) || !at.Equal(since.Truncate(time.Millisecond)) {
			t.Errorf("runtimeinfo would say %v, %v; want %d, %v", ok, at, successful, since)
		}
	}
	tells(1, s.started)
	for _, step := range []struct{ good bool }{{true}, {false}, {true}} {
		last := at
		at, good = at.Add(time.Minute), step.good
		if _, err := s.Reload(t.Context()); (err == nil) != good {
			t.Fatal(err)
		}
		if good {
			tells(1, at)
		} else {
			tells(0, last)
		}
	}
}

// TestPoliciesAreReloadedWhole: sets, contracts and fleet come into force together; a fault in one of them changes nothing
// and is told with its place.
func TestPoliciesAreReloadedWhole(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	shipped, err := os.ReadFile("../rules/policies/default/policy.yml")
	if err != nil {
		t.Fatal(err)
	}
	set := strings.Replace(string(shipped), "version: 1", "version: 7", 1)
	const customers = "customers:\n- {id: acme, sites: [{id: hq, assets: [{name: web1}]}]%s}\n"
	write("sets/default.yml", set)
	write("fleet/fleet.yml", fmt.Sprintf(customers, ""))
	s, _ := reloaded(t, func(c *Config) {
		c.Policies.Directory, c.Fleet.Directory = filepath.Join(dir, "sets"), filepath.Join(dir, "fleet")
	})
	version := func() string {
		res, err := s.pipeline.Terms("acme")
		if err != nil {
			t.Fatal(err)
		}
		return res.Ticket.Policy + " " + res.Ticket.Version
	}
	if _, err := s.Reload(t.Context()); err != nil || version() != "default 7" {
		t.Fatalf("%v, %s", err, version())
	}
	write("sets/default.yml", strings.Replace(set, "reopen_window: 24h", "reopen_windows: 24h", 1))
	write("fleet/fleet.yml", fmt.Sprintf(customers, ", contracts: [{id: k, sets: [erp-partner]}]"))
	if _, err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "default.yml:") || version() != "default 7" {
		t.Errorf("a set with a fault: %v, %s in force", err, version())
	}
	write("sets/default.yml", set)
	write("fleet/fleet.yml", fmt.Sprintf(customers, ",\n   contracts: [{id: k, sets: [erp-partners]}]"))
	if _, err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "erp-partners") || !strings.Contains(err.Error(), "fleet.yml:") || version() != "default 7" {
		t.Errorf("a contract of no set: %v, %s in force", err, version())
	}
	write("fleet/fleet.yml", fmt.Sprintf(customers, ", contracts: [{id: k, sets: [erp-partner]}]"))
	if _, err := s.Reload(t.Context()); err != nil || version() != "erp-partner 1" {
		t.Errorf("%v, %s in force", err, version())
	}
}
