package ticket

import (
	"maps"
	"time"
)

// Facts that this package sets or reads beyond those of the lifecycle.
const (
	factChargeable  = "chargeable"         // yes or no
	factEstimate    = "estimate"           // requested
	factSecurity    = "security"           // yes, no, or exception: is it within the security policy
	factSecurityBy  = "security-by"        // who made the exception
	factVersion     = "version"            // of a change or a delivery
	factException   = "version-exception"  // yes: a blocker's change went out without a version
	factDelivery    = "delivery"           // rejected
	factDeclined    = "declined"           // yes: the request was refused
	factMail        = "mail-fault"         // quarantine, junk, smtp-block
	factMonitoring  = "monitoring"         // asked: somebody wants it monitored
	factChangeAt    = "change-at"          // RFC 3339: when the change was or will be made
	factChangeEnd   = "change-until"       // RFC 3339: when it was or will be over
	factMaintenance = "maintenance"        // yes: its type announces maintenance
	factObjects     = "objects"            // what an amendment changed, separated by commas
	factFirst       = "first-to-know"      // person or monitoring
	factUnapproved  = "approved"           // no: software that is not on the list of approved software
	factSupport     = "support"            // ended: its maker supports it no more
	factUnsupport   = "unsupported"        // why, in words
	factLong        = "long-investigation" // yes; derived
	factEnvironm    = "environment"        // of a delivery or a change
	factCompany     = "company-supplied"   // yes or no: the device is the company's own
)

// conditions are the facts that conditions of gates and needs see: the ticket's, joined with the contract's where the
// ticket says nothing, and what the ticket is by itself.
func (t Ticket) conditions(terms Terms, now time.Time) Facts {
	f := make(Facts, len(terms.Facts)+len(t.Facts)+10)
	maps.Copy(f, terms.Facts)
	maps.Copy(f, t.known(nil))
	f["kind"], f["type"], f["service"], f["system"] = t.Kind, t.Type, or(t.Service, f["service"]), or(t.System, f["system"])
	f["priority"], f["severity"], f["state"] = t.Priority, string(t.Severity), string(t.State)
	f[factChargeable] = t.chargeable(terms)
	if t.long(terms, now) {
		f[factLong] = "yes"
	}
	if t.Unsupported != "" {
		f[factUnsupport] = "yes"
	}
	if t.Major {
		f["major"] = "yes"
	}
	return f
}

// chargeable is yes, no, or empty where nobody has marked it yet and the type leaves that to a person, or what a person
// reported has no type that says it.
func (t Ticket) chargeable(terms Terms) string {
	if t.Chargeable != "" {
		return t.Chargeable
	}
	ty, ok := terms.Type(t.Type)
	switch {
	case ok && ty.Chargeable == "always":
		return "yes"
	case ok && ty.Chargeable == "ask", t.Type == "" && t.Facts[FactReported] != "":
		return ""
	}
	return "no"
}

// investigation is how long people worked until the ticket was resolved, or until now: from the start of work, else from
// the acknowledgement. Where a person resolved it without either, it is from its opening. Waiting counts: what was long to
// find was long for whoever waited.
func (t Ticket) investigation(now time.Time) time.Duration {
	from := t.StartedAt
	if from.IsZero() {
		from = t.AcknowledgedAt
	}
	if from.IsZero() && t.ResolvedBy.Kind == Person {
		from = t.OpenedAt
	}
	if from.IsZero() {
		return 0
	}
	if !t.ResolvedAt.IsZero() {
		now = t.ResolvedAt
	}
	return max(now.Sub(from), 0)
}

// long tells whether the investigation took as long as the terms call long.
func (t Ticket) long(terms Terms, now time.Time) bool {
	return terms.Investigation > 0 && t.investigation(now) >= terms.Investigation
}

// unsupported says why facts put a ticket outside of support; empty where they do not.
func unsupported(f Facts) string {
	switch {
	case f[factUnsupport] != "" && f[factUnsupport] != "no":
		return f[factUnsupport]
	case f[factUnapproved] == "no":
		return "it concerns software or an application that is not approved"
	case f[factSupport] == "ended":
		return "support for it has ended"
	}
	return ""
}
