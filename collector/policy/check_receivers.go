package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
)

// CheckOption says to Check what it cannot know by itself.
type CheckOption func(*checked)

// checked is what the options of a check say.
type checked struct {
	// receivers are the names of those that are configured; known: somebody said so.
	receivers []string
	known     bool
}

// WithReceivers tells the names of the notification receivers that are configured: notices, rungs, people and contacts that
// name another are found. Without this option receivers are not looked at.
func WithReceivers(names []string) CheckOption {
	return func(c *checked) { c.receivers, c.known = names, true }
}

// everyReceiver is the word for all that are configured.
const everyReceiver = "all"

// strange finds receivers that are not configured.
func (c checked) strange(b *Book, d fleet.Directory) []Finding {
	if !c.known {
		return nil
	}
	have := "none"
	if len(c.receivers) > 0 {
		have = strings.Join(c.receivers, ", ")
	}
	var found []Finding
	look := func(at, who string, names ...string) {
		for _, name := range names {
			if name != "" && name != everyReceiver && !slices.Contains(c.receivers, name) {
				found = append(found, Finding{Where: at, Text: fmt.Sprintf("%s: receiver %q is not in the configuration, which has %s", who, name, have),
					Fix: "add it to receivers there, or correct the name", Fault: true})
			}
		}
	}
	for _, s := range b.Sets() {
		for _, n := range s.Notices {
			for _, to := range n.To {
				look(to.At, fmt.Sprintf("notices: %q", n.Name), to.Receiver)
			}
		}
		for _, r := range s.Ladder {
			for _, to := range r.To {
				look(to.At, fmt.Sprintf("ladder: %q", r.Name), to.Receiver)
			}
		}
	}
	for _, p := range d.People {
		look(or(p.At, "person "+p.ID), "person "+p.ID, p.Receivers...)
	}
	contacts := func(of string, list []fleet.Contact) {
		for _, k := range list {
			look(or(k.At, of), fmt.Sprintf("contact %s of %s", k.Role, of), k.Receivers...)
		}
	}
	contacts("the operator", d.Contacts)
	for _, dep := range d.Departments {
		contacts("department "+dep.ID, dep.Contacts)
	}
	for _, customer := range d.Customers {
		contacts("customer "+customer.ID, customer.Contacts)
	}
	return found
}
