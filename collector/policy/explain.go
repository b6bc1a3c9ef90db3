package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Question asks which clocks a ticket would get.
type Question struct {
	// Priority is the ticket's; Type one of the policy's types, or empty; Channel how it came, a call where it is empty.
	Priority, Type, Channel string
	// Facts are further facts of the ticket.
	Facts ticket.Facts
	// At is when its clocks start: its detection or receipt.
	At time.Time
}

// Explained is one clock that a ticket would get.
type Explained struct {
	Clock string   `json:"clock"`
	Mode  sla.Mode `json:"mode"`
	// Start and Due are in the calendar's zone; a target without a calendar has them in the zone of the question.
	Start time.Time `json:"start"`
	Due   time.Time `json:"due"`
	// Breaches is false where the clock only informs.
	Breaches  bool           `json:"breaches"`
	Intervals []sla.Interval `json:"intervals"`
	// Target and Source say what was agreed and where; they are for people.
	Target sla.Target `json:"-"`
	Source string     `json:"-"`
}

// Explain is every clock that a ticket as asked would get, in the order of the targets, each explained interval by
// interval from its start to its due instant. It refuses a priority, type, channel, fact or word that the policy does not
// know, naming those that it does, all at once.
func (r Resolved) Explain(q Question) ([]Explained, error) {
	facts, err := r.factsOf(q)
	if err != nil {
		return nil, err
	}
	terms, err := r.Ticket.Ready()
	if err != nil {
		return nil, fmt.Errorf("explain clocks: %w", err)
	}
	out := []Explained{}
	for _, rule := range r.given(facts, terms.Hours(), q.At) {
		clock, err := sla.Begin(rule.Target, terms.Hours(), q.At, terms.AtRisk, q.At)
		if err != nil {
			return nil, fmt.Errorf("explain the clock %s (%s): %w", rule.Target.Clock, rule.Source, err)
		}
		zone := q.At.Location()
		if terms.Hours() != nil {
			zone = terms.Hours().Zone()
		}
		intervals := clock.Explain(terms.Hours(), time.Time{})
		for i := range intervals {
			intervals[i].From, intervals[i].To = intervals[i].From.In(zone), intervals[i].To.In(zone)
		}
		out = append(out, Explained{Clock: rule.Target.Clock, Mode: rule.Target.Mode, Start: clock.Start.In(zone), Due: clock.Due.In(zone),
			Breaches: !rule.Target.Inform, Intervals: intervals, Target: rule.Target, Source: rule.Source})
	}
	return out, nil
}

// given are the targets of a ticket with these facts: of each clock the first that holds.
func (r Resolved) given(facts ticket.Facts, hours *sla.Calendar, at time.Time) []ticket.TargetRule {
	if at.Before(r.Ticket.EntitledFrom) || facts["kind"] == ticket.KindAnnouncement {
		return nil
	}
	var out []ticket.TargetRule
	for _, rule := range r.Ticket.Targets {
		switch {
		case slices.ContainsFunc(out, func(o ticket.TargetRule) bool { return o.Target.Clock == rule.Target.Clock }):
		case !rule.When.Holds(facts):
		case rule.From == "message" && facts["channel"] != "on-call":
		case rule.OutsideHours && (hours == nil || hours.Open(at)):
		default:
			rule.Target.Inform = rule.Target.Inform || rule.Beside || r.Ticket.BestEffort
			out = append(out, rule)
		}
	}
	return out
}

// factsOf are the facts of a ticket as asked, the contract's among them.
func (r Resolved) factsOf(q Question) (ticket.Facts, error) {
	var errs []error
	refuse := func(what, got string, known []string) {
		errs = append(errs, errors.New(unknownWord("", what, got, known).String()))
	}
	f := maps.Clone(r.Ticket.Facts)
	if f == nil {
		f = ticket.Facts{}
	}
	if !slices.Contains(r.Ticket.Priorities, q.Priority) {
		refuse("priority", q.Priority, r.Ticket.Priorities)
	}
	f["priority"], f["kind"] = q.Priority, ticket.KindIncident
	if q.Type != "" {
		y, ok := r.Ticket.Type(q.Type)
		if !ok {
			refuse("type", q.Type, r.typeNames())
		}
		f["type"], f["kind"] = q.Type, y.Kind
	}
	if q.Channel != "" {
		if !slices.Contains(Channels(), q.Channel) {
			refuse("channel", q.Channel, Channels())
		}
		f["channel"] = q.Channel
	}
	if q.Channel == "" {
		f["channel"] = ticketCall
	}
	f["reported"] = "true"
	if q.Channel == ticketDetected {
		delete(f, "reported")
		f["detected"] = "true"
	}
	known := r.settable()
	for _, name := range slices.Sorted(maps.Keys(q.Facts)) {
		words, ok := known[name]
		word := q.Facts[name]
		switch {
		case !ok:
			refuse("fact", name, slices.Sorted(maps.Keys(known)))
		case len(words) > 0 && !slices.Contains(words, word) && !slices.Contains(words, otherSpelling(word)):
			refuse("fact "+name, word, words)
		}
		f[name] = word
	}
	return f, errors.Join(errs...)
}

// ticketCall is the channel of a call, which a ticket is asked about as where nobody says how it comes.
const ticketCall = "telephone"

// ticketDetected is the channel of what monitoring found.
const ticketDetected = "detected"

func (r Resolved) typeNames() []string {
	out := make([]string, len(r.Ticket.Types))
	for i, y := range r.Ticket.Types {
		out[i] = y.Name
	}
	return out
}

// settable are the facts that may be said of a ticket besides its priority, type and channel, with their words.
func (r Resolved) settable() map[string][]string {
	out := map[string][]string{}
	for _, f := range Facts() {
		if !f.Contract {
			out[f.Name] = f.Words
		}
	}
	for _, name := range []string{"priority", "type", "channel", "kind", "reported", "detected", "state", "owner", "entitled", "workaround-by", "first-to-know"} {
		delete(out, name)
	}
	for _, y := range r.Ticket.Types {
		for _, name := range y.Asks {
			if _, known := out[name]; !known {
				out[name] = nil
			}
		}
	}
	return out
}

// Agree puts what a command line says of a contract into one: KEY is cover, oncall, zone, region, agreement, phase, model,
// or target.PRIORITY.CLOCK, or override.SECTION. The error names the keys there are and what their values are.
func Agree(k fleet.Contract, key, value string) (fleet.Contract, error) {
	kind, rest, _ := strings.Cut(key, ".")
	switch kind {
	case "cover":
		k.Cover = value
	case "oncall":
		if value != "true" && value != "false" {
			return k, fmt.Errorf("oncall=%s: write true or false", value)
		}
		k.OnCall = value == "true"
	case "zone":
		k.Zone = value
	case "region":
		k.Region = value
	case "agreement":
		k.Agreement = value
	case "phase", "model":
		f, _ := fact(kind)
		if !slices.Contains(f.Words, value) {
			return k, fmt.Errorf("%s=%s: write one of %s", kind, value, strings.Join(f.Words, ", "))
		}
		if kind == "phase" {
			k.Phase = fleet.Phase(value)
		} else {
			k.Model = fleet.Model(value)
		}
	case "target":
		return agreeTarget(k, key, rest, value)
	case "override":
		overrides := maps.Clone(k.Override)
		if overrides == nil {
			overrides = map[string]string{}
		}
		overrides[rest] = value
		k.Override = overrides
	default:
		return k, errors.New(unknownWord("", "contract", key, ContractKeys()).String())
	}
	return k, nil
}

// ContractKeys are the keys that Agree takes.
func ContractKeys() []string {
	return []string{"cover", "oncall", "zone", "region", "agreement", "phase", "model", "target.PRIORITY.CLOCK", "override.SECTION"}
}

func agreeTarget(k fleet.Contract, key, rest, value string) (fleet.Contract, error) {
	i := strings.LastIndexByte(rest, '.')
	if i <= 0 || i == len(rest)-1 {
		return k, fmt.Errorf("%s: write target.PRIORITY.CLOCK=DURATION,MODE, like target.P1.response=30m,business", key)
	}
	t := fleet.Target{Priority: rest[:i], Clock: rest[i+1:], Within: value}
	if _, err := sla.ParseTarget(t.Clock, t.Within); err != nil {
		return k, err
	}
	k.Targets = append(slices.DeleteFunc(slices.Clone(k.Targets), func(o fleet.Target) bool { return o.Priority == t.Priority && o.Clock == t.Clock }), t)
	return k, nil
}

// ForClocks is a contract that names a winner for the sections that no clock comes from, where several of its sets give
// them: whoever asks for clocks alone need not choose who is told.
func (b *Book) ForClocks(k fleet.Contract) fleet.Contract {
	overrides := maps.Clone(k.Override)
	if overrides == nil {
		overrides = map[string]string{}
	}
	for _, section := range []string{sectionRouting, sectionNotices} {
		for _, name := range k.Sets {
			if s, ok := b.Set(name); ok && overrides[section] == "" && s.gives(section) {
				overrides[section] = name
			}
		}
	}
	k.Override = overrides
	return k
}
