package sample

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// sessionEvents tells who logged in and out, from the table that the sessions' sampler makes. Who is there when the
// agent first looks is in the table and no event.
type sessionEvents struct {
	sessionsSampler
	// before are the sessions of the last reading, nil before the first.
	before  map[string]*wire.Row
	repeats *repeats
}

func newSessions(s sessionsSampler) *sessionEvents {
	return &sessionEvents{sessionsSampler: s, repeats: newRepeats()}
}

// Read fails as the sampler of the table does; what happened meanwhile is told afterwards.
func (s *sessionEvents) Read(ctx context.Context, now time.Time) (Reading, error) {
	r, err := s.sessionsSampler.Read(ctx, now)
	if err != nil {
		return r, err
	}
	sessions := map[string]*wire.Row{}
	for _, t := range r.Tables {
		for _, row := range t.Rows {
			if since := row.Cells[3]; since != "" { // the last row may count those that are not shown
				sessions[strings.Join(row.Cells, "\x00")] = row
			}
		}
	}
	if s.before != nil {
		s.tell(now, s.before, sessions, "session_ended", "logged out")
		s.tell(now, sessions, s.before, "session_began", "logged in")
	}
	s.before = sessions
	r.Events = append(r.Events, s.repeats.take(now)...)
	return r, nil
}

func (s *sessionEvents) tell(now time.Time, in, notIn map[string]*wire.Row, kind, verb string) {
	for _, key := range slices.Sorted(maps.Keys(in)) {
		if notIn[key] != nil {
			continue
		}
		c := in[key].Cells
		s.repeats.add(kind+"\x00"+c[0]+"\x00"+c[2], newEvent(kind, now, c[0]+" "+verb+" ("+c[1]+", from "+c[2]+").",
			map[string]string{"user": c[0], "terminal": c[1], "from": c[2], "since": c[3]}))
	}
}
