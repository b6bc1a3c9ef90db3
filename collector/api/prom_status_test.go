package api

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules/window"
)

// TestRuntimeInfo: a reload that was refused shows, with when what is in force was read.
func TestRuntimeInfo(t *testing.T) {
	good, at := true, noon.Add(-time.Hour)
	h := newHouse(t, func(o *Options) { o.Reloads = func() (bool, time.Time) { return good, at } })
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	says := func(want string) {
		t.Helper()
		want += fmt.Sprintf(`,"lastConfigTime":%q`, at.Format(time.RFC3339))
		if code, body := h.prom("viewer", "/status/runtimeinfo"); code != 200 || !strings.Contains(body, want) || !strings.Contains(body, fmt.Sprintf(`"hostname":%q`, host)) {
			t.Errorf("%d %s, want %s and the host's name", code, body, want)
		}
	}
	says(`"reloadConfigSuccess":true`)
	good = false
	says(`"reloadConfigSuccess":false`)
}

// TestChunksAreCounted: every series of the head has a chunk at least.
func TestChunksAreCounted(t *testing.T) {
	h := recordedHouse(t)
	if _, body := h.prom("viewer", "/status/tsdb"); strings.Contains(body, `"chunkCount":0`) || !strings.Contains(body, `"chunkCount":`) {
		t.Error(body)
	}
}

// TestTargetsOfSenders: what a program outside writes is a target of the job that it says.
func TestTargetsOfSenders(t *testing.T) {
	h := newHouse(t)
	l := &window.Layout{ID: sha256.Sum256([]byte("shop")), Series: []labels.Labels{labels.FromStrings("__name__", "orders", "job", "shop")}}
	h.window.Apply(window.Asset{Name: "erp1", Customer: "acme", Site: "berlin"}, noon, []window.Block{{Source: "remote shop", At: noon,
		Interval: 15 * time.Second, Status: window.OK, Layout: l, Values: []float64{1}}})
	for path, want := range map[string]string{
		"/targets?scrapePool=shop": `"labels":{"customer":"acme","instance":"erp1","job":"shop","site":"berlin"},"scrapePool":"shop"`,
		"/scrape_pools":            `{"scrapePools":["shop"]}`,
	} {
		if code, body := h.prom("viewer", path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %s", path, code, body, want)
		}
	}
}

// TestMetadataOfItsOwn: of its own metrics the collector knows type and help.
func TestMetadataOfItsOwn(t *testing.T) {
	reg := prometheus.NewRegistry()
	own := prometheus.NewSummary(prometheus.SummaryOpts{Name: "go_gc_duration_seconds", Help: "A summary of pauses."})
	reg.MustRegister(own)
	h := newHouse(t, func(o *Options) { o.Gatherer = reg })
	h.report("web1", noon, window.OK, map[string]float64{"go_gc_duration_seconds_sum": 1, "node_load1": 1})
	want := `{"go_gc_duration_seconds":[{"type":"summary","unit":"","help":"A summary of pauses."}],"node_load1":[{"type":"unknown","unit":"","help":""}],"up":`
	if code, body := h.prom("viewer", "/metadata"); code != 200 || !strings.Contains(body, want) {
		t.Errorf("%d %s, want %s", code, body, want)
	}
}

// TestSilencesRefuseInAText: who may not ask is told so in a text, as Alertmanager's clients read it, on every path.
func TestSilencesRefuseInAText(t *testing.T) {
	h := newHouse(t)
	for role, want := range map[fleet.Role]int{"": http.StatusUnauthorized, fleet.Sender: http.StatusForbidden} {
		for _, path := range []string{"/api/v2/silences", "/api/v2/silence/11111111-1111-4111-8111-111111111111"} {
			w := h.do(role, "GET", path, "")
			if body := w.Body.String(); w.Code != want || !strings.HasPrefix(body, `"`) || (w.Header().Get("WWW-Authenticate") == "") == (want == 401) {
				t.Errorf("%s as %q: %d %s %v", path, role, w.Code, body, w.Header())
			}
		}
	}
}
