package sla_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/sla"
)

// holidaysOf are the holidays of a year, day by day.
func holidaysOf(c *sla.Calendar, year int) []sla.Day {
	var out []sla.Day
	for d := (sla.Date{Year: year, Month: 1, Day: 1}); d.Year == year; d = d.AddDays(1) {
		if name, is := c.Holiday(d); is {
			out = append(out, sla.Day{Date: d, Name: name})
		}
	}
	return out
}

func TestHolidaysAsPublished(t *testing.T) {
	data, err := os.ReadFile("testdata/holidays.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		key, list, _ := strings.Cut(line, ":")
		region, year, _ := strings.Cut(key, " ")
		lines++
		t.Run(key, func(t *testing.T) {
			first, err := sla.ParseDate(year + "-01-01")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range holidaysOf(calendar(t, "Europe/London", region, "08:00-18:00"), first.Year) {
				text := d.Date.String()[len("2006-"):]
				if strings.HasSuffix(d.Name, " (substitute)") || strings.HasSuffix(d.Name, " (observed)") {
					text += "*"
				}
				got = append(got, text)
			}
			if want := strings.Fields(list); !slices.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
	if lines != 44 {
		t.Errorf("%d lists read, want 44", lines)
	}
}

func TestHolidayNames(t *testing.T) {
	for _, test := range []struct{ region, date, name string }{
		{"GB-ENG", "2026-12-28", "Boxing Day (substitute)"},
		{"GB-ENG", "2027-12-27", "Christmas Day (substitute)"},
		{"GB-ENG", "2027-12-28", "Boxing Day (substitute)"},
		{"GB-ENG", "2022-12-26", "Boxing Day"},
		{"GB-ENG", "2022-12-27", "Christmas Day (substitute)"},
		{"GB-ENG", "2012-06-05", "Diamond Jubilee"},
		{"GB-ENG", "2012-06-04", "Spring Bank Holiday"},
		{"GB-ENG", "2011-04-29", "Royal Wedding"},
		{"GB-ENG", "2022-09-19", "State Funeral of Queen Elizabeth II"},
		{"GB-SCT", "2023-01-02", "New Year's Day (substitute)"},
		{"GB-SCT", "2023-01-03", "2nd January (substitute)"},
		{"GB-SCT", "2026-06-15", "World Cup"},
		{"GB-SCT", "2024-12-02", "St Andrew's Day (substitute)"},
		{"GB-NIR", "2026-07-13", "Battle of the Boyne (substitute)"},
		{"US", "2027-12-31", "New Year's Day (observed)"},
		{"US", "2020-06-19", ""},
		{"GB-ENG", "2012-05-28", ""},
		{"GB-ENG", "2026-06-15", ""},
		{"GB-SCT", "2026-04-06", ""},
		{"GB-SCT", "2026-08-31", ""},
		{"none", "2026-12-25", ""},
	} {
		t.Run(test.region+" "+test.date, func(t *testing.T) {
			date, err := sla.ParseDate(test.date)
			if err != nil {
				t.Fatal(err)
			}
			name, is := calendar(t, "Europe/London", test.region, "08:00-18:00").Holiday(date)
			if name != test.name || is != (test.name != "") {
				t.Errorf("got %q and %v, want %q", name, is, test.name)
			}
		})
	}
}

// Whatever the year: the right number of days, sorted, each on a weekday and in its year, none twice.
func TestHolidaysOfEveryYear(t *testing.T) {
	least := map[string]int{"GB-ENG": 8, "GB-SCT": 9, "GB-NIR": 10, "US": 9, "none": 0}
	for _, region := range sla.Regions() {
		cal := calendar(t, "Europe/London", region, "08:00-18:00")
		for year := 1900; year <= 2199; year++ {
			days := holidaysOf(cal, year)
			if len(days) < least[region] || len(days) > least[region]+3 {
				t.Errorf("%s has %d holidays in %d", region, len(days), year)
			}
			for i, d := range days {
				if wd := int(d.Date.Weekday()); wd == 0 || wd == 6 || d.Date.Year != year || d.Name == "" {
					t.Errorf("%s in %d: %v %q", region, year, d.Date, d.Name)
				}
				if i > 0 && !days[i-1].Date.Before(d.Date) {
					t.Errorf("%s in %d: %v follows %v", region, year, d.Date, days[i-1].Date)
				}
			}
		}
	}
}
