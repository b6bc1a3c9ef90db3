package route

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Validate names every fault of q at once: an unknown zone, times that are none or equal, no priorities.
func (q QuietHours) Validate() error {
	_, _, err := q.read()
	if len(q.Priorities) == 0 {
		err = errors.Join(err, errors.New("priorities: expected those whose notices may wait"))
	}
	if err != nil {
		return fmt.Errorf("quiet hours: %w", err)
	}
	return nil
}

// daily is a stretch of every day by the clock on the wall; from may be later than to, over midnight.
type daily struct{ from, to time.Duration }

func (q QuietHours) read() (*time.Location, daily, error) {
	loc, zoneErr := location(q.Zone)
	from, fromErr := parseWall(q.From)
	to, toErr := parseWall(q.To)
	err := errors.Join(zoneErr, named("from", fromErr), named("to", toErr))
	if err == nil && from == to {
		err = fmt.Errorf("from and to are both %s: expected two different times, no hours are quiet all day", q.From)
	}
	return loc, daily{from, to}, err
}

func named(field string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", field, err)
}

// quiet is QuietHours made ready.
type quiet struct {
	loc        *time.Location
	hours      daily
	priorities []string
}

func (q *QuietHours) ready() (*quiet, error) {
	if q == nil {
		return nil, nil
	}
	loc, hours, err := q.read()
	if err != nil {
		return nil, fmt.Errorf("quiet hours: %w", err)
	}
	return &quiet{loc, hours, q.Priorities}, nil
}

// over is when the quiet hours that stand at now are over for notices of a priority; zero where none stand or they do not
// concern it. They begin and end at the first instant at which the clock on the wall shows it.
func (q *quiet) over(priority string, now time.Time) time.Time {
	if q == nil || !slices.Contains(q.priorities, priority) {
		return time.Time{}
	}
	today := midnight(civil(now, q.loc))
	for day := today.AddDate(0, 0, -1); !day.After(today); day = day.AddDate(0, 0, 1) {
		last := day
		if q.hours.to < q.hours.from {
			last = day.AddDate(0, 0, 1)
		}
		from, to := wallAt(day.Add(q.hours.from), q.loc), wallAt(last.Add(q.hours.to), q.loc)
		if !now.Before(from) && now.Before(to) {
			return to
		}
	}
	return time.Time{}
}
