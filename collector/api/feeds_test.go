package api

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/rules/window"
)

// told is what a sender says of metrics.
type told map[string]ingest.RemoteMetadata

func (told) State() ingest.RemoteState                    { return ingest.RemoteState{} }
func (m told) Metadata() map[string]ingest.RemoteMetadata { return m }

// TestMetadataOfSenders: what senders of remote write say of metrics is answered under the metric's name, of those alone of
// which who asks sees series.
func TestMetadataOfSenders(t *testing.T) {
	h := newHouse(t, func(o *Options) {
		o.Feeds = told{
			"jobs_total":   {Type: model.MetricTypeCounter, Help: "Jobs."},
			"took_seconds": {Type: model.MetricTypeHistogram, Help: "Time.", Unit: "seconds"},
			"unseen":       {Type: model.MetricTypeGauge, Help: "Nobody writes it."},
		}
	})
	h.report("web1", noon.Add(-2*time.Second), window.OK, map[string]float64{"jobs_total": 1, "took_seconds_bucket": 1, "took_seconds_count": 1,
		"took_seconds_sum": 1, "own_count": 1})
	const want = `"jobs_total":[{"type":"counter","unit":"","help":"Jobs."}]`
	const family = `"took_seconds":[{"type":"histogram","unit":"seconds","help":"Time."}]`
	_, body := h.prom("viewer", "/metadata")
	for _, w := range []string{want, family, `"own_count":[{"type":"unknown"`} {
		if !strings.Contains(body, w) {
			t.Errorf("%s lacks %s", body, w)
		}
	}
	if strings.Contains(body, "unseen") || strings.Contains(body, "took_seconds_") {
		t.Errorf("%s", body)
	}
	if _, body := h.prom("viewer", "/metadata?metric=took_seconds"); !strings.Contains(body, "{"+family+"}") {
		t.Errorf("asked for one metric: %s", body)
	}
}

// TestEnginesAreForWhoSeesAll: where samples are written on to is the house's, not a client's.
func TestEnginesAreForWhoSeesAll(t *testing.T) {
	h := newHouse(t)
	client := h.add(fleet.NewOperator{Name: "the-client", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "shop"}, By: "test"})
	if body := h.do(fleet.Viewer, "GET", Root+"/status", "").Body.String(); !strings.Contains(body, "mimir.example") {
		t.Errorf("who sees all is answered %s", body)
	}
	if body := h.do(client, "GET", Root+"/status", "").Body.String(); strings.Contains(body, "mimir") || !strings.Contains(body, `"remote_write":[]`) {
		t.Errorf("a client is answered %s", body)
	}
}
