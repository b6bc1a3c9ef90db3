package notify

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/collector/outbox"
)

func relabels(t testing.TB, text string) (out []*relabel.Config) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func alertmanager(t testing.TB, c AlertmanagerConfig) *Alertmanager {
	t.Helper()
	a, err := NewAlertmanager("am", c, Options{Source: "https://watch.example", Installation: "ABC234", Version: "1.2", Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func outAlerts() []OutAlert {
	return []OutAlert{
		{Labels: map[string]string{"alertname": "DiskFull", "instance": "web1", "severity": "critical"},
			Annotations: map[string]string{"summary": "98 % used"}, StartsAt: noon.Add(-time.Minute), GeneratorURL: "https://watch.example/t/1"},
		{Labels: map[string]string{"alertname": "Slow", "instance": "web2"}, StartsAt: noon.Add(-time.Hour), Interval: 5 * time.Minute},
		{Labels: map[string]string{"alertname": "Over", "instance": "web3", "noise": "x"}, StartsAt: noon.Add(-time.Hour), EndsAt: noon.Add(-time.Second)},
	}
}

func alertMessage(t testing.TB, alerts []OutAlert) outbox.Message {
	t.Helper()
	body, err := EncodeAlerts(alerts)
	if err != nil {
		t.Fatal(err)
	}
	return outbox.Message{ID: "alerts-1", Receiver: "am", Line: "alerts", What: "2 firing, 1 resolved", Body: body}
}

func TestAlertmanagerGolden(t *testing.T) {
	d := newDesk(t, func(http.ResponseWriter, *http.Request) {})
	a := alertmanager(t, AlertmanagerConfig{URLs: []string{d.URL + "/first"}, PathPrefix: "/am/",
		ExternalLabels: map[string]string{"replica": "a", "instance": "never"},
		Relabel:        relabels(t, "[{action: labeldrop, regex: noise}, {action: drop, source_labels: [alertname], regex: Quiet}]")})
	alerts := append(outAlerts(), OutAlert{Labels: map[string]string{"alertname": "Quiet"}, StartsAt: noon})
	if err := a.Send(t.Context(), alertMessage(t, alerts)); err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "alertmanager.golden.json"), d.last.Load().body)
}

// What an alert's end and validity are on the wire.
func TestAlertmanagerTimes(t *testing.T) {
	a := alertmanager(t, AlertmanagerConfig{URLs: []string{"http://127.0.0.1:1"}})
	for name, c := range map[string]struct {
		alert OutAlert
		want  time.Time
	}{
		"by the resend delay":    {OutAlert{StartsAt: noon, Interval: 5 * time.Second}, noon.Add(4 * time.Minute)},
		"by the interval":        {OutAlert{StartsAt: noon, Interval: 5 * time.Minute}, noon.Add(20 * time.Minute)},
		"when it ended":          {OutAlert{StartsAt: noon.Add(-time.Hour), EndsAt: noon.Add(-time.Second)}, noon.Add(-time.Second)},
		"never before its start": {OutAlert{StartsAt: noon, EndsAt: noon.Add(-time.Second)}, noon},
	} {
		c.alert.Labels = map[string]string{"alertname": "A"}
		if got := a.render([]OutAlert{c.alert}, noon)[0].EndsAt; !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// The labels by which we know our own alerts are not for others to set; the operator may take them off.
func TestAlertmanagerSource(t *testing.T) {
	for label, want := range map[string]string{SourceLabel: "https://watch.example", InstallationLabel: "ABC234"} {
		alerts := []OutAlert{{Labels: map[string]string{"alertname": "A", label: "another"}, StartsAt: noon}}
		c := AlertmanagerConfig{URLs: []string{"http://127.0.0.1:1"}, ExternalLabels: map[string]string{label: "another"}}
		if got := alertmanager(t, c).render(alerts, noon)[0].Labels[label]; got != want {
			t.Errorf("%s is %q", label, got)
		}
		c.Relabel = relabels(t, "[{action: labeldrop, regex: "+label+"}]")
		if got, there := alertmanager(t, c).render(alerts, noon)[0].Labels[label]; there {
			t.Errorf("%s is %q although it was taken off", label, got)
		}
	}
}

// Of a cluster one that takes it is enough, and each is told.
func TestAlertmanagerCluster(t *testing.T) {
	answer := func(code int) *desk {
		return newDesk(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "9")
			w.WriteHeader(code)
		})
	}
	good, gone, bad := answer(200), answer(503), answer(400)
	for name, c := range map[string]struct {
		peers []*desk
		want  string
	}{
		"all":               {[]*desk{good, good}, "ok"},
		"one":               {[]*desk{bad, gone, good}, "ok"},
		"later":             {[]*desk{bad, gone}, "retry"},
		"none, for good":    {[]*desk{bad, bad}, "refused"},
		"none, not for now": {[]*desk{gone}, "retry"},
	} {
		var urls []string
		for i, p := range c.peers {
			urls = append(urls, p.URL+"/"+string(rune('a'+i)))
		}
		good.calls.Store(0)
		err := alertmanager(t, AlertmanagerConfig{URLs: urls}).Send(t.Context(), alertMessage(t, outAlerts()))
		got := "ok"
		if errors.Is(err, outbox.ErrRefused) {
			got = "refused"
		} else if err != nil {
			got = "retry"
			if e, ok := errors.AsType[*outbox.RetryAfter](err); !ok || e.Wait != 9*time.Second {
				t.Errorf("%s: does not say how long to wait: %v", name, err)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s (%v), want %s", name, got, err, c.want)
		}
	}
}

// A receiver that takes alerts and drops the connection is told again: the same alert is the same by its labels.
func TestAlertmanagerDroppedAfterCommit(t *testing.T) {
	d := newDesk(t, func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			c.Close()
		}
	})
	a := alertmanager(t, AlertmanagerConfig{URLs: []string{d.URL}})
	for range 2 {
		if err := a.Send(t.Context(), alertMessage(t, outAlerts())); err == nil || errors.Is(err, outbox.ErrRefused) {
			t.Errorf("%v, want to try again", err)
		}
	}
}

// Calls to one Alertmanager do not overtake each other, resends neither: each asks what stands when it is its turn.
func TestAlertmanagerInTurn(t *testing.T) {
	var mu sync.Mutex
	inside := 0
	d := newDesk(t, func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		inside++
		if inside > 1 {
			t.Error("two calls at a time")
		}
		mu.Unlock()
		mu.Lock()
		inside--
		mu.Unlock()
	})
	a := alertmanager(t, AlertmanagerConfig{URLs: []string{d.URL}})
	var calls sync.WaitGroup
	for i := range 16 {
		calls.Go(func() {
			if i%2 == 0 {
				if err := a.Send(context.Background(), alertMessage(t, outAlerts())); err != nil {
					t.Error(err)
				}
			} else if n, err := a.Resend(context.Background(), outAlerts); err != nil || n != 3 {
				t.Error(n, err)
			}
		})
	}
	calls.Wait()
	before := d.calls.Load()
	if n, err := a.Resend(t.Context(), func() []OutAlert { return nil }); n != 0 || err != nil || d.calls.Load() != before {
		t.Errorf("nothing to say makes a call: %d, %v", n, err)
	}
}

func TestAlertmanagerCounts(t *testing.T) {
	good := newDesk(t, func(http.ResponseWriter, *http.Request) {})
	reg := prometheus.NewPedanticRegistry()
	m, err := NewAlertMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(good.URL, "http://")
	a, err := NewAlertmanager("am", AlertmanagerConfig{URLs: []string{good.URL, "http://127.0.0.1:1"}}, Options{Alerts: m})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Send(t.Context(), alertMessage(t, outAlerts())); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{{host, "taken"}, {"127.0.0.1:1", "failed"}} {
		if got := testutil.ToFloat64(m.alerts.WithLabelValues("am", c[0], c[1])); got != 3 {
			t.Errorf("%v: %v", c, got)
		}
	}
}

func TestAlertmanagerRefusesWhatIsNoAlert(t *testing.T) {
	a := alertmanager(t, AlertmanagerConfig{URLs: []string{"http://127.0.0.1:1"}})
	for _, m := range []outbox.Message{{ID: "m", Body: []byte(`[`)}, message(t, notice())} {
		if err := a.Send(t.Context(), m); !errors.Is(err, outbox.ErrRefused) {
			t.Errorf("%v, want it refused", err)
		}
	}
}

// Whatever a label says stays data.
func FuzzAlertmanager(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, int64(0), int64(1))
	}
	a := alertmanager(f, AlertmanagerConfig{URLs: []string{"http://127.0.0.1:1"}})
	f.Fuzz(func(t *testing.T, text string, starts, ends int64) {
		text = strings.ToValidUTF8(text, "?")
		if text == "" {
			text = "x"
		}
		al := OutAlert{Labels: map[string]string{"alertname": "A", "mountpoint": text}, Annotations: map[string]string{"summary": text},
			StartsAt: time.Unix(starts%1e10, 0), EndsAt: time.Unix(ends%1e10, 0)}
		out := a.render([]OutAlert{al}, noon)
		b, err := json.Marshal(out)
		if err != nil {
			t.Skip("a year that JSON has no form for")
		}
		var back []wireAlert
		if err := json.Unmarshal(b, &back); err != nil || len(back) != 1 || back[0].Labels["mountpoint"] != text || len(back[0].Labels) != 4 {
			t.Errorf("%v: %s", err, b)
		}
		if back[0].EndsAt.Before(back[0].StartsAt) {
			t.Errorf("ends %v before it starts %v", back[0].EndsAt, back[0].StartsAt)
		}
	})
}
