package ticket

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Names of facts that this package itself gives or reads. The README tells what each means.
const (
	FactSeverity     = "severity"
	FactPriority     = "priority"
	FactService      = "service"
	FactSystem       = "system"
	FactKind         = "kind"
	FactType         = "type"
	FactChannel      = "channel"
	FactDetected     = "detected"
	FactReported     = "reported"
	FactFirst        = "first-to-know"
	FactEntitled     = "entitled"
	FactImpact       = "impact"
	FactUrgency      = "urgency"
	FactWorkaround   = "workaround"
	FactWorkaroundBy = "workaround-by"
	FactLinesBusy    = "lines-busy"
	// FactDepartment is the department that owned the customer as the ticket was opened.
	FactDepartment = "department"
)

// The words of FactFirst, of FactWorkaround, and the channel of what no person reported.
const (
	FirstPerson     = "person"
	FirstMonitoring = "monitoring"
	Accepted        = "accepted"
	Proposed        = "proposed"
	ChannelDetected = "detected"
	ChannelOnCall   = "on-call"
)

// givenFacts are those that nobody sets: the house knows them.
var givenFacts = []string{
	FactSeverity, FactPriority, FactService, FactSystem, FactKind, FactType, FactChannel, FactDetected, FactReported,
	FactFirst, FactEntitled, FactWorkaroundBy,
}

// saidFacts are those that people say of any ticket, whatever the policy.
var saidFacts = []string{FactImpact, FactUrgency, FactLinesBusy}

// Bounds of the facts of one ticket.
const (
	// MaxFacts bounds how many facts a ticket has, the contract's with them.
	MaxFacts = 128
	// MaxTitle bounds the title of what a person reports, in bytes.
	MaxTitle = 300
	// MaxFact bounds the word of a fact, in bytes.
	MaxFact = 200
)

// Settable are the names of facts that a person may set under t, sorted: those that this package knows, those that a type
// asks for, and those that a condition of the policy looks at, unless the house or the contract gives them.
func (t Terms) Settable() []string {
	names := map[string]bool{}
	for _, n := range saidFacts {
		names[n] = true
	}
	look := func(w When) {
		for n := range w {
			names[n] = true
		}
	}
	t.looks(look)
	for _, n := range slices.Concat(assetFacts, lifeFacts) {
		delete(names, n)
	}
	for _, ty := range t.Types {
		for _, n := range ty.Asks {
			names[n] = true
		}
	}
	for n := range SettableFacts() {
		names[n] = true
	}
	for n := range t.Facts {
		delete(names, n)
	}
	for _, n := range slices.Concat(givenFacts, verbFacts, houseFacts) {
		delete(names, n)
	}
	maps.DeleteFunc(names, func(n string, _ bool) bool { return ofContract(n) }) // also what this contract says nothing of
	names[FactSystem] = true                                                     // what was filed under the wrong one is corrected
	return slices.Sorted(maps.Keys(names))
}

// looks shows every condition of t.
func (t Terms) looks(look func(When)) {
	for _, c := range t.Classes {
		look(c.When)
	}
	for _, r := range t.Targets {
		look(r.When)
	}
	for _, g := range t.Gates {
		look(g.When)
		for _, n := range g.Needs {
			look(n.When)
		}
	}
	for _, ty := range t.Types {
		look(ty.When)
	}
}

// settable refuses facts that nobody may set under t, or whose words are none.
func (t Terms) settable(f Facts) error {
	names := t.Settable()
	for _, n := range slices.Sorted(maps.Keys(f)) {
		word := f[n]
		switch {
		case !slices.Contains(names, n):
			who := t.giver(n)
			if who != "" {
				who = ": " + who
			}
			return fmt.Errorf("%w: %q is no fact that can be set here%s; these can: %s", ErrRefused, n, who, strings.Join(names, ", "))
		case tooLong(word):
			return fmt.Errorf("%w: the word of %s has %d bytes: at most %d in one line; write the rest into a note", ErrRefused, n, len(word), MaxFact)
		case n == FactSystem && strings.TrimSpace(word) == "":
			return fmt.Errorf("%w: a system is corrected, not taken away: say which it is", ErrRefused)
		case n == factVersion && word != "" && !isVersion(word):
			return fmt.Errorf("%w: %q is no version: say which it is, or leave it out", ErrRefused, word)
		case (n == factChangeAt || n == factChangeEnd) && word != "" && !isTime(word):
			return fmt.Errorf("%w: %s is %q: say a time with its zone, like %s", ErrRefused, n, word, exampleTime)
		case word != "" && word != yes && word != no && t.yesNo(n):
			return fmt.Errorf("%w: %s is yes or no; got %q", ErrRefused, n, word)
		}
		if text := t.offScale(n, word); text != "" {
			return fmt.Errorf("%w: %s", ErrRefused, text)
		}
	}
	return nil
}

// scales are the words that impact and urgency have under every policy.
var scales = map[string][]string{
	FactImpact:  {"business", "team", "person"},
	FactUrgency: {"time-critical", "normal", "low"},
}

// Scale are the words of impact and of urgency that every policy has, worst first; nil for other facts. The caller owns them.
func Scale(fact string) []string { return slices.Clone(scales[fact]) }

// offScale says why a word is none of impact or urgency: a misspelt one would lower the priority, and nobody would see it.
// Known are the words of the scale and those that conditions of the policy name.
func (t Terms) offScale(name, word string) string {
	words := Scale(name)
	if words == nil || word == "" {
		return ""
	}
	t.looks(func(w When) {
		for _, word := range w[name] {
			if word = strings.TrimPrefix(word, "!"); word != "*" && !slices.Contains(words, word) {
				words = append(words, word)
			}
		}
	})
	if slices.Contains(words, word) {
		return ""
	}
	return fmt.Sprintf("%s is %q: say one of %s", name, word, strings.Join(words, ", "))
}

// yesNo tells whether a fact is so or is not: those that are known to be, and those that no condition of the terms asks for
// any other word.
func (t Terms) yesNo(name string) bool {
	if name == FactLinesBusy || name == factCompany {
		return true
	}
	asked, other := false, false
	look := func(w When) {
		for _, word := range w[name] {
			word = plain(strings.TrimPrefix(word, "!"))
			asked, other = true, other || word != yes && word != no
		}
	}
	t.looks(look)
	return asked && !other
}

func tooLong(word string) bool { return len(word) > MaxFact || strings.ContainsAny(word, "\r\n") }

// born are the facts that a new ticket begins with, and which of them its contract gives.
func born(b Birth, o Opening) (all Facts, contract []string) {
	all = maps.Clone(b.Facts)
	if all == nil {
		all = Facts{}
	}
	for _, n := range givenFacts {
		if n != FactSeverity { // a person may say how bad it is
			delete(all, n)
		}
	}
	if all[FactWorkaround] != "" && b.Report != nil {
		all[FactWorkaroundBy] = b.Report.By
	}
	maps.Copy(all, b.deskFacts())
	maps.Copy(all, given(o))
	if s := string(b.Alert.Severity); s != "" && b.detected() {
		all[FactSeverity] = s
	}
	return joined(all, b.Terms.Facts)
}

// given are the facts that follow from what a ticket was opened with.
func given(o Opening) Facts {
	f := Facts{FactKind: o.Kind}
	for name, word := range map[string]string{FactService: o.Service, FactSystem: o.System, FactType: o.Type, FactChannel: o.Channel} {
		if word != "" {
			f[name] = word
		}
	}
	switch {
	case o.Detected:
		f[FactChannel], f[FactDetected] = ChannelDetected, yes
	case o.Reporter != "" || o.Channel != "":
		f[FactReported] = yes
	}
	if o.Kind == KindIncident && (o.Detected || f[FactReported] == yes) {
		f[FactFirst] = FirstPerson
		if o.Detected {
			f[FactFirst] = FirstMonitoring
		}
	}
	return f
}

// joined is f with what a contract says, which never overrides what f has; and the sorted names of what it gave. f is
// changed in place.
func joined(f, contract Facts) (Facts, []string) {
	var names []string
	for n, word := range contract {
		if _, said := f[n]; !said {
			f[n] = word
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return f, names
}

// known are the facts of a ticket as conditions look at them. One that was opened before tickets had facts has those that
// follow from its opening.
func (t Ticket) known(contract Facts) Facts {
	if t.Facts != nil {
		return t.Facts
	}
	o := t.Opening
	o.Detected = o.Detected || len(t.Alerts) > 0
	f := given(o)
	if t.Severity != "" {
		f[FactSeverity] = string(t.Severity)
	}
	f[FactPriority] = t.Priority
	f, _ = joined(f, contract)
	return f
}

// say folds facts that changed: an empty word takes one away. A Ticket is a value: its copies keep theirs.
func (t *Ticket) say(changed Facts) {
	if len(changed) == 0 {
		return
	}
	t.Facts = maps.Clone(t.Facts)
	if t.Facts == nil {
		t.Facts = Facts{}
	}
	for n, word := range changed {
		if i, found := slices.BinarySearch(t.ContractFacts, n); found {
			t.ContractFacts = slices.Delete(slices.Clone(t.ContractFacts), i, i+1)
		}
		if word == "" {
			delete(t.Facts, n)
			continue
		}
		t.Facts[n] = word
	}
}

// judged keeps the facts that follow from an event about severity and priority. Tickets of before there were facts get
// none by it.
func (t *Ticket) judged() {
	if t.Facts == nil {
		return
	}
	t.Facts = maps.Clone(t.Facts)
	for name, word := range map[string]string{FactPriority: t.Priority, FactSeverity: string(t.Severity)} {
		if word != "" {
			t.Facts[name] = word
		}
	}
}

// changes are those of set that say something new, and how a person reads them.
func (t Ticket) changes(set, before Facts) (Facts, string) {
	out, says := Facts{}, []string(nil)
	for _, n := range slices.Sorted(maps.Keys(set)) {
		was, word := before[n], set[n]
		switch {
		case was == word:
			continue
		case word == "":
			says = append(says, fmt.Sprintf("%s: not %s any more", n, was))
		case was == "":
			says = append(says, fmt.Sprintf("%s: %s", n, word))
		default:
			says = append(says, fmt.Sprintf("%s: %s instead of %s", n, word, was))
		}
		out[n] = word
	}
	return out, strings.Join(says, "; ")
}
