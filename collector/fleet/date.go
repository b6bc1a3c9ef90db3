package fleet

import (
	"errors"
	"time"
)

// Date is a day of the calendar as YYYY-MM-DD; which hours it has depends on the zone it is read in. Valid ones compare
// as text. Empty stands for "not said", in a contract's first and last day for "open on this side".
type Date string

// DateOf is the day that t is on in zone.
func DateOf(t time.Time, zone *time.Location) Date { return Date(t.In(zone).Format(time.DateOnly)) }

// Valid tells that the day exists. An empty Date does not.
func (d Date) Valid() bool {
	_, err := time.Parse(time.DateOnly, string(d))
	return err == nil
}

// Start is the first moment of the day in zone: midnight, or the end of the gap where the clocks skip midnight, or the
// first midnight where they show it twice. It is the zero time for a day that does not exist.
func (d Date) Start(zone *time.Location) time.Time {
	day, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return time.Time{}
	}
	t := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, zone)
	since, until := t.ZoneBounds()
	if DateOf(t, zone) < d {
		return until
	}
	if since.IsZero() {
		return t
	}
	_, before := since.Add(-1).Zone()
	if first := day.Add(-time.Duration(before) * time.Second); first.Before(since) && DateOf(first, zone) == d {
		return first.In(zone)
	}
	if t.After(since) && DateOf(since, zone) == d && DateOf(since.Add(-1), zone) < d {
		return since
	}
	return t
}

// Next is the day after; empty for a day that does not exist.
func (d Date) Next() Date {
	day, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return ""
	}
	return Date(day.AddDate(0, 0, 1).Format(time.DateOnly))
}

// fixedLayout is how a fixed offset is written, for time.Parse.
const fixedLayout = "UTC-07:00"

// LoadZone finds a time zone by its IANA name ("Europe/London") or as a fixed offset from UTC ("UTC-05:00"), which
// knows no summer time. Empty is UTC.
func LoadZone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, errors.New("the machine's own zone is not one that every machine reads alike")
	}
	if t, err := time.Parse(fixedLayout, name); err == nil {
		_, offset := t.Zone()
		return time.FixedZone(name, offset), nil
	}
	return time.LoadLocation(name)
}
