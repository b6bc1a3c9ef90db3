package fleet

import "slices"

// Role is what somebody is: a desk role, which only a token carries, or a contact role, which the directory gives to
// people and a token may carry too.
type Role string

// The desk roles, each including what the ones after it may do, except those of programs: Scrape may only read /metrics and
// /federate, Sender only send samples and alerts.
const (
	Admin     Role = "admin"    // operators, tokens, agents, customers
	Responder Role = "operator" // work on tickets, re-send messages
	Viewer    Role = "viewer"   // read
	Scrape    Role = "scrape"
	Sender    Role = "sender" // a program that sends samples or alerts
)

// The contact roles.
const (
	TechnicalOperationManager Role = "technical-operation-manager"
	TechnicalOperation        Role = "technical-operation"
	SupportManager            Role = "support-manager"
	QualityManager            Role = "quality-manager"
	AccountManager            Role = "account-manager"
	ProjectManager            Role = "project-manager"
	DeliveryManager           Role = "delivery-manager"
	ITOpsManager              Role = "it-ops-manager"
	ITOps                     Role = "it-ops"
	GeneralManager            Role = "general-manager"
	ProductOwner              Role = "product-owner"
	ServiceDirector           Role = "service-director"
	TeamLeader                Role = "team-leader"
	Engineer                  Role = "engineer"
	DepartmentMember          Role = "department-member"
	ITProviderUser            Role = "it-provider-user"
	ClientOwnerUser           Role = "client-owner-user"
	Administrator             Role = "administrator"
	Management                Role = "management"
	QualityControl            Role = "quality-control"
	BusinessPartner           Role = "business-partner"
	Developer                 Role = "developer"
)

// Right is one thing an operator may be allowed to do. What a gate or a scope asks beside it is the gate's and the
// scope's: MayApprove lets somebody approve, the gate looks whether this approval is asked of that role.
type Right string

// The rights.
const (
	MayRead          Right = "read"                 // tickets, assets, alerts, rules, the outbox: what the scope shows of them
	MayOpen          Right = "open tickets"         // report something, ask for something
	MayWork          Right = "work on tickets"      // acknowledge, hand off, wait, note, act, resolve, close, reopen
	MayAnswer        Right = "answer for own party" // acknowledge, accept, return and note what the operator's own party owns or is offered
	MayReply         Right = "reply as customer"    // note on a ticket of their own customer or department, for all who see it to read
	MayVerify        Right = "verify"               // the second pair of eyes
	MayDraft         Right = "draft"                // write a message to a customer that somebody else sends
	MaySend          Right = "send externally"      // send a drafted message to a customer
	MayRate          Right = "rate"                 // say how satisfied the customer is, or note what the customer said
	MayQuote         Right = "quote"                // price, exceptions, terms, ETA of chargeable work
	MayApprove       Right = "approve"              // dated approvals
	MayWaive         Right = "waive"                // consent in advance to missing a target
	MayEndorse       Right = "endorse"              // procedures and checklists
	MayRebase        Right = "rebase"               // move open tickets onto another version of calendar or policy
	MayOverrideRota  Right = "override rota"        // put somebody else on call
	MayEditCustomers Right = "edit customers"       // customers, departments, people, contracts: of what the operator sees, before and after
	MayReport        Right = "see reports"          // SLA, first-to-know, NPS, lifecycle, availability, compliance
	MaySeeInternal   Right = "see internal"         // internal notes and notices
	MayResend        Right = "resend messages"      // and drop those that cannot be delivered
	MayAdminister    Right = "administer"           // operators, enrolment tokens, agents, reload
	MayScrape        Right = "scrape"               // /metrics and /federate
	MayFeed          Right = "feed"                 // send samples (remote write) and alerts (Alertmanager's API) from outside
)

// roleRow is what there is to know of a role.
type roleRow struct {
	role Role
	// desk roles are carried by tokens only.
	desk bool
	// does says for people what the role is.
	does string
	// own: a token that carries only such roles needs a scope.
	own bool
	// outside roles are had by people of departments, clients and their parties; see OutsideRoles.
	outside bool
	may     []Right
}

// working is what everybody may who works at the operator's desk. To send is for customers that no department owns: the
// messages to the others a gate leaves to the department alone.
var working = []Right{MayRead, MayOpen, MayWork, MayVerify, MayDraft, MaySend, MayReport, MaySeeInternal}

func and(some []Right, more ...Right) []Right { return slices.Concat(some, more) }

// roleTable is the whole of who may do what: the desk roles, the mightiest first, then the contact roles.
var roleTable = []roleRow{
	{role: Admin, desk: true, does: "runs this collector",
		may: and(working, MayRate, MayRebase, MayOverrideRota, MayEditCustomers, MayResend, MayAdminister, MayScrape, MayFeed)},
	{role: Responder, desk: true, does: "works on tickets", may: and(working, MayRate, MayResend, MayScrape)},
	{role: Viewer, desk: true, does: "looks", may: []Right{MayRead, MayReport, MaySeeInternal, MayScrape}},
	{role: Scrape, desk: true, does: "a program that reads metrics", may: []Right{MayScrape}},
	{role: Sender, desk: true, does: "a program that sends samples or alerts", may: []Right{MayFeed}},

	{role: TechnicalOperationManager, does: "supervises technical operation; endorses its procedures",
		may: and(working, MayRate, MayApprove, MayEndorse, MayRebase, MayOverrideRota, MayEditCustomers, MayResend)},
	{role: TechnicalOperation, does: "first-level support and operation of customer environments",
		may: and(working, MayRate, MayResend)},
	{role: SupportManager, does: "answers for the support desk; first step of its ladder",
		may: and(working, MayRate, MayRebase, MayOverrideRota, MayResend)},
	{role: QualityManager, does: "answers for the quality of support", may: and(working, MayRate, MayRebase)},
	{role: AccountManager, does: "owns amendments, training and the customer's contract",
		may: []Right{MayRead, MayOpen, MayWork, MayDraft, MaySend, MayRate, MayEditCustomers, MayReport, MaySeeInternal}},
	{role: ProjectManager, does: "owns the customer's project until it is live",
		may: []Right{MayRead, MayOpen, MayWork, MayDraft, MaySend, MayRate, MayReport, MaySeeInternal}},
	{role: DeliveryManager, does: "advises of changes; is told of incidents that are escalated",
		may: []Right{MayRead, MayOpen, MayWork, MayDraft, MaySend, MayReport, MaySeeInternal}},
	{role: ITOpsManager, does: "leads IT Ops; issues quotes, approves changes of equipment",
		may: and(working, MayRate, MayQuote, MayApprove, MayRebase, MayOverrideRota, MayEditCustomers, MayResend)},
	{role: ITOps, does: "IT Ops: infrastructure, hosting and internal support", may: and(working, MayRate, MayApprove, MayResend)},
	{role: GeneralManager, does: "waives a target before it is missed",
		may: and(working, MayApprove, MayWaive, MayRebase, MayOverrideRota)},
	{role: ProductOwner, outside: true, does: "owns a product; is told of incidents that are escalated",
		may: []Right{MayRead, MayOpen, MayReport, MaySeeInternal}},
	{role: ServiceDirector, does: "last step of the support desk's ladder", may: and(working, MayRebase, MayOverrideRota)},
	{role: TeamLeader, does: "watches every ticket through to resolution",
		may: and(working, MayRate, MayOverrideRota, MayResend)},
	{role: Engineer, does: "does the work", may: and(working, MayResend)},
	{role: DepartmentMember, own: true, outside: true, does: "of the department that owns customers; alone sends messages to them",
		may: []Right{MayRead, MayOpen, MayAnswer, MayReply, MayDraft, MaySend, MayRate, MayReport}},
	{role: ITProviderUser, own: true, outside: true, does: "the client's IT provider", may: []Right{MayRead, MayOpen, MayWork, MayDraft, MayReport}},
	{role: ClientOwnerUser, own: true, outside: true, does: "the client's owner or management; approves transfers of responsibility",
		may: []Right{MayRead, MayOpen, MayAnswer, MayReply, MayRate, MayApprove, MayReport}},
	{role: Administrator, own: true, outside: true, does: "administers what a department or customer has here",
		may: []Right{MayRead, MayOpen, MayReply, MayDraft, MaySend, MayRate, MayEditCustomers, MayReport}},
	{role: Management, does: "approves what is outside the agreed scope",
		may: []Right{MayRead, MayApprove, MayReport, MaySeeInternal}},
	{role: QualityControl, does: "sees why a delivery was rejected; tests again",
		may: []Right{MayRead, MayOpen, MayVerify, MayReport, MaySeeInternal}},
	{role: BusinessPartner, does: "second level beside the operator's own", may: []Right{MayRead, MayOpen, MayWork, MayDraft}},
	{role: Developer, outside: true, does: "application code, reports, business rules, framework", may: []Right{MayRead, MayOpen, MayWork, MayDraft}},
}

// byRole finds a row.
var byRole = func() map[Role]roleRow {
	m := make(map[Role]roleRow, len(roleTable))
	for _, row := range roleTable {
		m[row.role] = row
	}
	return m
}()

func rolesWhere(keep func(roleRow) bool) []Role {
	var out []Role
	for _, row := range roleTable {
		if keep(row) {
			out = append(out, row.role)
		}
	}
	return out
}

// Roles lists the desk roles, the mightiest first.
func Roles() []Role { return rolesWhere(func(r roleRow) bool { return r.desk }) }

// ContactRoles lists the roles that the directory gives to people; a token may carry them too.
func ContactRoles() []Role { return rolesWhere(func(r roleRow) bool { return !r.desk }) }

// AllRoles lists every role that a token may carry: the desk roles, then the contact roles.
func AllRoles() []Role { return rolesWhere(func(roleRow) bool { return true }) }

// OutsideRoles lists the contact roles that people of departments, clients and their parties have: who is bound to a
// department may say who has them. Of the others, which are the operator's house, only the operator says who has them, for
// they take the operator's tickets, stand on its ladders and pass its gates. So it is with the business partner, who is the
// operator's second level, and with management and quality control, whose word gates ask for; a department's product owner
// is only told, and the developer of what it sells is its own.
func OutsideRoles() []Role { return rolesWhere(func(r roleRow) bool { return r.outside }) }

// Describe says for people what a role is; empty for an unknown one.
func (r Role) Describe() string { return byRole[r].does }

// isContact tells a role that the directory may give.
func (r Role) isContact() bool {
	row, known := byRole[r]
	return known && !row.desk
}

// Allows says whether a role has a right. An unknown role has none.
func Allows(r Role, what Right) bool { return slices.Contains(byRole[r].may, what) }

// wholeFleet are the rights to what belongs to no customer: nobody has them whose sight is bounded.
var wholeFleet = []Right{MayAdminister, MayScrape, MayResend, MayFeed}

// Held are the operator's roles, Role among them, none twice.
func (o Operator) Held() []Role {
	if o.Role == "" || slices.Contains(o.Roles, o.Role) {
		return o.Roles
	}
	return append([]Role{o.Role}, o.Roles...)
}

// Is tells whether the operator carries a role.
func (o Operator) Is(r Role) bool { return r != "" && slices.Contains(o.Held(), r) }

// May tells whether one of the operator's roles has a right. An operator with a scope may not do what concerns the whole
// fleet: administer, scrape, re-send messages; one who is bound to a customer may not edit what was agreed with it either.
func (o Operator) May(what Right) bool {
	switch {
	case !o.SeesAll() && slices.Contains(wholeFleet, what), o.Scope.Customer != "" && what == MayEditCustomers:
		return false
	}
	return slices.ContainsFunc(o.Held(), func(r Role) bool { return Allows(r, what) })
}

// MayEdit tells whether the operator may declare or take back a customer that they see: not the one that they are bound to,
// nor the one that their department itself is, because that is where the contract with them stands.
func (o Operator) MayEdit(customer string) bool {
	return o.May(MayEditCustomers) && (o.Scope.Department == "" || o.Scope.Department != customer)
}

// SeesAll tells that nothing bounds what the operator sees: no scope, and a role that needs none.
func (o Operator) SeesAll() bool { return o.Scope == Scope{} && !needsScope(o.Held()) }

// Sees tells whether what belongs to a customer exists for the operator; department is the one that owns the customer,
// empty for none. Without a scope all does, except for those whose roles all need one: they see nothing. A department
// sees the customers that it owns and the customer that it is; what belongs to no customer (both empty) exists only for
// those who see all.
func (o Operator) Sees(customer, department string) bool {
	s := o.Scope
	switch {
	case s == Scope{}:
		return !needsScope(o.Held())
	case s.Customer != "" && s.Department != "":
		return customer == s.Customer && department == s.Department
	case s.Customer != "":
		return customer == s.Customer
	}
	return department == s.Department || customer == s.Department
}

// needsScope: outsiders, and those of whom nothing is known, never see the whole fleet because somebody forgot to say what
// is theirs.
func needsScope(roles []Role) bool {
	return len(roles) > 0 && !slices.ContainsFunc(roles, func(r Role) bool {
		row, known := byRole[r]
		return known && !row.own
	})
}
