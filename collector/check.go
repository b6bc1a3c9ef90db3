package collector

import (
	"fmt"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
)

// CheckTerms is what a check finds at now in policy sets, in what the contracts of a directory make of them, and in the
// receivers by which the configuration lets people be told: the same for `check`, for a start and for a reload.
func CheckTerms(cfg Config, book *policy.Book, d fleet.Directory, now time.Time) []policy.Finding {
	names := make([]string, 0, len(cfg.Receivers))
	for _, r := range cfg.Receivers {
		if r.TakesNotices() {
			names = append(names, r.Name)
		}
	}
	return book.Check(d, now, policy.WithReceivers(names))
}

// running is a directory without the contracts that are over: a set that they were under may be gone, and nothing opens under
// them.
func running(d fleet.Directory, now time.Time) fleet.Directory {
	d.Customers = slices.Clone(d.Customers)
	for i := range d.Customers {
		c := &d.Customers[i]
		c.Contracts = slices.DeleteFunc(slices.Clone(c.Contracts), func(k fleet.Contract) bool { return policy.Over(k, now) })
	}
	return d
}

// termDoubts are the findings of a check in words, faults first, at most mostTold of them.
func termDoubts(found []policy.Finding) []string {
	_, words := mostOf(found, func(f policy.Finding) bool { return f.Fault }, policy.Finding.String)
	return words
}

// mostOf are the first mostTold of what a check found, faults first, and the words that tell them and how many more there
// are.
func mostOf[F any](found []F, fault func(F) bool, text func(F) string) (told []F, words []string) {
	rank := func(f F) int {
		if fault(f) {
			return 0
		}
		return 1
	}
	told = slices.Clone(found)
	slices.SortStableFunc(told, func(a, b F) int { return rank(a) - rank(b) })
	told = told[:min(mostTold, len(told))]
	for _, f := range told {
		words = append(words, text(f))
	}
	if more := len(found) - len(told); more > 0 {
		words = append(words, fmt.Sprintf("and %d more: `watchbill check config FILE` names them all", more))
	}
	return told, words
}

// doubtTerms logs what should be mended about policies and contracts that are in force, once for every load, and answers it.
func (c *Collector) doubtTerms(cfg Config, book *policy.Book) []string {
	said := termDoubts(CheckTerms(cfg, book, c.fleet.Directory(), c.now()))
	for _, text := range said {
		c.log.Warn("policies and contracts are in force that a check finds fault with or warns of", "found", text)
	}
	return said
}
