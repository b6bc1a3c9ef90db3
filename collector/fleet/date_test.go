package fleet

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDateValid(t *testing.T) {
	for in, want := range map[Date]bool{
		"2026-01-01": true, "2024-02-29": true, "2026-12-31": true, "0001-01-01": true,
		"": false, "2026-02-29": false, "2026-13-01": false, "2026-00-10": false, "2026-04-31": false, "2026-1-1": false,
		"01.01.2026": false, "2026-01-01T00:00:00Z": false, " 2026-01-01": false, "20260101": false, "+2026-01-01": false,
	} {
		if in.Valid() != want {
			t.Errorf("%q is valid: %v, want %v", in, in.Valid(), want)
		}
	}
}

// TestDateStart: where the clocks skip midnight the day begins when they have, where they show it twice at the first.
func TestDateStart(t *testing.T) {
	for _, test := range []struct {
		name, zone string
		day        Date
		want       string // in UTC
	}{
		{"plain", "Europe/London", "2026-01-01", "2026-01-01T00:00:00Z"},
		{"summer", "Europe/London", "2026-07-01", "2026-06-30T23:00:00Z"},
		{"fixed offset", "UTC-05:00", "2026-07-01", "2026-07-01T05:00:00Z"},
		{"half an hour", "Asia/Kolkata", "2026-07-01", "2026-06-30T18:30:00Z"},
		{"midnight skipped", "America/Havana", "2026-03-08", "2026-03-08T05:00:00Z"},
		{"midnight skipped, east of Greenwich", "Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z"},
		{"midnight twice", "America/Havana", "2026-11-01", "2026-11-01T04:00:00Z"},
		{"before midnight twice", "Africa/Cairo", "2026-10-30", "2026-10-29T22:00:00Z"},
		{"day that the zone skipped", "Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"},
		{"no day", "UTC", "2026-02-30", "0001-01-01T00:00:00Z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			zone, err := LoadZone(test.zone)
			if err != nil {
				t.Fatal(err)
			}
			if got := test.day.Start(zone).UTC().Format(time.RFC3339); got != test.want {
				t.Errorf("%s begins at %s in %s, want %s", test.day, got, test.zone, test.want)
			}
		})
	}
}

// TestDateStartIsFirst: for every day and zone the start is on that day and the moment before it is not.
func TestDateStartIsFirst(t *testing.T) {
	zones := []string{"Europe/London", "America/New_York", "America/Havana", "Africa/Cairo", "Asia/Beirut", "America/Sao_Paulo",
		"America/Asuncion", "Australia/Lord_Howe", "Pacific/Chatham", "Atlantic/Azores", "Asia/Tehran", "UTC-05:00", "UTC+05:45"}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := LoadZone(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		day := Date(time.Date(1990, 1, rapid.IntRange(1, 20000).Draw(t, "day"), 0, 0, 0, 0, time.UTC).Format(time.DateOnly))
		start := day.Start(zone)
		if DateOf(start, zone) != day || DateOf(start.Add(-1), zone) >= day {
			t.Fatalf("%s in %s begins at %s, after %s", day, zone, start, start.Add(-1))
		}
		if next := day.Next(); next <= day || !start.Before(next.Start(zone)) {
			t.Fatalf("after %s comes %s", day, next)
		}
	})
}

func TestLoadZone(t *testing.T) {
	for name, want := range map[string]string{
		"": "UTC", "UTC": "UTC", "Europe/London": "Europe/London", "UTC-05:00": "UTC-05:00", "UTC+05:30": "UTC+05:30",
		"Local": "", "UTC-5": "", "GMT+5 or so": "", "../etc/passwd": "", "UTC-05:00:00": "",
	} {
		zone, err := LoadZone(name)
		if (err == nil) != (want != "") || err == nil && zone.String() != want {
			t.Errorf("zone %q: %v, %v, want %q", name, zone, err, want)
		}
	}
	zone, err := LoadZone("UTC-05:00")
	if err != nil {
		t.Fatal(err)
	}
	for _, month := range []time.Month{1, 7} {
		if _, offset := time.Date(2026, month, 1, 0, 0, 0, 0, zone).Zone(); offset != -5*3600 {
			t.Errorf("offset in month %d: %d", month, offset)
		}
	}
}
