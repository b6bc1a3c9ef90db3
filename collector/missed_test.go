package collector

import (
	"slices"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules/window"
)

// An alert that began unseen, went on when its asset was back, and was over before the review had looked: it has its
// ticket. One that was over before it fired live again has not.
func TestWhatFiredLiveAsWellIsNotTold(t *testing.T) {
	for name, c := range map[string]struct {
		ended time.Duration // after the live alert fired; zero: the review's last report still had it
		want  []string
	}{
		"still there in the last report": {0, []string{"/srv is filling on web1"}},
		"ended with the live one":        {10 * time.Second, []string{"/srv is filling on web1"}},
		"over before it fired live":      {-30 * time.Second, []string{"/srv is filling on web1", "While we could not see web1"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, testConfig(t, diskRules))
			s.report("web1", 0, 50)
			s.report("web1", 5*time.Minute, 5)
			live := s.evaluator.Alerts()[0]
			began := live.Alert.FiredAt.Add(-time.Minute)
			s.report("web1", 10*time.Second, 50)

			e := evaluate.Episode{Origin: live.Origin, Alert: live.Alert, Since: began, Times: 1, WorstAt: began}
			e.Alert.ActiveAt, e.Alert.FiredAt = began, began
			if c.ended != 0 {
				e.Alert.EndedAt = live.Alert.FiredAt.Add(c.ended)
			}
			u := evaluate.Unseen{Asset: window.Asset{Name: "web1", Customer: "acme", Site: "london"}, From: began, To: live.Alert.FiredAt, Reports: 6, Found: []evaluate.Episode{e}}
			tell, err := s.pipeline.missed(t.Context(), u)
			if err != nil {
				t.Fatal(err)
			}
			if err := tell(t.Context(), func(store.Tx) error { return nil }); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, tk := range s.tickets() {
				got = append(got, tk.Title)
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("tickets %q, want %q", got, c.want)
			}
		})
	}
}
