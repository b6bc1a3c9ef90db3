package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// Before the first report since the start an asset is what was known of it: when it was heard last, and that it is silent.
func TestAssetsAfterARestart(t *testing.T) {
	heard := noon.Add(-20 * time.Minute)
	silence := func(name string, lbls ...string) evaluate.Standing {
		return evaluate.Standing{Origin: incident.SilenceOrigin(name), Alert: rules.Alert{State: rules.Firing, Labels: labels.FromStrings(lbls...)}}
	}
	for name, tc := range map[string]struct {
		alerts   []evaluate.Standing
		reported bool
		state    AssetState
		at       time.Time
	}{
		"nothing is known yet":     {nil, false, Never, heard},
		"it is silent":             {[]evaluate.Standing{silence(incident.HostSilent, "instance", "web1")}, false, Silent, heard},
		"another is":               {[]evaluate.Standing{silence(incident.HostSilent, "instance", "db1")}, false, Never, heard},
		"its site is":              {[]evaluate.Standing{silence(incident.SiteSilent, "customer", "acme", "site", "berlin")}, false, Silent, heard},
		"another site is":          {[]evaluate.Standing{silence(incident.SiteSilent, "customer", "acme", "site", "paris")}, false, Never, heard},
		"everything is":            {[]evaluate.Standing{silence(incident.CollectorBlind)}, false, Silent, heard},
		"something else is wrong":  {[]evaluate.Standing{standing("web1", rules.Firing)}, false, Never, heard},
		"it has reported":          {nil, true, Reporting, noon},
		"it has, its site has not": {[]evaluate.Standing{silence(incident.SiteSilent, "customer", "acme", "site", "berlin")}, true, Reporting, noon},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.enrolled("a1", "web1")
			if err := h.fleet.KeepSeen(t.Context(), map[string]fleet.Seen{"a1": {HeardAt: heard, Interval: 10 * time.Second}}); err != nil {
				t.Fatal(err)
			}
			h.rules.alerts = tc.alerts
			if tc.reported {
				h.report("web1", noon, window.OK, map[string]float64{`node_load1`: 1})
			}
			var all AssetList
			if err := json.Unmarshal([]byte(h.want(200, "GET", Root+"/assets", "")), &all); err != nil {
				t.Fatal(err)
			}
			var one AssetDetail
			if err := json.Unmarshal([]byte(h.want(200, "GET", Root+"/assets/web1", "")), &one); err != nil {
				t.Fatal(err)
			}
			for _, a := range append(all.Assets, one.Asset) {
				if a.Name == "web1" && (a.State != tc.state || a.LastReportAt == nil || !a.LastReportAt.Equal(tc.at) || a.IntervalSeconds == 0) {
					t.Errorf("%s, last report %v, every %v s; want %s, %v", a.State, a.LastReportAt, a.IntervalSeconds, tc.state, tc.at)
				}
			}
		})
	}
}

// enrolled is agent, with the asset that it enrolled.
func (h *house) enrolled(id, asset string) {
	h.t.Helper()
	if err := h.store.Update(h.t.Context(), "", func(tx store.Tx) error {
		return tx.PutAsset(fleet.Asset{Name: asset, Customer: "acme", Site: "berlin", Kind: fleet.Host, Agent: id})
	}); err != nil {
		h.t.Fatal(err)
	}
	h.agent(id, asset)
}
