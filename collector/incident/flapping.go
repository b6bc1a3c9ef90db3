package incident

import "time"

// Flapping says when an alert that comes and goes is told as one state instead of change by change. It begins early and
// ends late, so that what is on the edge does not flap between flapping and not.
type Flapping struct {
	// Changes of one alert (it fires, it ends) within Window are flapping; 0 is never.
	Changes int           `json:"changes"`
	Window  time.Duration `json:"window"`
	// Stable is how long nothing must change until it is over.
	Stable time.Duration `json:"stable"`
}

// DefaultFlapping is four changes within half an hour, until a quarter of an hour brings none.
var DefaultFlapping = Flapping{Changes: 4, Window: 30 * time.Minute, Stable: 15 * time.Minute}

// Begins tells whether the changes of one alert, oldest first, make it flap now, and since which of them.
func (f Flapping) Begins(changes []time.Time, now time.Time) (since time.Time, ok bool) {
	if f.Changes <= 0 || len(changes) < f.Changes {
		return time.Time{}, false
	}
	since = changes[len(changes)-f.Changes]
	return since, now.Sub(since) <= f.Window
}

// Over tells whether an alert that flaps and changed last at that time has settled, and when it will have if nothing
// changes.
func (f Flapping) Over(last, now time.Time) (at time.Time, ok bool) {
	at = last.Add(f.Stable)
	return at, !now.Before(at)
}

// Repeat is how long after an entry about flapping the next may follow, and stand for all changes in between: a minute at
// first and a twentieth of the time that it lasts, so that a month of flapping is some two hundred entries.
func (f Flapping) Repeat(since, last time.Time) time.Duration {
	return max(time.Minute, last.Sub(since)/20)
}
