package sla_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

func explained(c sla.Clock, cal *sla.Calendar, until time.Time) string {
	var b strings.Builder
	for _, i := range c.Explain(cal, until) {
		mark := "-"
		if i.Counted {
			mark = "+"
		}
		fmt.Fprintf(&b, "%s %s %s %s\n", i.From.Format("01-02 15:04:05"), i.To.Format("01-02 15:04:05"), mark, i.Reason)
	}
	return b.String()
}

func TestExplanations(t *testing.T) {
	erp := made(t, sla.Spec{Name: "erp", Zone: "Europe/London", Region: "GB-ENG", Hours: week(t, map[string][]string{"mon-fri": {"08:00-18:00"}})})
	mixed := made(t, sla.Spec{
		Name: "mixed", Zone: "Europe/London", Region: "GB-ENG",
		Hours: week(t, map[string][]string{"mon,tue,thu": {"09:00-12:00", "13:00-17:00"}, "fri": {"09:00-12:00"}}),
		Overlays: []sla.Overlay{
			{Name: "year-end cover", From: sla.Date{Year: 2026, Month: 12, Day: 25}, Until: sla.Date{Year: 2027, Month: 1, Day: 3}, Hours: week(t, map[string][]string{"mon-fri": {"10:00-11:00"}}), Holidays: true},
		},
	})
	always := made(t, sla.Spec{Name: "always", Zone: "Europe/London", Always: true})
	for _, test := range []struct {
		name, target string
		cal          *sla.Calendar
		start        string
		pause        [2]string
		want         string
	}{
		{name: "over Christmas", target: "15m,business", cal: erp, start: "2026-12-24 17:50", want: `
12-24 17:50:00 12-24 18:00:00 + open 08:00-18:00 Mon–Fri
12-24 18:00:00 12-25 00:00:00 - closed: after hours
12-25 00:00:00 12-26 00:00:00 - holiday: Christmas Day
12-26 00:00:00 12-28 00:00:00 - weekend
12-28 00:00:00 12-29 00:00:00 - holiday: Boxing Day (substitute)
12-29 00:00:00 12-29 08:00:00 - closed: before hours
12-29 08:00:00 12-29 08:05:00 + open 08:00-18:00 Mon–Fri
`},
		{name: "a night is one interval", target: "2h,business", cal: erp, start: "2026-11-17 17:00:01", want: `
11-17 17:00:01 11-17 18:00:00 + open 08:00-18:00 Mon–Fri
11-17 18:00:00 11-18 08:00:00 - closed: after hours
11-18 08:00:00 11-18 09:00:01 + open 08:00-18:00 Mon–Fri
`},
		{name: "waiting", target: "2h,business", cal: erp, start: "2026-11-17 09:00", pause: [2]string{"2026-11-17 10:00", "2026-11-18 11:00"}, want: `
11-17 09:00:00 11-17 10:00:00 + open 08:00-18:00 Mon–Fri
11-17 10:00:00 11-18 11:00:00 - waiting: for the customer
11-18 11:00:00 11-18 12:00:00 + open 08:00-18:00 Mon–Fri
`},
		{name: "overlay, breaks, a day without hours", target: "7h,business", cal: mixed, start: "2026-12-24 16:00", want: `
12-24 16:00:00 12-24 17:00:00 + open 13:00-17:00 Mon–Tue, Thu
12-24 17:00:00 12-25 00:00:00 - closed: after hours
12-25 00:00:00 12-25 10:00:00 - holiday: Christmas Day
12-25 10:00:00 12-25 11:00:00 + overlay: year-end cover
12-25 11:00:00 12-26 00:00:00 - holiday: Christmas Day
12-26 00:00:00 12-28 00:00:00 - weekend
12-28 00:00:00 12-28 10:00:00 - holiday: Boxing Day (substitute)
12-28 10:00:00 12-28 11:00:00 + overlay: year-end cover
12-28 11:00:00 12-29 00:00:00 - holiday: Boxing Day (substitute)
12-29 00:00:00 12-29 09:00:00 - closed: before hours
12-29 09:00:00 12-29 12:00:00 + open 09:00-12:00 Mon–Tue, Thu–Fri
12-29 12:00:00 12-29 13:00:00 - closed: between hours
12-29 13:00:00 12-29 14:00:00 + open 13:00-17:00 Mon–Tue, Thu
`},
		{name: "a day of the week without hours", target: "1,business-days", cal: mixed, start: "2026-11-17 17:00", want: `
11-17 17:00:00 11-18 00:00:00 - closed: after hours
11-18 00:00:00 11-19 00:00:00 - closed: no hours on Wednesday
11-19 00:00:00 11-19 09:00:00 - closed: before hours
11-19 09:00:00 11-19 12:00:00 + open 09:00-12:00 Mon–Tue, Thu–Fri
11-19 12:00:00 11-19 13:00:00 - closed: between hours
11-19 13:00:00 11-19 17:00:00 + open 13:00-17:00 Mon–Tue, Thu
11-19 17:00:00 11-20 09:00:00 - closed: after hours
`},
		{name: "elapsed", target: "48h,elapsed", cal: erp, start: "2026-12-24 17:50", want: `
12-24 17:50:00 12-26 17:50:00 + every hour counts (elapsed)
`},
		{name: "24x7 over the clocks going forward", target: "48h,business", cal: always, start: "2026-03-28 12:00", want: `
03-28 12:00:00 03-30 13:00:00 + always open (24x7)
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := begin(t, test.target, test.cal, at(t, test.start), 0)
			if test.pause[0] != "" {
				var err error
				if c, err = c.Pause(test.cal, at(t, test.pause[0]), "for the customer"); err != nil {
					t.Fatal(err)
				}
				if c, err = c.Resume(test.cal, at(t, test.pause[1])); err != nil {
					t.Fatal(err)
				}
			}
			if got := "\n" + explained(c, test.cal, time.Time{}); got != test.want {
				t.Errorf("got%s\nwant%s", got, test.want)
			}
		})
	}
}

func TestExplainingPartsAndMore(t *testing.T) {
	cal, c := day(t)
	paused, err := c.Pause(cal, at(t, "2026-11-16 10:00"), "for the customer")
	if err != nil {
		t.Fatal(err)
	}
	resumed, err := paused.Resume(cal, at(t, "2026-11-17 10:00"))
	if err != nil {
		t.Fatal(err)
	}
	first := "11-16 09:00:00 11-16 10:00:00 + open 08:00-18:00 Mon–Fri\n"
	for _, test := range []struct {
		name  string
		c     sla.Clock
		until string
		want  string
	}{
		{"a part", c, "2026-11-16 10:00", first},
		{"beyond the due instant", c, "2026-11-16 19:00", "11-16 09:00:00 11-16 18:00:00 + open 08:00-18:00 Mon–Fri\n11-16 18:00:00 11-16 19:00:00 - closed: after hours\n"},
		{"paused, up to the pause", paused, "", first},
		{"paused, up to an instant", paused, "2026-11-16 12:00", first + "11-16 10:00:00 11-16 12:00:00 - waiting: for the customer\n"},
		{"up to the middle of a pause that ended", resumed, "2026-11-16 12:00", first + "11-16 10:00:00 11-16 12:00:00 - waiting: for the customer\n"},
		{"up to an instant before a pause", resumed, "2026-11-16 09:30", "11-16 09:00:00 11-16 09:30:00 + open 08:00-18:00 Mon–Fri\n"},
		{"before the start", c, "2026-11-15 12:00", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var until time.Time
			if test.until != "" {
				until = at(t, test.until)
			}
			if got := explained(test.c, cal, until); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
	if got := c.Explain(nil, time.Time{}); got != nil {
		t.Errorf("business time explained without a calendar: %v", got)
	}
	all := c.Explain(cal, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if last := all[len(all)-1].To; last.Sub(c.Start) != 20*366*24*time.Hour {
		t.Errorf("explained up to %v: expected twenty years", last)
	}
}
