package ticket

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

var workVerbs = map[Verb]doing{
	RemoteSession:  {allows: allowsSession, do: doSession},
	RejectDelivery: {wants: "why the delivery is rejected, with the arguments", allows: allowsRejection, do: doRejection},
	Escalate: {wants: "why it is escalated", allows: func(d *draft, a Action) error {
		switch {
		case !d.t.State.Open():
			return d.t.refuse("is %s; reopen it first, saying why", d.t.State)
		case strings.TrimSpace(a.To) == "":
			return d.t.refuse("wants to know to whom it is escalated: name a step of its ladder, or a role or a person")
		}
		return d.room(len(d.t.Told), "escalations")
	}, do: func(d *draft, a Action) {
		text := "escalated to " + a.To + ": " + a.Text
		d.add(Event{Kind: Escalated, Actor: d.by.Actor, Text: text, Detail: &Detail{
			Told: &Told{Step: or(a.What, a.To), At: d.now, To: []string{a.To}},
		}})
		d.tell(Escalated, text)
	}},
	Monitor: {wants: "what should be monitored, or what about its monitoring should be better", allows: func(d *draft, a Action) error {
		if a.What == "" {
			return nil
		}
		return d.oneOf(a.What, "what to do about monitoring", "create", "improve")
	}, do: func(d *draft, a Action) {
		task := or(a.What, "create") + " monitoring"
		d.bear(d.typeFor(needMonitoring, TypeMonitoring), task+" for "+d.t.Number, a.Text, "monitoring for")
		d.says(task+" was asked for: "+a.Text, Facts{factMonitoring: "asked"})
	}},
	ExceptVersion: {wants: "why the change cannot wait for a version", allows: allowsException, do: func(d *draft, a Action) {
		d.bear(TypeDeliverVersion, "deliver a version of the change of "+d.t.Number, a.Text, followUpOf)
		d.says("the change goes out without a version: "+a.Text, Facts{factException: "yes"})
		d.tell(FactsChanged, "the change goes out without a version: "+a.Text)
	}},
}

// bear opens a ticket because of this one, which Parent is when the change is whole. Its ID, number and owner are given by
// whoever opens it; see Change.Births. The customer's people read its title, so none of the words that were written for the
// house are in it: why is its note.
func (d *draft) bear(typ, title, why, relation string) {
	kind := KindTask
	if ty, ok := d.terms.Type(typ); ok {
		kind = ty.Kind
	} else {
		typ = ""
	}
	d.births = append(d.births, Birth{
		Title: short(strings.Join(strings.Fields(title), " "), maxTitle), Terms: d.terms, Kind: kind, Type: typ,
		Relation: relation, Note: short(d.by.Name+": "+why, MaxText),
	})
}

// maxTitle bounds the title of a ticket that is opened because of another, in bytes.
const maxTitle = 160

// typeFor is the type of task that answers a kind of need: the first that its gates name and the terms have.
func (d *draft) typeFor(kind, otherwise string) string {
	needs, _ := d.asking(func(n Need) bool { return n.Kind == kind })
	for _, n := range needs {
		for _, name := range n.Names {
			if _, ok := d.terms.Type(name); ok {
				return name
			}
		}
	}
	return otherwise
}

func allowsSession(d *draft, a Action) error {
	if err := unshut(d, a); err != nil {
		return err
	}
	var lacks []string
	for _, f := range []struct {
		name string
		none bool
	}{
		{"the tool", a.What == ""}, {"its start", a.At.IsZero()}, {"its end", a.Until.IsZero()}, {"who consented", a.To == ""},
	} {
		if f.none {
			lacks = append(lacks, f.name)
		}
	}
	if len(lacks) > 0 {
		return d.t.refuse("cannot keep a remote session without %s", strings.Join(lacks, ", "))
	}
	if a.Until.Before(a.At) {
		return d.t.refuse("cannot keep a remote session that ended, %s, before it started, %s", clock(a.Until), clock(a.At))
	}
	return d.past(a.Until, "the end of a remote session")
}

func doSession(d *draft, a Action) {
	s := Session{Tool: a.What, Start: a.At.UTC(), End: a.Until.UTC(), Consent: a.To}
	text := fmt.Sprintf("remote session with %s from %s to %s, with the consent of %s", s.Tool, clock(s.Start), clock(s.End), s.Consent)
	if a.Text != "" {
		text += ": " + a.Text
	}
	d.add(Event{Kind: ActionTaken, Actor: d.by.Actor, Text: text, Detail: &Detail{Session: &s}})
}

func allowsRejection(d *draft, a Action) error {
	switch {
	case d.t.Kind != KindDelivery:
		return d.t.refuse("is of kind %s: only deliveries are rejected", d.t.Kind)
	case !d.t.State.Open():
		return d.t.refuse("is %s; reopen it first, saying why", d.t.State)
	case d.t.Facts[factDelivery] == rejected:
		return d.t.refuse("was rejected already")
	}
	if needs, _ := d.asking(func(n Need) bool { return n.Kind == needFollowUp }); len(needs) > 0 {
		return nil // the gate says what is missing
	}
	for _, c := range chosenFollowUps(a) {
		if !slices.Contains(followUps, c) {
			return d.t.refuse("does not know the follow-up %q: choose of %s", c, strings.Join(followUps, ", "))
		}
	}
	if len(chosenFollowUps(a)) == 0 {
		return d.t.refuse("is rejected with at least one of %s to follow", strings.Join(followUps, ", "))
	}
	return nil
}

func doRejection(d *draft, a Action) {
	chosen := chosenFollowUps(a)
	for _, c := range chosen {
		d.bear(c, fmt.Sprintf("%s after the rejection of %s", c, or(d.t.Facts[factVersion], d.t.Number)), a.Text, followUpOf)
	}
	text := a.Text + ". To follow: " + strings.Join(chosen, ", ")
	d.add(Event{Kind: Rejected, Actor: d.by.Actor, Text: text, Detail: &Detail{What: d.t.Facts[factVersion]}})
	d.says("the delivery is rejected", Facts{factDelivery: rejected})
	d.tell(Rejected, text)
}

func allowsException(d *draft, a Action) error {
	if err := unshut(d, a); err != nil {
		return err
	}
	if a.What != "" && a.What != factVersion {
		return d.t.refuse("can be excepted from nothing but the version of its change, not from %q", a.What)
	}
	var excepted []string
	needs, _ := d.asking(func(n Need) bool { return n.Kind == needVersion })
	for _, n := range needs {
		for _, p := range (asked{n: n}).named("blocker") {
			if !slices.Contains(excepted, p) { // two sets may ask for a version
				excepted = append(excepted, p)
			}
		}
	}
	switch {
	case len(needs) == 0:
		return d.t.refuse("needs no exception: no gate of %s asks for a version", or(d.terms.Policy, "its policy"))
	case !slices.Contains(excepted, d.t.Priority):
		return d.t.refuse("is %s: only %s may be excepted from having a version", d.t.Priority, strings.Join(excepted, ", "))
	case d.t.Facts[factException] == "yes":
		return d.t.refuse("is excepted already")
	case isVersion(d.t.Facts[factVersion]):
		return d.t.refuse("names version %s already", d.t.Facts[factVersion])
	}
	return nil
}

// Next is when the ticket of a recurring type opens that follows one opened at last: one period later. Periods that went
// by since (nobody was there to open them) are not opened one by one: the newest that is due stands for them. It is zero
// for a type that does not recur.
func (ty Type) Next(last, now time.Time) time.Time {
	if ty.Every <= 0 {
		return time.Time{}
	}
	periods := max(1, now.Sub(last)/ty.Every)
	return last.Add(periods * ty.Every)
}
