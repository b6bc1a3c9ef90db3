package sample

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// sessionEvents tells who logged in and out, and makes the table of who is there. Who is there when the agent first looks
// is in the table and no event.
type sessionEvents struct {
	sessionsSampler
	// before are the sessions of the last reading, nil before the first and where there were too many.
	before  map[login]bool
	repeats *repeats
}

func newSessions(s sessionsSampler) *sessionEvents {
	return &sessionEvents{sessionsSampler: s, repeats: newRepeats()}
}

// Read fails as the sampler of the table does; what happened meanwhile is told afterwards.
func (s *sessionEvents) Read(ctx context.Context, now time.Time) (Reading, error) {
	all, none, err := s.logins(ctx)
	if err != nil {
		return Reading{}, err
	}
	var sessions map[login]bool
	if len(all) <= maxLogins { // more are not told apart; the table counts them
		sessions = make(map[login]bool, len(all))
		for _, l := range all {
			sessions[l] = true
		}
	}
	if s.before != nil && sessions != nil {
		s.tell(now, s.before, sessions, "session_ended", "logged out")
		s.tell(now, sessions, s.before, "session_began", "logged in")
	}
	s.before = sessions
	return Reading{Tables: []*wire.Table{loginsTable(all, none, now)}, Events: s.repeats.take(now)}, nil
}

func (s *sessionEvents) tell(now time.Time, in, notIn map[login]bool, kind, verb string) {
	for _, l := range slices.SortedFunc(maps.Keys(in), compareLogins) {
		if notIn[l] {
			continue
		}
		s.repeats.add(kind+"\x00"+l.user+"\x00"+l.from, newEvent(kind, now, l.user+" "+verb+" ("+l.terminal+", from "+l.from+").",
			map[string]string{"user": l.user, "terminal": l.terminal, "from": l.from, "since": l.since}))
	}
}

func compareLogins(a, b login) int {
	return cmp.Or(strings.Compare(a.user, b.user), strings.Compare(a.terminal, b.terminal), strings.Compare(a.from, b.from), strings.Compare(a.since, b.since))
}
