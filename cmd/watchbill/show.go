package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ticket"
)

// unwrapped is how long a line of evidence may be where there is no terminal to say.
const unwrapped = 120

// showTicket prints a ticket whole, for somebody who was just woken: what, where, since when, then the evidence.
func showTicket(s screen, t api.Ticket) {
	s.para("", "", fmt.Sprintf("%s  %s  %s  %s", t.Number, t.Priority, t.Severity, strings.ToUpper(stateOf(t.TicketRow))))
	s.para("", "", t.Title)
	fmt.Fprintln(s.w)
	for _, f := range facts(s, t) {
		s.para("  "+pad(f[0], 14), "  "+pad("", 14), f[1])
	}
	if len(t.Clocks) > 0 {
		s.title("CLOCKS")
		s.clocks(t.Clocks)
	}
	showLists(s, t)
	if len(t.Next) > 0 {
		showGates(s, t.Next)
	}
	if len(t.Children) > 0 {
		showChildren(s, t.Children)
	}
	if len(t.Drafts) > 0 {
		showDrafts(s, t.Drafts)
	}
	if len(t.Alerts) > 0 {
		showAlerts(s, t)
	}
	if t.Gathers != nil {
		showStorm(s, t)
	}
	parts := []struct {
		title string
		part  ticket.PartRecord
	}{
		{"1. TIME", t.Record.Time}, {"2. SYMPTOMS", t.Record.Symptom}, {"3. AFFECTED USERS", t.Record.Users},
		{"4. ERROR REFERENCES", t.Record.Errors}, {"5. ACTIONS ALREADY TAKEN", t.Record.Actions},
	}
	for _, p := range parts {
		s.title(p.title)
		s.part(p.part)
	}
	kept := ""
	if t.Abridged {
		kept = ", what is internal is left out"
	}
	s.title(fmt.Sprintf("TIMELINE (%d events%s)", len(t.Timeline), kept))
	s.timeline(t.Timeline)
}

func (s screen) title(text string) { fmt.Fprintf(s.w, "\n%s\n", text) }

// facts are the lines at the head of a ticket: name and text.
func facts(s screen, t api.Ticket) [][2]string {
	var out [][2]string
	add := func(name, text string) {
		if text != "" {
			out = append(out, [2]string{name, text})
		}
	}
	add("Customer", joined(t.Customer, "site", t.Site))
	add("Asset", t.Asset)
	add("Service", joined(t.Service, "system", t.System))
	if t.Storm != "" {
		add("Storm", "part of "+t.Storm+", which tells of it")
	}
	add("Owner", joined(or(t.Owner, nobody), "assigned to", t.Assignee))
	for _, f := range work(s, t) {
		add(f[0], f[1])
	}
	add("Opened", s.ago(t.OpenedAt))
	switch {
	case t.AcknowledgedAt != nil:
		add("Acknowledged", s.ago(*t.AcknowledgedAt)+", by "+t.AcknowledgedBy)
	case t.State.Open():
		add("Acknowledged", "not yet")
	}
	if t.ResolvedAt != nil {
		by := ""
		if t.ResolvedBy != nil {
			by = ", by " + actorName(*t.ResolvedBy)
		}
		add("Resolved", s.ago(*t.ResolvedAt)+by)
		add("Resolution", t.Resolution)
	}
	if t.ClosedAt != nil {
		add("Closed", s.ago(*t.ClosedAt))
	}
	add("Flapping", flapping(s, t.Flap))
	add("Reopened", reopened(s, t))
	for _, l := range t.Links {
		add("Related", l.Relation+" "+l.Number)
	}
	add("Policy", joined(or(t.PolicySet, t.Policy.Name), "version", or(t.PolicyVersion, t.Policy.Version)))
	add("Times", "local, UTC"+s.now.In(s.zone).Format("-07:00")+" now, unless a line says otherwise")
	return out
}

// flapping is since when and how often a ticket's alerts go up and down, and when that is over; empty when they do not.
func flapping(s screen, f *api.Flap) string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("since %s, %s, the newest %s; told once, over at %s if nothing changes until then",
		s.stamp(f.Since), count(f.Count, "change"), s.ago(f.LastAt), s.stamp(f.SettlesAt))
}

// reopened is when and why a ticket was last reopened, and how often it was if that is more than once.
func reopened(s screen, t api.Ticket) string {
	for _, e := range slices.Backward(t.Timeline) {
		if e.Kind != ticket.Reopened {
			continue
		}
		text := s.ago(e.At) + ", by " + actorName(e.Actor)
		if t.Reopened > 1 {
			text = fmt.Sprintf("%d times, last %s", t.Reopened, text)
		}
		if e.Text != "" {
			text += ": " + e.Text
		}
		return text
	}
	return ""
}

func joined(a, word, b string) string {
	switch {
	case b == "":
		return a
	case a == "":
		return word + " " + b
	}
	return a + ", " + word + " " + b
}

// actorName is who did something: a person by name, a machine with its kind unless its name says that already.
func actorName(a ticket.Actor) string {
	switch {
	case a.Name == "":
		return string(a.Kind)
	case a.Kind == ticket.Person, strings.HasPrefix(a.Name, string(a.Kind)):
		return a.Name
	}
	return string(a.Kind) + " " + a.Name
}

// valued is an alert's name with its value, where it has one: what another program sent comes without.
func valued(a incident.Alert, value string) string {
	if a.Fed() {
		return a.Name
	}
	return a.Name + " = " + value
}

// showAlerts lists the alerts on a ticket, those that still fire first, and what to look at first.
func showAlerts(s screen, t api.Ticket) {
	var firing, ended []api.TicketAlert
	for _, a := range t.Alerts {
		if a.Firing() {
			firing = append(firing, a)
		} else {
			ended = append(ended, a)
		}
	}
	s.title(fmt.Sprintf("ALERTS (%d firing, %d ended)", len(firing), len(ended)))
	for _, a := range append(firing, ended...) {
		state, until := "firing", ""
		if !a.Firing() {
			state, until = "ended ", " to "+s.stamp(a.EndedAt)
		}
		text := fmt.Sprintf("%s %s, since %s%s", a.Severity, valued(a.Alert, number("", float64(a.Value))), s.stamp(a.ActiveAt), until)
		if about := cmp.Or(a.Annotations["summary"], a.Particulars()); about != "" {
			text += ": " + about
		}
		s.para("  "+state+"  ", "          ", text)
		if a.Unknown != "" {
			s.para("          unknown: ", "          ", a.Unknown)
		}
	}
	if more := t.Counted; more != nil {
		s.para("  more    ", "          ", fmt.Sprintf("and %d more than these, of which %d fire; the newest: %s", more.Came, more.Firing,
			strings.Join(more.Newest, "; ")))
	}
	for _, a := range firing {
		if first := a.Annotations["first_checks"]; first != "" {
			fmt.Fprintln(s.w)
			s.para("  Look first ("+clean(a.Name)+"): ", "    ", first)
		}
	}
}

// showStorm lists the tickets that a storm's stands for, as many as were sent.
func showStorm(s screen, t api.Ticket) {
	g := t.Gathers
	s.title(fmt.Sprintf("TICKETS OF THE STORM (%d, %d open)", g.Tickets, g.Standing))
	s.para("  ", "  ", fmt.Sprintf("%d of %d assets; first %s, last %s", g.Assets, g.Of, s.stamp(g.FirstAt), s.stamp(g.LastAt)))
	for _, m := range t.Members {
		s.para("  ", "    ", fmt.Sprintf("%s  %s  %s: %s", m.Number, m.State, m.Asset, m.Title))
	}
	if more := g.Tickets - len(t.Members); more > 0 {
		s.para("  ", "  ", fmt.Sprintf("and %d more: watchbill ticket list --all --storm %s", more, t.Number))
	}
}

// part prints one part of the record.
func (s screen) part(p ticket.PartRecord) {
	if len(p.Entries) == 0 {
		none := p.None
		switch {
		case none == "":
			none = "none, because nothing was gathered"
		case !strings.HasPrefix(none, "none"):
			none = "none, because " + none
		}
		s.para("  ", "  ", none)
	}
	for _, e := range p.Entries {
		s.entry(e)
	}
}

// entry prints one piece of evidence with its source and time, behind it where there is room and below it otherwise.
func (s screen) entry(e ticket.Entry) {
	source := e.Source
	if who, did := strings.CutSuffix(source, ", "+string(ticket.ActionTaken)); did {
		source = who + ", " + kindName(ticket.ActionTaken)
	}
	source = "[" + source + ", " + s.stamp(e.At)
	if e.Times > 1 {
		source += fmt.Sprintf(", seen %d times", e.Times)
	}
	source += "]"
	room := s.width
	if room == 0 {
		room = unwrapped
	}
	if line := "  - " + clean(e.Text) + "  " + clean(source); columns(line) <= room && !strings.Contains(e.Text, "\n") {
		fmt.Fprintln(s.w, line)
	} else {
		s.para("  - ", "    ", e.Text)
		s.para("    ", "     ", source)
	}
	if e.Table != nil {
		s.indented("      ", e.Table)
	}
	if e.Series != nil {
		if !strings.Contains(e.Text, e.Series.Name) {
			s.para("      ", "      ", e.Series.Name)
		}
		s.chart("      ", *e.Series)
	}
}

// indented prints a table of evidence.
func (s screen) indented(indent string, t *ticket.Table) {
	var b bytes.Buffer
	cols := make([]column, len(t.Columns))
	for i, name := range t.Columns {
		cols[i] = column{title: clean(name), stretch: true}
	}
	width := 0
	if s.width > 0 {
		width = max(20, s.width-len(indent))
	}
	table(&b, width, cols, t.Rows)
	for line := range strings.Lines(b.String()) {
		fmt.Fprint(s.w, indent+line)
	}
}

// timeline prints every event, those by which evidence was gathered at one moment as one line.
func (s screen) timeline(events []ticket.Event) {
	for i := 0; i < len(events); {
		n := i + 1
		for n < len(events) && gathered(events[i]) && gathered(events[n]) && events[n].At.Equal(events[i].At) {
			n++
		}
		text := evidenceText(events[i:n])
		if n == i+1 {
			text = kindName(events[i].Kind) + ", " + actorName(events[i].Actor)
			if told := eventText(events[i]); told != "" {
				text += ": " + told
			}
		}
		stamp := s.stamp(events[i].At)
		s.para("  "+stamp+"  ", "  "+pad("", columns(stamp))+"  ", text)
		i = n
	}
}

func gathered(e ticket.Event) bool { return e.Kind == ticket.EvidenceAdded && e.Evidence != nil }

// evidenceText names the parts that were gathered together; the record above shows what was found.
func evidenceText(events []ticket.Event) string {
	var parts []string
	for _, e := range events {
		if e.Evidence != nil && !slices.Contains(parts, partName(e.Evidence.Part)) {
			parts = append(parts, partName(e.Evidence.Part))
		}
	}
	return "evidence gathered: " + strings.Join(parts, ", ")
}

func partName(p ticket.Part) string { return strings.ReplaceAll(string(p), "_", " ") }

// kindName is what happened, in the words of the command line.
func kindName(k ticket.Kind) string {
	if k == ticket.ActionTaken {
		return string(ticket.Did)
	}
	return strings.ReplaceAll(string(k), "_", " ")
}

// eventText is what an event tells beyond its kind.
func eventText(e ticket.Event) string {
	var parts []string
	add := func(s string) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	add(e.Text)
	if e.Alert != nil && e.Text == "" {
		add(valued(*e.Alert, e.Alert.Value.String()))
	}
	if e.Evidence != nil {
		add(partName(e.Evidence.Part) + ": " + e.Evidence.Summary)
	}
	if e.Kind == ticket.PriorityChanged {
		now := "now " + e.Priority
		if e.Severity != "" {
			now += " (" + string(e.Severity) + ")"
		}
		add(now)
	}
	if e.Link != nil && !strings.Contains(e.Text, e.Link.Number) {
		add(e.Link.Relation + " " + e.Link.Number)
	}
	return strings.Join(parts, "; ")
}
