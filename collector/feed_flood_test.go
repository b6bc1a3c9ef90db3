package collector

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// pods are alerts that are about no asset, those of the pods from first on, which fire until end.
func (f *feeding) pods(name string, first, n int, end time.Time) []map[string]any {
	var all []map[string]any
	for i := first; i < first+n; i++ {
		all = append(all, map[string]any{
			"labels":   map[string]string{"alertname": name, "pod": fmt.Sprintf("pod-%04d", i), "severity": "warning"},
			"startsAt": f.at.Add(-time.Minute).Format(time.RFC3339Nano), "endsAt": end.Format(time.RFC3339Nano),
		})
	}
	return all
}

// wantCrowd wants the one ticket to list as many alerts as it may, and to count the others.
func (f *feeding) wantCrowd(when string, state ticket.State, came, firing int) ticket.Ticket {
	f.t.Helper()
	tk := f.tickets()[0]
	if len(f.tickets()) != 1 || tk.State != state || len(tk.Alerts) != ticket.MaxAlerts || tk.Crowd.Came != came || tk.Crowd.Firing != firing {
		f.t.Fatalf("%s: %d tickets, the newest %s, %d alerts and %+v; want one, %s, %d, %d more of which %d fire", when, len(f.tickets()),
			tk.State, len(tk.Alerts), tk.Crowd, state, ticket.MaxAlerts, came, firing)
	}
	if events := f.events(tk); len(events) > 500 {
		f.t.Errorf("%s: %d events", when, len(events))
	}
	return tk
}

// TestAFloodOfOneTicketIsCounted: its ticket is bounded, counts right while they end, over a restart too, and is resolved
// when all of them have ended, listed or not.
func TestAFloodOfOneTicketIsCounted(t *testing.T) {
	cfg := testConfig(t, diskRules)
	f := newFeeding(t, cfg)
	const many = 700
	f.post(f.pods("PodCrashLooping", 0, many, f.at.Add(4*time.Minute))...)
	tk := f.wantCrowd("a flood", ticket.New, many-ticket.MaxAlerts, many-ticket.MaxAlerts)
	if newest := strings.Join(tk.Crowd.Newest, " "); !strings.Contains(newest, `pod="pod-0699"`) {
		t.Errorf("the newest are %s", newest)
	}
	f.post(f.pods("PodCrashLooping", 0, many, f.at.Add(4*time.Minute))...)
	before := f.wantCrowd("all sent again", ticket.New, many-ticket.MaxAlerts, many-ticket.MaxAlerts)
	if before.Seq != tk.Seq {
		t.Errorf("%d events became %d by resends", tk.Seq, before.Seq)
	}
	f.post(f.pods("PodCrashLooping", 400, 200, f.at)...)
	f.wantCrowd("some resolved", ticket.New, many-ticket.MaxAlerts, many-ticket.MaxAlerts-200)

	at := f.at
	f.Close()
	s := newStage(t, cfg)
	s.at = at
	f = &feeding{stage: s, sender: f.sender}
	f.feed.looked = f.at
	f.wantCrowd("after a restart", ticket.New, many-ticket.MaxAlerts, many-ticket.MaxAlerts-200)
	f.post(f.pods("PodCrashLooping", 500, 100, f.at.Add(4*time.Minute))...)
	f.wantCrowd("some again", ticket.New, many-ticket.MaxAlerts+100, many-ticket.MaxAlerts-100)
	f.post(f.pods("PodCrashLooping", 0, 400, f.at)...)
	f.wantCrowd("the first resolved", ticket.New, many-ticket.MaxAlerts+100, 200)
	f.post(f.pods("PodCrashLooping", 500, 199, f.at)...)
	f.wantCrowd("all but one", ticket.New, many-ticket.MaxAlerts+100, 1)
	f.post(f.pods("PodCrashLooping", 699, 1, f.at)...)
	f.wantCrowd("all", ticket.Done, many-ticket.MaxAlerts+100, 0)

	f.post(f.pods("PodCrashLooping", 300, 10, f.at.Add(4*time.Minute))...)
	tk = f.wantCrowd("some come back", ticket.Again, many-ticket.MaxAlerts+110, 10)
	f.post(f.pods("PodCrashLooping", 300, 10, f.at)...)
	f.wantCrowd("… and end", ticket.Done, many-ticket.MaxAlerts+110, 0)
	if folded, err := ticket.Fold(f.events(tk)); err != nil || folded.Crowd.Came != tk.Crowd.Came {
		t.Errorf("the timeline tells of %+v: %v", folded.Crowd, err)
	}
}

// TestAFloodThatFallsSilent: what lapses uncounted by name leaves the ticket to a person, until its sender says how it ended.
func TestAFloodThatFallsSilent(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	const more = 60
	f.post(f.pods("PodCrashLooping", 0, ticket.MaxAlerts+more, f.at.Add(4*time.Minute))...)
	f.pass(5 * time.Minute)
	tk := f.wantCrowd("lapsed", ticket.New, more, 0)
	if tk.Crowd.Unclear != more {
		t.Errorf("%d of %d are said to have ended otherwise than by recovery", tk.Crowd.Unclear, more)
	}
	if said := f.events(tk); !strings.Contains(said[len(said)-1].Text, "no alert fires any more, but") {
		t.Errorf("the last event says %q", said[len(said)-1].Text)
	}
	f.post(f.pods("PodCrashLooping", 1, ticket.MaxAlerts+more-1, f.at)...)
	f.wantCrowd("all but one said to be over", ticket.New, more, 0)
	f.post(f.pods("PodCrashLooping", 0, 1, f.at)...)
	f.wantCrowd("all said to be over", ticket.Done, more, 0)
}

// takenByAnother merges the one ticket into that of another alert.
func (f *feeding) takenByAnother() ticket.Ticket {
	f.t.Helper()
	taken := f.tickets()[0]
	f.post(f.pods("NodeDown", 0, 1, f.at.Add(4*time.Minute))...)
	all := f.tickets()
	into := all[slices.IndexFunc(all, func(tk ticket.Ticket) bool { return tk.ID != taken.ID })]
	f.merge(taken, into)
	return into
}

// TestAFloodThatIsTakenOver: the alerts that a ticket counts are on the one that took it over, which is resolved when they end.
func TestAFloodThatIsTakenOver(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	const many = ticket.MaxAlerts + 10
	f.post(f.pods("PodCrashLooping", 0, many, f.at.Add(4*time.Minute))...)
	into := f.takenByAnother()
	var list api.AlertList
	if err := json.Unmarshal(f.ask("GET", api.Root+"/alerts", f.reader, "", "").Body.Bytes(), &list); err != nil || len(list.Alerts) != many+1 {
		t.Fatalf("%d alerts, %v", len(list.Alerts), err)
	}
	for _, a := range list.Alerts {
		if a.Ticket == nil || a.Ticket.ID != into.ID {
			t.Fatalf("%s is on %+v, want %s", a.Labels["pod"], a.Ticket, into.Number)
		}
	}
	f.post(append(f.pods("PodCrashLooping", 0, many, f.at), f.pods("NodeDown", 0, 1, f.at)...)...)
	for _, tk := range f.tickets() {
		if tk.State.Open() || tk.ID == into.ID && tk.Crowd.Firing != 0 {
			t.Errorf("%s is %s with %+v", tk.Number, tk.State, tk.Crowd)
		}
	}
}

// TestWhatIsCountedEndsWithItsTicket: nothing is kept of the alerts that a ticket counted when it closes, however they ended.
func TestWhatIsCountedEndsWithItsTicket(t *testing.T) {
	for name, merged := range map[string]bool{"closed": false, "taken over by one that closed": true} {
		t.Run(name, func(t *testing.T) {
			f := newFeeding(t, testConfig(t, diskRules))
			f.post(f.pods("PodCrashLooping", 0, ticket.MaxAlerts+10, f.at.Add(4*time.Minute))...)
			tk := f.tickets()[0]
			if merged {
				tk = f.takenByAnother()
			}
			f.wantKept("they fire", 10)
			f.post(f.pods("PodCrashLooping", 0, ticket.MaxAlerts+5, f.at)...)
			f.pass(5 * time.Minute)
			f.wantKept("five lapsed, and the others recovered", 10)
			for _, verb := range []ticket.Verb{ticket.Resolve, ticket.Close} {
				if _, err := f.pipeline.Act(t.Context(), tk.Number, ticket.Action{Verb: verb, Text: "it is mended"}, person("eve")); err != nil {
					t.Fatal(err)
				}
			}
			f.wantKept("closed", 0)
			f.post(f.pods("PodCrashLooping", ticket.MaxAlerts, 10, f.at)...)
			f.wantKept("said to be over afterwards", 0)
		})
	}
}

// wantKept wants so many alerts that tickets count to be kept.
func (f *feeding) wantKept(when string, want int) {
	f.t.Helper()
	got, tickets := 0, f.tickets()
	f.view(func(tx store.Tx) error {
		for _, tk := range tickets {
			all, err := tx.CountedOf(tk.ID)
			if got += len(all); err != nil {
				return err
			}
		}
		return nil
	})
	if got != want {
		f.t.Errorf("%s: %d counted alerts are kept, want %d", when, got, want)
	}
}

// TestAlertsOfNoPlaceGoByTheirNames: two faults that map to nobody are two tickets, and one of a batch does not cost the
// other anything.
func TestAlertsOfNoPlaceGoByTheirNames(t *testing.T) {
	f := newFeeding(t, testConfig(t, diskRules))
	end := f.at.Add(4 * time.Minute)
	a, b := f.pods("DiskFull", 0, 3, end), f.pods("CertificateExpires", 0, 3, end)
	f.post(a[0], b[0], a[1], b[1], a[2], b[2])
	f.wantStates("two names", "new new")
	for _, tk := range f.tickets() {
		if len(tk.Alerts) != 3 || !strings.Contains(tk.Key, "external/"+tk.Alerts[0].Name) {
			t.Errorf("%s has %d alerts", tk.Key, len(tk.Alerts))
		}
	}
	f.post(f.pods("DiskFull", 0, 3, f.at)...)
	resolved, err := 0, f.store.View(context.Background(), func(tx store.Tx) error {
		_, open, err := tx.OpenTicket("operator external/CertificateExpires general")
		if !open {
			t.Error("the other name's ticket is not open")
		}
		return err
	})
	for _, tk := range f.tickets() {
		if !tk.State.Open() {
			resolved++
		}
	}
	if err != nil || resolved != 1 {
		t.Errorf("%d tickets are resolved: %v", resolved, err)
	}
}
