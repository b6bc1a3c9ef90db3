package route

import (
	"maps"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/ticket"
)

// Systems are the words for systems that rules, alert mappings and the ownership map share, by where they lie: client
// (what the client's own IT looks after), hosting (the platform), application and contract.
func Systems() map[string][]string {
	return map[string][]string{
		"client": {"client-device", "client-network", "vpn", "browser", "endpoint-security", "corporate-firewall", "mail-gateway"},
		"hosting": {"server", "iis", "sql", "database", "backup", "patching", "capacity", "hosting-console", "platform-security",
			"monitoring", "data-centre", "smtp", "network"},
		"application": {"application", "reports", "business-rules", "framework"},
		"contract":    {"contract"},
	}
}

// infrastructure are the systems of the platform.
var infrastructure = Systems()["hosting"]

// yes tells whether a fact is affirmed.
func yes(word string) bool { return word == "true" || word == "yes" }

// reported tells whether a person reported it. The fact "reported" says so; "detected" denies it.
func reported(f ticket.Facts) bool { return yes(f["reported"]) && !yes(f["detected"]) }

// Owner is the party that a ticket with these facts belongs to, and why, for people. User reports go to Terms.Reports
// first, whatever they are about; then the first row of the ownership map that holds decides, in its order, so that a
// contract's exceptions are put before the rows that they except from; then Terms.Default.
func Owner(facts ticket.Facts, terms Terms) (party, because string) {
	if terms.Reports != "" && reported(facts) {
		return terms.Reports, "user reports go to " + terms.Reports + " first"
	}
	system := facts["system"]
	for _, row := range terms.Owners {
		if (len(row.Systems) == 0 || slices.Contains(row.Systems, system)) && row.When.Holds(facts) {
			return row.Owner, row.because(system)
		}
	}
	if system == "" {
		return terms.Default, "no row of the ownership map holds, and no system is known"
	}
	return terms.Default, "no row of the ownership map holds for " + system
}

// because says which row it was: "iis where model is separate (it-provider 1)".
func (r OwnerRule) because(system string) string {
	parts := []string{"any system"}
	if len(r.Systems) > 0 {
		parts[0] = system
	}
	if w := words(r.When); w != "" {
		parts = append(parts, "where "+w)
	}
	if r.Source != "" {
		parts = append(parts, "("+r.Source+")")
	}
	return strings.Join(parts, " ")
}

// words says a condition to a person: "model is separate or none, phase is not live".
func words(w ticket.When) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(w)) {
		var is []string
		for _, word := range w[name] {
			switch {
			case word == "*":
				is = append(is, "known")
			case strings.HasPrefix(word, "!"):
				is = append(is, "not "+word[1:])
			case word == "":
				is = append(is, "unknown")
			default:
				is = append(is, word)
			}
		}
		parts = append(parts, name+" is "+strings.Join(is, " or "))
	}
	return strings.Join(parts, ", ")
}

// Facts are what conditions on t see: the ticket's own facts, and beside them, from what the ticket is, kind, type,
// priority, severity, system, service, customer, owner, state, channel, major (yes), and reported or detected (yes).
// Kind, type, priority, severity, owner and state are always as the ticket stands now.
func Facts(t ticket.Ticket) ticket.Facts {
	f := make(ticket.Facts, len(t.Facts)+12)
	maps.Copy(f, t.Facts)
	for name, word := range map[string]string{
		"kind": t.Kind, "type": t.Type, "priority": t.Priority, "severity": string(t.Severity), "owner": t.Owner,
		"state": string(t.State), "major": flag(t.Major),
	} {
		f[name] = word
	}
	detected := t.Detected || len(t.Alerts) > 0 && t.Reporter == ""
	for name, word := range map[string]string{
		"system": t.System, "service": t.Service, "customer": t.Customer, "channel": t.Channel,
		"detected": flag(detected), "reported": flag(!detected && t.Reporter != ""),
	} {
		if f[name] == "" {
			f[name] = word
		}
	}
	return f
}

// flag is the word of a fact that is true, and none for one that is not.
func flag(is bool) string {
	if is {
		return "yes"
	}
	return ""
}
