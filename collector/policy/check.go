package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
)

// checker looks for faults in one set.
type checker struct {
	Set
	found []Finding
	// facts are all that conditions of the set may ask for: the house's and those that its types ask.
	facts map[string][]string
	roles []string
}

// check finds what is wrong with a set by itself, each with its line.
func (s Set) check() []Finding {
	c := &checker{Set: s, facts: map[string][]string{}, roles: wordsOf(fleet.ContactRoles())}
	c.gatherFacts()
	c.head()
	c.calendar()
	c.priorities()
	c.clocks()
	c.targets()
	c.gates()
	c.types()
	c.routing()
	c.notices()
	c.rotas()
	c.intakes()
	c.life()
	return c.found
}

func (c *checker) fault(at, fix, format string, args ...any) {
	c.found = append(c.found, Finding{Where: at, Text: fmt.Sprintf(format, args...), Fix: fix, Fault: true})
}

func (c *checker) warn(at, fix, format string, args ...any) {
	c.found = append(c.found, Finding{Where: at, Text: fmt.Sprintf(format, args...), Fix: fix})
}

// word finds a word that is none of a closed list.
func (c *checker) word(at, what, got string, known []string) {
	if !slices.Contains(known, got) {
		c.found = append(c.found, unknownWord(at, what, got, known))
	}
}

// wrong puts an error of another room at a line.
func (c *checker) wrong(at, what string, err error) {
	for _, e := range parts(err) {
		c.fault(at, "", "%s%s", what, strings.ReplaceAll(e.Error(), "\n", "; "))
	}
}

func (c *checker) gatherFacts() {
	for _, f := range Facts() {
		c.facts[f.Name] = f.Words
	}
	c.facts["priority"], c.facts["type"] = c.Priorities, slices.Sorted(maps.Keys(c.Types))
	for _, y := range c.Types {
		for _, name := range y.Asks {
			if _, known := c.facts[name]; !known {
				c.facts[name] = nil
			}
		}
	}
	c.facts["owner"] = slices.Sorted(maps.Keys(c.Parties))
}

// when finds facts and words of a condition that nothing knows: it would never hold.
func (c *checker) when(at, what string, w When) {
	for _, name := range slices.Sorted(maps.Keys(w)) {
		words, known := c.facts[name]
		if !known && !strings.HasPrefix(name, "supports-") {
			c.found = append(c.found, unknownWord(at, what+": fact", name, slices.Sorted(maps.Keys(c.facts))))
			continue
		}
		if len(w[name]) == 0 {
			c.fault(at, "name the words that it may have, or leave the fact out", "%s: %s has no words, so it says nothing", what, name)
		}
		for _, word := range w[name] {
			word = strings.TrimPrefix(word, "!")
			if len(words) > 0 && word != "*" && word != "" && !slices.Contains(words, word) && !slices.Contains(words, otherSpelling(word)) {
				c.found = append(c.found, unknownWord(at, what+": "+name, word, words))
			}
		}
	}
}

// otherSpelling is the other word for what is so or is not.
func otherSpelling(word string) string {
	return map[string]string{"true": "yes", "yes": "true", "false": "no", "no": "false"}[word]
}

func (c *checker) head() {
	if c.Name == "" {
		c.fault(c.line("name"), "give the set a name: contracts name it", "name: must not be empty")
	} else if !validName(c.Name) {
		c.fault(c.line("name"), "write it with a-z, 0-9 and -", "name %q: is no word", c.Name)
	}
	if c.Version == "" {
		c.fault(c.line("version"), "give one: a ticket keeps the version it was opened under", "version: must not be empty")
	}
	for _, section := range c.Yields {
		c.word(c.line("yields"), "yields", section, Sections())
		if slices.Contains(Sections(), section) && !c.gives(section) {
			c.fault(c.line("yields"), "take it out", "yields: %s, which the set does not give", section)
		}
	}
}

func validName(name string) bool {
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func (c *checker) calendar() {
	if c.Calendar == nil {
		return
	}
	spec, found := c.Calendar.spec(c.Set)
	c.found = append(c.found, found...)
	if len(found) == 0 && !spec.Always && len(c.Calendar.Hours) == 0 {
		c.fault(c.Calendar.At, "write `hours: {mon-fri: \"09:00-17:30\"}` or `always: true`", "calendar: it never opens")
	}
	for _, x := range clashes(spec) {
		c.fault(c.Calendar.Overlays[x.second].At, fixOverlays, "calendar.overlays: %s", x.text)
	}
	for _, cover := range slices.Sorted(maps.Keys(c.Calendar.Cover)) {
		c.word(c.Calendar.line("cover"), "calendar.cover", cover, c.facts["cover"])
		c.word(c.Calendar.At, "calendar.cover."+cover, c.Calendar.Cover[cover], []string{coverAlways, coverNothing})
	}
}

func (c *checker) priorities() {
	if !c.gives(sectionTargets) {
		return
	}
	at := c.line("priorities")
	if len(c.Priorities) == 0 {
		c.fault(at, "name them, the worst first: `priorities: [P1, P2, P3]`", "priorities: there are none")
	}
	if c.Agreement != "" {
		c.word(c.line("agreement"), "agreement", c.Agreement, []string{Standard, OfContract, BestEffort})
	}
	got := map[string]bool{}
	always := false
	for i, row := range c.Classify {
		c.when(row.At, "classify", row.When)
		c.word(row.At, "classify: priority", row.Priority, c.Priorities)
		if first := shadow(c.Classify[:i], row, func(r Class) ticket.When { return r.When.compiled() }); first != nil {
			c.fault(row.At, "put it before that row, or take it out", "classify: this row is never reached: the one at %s holds whenever it does", first.At)
		}
		got[row.Priority] = true
		always = always || len(row.When) == 0
	}
	for _, y := range c.Types {
		got[y.Priority] = true
	}
	for i, p := range c.Priorities {
		if slices.Contains(c.Priorities[:i], p) {
			c.fault(at, "keep it once", "priorities: %q stands twice", p)
		}
		if !got[p] && (always || i < len(c.Priorities)-1) {
			c.fault(at, "add a row of classify that gives it, or take it out", "priorities: no ticket gets %q", p)
		}
	}
}

func (c *checker) clocks() {
	verbs := wordsOf(ticket.Verbs)
	for _, name := range slices.Sorted(maps.Keys(c.Clocks)) {
		clock := c.Clocks[name]
		if len(clock.MetBy) == 0 {
			c.fault(clock.At, "name the verbs that meet it: `met_by: [ack]`", "clocks.%s: nobody can meet it", name)
		}
		for _, v := range clock.MetBy {
			c.word(clock.At, "clocks."+name+".met_by", v, verbs)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Waits)) {
		for _, clock := range c.Waits[name].Stops {
			c.word(c.Waits[name].At, "waits."+name+".stops", clock, slices.Sorted(maps.Keys(c.Clocks)))
		}
	}
	if c.AtRisk < 0 || c.AtRisk >= 1 {
		c.fault(c.line("at_risk"), "write a share over 0 and below 1, like 80%", "at_risk: %v is no share of a clock before it is due", c.AtRisk)
	}
}

func (c *checker) targets() {
	for i, row := range c.Targets {
		c.when(row.At, "targets", row.When)
		for _, p := range row.Priority {
			c.word(row.At, "targets: priority", p, c.Priorities)
		}
		for _, y := range row.Type {
			c.word(row.At, "targets: type", strings.TrimPrefix(y, "!"), c.facts["type"])
		}
		for _, both := range []struct {
			key   string
			short Words
		}{{"priority", row.Priority}, {"type", row.Type}} {
			if _, twice := row.When[both.key]; twice && len(both.short) > 0 {
				c.fault(row.At, "say it once", "targets: %s stands both beside when and in it", both.key)
			}
		}
		if _, known := c.Clocks[row.Clock]; !known {
			c.fault(row.At, "say in clocks what meets it; there are "+orNone(slices.Sorted(maps.Keys(c.Clocks))), "targets: clock %q: nobody can meet it", row.Clock)
		}
		target, err := sla.ParseTarget(row.Clock, row.Within)
		c.wrong(row.At, "", err)
		if err == nil {
			c.target(row, target)
		}
		if first := shadow(c.Targets[:i], row, func(r Target) ticket.When { return r.condition() }, sameClock(row)); first != nil {
			c.fault(row.At, "put it before that row, or take it out", "targets: this row is never reached: the one at %s gives the clock %s whenever it does", first.At, row.Clock)
		}
	}
	c.untimed()
}

// untimed finds priorities that no row gives a clock to, where rows give one to others.
func (c *checker) untimed() {
	if len(c.Targets) == 0 || c.Agreement == OfContract || c.Agreement == BestEffort {
		return
	}
	for _, p := range c.Priorities {
		if !slices.ContainsFunc(c.Targets, func(row Target) bool {
			words := slices.Concat(row.Priority, row.When["priority"])
			return len(words) == 0 || ticket.When{"priority": words}.Holds(ticket.Facts{"priority": p})
		}) {
			c.warn(c.line("targets"), "add a row for it, or take it that nothing is promised", "targets: no row gives a clock to priority %s, and others have one", p)
		}
	}
}

// sameClock tells rows that take a clock away from a later one.
func sameClock(row Target) func(Target) bool {
	return func(r Target) bool {
		return r.Clock == row.Clock && (!r.OutsideHours || row.OutsideHours) && (r.From == "" || r.From == row.From)
	}
}

func (c *checker) target(row Target, target sla.Target) {
	if target.NeedsCalendar() && c.Calendar == nil {
		c.fault(row.At, "give the set a calendar, or write the target in elapsed time", "targets: %s counts by a calendar and the set has none", row.Within)
	}
	if row.Beside && !target.Inform {
		c.fault(row.At, "write the target with ,inform", "targets: %s stands beside another clock and would breach", row.Clock)
	}
	if row.From != "" && row.From != "message" {
		c.word(row.At, "targets: from", row.From, []string{"message"})
	}
	if row.OutsideHours && c.Calendar == nil {
		c.fault(row.At, "give the set a calendar", "targets: outside_hours of no calendar")
	}
}

func (c *checker) gates() {
	probe := ticket.Terms{Priorities: c.Priorities}
	for name := range c.Types {
		probe.Types = append(probe.Types, ticket.Type{Name: name, Kind: ticket.KindIncident})
	}
	for name := range c.Checklists {
		probe.Checklists = append(probe.Checklists, ticket.Checklist{Name: name, Version: "1", Items: []string{"any"}})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Gates)) {
		g := c.Gates[name]
		c.when(g.At, "gates."+name, g.When)
		if len(g.Before) == 0 {
			c.fault(g.At, "name the verbs that it stands before: `before: [close]`", "gates.%s: it stands before nothing", name)
		}
		for _, v := range g.Before {
			c.word(g.At, "gates."+name+".before", v, wordsOf(ticket.Verbs))
		}
		if len(g.Needs) == 0 {
			c.fault(g.At, "say what it asks for: `needs: [{kind: …}]`", "gates.%s: it asks for nothing", name)
		}
		for _, role := range g.BreakGlass {
			c.word(g.At, "gates."+name+".break_glass", role, c.roles)
		}
		for _, n := range g.Needs {
			c.when(n.At, "gates."+name+".needs", n.When)
			for _, role := range n.Roles {
				c.word(n.At, "gates."+name+".needs: role", role, c.roles)
			}
			c.emptyTypes(name, g, n)
			probe.Gates = []ticket.Gate{{Name: name, Before: []ticket.Verb{ticket.Close}, Needs: Gate{Needs: []Need{n}}.rule(name, c.Set, c.Priorities).Needs}}
			c.wrong(n.At, "", probe.CheckGates())
		}
	}
}

func (c *checker) types() {
	for _, name := range slices.Sorted(maps.Keys(c.Types)) {
		y := c.Types[name]
		c.when(y.At, "types."+name, y.When)
		c.recurring(name, y)
		if y.Owner != "" {
			c.word(y.At, "types."+name+".owner", y.Owner, slices.Sorted(maps.Keys(c.Parties)))
		}
		c.wrong(y.At, "", ticket.Terms{Priorities: c.Priorities, Types: []ticket.Type{y.Rule(name, c.Set)}}.CheckGates())
	}
	for _, name := range slices.Sorted(maps.Keys(c.Checklists)) {
		list := c.Checklists[name]
		c.when(list.At, "checklists."+name, list.When)
		if list.EndorsedBy != "" {
			c.word(list.At, "checklists."+name+".endorsed_by", list.EndorsedBy, c.roles)
		}
		c.wrong(list.At, "", ticket.Terms{Checklists: []ticket.Checklist{{Name: name, Version: list.Version, Items: list.Items}}}.CheckGates())
	}
}

func (c *checker) life() {
	if c.gives(sectionTargets) && (c.ReopenWindow <= 0 || c.CloseAfter <= 0) {
		c.fault(c.At, "write both, like 24h", "reopen_window and close_after: must be there and positive")
	}
	if l := c.Lifecycle; l != nil {
		if _, err := time.Parse("01-02", l.Budget); err != nil {
			c.fault(l.At, "write month and day, like 10-01", "lifecycle.budget: %q is no day of a year", l.Budget)
		}
		if l.Ahead <= 0 {
			c.fault(l.At, "write it like 90d", "lifecycle.ahead: must be positive")
		}
		c.word(l.At, "lifecycle.type", l.Type, slices.Sorted(maps.Keys(c.Types)))
	}
	for i, key := range c.Queue {
		c.word(c.line("queue"), "queue", key, route.QueueKeys())
		if slices.Contains(c.Queue[:i], key) {
			c.fault(c.line("queue"), "keep it once", "queue: %q stands twice", key)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Compliance)) {
		d := c.Compliance[name]
		c.when(d.At, "compliance."+name, d.When)
		if d.Title == "" {
			c.fault(d.At, "say what is asked of an environment", "compliance.%s: title: must not be empty", name)
		}
		for _, system := range d.Systems {
			c.word(d.At, "compliance."+name+".systems", system, Systems())
		}
	}
}
