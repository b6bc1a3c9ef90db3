package ticket

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The kinds of ticket beside incidents and storms.
const (
	KindRequest      = "request"
	KindTask         = "task"
	KindDelivery     = "delivery"
	KindAnnouncement = "announcement"
)

// Kinds are those that people may open, in the order they are offered.
var Kinds = []string{KindIncident, KindRequest, KindTask, KindDelivery, KindAnnouncement}

// asksOf is what each kind asks beside what its type does.
var asksOf = map[string][]string{KindDelivery: {factVersion, factEnvironm}}

// CheckBirth tells what is wrong with what a ticket is to be opened with: an unknown kind or type, a type of another kind or
// one that its customer does not have, and what has to be said and was not. It names everything at once and wraps
// ErrRefused. What was detected asks nobody: only its type is checked.
func (b Birth) CheckBirth() error {
	ty, known := b.Terms.Type(b.Type)
	kind := or(or(b.Kind, ty.Kind), KindIncident)
	var wrong []string
	if kind != KindStorm && !slices.Contains(Kinds, kind) {
		return fmt.Errorf("%w: there is no kind of ticket %q: say one of %s", ErrRefused, b.Kind, strings.Join(Kinds, ", "))
	}
	facts := b.facts(kind)
	switch {
	case b.Type == "" && kind != KindIncident && kind != KindStorm && b.Parent == nil && kind != KindDelivery:
		wrong = append(wrong, fmt.Sprintf("say its type: %s", b.Terms.typesOf(kind, facts)))
	case b.Type != "" && !known:
		wrong = append(wrong, fmt.Sprintf("there is no type %q: %s", b.Type, b.Terms.typesOf(b.Kind, facts)))
	case b.Type != "" && ty.Kind != kind:
		wrong = append(wrong, fmt.Sprintf("%s is a type of %s, not of %s: say the kind %s, or one of its types: %s", b.Type, ty.Kind, kind, ty.Kind, b.Terms.typesOf(kind, facts)))
	case b.Type != "" && !ty.When.Holds(facts):
		wrong = append(wrong, fmt.Sprintf("type %s is not for this customer (%s): %s", b.Type, b.Terms.unmet(ty.When, facts), b.Terms.typesOf(kind, facts)))
	}
	e := &BirthError{Kind: kind}
	for _, w := range wrong {
		e.lacks("type", w)
	}
	if b.Report != nil && b.Parent == nil {
		b.unsaid(e, ty, facts)
	}
	if b.Report != nil {
		b.overstated(e)
	}
	if len(e.Lacks) == 0 {
		return nil
	}
	return e
}

// BirthError is why something cannot be opened. It wraps ErrRefused.
type BirthError struct {
	Kind string
	// Lacks is everything that has to be said, or otherwise.
	Lacks []Lack
}

// Lack is one thing that has to be said, or otherwise: Field names it as the API does ("service", "facts.version"), Text
// says what of it.
type Lack struct{ Field, Text string }

// unsaidText is the Text of a fact that was not said.
const unsaidText = "it is not said"

func (e *BirthError) lacks(field, text string) { e.Lacks = append(e.Lacks, Lack{field, text}) }

// Error says it to a person.
func (e *BirthError) Error() string {
	var facts, texts []string
	for _, l := range e.Lacks {
		if name, isFact := strings.CutPrefix(l.Field, factField); isFact && l.Text == unsaidText {
			facts = append(facts, name)
			continue
		}
		texts = append(texts, l.Text)
	}
	if len(facts) > 0 {
		texts = append([]string{"say " + strings.Join(facts, ", ")}, texts...)
	}
	return fmt.Sprintf("%v: %s cannot be opened: %s", ErrRefused, article(e.Kind), strings.Join(texts, "; "))
}

// Unwrap makes it a refusal.
func (e *BirthError) Unwrap() error { return ErrRefused }

// factField is what the field of a fact begins with.
const factField = "facts."

// article is a word with its article.
func article(word string) string {
	if word != "" && strings.Contains("aeiou", word[:1]) {
		return "an " + word
	}
	return "a " + word
}

// unsaid is what a person who opens a ticket has to say and did not.
func (b Birth) unsaid(e *BirthError, ty Type, facts Facts) {
	if strings.TrimSpace(b.Title) == "" {
		e.lacks("title", "say a title")
	}
	asks := slices.Concat(asksOf[e.Kind], ty.Asks)
	slices.Sort(asks)
	for _, name := range slices.Compact(asks) {
		if strings.TrimSpace(facts[name]) == "" || name == factVersion && !isVersion(facts[name]) {
			e.lacks(factField+name, unsaidText)
		}
	}
	if e.Kind == KindAnnouncement && b.Report.Service == "" {
		e.lacks("service", "say which service it is about")
	}
	b.misspoken(e, facts)
}

// misspoken is what a person who opens a ticket said and cannot, or in words that are none.
func (b Birth) misspoken(e *BirthError, facts Facts) {
	fault := func(name, format string, args ...any) { e.lacks(factField+name, fmt.Sprintf(format, args...)) }
	for _, name := range verbFacts {
		if _, said := b.Facts[name]; said && b.By == nil && name != factSecurity && name != factSecurityBy && name != factChargeable && name != FactDepartment {
			fault(name, "%s cannot be said at opening: it follows from what is done on the ticket", name)
		}
	}
	for _, name := range []string{factCompany, FactLinesBusy} {
		if w := facts[name]; w != "" && plain(w) != yes && plain(w) != no {
			fault(name, "%s is %q: say yes or no", name, w)
		}
	}
	for _, name := range []string{factChangeAt, factChangeEnd} {
		if w := facts[name]; w != "" && !isTime(w) {
			fault(name, "%s is %q: say a time with its zone, like %s", name, w, exampleTime)
		}
	}
	if from, err := time.Parse(time.RFC3339, facts[factChangeAt]); err == nil {
		if until, err := time.Parse(time.RFC3339, facts[factChangeEnd]); err == nil && !until.After(from) {
			fault(factChangeEnd, "%s is %q, and the change begins at %s: say when it will be over", factChangeEnd, facts[factChangeEnd], facts[factChangeAt])
		}
	}
	switch s := facts[factSecurity]; {
	case s != "" && s != "yes" && s != "no" && s != "exception":
		fault(factSecurity, "security is %q: say yes, no, or exception with security-by naming who made it", s)
	case s == "exception" && facts[factSecurityBy] == "":
		fault(factSecurityBy, "say security-by: who made the exception from the security policy")
	}
	if c := facts[factChargeable]; c != "" && c != "yes" && c != "no" {
		fault(factChargeable, "chargeable is %q: say yes or no", c)
	}
}

// exampleTime shows how a fact that is a time is written: RFC 3339.
const exampleTime = "2026-11-20T16:00:00Z"

func isTime(word string) bool {
	_, err := time.Parse(time.RFC3339, word)
	return err == nil
}

// SeenAs gives what an alert opens the type that its rule names, where the terms have that type of incident for the customer
// and nobody gave it another; otherwise b stays as it is, for a ticket is never lost for a word.
func (b Birth) SeenAs(name string) Birth {
	ty, known := b.Terms.Type(name)
	if known && b.detected() && b.Type == "" && or(b.Kind, KindIncident) == KindIncident && ty.Kind == KindIncident && ty.When.Holds(b.facts(KindIncident)) {
		b.Type = name
	}
	return b
}

// facts are what is said at opening, joined with the contract's.
func (b Birth) facts(kind string) Facts {
	f := Facts{}
	for name, word := range b.Terms.Facts {
		f[name] = word
	}
	for name, word := range b.Facts {
		f[name] = word
	}
	f["kind"], f["type"] = kind, b.Type
	return f
}

// deskFacts are the facts that the desk adds to a new ticket: what its type says of its being chargeable, and that it
// announces maintenance.
func (b Birth) deskFacts() Facts {
	ty, _ := b.Terms.Type(b.Type)
	f := Facts{}
	if ty.Maintenance {
		f[factMaintenance] = yes
	}
	if b.Facts[factChargeable] != "" {
		return f
	}
	switch ty.Chargeable {
	case "always":
		f[factChargeable] = yes
	case "never":
		f[factChargeable] = no
	}
	return f
}

// typesOf says which types of a kind, or of any, may be opened where facts hold.
func (t Terms) typesOf(kind string, facts Facts) string {
	var names []string
	for _, ty := range t.Types {
		if (kind == "" || ty.Kind == kind) && ty.When.Holds(facts) {
			names = append(names, ty.Name)
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf("%s has no types of %s", or(t.Policy, "the policy"), or(kind, "ticket"))
	}
	return "there are " + strings.Join(names, ", ")
}

// SettableFacts are the facts of this file's verbs and needs that a person may set outright, with what they say. The
// others (chargeable, security, delivery …) are set by their verbs alone.
func SettableFacts() map[string]string {
	return map[string]string{
		factEstimate:   "requested, when an estimate is wanted",
		factVersion:    "the version of a change or a delivery",
		factEnvironm:   "the environment it concerns",
		factChangeAt:   "when the change was or will be made, as RFC 3339",
		factChangeEnd:  "when the change was or will be over, as RFC 3339",
		factObjects:    "what an amendment changed, separated by commas",
		factMonitoring: "asked, when somebody wants it monitored",
		factSupport:    "ended, when its maker supports it no more",
	}
}

// verbFacts are set by their verbs, or by the house, alone.
var verbFacts = []string{
	factChargeable, factSecurity, factSecurityBy, factException, factDelivery, factDeclined, factMail, FactDepartment, factLong,
	factMaintenance,
}

// houseFacts are given at the opening, by their verb or by the house, and never set.
var houseFacts = []string{FactWorkaround, factUnapproved, factUnsupport}

// checkType is what is wrong with a type.
func (t Terms) checkType(ty Type) error {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("type %q: "+format, append([]any{ty.Name}, args...)...))
	}
	if ty.Name == "" {
		fault("has no name: give it one")
	}
	if !slices.Contains(Kinds, ty.Kind) {
		fault("kind %q: expected one of %s", ty.Kind, strings.Join(Kinds, ", "))
	}
	if !slices.Contains([]string{"", "never", "always", "ask"}, ty.Chargeable) {
		fault("chargeable %q: expected never, always or ask", ty.Chargeable)
	}
	if ty.Priority != "" && !slices.Contains(t.Priorities, ty.Priority) {
		fault("priority %q: expected one of %s", ty.Priority, strings.Join(t.Priorities, ", "))
	}
	if ty.Every < 0 {
		fault("every %v: expected a positive duration, or none", ty.Every)
	}
	if ty.Per != "" && (ty.Per != PerAsset || ty.Every == 0) {
		fault("per %q: expected %s, of a type that recurs, or none", ty.Per, PerAsset)
	}
	if ty.Maintenance && ty.Kind != KindAnnouncement {
		fault("maintenance: expected of the kind %s alone, got %s", KindAnnouncement, ty.Kind)
	}
	if len(ty.Evidence) > 0 && slices.ContainsFunc(ty.Evidence, func(e string) bool { return slices.Contains(Parts, Part(e)) }) {
		fault("evidence %v: a part of the incident record cannot be one: name it otherwise", ty.Evidence)
	}
	return errors.Join(errs...)
}
