package route

import (
	"testing"
	"time"
)

func TestQuietHours(t *testing.T) {
	night := QuietHours{Zone: "Europe/London", From: "22:00", To: "07:00", Priorities: []string{"P2", "P3"}}
	short := QuietHours{Zone: "Europe/London", From: "00:30", To: "01:30", Priorities: []string{"P3"}}
	for _, tt := range []struct {
		name     string
		q        QuietHours
		priority string
		now      string
		over     string
	}{
		{"before", night, "P3", "2026-01-10T21:59:59Z", ""},
		{"at the beginning", night, "P3", "2026-01-10T22:00:00Z", "2026-01-11T07:00:00Z"},
		{"past midnight", night, "P2", "2026-01-11T06:59:59Z", "2026-01-11T07:00:00Z"},
		{"at the end", night, "P2", "2026-01-11T07:00:00Z", ""},
		{"another priority", night, "P1", "2026-01-11T03:00:00Z", ""},
		{"the night that loses an hour", night, "P3", "2026-03-28T22:30:00Z", "2026-03-29T06:00:00Z"},
		{"the night that gains one", night, "P3", "2026-10-24T22:30:00Z", "2026-10-25T07:00:00Z"},
		{"an end that the clocks skip", short, "P3", "2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z"},
		{"an end that comes twice is the first", short, "P3", "2026-10-25T00:15:00Z", "2026-10-25T00:30:00Z"},
		{"not quiet when it comes again", short, "P3", "2026-10-25T01:15:00Z", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q, err := tt.q.ready()
			if err != nil {
				t.Fatal(err)
			}
			got := q.over(tt.priority, at(t, tt.now))
			if want := at(t, tt.over); !got.Equal(want) {
				t.Errorf("over at %v, want %v", got, want)
			}
		})
	}
}

// at reads an instant; empty is none.
func at(t testing.TB, text string) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	got, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return got.UTC()
}

// FuzzQuietHours: what is accepted is exactly HH:MM, and quiet hours are over within a day and after now.
func FuzzQuietHours(f *testing.F) {
	f.Add("22:00", "07:00", "Europe/London", int64(1774650600))
	f.Add("00:00", "23:59", "America/New_York", int64(1762063200))
	f.Add("7:00", "24:00", "UTC-05:00", int64(0))
	f.Add("01:30", "01:30", "Australia/Lord_Howe", int64(1))
	f.Fuzz(func(t *testing.T, from, to, zone string, unix int64) {
		q := QuietHours{Zone: zone, From: from, To: to, Priorities: []string{"P3"}}
		ready, err := q.ready()
		if (err == nil) != (q.Validate() == nil) {
			t.Fatalf("Validate and use disagree: %v", err)
		}
		if err != nil {
			return
		}
		for _, text := range []string{from, to} {
			d, _ := parseWall(text)
			if got := time.Unix(0, 0).UTC().Add(d).Format("15:04"); got != text {
				t.Fatalf("%q was read as %s", text, got)
			}
		}
		if unix < -1e10 || unix > 1e10 {
			return
		}
		now := time.Unix(unix, 0)
		if over := ready.over("P3", now); !over.IsZero() && (!over.After(now) || over.Sub(now) > 50*time.Hour) {
			t.Fatalf("at %v quiet until %v", now.UTC(), over)
		}
	})
}
