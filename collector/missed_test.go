package collector

import (
	"slices"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules/window"
)

// An alert that began unseen, went on when its asset was back, and was over before the review had looked: it has its
// ticket. One that was over before it fired live again has not.
func TestWhatFiredLiveAsWellIsNotTold(t *testing.T) {
	for name, c := range map[string]struct {
		began time.Duration // after the live alert fired
		ended time.Duration // so, too; zero: the review's last report still had it
		again bool          // it has fired live once more since
		want  []string
	}{
		"still there in the last report": {-time.Minute, 0, false, []string{"/srv is filling on web1"}},
		"ended with the live one":        {-time.Minute, 20 * time.Second, false, []string{"/srv is filling on web1"}},
		"over before it fired live":      {-time.Minute, -30 * time.Second, false, []string{"/srv is filling on web1", "While we could not see web1"}},
		"came again from its middle":     {10 * time.Second, 20 * time.Second, false, []string{"/srv is filling on web1"}},
		"that was not the last":          {10 * time.Second, 20 * time.Second, true, []string{"/srv is filling on web1"}},
		"in its middle, and unseen":      {5 * time.Second, 10 * time.Second, false, []string{"/srv is filling on web1", "While we could not see web1"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, testConfig(t, diskRules))
			s.report("web1", 0, 50)
			s.report("web1", 5*time.Minute, 5)
			live := s.evaluator.Alerts()[0]
			began := live.Alert.FiredAt.Add(c.began)
			s.report("web1", 20*time.Second, 50)
			if c.again {
				s.report("web1", time.Minute, 5)
			}

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

// What fired live was seen, also where another ticket took over the one of its incident.
func TestWhatFiredInATicketThatTookOverIsNotTold(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	s.report("web1", 0, 50)
	s.report("web1", 5*time.Minute, 5)
	taken := s.only()
	into, err := s.pipeline.Open(t.Context(), ticket.Birth{Title: "it is slow", Report: &ticket.Report{Customer: "acme", Channel: "telephone"}}, person("eve"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.pipeline.Act(t.Context(), taken.Number, ticket.Action{Verb: ticket.Merge, Other: &ticket.Ticket{Opening: ticket.Opening{Number: into.Number}}, Text: "x"}, person("eve")); err != nil {
		t.Fatal(err)
	}
	live := s.evaluator.Alerts()[0]
	s.report("web1", time.Minute, 50)

	e := evaluate.Episode{Origin: live.Origin, Alert: live.Alert, Since: live.Alert.FiredAt.Add(10 * time.Second), Times: 1, WorstAt: s.at}
	e.Alert.ActiveAt, e.Alert.FiredAt, e.Alert.EndedAt = e.Since, e.Since, s.at
	u, err := s.pipeline.setApart(t.Context(), evaluate.Unseen{Asset: window.Asset{Name: "web1", Customer: "acme", Site: "london"}, From: e.Since, To: s.at, Found: []evaluate.Episode{e}})
	if err != nil || len(u.Found)+len(u.Live) != 0 {
		t.Errorf("found %+v, live %+v, %v; want nothing", u.Found, u.Live, err)
	}
}
