package incident

import (
	"time"

	"github.com/prometheus/alertmanager/timeinterval"
)

// Window is a maintenance window: alerts of some labels open no tickets at certain times, again and again.
type Window struct {
	Name     string
	Comment  string
	Matchers []Matcher
	// Times are when it holds, each by its own zone (UTC when it names none); empty means at any time between From and Until.
	// They are read off the clock on the wall: an hour that a zone skips does not come, one that it repeats comes twice.
	Times []timeinterval.TimeInterval
	// From and Until bound it, Until not included; zero does not.
	From  time.Time
	Until time.Time
}

// Active tells whether it holds at now.
func (w Window) Active(now time.Time) bool {
	if now.Before(w.From) || !w.Until.IsZero() && !now.Before(w.Until) {
		return false
	}
	if len(w.Times) == 0 {
		return true
	}
	for _, t := range w.Times {
		if t.ContainsTime(now.UTC()) {
			return true
		}
	}
	return false
}

// lookAhead is how far Next looks: a window that comes once in four years on the 29th of February is found.
const lookAhead = 4*366 + 1

// Next is when it holds next: since when and until when. A window that holds now is the next; its from is now. An until that
// is zero has no end in sight. False when it does not come within four years.
func (w Window) Next(now time.Time) (from, until time.Time, ok bool) {
	if now.Before(w.From) {
		now = w.From
	}
	from, ok = now, w.Active(now)
	if !ok {
		if from, ok = w.turns(now, true); !ok {
			return time.Time{}, time.Time{}, false
		}
	}
	until, _ = w.turns(from, false)
	return from, until, true
}

// turns is the first instant after now at which it is active or not. All of Times begin and end with whole minutes.
func (w Window) turns(now time.Time, active bool) (time.Time, bool) {
	for _, edge := range []time.Time{w.From, w.Until} {
		if len(w.Times) == 0 && edge.After(now) && w.Active(edge) == active {
			return edge, true
		}
	}
	if len(w.Times) == 0 {
		return time.Time{}, false
	}
	at := now.UTC().Truncate(time.Minute).Add(time.Minute)
	for end := now.AddDate(0, 0, lookAhead); at.Before(end); {
		if !w.Until.IsZero() && !at.Before(w.Until) {
			return w.Until, !active
		}
		if w.Active(at) == active {
			return at, true
		}
		if active && at.Minute() == 0 && at.Hour() == 0 && !w.near(at) {
			at = at.Add(24 * time.Hour)
			continue
		}
		at = at.Add(time.Minute)
	}
	return time.Time{}, false
}

// near tells whether it may hold at some time of the day that begins at, UTC: whether that day, the one before or the one
// after, in whatever zone, is one of its days.
func (w Window) near(at time.Time) bool {
	for _, t := range w.Times {
		t.Times = nil
		for h := -24; h <= 48; h += 6 {
			if t.ContainsTime(at.Add(time.Duration(h) * time.Hour)) {
				return true
			}
		}
	}
	return false
}
