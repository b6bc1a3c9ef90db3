package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/rules/window"
)

// Finding is something about a rule that Prometheus would take, and that is wrong here or makes a worse ticket.
type Finding struct {
	File string
	// Line is that of the label, annotation or expression at fault where Check was given the file, else the rule's.
	Line        int
	Group, Rule string
	Text        string
	// Fault: the rule says something that cannot be right, and a check of it fails. Other findings are warnings: rules
	// that were written for others lack our labels, and are good rules.
	Fault bool
	// Refused: a fault with which no collector takes the rule, at its start or on reload. With any other finding it does,
	// and tells it: a fleet that nobody watches is worse than a ticket without an owner.
	Refused bool
	// Words says which words would be right, where that is the same for many findings; see Words.
	Words string
}

// String is the finding with its place, in one line.
func (f Finding) String() string { return f.Err().Error() }

// Err is the finding as the error it would be, an *Error.
func (f Finding) Err() error {
	return &Error{File: f.File, Line: f.Line, Group: f.Group, Rule: f.Rule, Err: errors.New(f.Text)}
}

// Words are the words that findings ask for, each list of them once.
func Words(fs []Finding) []string {
	var out []string
	for _, f := range fs {
		if f.Words != "" && !slices.Contains(out, f.Words) {
			out = append(out, f.Words)
		}
	}
	return out
}

// Severities are the values of the severity label, worst first.
var Severities = []string{"critical", "warning", "info"}

// Systems are the words of the system label: what is at fault, from which policy tells who owns it. Source: the
// ownership map that rules, alert mappings and policies share: devices and network of the client, then hosting, then
// the application, then the contract.
var Systems = []string{
	"client-device", "client-network", "vpn", "browser", "endpoint-security", "corporate-firewall", "mail-gateway",
	"server", "iis", "sql", "database", "backup", "patching", "capacity", "hosting-console", "platform-security",
	"monitoring", "data-centre", "smtp", "network",
	"application", "reports", "business-rules", "framework",
	"contract",
}

// CheckOptions says what Check accepts.
type CheckOptions struct {
	// Systems are the words of the ownership map; nil means Systems.
	Systems []string
	// Files are the contents that the groups were loaded from, by name, to find the lines in; what is not there costs
	// findings nothing but their exact line.
	Files map[string][]byte
}

// Check finds what is wrong with rules that can be loaded, and what could be better. Whoever loads rules asks it: a check, a
// start, a reload, a test; SetMissing comes before it. It reads alerting rules as the person would who gets their tickets:
// severity, service and system are there and known, and a summary says what happened.
//
//   - A system that is no word of the ownership map is a fault: whoever wrote it meant an owner, and nobody would be found.
//   - So is a rule that looks back further than the window keeps: nothing would ever come of it.
//   - A MissingLabel that is no word is one too, with which the rule is refused: nobody can say what was meant.
func Check(groups []Group, o CheckOptions) []Finding {
	if o.Systems == nil {
		o.Systems = Systems
	}
	c := checker{CheckOptions: o, places: places{files: o.Files}}
	for _, g := range groups {
		c.group = g
		seen := map[string]bool{}
		for _, r := range g.Rules {
			c.rule = r
			same := r.Name() + "\x00" + r.Expr.String() + "\x00" + r.Labels.String()
			if seen[same] {
				c.note(warn, spot{}, "the same rule again: name, expression and labels are those of one before it; remove one")
			}
			seen[same] = true
			c.missing()
			c.lookback()
			if r.Alerting() {
				c.ticket()
			}
		}
	}
	return c.found
}

// checker is Check at one rule.
type checker struct {
	CheckOptions
	places places
	group  Group
	rule   *Rule
	found  []Finding
}

// weight is what a finding does to a rule; see Finding.
type weight int

const (
	warn weight = iota
	fault
	refuse
)

// note adds a finding and returns it, to be added to.
func (c *checker) note(w weight, at spot, format string, args ...any) *Finding {
	c.found = append(c.found, Finding{
		File: c.group.File, Line: c.places.line(c.group, c.rule, at), Group: c.group.Name, Rule: c.rule.Name(),
		Text: fmt.Sprintf(format, args...), Fault: w >= fault, Refused: w == refuse,
	})
	return &c.found[len(c.found)-1]
}

func (c *checker) missing() {
	if err := c.rule.missingFault(); err != nil {
		c.note(refuse, spot{"labels", MissingLabel}, "%v", err)
	}
}

// lookback finds what reads samples that the window has forgotten.
func (c *checker) lookback() {
	r := c.rule
	d := r.Lookback + r.QueryOffset
	if d <= window.MaxLookback {
		return
	}
	through := ""
	if lookback(r.direct)+r.QueryOffset <= window.MaxLookback {
		through = " through the series of other rules"
	}
	w, what := fault, "it is unknown for ever: its alerts neither begin nor end"
	switch {
	case r.Resolves():
		w, what = warn, "it sees no more than that"
	case !r.Alerting():
		what = "what it records is unknown for ever"
	}
	c.note(w, spot{"expr", ""}, "looks back %s%s, and the window keeps %s: %s; want %s at most",
		model.Duration(d), through, model.Duration(window.MaxLookback), what, model.Duration(window.MaxLookback))
}

// ticket finds what makes a poor ticket.
func (c *checker) ticket() {
	c.word("severity", Severities, warn, "one of "+strings.Join(Severities, ", ")+"; page, error and the like count as critical, none and the like as info, another as warning", "")
	c.word("system", c.Systems, fault, "a word of the ownership map", "the ownership map's words for system: "+strings.Join(c.Systems, ", "))
	if c.rule.Labels.Get("service") == "" {
		c.note(warn, spot{}, "label %q is missing: want what fails for its users, such as filesystem or shop; alerts of one asset and service become one ticket", "service")
	}
	if c.rule.Annotations.Get("summary") == "" {
		c.note(warn, spot{}, "annotation %q is missing: want one line for the ticket's title", "summary")
	}
}

// word finds a label that is not one of the words, or that can become something else.
func (c *checker) word(label string, words []string, unknown weight, want, list string) {
	note := func(w weight, at spot, format string, args ...any) {
		c.note(w, at, format+": want "+want, args...).Words = list
	}
	at := spot{"labels", label}
	v := c.rule.Labels.Get(label)
	texts, all := outcomes(v)
	switch {
	case v == "":
		note(warn, spot{}, "label %q is missing", label)
		return
	case !all:
		note(warn, at, "label %q is the template %q, of which nobody knows what it becomes before it fires", label, v)
		return
	}
	for _, text := range texts {
		switch {
		case text == "":
			note(warn, at, "label %q becomes empty by its template %q", label, v)
		case !slices.Contains(words, text) && text == v:
			note(unknown, at, "label %q is %q", label, v)
		case !slices.Contains(words, text):
			note(unknown, at, "label %q becomes %q by its template %q", label, text, v)
		}
	}
}
