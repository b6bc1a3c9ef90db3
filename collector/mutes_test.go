package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

func matcher(t interface{ Fatal(...any) }, s string) incident.Matcher {
	m, err := incident.ParseMatcher(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// hush silences what fulfils conditions for a while, and returns the silence's ID.
func (w *weather) hush(d time.Duration, conditions ...string) string {
	w.t.Helper()
	m := incident.Muting{StartsAt: w.at, EndsAt: w.at.Add(d), CreatedBy: "ada", Comment: "new disks"}
	for _, c := range conditions {
		m.Matchers = append(m.Matchers, matcher(w.t, c))
	}
	id, err := w.pipeline.SetSilence(context.Background(), m)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// open are the assets with an open ticket, and muted those of muted alerts.
func (w *weather) open() (out []string) {
	for _, t := range w.tickets(store.TicketFilter{OpenOnly: true}) {
		if t.Kind != ticket.KindStorm {
			out = append(out, t.Asset)
		}
	}
	slices.Sort(out)
	return out
}

func (w *weather) heldBack() (out []string) {
	w.view(func(tx store.Tx) error {
		all, err := tx.AllMuted()
		for _, m := range all {
			out = append(out, m.ID)
		}
		return err
	})
	return out
}

func (w *weather) wantOpen(when string, want ...string) {
	w.t.Helper()
	if got := w.open(); !slices.Equal(got, want) {
		w.t.Errorf("%s: open tickets of %v, want %v", when, got, want)
	}
}

// TestSilencedAlertOpensNothing: it fires, is kept and noted, and opens its ticket within a tick of the silence's end, with
// a word on what held it back; its clocks start then. One that ended meanwhile opens nothing, and others are not touched.
func TestSilencedAlertOpensNothing(t *testing.T) {
	w := newWeather(t, 10)
	id := w.hush(time.Hour, `instance=~"host0000[01]"`)
	fired := w.at
	w.strike(0, 3)
	w.wantOpen("silenced", "host00002")
	if kept := w.heldBack(); len(kept) != 2 {
		t.Errorf("muted alerts: %v, want 2", kept)
	}
	w.view(func(tx store.Tx) error {
		states, err := tx.Alerts()
		if len(states) != 3 {
			t.Errorf("%d alert states, want 3: evaluation goes on", len(states))
		}
		return err
	})
	w.later(30 * time.Minute)
	w.clear(1, 2)
	w.later(30*time.Minute - time.Second)
	w.wantOpen("a second before its end", "host00002")
	w.sent()
	w.later(time.Second)
	w.wantOpen("at its end", "host00000", "host00002")
	if kept := w.heldBack(); len(kept) != 0 {
		t.Errorf("still muted: %v", kept)
	}
	w.wantSent("opened 1")
	for _, tk := range w.tickets(store.TicketFilter{Asset: "host00000"}) {
		said := w.record(tk)
		for _, want := range []string{"it fires since " + shortly(fired), "silence " + id + " of ada (new disks)"} {
			if !strings.Contains(said, want) {
				t.Errorf("the record does not say %q:\n%s", want, said)
			}
		}
		if !tk.Received().Equal(w.at) {
			t.Errorf("its clocks start at %s, want when the silence ended, %s", tk.Received(), w.at)
		}
	}
	w.clear(0, 1)
	w.wantOpen("recovered", "host00002")
}

// TestWhatComesLateIsNotBesideItself: alerts that a silence held back stand before they come, and are each counted once.
func TestWhatComesLateIsNotBesideItself(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	m := incident.Muting{StartsAt: f.at, EndsAt: f.at.Add(time.Minute), CreatedBy: "ada", Comment: "x", Matchers: []incident.Matcher{matcher(t, `instance="web1"`)}}
	if _, err := f.pipeline.SetSilence(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for i := range 3 {
		a := f.down("web1")
		a["labels"].(map[string]string)["part"] = fmt.Sprint(i)
		all = append(all, a)
	}
	f.post(all...)
	if n := len(f.tickets()); n != 0 {
		t.Fatalf("%d tickets of what is silenced", n)
	}
	f.at = f.at.Add(time.Minute + time.Second)
	if _, err := f.pipeline.elapse(t.Context()); err != nil {
		t.Fatal(err)
	}
	if said := f.evidenceText(f.tickets()[0]); !strings.Contains(said, `"also firing on this asset: InstanceDown (2)"`) {
		t.Errorf("want it to say that two others fire:\n%s", said)
	}
}

// TestSilenceExpiredByHand, TestSilenceSurvivesRestart: what is muted comes free when somebody ends the silence, and when it
// ended while no collector ran; one that goes on goes on.
func TestSilenceExpiredByHand(t *testing.T) {
	w := newWeather(t, 10)
	id := w.hush(time.Hour, `instance="host00000"`)
	w.strike(0, 1)
	w.later(time.Minute)
	w.wantOpen("silenced")
	if err := w.pipeline.ExpireSilence(context.Background(), id, "bob"); err != nil {
		t.Fatal(err)
	}
	w.later(time.Second)
	w.wantOpen("expired", "host00000")
	if err := w.pipeline.ExpireSilence(context.Background(), id, "bob"); err != nil {
		t.Errorf("expired again: %v", err)
	}
	if err := w.pipeline.ExpireSilence(context.Background(), "none", "bob"); !errors.Is(err, incident.ErrNoMuting) {
		t.Errorf("one that is not there: %v", err)
	}
}

func TestSilenceSurvivesRestart(t *testing.T) {
	w := newWeather(t, 10)
	w.hush(time.Hour, `instance="host00000"`)
	w.strike(0, 2)
	w.restart(10)
	w.later(59 * time.Minute)
	w.wantOpen("after a start, silenced", "host00001")
	w.Close()
	w.at = w.at.Add(time.Hour)
	w.restart(10)
	w.later(0)
	w.wantOpen("it ended while nobody ran", "host00000", "host00001")
}

// TestTicketThatIsOpenStays: a silence does not touch it; its alert recovers as ever and does not reopen it.
func TestTicketThatIsOpenStays(t *testing.T) {
	w := newWeather(t, 10)
	w.cfg.Flapping.Changes = 0
	w.pipeline.tell(w.cfg)
	w.strike(0, 1)
	w.hush(time.Hour, `customer="customer00"`)
	w.later(time.Minute)
	w.wantOpen("before it was silenced", "host00000")
	w.clear(0, 1)
	w.wantOpen("recovered")
	w.later(time.Minute)
	w.strike(0, 1)
	w.wantOpen("it fires again, silenced")
	w.later(time.Hour)
	w.wantOpen("it still fires", "host00000")
	if all := w.tickets(store.TicketFilter{}); len(all) != 1 {
		t.Errorf("%d tickets, want the first, reopened", len(all))
	}
}

// TestMutedMakeNoStorm: what is muted does not count, and becomes a storm when it comes free at once.
func TestMutedMakeNoStorm(t *testing.T) {
	w := newWeather(t, 40)
	w.hush(time.Hour, `service="filesystem"`)
	w.strike(0, 39)
	w.later(time.Second)
	if heads := w.heads(); len(heads) != 0 {
		t.Errorf("storms %v of muted alerts", heads)
	}
	w.later(time.Hour)
	if len(w.heads()) != 1 || len(w.open()) != 39 {
		t.Errorf("%d storms and %d tickets when all come free, want 1 and 39", len(w.heads()), len(w.open()))
	}
}

// TestMaintenance: a window holds back as a silence does; a reload that drops it lets go.
func TestMaintenance(t *testing.T) {
	w := newWeather(t, 10)
	plan := MaintenancePlan{{Name: "patching", Comment: "every night", Matchers: []string{`site="site0"`}, From: w.at, Until: w.at.Add(time.Hour)}}
	if err := plan.Validate(); err != nil {
		t.Fatal(err)
	}
	w.pipeline.maintain(plan)
	w.strike(0, 1)
	w.later(time.Minute)
	w.wantOpen("in maintenance")
	reg := w.reg
	want := `# HELP watchbill_maintenance_active Whether a maintenance window holds now.
# TYPE watchbill_maintenance_active gauge
watchbill_maintenance_active{name="patching"} 1
# HELP watchbill_muted_alerts Alerts that fire and are kept from a ticket by a silence or maintenance.
# TYPE watchbill_muted_alerts gauge
watchbill_muted_alerts 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "watchbill_maintenance_active", "watchbill_muted_alerts"); err != nil {
		t.Error(err)
	}
	w.pipeline.maintain(nil)
	w.later(time.Second)
	w.wantOpen("dropped by a reload", "host00000")
	if said := w.record(w.tickets(store.TicketFilter{})[0]); !strings.Contains(said, "maintenance patching (every night)") {
		t.Errorf("the record does not name the window:\n%s", said)
	}
}

// TestSilenceOfHosts: what the house says of a silent host is muted as any other alert, and so is a rule's alert about up.
func TestSilenceOfHosts(t *testing.T) {
	w := newWeather(t, 10)
	w.hush(time.Hour, `instance="host00000"`)
	life := incident.Life{Asset: "host00000", Customer: "customer00", Site: "site0", Interval: time.Second, Heard: w.at.Add(-time.Hour)}
	ts := incident.Silence(incident.Scene{Lives: []incident.Life{life}, Elsewhere: incident.SomeHeard, Patience: incident.DefaultPatience}, w.at).Transitions
	if len(ts) == 0 {
		t.Fatal("nobody is silent")
	}
	if err := w.pipeline.Commit(context.Background(), w.at, ts); err != nil {
		t.Fatal(err)
	}
	w.later(time.Minute)
	w.wantOpen("silent and silenced")
	w.later(time.Hour)
	if all := w.tickets(store.TicketFilter{OpenOnly: true}); len(all) != 1 {
		t.Errorf("%d tickets when the silence ended, want 1", len(all))
	}
}

// TestMutedAsTheModel: whatever comes, a ticket is open for exactly those hosts whose alert stands and was not muted at some
// look since it fired.
func TestMutedAsTheModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newWeather(t, 6)
		defer w.Close()
		w.cfg.Flapping.Changes = 0
		w.pipeline.tell(w.cfg)
		type hush struct {
			id    string
			host  int // -1 is every one
			until time.Time
		}
		var hushes []hush
		muted := func(n int) bool {
			return slices.ContainsFunc(hushes, func(h hush) bool { return (h.host == n || h.host < 0) && w.at.Before(h.until) })
		}
		stands, ticketed := map[int]bool{}, map[int]bool{}
		for range rapid.IntRange(1, 25).Draw(r, "steps") {
			n := rapid.IntRange(0, 5).Draw(r, "host")
			switch rapid.SampledFrom([]string{"fire", "fire", "end", "silence", "silence all", "expire", "restart", "wait"}).Draw(r, "what") {
			case "fire":
				if !stands[n] {
					w.strike(n, n+1)
					stands[n], ticketed[n] = true, !muted(n)
				}
			case "end":
				if stands[n] {
					w.clear(n, n+1)
					stands[n], ticketed[n] = false, false
				}
			case "silence", "silence all":
				d := time.Duration(rapid.IntRange(1, 90).Draw(r, "minutes")) * time.Minute
				h := hush{host: n, until: w.at.Add(d)}
				if rapid.IntRange(0, 3).Draw(r, "all") == 0 {
					h.host = -1
					h.id = w.hush(d, `alertname="DiskFull"`)
				} else {
					h.id = w.hush(d, fmt.Sprintf(`instance="host%05d"`, n))
				}
				hushes = append(hushes, h)
			case "expire":
				if len(hushes) > 0 {
					i := rapid.IntRange(0, len(hushes)-1).Draw(r, "which")
					if err := w.pipeline.ExpireSilence(context.Background(), hushes[i].id, "ada"); err != nil {
						r.Fatal(err)
					}
					if hushes[i].until.After(w.at) {
						hushes[i].until = w.at
					}
				}
			case "restart":
				w.restart(6)
			case "wait":
				w.at = w.at.Add(time.Duration(rapid.IntRange(1, 60).Draw(r, "pass")) * time.Minute)
			}
			w.later(time.Second)
			var want []string
			for n := range 6 {
				if stands[n] && !ticketed[n] && !muted(n) {
					ticketed[n] = true
				}
				if ticketed[n] {
					want = append(want, fmt.Sprintf("host%05d", n))
				}
			}
			if got := w.open(); !slices.Equal(got, want) {
				r.Fatalf("open tickets of %v, want %v", got, want)
			}
		}
	})
}

// BenchmarkMuted is what a thousand silences cost an alert that fires.
func BenchmarkMuted(b *testing.B) {
	now := time.Now()
	var all []incident.Muting
	for n := range 1000 {
		m := incident.Muting{ID: fmt.Sprint(n), StartsAt: now.Add(-time.Hour), EndsAt: now.Add(time.Hour), Matchers: []incident.Matcher{
			matcher(b, `alertname=~"Disk.*"`), matcher(b, fmt.Sprintf(`instance="host%05d"`, n))}}
		if n%100 == 0 { // some cannot be looked up
			m.Matchers[1] = matcher(b, fmt.Sprintf(`instance=~"host%05d|other"`, n))
		}
		all = append(all, m)
	}
	muter := incident.NewMuter(all, nil, nil)
	a := incident.Alert{Asset: "host01234", Customer: "c", Labels: map[string]string{"alertname": "DiskFull", "instance": "host01234"}}
	b.ReportAllocs()
	for b.Loop() {
		if by := muter.By(a, now); by != nil {
			b.Fatal(by)
		}
	}
}
