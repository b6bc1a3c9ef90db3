package sla_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

func TestTargetText(t *testing.T) {
	for _, test := range []struct {
		text string
		want sla.Target
		back string // where it is written otherwise than it was read
	}{
		{"15m,business", sla.Target{Mode: sla.Business, Within: 15 * time.Minute}, ""},
		{"24h,elapsed", sla.Target{Mode: sla.Elapsed, Within: 24 * time.Hour}, ""},
		{"8h,business,inform", sla.Target{Mode: sla.Business, Within: 8 * time.Hour, Inform: true}, ""},
		{"90m,elapsed", sla.Target{Mode: sla.Elapsed, Within: 90 * time.Minute}, "1h30m,elapsed"},
		{"1h0m30s,elapsed", sla.Target{Mode: sla.Elapsed, Within: time.Hour + 30*time.Second}, ""},
		{"2,business-days", sla.Target{Mode: sla.BusinessDays, Days: 2}, ""},
		{"2d,business-days", sla.Target{Mode: sla.BusinessDays, Days: 2}, "2,business-days"},
		{"10,business-days,inform", sla.Target{Mode: sla.BusinessDays, Days: 10, Inform: true}, ""},
		{"next-business-day", sla.Target{Mode: sla.NextBusinessDay}, ""},
		{"next-business-day,inform", sla.Target{Mode: sla.NextBusinessDay, Inform: true}, ""},
	} {
		t.Run(test.text, func(t *testing.T) {
			test.want.Clock = "response"
			got := target(t, "response", test.text)
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			back := test.back
			if back == "" {
				back = test.text
			}
			if got.Text() != back {
				t.Errorf("written as %q, want %q", got.Text(), back)
			}
		})
	}
}

// Each bad text is refused with an error that quotes what is wrong.
func TestTargetsThatAreNone(t *testing.T) {
	for text, says := range map[string]string{
		"":                     `no mode`,
		"8h":                   `no mode`,
		"business":             `no mode`,
		"8h,buisness":          `"buisness"`,
		"2d,business":          `"2d" is no duration`,
		"8h,business-days":     `"8h" is no number of days`,
		"2d,elapsed":           `"2d" is no duration`,
		"0s,business":          `from 1s`,
		"-1h,elapsed":          `from 1s`,
		"1500ms,elapsed":       `whole seconds`,
		"100000h,elapsed":      `ten years`,
		"0,business-days":      `1 to 2600`,
		"2601,business-days":   `1 to 2600`,
		"1,next-business-day":  `takes no`,
		"8h,business,notify":   `too many parts`,
		"inform":               `no mode`,
		"8h,business,inform, ": `too many parts`,
	} {
		t.Run(text, func(t *testing.T) {
			got, err := sla.ParseTarget("response", text)
			if err == nil {
				t.Fatalf("read as %+v", got)
			}
			if !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), `target "response"`) {
				t.Errorf("%v: expected the clock and %q", err, says)
			}
		})
	}
	for name, bad := range map[string]sla.Target{
		"no clock":                    {Mode: sla.Elapsed, Within: time.Hour},
		"no mode":                     {Clock: "a", Within: time.Hour},
		"days in business mode":       {Clock: "a", Mode: sla.Business, Within: time.Hour, Days: 1},
		"a duration in business days": {Clock: "a", Mode: sla.BusinessDays, Within: time.Hour, Days: 1},
		"a duration until next day":   {Clock: "a", Mode: sla.NextBusinessDay, Within: time.Hour},
	} {
		if bad.Validate() == nil {
			t.Errorf("%s: %+v is no fault", name, bad)
		}
	}
}

func TestDateText(t *testing.T) {
	for _, text := range []string{"2026-06-31", "2026-6-15", "15.06.2026", "2025-02-29", "2026-06-15 ", "0000-01-01", "x"} {
		if d, err := sla.ParseDate(text); err == nil {
			t.Errorf("%q is read as %v", text, d)
		} else if !strings.Contains(err.Error(), "2026-06-15") {
			t.Errorf("%q: %v: expected an example", text, err)
		}
	}
	if data, err := (sla.Date{Year: 2026, Month: 2, Day: 30}).MarshalText(); err == nil {
		t.Errorf("30 February is written as %s", data)
	}
	var d sla.Date
	if err := d.UnmarshalText(nil); err != nil || !d.IsZero() {
		t.Errorf("nothing is read as %v: %v", d, err)
	}
}

func TestSpanText(t *testing.T) {
	for _, text := range []string{"8:00-18:00", "18:00-08:00", "08:00-08:00", "08:00-24:01", "08:60-10:00", "08:00", "08:00–18:00", "+8:00-18:00", "08:00-18:00-20:00"} {
		if s, err := sla.ParseSpan(text); err == nil {
			t.Errorf("%q is read as %v", text, s)
		}
	}
	for _, bad := range []sla.Span{{From: -time.Hour, To: time.Hour}, {To: 25 * time.Hour}, {From: time.Second, To: time.Hour}} {
		if data, err := bad.MarshalText(); err == nil {
			t.Errorf("%v is written as %s", bad, data)
		}
	}
}

func TestDaysOfTheWeek(t *testing.T) {
	for text, want := range map[string][]time.Weekday{
		"mon":         {1},
		"mon-fri":     {1, 2, 3, 4, 5},
		"sat-mon":     {6, 0, 1},
		"mon-tue,sun": {1, 2, 0},
	} {
		if got, err := sla.ParseDays(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, want %v (%v)", text, got, want, err)
		}
	}
	for _, text := range []string{"", "Mon", "monday", "mon-", "-fri", "mon,mon", "mon-wed,tue", "mon-fri-sat", "mon;tue"} {
		if got, err := sla.ParseDays(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestWeekFaultsAreNamedAtOnce(t *testing.T) {
	_, err := sla.ParseWeek(map[string][]string{"mon-wed": {"08:00-18:00"}, "tue": {"9-17"}, "xyz": nil})
	for _, says := range []string{`tue is named by`, `"9-17"`, `"xyz" is not a day`} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: expected %q", err, says)
		}
	}
	if _, err := sla.ParseWeek(map[string][]string{"mon": {"12:00-18:00", "08:00-13:00"}}); err == nil || !strings.Contains(err.Error(), "overlaps") {
		t.Errorf("overlapping spans: %v", err)
	}
	var w sla.Week
	if err := json.Unmarshal([]byte(`{"mon": "08:00-18:00"}`), &w); err == nil {
		t.Error("a span where a list belongs is taken")
	}
}

func TestSpecFaultsAreNamedAtOnce(t *testing.T) {
	day := sla.Date{Year: 2026, Month: 5, Day: 1}
	bad := sla.Spec{
		Zone: "Europe/Londn", Region: "GB",
		Hours:  sla.Week{time.Monday: {{From: 8 * time.Hour, To: 7 * time.Hour}}},
		Add:    []sla.Day{{Date: sla.Date{Year: 2026, Month: 2, Day: 30}, Name: "none"}, {Date: day}},
		Remove: []sla.Day{{Date: day}},
		Overlays: []sla.Overlay{{
			From: day, Until: day.AddDays(-1),
		}, {Name: "cover", From: sla.Date{Month: 13}, Until: sla.Date{Year: 2026, Month: 6, Day: 31}, Hours: sla.Week{0: {{From: 0, To: 25 * time.Hour}}}}},
	}
	err := bad.Validate()
	for _, says := range []string{
		"name:", "zone:", "region:", "hours: mon", "add[0].date", "add[1].name", "remove[0].date",
		"overlays[0].name", "overlays[0].until", "overlays[0].hours", "overlays[1].from", "overlays[1].until", "overlays[1].hours",
	} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("expected a fault of %q in:\n%v", says, err)
		}
	}
	if _, err := sla.NewCalendar(bad); err == nil {
		t.Error("a calendar is made from it")
	}
	for _, zone := range []string{"", "Local", "UTC+5", "UTC-05:60", "UTC+15:00", "UTC 05:00", "EST5", "../etc/passwd"} {
		if err := (sla.Spec{Name: "a", Zone: zone, Always: true}).Validate(); err == nil {
			t.Errorf("zone %q is taken", zone)
		}
	}
	if err := (sla.Spec{Name: "a", Zone: "UTC"}).Validate(); err == nil || !strings.Contains(err.Error(), "hours:") {
		t.Errorf("a calendar without hours: %v", err)
	}
}

func TestZones(t *testing.T) {
	for zone, want := range map[string]int{"UTC": 0, "UTC-05:00": -5 * 3600, "UTC+05:45": 5*3600 + 45*60, "UTC+14:00": 14 * 3600, "Asia/Kathmandu": 5*3600 + 45*60} {
		cal := made(t, sla.Spec{Name: "a", Zone: zone, Always: true})
		if _, got := time.Unix(0, 0).Add(365 * 50 * 24 * time.Hour).In(cal.Zone()).Zone(); got != want {
			t.Errorf("%s is %d seconds east, want %d", zone, got, want)
		}
	}
}
