// Package sla holds business calendars, the time that passes in them, and the clocks that run on tickets.
// It is pure: instants and plain data go in, instants and plain data come out. README.md has the rules.
package sla

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Day is one named day: a holiday, or its removal.
type Day struct {
	Date Date   `json:"date"`
	Name string `json:"name"`
}

// Overlay adds hours to a calendar, always or between two dates: enhanced hours, cover over the year's
// end. It never takes hours away.
type Overlay struct {
	Name     string `json:"name"`
	From     Date   `json:"from,omitzero"`  // first day; zero: ever since
	Until    Date   `json:"until,omitzero"` // last day, itself included; zero: for ever
	Hours    Week   `json:"hours"`
	Holidays bool   `json:"holidays,omitempty"` // its hours count on holidays too
}

// stands says that o holds on d.
func (o Overlay) stands(d Date) bool {
	return (o.From.IsZero() || !d.Before(o.From)) && (o.Until.IsZero() || !o.Until.Before(d))
}

// Spec describes a calendar. It is the only thing that is stored; a Calendar is made from it and gives it
// back. It goes through JSON unchanged.
type Spec struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	// Zone is an IANA name (Europe/London), UTC, or a fixed offset from it (UTC-05:00), which knows no
	// daylight saving and is a different thing from the zone of a place.
	Zone string `json:"zone"`
	// Always makes every hour of every day count (24x7): hours, holidays and overlays change nothing then.
	Always bool `json:"always,omitempty"`
	Hours  Week `json:"hours,omitzero"`
	// Region is where the holidays are taken from, one of Regions(); empty is none.
	Region   string    `json:"region,omitempty"`
	Add      []Day     `json:"add,omitempty"`    // holidays beside the region's
	Remove   []Day     `json:"remove,omitempty"` // the region's holidays that are worked; the name is a remark
	Overlays []Overlay `json:"overlays,omitempty"`
}

// Validate names every fault of s at once, each with its field; it changes nothing.
func (s Spec) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.Name == "" {
		fault("name: must not be empty: a deadline names the calendar it was counted in")
	}
	if _, err := zone(s.Zone); err != nil {
		fault("zone: %w", err)
	}
	if s.Region != "" && !slices.Contains(Regions(), s.Region) {
		fault("region: %q has no holiday table: expected one of %s", s.Region, strings.Join(Regions(), ", "))
	}
	if err := s.Hours.Validate(); err != nil {
		fault("hours: %w", err)
	}
	if !s.Always && s.Hours.empty() && len(s.Overlays) == 0 {
		fault("hours: open on no day: give hours to at least one, or set always for 24x7")
	}
	errs = append(errs, s.checkDays()...)
	for i, o := range s.Overlays {
		errs = append(errs, o.check(i)...)
	}
	return errors.Join(errs...)
}

// checkDays finds what is wrong with the holidays added and removed.
func (s Spec) checkDays() (errs []error) {
	seen := map[Date]string{}
	list := func(field string, days []Day, nameless bool) {
		for i, d := range days {
			where := fmt.Sprintf("%s[%d]", field, i)
			if !d.Date.exists() {
				errs = append(errs, fmt.Errorf("%s.date: %q is no day: expected one like 2026-06-15", where, d.Date))
				continue
			}
			if d.Name == "" && !nameless {
				errs = append(errs, fmt.Errorf("%s.name: %v must have a name: deadlines are explained with it", where, d.Date))
			}
			if other, twice := seen[d.Date]; twice {
				errs = append(errs, fmt.Errorf("%s.date: %v is already in %s: say once whether it is a holiday", where, d.Date, other))
			}
			seen[d.Date] = where
		}
	}
	list("add", s.Add, false)
	list("remove", s.Remove, true)
	return errs
}

// check finds what is wrong with o, the overlay at index i.
func (o Overlay) check(i int) (errs []error) {
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("overlays[%d].%w", i, fmt.Errorf(format, args...)))
	}
	if o.Name == "" {
		fault("name: must not be empty: deadlines are explained with it")
	}
	if !o.From.IsZero() && !o.From.exists() {
		fault("from: %q is no day: expected one like 2026-12-27, or nothing", o.From)
	}
	if !o.Until.IsZero() && !o.Until.exists() {
		fault("until: %q is no day: expected one like 2027-01-02, or nothing", o.Until)
	}
	if !o.From.IsZero() && !o.Until.IsZero() && o.Until.Before(o.From) {
		fault("until: %v lies before from, %v: the last day may not precede the first", o.Until, o.From)
	}
	if o.Hours.empty() {
		fault("hours: none on any day: an overlay adds hours, give it some")
	}
	if err := o.Hours.Validate(); err != nil {
		fault("hours: %w", err)
	}
	return errs
}

// zone finds the location that name stands for. "Local" is refused: a deadline must not depend on the
// machine that computes it.
func zone(name string) (*time.Location, error) {
	if offset, ok := strings.CutPrefix(name, "UTC"); ok && offset != "" {
		east, ok := parseOffset(offset)
		if !ok {
			return nil, fmt.Errorf("%q: expected a fixed offset like UTC-05:00, at most 14 hours", name)
		}
		return time.FixedZone(name, east), nil
	}
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%q: expected an IANA zone like Europe/London, UTC, or a fixed offset like UTC-05:00", name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q: expected an IANA zone like Europe/London, UTC, or a fixed offset like UTC-05:00: %w", name, err)
	}
	return loc, nil
}

// parseOffset reads ±HH:MM as seconds east of UTC.
func parseOffset(text string) (int, bool) {
	if len(text) != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':' {
		return 0, false
	}
	h, errH := strconv.ParseUint(text[1:3], 10, 8)
	m, errM := strconv.ParseUint(text[4:], 10, 8)
	east := int(h*3600 + m*60)
	if errH != nil || errM != nil || m > 59 || east > 14*3600 {
		return 0, false
	}
	if text[0] == '-' {
		east = -east
	}
	return east, true
}
