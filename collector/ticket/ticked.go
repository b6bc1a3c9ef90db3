package ticket

import "time"

// Item is a step of a ticket's type, or an item of a checklist, as it stands on one ticket.
type Item struct {
	// Item is its text, by which it is ticked.
	Item string `json:"item"`
	// Ticked says by whom and when; null while nobody did.
	Ticked *Signature `json:"ticked"`
}

// CheckedList is a checklist as it stands on one ticket.
type CheckedList struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// EndorsedBy is the role that endorsed this version; Link where the procedure is written.
	EndorsedBy string `json:"endorsed_by"`
	Link       string `json:"link"`
	Items      []Item `json:"items"`
}

// Steps are those of the ticket's type under the terms that it goes by, in order; empty where it has none.
func (t Ticket) Steps(terms Terms) []Item {
	ty, _ := terms.Type(t.Type)
	return t.items(tickStep, ty.Steps)
}

// Lists are the checklists of the terms that apply to the ticket at now, in the terms' order.
func (t Ticket) Lists(terms Terms, now time.Time) []CheckedList {
	out := []CheckedList{}
	for _, c := range t.checklists(terms, t.conditions(terms, now)) {
		out = append(out, CheckedList{Name: c.Name, Version: c.Version, EndorsedBy: c.EndorsedBy, Link: c.Link, Items: t.items(c.group(), c.Items)})
	}
	return out
}

// items are texts with the ticks that are kept under a group.
func (t Ticket) items(group string, texts []string) []Item {
	out := make([]Item, 0, len(texts))
	for _, text := range texts {
		item := Item{Item: text}
		if by, ok := t.Ticks[group+text]; ok {
			item.Ticked = &by
		}
		out = append(out, item)
	}
	return out
}
