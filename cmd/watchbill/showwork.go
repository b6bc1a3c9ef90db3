package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/ticket"
)

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// lines are names with what is said of them.
type lines [][2]string

func (l *lines) add(name, format string, args ...any) {
	*l = append(*l, [2]string{name, fmt.Sprintf(format, args...)})
}

// work are the lines about what people and the policy did with a ticket: handoff, waiting, approvals, money, promises.
func work(s screen, t api.Ticket) [][2]string {
	out := came(s, t)
	if h := t.Handoff; h != nil {
		out.add("Handoff", "offered to %s by %s %s: %s; %s owns it until it is accepted", h.To, h.By, s.ago(h.At), h.Reason, or(h.From, nobody))
	}
	if t.Returned > 0 {
		out.add("Returned", "%s came back", count(t.Returned, "handoff"))
	}
	if w := t.Waits; w != nil {
		out.add("Waiting", "for %s since %s: %s", w.Reason, s.ago(w.Since), w.Text)
	}
	if t.Unsupported != "" {
		out.add("Unsupported", "%s", t.Unsupported)
	}
	if why := rejection(t); why != "" {
		out.add("Rejected", "%s", why)
	}
	out = append(out, consents(s, t)...)
	out = append(out, money(t)...)
	if t.Parent != nil {
		out.add("Parent", "%s %s", t.Parent.Relation, t.Parent.Number)
	}
	if t.Merged != nil {
		out.add("Merged", "into %s, which goes on for it", t.Merged.Number)
	}
	if r := t.Rating; r != nil {
		told := ""
		if r.RecordedBy != "" {
			told = " (told " + r.RecordedBy + ")"
		}
		out.add("Rated", "%d of 10 by %s%s %s", r.Score, r.By, told, r.Text)
	}
	return out
}

// came are the lines about whose ticket it is, how it came, and how much it matters.
func came(s screen, t api.Ticket) (out lines) {
	if t.Department != "" {
		out.add("Department", "%s", t.Department)
	}
	if t.Reporter != "" {
		over := ""
		if t.Channel != "" {
			over = t.Channel + " "
		}
		out.add("Reported", "%sby %s, received %s", over, t.Reporter, s.ago(t.ReceivedAt))
	}
	for _, line := range expected(s, t) {
		out.add(line[0], "%s", line[1])
	}
	if t.Because != "" {
		out.add("Priority", "%s because %s", t.Priority, t.Because)
	}
	if t.Major {
		out.add("Major", "this is a major incident")
	}
	return out
}

// consents are the lines about who verified, approved and waived what, and what was promised.
func consents(s screen, t api.Ticket) (out lines) {
	if t.Verified != nil {
		out.add("Verified", "by %s, %s", t.Verified.By, s.ago(t.Verified.At))
	}
	for _, a := range t.Approvals {
		out.add("Approved", "%s by %s (%s), dated %s", a.What, a.By, a.Role, s.stamp(a.Dated))
	}
	for _, w := range t.Waivers {
		text := fmt.Sprintf("%s by %s (%s): %s", w.Clock, w.By, w.Role, w.Reason)
		if w.Retrospective {
			text += "; after the breach, which stays"
		}
		out.add("Waiver", "%s", text)
	}
	if n := len(t.Promises); n > 0 {
		p := t.Promises[n-1]
		slipped := ""
		if t.Slips > 0 {
			slipped = "; put off " + count(t.Slips, "time")
		}
		out.add("Promised", "for %s, agreed with %s%s", s.stamp(p.Until), p.With, slipped)
	}
	return out
}

// nobody is who owns a ticket without an owner; in JSON its owner is the empty string.
const nobody = "nobody"

// expected says of an open ticket without targets why it has none: support that has not begun, or a date still to be agreed.
func expected(s screen, t api.Ticket) [][2]string {
	switch {
	case !t.State.Open():
		return nil
	case t.EntitledFrom != nil, t.Facts[ticket.FactEntitled] == "no":
		since := ""
		if t.EntitledFrom != nil {
			since = " (from " + s.stamp(*t.EntitledFrom) + ")"
		}
		return [][2]string{{"No targets", "support is not yet entitled" + since}}
	case t.Reporter != "" && len(t.Clocks) == 0 && len(t.Promises) == 0:
		return [][2]string{{"Expected", "to be scheduled"}}
	}
	return nil
}

// rejection is who rejected a delivery, and why; empty when nobody did.
func rejection(t api.Ticket) string {
	for _, e := range slices.Backward(t.Timeline) {
		if e.Kind != ticket.Rejected {
			continue
		}
		if e.Text == "" {
			return "by " + actorName(e.Actor)
		}
		return "by " + actorName(e.Actor) + " because " + e.Text
	}
	return ""
}

// money are the lines about what is charged.
func money(t api.Ticket) [][2]string {
	var out [][2]string
	if t.Chargeable != "" {
		out = append(out, [2]string{"Chargeable", t.Chargeable})
	}
	for name, q := range map[string]*ticket.Quote{"Estimate": t.Estimate, "Quote": t.Quote} {
		if q != nil {
			out = append(out, [2]string{name, strings.Trim(strings.Join([]string{q.Price, q.Exceptions, q.Terms, q.ETA}, "; "), "; ") + ", by " + q.By})
		}
	}
	if t.Order != "" {
		out = append(out, [2]string{"Order", t.Order})
	}
	slices.SortFunc(out, func(x, y [2]string) int { return strings.Compare(x[0], y[0]) })
	return out
}

// showGates lists what would refuse what comes next.
func showGates(s screen, gates []api.Gate) {
	s.title("BEFORE WHAT COMES NEXT")
	for _, g := range gates {
		s.para("  ", "    ", fmt.Sprintf("%s: gate %s (%s) is missing:", g.Verb, g.Gate, g.Source))
		for _, m := range g.Missing {
			s.para("    - ", "      ", m)
		}
	}
}

// showLists prints steps and checklists with who ticked what.
func showLists(s screen, t api.Ticket) {
	items := func(title string, all []ticket.Item) {
		s.title(title)
		for _, i := range all {
			line := "[ ] " + i.Item
			if i.Ticked != nil {
				line = "[x] " + i.Item + ", by " + i.Ticked.By + " " + s.stamp(i.Ticked.At)
			}
			s.para("  ", "      ", line)
		}
	}
	if len(t.Steps) > 0 {
		items("STEPS", t.Steps)
	}
	for _, l := range t.Checklists {
		items(fmt.Sprintf("CHECKLIST %s %s", l.Name, l.Version), l.Items)
	}
}

func showChildren(s screen, children []ticket.Child) {
	s.title(fmt.Sprintf("CHILDREN (%d)", len(children)))
	for _, c := range children {
		s.para("  ", "    ", fmt.Sprintf("%s  %s  %s %s, %s", c.Number, c.State, c.Kind, c.Type, c.Relation))
	}
}

func showDrafts(s screen, drafts []ticket.Draft) {
	s.title(fmt.Sprintf("MESSAGES TO THE CLIENT (%d)", len(drafts)))
	for _, d := range drafts {
		state := "draft, not sent"
		if !d.SentAt.IsZero() {
			state = "sent " + s.stamp(d.SentAt) + " by " + d.SentBy
			if d.How != "" {
				state += " (" + d.How + ")"
			}
		}
		s.para(fmt.Sprintf("  %d. ", d.ID), "     ", fmt.Sprintf("to %s, by %s, %s", d.To, d.By, state))
		s.para("     ", "     ", d.Text)
	}
}
