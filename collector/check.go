package collector

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/history/remote"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/rules"
)

// Checked is what a check of a configuration finds that does not keep a collector from starting with it, and what does of
// policies and contracts: a Finding says which.
type Checked struct {
	Rules []rules.Finding
	Terms []policy.Finding
}

// CheckConfig checks a configuration file and all it names at now: rules, fleet, policies with the contracts that are under them,
// and what receivers and remote-write targets read of files. The error names every other fault at once, whichever section it is in.
// It starts nothing and writes nothing.
func CheckConfig(file string, now time.Time) (Checked, error) {
	c, written, err := loadConfig(file)
	errs := []error{err}
	var out Checked
	_, out.Rules, err = LoadRules(c)
	for _, err := range apart(err) {
		if in := (*rules.Error)(nil); !errors.As(err, &in) { // that is at home in a rule file
			err = written.place(err)
		}
		errs = append(errs, err)
	}
	var d fleet.Directory
	if c.Fleet.Directory != "" {
		if d, err = fleet.LoadDirectory(c.Fleet.Directory); err != nil {
			errs, d = append(errs, written.gone("fleet.directory", err)), fleet.Directory{}
		}
	}
	book, err := loadPolicies(c.Policies.Directory)
	switch {
	case err != nil:
		errs = append(errs, written.gone("policies.directory", err))
	case written.unread["policies"]: // others may be meant
	case written.unread["receivers"]: // some may be missing
		out.Terms = book.Check(d, now)
	default:
		out.Terms = CheckTerms(c, book, d, now)
	}
	if c.Fleet.Directory != "" && len(d.Customers) > 0 && !written.unread["feed"] {
		out.Terms = append(out.Terms, checkPlaces(c, written, d)...)
	}
	for _, err := range append(checkClients(c), checkCredentials(c)...) {
		errs = append(errs, written.place(err))
	}
	return out, errors.Join(errs...)
}

// gone places a fault of a directory that is not there; others have a place of their own, in a file of it.
func (f form) gone(field string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.place(fmt.Errorf("%s: %w: correct it, or take it out", field, err))
}

// checkClients makes those that send, each for itself, for what is wrong with the files that they read. Those whose values are
// wrong are left out: Validate names them.
func checkClients(c Config) (errs []error) {
	for _, r := range c.Receivers {
		if one := []notify.Receiver{r}; notify.Validate(one) == nil {
			if _, err := notify.New(one, notify.Options{}); err != nil {
				errs = append(errs, fmt.Errorf("receivers[%q]: %w", r.Name, err))
			}
		}
	}
	planner, err := remote.New("", remote.Options{})
	if err != nil {
		return append(errs, err)
	}
	if c.Remote.Validate() == nil {
		_, err = planner.Plan(c.Remote)
		errs = append(errs, apart(err)...)
	}
	return errs
}

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
