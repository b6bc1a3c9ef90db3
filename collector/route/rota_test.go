package route

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/collector/sla"
)

// week is a rota of three people in London that is handed over on Mondays at 09:00, from 5 January 2026.
func week() Rota {
	return Rota{Name: "week", Zone: "Europe/London", People: []string{"ivy", "ian", "tess"},
		Start: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC), Every: 7 * 24 * time.Hour}
}

// office is Monday to Friday, 09:00 to 17:30 in London with English holidays.
func office() sla.Spec {
	hours, err := sla.ParseWeek(map[string][]string{"mon-fri": {"09:00-17:30"}})
	if err != nil {
		panic(err)
	}
	return sla.Spec{Name: "office", Zone: "Europe/London", Region: "GB-ENG", Hours: hours}
}

func ready(t testing.TB, r Rota) Rota {
	t.Helper()
	r, err := r.Ready(desk())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// plan writes shifts and gaps one per line, in order.
func plan(r Rota, from, until time.Time) []string {
	type line struct {
		at   time.Time
		text string
	}
	var all []line
	zone := r.roster.loc
	span := func(a, b time.Time) string {
		return a.In(zone).Format("Mon 02 Jan 15:04") + " – " + b.In(zone).Format("Mon 02 Jan 15:04")
	}
	for _, s := range r.Shifts(from, until) {
		text := span(s.From, s.Until) + " " + s.Person
		if s.Override != "" {
			text += " by " + s.Override
		}
		all = append(all, line{s.From, text})
	}
	for _, g := range r.Gaps(from, until) {
		text := span(g.From, g.Until) + " nobody: " + g.Reason
		if g.Planned {
			text += " (planned)"
		}
		all = append(all, line{g.From, text})
	}
	slices.SortFunc(all, func(a, b line) int { return a.at.Compare(b.at) })
	var out []string
	for _, l := range all {
		out = append(out, l.text)
	}
	return out
}

func TestRota(t *testing.T) {
	outside := week()
	outside.Hours, outside.Calendar = HoursOutside, office()
	inside := week()
	inside.Hours, inside.Calendar = HoursInside, office()
	swapped := week()
	swapped.Overrides = []Override{
		{ID: "o1", Rota: "week", Person: "tess", From: at(t, "2026-03-24T12:00:00Z"), Until: at(t, "2026-03-26T12:00:00Z"), At: at(t, "2026-03-20T10:00:00Z")},
		{ID: "o2", Rota: "week", Person: "ivy", From: at(t, "2026-03-25T12:00:00Z"), Until: at(t, "2026-03-27T12:00:00Z"), At: at(t, "2026-03-19T10:00:00Z")},
		{ID: "o3", Rota: "week", Person: "ghost", From: at(t, "2026-03-27T11:00:00Z"), Until: at(t, "2026-03-27T13:00:00Z"), At: at(t, "2026-03-21T10:00:00Z")},
	}
	twice := week()
	twice.Start = time.Date(2026, 10, 18, 0, 30, 0, 0, time.UTC) // Sunday 01:30 BST
	sameAge := week()
	for _, who := range []string{"ivy", "sam"} {
		sameAge.Overrides = append(sameAge.Overrides, Override{ID: "o-" + who, Rota: "week", Person: who,
			From: at(t, "2026-03-24T00:00:00Z"), Until: at(t, "2026-03-25T00:00:00Z")})
	}
	ahead := outside
	ahead.Overrides = []Override{{ID: "o1", Rota: "week", Person: "tess", From: at(t, "2026-04-07T08:00:00Z"), Until: at(t, "2026-04-07T17:00:00Z")}}
	role := week()
	role.People, role.Role = nil, "it-ops"
	nobody := week()
	nobody.People, nobody.Role = nil, "astronaut"
	days := week()
	days.Every = 12 * time.Hour
	skipped := week()
	skipped.Start, skipped.Every = time.Date(2026, 3, 22, 1, 30, 0, 0, time.UTC), 7*24*time.Hour
	for _, tt := range []struct {
		name        string
		rota        Rota
		from, until string
		want        []string
	}{
		{"handed over at the same wall time when the clocks go forward", week(), "2026-03-23T09:00:00Z", "2026-04-06T08:00:00Z", []string{
			"Mon 23 Mar 09:00 – Mon 30 Mar 09:00 tess", "Mon 30 Mar 09:00 – Mon 06 Apr 09:00 ivy"}},
		{"and when they go back", week(), "2026-10-19T08:00:00Z", "2026-11-02T09:00:00Z", []string{
			"Mon 19 Oct 09:00 – Mon 26 Oct 09:00 tess", "Mon 26 Oct 09:00 – Mon 02 Nov 09:00 ivy"}},
		{"cut at both ends", week(), "2026-03-25T00:00:00Z", "2026-03-25T01:00:00Z", []string{"Wed 25 Mar 00:00 – Wed 25 Mar 01:00 tess"}},
		{"before it begins", week(), "2026-01-05T08:00:00Z", "2026-01-05T10:00:00Z", []string{
			"Mon 05 Jan 08:00 – Mon 05 Jan 09:00 nobody: the rota begins at 2026-01-05T09:00:00Z", "Mon 05 Jan 09:00 – Mon 05 Jan 10:00 ivy"}},
		{"nights, a weekend and Easter, outside of hours", outside, "2026-04-02T16:00:00Z", "2026-04-07T17:00:00Z", []string{
			"Thu 02 Apr 17:00 – Thu 02 Apr 17:30 nobody: on call only outside of hours: open 09:00-17:30 Mon–Fri (planned)",
			"Thu 02 Apr 17:30 – Mon 06 Apr 09:00 ivy", "Mon 06 Apr 09:00 – Tue 07 Apr 09:00 ian",
			"Tue 07 Apr 09:00 – Tue 07 Apr 17:30 nobody: on call only outside of hours: open 09:00-17:30 Mon–Fri (planned)",
			"Tue 07 Apr 17:30 – Tue 07 Apr 18:00 ian"}},
		{"inside of hours, with the holiday's name", inside, "2026-04-02T16:00:00Z", "2026-04-07T09:00:00Z", []string{
			"Thu 02 Apr 17:00 – Thu 02 Apr 17:30 ivy", "Thu 02 Apr 17:30 – Fri 03 Apr 00:00 nobody: on call only inside of hours: after hours (planned)",
			"Fri 03 Apr 00:00 – Sat 04 Apr 00:00 nobody: on call only inside of hours: holiday: Good Friday (planned)",
			"Sat 04 Apr 00:00 – Mon 06 Apr 00:00 nobody: on call only inside of hours: weekend (planned)",
			"Mon 06 Apr 00:00 – Tue 07 Apr 00:00 nobody: on call only inside of hours: holiday: Easter Monday (planned)",
			"Tue 07 Apr 00:00 – Tue 07 Apr 09:00 nobody: on call only inside of hours: before hours (planned)",
			"Tue 07 Apr 09:00 – Tue 07 Apr 10:00 ian"}},
		{"the newest override wins, and one for nobody known is a gap", swapped, "2026-03-24T00:00:00Z", "2026-03-28T00:00:00Z", []string{
			"Tue 24 Mar 00:00 – Tue 24 Mar 12:00 tess", "Tue 24 Mar 12:00 – Thu 26 Mar 12:00 tess by o1",
			"Thu 26 Mar 12:00 – Fri 27 Mar 11:00 ivy by o2",
			"Fri 27 Mar 11:00 – Fri 27 Mar 13:00 nobody: ghost, on call by override o3, is nobody the directory knows",
			"Fri 27 Mar 13:00 – Sat 28 Mar 00:00 tess"}},
		{"an override stands outside of the rota's hours too", ahead, "2026-04-07T07:00:00Z", "2026-04-07T17:00:00Z", []string{
			"Tue 07 Apr 08:00 – Tue 07 Apr 09:00 ian", "Tue 07 Apr 09:00 – Tue 07 Apr 18:00 tess by o1"}},
		{"a role's people take turns", role, "2026-03-23T09:00:00Z", "2026-04-06T08:00:00Z", []string{
			"Mon 23 Mar 09:00 – Mon 30 Mar 09:00 ian", "Mon 30 Mar 09:00 – Mon 06 Apr 09:00 ivy"}},
		{"a role that nobody has", nobody, "2026-03-23T09:00:00Z", "2026-03-24T09:00:00Z", []string{
			"Mon 23 Mar 09:00 – Tue 24 Mar 09:00 nobody: nobody has the role astronaut, whose people take turns"}},
		{"day and night, the short night's shift is shorter", days, "2026-03-28T09:00:00Z", "2026-03-29T20:00:00Z", []string{
			"Sat 28 Mar 09:00 – Sat 28 Mar 21:00 tess", "Sat 28 Mar 21:00 – Sun 29 Mar 09:00 ivy", "Sun 29 Mar 09:00 – Sun 29 Mar 21:00 ian"}},
		{"a handover that the clocks skip", skipped, "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", []string{
			"Sat 28 Mar 12:00 – Sun 29 Mar 02:00 ivy", "Sun 29 Mar 02:00 – Sun 29 Mar 13:00 ian"}},
		{"a handover that the wall shows twice is the first", twice, "2026-10-25T00:00:00Z", "2026-10-25T03:00:00Z", []string{
			"Sun 25 Oct 01:00 – Sun 25 Oct 01:30 ivy", "Sun 25 Oct 01:30 – Sun 25 Oct 03:00 ian"}},
		{"of overrides of one age the later in the list wins", sameAge, "2026-03-24T00:00:00Z", "2026-03-25T00:00:00Z", []string{
			"Tue 24 Mar 00:00 – Wed 25 Mar 00:00 sam by o-sam"}},
		{"nothing to look at", week(), "2026-03-28T12:00:00Z", "2026-03-28T12:00:00Z", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := ready(t, tt.rota)
			if d := cmp.Diff(tt.want, plan(r, at(t, tt.from), at(t, tt.until))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOnDuty(t *testing.T) {
	r := week()
	r.Hours, r.Calendar = HoursOutside, office()
	r.Overrides = []Override{{ID: "o1", Rota: "week", Person: "tess", From: at(t, "2026-03-26T20:00:00Z"), Until: at(t, "2026-03-26T22:00:00Z")}}
	r = ready(t, r)
	for _, tt := range []struct {
		name, at, person, until string
	}{
		{"in the office", "2026-03-26T12:00:00Z", "", "2026-03-26T17:30:00Z"},
		{"at the close", "2026-03-26T17:30:00Z", "tess", "2026-03-26T20:00:00Z"},
		{"within the override", "2026-03-26T20:00:00Z", "tess", "2026-03-26T22:00:00Z"},
		{"over the weekend, whose last night loses an hour", "2026-03-28T01:00:00Z", "tess", "2026-03-30T08:00:00Z"},
		{"before it begins", "2025-12-01T00:00:00Z", "", "2026-01-05T09:00:00Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			person, until, ok := r.OnDuty(at(t, tt.at))
			if person != tt.person || ok != (tt.person != "") || !until.Equal(at(t, tt.until)) {
				t.Errorf("%q until %v, want %q until %s", person, until, tt.person, tt.until)
			}
		})
	}
}

// TestOnDutyWhenTheWallRepeats: after the clocks went back the wall shows a time before the handover that has happened.
func TestOnDutyWhenTheWallRepeats(t *testing.T) {
	r := week()
	r.Start = time.Date(2026, 10, 18, 0, 30, 0, 0, time.UTC) // Sunday 01:30 BST
	r = ready(t, r)
	person, until, ok := r.OnDuty(at(t, "2026-10-25T01:15:00Z")) // 01:15 GMT, 45 minutes after 01:30 BST
	if want := at(t, "2026-11-01T01:30:00Z"); !ok || person != "ian" || !until.Equal(want) {
		t.Errorf("%q until %v, want ian until %v", person, until, want)
	}
}

func TestFaultyRota(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*Rota)
		want  string
		duty  bool // somebody is on duty all the same
	}{
		{"no name", func(r *Rota) { r.Name = "" }, "name: must not be empty", false},
		{"zone", func(r *Rota) { r.Zone = "Mars" }, `zone "Mars"`, false},
		{"nobody", func(r *Rota) { r.People = nil }, "people: expected", false},
		{"people and role", func(r *Rota) { r.Role = "it-ops" }, "people: expected", false},
		{"no start", func(r *Rota) { r.Start = time.Time{} }, "start: expected", false},
		{"turns too short", func(r *Rota) { r.Every = time.Minute }, "every: 1m0s", false},
		{"turns too odd", func(r *Rota) { r.Every = time.Hour + time.Second }, "every: 1h0m1s", false},
		{"hours of nothing", func(r *Rota) { r.Hours = HoursInside }, "name the calendar", false},
		{"no such hours", func(r *Rota) { r.Hours = "sometimes" }, `hours: "sometimes"`, false},
		{"bad calendar", func(r *Rota) { r.Hours, r.Calendar = HoursInside, sla.Spec{Name: "c"} }, "calendar: ", false},
		{"bad override", func(r *Rota) { r.Overrides = []Override{{ID: "o9", Person: "ivy"}} }, `override "o9"`, true},
		{"override of nobody", func(r *Rota) { r.Overrides = []Override{{ID: "o9"}} }, "expected who is on call", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := week()
			tt.spoil(&r)
			r, err := r.Ready(desk())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if _, _, ok := r.OnDuty(t0); ok != tt.duty {
				t.Errorf("somebody on duty: %v, want %v", ok, tt.duty)
			}
			if gaps := r.Gaps(t0, t0.Add(time.Hour)); (len(gaps) == 0) != tt.duty || !tt.duty && !strings.Contains(gaps[0].Reason, "rota") {
				t.Errorf("gaps %v", gaps)
			}
		})
	}
}

func TestNewRotas(t *testing.T) {
	over := Override{ID: "o1", Rota: "week", Person: "tess", From: t0, Until: t0.Add(time.Hour)}
	rotas, err := NewRotas([]Rota{week()}, []Override{over}, desk())
	if err != nil {
		t.Fatal(err)
	}
	if person, until, _ := rotas["week"].OnDuty(t0); person != "tess" || !until.Equal(over.Until) {
		t.Errorf("on duty is %s until %v, want tess by the override", person, until)
	}
	over.Rota = "year"
	bad := week()
	bad.Zone = ""
	_, err = NewRotas([]Rota{week(), week(), {Name: "x"}}, []Override{over}, desk())
	for _, want := range []string{"two of that name", `there is no rota "year"`, `rota "x"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in %v", want, err)
		}
	}
	if person, _, ok := week().OnDuty(t0); !ok || person != "tess" {
		t.Errorf("a rota that was not made ready has %q on duty, want tess", person)
	}
}

// dstZones are zones of every kind of DST: north, south, half an hour, at midnight, twice a year around Ramadan, none.
var dstZones = []string{"Europe/London", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Africa/Casablanca",
	"America/St_Johns", "Pacific/Chatham", "Asia/Beirut", "Antarctica/Troll", "America/Asuncion", "UTC", "UTC-05:00", "Pacific/Apia"}

// instants draws an instant from 2009 to 2030, whole minutes.
func instants() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(1230768000/60, 1893456000/60).Draw(t, "minute")*60, 0).UTC()
	})
}

func anyRota(t *rapid.T) Rota {
	r := Rota{Name: "any", Zone: rapid.SampledFrom(dstZones).Draw(t, "zone"), Start: instants().Draw(t, "start")}
	r.People = rapid.SliceOfN(rapid.SampledFrom([]string{"ivy", "ian", "tess", "sam", "ghost"}), 1, 5).Draw(t, "people")
	r.Every = time.Duration(rapid.SampledFrom([]int{1, 8, 12, 23, 24, 48, 7 * 24, 14 * 24, 25}).Draw(t, "hours")) * time.Hour
	if r.Hours = rapid.SampledFrom([]string{"", HoursInside, HoursOutside}).Draw(t, "bounds"); r.Hours != "" {
		r.Calendar = office()
		r.Calendar.Zone = r.Zone
	}
	return r
}

// TestShiftsAndGapsTile: over every kind of zone, shifts and gaps cover the time asked for exactly, without overlap, and
// agree with OnDuty at any instant and at every boundary.
func TestShiftsAndGapsTile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRota(t)
		from := instants().Draw(t, "from")
		until := from.Add(time.Duration(rapid.IntRange(1, 40*24*60).Draw(t, "minutes")) * time.Minute)
		for i := range rapid.IntRange(0, 4).Draw(t, "overrides") {
			begin := from.Add(time.Duration(rapid.IntRange(-2000, 50000).Draw(t, "begin")) * time.Minute)
			r.Overrides = append(r.Overrides, Override{ID: fmt.Sprint("o", i), Rota: r.Name, From: begin,
				Until:  begin.Add(time.Duration(rapid.IntRange(1, 20000).Draw(t, "length")) * time.Minute),
				Person: rapid.SampledFrom([]string{"ada", "ivy", "nobody"}).Draw(t, "person"),
				At:     time.Unix(int64(rapid.IntRange(0, 3).Draw(t, "made")), 0)})
		}
		r, err := r.Ready(desk())
		if err != nil {
			t.Fatal(err)
		}
		shifts, gaps := r.Shifts(from, until), r.Gaps(from, until)
		where := from
		for len(shifts)+len(gaps) > 0 {
			switch {
			case len(shifts) > 0 && shifts[0].From.Equal(where):
				s := shifts[0]
				shifts = shifts[1:]
				onDuty(t, r, s.From, until, s.Person, s.Until)
				onDuty(t, r, s.From.Add(s.Until.Sub(s.From)/2), until, s.Person, s.Until)
				onDuty(t, r, s.Until.Add(-1), until, s.Person, s.Until)
				where = s.Until
			case len(gaps) > 0 && gaps[0].From.Equal(where):
				g := gaps[0]
				gaps = gaps[1:]
				if person, _, ok := r.OnDuty(g.Until.Add(-1)); ok || g.Reason == "" {
					t.Fatalf("in the gap %+v %s is on duty", g, person)
				}
				where = g.Until
			default:
				t.Fatalf("nothing begins at %v: next are %v and %v", where, shifts, gaps)
			}
		}
		if !where.Equal(until) {
			t.Fatalf("covered until %v, asked until %v", where, until)
		}
	})
}

func onDuty(t *rapid.T, r Rota, at, limit time.Time, want string, until time.Time) {
	t.Helper()
	person, end, ok := r.OnDuty(at)
	if !ok || person != want {
		t.Fatalf("at %v %q is on duty, want %q", at, person, want)
	}
	if end.After(limit) {
		end = limit
	}
	if !end.Equal(until) {
		t.Fatalf("at %v on duty until %v, the shift ends %v", at, end, until)
	}
}

// TestTurnsByTheCalendar checks turns of whole days against counting handovers on the wall one by one.
func TestTurnsByTheCalendar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRota(t)
		days := rapid.SampledFrom([]int{1, 2, 7, 14, 28}).Draw(t, "days")
		r.Every, r.Hours, r.People = time.Duration(days)*24*time.Hour, "", []string{"ivy", "ian", "tess"}
		r, err := r.Ready(desk())
		if err != nil {
			t.Fatal(err)
		}
		at := r.Start.Add(time.Duration(rapid.IntRange(0, 400*24*60).Draw(t, "after")) * time.Minute)
		loc := r.roster.loc
		start := r.Start.In(loc)
		turns := 0 // handovers that the wall has shown by now
		for {
			wall := time.Date(start.Year(), start.Month(), start.Day()+(turns+1)*days, start.Hour(), start.Minute(), 0, 0, time.UTC)
			if firstShown(wall, loc).After(at) {
				break
			}
			turns++
		}
		if person, _, _ := r.OnDuty(at); person != r.People[turns%3] {
			t.Fatalf("at %v, after %d handovers, %s is on duty, want %s", at.In(loc), turns, person, r.People[turns%3])
		}
	})
}

// firstShown is the first minute at which the wall shows at least wall, found by walking there.
func firstShown(wall time.Time, loc *time.Location) time.Time {
	for t := wall.Add(-16 * time.Hour); ; t = t.Add(time.Minute) {
		if l := t.In(loc); !time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, time.UTC).Before(wall) {
			return t
		}
	}
}

// TestWallAt: the instant shows the wall time or is a jump over it, nothing before it shows as much, and order is kept.
func TestWallAt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc, err := location(rapid.SampledFrom(dstZones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		wall := instants().Draw(t, "wall")
		if got, want := wallAt(wall, loc), firstShown(wall, loc); !got.Equal(want) {
			t.Fatalf("%v is first shown at %v, want %v", wall, got, want)
		}
		later := wall.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "later")) * time.Minute)
		if wallAt(later, loc).Before(wallAt(wall, loc)) {
			t.Fatalf("%v comes before %v", later, wall)
		}
	})
}
