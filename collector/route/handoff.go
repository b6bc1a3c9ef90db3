package route

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/ticket"
)

// Way is a party that a ticket can be handed to.
type Way struct {
	To string `json:"to"`
	// Internal: it is one party with the owner by the operating model, so the handoff stays inside of the house.
	Internal bool `json:"internal,omitempty"`
	// Because says why it leads there.
	Because string `json:"because,omitempty"`
}

// The words for parties of a ticket instead of a name: whose it is; to whom and by whom it was offered, of handoffs alone.
const (
	PartyOwner    = "owner"
	PartyOffered  = "offered"
	PartyOffering = "offering"
)

// Meant tells whether a word is one for a party of the ticket.
func Meant(word string) bool {
	return word == PartyOwner || word == PartyOffered || word == PartyOffering
}

// whose is the party that a word means just now, which for a name is that; empty where nothing was offered.
func (h *hearing) whose(name string) string {
	switch name {
	case PartyOwner:
		return h.t.Owner
	case PartyOffered:
		return h.facts["to"]
	case PartyOffering:
		return h.facts["from"]
	}
	return name
}

// Handoffs are the parties that a ticket with these facts may be handed to by its owner: all but the owner, in the order
// of the policy.
func Handoffs(owner string, facts ticket.Facts, terms Terms) []Way {
	var ways []Way
	for _, p := range terms.Parties {
		if p.Name != owner {
			ways = append(ways, Way{To: p.Name, Internal: Internal(owner, p.Name, facts, terms)})
		}
	}
	return ways
}

// Internal tells whether two parties are one by the operating model: the same, or joined by Party.Same, over others too,
// where the facts are as that party's When says.
func Internal(a, b string, facts ticket.Facts, terms Terms) bool {
	return slices.Contains(joined(a, facts, terms), b)
}

// joined is a party with all that are one with it, nearest first.
func joined(party string, facts ticket.Facts, terms Terms) []string {
	one := []string{party}
	for i := 0; i < len(one); i++ {
		for _, p := range terms.Parties {
			if p.Same == "" || !p.When.Holds(facts) {
				continue
			}
			other := ""
			switch one[i] {
			case p.Name:
				other = p.Same
			case p.Same:
				other = p.Name
			}
			if other != "" && !slices.Contains(one, other) {
				one = append(one, other)
			}
		}
	}
	return one
}

// Escalate is where a ticket with these facts is handed on to by its owner for a reason: the first escalation for that
// reason that holds and leads to another party than the owner. The error names the reasons that lead somewhere.
func Escalate(owner, reason string, facts ticket.Facts, terms Terms) (Way, error) {
	for _, e := range terms.Escalations {
		if e.Reason != reason || e.To == owner || !e.When.Holds(facts) {
			continue
		}
		because := reason
		if w := words(e.When); w != "" {
			because += " where " + w
		}
		return Way{To: e.To, Internal: Internal(owner, e.To, facts, terms), Because: because}, nil
	}
	reasons := Reasons(owner, facts, terms)
	if len(reasons) == 0 {
		return Way{}, fmt.Errorf("escalate for %q: the policy leads from %s to nobody: hand the ticket to a party by name", reason, owner)
	}
	return Way{}, fmt.Errorf("escalate for %q: from %s nothing leads on for that reason: expected one of %s", reason, owner,
		strings.Join(reasons, ", "))
}

// Reasons are those for which a ticket with these facts can be handed on by its owner, in the order of the policy.
func Reasons(owner string, facts ticket.Facts, terms Terms) (reasons []string) {
	for _, e := range terms.Escalations {
		if e.To != owner && e.When.Holds(facts) && !slices.Contains(reasons, e.Reason) {
			reasons = append(reasons, e.Reason)
		}
	}
	return reasons
}

// StandsFor are the parties of the policy that a person stands for on a ticket at an instant, in the order of the policy:
// those whose role they have, by their token or as a contact of the customer; those in whose rota they take turns, or are on
// call; and those that are one with such a party. person is an ID of the directory, empty for nobody it knows.
func (a Audience) StandsFor(t ticket.Ticket, person string, roles []string, now time.Time) (parties []string) {
	facts := Facts(t)
	for _, p := range a.Terms.Parties {
		for _, one := range joined(p.Name, facts, a.Terms) {
			i := slices.IndexFunc(a.Terms.Parties, func(q Party) bool { return q.Name == one })
			if i >= 0 && a.stands(a.Terms.Parties[i], t.Customer, person, roles, now) {
				parties = append(parties, p.Name)
				break
			}
		}
	}
	return parties
}

// stands tells whether a person stands for one party, by itself.
func (a Audience) stands(p Party, customer, person string, roles []string, now time.Time) bool {
	if p.Role != "" && slices.Contains(roles, p.Role) {
		return true
	}
	if person == "" {
		return false
	}
	has := func(customer, role string) bool {
		return role != "" && slices.ContainsFunc(a.Directory.Contacts(customer, role), func(c Person) bool { return c.ID == person })
	}
	if has(customer, p.Role) {
		return true
	}
	r, ok := a.Rotas[p.Rota]
	if !ok {
		return false
	}
	on, _, _ := r.OnDuty(now)
	return on == person || slices.Contains(r.People, person) || has("", r.Role)
}

// Split takes apart the words by which a person names several to tell: they stand between commas.
func Split(words string) (out []string) {
	for word := range strings.SplitSeq(words, ",") {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, word)
		}
	}
	return out
}

// Words are targets as a person would name them, for Split.
func Words(to []Target) string { return describe(to) }

// Knows tells whether a word means somebody beside a role: a party, "owner", a rota, "assignee", "reporter", "all" for every
// receiver, or a person by ID.
func (a Audience) Knows(word string) bool { return a.named(word).Role == "" }

// named is whom a word means; what is nothing else is a role.
func (a Audience) named(word string) Target {
	if word == "owner" || slices.ContainsFunc(a.Terms.Parties, func(p Party) bool { return p.Name == word }) {
		return Target{Party: word}
	}
	if word == "all" {
		return Target{Receiver: word}
	}
	if _, ok := a.Rotas[word]; ok {
		return Target{Rota: word}
	}
	if word == "assignee" || word == "reporter" {
		return Target{Person: word}
	}
	if _, ok := a.Directory.Person(word); ok {
		return Target{Person: word}
	}
	return Target{Role: word}
}

// escalated adds those whom a person who escalated the ticket wants told. Nobody's rule is needed for it, and where they
// reach nobody every receiver is told.
func (h *hearing) escalated(c ticket.Change, n ticket.Notice) {
	if n.What != ticket.Escalated {
		return
	}
	for _, e := range c.Events {
		if e.Kind != n.What || e.Text != n.Text || e.Detail == nil || e.Detail.Told == nil {
			continue
		}
		var to []Target
		for _, words := range e.Detail.Told.To {
			for _, word := range Split(words) {
				to = append(to, h.a.named(word))
			}
		}
		h.reach(to, "escalated by "+e.Actor.Name)
	}
}
