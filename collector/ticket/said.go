package ticket

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// This file says which facts a person may say of a ticket, at its opening and afterwards, and who gives the others.

// contractFacts are what the contract or the customer says: nobody says them of a ticket, whatever conditions look at them.
// supports-… are of them.
var contractFacts = []string{
	"agreement", "contract", "cover", "customer", "hosted", "model", "oncall", "phase", "region", "zone", FactDepartment,
}

// supports is what the names of the facts begin with that say what a contract covers.
const supports = "supports-"

// assetFacts are what the asset says, unless a type asks for one of the name: the role of a new colleague.
var assetFacts = []string{"criticality", "role", "supplied"}

// lifeFacts are what a ticket is by itself.
var lifeFacts = []string{"state", "owner", "major"}

// ofContract tells whether the contract or the customer gives a fact.
func ofContract(name string) bool {
	return slices.Contains(contractFacts, name) || strings.HasPrefix(name, supports)
}

// giver says who gives a fact that a person may not say; empty where nothing is known of it.
func (t Terms) giver(name string) string {
	_, own := t.Facts[name]
	switch {
	case name == FactDepartment || name == "customer":
		return "the fleet knows it of the customer"
	case own || ofContract(name):
		return "the customer's contract gives it"
	case slices.Contains(assetFacts, name):
		return "the fleet knows it of the asset: name the asset"
	case slices.Contains(lifeFacts, name):
		return "it is what becomes of the ticket"
	case name == FactPriority:
		return "it follows from impact and urgency (" + string(Prioritise) + " sets it outright)"
	case name == FactSeverity:
		return "the rule that finds a fault gives it; say impact and urgency"
	case name == FactWorkaround || name == FactWorkaroundBy:
		return "it is kept with who of the client accepted it (" + string(Workaround) + ")"
	case name == factUnapproved || name == factUnsupport:
		return "it follows from the lists of approved software and from the ends of support"
	case slices.Contains(reportFields, name):
		return "it is what the ticket was opened as, and no fact beside that"
	case slices.Contains(givenFacts, name):
		return "watchbill knows it"
	case slices.Contains(verbFacts, name):
		return "it follows from what is done on the ticket"
	}
	return ""
}

// reportFields are facts that a report has fields of its own for: to say them again is no fault, to say another word is one.
var reportFields = []string{FactKind, FactType, FactChannel, FactService, FactSystem}

// openingFacts are those that may be said at the opening beside what may be set: their verbs have them afterwards.
var openingFacts = []string{FactWorkaround, factSecurity, factSecurityBy, factChargeable, FactSeverity, factUsers}

// Sayable are the names of facts that by may say of a ticket that they open under t, sorted. Whether it is chargeable a client
// does not say, nor how bad a fault is in the words of rules.
func (t Terms) Sayable(by By) []string {
	names := map[string]bool{}
	for _, n := range slices.Concat(t.Settable(), openingFacts) {
		names[n] = n != FactSystem && (by.Customer == "" || n != factChargeable && n != FactSeverity)
	}
	maps.DeleteFunc(names, func(_ string, may bool) bool { return !may })
	return slices.Sorted(maps.Keys(names))
}

// SaidBy is b as by opens it, who said every one of its facts so far: only what a person may say of a new ticket is taken
// then. Where by is no person nothing changes.
func (b Birth) SaidBy(by By) Birth {
	if by.Kind == Person {
		b.By, b.Said = &by, slices.Sorted(maps.Keys(b.Facts))
	}
	return b
}

// overstated are the facts that a person said at the opening and may not say.
func (b Birth) overstated(e *BirthError) {
	if b.By == nil {
		return
	}
	names := b.Terms.Sayable(*b.By)
	last := -1
	for _, name := range b.Said {
		text := ""
		switch {
		case slices.Contains(names, name):
			text = b.misheard(name)
		case slices.Contains(reportFields, name):
			if own := b.reported(e.Kind)[name]; own != b.Facts[name] {
				text = fmt.Sprintf("%s is %q in the facts and %q in the report: say it in the report alone", name, b.Facts[name], own)
			}
		case name == factChargeable:
			text = "chargeable is marked by who works on it (" + string(Charge) + "): leave it out"
		default:
			text = fmt.Sprintf("%s cannot be said at opening: %s", name, or(b.Terms.giver(name), "nothing asks for it"))
			last = len(e.Lacks)
		}
		if text != "" {
			e.lacks(factField+name, text)
		}
	}
	if last >= 0 {
		e.Lacks[last].Text += "; these can be said: " + strings.Join(names, ", ")
	}
}

// reported are the fields of the report that are facts.
func (b Birth) reported(kind string) Facts {
	r := b.Report
	return Facts{FactKind: kind, FactType: b.Type, FactChannel: r.Channel, FactService: r.Service, FactSystem: r.System}
}

// misheard says why the word of a fact that may be said cannot be so on this report.
func (b Birth) misheard(name string) string {
	word := b.Facts[name]
	switch {
	case name == factSecurity && word == "exception":
		if text := b.Terms.unexcepting(Action{Verb: StateSecurity}, *b.By); text != "" {
			return "security=exception cannot be said at opening: " + text + "; leave it out or say no, and who may says so on the open ticket (security)"
		}
	case name == FactWorkaround && word != Accepted && word != Proposed:
		return fmt.Sprintf("workaround is %q: say %s or %s, by the client", word, Accepted, Proposed)
	case name == FactLinesBusy && plain(word) == yes && b.Report.Channel != "" && !slices.Contains(spokenChannels, b.Report.Channel):
		return fmt.Sprintf("lines-busy is of calls, and this came by %s: leave it out, or say the channel %s", b.Report.Channel, spokenChannels[0])
	}
	return b.Terms.offScale(name, word)
}

// spokenChannels are those by which somebody called.
var spokenChannels = []string{"telephone", ChannelOnCall}

// unmet says what of a condition does not hold where facts are so, each in the words of whoever can mend it.
func (t Terms) unmet(w When, facts Facts) string {
	var lacks []string
	for _, name := range slices.Sorted(maps.Keys(w)) {
		words := w[name]
		if anyOf(words, facts[name]) {
			continue
		}
		what, covered := strings.CutPrefix(name, supports)
		wants := name + ": " + strings.Join(words, " or ")
		switch {
		case covered && slices.ContainsFunc(words, func(x string) bool { return strings.HasPrefix(x, "!") }):
			lacks = append(lacks, "its contract has supports: "+what+", and the type is for those without")
		case covered:
			lacks = append(lacks, "its contract lacks supports: "+what)
		case t.giver(name) == "the customer's contract gives it":
			lacks = append(lacks, fmt.Sprintf("its contract says %s, the type wants %s", or(facts[name], "no "+name), wants))
		default:
			lacks = append(lacks, fmt.Sprintf("%s is %q, the type wants %s", name, facts[name], wants))
		}
	}
	return strings.Join(lacks, "; ")
}
