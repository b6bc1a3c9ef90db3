package route

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// Bounds of a rota.
const (
	minTurn = time.Hour
	maxTurn = 366 * 24 * time.Hour
	// maxPlan is how far Shifts and Gaps look from their first instant.
	maxPlan = 10 * 366 * 24 * time.Hour
)

// The bounds that Rota.Hours knows.
const (
	HoursInside  = "inside"
	HoursOutside = "outside"
)

// Rotas are the on-call rotas in force, by name, each Ready.
type Rotas map[string]Rota

// NewRotas makes rotas ready, each with those of the overrides that name it. The error names every fault of all; an
// override of no rota is one.
func NewRotas(all []Rota, overrides []Override, dir People) (Rotas, error) {
	out := make(Rotas, len(all))
	var errs []error
	for _, r := range all {
		if _, twice := out[r.Name]; twice {
			errs = append(errs, fmt.Errorf("rota %q: there are two of that name: rename one", r.Name))
			continue
		}
		r.Overrides = slices.Clone(r.Overrides)
		for _, o := range overrides {
			if o.Rota == r.Name {
				r.Overrides = append(r.Overrides, o)
			}
		}
		ready, err := r.Ready(dir)
		out[r.Name] = ready
		errs = append(errs, err)
	}
	for _, o := range overrides {
		if _, known := out[o.Rota]; !known {
			errs = append(errs, fmt.Errorf("override %q: there is no rota %q: name one of those there are", o.ID, o.Rota))
		}
	}
	return out, errors.Join(errs...)
}

// Validate names every fault of r at once: its name, zone, turns, hours and calendar, who takes them, and its overrides.
// It does not ask whether the people are known: where they are not, Gaps says so.
func (r Rota) Validate() error {
	errs := r.faults()
	for _, o := range r.Overrides {
		errs = append(errs, o.Validate())
	}
	return r.faulty(errs)
}

func (r Rota) faulty(errs []error) error {
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("rota %q: %w", r.Name, err)
	}
	return nil
}

// faults are what is wrong with r apart from its overrides.
func (r Rota) faults() (errs []error) {
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.Name == "" {
		fault("name: must not be empty")
	}
	if _, err := location(r.Zone); err != nil {
		errs = append(errs, err)
	}
	if (len(r.People) == 0) == (r.Role == "") {
		fault("people: expected the IDs of those who take turns, or a role, not both")
	}
	if r.Start.IsZero() {
		fault("start: expected the time of the first handover")
	}
	if r.Every < minTurn || r.Every > maxTurn || r.Every%time.Minute != 0 {
		fault("every: %v: expected whole minutes, from an hour to 366 days, like 168h for a week", r.Every)
	}
	switch r.Hours {
	case "":
	case HoursInside, HoursOutside:
		if r.Calendar.Name == "" {
			fault("hours: %s of no calendar: name the calendar", r.Hours)
		} else if err := r.Calendar.Validate(); err != nil {
			fault("calendar: %w", err)
		}
	default:
		fault("hours: %q: expected inside or outside of the calendar's hours, or nothing", r.Hours)
	}
	return errs
}

// Validate names what is wrong with o: nobody named, or an end that is not after its beginning.
func (o Override) Validate() error {
	switch {
	case o.Person == "":
		return fmt.Errorf("override %q: person: expected who is on call", o.ID)
	case !o.From.Before(o.Until):
		return fmt.Errorf("override %q: from %s until %s: expected an end after the beginning", o.ID,
			o.From.Format(time.RFC3339), o.Until.Format(time.RFC3339))
	}
	return nil
}

// roster is a rota made ready.
type roster struct {
	loc   *time.Location
	cal   *sla.Calendar // nil: always
	start time.Time     // the first handover by the clock on the wall, as if it were UTC
	turns []string      // who takes turns
	known map[string]bool
	// overrides are the newest first.
	overrides []Override
	fault     string
}

// Ready is r with its zone, calendar and people looked up. Until the directory or an override changes it may be asked any
// number of times, concurrently. Without a directory all people are taken to be known, and a role has nobody. The error
// names every fault of r. Nobody is on duty in a faulty rota; a faulty override covers no time and harms no other.
func (r Rota) Ready(dir People) (Rota, error) {
	made := &roster{known: map[string]bool{}}
	r.roster = made
	if err := r.faulty(r.faults()); err != nil {
		made.fault = err.Error()
		return r, r.Validate()
	}
	made.loc, _ = location(r.Zone) // faults read it
	if r.Hours != "" {
		cal, err := sla.NewCalendar(r.Calendar)
		if err != nil {
			made.fault = r.faulty([]error{err}).Error()
			return r, r.faulty([]error{err})
		}
		made.cal = cal
	}
	made.start = civil(r.Start, made.loc)
	made.turns = slices.Clone(r.People)
	if r.Role != "" && dir != nil {
		for _, p := range dir.Contacts("", r.Role) {
			made.turns = append(made.turns, p.ID)
			made.known[p.ID] = true
		}
	}
	made.overrides = slices.Clone(r.Overrides)
	slices.Reverse(made.overrides)
	slices.SortStableFunc(made.overrides, func(a, b Override) int { return b.At.Compare(a.At) })
	for _, o := range made.overrides {
		made.meet(dir, o.Person)
	}
	for _, id := range r.People {
		made.meet(dir, id)
	}
	return r, r.Validate()
}

// meet looks a person up.
func (r *roster) meet(dir People, id string) {
	if dir == nil {
		r.known[id] = true
		return
	}
	if _, ok := dir.Person(id); ok {
		r.known[id] = true
	}
}

// ready is the roster, made now where Ready was not called: without a directory.
func (r Rota) ready() *roster {
	if r.roster == nil {
		r, _ = r.Ready(nil) // the fault stands in the roster
	}
	return r.roster
}

// OnDuty is who is on call at an instant, and until when: the next handover, the beginning or end of an override, or of
// the rota's hours. Where nobody is, ok is false and until is when that next changes, or may.
func (r Rota) OnDuty(at time.Time) (person string, until time.Time, ok bool) {
	r.roster = r.ready()
	end := at.Add(maxTurn)
	if r.roster.fault == "" {
		if at.Before(r.Start) {
			end = r.Start
		} else {
			end = r.handover(r.turn(at) + 1)
		}
		if o, ok := r.override(at); ok && o.Until.After(end) {
			end = o.Until
		}
	}
	d := r.duties(at, end)[0]
	return d.person, d.until, d.person != ""
}

// Shift is a stretch of time in which one person is on call.
type Shift struct {
	Rota   string    `json:"rota"`
	Person string    `json:"person"`
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"`
	// Override is the one by which they are, empty for a turn of theirs.
	Override string `json:"override,omitempty"`
}

// Gap is a stretch of time in which nobody is on call.
type Gap struct {
	Rota  string    `json:"rota"`
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	// Reason says why, for people.
	Reason string `json:"reason"`
	// Planned: it lies outside of the hours that the rota is for.
	Planned bool `json:"planned,omitempty"`
}

// Shifts are who is on call between two instants, in order, without overlap, cut at both; each turn is a shift of its own,
// though it be the same person's. With Gaps they cover the time without a hole. At most ten years are looked at.
func (r Rota) Shifts(from, until time.Time) []Shift {
	var out []Shift
	for _, d := range r.duties(from, until) {
		if d.person != "" {
			out = append(out, Shift{Rota: r.Name, Person: d.person, From: d.from, Until: d.until, Override: d.override})
		}
	}
	return out
}

// Gaps are the stretches between two instants in which nobody is on call, exact and in order, each with one reason: the
// rota is not for these hours (Planned), it has not begun, nobody takes turns, or who would is not known. At most ten years
// are looked at.
func (r Rota) Gaps(from, until time.Time) []Gap {
	var out []Gap
	for _, d := range r.duties(from, until) {
		if d.person == "" {
			out = append(out, Gap{Rota: r.Name, From: d.from, Until: d.until, Reason: d.reason, Planned: d.planned})
		}
	}
	return out
}
