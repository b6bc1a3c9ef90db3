package api

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Offers is what may be said to a ticket under a policy set, or under all sets of a contract together.
type Offers struct {
	// TypeDetails are the types of ticket that people open, by name.
	TypeDetails []PolicyType `json:"type_details"`
	// Waits are the reasons for waiting, by name.
	Waits []PolicyWait `json:"waits"`
	// Parties are those who can own a ticket, by name.
	Parties []PolicyParty `json:"parties"`
	// Systems are the words that a ticket's system may be: those of the ownership map.
	Systems []string `json:"systems"`
	// Templates are the messages to clients, by name; empty for who does not see how the house works.
	Templates []PolicyTemplate `json:"templates"`
}

// PolicyType is a type of ticket.
type PolicyType struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Title string `json:"title"`
	// Asks are the facts that must be said when one is opened, Steps what is ticked in order, Evidence what is to be attached
	// before it is resolved.
	Asks     []string `json:"asks"`
	Steps    []string `json:"steps"`
	Evidence []string `json:"evidence"`
	// Chargeable is never, always or ask: a person marks it before work starts.
	Chargeable string `json:"chargeable"`
	// EverySeconds is how often one opens by itself, 0 for never.
	EverySeconds float64 `json:"every_seconds"`
	// When are the conditions on the customer's facts under which there is such a type.
	When map[string][]string `json:"when"`
}

// PolicyWait is a reason for waiting.
type PolicyWait struct {
	Name string `json:"name"`
	// For says for whom or what is waited, Stops which clocks stand still meanwhile.
	For   string   `json:"for"`
	Stops []string `json:"stops"`
}

// PolicyParty is who can own a ticket.
type PolicyParty struct {
	Name string `json:"name"`
	// Role is the role that stands for it, empty for a party of an on-call rota.
	Role string `json:"role"`
}

// PolicyTemplate is a message to clients with its placeholders.
type PolicyTemplate struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// offersOf is what terms offer.
func offersOf(s sight, res policy.Resolved) Offers {
	out := Offers{TypeDetails: []PolicyType{}, Waits: []PolicyWait{}, Parties: []PolicyParty{}, Systems: policy.Systems(), Templates: []PolicyTemplate{}}
	for _, ty := range res.Ticket.Types {
		out.TypeDetails = append(out.TypeDetails, policyType(ty))
	}
	for _, name := range sortedKeys(res.Ticket.Waits) {
		w := res.Ticket.Waits[name]
		out.Waits = append(out.Waits, PolicyWait{Name: name, For: w.For, Stops: orEmpty(w.Stops)})
	}
	for _, p := range res.Route.Parties {
		out.Parties = append(out.Parties, PolicyParty{Name: p.Name, Role: p.Role})
	}
	out.templates(s, res.Route.Templates)
	return out.sorted()
}

// offersOfSet is what a set by itself offers.
func offersOfSet(s sight, set policy.Set) Offers {
	res := policy.Resolved{Ticket: ticket.Terms{Waits: map[string]ticket.WaitRule{}}, Route: route.Terms{Templates: set.Templates}}
	for name, ty := range set.Types {
		res.Ticket.Types = append(res.Ticket.Types, ty.Rule(name, set))
	}
	for name, w := range set.Waits {
		res.Ticket.Waits[name] = ticket.WaitRule{Stops: w.Stops, For: w.For}
	}
	for name, p := range set.Parties {
		res.Route.Parties = append(res.Route.Parties, route.Party{Name: name, Role: p.Role})
	}
	return offersOf(s, res)
}

func policyType(ty ticket.Type) PolicyType {
	when := map[string][]string{}
	maps.Copy(when, ty.When)
	return PolicyType{Name: ty.Name, Kind: ty.Kind, Title: ty.Title, Asks: orEmpty(ty.Asks), Steps: orEmpty(ty.Steps), Evidence: orEmpty(ty.Evidence),
		Chargeable: cmp.Or(ty.Chargeable, "never"), EverySeconds: ty.Every.Seconds(), When: when}
}

// templates adds messages to clients for who sees how the house works.
func (o *Offers) templates(s sight, texts map[string]string) {
	if !s.inside() {
		return
	}
	for _, name := range sortedKeys(texts) {
		o.Templates = append(o.Templates, PolicyTemplate{Name: name, Text: texts[name]})
	}
}

// sorted puts types and parties in the order of their names.
func (o Offers) sorted() Offers {
	slices.SortFunc(o.TypeDetails, func(x, y PolicyType) int { return strings.Compare(x.Name, y.Name) })
	slices.SortFunc(o.Parties, func(x, y PolicyParty) int { return strings.Compare(x.Name, y.Name) })
	return o
}
