package ticket

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// exceptionApproval is what is approved by whoever makes an exception from the security policy.
const exceptionApproval = "security-exception"

var consentNeeds = []NeedKind{
	{Kind: needVerified, Asks: "another person than who resolved it verified it; after a recovery by itself any one person",
		Roles: "who may verify; anybody who may work on tickets when empty", Gives: Verify, check: func(q asked) []string {
			if q.t.Verified != nil {
				return nil
			}
			who := "one person other than who resolved it"
			if q.t.ResolvedBy.Kind == Person {
				who = "somebody other than " + q.t.ResolvedBy.Name
			}
			if len(q.n.Roles) > 0 {
				who += ", " + anyRole(q.n.Roles)
			}
			return []string{"verified: " + who + " looks and verifies it (verify)"}
		}},
	{Kind: needApproval, Asks: "an approval dated earlier than the change, by one of the roles or, with all, by each of them, in which case by different people",
		Roles: "who approves", NeedsRoles: true, Names: "what is approved: equipment-change, outside-scope …", NeedsNames: true,
		Gives: Approve, check: lacksApproval},
	{Kind: needSecurity, Asks: "the statement whether it is within the security policy: yes, or an exception by a named person; no refuses, and the request can only be declined",
		Roles: "who may make an exception; any named person who is not of the customer when empty", Gives: StateSecurity, check: lacksSecurity},
	{Kind: needRole, Asks: "one of the roles does it", Roles: "who may do it", NeedsRoles: true, check: func(q asked) []string {
		if q.a.role(q.by, q.n.Roles) != "" {
			return nil
		}
		return []string{fmt.Sprintf("role: %s is done by %s; %s", q.a.Verb, anyRole(q.n.Roles), q.a.actsAs(q.by, q.n.Roles))}
	}},
	{Kind: needWaiver, Asks: "before waive: who gives it has the role; before anything else: each clock that was missed was waived before its breach",
		Roles: "who may waive", NeedsRoles: true, Names: "the clocks; all when empty", Gives: Waive, check: lacksWaiver},
	{Kind: needDepartment, Asks: "a person of the department that owns the customer does it; where none does, one of the operator's",
		Gives: SendDraft, check: lacksDepartment},
}

func lacksApproval(q asked) []string {
	at := q.changeAt()
	var out []string
	for _, what := range q.n.Names {
		out = append(out, q.unapproved(what, at)...)
	}
	return out
}

// changeAt is when the change was or will be made that approvals come before: as the action says, as the ticket's facts
// say, or now.
func (q asked) changeAt() time.Time {
	if !q.a.At.IsZero() && q.a.Verb != Approve {
		return q.a.At
	}
	if at, err := time.Parse(time.RFC3339, q.facts[factChangeAt]); err == nil {
		return at
	}
	return q.now
}

// unapproved is what approvals of one thing lack.
func (q asked) unapproved(what string, at time.Time) []string {
	late := map[string]time.Time{}
	givers := map[string][]Actor{} // role → people who approved in time
	for _, ap := range q.t.Approvals {
		switch {
		case ap.What != what || !slices.Contains(q.n.Roles, ap.Role):
		case ap.Dated.Before(at):
			givers[ap.Role] = append(givers[ap.Role], Actor{Name: ap.By, Person: ap.Person})
		default:
			late[ap.Role] = ap.Dated
		}
	}
	if !q.n.All {
		if len(givers) > 0 {
			return nil
		}
		return []string{what + ": " + anyRole(q.n.Roles) + " approves it, dated before the change (approve " + what + ")" + lateWords(late, at)}
	}
	var out []string
	for _, role := range q.n.Roles {
		if len(givers[role]) == 0 {
			out = append(out, what+"/"+role+": "+role+" approves it too, dated before the change (approve "+what+")"+lateWords(late, at))
		}
	}
	if len(out) == 0 && !different(q.n.Roles, givers, nil) {
		out = append(out, what+": "+strings.Join(q.n.Roles, " and ")+" are asked, and one person gave both: a second person approves")
	}
	return out
}

func lateWords(late map[string]time.Time, at time.Time) string {
	for role, dated := range late {
		return fmt.Sprintf("; that of %s is dated %s, which is not before %s", role, dated.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
	}
	return ""
}

// different tells whether each role can be given to a person of its own.
func different(roles []string, givers map[string][]Actor, taken []Actor) bool {
	if len(roles) == 0 {
		return true
	}
	return slices.ContainsFunc(givers[roles[0]], func(who Actor) bool {
		return !slices.ContainsFunc(taken, who.Same) && different(roles[1:], givers, append(slices.Clone(taken), who))
	})
}

func lacksSecurity(q asked) []string {
	if q.facts[factDeclined] == "yes" {
		return nil
	}
	switch q.facts[factSecurity] {
	case "yes":
		return nil
	case "no":
		return []string{"security-statement: it is not within the security policy: it can only be refused (decline), or an exception be made by who may"}
	case "exception":
		if len(q.n.Roles) == 0 && q.facts[factSecurityBy] != "" {
			return nil
		}
		for _, ap := range q.t.Approvals {
			if ap.What == exceptionApproval && slices.Contains(q.n.Roles, ap.Role) {
				return nil
			}
		}
		if len(q.n.Roles) > 0 {
			return []string{exceptionApproval + ": " + anyRole(q.n.Roles) + " makes the exception (approve " + exceptionApproval + ")"}
		}
		return []string{"security-by: name who made the exception"}
	}
	return []string{"security-statement: say whether it is within the security policy: yes, no, or exception and by whom (security)"}
}

func lacksWaiver(q asked) []string {
	if q.a.Verb == Waive {
		if q.a.role(q.by, q.n.Roles) == "" {
			return []string{fmt.Sprintf("role: a target is waived by %s; %s", anyRole(q.n.Roles), q.a.actsAs(q.by, q.n.Roles))}
		}
		return nil
	}
	var out []string
	for _, c := range q.t.Clocks {
		if len(q.n.Names) > 0 && !slices.Contains(q.n.Names, c.Name) || c.BreachedAt.IsZero() || waivedInTime(q.t, c) {
			continue
		}
		out = append(out, fmt.Sprintf("%s: it was missed at %s without the advance consent of %s", c.Name, c.BreachedAt.UTC().Format(time.RFC3339), anyRole(q.n.Roles)))
	}
	return out
}

func waivedInTime(t Ticket, c sla.Clock) bool {
	return slices.ContainsFunc(t.Waivers, func(w Waiver) bool { return w.Clock == c.Name && !w.Retrospective })
}

func lacksDepartment(q asked) []string {
	dep := q.facts[FactDepartment]
	switch {
	case dep != "" && q.by.Department != dep:
		return []string{fmt.Sprintf("owning-department: messages to this customer are sent by %s, who owns it; %s. Others draft and proofread", dep, areRoles(q.by))}
	case dep == "" && q.by.Customer != "":
		return []string{"owning-department: messages are sent by the operator's people; " + areRoles(q.by)}
	}
	return nil
}
