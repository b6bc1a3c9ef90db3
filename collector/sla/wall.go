package sla

import "time"

// nearTransition is how close to a transition of its zone a wall time is looked at twice; the largest jump
// on record is 24 hours.
const nearTransition = 50 * time.Hour

// wallTime is the instant at which the clock on the wall of loc shows tod on day d. A wall time that does
// not exist (the clocks were put forward over it) is moved forward by the gap; of one that exists twice it
// is the first occurrence. tod may reach 24:00, midnight of the next day. time.Date promises neither.
func wallTime(d Date, tod time.Duration, loc *time.Location) time.Time {
	sec := int(tod / time.Second)
	nsec := int(tod % time.Second)
	t := time.Date(d.Year, d.Month, d.Day, 0, 0, sec, nsec, loc)
	start, end := t.ZoneBounds()
	before := !start.IsZero() && t.Sub(start) <= nearTransition
	after := !end.IsZero() && end.Sub(t) <= nearTransition
	if !before && !after {
		return t
	}
	offsets := make([]int, 0, 3)
	_, own := t.Zone()
	offsets = append(offsets, own)
	if before {
		offsets = append(offsets, offsetAt(start.Add(-1)))
	}
	if after {
		offsets = append(offsets, offsetAt(end))
	}
	return resolve(time.Date(d.Year, d.Month, d.Day, 0, 0, sec, nsec, time.UTC), offsets, loc)
}

// resolve picks the instant for a wall time, given as if it were UTC, among the offsets in force around it.
func resolve(asUTC time.Time, offsets []int, loc *time.Location) time.Time {
	var first, forward time.Time
	for _, off := range offsets {
		t := asUTC.Add(-time.Duration(off) * time.Second).In(loc)
		if offsetAt(t) == off && (first.IsZero() || t.Before(first)) {
			first = t
		}
		if t.After(forward) { // the offset before the gap is the smaller one
			forward = t
		}
	}
	if first.IsZero() {
		return forward
	}
	return first
}

func offsetAt(t time.Time) int {
	_, off := t.Zone()
	return off
}
