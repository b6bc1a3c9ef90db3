package collector

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
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
	s.takenOver(s.only())
	live := s.evaluator.Alerts()[0]
	s.report("web1", time.Minute, 50)

	e := evaluate.Episode{Origin: live.Origin, Alert: live.Alert, Since: live.Alert.FiredAt.Add(10 * time.Second), Times: 1, WorstAt: s.at}
	e.Alert.ActiveAt, e.Alert.FiredAt, e.Alert.EndedAt = e.Since, e.Since, s.at
	u, err := s.pipeline.setApart(t.Context(), evaluate.Unseen{Asset: window.Asset{Name: "web1", Customer: "acme", Site: "london"}, From: e.Since, To: s.at, Found: []evaluate.Episode{e}})
	if err != nil || len(u.Found)+len(u.Live) != 0 {
		t.Errorf("found %+v, live %+v, %v; want nothing", u.Found, u.Live, err)
	}
}

// disks are the reports of a server of so many file systems, the others than the first of which have space.
func disks(n, first int) func(*ingest.Report) {
	layout := &window.Layout{ID: [32]byte{7}}
	for i := range n {
		for _, name := range []string{"avail", "size"} {
			layout.Series = append(layout.Series, labels.FromStrings("__name__", "node_filesystem_"+name+"_bytes", "mountpoint", fmt.Sprintf("/srv%02d", i)))
		}
	}
	return func(r *ingest.Report) {
		r.Blocks[0].Layout, r.Blocks[0].Values = layout, append(slices.Repeat(r.Blocks[0].Values, first), slices.Repeat([]float64{50, 100}, n-first)...)
	}
}

// merge merges a ticket into another.
func (s *stage) merge(taken, into ticket.Ticket) {
	s.t.Helper()
	_, err := s.pipeline.Act(s.t.Context(), taken.Number, ticket.Action{Verb: ticket.Merge, Other: &ticket.Ticket{Opening: ticket.Opening{Number: into.Number}}, Text: "x"}, person("eve"))
	if err != nil {
		s.t.Fatal(err)
	}
}

// takenOver merges a ticket into one that a person reported.
func (s *stage) takenOver(taken ticket.Ticket) {
	s.t.Helper()
	into, err := s.pipeline.Open(s.t.Context(), ticket.Birth{Title: "it is slow", Report: &ticket.Report{Customer: taken.Customer, Channel: "telephone"}}, person("eve"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.merge(taken, into)
}

// What a ticket counts and does not list was seen as well: while it fires, after it ended, when it fires once more, and
// where another ticket took over.
func TestWhatIsCountedIsNotTold(t *testing.T) {
	for name, c := range map[string]struct {
		merged, ended, again bool
		early                bool          // the ticket is merged before those that are counted come
		began, over          time.Duration // of what the review found: after it fired live
		found, live          int
	}{
		"it fires":                        {began: -time.Minute, over: time.Minute, live: 1},
		"in a ticket that was taken over": {merged: true, began: -time.Minute, over: time.Minute, live: 1},
		"its end":                         {ended: true, began: 10 * time.Second, over: time.Minute},
		"its end in one taken over":       {merged: true, ended: true, began: 10 * time.Second, over: time.Minute},
		"it fires again":                  {ended: true, again: true, began: 10 * time.Second, over: time.Minute},
		"it came to one that took over":   {early: true, began: -time.Minute, over: time.Minute, live: 1},
		"its end in one that took over":   {early: true, ended: true, began: 10 * time.Second, over: time.Minute},
		"another end":                     {ended: true, began: -time.Hour, over: -time.Minute, found: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, testConfig(t, diskRules))
			all := ticket.MaxAlerts + 5
			many := disks(all, all)
			s.report("web1", 0, 50, many)
			if c.early {
				s.report("web1", 5*time.Minute, 5, disks(all, 10))
				s.takenOver(s.only())
			}
			s.report("web1", 5*time.Minute, 5, many)
			fired := s.at
			if c.merged {
				s.takenOver(s.only())
			}
			var listed []string
			for _, tk := range s.tickets() {
				for _, a := range tk.Alerts {
					listed = append(listed, a.ID)
				}
			}
			standing := s.evaluator.Alerts()
			i := slices.IndexFunc(standing, func(a evaluate.Standing) bool {
				return !slices.Contains(listed, rules.AlertID(a.Origin.ID, a.Alert.Labels))
			})
			if c.ended {
				s.report("web1", time.Minute, 50, many)
			}
			if c.again {
				s.report("web1", time.Minute, 5, many)
			}

			e := evaluate.Episode{Origin: standing[i].Origin, Alert: standing[i].Alert, Since: fired.Add(c.began), Times: 1, WorstAt: fired}
			e.Alert.ActiveAt, e.Alert.FiredAt, e.Alert.EndedAt = e.Since, e.Since, fired.Add(c.over)
			u, err := s.pipeline.setApart(t.Context(), evaluate.Unseen{Asset: window.Asset{Name: "web1", Customer: "acme", Site: "london"}, From: e.Since, To: s.at, Found: []evaluate.Episode{e}})
			if err != nil || len(u.Found) != c.found || len(u.Live) != c.live {
				t.Errorf("found %d, live %d, %v; want %d, %d", len(u.Found), len(u.Live), err, c.found, c.live)
			}
		})
	}
}
