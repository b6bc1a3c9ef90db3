package policy

import (
	"slices"

	"github.com/watchbill/watchbill/collector/ticket"
)

// shadow is the first of earlier rows whose condition holds whenever that of row does; nil without one. Rows that one of
// the filters leaves out shadow nothing.
func shadow[T any](earlier []T, row T, when func(T) ticket.When, filters ...func(T) bool) *T {
	for i := range earlier {
		if slices.ContainsFunc(filters, func(f func(T) bool) bool { return !f(earlier[i]) }) {
			continue
		}
		if covers(when(earlier[i]), when(row)) {
			return &earlier[i]
		}
	}
	return nil
}

// covers tells that a holds whenever b does, as far as their words tell.
func covers(a, b ticket.When) bool {
	for name, words := range a {
		if !coversFact(name, words, b[name]) {
			return false
		}
	}
	return true
}

// coversFact is covers for one fact that a names; with no words b takes any, the empty one too.
func coversFact(name string, a, b []string) bool {
	takes := func(word string) bool { return ticket.When{name: a}.Holds(ticket.Facts{name: word}) }
	onlyNot := !slices.ContainsFunc(a, positive)
	var left []string // out of b by name
	for _, w := range b {
		if !positive(w) {
			left = append(left, w)
		}
	}
	switch {
	case len(left) == len(b): // b takes all but these, the empty one too
		return onlyNot && !slices.ContainsFunc(a, func(w string) bool { return !slices.Contains(left, w) })
	case slices.Contains(b, "*"):
		return slices.Contains(a, "*") && !slices.ContainsFunc(a, func(w string) bool { return !positive(w) && !slices.Contains(left, w) })
	}
	return !slices.ContainsFunc(b, func(w string) bool { return positive(w) && !slices.Contains(left, "!"+w) && !takes(w) })
}
