package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
)

// IntakeDuty is an intake of the operator's (a mail box, a form) that a set in force wants read.
type IntakeDuty struct {
	// Name is one in all sets that are loaded; Set is the one that wants it read.
	Name string
	Set  string
	// Within is how long it may lie unread, Type the ticket that opens then.
	Within sla.Target
	Type   ticket.Type
	// Terms are the set's own: the ticket belongs to no customer. Ticket is Ready.
	Terms Resolved
}

// IntakeState is how an intake stands.
type IntakeState struct {
	Name string `json:"name"`
	Set  string `json:"set"`
	// Within is how long it may lie unread: 1,business-days.
	Within string `json:"within"`
	Type   string `json:"type"`
	// ReadAt is when somebody confirmed last that it was read, By who; null and empty when nobody ever did.
	ReadAt *time.Time `json:"read_at"`
	By     string     `json:"by"`
	// Due is when it has been unread for too long, counted from ReadAt, or from when the collector first knew of it.
	Due time.Time `json:"due"`
	// Ticket is the number of the open ticket about it, empty for none.
	Ticket string `json:"ticket"`
}

// SetsInForce are the sets that a contract names which is in force now. at finds a customer's contract.
func SetsInForce(customers []fleet.Customer, at func(customer string) (fleet.Contract, bool)) map[string]bool {
	used := map[string]bool{}
	for _, c := range customers {
		if k, ok := at(c.ID); ok {
			for _, name := range k.Sets {
				used[name] = true
			}
		}
	}
	return used
}

// Intakes are those of the sets that are in force, by name. terms gives what a set says by itself, made ready; it fails when
// that does.
func (b *Book) Intakes(inForce map[string]bool, terms func(set string) (Resolved, error)) ([]IntakeDuty, error) {
	var out []IntakeDuty
	for _, s := range b.Sets() {
		if !inForce[s.Name] || len(s.Intakes) == 0 {
			continue
		}
		r, err := terms(s.Name)
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(s.Intakes)) {
			in := s.Intakes[name]
			target, err := sla.ParseTarget(name, in.Within)
			if err != nil {
				return nil, fmt.Errorf("intake %s of %s: %w", name, s.Name, err) // a check refuses it
			}
			ty, _ := r.Ticket.Type(in.Type)
			out = append(out, IntakeDuty{Name: name, Set: s.Name, Within: target, Type: ty, Terms: r})
		}
	}
	slices.SortStableFunc(out, func(x, y IntakeDuty) int { return strings.Compare(x.Name, y.Name) })
	return out, nil
}

// Key names the ticket of the intake: at most one is open.
func (d IntakeDuty) Key() string { return "intake/" + d.Name }

// Due is when the intake, read last at an instant, has been unread for too long. It fails where the calendar never opens.
func (d IntakeDuty) Due(since time.Time) (time.Time, error) {
	c, err := sla.Begin(d.Within, d.Terms.Ticket.Hours(), since, 0, since)
	if err != nil {
		return time.Time{}, fmt.Errorf("intake %s of %s: %w", d.Name, d.Set, err)
	}
	return c.Due, nil
}

// Birth is the ticket of an intake that was not confirmed read since an instant.
func (d IntakeDuty) Birth(since time.Time) ticket.Birth {
	zone := time.UTC
	if cal := d.Terms.Ticket.Hours(); cal != nil {
		zone = cal.Zone()
	}
	return ticket.Birth{Kind: d.Type.Kind, Type: d.Type.Name, Report: &ticket.Report{Key: d.Key()}, Terms: d.Terms.Ticket,
		Title: fmt.Sprintf("intake %s: nobody confirmed that it was read since %s", d.Name, since.In(zone).Format("Mon 2 Jan 15:04 MST"))}
}

// Read is what the confirmation that an intake was read does to the ticket about it.
func (d IntakeDuty) Read() ticket.Action {
	return ticket.Action{Verb: ticket.Resolve, Text: "intake " + d.Name + " was read"}
}

// intakes finds what is wrong with a set's intakes.
func (c *checker) intakes() {
	for _, name := range slices.Sorted(maps.Keys(c.Intakes)) {
		in := c.Intakes[name]
		if !validName(name) {
			c.fault(in.At, "write it with a-z, 0-9 and -", "intakes: %q is no word", name)
		}
		c.word(in.At, "intakes."+name+".type", in.Type, slices.Sorted(maps.Keys(c.Types)))
		if c.Types[in.Type].Kind == ticket.KindAnnouncement {
			c.fault(in.At, "name a task", "intakes.%s.type: an announcement is nobody's work", name)
		}
		target, err := sla.ParseTarget(name, in.Within)
		c.wrong(in.At, "intakes: ", err)
		if err == nil && target.NeedsCalendar() && c.Calendar == nil {
			c.fault(in.At, "give the set a calendar, or write the time as elapsed", "intakes.%s: %s counts by a calendar and the set has none", name, in.Within)
		}
	}
}
