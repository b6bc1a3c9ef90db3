package sla

import (
	"slices"
	"time"

	"github.com/rickar/cal/v2"
	"github.com/rickar/cal/v2/gb"
	"github.com/rickar/cal/v2/us"
)

// The regions that have holidays.
const (
	regionEngland  = "GB-ENG" // England and Wales
	regionNIreland = "GB-NIR"
	regionScotland = "GB-SCT"
	regionUS       = "US" // federal holidays
	regionNone     = "none"
)

// The years for which calendars have hours: civil dates outside are closed, and counting into them is an
// error. Holidays are right from 2010 on as far as they were proclaimed; years before have the rules
// without one-off days.
const (
	firstYear = 1900
	lastYear  = 2199
)

// Regions lists the regions that Spec.Region takes, sorted; "none" has no holidays.
func Regions() []string {
	return []string{regionEngland, regionNIreland, regionScotland, regionUS, regionNone}
}

// table is the public holidays of a region that fall in a year, in no order; of a region that has none, and of none, it is
// empty. As the published lists do, it has a holiday that falls on a weekend by its substitute alone, named "… (substitute)"
// in the United Kingdom and "… (observed)" in the United States; a calendar that opens at weekends and keeps the day itself
// adds it. Sources are in README.md.
func table(region string, year int) []Day {
	switch region {
	case regionUS:
		return federal(year)
	case regionEngland, regionNIreland, regionScotland:
		return correct(region, year, british(region, year))
	}
	return nil
}

// actual is the day of h in year by the table, before any substitution.
func actual(h *cal.Holiday, year int) (Date, bool) {
	t, _ := h.Calc(year)
	if t.IsZero() {
		return Date{}, false
	}
	y, m, d := t.Date()
	return Date{y, m, d}, true
}

// federal lists the federal holidays of the United States observed in year; New Year's Day on a Saturday
// is observed in the year before.
func federal(year int) []Day {
	var days []Day
	for _, h := range us.Holidays {
		for _, y := range [...]int{year, year + 1} {
			date, ok := actual(h, y)
			_, seen := h.Calc(y)
			if !ok || seen.Year() != year {
				continue
			}
			name := h.Name
			observed := DateOf(seen, seen.Location())
			if observed != date {
				name += " (observed)"
			}
			days = append(days, Day{observed, name})
		}
	}
	return days
}

// british lists the bank holidays of a part of the United Kingdom by the rules, without what was
// proclaimed for one year alone. A holiday on a weekend is substituted by the next weekday that is no
// bank holiday itself, in the order of the list.
func british(region string, year int) []Day {
	day := func(m time.Month, d int, name string) Day { return Day{Date{year, m, d}, name} }
	var fixed []Day // may fall on a weekend
	var days []Day
	rule := func(name string, h *cal.Holiday) {
		if date, ok := actual(h, year); ok {
			days = append(days, Day{date, name})
		}
	}
	fixed = append(fixed, day(time.January, 1, gb.NewYear.Name))
	rule("Good Friday", gb.GoodFriday)
	rule("Early May Bank Holiday", gb.EarlyMay)
	rule("Spring Bank Holiday", gb.SpringHoliday)
	switch region {
	case regionScotland:
		fixed = append(fixed, day(time.January, 2, secondJanuary), day(time.November, 30, "St Andrew's Day"))
		rule("Summer Bank Holiday", gb.SummerHolidayScotland)
	case regionNIreland:
		fixed = append(fixed, day(time.March, 17, "St Patrick's Day"), day(time.July, 12, "Battle of the Boyne"))
		fallthrough
	default:
		rule("Easter Monday", gb.EasterMonday)
		rule("Summer Bank Holiday", gb.SummerHoliday)
	}
	fixed = append(fixed, day(time.December, 25, gb.ChristmasDay.Name), day(time.December, 26, gb.BoxingDay.Name))
	return append(days, substitute(fixed)...)
}

// secondJanuary is Scotland's second day of the new year.
const secondJanuary = "2nd January"

// substitute moves what falls on a weekend to the next weekday that nothing else of the list is on. The
// names follow the published lists: Boxing Day keeps Monday the 26th and Christmas Day of a Sunday goes to
// the 27th, but New Year's Day of a Sunday takes Monday the 2nd and 2 January goes to the 3rd (2022, 2023).
func substitute(fixed []Day) []Day {
	taken := map[Date]bool{}
	keeps := func(d Day) bool { return !weekend(d.Date.Weekday()) && d.Name != secondJanuary }
	for _, d := range fixed {
		if keeps(d) {
			taken[d.Date] = true
		}
	}
	out := make([]Day, 0, len(fixed))
	for _, d := range fixed {
		date := d.Date
		for !keeps(d) && (weekend(date.Weekday()) || taken[date]) {
			date = date.AddDays(1)
		}
		taken[date] = true
		if date != d.Date {
			d = Day{date, d.Name + " (substitute)"}
		}
		out = append(out, d)
	}
	return out
}

func weekend(d time.Weekday) bool { return d == time.Saturday || d == time.Sunday }

// correction changes one year's holidays by proclamation: From is the date that is no holiday that year
// (zero: a day is added), To is what is one instead.
type correction struct {
	from    Date
	to      Day
	regions []string // nil: all of the United Kingdom
}

// corrections are the one-off days since 2010 that the tables lack or have for parts alone. They are
// given by date, so that a table that learns one of them later does no harm.
func corrections() []correction {
	return []correction{
		{to: Day{Date{2011, time.April, 29}, "Royal Wedding"}},
		{from: Date{2012, time.May, 28}, to: Day{Date{2012, time.June, 4}, "Spring Bank Holiday"}},
		{to: Day{Date{2012, time.June, 5}, "Diamond Jubilee"}},
		{from: Date{2020, time.May, 4}, to: Day{Date{2020, time.May, 8}, "Early May Bank Holiday (VE Day)"}},
		{from: Date{2022, time.May, 30}, to: Day{Date{2022, time.June, 2}, "Spring Bank Holiday"}},
		{to: Day{Date{2022, time.June, 3}, "Platinum Jubilee"}},
		{to: Day{Date{2022, time.September, 19}, "State Funeral of Queen Elizabeth II"}},
		{to: Day{Date{2023, time.May, 8}, "Coronation of King Charles III"}},
		{to: Day{Date{2026, time.June, 15}, "World Cup"}, regions: []string{regionScotland}},
	}
}

// correct applies the corrections of year to days, idempotently.
func correct(region string, year int, days []Day) []Day {
	for _, c := range corrections() {
		if c.to.Date.Year != year || (c.regions != nil && !slices.Contains(c.regions, region)) {
			continue
		}
		days = slices.DeleteFunc(days, func(d Day) bool { return d.Date == c.from || d.Date == c.to.Date })
		days = append(days, c.to)
	}
	return days
}
