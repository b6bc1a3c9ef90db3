package ticket

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

var consentVerbs = map[Verb]doing{
	Approve:       {allows: allowsApprove, do: doApprove},
	StateSecurity: {allows: allowsSecurity, do: doSecurity},
	Waive:         {wants: "why the target may be missed", allows: allowsWaive, do: doWaive},
	Decline: {wants: "why the request is refused", allows: func(d *draft, _ Action) error {
		switch {
		case d.t.Kind != KindRequest:
			return d.t.refuse("is of kind %s: only requests are refused", d.t.Kind)
		case !d.t.State.Open():
			return d.t.refuse("is %s already", d.t.State)
		}
		return nil
	}, do: func(d *draft, a Action) {
		d.says("the request is refused", Facts{factDeclined: "yes"})
		a.Text = "refused: " + a.Text
		lifecycleVerbs[Resolve].do(d, a)
	}},
}

// approvable is what the terms ask approvals of, each once.
func (d *draft) approvable() []string {
	var out []string
	needs, _ := d.asking(func(n Need) bool { return n.Kind == needApproval || n.Kind == needSecurity && len(n.Roles) > 0 })
	for _, n := range needs {
		names := n.Names
		if n.Kind == needSecurity {
			names = []string{exceptionApproval}
		}
		out = append(out, names...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// approvers are the roles that may approve something.
func (d *draft) approvers(what string) []string {
	var out []string
	needs, _ := d.asking(func(n Need) bool {
		return n.Kind == needApproval && slices.Contains(n.Names, what) || n.Kind == needSecurity && what == exceptionApproval
	})
	for _, n := range needs {
		out = append(out, n.Roles...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func allowsApprove(d *draft, a Action) error {
	if err := unshut(d, a); err != nil {
		return err
	}
	known := d.approvable()
	if !slices.Contains(known, a.What) {
		if len(known) == 0 {
			return d.t.refuse("needs no approval: no gate of %s asks for one", or(d.terms.Policy, "its policy"))
		}
		return d.t.refuse("has nothing %q to approve: say one of %s", a.What, strings.Join(known, ", "))
	}
	if err := d.past(a.At, "the date of an approval"); err != nil {
		return err
	}
	return d.room(len(d.t.Approvals), "approvals")
}

func doApprove(d *draft, a Action) {
	dated := a.At.UTC()
	if a.At.IsZero() {
		dated = d.now
	}
	as := d.acting(a, d.approvers(a.What))
	text := or(a.Text, a.What+" approved by "+d.by.Name+", "+as+", dated "+dated.Format(time.RFC3339))
	d.add(Event{Kind: Approved, Actor: d.actor(as), Text: text, Detail: &Detail{Approval: &Approval{
		What: a.What, Role: as, By: d.by.Name, Person: d.by.Person, Dated: dated, At: d.now, Text: a.Text,
	}}})
	d.tell(Approved, text)
}

func allowsSecurity(d *draft, a Action) error {
	if err := unshut(d, a); err != nil {
		return err
	}
	if err := d.oneOf(a.What, "whether it is within the security policy", "yes", "no", "exception"); err != nil {
		return err
	}
	if d.t.Facts[factSecurity] == no {
		roles, _ := d.terms.exceptors()
		switch {
		case a.What != "exception":
			return d.t.refuse("is not within the security policy: that is overturned by an exception of %s alone, with the reason", anyRole(roles))
		case d.acting(a, roles) == "":
			return d.t.refuse("is not within the security policy: an exception is made by %s; %s", anyRole(roles), a.actsAs(d.by, roles))
		}
	}
	if a.What == "exception" {
		if text := d.terms.unexcepting(a, d.by); text != "" {
			return d.t.refuse("is not excepted from the security policy: %s", text)
		}
		if strings.TrimSpace(a.To) == "" {
			return d.t.refuse("wants the name of who makes the exception")
		}
	}
	if a.What != "yes" && a.Text == "" {
		return d.t.refuse("wants the reason: what is against the security policy")
	}
	return nil
}

// exceptors are the roles that may overturn that a request is not within the security policy: those that gates name for
// exceptions, or who answers for the operation where they name none.
func (t Terms) exceptors() (roles []string, named bool) {
	d := draft{terms: t}
	if roles := d.approvers(exceptionApproval); len(roles) > 0 {
		return roles, true
	}
	return []string{quoter, "general-manager", "management"}, false
}

// unexcepting says why by may not say that a request is excepted from the security policy, and who may; empty where they may.
// Where gates name roles it is theirs alone. Where they name none any named person may, but nobody of a customer: it would
// except itself.
func (t Terms) unexcepting(a Action, by By) string {
	roles, named := t.exceptors()
	if a.role(by, roles) != "" || !named && by.Customer == "" {
		return ""
	}
	who := anyRole(roles)
	if !named {
		who += " or any other named person who is not of the customer"
	}
	return "an exception is made by " + who + "; " + a.actsAs(by, roles)
}

func doSecurity(d *draft, a Action) {
	text := "within the security policy: " + a.What
	who := ""
	if a.What == "exception" {
		who = strings.TrimSpace(a.To)
		text += " by " + who
	}
	if a.Text != "" {
		text += ": " + a.Text
	}
	d.says(text, Facts{factSecurity: a.What, factSecurityBy: who})
	if as := d.acting(a, d.approvers(exceptionApproval)); a.What == "exception" && as != "" && (strings.EqualFold(who, strings.TrimSpace(d.by.Name)) || who == d.by.Person) {
		doApprove(d, Action{What: exceptionApproval, Text: a.Text, As: as})
	}
}

// ticking finds a clock by name.
func (t Ticket) ticking(name string) (int, bool) {
	i := slices.IndexFunc(t.Clocks, func(c sla.Clock) bool { return c.Name == name })
	return i, i >= 0
}

// waivers are the roles that may waive a target: those of the gate before it.
func (d *draft) waivers() []string {
	var out []string
	for _, g := range d.terms.Gates {
		if !slices.Contains(g.Before, Waive) {
			continue
		}
		for _, n := range g.Needs {
			if n.Kind == needWaiver || n.Kind == needRole {
				out = append(out, n.Roles...)
			}
		}
	}
	return out
}

func allowsWaive(d *draft, a Action) error {
	if err := unshut(d, a); err != nil {
		return err
	}
	i, ok := d.t.ticking(a.What)
	if !ok {
		var names []string
		for _, c := range d.t.Clocks {
			names = append(names, c.Name)
		}
		return d.t.refuse("has no clock %q to waive; it has: %s", a.What, or(strings.Join(names, ", "), "none"))
	}
	switch c := d.t.Clocks[i]; {
	case c.Target.Inform:
		return d.t.refuse("has no target to waive in %s: that clock only informs", a.What)
	case len(d.waivers()) == 0:
		return d.t.refuse("cannot be waived: no gate of %s says who consents to missing a target", or(d.terms.Policy, "its policy"))
	case !c.BreachedAt.IsZero():
	case c.Ended():
		return d.t.refuse("has its clock %s ended, %s: there is nothing left to waive", a.What, c.End)
	case a.Until.IsZero() || a.Until.After(d.now):
		if _, err := c.Waive(d.now, a.Until); err != nil && !errors.Is(err, sla.ErrBreached) {
			return d.t.refuse("cannot be waived: %v", err)
		}
	default:
		return d.t.refuse("cannot be waived until %s: that is over, it is %s now", a.Until.UTC().Format(time.RFC3339), d.now.Format(time.RFC3339))
	}
	return d.room(len(d.t.Waivers), "waivers")
}

// doWaive waives a clock that is not missed yet. Of one that is, the consent is kept as retrospective and the breach stays.
func doWaive(d *draft, a Action) {
	i, _ := d.t.ticking(a.What)
	as := d.acting(a, d.waivers())
	w := Waiver{Clock: a.What, By: d.by.Name, Role: as, Reason: a.Text, At: d.now, Until: utcOrZero(a.Until)}
	e := Event{Kind: WaiverGiven, Actor: d.actor(as), Detail: &Detail{What: a.What, Waiver: &w}}
	c, err := d.t.Clocks[i].Waive(d.now, a.Until)
	if w.Retrospective = err != nil; w.Retrospective {
		e.Text = "retrospective consent to missing " + a.What + ", which stays missed: " + a.Text
	} else {
		e.Text = "consent to missing " + a.What + ": " + a.Text
		if !w.Until.IsZero() {
			e.Text += ", until " + clock(w.Until)
		}
		e.Clocks = slices.Clone(d.t.Clocks)
		e.Clocks[i] = c
	}
	d.add(e)
	d.tell(WaiverGiven, e.Text)
}

func utcOrZero(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}
