package route

import (
	"fmt"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// location reads a zone in the words that calendars use: an IANA name, UTC, or a fixed offset like UTC-05:00.
func location(name string) (*time.Location, error) {
	cal, err := sla.NewCalendar(sla.Spec{Name: "zone", Zone: name, Always: true})
	if err != nil {
		return nil, fmt.Errorf("zone %q: expected an IANA zone like Europe/London, UTC, or a fixed offset like UTC-05:00", name)
	}
	return cal.Zone(), nil
}

// parseWall reads a time of day, HH:MM from 00:00 to 23:59.
func parseWall(text string) (time.Duration, error) {
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, fmt.Errorf("%q: expected a time of day from 00:00 to 23:59, like 22:00", text)
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

// civil is what the clock on the wall of loc shows at t, written as if it were UTC.
func civil(t time.Time, loc *time.Location) time.Time {
	_, offset := t.In(loc).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// maxOffset is more than any zone is ahead of UTC.
const maxOffset = 26 * time.Hour

// wallAt is the first instant at which the clock on the wall of loc shows at least what wall, written as if it were UTC,
// says: the first occurrence of a time that comes twice, and the moment at which the clocks are put forward for one that
// they skip. So what comes later on the wall never comes earlier in time.
func wallAt(wall time.Time, loc *time.Location) time.Time {
	t := wall.Add(-maxOffset).In(loc)
	for {
		_, offset := t.Zone()
		_, end := t.ZoneBounds()
		at := wall.Add(-time.Duration(offset) * time.Second)
		switch {
		case at.Before(t):
			return t.UTC()
		case end.IsZero() || at.Before(end):
			return at.UTC()
		}
		t = end
	}
}

// midnight is the wall time at which the day of wall begins.
func midnight(wall time.Time) time.Time {
	y, m, d := wall.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}
