package ticket

import (
	"strings"
	"testing"
	"time"
)

// A report is in the record from the beginning: when it came and how, what was said, and who is affected.
func TestAReportBringsItsRecord(t *testing.T) {
	received := monday.Add(-10 * time.Minute)
	for name, tc := range map[string]struct {
		change func(*Birth)
		users  string
		source string
	}{
		"said":         {func(b *Birth) { b.Report.Said, b.Report.Users = "it prints blank pages", "all of accounting" }, "all of accounting", "carol, recorded"},
		"as a fact":    {func(b *Birth) { b.Report.Said = "it prints blank pages"; b.Facts = Facts{factUsers: "reception"} }, "reception", "carol, recorded"},
		"nobody knows": {func(b *Birth) { b.Report.Said, b.Report.Users = "it prints blank pages", "unknown" }, "", "carol, recorded"},
		"by nobody":    {func(b *Birth) { b.Report.Said, b.Report.By = "it prints blank pages", "" }, "", "watchbill, recorded"},
	} {
		t.Run(name, func(t *testing.T) {
			s := begins(t, desk(t), monday, func(b *Birth) {
				reported("email", received)(b)
				b.Title = "cannot print"
				tc.change(b)
			})
			r, err := AssembleRecord(s.timeline, func(int) ([]byte, bool, error) { return nil, false, nil })
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Time.Entries) != 1 || !strings.HasPrefix(r.Time.Entries[0].Text, "received 2026-06-01T07:50:00Z over email") || r.Time.Entries[0].Source != tc.source {
				t.Errorf("time: %+v", r.Time)
			}
			if len(r.Symptom.Entries) != 2 || r.Symptom.Entries[0].Text != "cannot print" || r.Symptom.Entries[1].Text != "it prints blank pages" {
				t.Errorf("symptoms: %+v", r.Symptom)
			}
			if got := s.ticket.Parts[PartUsers]; got != tc.users || len(r.Users.Entries) > 0 != (tc.users != "") {
				t.Errorf("affected users: %q, %+v", got, r.Users)
			}
			if s.ticket.Parts[PartErrors] != "" || s.ticket.Parts[PartActions] != "" {
				t.Errorf("it says what nobody said: %v", s.ticket.Parts)
			}
			s.verify()
		})
	}
	detected := begins(t, desk(t), monday, nil)
	if detected.count(PartGiven, "") != 0 {
		t.Error("what monitoring found is told as if somebody had reported it")
	}
}
