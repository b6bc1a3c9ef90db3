package api

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
)

// minTime and maxTime stand for "from the beginning" and "until the end", as in Prometheus, whose clients send them spelt out.
var (
	minTime = time.Unix(math.MinInt64/1000+62135596801, 0).UTC()
	maxTime = time.Unix(math.MaxInt64/1000-62135596801, 999999999).UTC()
)

// time reads a parameter that may be left out.
func (c *promCall) time(name string, otherwise time.Time) (time.Time, error) {
	s := c.value(name)
	if s == "" {
		return otherwise, nil
	}
	t, err := timeOf(s)
	if err != nil {
		return t, badParameter(name, fmt.Errorf("invalid time value for '%s': %w", name, err))
	}
	return t, nil
}

// span reads start and end, each of which may be left out.
func (c *promCall) span() (start, end time.Time, err error) {
	if start, err = c.time("start", minTime); err != nil {
		return start, end, err
	}
	end, err = c.time("end", maxTime)
	return start, end, err
}

// timeOf reads Unix seconds, to the millisecond, or RFC 3339.
func timeOf(s string) (time.Time, error) {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		whole, part := math.Modf(seconds)
		part = math.Round(part*1000) / 1000
		return time.Unix(int64(whole), int64(part*float64(time.Second))).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	for _, t := range []time.Time{minTime, maxTime} { // years of more than four digits, which time.Parse does not read
		if s == t.Format(time.RFC3339Nano) {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", s)
}

// durationOf reads seconds, or a duration as Prometheus writes it.
func durationOf(s string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		ns := seconds * float64(time.Second)
		if ns > math.MaxInt64 || ns < math.MinInt64 {
			return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", s)
		}
		return time.Duration(ns), nil
	}
	if d, err := model.ParseDuration(s); err == nil {
		return time.Duration(d), nil
	}
	return 0, fmt.Errorf("cannot parse %q to a valid duration", s)
}

// wantedOf reads how much is wanted at most; 0 is all.
func wantedOf(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err == nil && n < 0 {
		err = errors.New("limit must be non-negative")
	}
	return n, err
}

// countOf reads a parameter that is -1, for no bound, when it is left out.
func (c *promCall) countOf(name string) (int, error) {
	s := c.value(name)
	if s == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, promErrorf(promBadData, "%s must be a number", name)
	}
	return n, nil
}

// matchers reads match[].
func (c *promCall) matchers() []string { return c.r.Form["match[]"] }
