package sample

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

const (
	logsEvery = 5 * time.Second
	// logsFindEvery is how often files are looked for.
	logsFindEvery  = time.Minute
	logsTableEvery = time.Minute
	logsStateName  = "logs.json"
	// maxLogText is how much of a line is told.
	maxLogText = 1000
)

// logsSampler tells of errors that programs write to their log files. A file that is there when the agent first looks is
// followed from its end, later from where the agent stopped; one that appears is read from its beginning.
type logsSampler struct {
	host
	dir            string
	files          []string
	exclude        func(string) bool
	wanted, ignore func(string) bool
	redact         *Redactor

	tails  map[string]*followed
	closed map[string]error
	more   int
	findAt time.Time
	begun  bool
	// positions are the places before which everything has been told, not kept yet.
	positions, kept map[string]tailPlace
	unkept          error
	repeats         *repeats
	tableAt         time.Time
}

// followed is a file that is followed, and what was found in it.
type followed struct {
	*tail
	errors int
	last   time.Time
}

func newLogs(h host, stateDir string, c LogsConfig, r *Redactor) *logsSampler {
	return &logsSampler{
		host: h, dir: stateDir, files: c.Files, exclude: exclude(c.Exclude), wanted: either(c.Patterns), ignore: either(c.Ignore),
		redact: r, tails: map[string]*followed{}, closed: map[string]error{}, repeats: newRepeats(),
	}
}

// Read fails once when the places kept in the files are damaged. A file that cannot be read is in the table, with the
// right that is missing.
func (s *logsSampler) Read(ctx context.Context, now time.Time) (Reading, error) {
	if now.Sub(s.findAt) >= logsFindEvery {
		s.findAt = now
		if err := s.find(now); err != nil {
			return Reading{}, err
		}
	}
	s.keep()
	for _, name := range slices.Sorted(maps.Keys(s.tails)) {
		if ctx.Err() != nil {
			break // the next reading goes on
		}
		f := s.tails[name]
		if err := f.read(now, func(line string) { s.look(f, name, line, now) }); err != nil {
			s.drop(name, err)
		}
	}
	r := Reading{Events: s.repeats.take(now)}
	if !s.repeats.waits() {
		s.place()
	}
	if now.Sub(s.tableAt) >= logsTableEvery || len(r.Events) > 0 {
		r.Tables, s.tableAt = []*wire.Table{s.table(now)}, now
	}
	return r, nil
}

// find begins to follow files that are new, and lets go of those that are not wanted any more.
func (s *logsSampler) find(now time.Time) error {
	var kept map[string]tailPlace
	var damaged error
	first := !s.begun
	if first {
		_, damaged = lastState(s.dir, logsStateName, &kept)
		s.begun = true
	}
	found := findLogs(s.host, s.files, s.exclude)
	refused := s.closed
	s.closed, s.more = found.closed, found.more
	names := map[string]bool{}
	for _, file := range found.files {
		name := file.String()
		names[name] = true
		if s.tails[name] != nil {
			continue
		}
		t, err := s.follow(file, kept, first || refused[name] != nil, now)
		switch {
		case err == nil:
			s.tails[name] = &followed{tail: t}
		case !noSuchFile(err):
			s.closed[name] = err
		}
	}
	for name, f := range s.tails {
		if !names[name] {
			f.close()
			delete(s.tails, name)
		}
	}
	return damaged
}

func (s *logsSampler) follow(file logFile, kept map[string]tailPlace, old bool, now time.Time) (*tail, error) {
	if p, ok := kept[file.String()]; ok {
		return resumeTail(s.host, file, p, now)
	}
	return openTail(s.host, file, !old)
}

// drop lets go of a file that is gone or has become unreadable; find takes it up again.
func (s *logsSampler) drop(name string, err error) {
	s.tails[name].close()
	delete(s.tails, name)
	if !noSuchFile(err) {
		s.closed[name] = err
	}
}

// noSuchFile says that there is no such file, which is no trouble.
func noSuchFile(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// look takes in one line.
func (s *logsSampler) look(f *followed, name, line string, now time.Time) {
	line = cleanLine(line)
	if !s.wanted(line) || s.ignore(line) {
		return
	}
	f.errors++
	f.last = now
	line = s.redact.Text(line)
	s.repeats.add(name+"\x00"+wire.Clean(plain(line), 200), newEvent("log_error", now,
		name+": "+wire.Clean(line, maxLogText), map[string]string{"file": name}))
}

// place takes note of where this reading has got to, for keep at the next: by then the agent has the events.
func (s *logsSampler) place() {
	s.positions = make(map[string]tailPlace, len(s.tails))
	for name, f := range s.tails {
		s.positions[name] = f.place()
	}
}

// keep writes down the places of the reading before. That it cannot is in the table.
func (s *logsSampler) keep() {
	if s.positions == nil || maps.EqualFunc(s.positions, s.kept, tailPlace.equal) {
		return
	}
	if s.unkept = keepState(s.dir, logsStateName, s.positions); s.unkept == nil {
		s.kept = s.positions
	}
}

func (s *logsSampler) table(now time.Time) *wire.Table {
	t := &wire.Table{
		Kind: "log_files", SampledAtMs: now.UnixMilli(), Columns: []string{"file", "state", "errors seen", "last error"},
	}
	for _, name := range slices.Sorted(maps.Keys(s.tails)) {
		f := s.tails[name]
		state, last := "followed", ""
		if f.skipped > 0 {
			state += fmt.Sprintf("; it grows faster than it is read, %s not looked at", bytesText(uint64(f.skipped)))
		}
		if !f.last.IsZero() {
			last = f.last.UTC().Format(time.RFC3339)
		}
		t.Rows = append(t.Rows, row(name, state, strconv.Itoa(f.errors), last))
	}
	for _, name := range slices.Sorted(maps.Keys(s.closed)) {
		t.Rows = append(t.Rows, row(name, closedBecause(s.closed[name]), "", ""))
	}
	if s.more > 0 {
		t.Rows = append(t.Rows, row(fmt.Sprintf("%d more", s.more), fmt.Sprintf("not followed: at most %d are; narrow logs.files", maxLogFiles), "", ""))
	}
	if s.unkept != nil {
		t.Rows = append(t.Rows, row("", s.unkept.Error()+"; after a restart lines may be told twice or missed", "", ""))
	}
	switch {
	case len(s.files) == 0:
		t.NoneBecause = "no log files are configured (logs.files)"
	case len(t.Rows) == 0:
		t.NoneBecause = "none of the configured log files is there (logs.files)"
	}
	return t
}

// closedBecause says which right is missing, or what else is in the way.
func closedBecause(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "not readable: the agent's user lacks the right; it is usually that of the group adm (SupplementaryGroups=adm in its unit)"
	case errors.Is(err, errNotRegular):
		return "not followed: not a regular file"
	}
	return "not followed: " + err.Error()
}

// cleanLine makes a line of a log fit to be read: UTF-8 without control characters and the escape sequences that
// programs colour their lines with (ECMA-48).
func cleanLine(s string) string {
	s = strings.ToValidUTF8(strings.Trim(s, "\x00\r\n\t "), "\uFFFD")
	if strings.Contains(s, "\x1b") {
		s = escapes.ReplaceAllString(s, "")
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

var escapes = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -~])`)
