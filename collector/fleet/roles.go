package fleet

import "slices"

// Right is one thing an operator may be allowed to do.
type Right string

// The rights.
const (
	MayRead       Right = "read"            // tickets, assets, alerts, rules, the outbox
	MayWork       Right = "work on tickets" // acknowledge, note, resolve, close, reopen
	MayResend     Right = "resend messages"
	MayAdminister Right = "administer" // operators, enrolment tokens, agents, reload
	MayScrape     Right = "scrape"     // /metrics and /federate
)

// rights is the whole of who may do what.
var rights = map[Role][]Right{
	Admin:     {MayRead, MayWork, MayResend, MayAdminister, MayScrape},
	Responder: {MayRead, MayWork, MayResend, MayScrape},
	Viewer:    {MayRead, MayScrape},
	Scrape:    {MayScrape},
}

// Roles lists the roles, the mightiest first.
func Roles() []Role { return []Role{Admin, Responder, Viewer, Scrape} }

// Allows says whether a role has a right. An unknown role has none.
func Allows(r Role, what Right) bool { return slices.Contains(rights[r], what) }
