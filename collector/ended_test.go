package collector

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/rules/window"
)

// In the history series end when an agent leaves them out, when their asset is moved, at the time of its first report as
// another's, and when there is no such asset any more: nothing is seen twice, and nothing that is not there.
func TestHistoryKnowsWhatEnded(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	fewer := &window.Layout{ID: [32]byte{9}, Series: disk.Series[:1]}
	s.report("web1", 10*time.Second, 50)
	s.report("web1", 10*time.Second, 50, func(r *ingest.Report) {
		r.Blocks[0].Layout, r.Blocks[0].Values = fewer, r.Blocks[0].Values[:1]
	})
	s.report("web1", 10*time.Second, 50, func(r *ingest.Report) {
		r.Asset.Site = "york"
		r.Blocks[0].Layout, r.Blocks[0].Values = fewer, r.Blocks[0].Values[:1]
	})
	s.report("gone", 0, 50)
	own := s.newOwnSeries()
	own.metrics = s.reg
	s.at = s.at.Add(5 * time.Second)
	own.write(t.Context())
	flush(t, s.Collector)
	series := func(i int, instance, site string) string {
		lb := labels.NewBuilder(disk.Series[i])
		return lb.Set("job", "node").Set("instance", instance).Set("customer", "acme").Set("site", site).Labels().String()
	}
	for instance, want := range map[string][]string{
		"web1": {series(0, "web1", "london") + " 50 50 stale", series(0, "web1", "york") + " 50", series(1, "web1", "london") + " 100 stale"},
		"gone": {series(0, "gone", "london") + " 50 stale", series(1, "gone", "london") + " 100 stale"},
	} {
		var got []string
		for _, line := range kept(t, s.Collector, instance) {
			if strings.HasPrefix(line, `{__name__="node_`) {
				got = append(got, line)
			}
		}
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("of %s the history has\n%s, want\n%s", instance, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if _, there := s.window.Asset("gone"); there {
		t.Error("the window has an asset that the fleet has not")
	}
	if got := kept(t, s.Collector, "gone"); slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, `{__name__="up"`) }) {
		t.Errorf("there is an up of it: %v", got)
	}
}
