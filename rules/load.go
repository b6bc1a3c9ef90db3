package rules

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules/window"
)

// LoadOptions say what rules mean beside what is written in them.
type LoadOptions struct {
	// Interval is the time between two evaluations on a timer, and so the step of subqueries that have none (x[1h:]). Where
	// it is 0, these are evaluated on a timer.
	Interval time.Duration
}

// Load is LoadOptions.Load with the defaults.
func Load(files map[string][]byte) ([]Group, error) { return LoadOptions{}.Load(files) }

// Load parses files that work together, by name, connects alerts with the recording rules they read and places every rule
// at arrival or on its group's timer. Groups come in the order of the files' names. The error joins one *Error for every
// fault of every file, in the order of the files' names; the groups then are what has none, to look for more faults in and
// not to be used.
func (o LoadOptions) Load(files map[string][]byte) ([]Group, error) {
	var groups []Group
	var errs []error
	first := map[string]Group{}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		found, err := Parse(file, files[file])
		errs = append(errs, err)
		for _, g := range found {
			other, ok := first[g.Name]
			switch {
			case ok && g.Name != "" && other.File != file: // Parse found those of one file
				errs = append(errs, &Error{File: file, Line: g.Line, Group: g.Name, Err: fmt.Errorf(
					"%s:%d has a group of this name too: want names that are unique over all files; rename one", other.File, other.Line)})
			case !ok:
				first[g.Name] = g
			}
			groups = append(groups, g)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return groups, err
	}
	o.place(groups)
	connect(groups)
	return groups, nil
}

// Lookback is how far back the window has to keep samples for these groups.
func Lookback(groups []Group) time.Duration {
	var d time.Duration
	for _, g := range groups {
		for _, r := range g.Rules {
			d = max(d, r.Lookback+r.QueryOffset)
		}
	}
	return d + window.StaleAfter
}

// connect gives every rule the selectors of the rules whose series it reads, directly or through others, and what they
// look back: whether a recorded series, or ALERTS, can be known is a question about what it is made of.
func connect(groups []Group) {
	var all []*Rule
	for _, g := range groups {
		all = append(all, g.Rules...)
	}
	own := make(map[*Rule]reach, len(all))
	for _, r := range all {
		own[r] = reach{selectors: r.Selectors, written: r.written}
	}
	for _, r := range all {
		c := connection{own: own, all: all, on: map[*Rule]bool{r: true}, seen: map[*Rule]time.Duration{}, rule: r}
		r.Selectors, r.written = slices.Clone(r.Selectors), maps.Clone(r.written)
		for _, sel := range own[r].selectors {
			c.follow(sel)
		}
		r.Lookback = lookback(r.Selectors)
	}
}

func lookback(sels []window.Selector) time.Duration {
	var d time.Duration
	for _, s := range sels {
		d = max(d, s.Lookback)
	}
	return d
}

// connection is the walk from one rule through the recording rules behind it.
type connection struct {
	own map[*Rule]reach
	all []*Rule
	// on is the way to here, against rules that read themselves; seen is how far back each was read.
	on   map[*Rule]bool
	seen map[*Rule]time.Duration
	rule *Rule
}

// follow adds to the rule what is behind the series that sel reads.
func (c *connection) follow(sel window.Selector) {
	for _, rec := range c.all {
		if back, ok := c.seen[rec]; c.on[rec] || (ok && back >= sel.Lookback) || !rec.writes(sel.Matchers) {
			continue
		}
		c.seen[rec], c.on[rec] = sel.Lookback, true
		rec.Labels.Range(func(l labels.Label) { c.rule.written[l.Name] = true })
		maps.Copy(c.rule.written, c.own[rec].written)
		for _, s := range c.own[rec].selectors {
			s.Absence = s.Absence || sel.Absence
			s.Lookback += sel.Lookback
			c.rule.Selectors = append(c.rule.Selectors, s)
			c.follow(s)
		}
		delete(c.on, rec)
	}
}
