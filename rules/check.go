package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Finding is something about a rule that works in Prometheus, but makes a worse ticket here.
type Finding struct {
	File        string
	Line        int
	Group, Rule string
	Text        string
	// Fault: the rule says something that cannot be right, and a check of it fails. Other findings are warnings: rules
	// that were written for others lack our labels, and are good rules.
	Fault bool
}

// String is the finding with its place, in one line.
func (f Finding) String() string { return f.Err().Error() }

// Err is the finding as the error it would be, an *Error.
func (f Finding) Err() error {
	return &Error{File: f.File, Line: f.Line, Group: f.Group, Rule: f.Rule, Err: errors.New(f.Text)}
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
}

// Check reads alerting rules as the person would who gets their tickets: severity, service and system are there and
// known, and a summary says what happened. A label that is a template is taken to be right. A system that is no word of
// the ownership map is a fault: whoever wrote it meant an owner, and nobody would be found.
func Check(groups []Group, o CheckOptions) []Finding {
	if o.Systems == nil {
		o.Systems = Systems
	}
	var out []Finding
	for _, g := range groups {
		seen := map[string]bool{}
		for _, r := range g.Rules {
			note := func(fault bool, format string, args ...any) {
				out = append(out, Finding{
					File: g.File, Line: r.Line, Group: g.Name, Rule: r.Name(), Text: fmt.Sprintf(format, args...), Fault: fault,
				})
			}
			same := r.Name() + "\x00" + r.Expr.String() + "\x00" + r.Labels.String()
			if seen[same] {
				note(false, "the same rule again: name, expression and labels are those of one before it; remove one")
			}
			seen[same] = true
			if r.Alerting() {
				r.check(o, note)
			}
		}
	}
	return out
}

func (r *Rule) check(o CheckOptions, note func(fault bool, format string, args ...any)) {
	word := func(label string, words []string, fault bool) {
		switch v := r.Labels.Get(label); {
		case v == "":
			note(false, "label %q is missing: want one of %s", label, strings.Join(words, ", "))
		case !strings.Contains(v, "{{") && !slices.Contains(words, v):
			note(fault, "label %q is %q: want one of %s", label, v, strings.Join(words, ", "))
		}
	}
	word("severity", Severities, false)
	word("system", o.Systems, true)
	if r.Labels.Get("service") == "" {
		note(false, "label %q is missing: want what fails for its users, such as filesystem or shop; alerts of one asset and service become one ticket", "service")
	}
	if r.Annotations.Get("summary") == "" {
		note(false, "annotation %q is missing: want one line for the ticket's title", "summary")
	}
}
