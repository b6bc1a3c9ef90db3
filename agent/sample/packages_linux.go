package sample

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

const (
	packagesEvery     = 15 * time.Second
	packagesStateName = "packages.json"
	// packagesNamed is how many packages one event names.
	packagesNamed = 15
)

// packageDatabases change whenever a package does. Where no log says what happened, this at least says that.
var packageDatabases = []string{
	"/var/lib/dpkg/status", "/usr/lib/sysimage/rpm/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite", "/var/lib/rpm/Packages",
	"/usr/lib/sysimage/rpm/Packages.db", "/lib/apk/db/installed",
}

// packagesState is what must survive a restart of the agent.
type packagesState struct {
	Logs      map[string]tailPosition `json:"logs"`
	Databases map[string]int64        `json:"databases"`
}

// packagesSampler tells which packages were installed, upgraded and removed: the logs of package managers, followed like
// any other, and where none of them tells, the time of the packages' database. No package manager is asked.
type packagesSampler struct {
	host
	dir   string
	logs  []packageLog
	tails map[string]*tail
	begun bool
	// changed are the times of the databases at the last reading, in nanoseconds since 1970.
	changed map[string]int64
	places  packagesState
	kept    packagesState
}

func newPackages(h host, stateDir string) *packagesSampler {
	return &packagesSampler{host: h, dir: stateDir, logs: packageLogs(), tails: map[string]*tail{}}
}

// Read fails when the place kept is damaged, once, and when it cannot be kept.
func (s *packagesSampler) Read(_ context.Context, now time.Time) (Reading, error) {
	var last packagesState
	if !s.begun {
		s.begun = true
		known, err := lastState(s.dir, packagesStateName, &last)
		if err != nil {
			return Reading{}, err
		}
		s.changed = last.Databases
		if known {
			s.kept = last
		}
		s.open(last.Logs, true, now)
	} else {
		if err := s.keep(); err != nil {
			return Reading{}, err
		}
		s.open(nil, false, now)
	}
	changes := s.read(now)
	databases := s.databases()
	var events []*wire.Event
	for _, verb := range []string{installed, upgraded, removed} {
		if e := packagesEvent(verb, changes[verb], now); e != nil {
			events = append(events, e)
		}
	}
	if db := newer(databases, s.changed); db != "" && len(s.tails) == 0 {
		events = append(events, newEvent("package_changed", now,
			"Packages were installed, upgraded or removed; no log that the agent can read says which ("+db+" has changed).", map[string]string{"file": db}))
	}
	s.changed = databases
	s.places = packagesState{Logs: map[string]tailPosition{}, Databases: databases}
	for name, t := range s.tails {
		s.places.Logs[name] = t.now.at
	}
	return Reading{Events: events}, nil
}

// open begins to follow the logs that are there. One that is there at the first reading is new from its end on.
func (s *packagesSampler) open(places map[string]tailPosition, first bool, now time.Time) {
	for _, l := range s.logs {
		if s.tails[l.path] != nil {
			continue
		}
		file := logFile{path.Dir(l.path), path.Base(l.path)}
		var t *tail
		var err error
		if p, ok := places[l.path]; ok {
			t, err = resumeTail(s.host, file, p, now)
		} else {
			t, err = openTail(s.host, file, !first)
		}
		if err == nil {
			s.tails[l.path] = t
		}
	}
}

// keep writes down the places of the reading before: by now the agent has its events.
func (s *packagesSampler) keep() error {
	if maps.Equal(s.places.Logs, s.kept.Logs) && maps.Equal(s.places.Databases, s.kept.Databases) {
		return nil
	}
	if err := keepState(s.dir, packagesStateName, s.places); err != nil {
		return fmt.Errorf("%w; without it changes may be told again", err)
	}
	s.kept = s.places
	return nil
}

// read reads what is new in the logs, by verb.
func (s *packagesSampler) read(now time.Time) map[string][]packageChange {
	out := map[string][]packageChange{}
	for _, l := range s.logs {
		t := s.tails[l.path]
		if t == nil {
			continue
		}
		err := t.read(now, func(line string) {
			if c, ok := l.parse(cleanLine(line)); ok && !slices.Contains(out[c.verb], c) {
				out[c.verb] = append(out[c.verb], c)
			}
		})
		if err != nil {
			t.close()
			delete(s.tails, l.path)
		}
	}
	return out
}

// databases are the times at which the packages' databases were changed.
func (s *packagesSampler) databases() map[string]int64 {
	out := map[string]int64{}
	for _, p := range packageDatabases {
		info, err := os.Stat(s.root(p))
		if err == nil {
			out[p] = info.ModTime().UnixNano()
		} else if !errors.Is(err, fs.ErrNotExist) && s.changed[p] != 0 {
			out[p] = s.changed[p] // out of reach for now
		}
	}
	return out
}

// newer is a database that has changed since it was last looked at.
func newer(now, before map[string]int64) string {
	for _, p := range slices.Sorted(maps.Keys(now)) {
		if before[p] != 0 && now[p] != before[p] {
			return p
		}
	}
	return ""
}

// packagesEvent is one event for all that happened at once.
func packagesEvent(verb string, all []packageChange, now time.Time) *wire.Event {
	if len(all) == 0 {
		return nil
	}
	names := make([]string, 0, min(len(all), packagesNamed))
	for _, c := range all[:min(len(all), packagesNamed)] {
		name := c.name
		switch {
		case c.from != "" && c.to != "":
			name += " (" + c.from + " → " + c.to + ")"
		case c.from != "" || c.to != "":
			name += " (" + cmp.Or(c.to, c.from) + ")"
		}
		names = append(names, name)
	}
	list := strings.Join(names, ", ")
	if more := len(all) - packagesNamed; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	what := "1 package was "
	if len(all) > 1 {
		what = strconv.Itoa(len(all)) + " packages were "
	}
	return newEvent("package_"+verb, now, what+verb+": "+list+".", map[string]string{"packages": list, "count": strconv.Itoa(len(all))})
}
