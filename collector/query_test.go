package collector

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/policy"
)

// queryOf asks Prometheus' API as somebody on this host does.
func (c *Collector) queryOf(t *testing.T, path string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, api.PrometheusRoot+path, nil)
	r.Host = c.WebAddress()
	w := httptest.NewRecorder()
	c.api.Handler().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// TestQueryReadsHistoryOrWindow: Prometheus' API reads the history, and the window where that is off; the collector's own
// figures have the queries'.
func TestQueryReadsHistoryOrWindow(t *testing.T) {
	for _, on := range []bool{true, false} {
		cfg := testConfig(t, diskRules)
		cfg.History.Retention = policy.Duration(2 * time.Hour)
		if !on {
			cfg.History.Retention = 0
		}
		s := newStage(t, cfg)
		code, body := s.queryOf(t, "/query?query=vector(1)%2Babsent(up)")
		if code != 200 || !strings.Contains(body, `"2"]`) || strings.Contains(body, "history is off") == on {
			t.Errorf("history on: %v: answered %d %s", on, code, body)
		}
		families, err := s.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range families {
			found = found || f.GetName() == "watchbill_query_duration_seconds" && f.GetMetric()[0].GetHistogram().GetSampleCount() == 1
		}
		if !found {
			t.Error("the query is not in the collector's figures")
		}
	}
}

// TestAReloadAppliesQueryLimits: they hold with the next query, and wrong ones are refused by name.
func TestAReloadAppliesQueryLimits(t *testing.T) {
	samples := 4321
	s, _ := reloaded(t, func(c *Config) { c.Query.MaxSamples = samples })
	if _, err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, body := s.queryOf(t, "/status/flags"); !strings.Contains(body, `"query.max-samples":"4321"`) {
		t.Errorf("after the reload: %s", body)
	}
	samples = 1
	if _, err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "query.max_samples: must be at least 1000, got 1") {
		t.Errorf("wrong limits: %v", err)
	}
}
