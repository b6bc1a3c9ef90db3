package collector

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
)

// aman is an Alertmanager that keeps what it takes, and answers as the test says.
type aman struct {
	*httptest.Server
	mu     sync.Mutex
	calls  [][]outHeard
	answer func(w http.ResponseWriter)
}

// outHeard is an alert as it came.
type outHeard struct {
	Labels       map[string]string
	Annotations  map[string]string
	StartsAt     time.Time
	EndsAt       time.Time
	GeneratorURL string
}

func newAman(t *testing.T) *aman {
	a := &aman{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var alerts []outHeard
		if err := json.Unmarshal(b, &alerts); err != nil || r.URL.Path != "/am/api/v2/alerts" || r.Method != http.MethodPost {
			t.Errorf("%s %s: %v: %s", r.Method, r.URL.Path, err, b)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.calls = append(a.calls, alerts)
		if a.answer != nil {
			a.answer(w)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

// take are the calls since the last take.
func (a *aman) take() [][]outHeard {
	a.mu.Lock()
	defer a.mu.Unlock()
	calls := a.calls
	a.calls = nil
	return calls
}

func (a *aman) receiver() notify.Receiver {
	return notify.Receiver{Name: "am", Alertmanager: &notify.AlertmanagerConfig{URLs: []string{a.URL}, PathPrefix: "/am"}}
}

// newOutStage is a stage that tells an Alertmanager.
func newOutStage(t *testing.T, a *aman) *stage {
	cfg := testConfig(t, diskRules)
	cfg.Receivers = append(cfg.Receivers, a.receiver())
	cfg.Web.ExternalURL = "https://watch.example"
	return newStage(t, cfg)
}

// waiting are the messages for Alertmanagers in the outbox.
func (s *stage) waiting() []outbox.Message {
	s.t.Helper()
	var out []outbox.Message
	s.view(func(tx store.Tx) error {
		all, err := tx.Messages(outbox.Queued, 1000)
		out = slices.DeleteFunc(all, func(m outbox.Message) bool { return m.Receiver != "am" })
		return err
	})
	return out
}

// deliver hands all that waits to the Alertmanager, as the outbox does.
func (s *stage) deliver() {
	s.t.Helper()
	for _, m := range s.waiting() {
		if err := (*s.alertsOut.outlets.Load())[0].to.Send(context.Background(), m); err != nil {
			s.t.Fatal(err)
		}
		if err := store.Queue(s.store).Done(context.Background(), m.ID); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *stage) lookOut(d time.Duration) {
	s.at = s.at.Add(d)
	var rounds sync.WaitGroup
	s.alertsOut.look(context.Background(), &rounds)
	rounds.Wait()
}

// one is the only alert of the only call.
func one(t *testing.T, calls [][]outHeard) outHeard {
	t.Helper()
	if len(calls) != 1 || len(calls[0]) != 1 {
		t.Fatalf("calls %+v, want one with one alert", calls)
	}
	return calls[0][0]
}

// An alert's way: told when it fires, again every minute, that it ended, and that for a quarter of an hour, with the times that
// Prometheus gives.
func TestAlertsGoOutAsFromPrometheus(t *testing.T) {
	a := newAman(t)
	s := newOutStage(t, a)
	s.report("web1", 0, 50)
	s.report("web1", 10*time.Second, 5)
	began := s.at
	if n := len(s.messages()); n != 2 {
		t.Fatalf("%d messages, want one for people and one for the Alertmanager", n)
	}
	s.lookOut(0)
	if calls := a.take(); len(calls) != 0 {
		t.Errorf("what waits in the outbox is said already: %+v", calls)
	}
	before := time.Now() // senders go by the real clock
	s.deliver()
	got := one(t, a.take())
	if got.Labels["alertname"] != "DiskFull" || got.Labels["instance"] != "web1" || got.Labels["customer"] != "acme" ||
		got.Labels[notify.SourceLabel] != "https://watch.example" || got.Annotations["summary"] != "/srv is filling on web1" ||
		!got.StartsAt.Equal(began) || got.GeneratorURL != "https://watch.example/api/watchbill/v1/tickets/WB-1001" {
		t.Errorf("told %+v", got)
	}
	if valid := got.EndsAt.Sub(before); valid < 4*time.Minute || valid > 4*time.Minute+10*time.Second {
		t.Errorf("it holds for %v, want 4m", valid)
	}
	s.lookOut(time.Minute)
	if calls := a.take(); len(calls) != 0 {
		t.Errorf("said again before the delay has passed: %+v", calls)
	}
	s.lookOut(time.Second)
	if again := one(t, a.take()); !again.StartsAt.Equal(began) || again.GeneratorURL != got.GeneratorURL {
		t.Errorf("said again as %+v", again)
	}
	s.report("web1", 10*time.Second, 50)
	ended := s.at
	s.deliver()
	if over := one(t, a.take()); !over.EndsAt.Equal(ended) || !over.StartsAt.Equal(began) {
		t.Errorf("its end is told as %+v, want it at %v", over, ended)
	}
	for range 14 {
		s.lookOut(61 * time.Second)
		if over := one(t, a.take()); !over.EndsAt.Equal(ended) {
			t.Errorf("its end is told again as %+v", over)
		}
	}
	s.lookOut(time.Minute)
	if calls := a.take(); len(calls) != 0 {
		t.Errorf("told after a quarter of an hour: %+v", calls)
	}
}

// A crash between the commit and the call loses nothing: what was decided waits in the store, and what stands is said at once.
func TestAlertsOutSurviveARestart(t *testing.T) {
	a := newAman(t)
	s := newOutStage(t, a)
	s.report("web1", 0, 5)
	s.report("web1", 10*time.Second, 50) // over before anybody was told
	s.report("web2", 10*time.Second, 5)
	s.Close()
	next := newStage(t, s.cfg)
	next.at = s.at.Add(time.Second)
	var said []string
	for _, m := range next.waiting() {
		said = append(said, m.What)
	}
	if got := strings.Join(said, ", "); got != "1 firing, 1 resolved, 1 firing" {
		t.Fatalf("waiting %s", got)
	}
	next.deliver()
	calls := a.take()
	if len(calls) != 3 || calls[1][0].Labels["instance"] != "web1" || calls[1][0].EndsAt.After(next.at) {
		t.Errorf("told %+v", calls)
	}
	next.lookOut(0)
	if again := one(t, a.take()); again.Labels["instance"] != "web2" ||
		again.GeneratorURL != "https://watch.example/api/watchbill/v1/tickets/WB-1002" {
		t.Errorf("what stands is said as %+v", again)
	}
}

// A crash between the call and its record says the same again, under the same ID: an Alertmanager knows it by its labels.
func TestAlertsOutAreToldAgainWhenTheRecordWasLost(t *testing.T) {
	a := newAman(t)
	s := newOutStage(t, a)
	s.report("web1", 0, 5)
	m := s.waiting()[0]
	if err := (*s.alertsOut.outlets.Load())[0].to.Send(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	s.Close()
	next := newStage(t, s.cfg)
	if w := next.waiting(); len(w) != 1 || w[0].ID != m.ID {
		t.Fatalf("waiting %+v, want %s", w, m.ID)
	}
	next.deliver()
	if calls := a.take(); len(calls) != 2 || calls[0][0].Labels["instance"] != calls[1][0].Labels["instance"] ||
		!calls[0][0].StartsAt.Equal(calls[1][0].StartsAt) {
		t.Errorf("told %+v", calls)
	}
}

// A resend that was begun before an alert ended does not say that it stands, for its end may be told already.
func TestAlertsOutNeverTellThePastAfterThePresent(t *testing.T) {
	s := newOutStage(t, newAman(t))
	s.report("web1", 0, 5)
	present := s.alertsOut.present(context.Background(), s.at)
	s.report("web1", 10*time.Second, 50)
	if got := s.alertsOut.asOfNow(present); len(got) != 1 || got[0].EndsAt.IsZero() {
		t.Errorf("said again as %+v, want that it ended", got)
	}
	over := s.alertsOut.present(context.Background(), s.at)
	s.report("web1", 10*time.Second, 5)
	if got := s.alertsOut.asOfNow(over); len(got) != 0 {
		t.Errorf("said again as %+v, although it fires again", got)
	}
}

// What came from an Alertmanager does not go to one.
func TestFedAlertsDoNotGoOut(t *testing.T) {
	s := newOutStage(t, newAman(t))
	s.report("web1", 0, 5)
	s.deliver()
	standing := s.evaluator.Alerts()[0]
	standing.Origin = incident.FedOrigin(1, "Test", "prometheus")
	err := s.pipeline.Commit(context.Background(), s.at, []rules.Transition{{Origin: standing.Origin, From: rules.Pending, Alert: standing.Alert}})
	if err != nil {
		t.Fatal(err)
	}
	if w := s.waiting(); len(w) != 0 {
		t.Errorf("fed alerts wait to go out: %+v", w)
	}
	if got := s.alertsOut.present(context.Background(), s.at); len(got) != 1 {
		t.Errorf("%d alerts are said again, want the house's own", len(got))
	}
}

// Many alerts of one transaction go in batches, in order.
func TestAlertsOutInBatches(t *testing.T) {
	s := newOutStage(t, newAman(t))
	s.report("web1", 0, 5)
	s.deliver()
	like := s.evaluator.Alerts()[0]
	var ts []rules.Transition
	for i := range 130 {
		o := like.Origin
		o.ID = "many-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		ts = append(ts, rules.Transition{Origin: o, From: rules.Pending, Alert: like.Alert})
	}
	if err := s.pipeline.Commit(context.Background(), s.at, ts); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, m := range s.waiting() {
		said = append(said, m.What)
	}
	if got := strings.Join(said, ", "); got != "64 firing, 64 firing, 2 firing" {
		t.Errorf("waiting %s", got)
	}
}

// An Alertmanager that is down holds back neither another one nor people, and is told everything that stands when it is back.
func TestAlertsOutWhileAnAlertmanagerIsDown(t *testing.T) {
	a := newAman(t)
	a.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }
	s := newOutStage(t, a)
	s.report("web1", 0, 5)
	err := (*s.alertsOut.outlets.Load())[0].to.Send(context.Background(), s.waiting()[0])
	if err == nil || errors.Is(err, outbox.ErrRefused) {
		t.Fatalf("%v, want to try again", err)
	}
	s.lookOut(2 * time.Minute)
	if calls := a.take(); len(calls) != 2 {
		t.Errorf("%d calls", len(calls))
	}
	s.lookOut(time.Second)
	if calls := a.take(); len(calls) != 0 {
		t.Errorf("said again within the delay although Prometheus would not: %+v", calls)
	}
	a.answer = nil
	s.lookOut(time.Minute)
	if got := one(t, a.take()); got.Labels["instance"] != "web1" {
		t.Errorf("told %+v", got)
	}
}

// Neither ladders nor notices know an Alertmanager: people are not told by it.
func TestAlertmanagerIsNoReceiverOfNotices(t *testing.T) {
	a := newAman(t)
	s := newOutStage(t, a)
	s.report("web1", 0, 5)
	for _, m := range s.waiting() {
		if m.Ticket != "" {
			t.Errorf("a notice about %s waits for the Alertmanager", m.Number)
		}
	}
	if got := s.pipeline.audience.Load().receivers; !slices.Equal(got, []string{"desk"}) {
		t.Errorf("notices go to %v", got)
	}
}

// A reload tells whose messages nobody takes any more, and a new Alertmanager what stands.
func TestReloadTellsOfReceiversThatAreGone(t *testing.T) {
	a := newAman(t)
	s := newOutStage(t, a)
	s.report("web1", 0, 5)
	cfg := s.cfg
	cfg.Receivers = []notify.Receiver{a.receiver()}
	s.o.Reread = func() (Config, error) { return cfg, nil }
	out, err := s.Reload(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := `1 messages wait for "desk", which is not configured any more`
	if !slices.ContainsFunc(out.Warnings, func(w string) bool { return strings.Contains(w, want) }) {
		t.Errorf("warnings %q lack %q", out.Warnings, want)
	}
	s.lookOut(0)
	if got := one(t, a.take()); got.Labels["instance"] != "web1" {
		t.Errorf("told %+v", got)
	}
}

// What PagerDuty shows of a fresh ticket is its record.
func TestNoticeCarriesTheRecordWhereSomebodyShowsIt(t *testing.T) {
	for _, shown := range []bool{false, true} {
		cfg := testConfig(t, diskRules)
		if shown {
			cfg.Receivers = append(cfg.Receivers, notify.Receiver{Name: "pager", PagerDuty: &notify.PagerDutyConfig{RoutingKey: "k"}})
		}
		s := newStage(t, cfg)
		s.report("web1", 0, 5)
		var n notify.Notice
		s.view(func(tx store.Tx) error {
			all, err := tx.Messages(outbox.Queued, 1)
			if err != nil {
				return err
			}
			return json.Unmarshal(all[0].Body, &n)
		})
		if !shown {
			if n.Record != nil {
				t.Errorf("a record that nobody shows: %+v", n.Record)
			}
			continue
		}
		var got []string
		for _, p := range n.Record {
			got = append(got, p.Part+": "+p.Text)
		}
		all := strings.Join(got, "\n")
		for _, want := range []string{"time: ", "first bad sample", "symptoms: ", "/srv is filling", "affected_users: ", "40 people",
			"error_references: ", "actions_taken: "} {
			if !strings.Contains(all, want) {
				t.Errorf("lacks %q in:\n%s", want, all)
			}
		}
	}
}
