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

// Load parses files that work together, by name, and connects alerts with the recording rules they read. Groups come in
// the order of the files' names. The error joins every fault of every file.
func Load(files map[string][]byte) ([]Group, error) {
	var groups []Group
	var errs []error
	first := map[string]string{}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		gs, err := Parse(file, files[file])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, g := range gs {
			if other, ok := first[g.Name]; ok {
				err := fmt.Errorf("%s has a group of this name too: want names that are unique over all files", other)
				errs = append(errs, &Error{File: file, Group: g.Name, Err: err})
			}
			first[g.Name] = file
		}
		groups = append(groups, gs...)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
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

// connect gives every rule the selectors of the recording rules that it reads, directly or through others, and what
// they look back: whether a recorded series can be known is a question about what it is made of.
func connect(groups []Group) {
	var all, records []*Rule
	for _, g := range groups {
		all = append(all, g.Rules...)
		for _, r := range g.Rules {
			if r.Record != "" {
				records = append(records, r)
			}
		}
	}
	own := make(map[*Rule]reach, len(all))
	for _, r := range all {
		own[r] = reach{selectors: r.Selectors, lookback: r.Lookback, written: r.written}
	}
	for _, r := range all {
		c := connection{own: own, records: records, seen: map[*Rule]bool{r: true}, rule: r}
		r.written = maps.Clone(r.written)
		r.Lookback = c.follow(r)
	}
}

// connection is the walk from one rule through the recording rules behind it.
type connection struct {
	own     map[*Rule]reach
	records []*Rule
	seen    map[*Rule]bool
	rule    *Rule
}

// follow returns how far back r looks with all that is behind it.
func (c *connection) follow(r *Rule) time.Duration {
	var behind time.Duration
	for _, sel := range c.own[r].selectors {
		for _, rec := range c.records {
			if c.seen[rec] || !reads(sel, rec.Record) {
				continue
			}
			c.seen[rec] = true
			for _, s := range c.own[rec].selectors {
				s.Absence = s.Absence || sel.Absence
				c.rule.Selectors = append(c.rule.Selectors, s)
			}
			rec.Labels.Range(func(l labels.Label) { c.rule.written[l.Name] = true })
			maps.Copy(c.rule.written, c.own[rec].written)
			behind = max(behind, c.follow(rec))
		}
	}
	return c.own[r].lookback + behind
}
