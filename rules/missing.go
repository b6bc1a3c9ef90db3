package rules

import "fmt"

// Missing is what becomes of an alert when nobody knows its series any more: its asset is silent, or what samples them
// fails or is gone.
type Missing string

const (
	// Freeze leaves the alert as it is until something is known: it neither begins nor ends. It is the default.
	Freeze Missing = "freeze"
	// Resolve is what Prometheus does: what is not there is not firing, so the alert ends when its series are stale.
	Resolve Missing = "resolve"
)

// MissingLabel on a rule, with Freeze or Resolve as its value, says for this rule what SetMissing says for all. It stays on
// the rule's alerts, as all labels do.
const MissingLabel = "watchbill_missing"

// TypeLabel on a rule names the type of ticket that its alerts open, where the customer's policy has that type of incident:
// what the type asks for then stands before the work on it. It is not called type, as labels of series are.
const TypeLabel = "watchbill_type"

// Valid tells whether m is a word of this package.
func (m Missing) Valid() bool { return m == Freeze || m == Resolve }

// Resolves tells whether this rule's alerts end when their series are missing, as in Prometheus, instead of freezing: its
// own label says so, or what SetMissing was told.
func (r *Rule) Resolves() bool {
	if own := Missing(r.Labels.Get(MissingLabel)); own.Valid() {
		return own == Resolve
	}
	return r.missing == Resolve
}

// SetMissing says what missing series do to the alerts of those rules that do not say so themselves. Call it after Load,
// before Check and before the groups are used by anybody. Check finds rules whose MissingLabel is no word.
func SetMissing(groups []Group, m Missing) {
	for _, g := range groups {
		for _, r := range g.Rules {
			r.missing = m
		}
	}
}

func (r *Rule) missingFault() error {
	own := r.Labels.Get(MissingLabel)
	if own == "" || Missing(own).Valid() {
		return nil
	}
	return fmt.Errorf("label %q is %q: want %s or %s, or no such label", MissingLabel, own, Freeze, Resolve)
}
