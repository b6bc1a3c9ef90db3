package collector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules/window"
)

// asked is what the next Ack to a host asks for.
func (s *stage) asked(asset string) string {
	var out []string
	for _, q := range s.pipeline.asks.ask(asset, s.at) {
		out = append(out, strings.TrimSpace(q.Name+" "+q.Argument))
	}
	return strings.Join(out, ", ")
}

// answer puts a bundle into a report.
func (s *stage) answer(name, argument, row string) func(*ingest.Report) {
	return func(r *ingest.Report) {
		t := ingest.Table{Kind: name, SampledAt: r.MadeAt, Columns: []string{"path"}}
		if row != "" {
			t.Rows = [][]string{{row}}
		} else {
			t.NoneBecause = "it is closed"
		}
		r.Bundles = append(r.Bundles, ingest.Bundle{Name: name, Argument: argument, Table: t})
	}
}

// gathered is how often a row was added to the ticket's timeline as evidence, and whether its record shows it.
func (s *stage) gathered(t ticket.Ticket, row string) (times int, shown bool) {
	s.t.Helper()
	s.view(func(tx store.Tx) error {
		timeline, err := tx.Timeline(t.ID)
		for _, e := range timeline {
			if e.Evidence == nil {
				continue
			}
			body, ok, err := tx.Evidence(t.ID, e.Seq)
			if err != nil || !ok {
				return err
			}
			if strings.Contains(string(body), row) {
				times++
			}
		}
		return err
	})
	return times, strings.Contains(text(s.record(t).Symptom), row)
}

const mounted = "disk_usage /srv, deleted_files /srv, kernel"

// The alert is pending, the agent is asked and answers; when the ticket opens, the answer stands in it.
func TestEvidenceIsAskedForWhilePending(t *testing.T) {
	s := newStage(t, testConfig(t, strings.Replace(diskRules, "< 0.1\n", "< 0.1\n    for: 1m\n", 1)))
	s.report("web1", 0, 50)
	if got := s.asked("web1"); got != "" {
		t.Errorf("asked for %q of a host that is well", got)
	}
	s.report("web1", 10*time.Second, 5)
	if len(s.tickets()) != 0 {
		t.Fatal("the rule fires at once; this test wants it pending")
	}
	if got := s.asked("web1"); got != mounted {
		t.Errorf("asked for %q, want %q", got, mounted)
	}
	if got := s.asked("web1") + s.asked("web2"); got != "" {
		t.Errorf("asked again at once, or another: %q", got)
	}
	s.report("web1", time.Second, 5, s.answer("disk_usage", "/srv", "/srv/big"))
	for range 30 {
		s.report("web1", 10*time.Second, 5)
	}
	tk := s.only()
	if n, shown := s.gathered(tk, "/srv/big"); n != 1 || !shown {
		t.Errorf("the answer was added %d times, shown %t:\n%s", n, shown, text(s.record(tk).Symptom))
	}
	if !strings.Contains(text(s.record(tk).Symptom), "the largest directories and files of /srv") {
		t.Errorf("record:\n%s", text(s.record(tk).Symptom))
	}
}

// The alert fires at once; the answer comes when the ticket has long been open, also an answer that says why not.
func TestEvidenceComesAfterOpening(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	s.report("web1", 0, 50)
	s.report("web1", 10*time.Second, 0.5)
	s.only()
	if got := s.asked("web1"); got != mounted {
		t.Errorf("asked for %q, want %q", got, mounted)
	}
	s.report("web1", time.Second, 0.5, s.answer("disk_usage", "/srv", "/srv/big"), s.answer("deleted_files", "/srv", ""))
	tk := s.only()
	if n, shown := s.gathered(tk, "/srv/big"); n != 1 || !shown {
		t.Errorf("the answer was added %d times, shown %t", n, shown)
	}
	if !strings.Contains(text(s.record(tk).Symptom), "none, because it is closed") {
		t.Errorf("record:\n%s", text(s.record(tk).Symptom))
	}
}

// What nobody asked for, what another host says and what a replay brings is not taken for an answer.
func TestEvidenceNobodyAskedFor(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	s.report("web1", 0, 0.5)
	tk := s.only()
	s.report("web1", time.Second, 0.5, s.answer("disk_usage", "/srv", "false-0")) // not asked yet
	if got := s.asked("web1"); got != mounted {
		t.Fatalf("asked for %q", got)
	}
	s.report("web1", time.Second, 0.5, s.answer("disk_usage", "/etc", "false-1"), s.answer("shell", "", "false-2"))
	s.report("web2", time.Second, 50, s.answer("disk_usage", "/srv", "false-3"))
	s.report("web1", time.Second, 0.5, s.answer("disk_usage", "/srv", "false-4"), func(r *ingest.Report) { // of yesterday
		r.Replayed, r.Bundles[0].Table.SampledAt = true, s.at.Add(-24*time.Hour)
	})
	if n, shown := s.gathered(tk, "false-"); n != 0 || shown {
		t.Errorf("%d answers that nobody asked for are in the ticket", n)
	}
	// One that a newer report overtook on the way is an answer all the same.
	s.report("web1", time.Second, 0.5, s.answer("disk_usage", "/srv", "true-1"), func(r *ingest.Report) { r.Replayed = true })
	if n, _ := s.gathered(s.only(), "true-1"); n != 1 {
		t.Errorf("an overtaken answer is %d times in the ticket", n)
	}
}

// An answer that could not be kept is not acknowledged: the agent sends the report again, and then it is in the ticket.
func TestEvidenceIsKeptBeforeItIsAcknowledged(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	s.report("web1", 0, 0.5)
	if got := s.asked("web1"); got != mounted {
		t.Fatalf("asked for %q", got)
	}
	whole := s.pipeline.store
	r := ingest.Report{Asset: window.Asset{Name: "web1", Customer: "acme", Site: "london"}, Epoch: 1, Sequence: 100, MadeAt: s.at, ReceivedAt: s.at}
	s.answer("disk_usage", "/srv", "/srv/big")(&r)
	for name, st := range map[string]store.Store{"full disk": fullStore{whole}, "broken store": brokenStore{whole}} {
		s.pipeline.store = st
		if err := s.sink.Apply(t.Context(), r); err == nil {
			t.Errorf("%s: an answer that was not kept is acknowledged", name)
		}
	}
	s.pipeline.store = whole
	for range 2 { // the second because the acknowledgement was lost
		if err := s.sink.Apply(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if n, shown := s.gathered(s.only(), "/srv/big"); n != 1 || !shown {
		t.Errorf("the answer was added %d times, shown %t", n, shown)
	}
}

// brokenStore cannot write, and nobody knows why.
type brokenStore struct{ store.Store }

func (brokenStore) Update(context.Context, string, func(store.Tx) error) error {
	return errors.New("input/output error")
}

func TestEvidenceIsAskedForAgainAFewTimes(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	s.report("web1", 0, 0.5)
	times := 0
	for range 100 {
		if strings.Contains(s.asked("web1"), "disk_usage") {
			times++
		}
		s.at = s.at.Add(10 * time.Second)
	}
	if times != askTries {
		t.Errorf("asked %d times without an answer, want %d", times, askTries)
	}
}

// An alert that comes and goes all day long does not fill its ticket.
func TestEvidenceOfAFlappingAlertIsBounded(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	for i := range 150 { // ten hours
		s.report("web1", 2*time.Minute, 0.5)
		if strings.Contains(s.asked("web1"), "disk_usage") {
			s.report("web1", time.Second, 0.5, s.answer("disk_usage", "/srv", fmt.Sprintf("/srv/big%d", i)))
		}
		s.report("web1", 2*time.Minute, 50)
	}
	total := 0
	for _, tk := range s.tickets() {
		n, _ := s.gathered(tk, "/srv/big")
		total += n
	}
	if total == 0 || total > 12 {
		t.Errorf("%d answers in ten hours, want about one an hour", total)
	}
}

func TestHelpful(t *testing.T) {
	for name, c := range map[string]struct {
		service, label, value, want string
	}{
		"file system":           {"filesystem /var", "mountpoint", "/var", "disk_usage /var, deleted_files /var, kernel"},
		"file system, no label": {"filesystem", "device", "sda", "kernel"},
		"memory":                {"memory", "", "", "processes, kernel"},
		"processor":             {"cpu", "", "", "processes"},
		"unit":                  {"nginx.service", "name", "nginx.service", "logs nginx.service"},
		"a name that is none":   {"shop", "name", "whatever", ""},
		"watched process":       {"shop", "groupname", "shop", "logs, kernel"},
		"connections":           {"connection tracking", "", "", "sockets"},
		"something else":        {"clock", "", "", ""},
	} {
		var got []string
		for _, q := range helpful(incident.Alert{Service: c.service, Labels: map[string]string{c.label: c.value}}) {
			got = append(got, strings.TrimSpace(q.Name+" "+q.Argument))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Every bundle that is ever asked for has a title, a part, and a name that an agent may know.
func TestBundlesHaveTitles(t *testing.T) {
	for _, row := range bundlesFor {
		if b, ok := bundleTitles[row.bundle]; !ok || b.title == "" || b.part == "" {
			t.Errorf("bundle %q has no title", row.bundle)
		}
	}
	var s asks
	s.want(incident.Alert{Asset: "web1", Service: "memory"}, time.Now()) // of silence, which no expression found
	if got := s.ask("web1", time.Now()); len(got) != 0 {
		t.Errorf("a silent host is asked for %v", got)
	}
	for i := range 10 * askMost {
		s.want(incident.Alert{Asset: "web1", Expr: "x", Service: "filesystem", Labels: map[string]string{"mountpoint": fmt.Sprint(i)}}, time.Now())
	}
	if got := []*wire.BundleRequest(s.ask("web1", time.Now())); len(got) > askMost {
		t.Errorf("%d are asked for at once", len(got))
	}
}
