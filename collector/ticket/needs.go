package ticket

import (
	"maps"
	"slices"
	"time"
)

// NeedKind is a kind of need as gates may ask for it.
type NeedKind struct {
	// Kind is the word that a Need carries.
	Kind string
	// Asks says what must be there, to a person.
	Asks string
	// Roles and Names say what these parameters of the need mean; empty: it takes none.
	Roles, Names string
	// NeedsRoles and NeedsNames: the parameter must be given.
	NeedsRoles, NeedsNames bool
	// Gives is the verb by which a person provides it, empty where it takes no verb of its own.
	Gives Verb

	check func(asked) []string
}

// asked is what a need is checked with.
type asked struct {
	t     Ticket
	terms Terms
	a     Action
	by    By
	now   time.Time
	facts Facts
	n     Need
}

// The kinds of need.
const (
	needRecord        = "record"
	needPrerequisites = "prerequisites"
	needConsidered    = "considered"
	needMail          = "mail-evidence"
	needVerified      = "verified"
	needOrder         = "order"
	needCharge        = "chargeable-marked"
	needEstimate      = "estimate"
	needQuote         = "quote"
	needApproval      = "approval"
	needSecurity      = "security-statement"
	needVersion       = "version"
	needFollowUp      = "follow-up"
	needFollowed      = "follow-ups-done"
	needMonitoring    = "monitoring"
	needDocuments     = "documents"
	needSteps         = "steps"
	needChecklist     = "checklist"
	needChild         = "child"
	needChildDone     = "child-done"
	needRole          = "role"
	needWaiver        = "waiver"
	needDepartment    = "owning-department"
	needEvidence      = "evidence"
	needFacts         = "facts"
)

// needKinds is every kind of need, by its word.
var needKinds = func() map[string]NeedKind {
	all := map[string]NeedKind{}
	for _, some := range [][]NeedKind{recordNeeds, moneyNeeds, consentNeeds, workNeeds} {
		for _, k := range some {
			all[k.Kind] = k
		}
	}
	return all
}()

// Needs is the table of every kind of need that a gate may ask for, by name: for checks of policies and for docs.
func Needs() []NeedKind {
	out := make([]NeedKind, 0, len(needKinds))
	for _, name := range needNames() {
		out = append(out, needKinds[name])
	}
	return out
}

func needNames() []string { return slices.Sorted(maps.Keys(needKinds)) }

// named are the names that the need gives, or those that it has without.
func (q asked) named(otherwise ...string) []string {
	if len(q.n.Names) > 0 {
		return q.n.Names
	}
	return otherwise
}
