package policy

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Finding is something that a check found in policy sets, contracts or who is on call.
type Finding struct {
	// Where is file:line, or what is meant where there is no file.
	Where string `json:"where"`
	Text  string `json:"text"`
	// Fix says what to do about it.
	Fix string `json:"fix"`
	// Fault: what is found must be corrected; others are worth a look.
	Fault bool `json:"fault"`
	// Reach: it is about who can be reached, which the people and contacts of a directory decide, and not what a contract says.
	Reach bool `json:"-"`
}

// String is the finding in one line, as editors read it: where: what; what to do.
func (f Finding) String() string {
	s := f.Text
	if f.Where != "" {
		s = f.Where + ": " + s
	}
	if f.Fix != "" {
		s += ": " + f.Fix
	}
	return s
}

// Error is String: a fault is an error.
func (f Finding) Error() string { return f.String() }

// faultsOf are the faults among findings, joined; nil without any.
func faultsOf(found []Finding) error {
	var errs []error
	for _, f := range found {
		if f.Fault {
			errs = append(errs, f)
		}
	}
	return errors.Join(errs...)
}

// sorted puts findings in the order of files and lines, each once.
func sorted(found []Finding) []Finding {
	slices.SortStableFunc(found, func(a, b Finding) int {
		fileA, lineA := splitWhere(a.Where)
		fileB, lineB := splitWhere(b.Where)
		return cmp.Or(cmp.Compare(fileA, fileB), cmp.Compare(lineA, lineB), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(found)
}

func splitWhere(where string) (file string, line int) {
	i := strings.LastIndexByte(where, ':')
	if i < 0 {
		return where, 0
	}
	n, err := strconv.Atoi(where[i+1:])
	if err != nil {
		return where, 0
	}
	return where[:i], n
}
