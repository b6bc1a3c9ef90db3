package policy

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Undeclared is the environment of assets of which nobody said what they serve for.
const Undeclared = "not declared"

// Environments are what assets serve for, by customer and name. watched is since when an asset is watched, zero for never.
func Environments(assets []fleet.Asset, watched func(fleet.Asset) time.Time) []ticket.Environment {
	var out []ticket.Environment
	for _, a := range assets {
		name := cmp.Or(string(a.Environment), Undeclared)
		i := slices.IndexFunc(out, func(e ticket.Environment) bool { return e.Customer == a.Customer && e.Name == name })
		if i < 0 {
			i, out = len(out), append(out, ticket.Environment{Customer: a.Customer, Name: name})
		}
		e := &out[i]
		e.Assets = append(e.Assets, a.Name)
		if e.FirstReports == nil {
			e.FirstReports = map[string]time.Time{}
		}
		e.FirstReports[a.Name] = watched(a)
		if at := watched(a); !at.IsZero() && (e.WatchedFrom.IsZero() || at.Before(e.WatchedFrom)) {
			e.WatchedFrom = at
		}
	}
	slices.SortFunc(out, func(x, y ticket.Environment) int {
		return cmp.Or(strings.Compare(x.Customer, y.Customer), strings.Compare(x.Name, y.Name))
	})
	return out
}

// ComplianceState tells how an environment stands to one demand.
type ComplianceState string

// The states of compliance.
const (
	// Compliant: no deviation is open, and of every asset of the environment there is evidence.
	Compliant ComplianceState = "compliant"
	// Deviating: a ticket about it is open.
	Deviating ComplianceState = "deviating"
	// UnknownState: of an asset of the environment there is no evidence, so nothing can be said of it.
	UnknownState ComplianceState = "unknown"
)

// Standing is how a customer environment stands to one entry of the operator's policy list.
type Standing struct {
	Customer    string          `json:"customer"`
	Environment string          `json:"environment"`
	Demand      string          `json:"demand"`
	Title       string          `json:"title"`
	Source      string          `json:"source"`
	State       ComplianceState `json:"state"`
	// Deviations are the numbers of the open tickets; Unknown the assets of which there is no evidence.
	Deviations []string `json:"deviations"`
	Unknown    []string `json:"unknown"`
	// Evidence is what it rests on: the names of the rules that had data of its assets, the numbers of the tickets of reviews.
	Evidence []string `json:"evidence"`
	// Why says what is missing where the state is unknown; empty otherwise.
	Why string `json:"why"`
}

// Checking is what the loaded rules look at: for each system of which there is a rule, by asset, the names of the rules of
// that system that had data of it. A system without an entry is checked by no rule.
type Checking map[string]map[string][]string

// ComplianceQuestion is what a report of compliance is asked for.
type ComplianceQuestion struct {
	Environments []ticket.Environment
	// Terms are a customer's terms.
	Terms func(customer string) (Resolved, error)
	// Tickets are all that may be about the environments: the open ones, and what was resolved within the longest period of a
	// review. They are gone through once.
	Tickets iter.Seq[ticket.Ticket]
	// Mute are the assets that do not report; Checks what rules look at.
	Mute   map[string]bool
	Checks Checking
	Now    time.Time
}

// ReportCompliance holds each environment against the policy list of its customer's terms. An entry is compliant on evidence
// alone: for each asset a rule of one of its systems is loaded and had data of it, or a review that names the entry is
// resolved with its evidence and younger than its period. It fails when Terms does.
func ReportCompliance(q ComplianceQuestion) ([]Standing, error) {
	out := []Standing{}
	var asked []demanded
	for _, e := range q.Environments {
		res, err := q.Terms(e.Customer)
		if err != nil {
			return nil, err
		}
		facts := ticket.Facts{}
		for name, word := range res.Ticket.Facts {
			facts[name] = word
		}
		facts["environment"] = e.Name
		for _, d := range res.Compliance {
			if d.When.Holds(facts) {
				asked = append(asked, demanded{e: e, d: d, types: res.Ticket.Types, reviewed: map[string][]string{}})
				out = append(out, Standing{Customer: e.Customer, Environment: e.Name, Demand: d.Name, Title: d.Title, Source: d.Source,
					Deviations: []string{}, Unknown: []string{}, Evidence: []string{}})
			}
		}
	}
	for t := range q.Tickets {
		for i, one := range asked {
			if one.deviates(t) {
				out[i].Deviations = append(out[i].Deviations, t.Number)
			}
			one.review(t, q.Now)
		}
	}
	for i, one := range asked {
		out[i].stand(one, q)
	}
	return out, nil
}

// LongestReview is the longest period of the reviews that terms ask for: how far back one may be evidence. 0 is none.
func (r Resolved) LongestReview() time.Duration {
	var longest time.Duration
	for _, ty := range r.Ticket.Types {
		if len(ty.Evidence) > 0 {
			longest = max(longest, ty.Every)
		}
	}
	return longest
}

// demanded is one demand on one environment.
type demanded struct {
	e     ticket.Environment
	d     Demand
	types []ticket.Type
	// reviewed are the numbers of reviews that stand, by asset.
	reviewed map[string][]string
}

// about tells whether a ticket is about the entry: of one of its systems, or one that names it.
func (x demanded) about(t ticket.Ticket) bool {
	return slices.Contains(x.d.Systems, t.System) || t.Facts[policyFact] == x.d.Name
}

// isReview tells whether a ticket is of a type that recurs and wants evidence.
func (x demanded) isReview(t ticket.Ticket) (time.Duration, bool) {
	i := slices.IndexFunc(x.types, func(ty ticket.Type) bool { return ty.Name == t.Type && ty.Every > 0 && len(ty.Evidence) > 0 })
	if t.Type == "" || i < 0 {
		return 0, false
	}
	return x.types[i].Every, t.HasEvidence(x.types[i].Evidence)
}

// deviates tells whether a ticket is a deviation: about one of the demand's systems at one of the environment's assets, or
// one that a person opened about that entry of the list. A review that is due is none.
func (x demanded) deviates(t ticket.Ticket) bool {
	if every, _ := x.isReview(t); every > 0 {
		return false
	}
	return t.Customer == x.e.Customer && t.State.Open() && slices.Contains(x.e.Assets, t.Asset) && x.about(t)
}

// review notes a ticket that is a review of the entry, resolved with its evidence within its period: of its asset, or, where
// it is of none, of all.
func (x demanded) review(t ticket.Ticket, now time.Time) {
	if t.Customer != x.e.Customer || t.State.Open() || t.Merged != nil || !x.about(t) {
		return
	}
	every, whole := x.isReview(t)
	if !whole || now.Sub(t.ResolvedAt) >= every {
		return
	}
	for _, name := range x.e.Assets {
		if t.Asset == "" || t.Asset == name {
			x.reviewed[name] = append(x.reviewed[name], t.Number)
		}
	}
}

// stand says how an environment stands, once its deviations and reviews are known.
func (row *Standing) stand(x demanded, q ComplianceQuestion) {
	slices.Sort(row.Deviations)
	var silent, unseen []string
	for _, name := range x.e.Assets {
		found := slices.Clone(x.reviewed[name])
		if !q.Mute[name] {
			for _, system := range x.d.Systems {
				found = append(found, q.Checks[system][name]...)
			}
		}
		row.Evidence = append(row.Evidence, found...)
		switch {
		case len(found) > 0:
		case q.Mute[name]:
			silent = append(silent, name)
		default:
			unseen = append(unseen, name)
		}
	}
	slices.Sort(row.Evidence)
	row.Evidence = slices.Compact(row.Evidence)
	row.Unknown = append(append(row.Unknown, silent...), unseen...)
	slices.Sort(row.Unknown)
	switch {
	case len(row.Deviations) > 0:
		row.State = Deviating
	case len(row.Unknown) > 0:
		row.State, row.Why = UnknownState, x.unproved(silent, unseen, q.Checks)
	default:
		row.State = Compliant
	}
}

// unproved is why there is no evidence: what does not report, and what no rule looks at or had data of.
func (x demanded) unproved(silent, unseen []string, checks Checking) string {
	var why []string
	if len(silent) > 0 {
		why = append(why, "no report from "+strings.Join(silent, ", "))
	}
	loaded := slices.ContainsFunc(x.d.Systems, func(system string) bool { _, ok := checks[system]; return ok })
	switch systems := strings.Join(x.d.Systems, ", "); {
	case len(unseen) == 0:
	case systems == "":
		why = append(why, "no rule checks it, and no review in time of "+strings.Join(unseen, ", "))
	case !loaded:
		why = append(why, "no rule of "+systems+" is loaded, and no review in time of "+strings.Join(unseen, ", "))
	default:
		why = append(why, "the rules of "+systems+" had no data of "+strings.Join(unseen, ", ")+", and no review in time")
	}
	return strings.Join(why, "; ")
}

// policyFact is what names the entry of the policy list that a person's ticket of a deviation or review is about.
const policyFact = "policy"

// CheckPolicyFact refuses facts that name an entry which the policy list of the terms does not have; the error names those
// that there are. Terms without such a list leave the fact to people.
func (r Resolved) CheckPolicyFact(facts ticket.Facts) error {
	named := facts[policyFact]
	if named == "" || len(r.Compliance) == 0 || slices.ContainsFunc(r.Compliance, func(d Demand) bool { return d.Name == named }) {
		return nil
	}
	names := make([]string, len(r.Compliance))
	for i, d := range r.Compliance {
		names[i] = d.Name
	}
	slices.Sort(names)
	return fmt.Errorf("facts.%s: the policy list of this customer has no entry %q: say one of %s", policyFact, named, strings.Join(names, ", "))
}
