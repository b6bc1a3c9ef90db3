package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/ticket"
)

func (c *checker) routing() {
	parties := slices.Sorted(maps.Keys(c.Parties))
	for _, name := range parties {
		p := c.Parties[name]
		if route.Meant(name) {
			c.fault(p.At, "give it another name", "parties.%s: the word means a party of the ticket", name)
		}
		c.when(p.At, "parties."+name, p.When)
		if p.Role == "" && p.Rota == "" {
			c.fault(p.At, "give it a role, a rota or both", "parties.%s: nobody can be reached", name)
		}
		if p.Role != "" {
			c.word(p.At, "parties."+name+".role", p.Role, c.roles)
			if slices.Contains(c.roles, p.Role) && !accepts(p.Role) {
				c.fault(p.At, "give the party a role that works on tickets, and tell this one by a notice", "parties.%s: role %s cannot accept a ticket", name, p.Role)
			}
		}
		if p.Rota != "" {
			c.word(p.At, "parties."+name+".rota", p.Rota, slices.Sorted(maps.Keys(c.Rotas)))
		}
		if p.Same != "" {
			c.word(p.At, "parties."+name+".same", p.Same, parties)
		}
	}
	if !c.gives(sectionRouting) {
		return
	}
	if c.Owner == "" {
		c.fault(c.At, "name the party that owns what no row of owners gives to another", "owner: must not be empty")
	} else {
		c.word(c.line("owner"), "owner", c.Owner, parties)
	}
	if c.Reports != "" {
		c.word(c.line("reports"), "reports", c.Reports, parties)
	}
	for i, row := range c.Owners {
		c.ownerRow(i, row, parties)
	}
	for i, e := range c.Escalations {
		c.when(e.At, "escalations", e.When)
		c.word(e.At, "escalations: to", e.To, parties)
		if e.Reason == "" {
			c.fault(e.At, "say for which reason", "escalations: reason: must not be empty")
		}
		same := func(o Escalation) bool { return o.Reason == e.Reason }
		if first := shadow(c.Escalations[:i], e, func(o Escalation) ticket.When { return o.When.compiled() }, same); first != nil {
			c.fault(e.At, "put it before that row, or take it out", "escalations: this row is never reached: the one at %s is for the same reason and holds whenever it does", first.At)
		}
	}
}

func (c *checker) ownerRow(i int, row OwnerRow, parties []string) {
	c.when(row.At, "owners", row.When)
	c.word(row.At, "owners: owner", row.Owner, parties)
	for _, system := range row.Systems {
		c.word(row.At, "owners: system", system, Systems())
	}
	wider := func(o OwnerRow) bool {
		return len(o.Systems) == 0 || len(row.Systems) > 0 && !slices.ContainsFunc(row.Systems, func(s string) bool { return !slices.Contains(o.Systems, s) })
	}
	when := func(o OwnerRow) ticket.When { return o.When.compiled() }
	if first := shadow(c.Owners[:i], row, when, wider); first != nil {
		c.fault(row.At, "put it before that row, or take it out", "owners: this row is never reached: the one at %s holds whenever it does", first.At)
		return
	}
	for _, system := range row.Systems {
		one := func(o OwnerRow) bool { return slices.Contains(o.Systems, system) }
		if first := shadow(c.Owners[:i], row, when, one); first != nil {
			c.fault(row.At, "name it in one of both", "owners: %s is owned by %s at %s already: two rows for one system", system, first.Owner, first.At)
		}
	}
}

func (c *checker) notices() {
	for i, n := range c.Notices {
		at := fmt.Sprintf("notices: %q", n.Name)
		c.when(n.At, at, n.When)
		if n.Name == "" || slices.ContainsFunc(c.Notices[:i], func(o Notice) bool { return o.Name == n.Name }) {
			c.fault(n.At, "give it a name of its own", "notices: name %q: is empty or stands twice", n.Name)
		}
		if len(n.On) == 0 {
			c.fault(n.At, "name kinds of events, or \"*\" for all", "%s is told on nothing", at)
		}
		for _, kind := range n.On {
			if kind != "*" {
				c.word(n.At, at+": on", kind, wordsOf(told))
			}
		}
		c.recipients(n.At, at, n.To)
		c.letter(n.At, at, n.Template, n.Letter, n.To)
		c.handoff(at, n.On, n.To)
		if n.Template != "" {
			c.word(n.At, at+": template", n.Template, slices.Sorted(maps.Keys(c.Templates)))
			if slices.ContainsFunc(n.To, func(r Recipient) bool { return r.Receiver == "all" }) {
				c.fault(n.At, "name to whom it goes", "%s is a message to the customer and goes to every receiver", at)
			}
		}
	}
	c.templates()
	c.ladder()
	c.quiet()
	for _, role := range slices.Sorted(maps.Keys(c.Fallback)) {
		c.word(c.line("fallback"), "fallback", role, c.roles)
		c.word(c.line("fallback"), "fallback."+role, c.Fallback[role], c.roles)
	}
}

func (c *checker) templates() {
	for _, name := range slices.Sorted(maps.Keys(c.Templates)) {
		c.wrong(c.line("templates"), "templates."+name+": ", ticket.CheckTemplate(c.Templates[name]))
		if !slices.ContainsFunc(c.Notices, func(n Notice) bool { return n.Template == name || n.Letter == name }) &&
			!slices.ContainsFunc(c.Ladder, func(r Rung) bool { return r.Letter == name }) {
			c.warn(c.line("templates"), "name it in a notice, or leave it to people who draft", "templates.%s: no notice uses it", name)
		}
	}
}

func (c *checker) ladder() {
	for i, r := range c.Ladder {
		at := fmt.Sprintf("ladder: %q", r.Name)
		c.when(r.At, at, r.When)
		if r.Name == "" {
			c.fault(r.At, "give it a name: a ticket remembers it by that", "ladder: name: must not be empty")
		}
		if r.Share <= 0 || r.Share > 10 {
			c.fault(r.At, "write a share like 80%, at most ten times the clock", "%s: share %v", at, r.Share)
		}
		if r.AckFor > 0 && r.AckFor < Duration(route.Window) {
			c.fault(r.At, "write at least "+Duration(route.Window).String(), "%s: ack_for %v is shorter than notices are gathered for", at, r.AckFor)
		}
		c.recipients(r.At, at, r.To)
		c.letter(r.At, at, "", r.Letter, r.To)
		c.handoff(at, nil, r.To)
		same := func(o Rung) bool { return o.Name == r.Name && o.Clock == r.Clock }
		if first := shadow(c.Ladder[:i], r, func(o Rung) ticket.When { return o.When.compiled() }, same); first != nil {
			c.fault(r.At, "put it before that rung, or give it another name", "%s is never reached: the rung of that name and clock at %s holds whenever it does", at, first.At)
		}
		c.rungClock(at, r)
	}
}

// rungClock finds a rung whose clock no ticket has. Where the contract brings the targets it may bring any clock.
func (c *checker) rungClock(at string, r Rung) {
	if !c.gives(sectionTargets) {
		return
	}
	c.word(r.At, at+": clock", r.Clock, slices.Sorted(maps.Keys(c.Clocks)))
	if _, known := c.Clocks[r.Clock]; !known || c.Agreement == OfContract || c.Agreement == BestEffort {
		return
	}
	gives := func(row Target) bool {
		if row.Clock != r.Clock || row.Beside || strings.HasSuffix(row.Within, ",inform") {
			return false
		}
		wants := r.When["priority"]
		return len(wants) == 0 || len(row.Priority) == 0 || slices.ContainsFunc(c.Priorities, func(p string) bool {
			f := ticket.Facts{"priority": p}
			return ticket.When{"priority": wants}.Holds(f) && ticket.When{"priority": row.Priority}.Holds(f)
		})
	}
	if !slices.ContainsFunc(c.Targets, gives) {
		c.fault(r.At, "add a target that gives the clock, or take the rung out", "%s is never reached: no target gives the clock %s that it waits for", at, r.Clock)
	}
}

func (c *checker) recipients(at, what string, to []Recipient) {
	if len(to) == 0 {
		c.fault(at, "name a role, a party, a rota, a person or a receiver", "%s: nobody is told", what)
	}
	for _, r := range to {
		set := 0
		for _, word := range []string{r.Role, r.Party, r.Rota, r.Person, r.Receiver} {
			if word != "" {
				set++
			}
		}
		if set != 1 {
			c.fault(r.At, "write one entry for each", "%s: to: exactly one of role, party, rota, person, receiver is expected", what)
		}
		if r.Role != "" {
			c.word(r.At, what+": role", r.Role, c.roles)
		}
		if r.Party != "" && !route.Meant(r.Party) {
			c.word(r.At, what+": party", r.Party, slices.Sorted(maps.Keys(c.Parties)))
		}
		if r.Rota != "" {
			c.word(r.At, what+": rota", r.Rota, slices.Sorted(maps.Keys(c.Rotas)))
		}
	}
}

func (c *checker) quiet() {
	for _, p := range c.Urgent {
		c.word(c.line("urgent"), "urgent", p, c.Priorities)
	}
	q := c.Quiet
	if q == nil {
		return
	}
	c.wrong(q.At, "quiet_hours: ", route.QuietHours{Zone: q.Zone, From: q.From, To: q.To, Priorities: q.Priorities}.Validate())
	for _, p := range q.Priorities {
		c.word(q.At, "quiet_hours: priority", p, c.Priorities)
		if slices.Contains(c.Urgent, p) {
			c.fault(q.At, "take it out of one of both", "quiet_hours: %s is urgent and waits for nothing", p)
		}
	}
}

func (c *checker) rotas() {
	for _, name := range slices.Sorted(maps.Keys(c.Rotas)) {
		x := c.Rotas[name]
		if x.Role != "" {
			c.word(x.At, "rotas."+name+".role", x.Role, c.roles)
		}
		c.wrong(x.At, "", x.rota(name, c.Set).Validate())
	}
}
