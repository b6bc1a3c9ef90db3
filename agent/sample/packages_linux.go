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

	"golang.org/x/time/rate"

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
	Logs      map[string]tailPlace `json:"logs"`
	Databases map[string]int64     `json:"databases"`
}

// packagesSampler tells which packages were installed, upgraded and removed: the logs of package managers, followed like
// any other, and where none of them tells, the time of the packages' database. No package manager is asked.
type packagesSampler struct {
	host
	dir   string
	logs  []packageLog
	tails map[string]*tail
	// closed are the logs that are there and could not be opened.
	closed map[string]bool
	begun  bool
	// changes are those that have not been told, by verb; limit is how soon they may be.
	changes map[string]*packageChanges
	limit   *rate.Limiter
	// fresh are the packages that a transaction has installed, by log.
	fresh map[string]map[string]bool
	// changed are the times of the databases when they were told of last, in nanoseconds since 1970.
	changed map[string]int64
	places  packagesState
	kept    packagesState
}

func newPackages(h host, stateDir string) *packagesSampler {
	return &packagesSampler{
		host: h, dir: stateDir, logs: packageLogs(), tails: map[string]*tail{}, changes: map[string]*packageChanges{},
		limit: rate.NewLimiter(rate.Every(eventsEvery), eventsAtOnce), fresh: map[string]map[string]bool{}, closed: map[string]bool{},
	}
}

// Read fails when a log is there and cannot be read, telling what the others say; when the place kept is damaged, once;
// and when it cannot be kept.
func (s *packagesSampler) Read(_ context.Context, now time.Time) (Reading, error) {
	first := !s.begun
	s.begun = true
	var err error
	if first {
		var last packagesState
		if _, err = lastState(s.dir, packagesStateName, &last); err != nil {
			last = packagesState{}
		}
		s.kept, s.changed = last, last.Databases
	} else if err := s.keep(); err != nil {
		return Reading{}, err
	}
	err = errors.Join(err, s.open(first, now), s.read(now))
	r := Reading{Events: s.tell(now)}
	databases := s.databases()
	switch db := newer(databases, s.changed); {
	case db == "" || len(s.tails) > 0:
		s.changed = databases
	case s.limit.AllowN(now, 1):
		s.changed = databases
		r.Events = append(r.Events, newEvent("package_changed", now,
			"Packages were installed, upgraded or removed; no log that the agent can read says which ("+db+" has changed).", map[string]string{"file": db}))
	}
	if len(s.changes) == 0 { // else a crash would lose what is not told yet
		s.places = packagesState{Logs: map[string]tailPlace{}, Databases: s.changed}
		for name, t := range s.tails {
			s.places.Logs[name] = t.place()
		}
	}
	return r, err
}

// open begins to follow the logs that are there. One that is there at the first reading is new from its end on, and so is
// one that becomes readable.
func (s *packagesSampler) open(first bool, now time.Time) error {
	var errs []error
	for _, l := range s.logs {
		if s.tails[l.path] != nil {
			continue
		}
		file := logFile{path.Dir(l.path), path.Base(l.path)}
		var t *tail
		var err error
		if p, ok := s.kept.Logs[l.path]; ok && first {
			t, err = resumeTail(s.host, file, p, now)
		} else {
			t, err = openTail(s.host, file, !first && !s.closed[l.path])
		}
		s.closed[l.path] = err != nil && !noSuchFile(err)
		switch {
		case err == nil:
			s.tails[l.path] = t
		case s.closed[l.path]:
			errs = append(errs, unreadable(l.path, err))
		}
	}
	return errors.Join(errs...)
}

// unreadable says what is lost with a log, and what to do.
func unreadable(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("follow %s: %w: what it says was installed, upgraded or removed is not told; let the agent's user read it (chmod, or its group in SupplementaryGroups=)", path, err)
	}
	return fmt.Errorf("follow %s: %w: what it says was installed, upgraded or removed is not told", path, err)
}

// keep writes down the places of the reading before: by now the agent has its events.
func (s *packagesSampler) keep() error {
	if s.places.Logs == nil || maps.EqualFunc(s.places.Logs, s.kept.Logs, tailPlace.equal) && maps.Equal(s.places.Databases, s.kept.Databases) {
		return nil
	}
	if err := keepState(s.dir, packagesStateName, s.places); err != nil {
		return fmt.Errorf("%w; without it changes may be told again", err)
	}
	s.kept = s.places
	return nil
}

// read takes in what is new in the logs. One that has become unreadable is let go of; open tries it again.
func (s *packagesSampler) read(now time.Time) error {
	var errs []error
	for _, l := range s.logs {
		t := s.tails[l.path]
		if t == nil {
			continue
		}
		err := t.read(now, func(line string) {
			if c, ok := l.parse(cleanLine(line)); ok {
				s.take(l, c)
			}
		})
		if err == nil {
			continue
		}
		t.close()
		delete(s.tails, l.path)
		if !noSuchFile(err) {
			errs = append(errs, unreadable(l.path, err))
		}
	}
	return errors.Join(errs...)
}

// take takes in one change. Where a log writes an upgrade as two, the removal of the old version tells that it was one.
func (s *packagesSampler) take(l packageLog, c packageChange) {
	fresh := s.fresh[l.path]
	if fresh == nil {
		fresh = map[string]bool{}
		s.fresh[l.path] = fresh
	}
	switch {
	case c.verb == began:
		clear(fresh)
		return
	case l.pairs && c.verb == installed:
		fresh[c.name] = true
	case l.pairs && c.verb == removed && fresh[c.name]:
		change, ok := s.of(installed).without(c.name)
		if !ok {
			return // the installation has been told
		}
		c = packageChange{verb: upgraded, name: c.name, from: c.from, to: change.to}
	}
	s.of(c.verb).add(c)
}

func (s *packagesSampler) of(verb string) *packageChanges {
	if s.changes[verb] == nil {
		s.changes[verb] = &packageChanges{}
	}
	return s.changes[verb]
}

// tell makes an event of the changes of each kind, as far as the bound on events allows. The others wait.
func (s *packagesSampler) tell(now time.Time) []*wire.Event {
	var out []*wire.Event
	for _, verb := range []string{installed, upgraded, removed} {
		all := s.changes[verb]
		if all == nil || all.count() > 0 && !s.limit.AllowN(now, 1) {
			continue
		}
		delete(s.changes, verb)
		if all.count() > 0 {
			out = append(out, all.event(verb, now))
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

// packageChanges are changes of one kind.
type packageChanges struct {
	all []packageChange
	// more counts those that are not even remembered.
	more int
}

// packagesRemembered bounds the changes that are held until they are told.
const packagesRemembered = 2000

func (p *packageChanges) add(c packageChange) {
	switch {
	case slices.Contains(p.all, c):
	case len(p.all) == packagesRemembered:
		p.more++
	default:
		p.all = append(p.all, c)
	}
}

// without takes out the change of a package.
func (p *packageChanges) without(name string) (packageChange, bool) {
	i := slices.IndexFunc(p.all, func(c packageChange) bool { return c.name == name })
	if i < 0 {
		return packageChange{}, false
	}
	c := p.all[i]
	p.all = slices.Delete(p.all, i, i+1)
	return c, true
}

func (p *packageChanges) count() int { return len(p.all) + p.more }

// event is one event for all of them.
func (p *packageChanges) event(verb string, now time.Time) *wire.Event {
	names := make([]string, 0, min(len(p.all), packagesNamed))
	for _, c := range p.all[:min(len(p.all), packagesNamed)] {
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
	if more := p.count() - len(names); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	what := "1 package was "
	if p.count() > 1 {
		what = strconv.Itoa(p.count()) + " packages were "
	}
	return newEvent("package_"+verb, now, what+verb+": "+list+".", map[string]string{"packages": list, "count": strconv.Itoa(p.count())})
}
