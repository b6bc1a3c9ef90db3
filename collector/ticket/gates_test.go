package ticket

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/collector/sla"
)

// somebody is a person with roles.
func somebody(name string, roles ...string) By {
	return By{Actor: Actor{Kind: Person, Name: name}, Roles: roles}
}

// a bench plays actions on one ticket, one minute apart.
type bench struct {
	t        testing.TB
	ticket   Ticket
	timeline []Event
	births   []Birth
	notices  []Notice
	terms    Terms
	now      time.Time
}

// gateTerms are terms with types of every kind, and gates.
func gateTerms(gates ...Gate) Terms {
	t := terms()
	t.Policy, t.Gates = "desk", gates
	t.Priorities = []string{"blocker", "P1", "P2", "P3"}
	t.Types = []Type{
		{Name: "setup", Kind: KindRequest, Steps: []string{"get hardware", "configure"}, Chargeable: "ask", Source: "set"},
		{Name: "onboarding", Kind: KindRequest, Asks: []string{"exceptions", "security"}, Chargeable: "always"},
		{Name: "internal", Kind: KindRequest, Chargeable: "never", When: When{"internal": {"yes"}}},
		{Name: TypeMonitoring, Kind: KindTask}, {Name: TypeDeliverVersion, Kind: KindTask},
		{Name: "documentation", Kind: KindTask}, {Name: "investigation", Kind: KindTask}, {Name: "re-test", Kind: KindTask},
		{Name: "backup-review", Kind: KindTask, Every: 7 * 24 * time.Hour, Evidence: []string{"last good backup", "report"}, Source: "set"},
		{Name: "planned-change", Kind: KindAnnouncement}, {Name: "outage", Kind: KindAnnouncement},
		{Name: "website-down", Kind: KindIncident, Priority: "P1"},
	}
	t.Checklists = []Checklist{{Name: "close", Version: "2", When: When{"kind": {KindIncident}}, Items: []string{"told the client", "cleaned up"}}}
	return t
}

// at opens a bench with a ticket of a kind and type.
func at(t testing.TB, kind, typ string, facts Facts, terms Terms) *bench {
	t.Helper()
	d := begin(Ticket{}, t0)
	d.add(Event{Kind: Opened, Actor: house, Severity: "warning", Priority: "P2", Detail: &Detail{Facts: facts},
		Opening: &Opening{ID: "id9", Number: "WB-9", Kind: kind, Type: typ, Customer: "acme", Title: "something", Owner: "first-level", Reporter: "client@acme"}})
	l := &bench{t: t, terms: terms, now: t0}
	c, err := d.change()
	if err != nil {
		t.Fatal(err)
	}
	l.take(c)
	return l
}

func (l *bench) take(c Change) {
	l.timeline = append(l.timeline, c.Events...)
	l.births = append(l.births, c.Births...)
	l.notices = append(l.notices, c.Notices...)
	l.ticket = c.Ticket
}

// try is an action whose outcome is wanted.
func (l *bench) try(a Action, by By) (Change, error) {
	l.now = l.now.Add(time.Minute)
	return l.ticket.Act(a, by, l.terms, l.now)
}

// act is an action that has to succeed.
func (l *bench) act(a Action, by By) {
	l.t.Helper()
	c, err := l.try(a, by)
	if err != nil {
		l.t.Fatalf("%s: %v", a.Verb, err)
	}
	l.take(c)
}

// fact appends facts as the lifecycle's verbs set them.
func (l *bench) fact(f Facts) {
	l.t.Helper()
	d := begin(l.ticket, l.now)
	d.by = anna
	d.says("said", f)
	c, err := d.change()
	if err != nil {
		l.t.Fatal(err)
	}
	l.take(c)
}

// step is one thing that a gate wants: what gives it, and the words by which its absence is told.
type step struct {
	lacks string
	give  func(*bench)
}

func acts(a Action, by By) func(*bench) { return func(l *bench) { l.act(a, by) } }
func says(f Facts) func(*bench)         { return func(l *bench) { l.fact(f) } }

// gateCase is a gate on a kind of ticket, what goes before it, and each single thing that it wants.
type gateCase struct {
	kind, typ string
	facts     Facts
	need      Need
	before    []func(*bench)
	steps     []step
	action    Action
	by        By
}

func recorded1(part Part, text string) step {
	return step{string(part) + ": ", acts(Action{Verb: GivePart, What: string(part), Text: text}, anna)}
}

func child(typ string, s State) func(*bench) {
	return func(l *bench) {
		l.ticket.Children = append(slices.Clone(l.ticket.Children), Child{ID: typ, Number: "WB-" + typ, Type: typ, State: s})
	}
}

func breached(name string) func(*bench) {
	return func(l *bench) {
		c, err := sla.Begin(sla.Target{Clock: name, Mode: sla.Elapsed, Within: time.Hour}, nil, t0, 0, t0)
		if err != nil {
			l.t.Fatal(err)
		}
		c.BreachedAt = t0.Add(time.Hour)
		l.ticket.Clocks = append(slices.Clone(l.ticket.Clocks), c)
	}
}

var (
	bob   = somebody("bob", "engineer")
	carol = somebody("carol", "it-ops-manager")
	gm    = somebody("gina", "general-manager")
	boss  = somebody("mike", "management")
)

func resolves(l *bench) { l.act(Action{Verb: Resolve, Text: "mended"}, anna) }

// gateCases has one case for every kind of need.
func gateCases() map[string]gateCase {
	resolve, closing := Action{Verb: Resolve, Text: "mended"}, Action{Verb: Close}
	work := Action{Verb: Start}
	quote := Quote{Price: "£1,200", Exceptions: "none", Terms: "30 days", ETA: "two weeks"}
	return map[string]gateCase{
		needRecord: {need: Need{}, action: Action{Verb: Escalate, To: "support-manager", Text: "stuck"}, by: bob, steps: []step{
			recorded1(PartTime, "since 9:00"), recorded1(PartSymptoms, "no answer"), recorded1(PartUsers, "unknown, because reception is shut"),
			recorded1(PartErrors, "none: nothing is logged"), recorded1(PartActions, "restarted it"),
		}},
		needPrerequisites: {need: Need{}, action: resolve, by: bob, steps: []step{
			{"device: ", acts(Action{Verb: Confirm, What: "device", Text: "company laptop"}, anna)},
			{"browser: ", acts(Action{Verb: Confirm, What: "browser", Text: "current"}, anna)},
			{"network: ", acts(Action{Verb: Confirm, What: "network", Text: "pings"}, anna)},
		}},
		needConsidered: {need: Need{}, action: closing, by: bob, before: []func(*bench){resolves}, steps: []step{
			{"monitoring: ", acts(Action{Verb: Confirm, What: "monitoring", Text: "rule for the new queue"}, anna)},
			{"other-actions: ", acts(Action{Verb: Confirm, What: "other-actions", Text: "none are needed, it is a rename"}, anna)},
		}},
		needMail: {need: Need{}, action: resolve, by: bob, steps: []step{
			{"mail-evidence: ", acts(Action{Verb: Confirm, What: "quarantine", Text: "entry 4711 in the gateway"}, anna)},
		}},
		needEvidence: {kind: KindTask, typ: "backup-review", need: Need{}, action: resolve, by: bob, steps: []step{
			{"last good backup: ", acts(Action{Verb: GivePart, What: "last good backup", Text: "2026-03-26, age 1 day"}, anna)},
			{"report: ", acts(Action{Verb: GivePart, What: "report", Text: "unknown, because none was sent"}, anna)},
		}},
		needFacts: {need: Need{Names: []string{"company-supplied"}}, action: work, by: bob, steps: []step{
			{"company-supplied: ", says(Facts{"company-supplied": "yes"})},
		}},
		needCharge: {kind: KindRequest, typ: "setup", need: Need{}, action: work, by: bob, steps: []step{
			{"chargeable: ", acts(Action{Verb: Charge, What: "no"}, anna)},
		}},
		needOrder: {kind: KindRequest, typ: "onboarding", need: Need{}, action: work, by: bob, steps: []step{
			{"order: ", acts(Action{Verb: Order, What: "PO-77"}, anna)},
		}},
		needEstimate: {facts: Facts{factEstimate: "requested"}, need: Need{}, action: work, by: bob, steps: []step{
			{"estimate: ", acts(Action{Verb: GiveEstimate, Quote: &Quote{Price: "about £200"}}, anna)},
		}},
		needQuote: {need: Need{}, action: work, by: bob, steps: []step{
			{"quote: ", acts(Action{Verb: GiveQuote, Quote: &quote}, carol)},
		}},
		needVerified: {need: Need{}, action: closing, by: bob, before: []func(*bench){resolves}, steps: []step{
			{"verified: ", acts(Action{Verb: Verify}, bob)},
		}},
		needApproval: {need: Need{Names: []string{"outside-scope"}, Roles: []string{"management", "it-ops-manager"}, All: true}, action: work, by: bob, steps: []step{
			{"outside-scope/management: ", acts(Action{Verb: Approve, What: "outside-scope"}, boss)},
			{"outside-scope/it-ops-manager: ", acts(Action{Verb: Approve, What: "outside-scope"}, carol)},
		}},
		needSecurity: {need: Need{}, action: work, by: bob, steps: []step{
			{"security-statement: ", acts(Action{Verb: StateSecurity, What: "yes"}, anna)},
		}},
		needRole: {need: Need{Roles: []string{"it-ops", "it-ops-manager"}}, action: work, by: carol, steps: []step{
			{"role: ", func(*bench) {}},
		}},
		needWaiver: {need: Need{Roles: []string{"general-manager"}}, action: closing, by: bob, before: []func(*bench){resolves, breached("resolution")}, steps: []step{
			{"resolution: ", func(l *bench) {
				l.ticket.Waivers = []Waiver{{Clock: "resolution", By: "gina", Role: "general-manager", Reason: "agreed"}}
			}},
		}},
		needDepartment: {facts: Facts{FactDepartment: "sas"}, need: Need{}, action: Action{Verb: SendDraft, What: "1"},
			before: []func(*bench){acts(Action{Verb: WriteDraft, To: "it@acme", Text: "Dear customer"}, bob)},
			by:     By{Actor: Actor{Kind: Person, Name: "sam"}, Department: "sas"}, steps: []step{
				{"owning-department: ", func(*bench) {}},
			}},
		needVersion: {need: Need{}, action: work, by: bob, steps: []step{
			{"version: ", says(Facts{factVersion: "2.4.1"})},
		}},
		needFollowUp: {kind: KindDelivery, need: Need{}, action: Action{Verb: RejectDelivery, Text: "no release notes", To: "documentation"}, by: bob, steps: []step{
			{"follow-up: ", func(*bench) {}},
		}},
		needFollowed: {kind: KindDelivery, need: Need{}, action: closing, by: bob, before: []func(*bench){resolves}, steps: []step{
			{"follow-up: ", func(*bench) {}},
		}},
		needMonitoring: {facts: Facts{factFirst: "person"}, need: Need{}, action: closing, by: bob, before: []func(*bench){resolves}, steps: []step{
			{"monitoring: ", child(TypeMonitoring, New)},
		}},
		needDocuments: {facts: Facts{factObjects: "invoice, ledger"}, need: Need{}, action: closing, by: bob, before: []func(*bench){resolves}, steps: []step{
			{"invoice: ", acts(Action{Verb: DocumentIt, What: "invoice", Text: "wiki/invoice"}, anna)},
			{"ledger: ", acts(Action{Verb: DocumentIt, What: "ledger", Text: "wiki/ledger"}, anna)},
		}},
		needSteps: {kind: KindRequest, typ: "setup", need: Need{}, action: resolve, by: bob, steps: []step{
			{"get hardware: ", acts(Action{Verb: Tick, What: "get hardware"}, anna)},
			{"configure: ", acts(Action{Verb: Tick, What: "configure"}, anna)},
		}},
		needChecklist: {need: Need{}, action: resolve, by: bob, steps: []step{
			{"told the client: ", acts(Action{Verb: Tick, What: "told the client"}, anna)},
			{"cleaned up: ", acts(Action{Verb: Tick, What: "close: cleaned up"}, anna)},
		}},
		needChild: {need: Need{Names: []string{"documentation"}}, action: resolve, by: bob, steps: []step{
			{"documentation: ", child("documentation", New)},
		}},
		needChildDone: {need: Need{Names: []string{"documentation", "re-test"}, All: true}, action: resolve, by: bob, before: []func(*bench){child("re-test", New)}, steps: []step{
			{"documentation: ", child("documentation", Done)}, {"re-test: ", child("re-test", Shut)},
		}},
	}
}

// stranger is who may not do what only some may.
var stranger = By{Actor: Actor{Kind: Person, Name: "steve"}, Roles: []string{"viewer"}, Department: "other"}

// set is a bench with the gate of a case, to which everything was given but the step left out (-1: none).
func (gc gateCase) set(t testing.TB, kind string, without int, g Gate) (*bench, Action, By) {
	gc.need.Kind = kind
	g.Name, g.Before, g.Needs, g.Source = "the gate", []Verb{gc.action.Verb}, []Need{gc.need}, "set 1"
	l := at(t, or(gc.kind, KindIncident), gc.typ, gc.facts, gateTerms(g))
	free := l.terms
	free.Gates = []Gate{g}
	free.Gates[0].When = When{"never": {"yes"}}
	for _, do := range gc.before {
		l.terms = free
		do(l)
	}
	for i, s := range gc.steps {
		if i != without {
			s.give(l)
		}
	}
	l.terms = gateTerms(g)
	a, by := gc.action, gc.by
	if without >= 0 {
		switch kind { // what the action or the person brings along is left out there
		case needRole, needDepartment:
			by = stranger
		case needFollowUp:
			a.To = ""
		case needFollowed:
			l.fact(Facts{factDelivery: rejected})
			l.ticket.Children = []Child{{ID: "c", Number: "WB-10", Type: "re-test", State: New, Relation: followUpOf}}
		}
	}
	return l, a, by
}

func TestGates(t *testing.T) {
	cases := gateCases()
	for _, k := range Needs() {
		gc, ok := cases[k.Kind]
		if !ok {
			t.Errorf("the need %q has no case", k.Kind)
			continue
		}
		t.Run(k.Kind+"/passes with all", func(t *testing.T) {
			l, a, by := gc.set(t, k.Kind, -1, Gate{})
			if _, err := l.try(a, by); err != nil {
				t.Error(err)
			}
		})
		for i, s := range gc.steps {
			t.Run(k.Kind+"/refuses without "+strings.TrimSpace(s.lacks), func(t *testing.T) {
				l, a, by := gc.set(t, k.Kind, i, Gate{})
				c, err := l.try(a, by)
				gateRefused(t, l.ticket, c, err, s.lacks)
			})
			t.Run(k.Kind+"/break-glass without "+strings.TrimSpace(s.lacks), func(t *testing.T) {
				l, a, by := gc.set(t, k.Kind, i, Gate{})
				a.BreakGlass = "the site burns"
				c, err := l.try(a, by)
				gateRefused(t, l.ticket, c, err, "break-glass: this gate cannot be overridden")

				l, a, by = gc.set(t, k.Kind, i, Gate{BreakGlass: []string{"duty-manager"}})
				a.BreakGlass = "the site burns"
				c, err = l.try(a, by)
				gateRefused(t, l.ticket, c, err, "break-glass: only duty-manager")

				by.Roles = append(slices.Clone(by.Roles), "duty-manager")
				c, err = l.try(a, by)
				if err != nil {
					t.Fatal(err)
				}
				e := c.Events[0]
				if e.Kind != GlassBroken || e.Detail.Refusal.Gate != "the gate" || !strings.Contains(e.Text, "the site burns") || e.Actor.As != "duty-manager" {
					t.Errorf("recorded as %+v", e)
				}
				if len(c.Events) < 2 {
					t.Errorf("nothing but the break-glass happened: %+v", c.Events)
				}
				a.BreakGlass = ""
				c, err = l.try(a, by)
				gateRefused(t, l.ticket, c, err, s.lacks)
			})
		}
	}
}

// gateRefused tells whether an attempt was refused for want of something, left one event, and changed nothing else.
func gateRefused(t *testing.T, before Ticket, c Change, err error, lacks string) {
	t.Helper()
	var g *GateError
	if !errors.As(err, &g) || !errors.Is(err, ErrRefused) {
		t.Fatalf("got %v, want a gate's refusal", err)
	}
	if !slices.ContainsFunc(g.Missing, func(m string) bool { return strings.HasPrefix(m, lacks) }) {
		t.Errorf("missing %q, want one that begins with %q", g.Missing, lacks)
	}
	if g.Number != "WB-9" || g.Gate == "" {
		t.Errorf("the refusal does not say of what: %+v", g)
	}
	onlyRefused(t, before, c)
}

func onlyRefused(t interface{ Errorf(string, ...any) }, before Ticket, c Change) {
	if len(c.Events) != 1 || c.Events[0].Kind != Refused || c.Events[0].Detail.Refusal == nil {
		t.Errorf("a refused attempt left %+v", c.Events)
	}
	if len(c.Births) != 0 || len(c.Bodies) != 0 || c.Other != nil {
		t.Errorf("a refused attempt brought %d tickets, %d bodies", len(c.Births), len(c.Bodies))
	}
	want := before
	want.Refusals++
	want.Seq, want.Head, want.UpdatedAt = c.Ticket.Seq, c.Ticket.Head, c.Ticket.UpdatedAt
	if d := cmp.Diff(want, c.Ticket); d != "" {
		t.Errorf("a refused attempt changed the ticket: %s", d)
	}
}

// Every gate that refuses is told of at once.
func TestSeveralGatesAreToldAtOnce(t *testing.T) {
	l := at(t, KindRequest, "onboarding", nil, gateTerms(
		Gate{Name: "order", Before: []Verb{Start}, Needs: []Need{{Kind: needOrder}}, Source: "a 1"},
		Gate{Name: "security", Before: []Verb{Start}, Needs: []Need{{Kind: needSecurity}}, Source: "b 2", BreakGlass: []string{"engineer"}}))
	c, err := l.try(Action{Verb: Start, BreakGlass: "hurry"}, bob)
	var g *GateError
	if !errors.As(err, &g) || g.Gate != "order" || len(g.Also) != 0 {
		t.Fatalf("%v", err)
	}
	onlyRefused(t, l.ticket, c)
	_, err = l.try(Action{Verb: Start}, bob)
	if !errors.As(err, &g) || len(g.Also) != 1 || g.Also[0].Gate != "security" || !strings.Contains(err.Error(), "security-statement") {
		t.Errorf("%v", err)
	}
	if got := l.ticket.Blocked(Start, bob, l.terms, l.now); len(got) != 2 {
		t.Errorf("shown beforehand: %+v", got)
	}
}

// Terms of a later version stay closed where this one does not know what they ask for.
func TestUnknownNeedRefuses(t *testing.T) {
	l := at(t, KindIncident, "", nil, gateTerms(Gate{Name: "new", Before: []Verb{Start}, Needs: []Need{{Kind: "third-eye"}}}))
	c, err := l.try(Action{Verb: Start}, bob)
	gateRefused(t, l.ticket, c, err, "third-eye: ")
}

func TestConditionsOfGates(t *testing.T) {
	need := []Need{{Kind: needSecurity}}
	for name, tc := range map[string]struct {
		when  When
		facts Facts
		terms Facts
		owner string
		want  bool
	}{
		"always":                           {nil, nil, nil, "", true},
		"a fact of the ticket":             {When{"outside-scope": {"yes"}}, Facts{"outside-scope": "yes"}, nil, "", true},
		"not that fact":                    {When{"outside-scope": {"yes"}}, nil, nil, "", false},
		"a fact of the contract":           {When{"cover": {"24x7"}}, nil, Facts{"cover": "24x7"}, "", true},
		"the ticket says otherwise":        {When{"cover": {"24x7"}}, Facts{"cover": "none"}, Facts{"cover": "24x7"}, "", false},
		"the kind":                         {When{"kind": {"request"}}, nil, nil, "", true},
		"chargeable as nobody marked it":   {When{"chargeable": {"yes"}}, nil, nil, "", false},
		"unsupported, by an ended support": {When{"unsupported": {"yes"}}, Facts{"support": "ended"}, nil, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			l := at(t, KindRequest, "setup", tc.facts, gateTerms(Gate{Name: "g", Before: []Verb{Start}, When: tc.when, Needs: need}))
			l.terms.Facts = tc.terms
			_, err := l.try(Action{Verb: Start}, bob)
			if got := errors.Is(err, ErrRefused); got != tc.want {
				t.Errorf("refused %v (%v), want %v", got, err, tc.want)
			}
		})
	}
}

// Escalation is every handoff to another party, and no first assignment.
func TestEscalationGate(t *testing.T) {
	d := begin(at(t, KindIncident, "", nil, gateTerms()).ticket, t0)
	g := Gate{Name: "record", Before: []Verb{escalation}, Needs: []Need{{Kind: needRecord}}}
	d.terms = gateTerms(g)
	for name, tc := range map[string]struct {
		owner string
		verb  Verb
		want  bool
	}{
		"handed to another party": {"first-level", handingOff, true},
		"assigned for the first":  {"", handingOff, false},
		"a rung of the ladder":    {"first-level", Escalate, true},
		"a note":                  {"first-level", Note, false},
	} {
		d.t.Owner = tc.owner
		if got := len(d.standing(Action{Verb: tc.verb}, d.t.Facts)) > 0; got != tc.want {
			t.Errorf("%s: stands %v, want %v", name, got, tc.want)
		}
	}
}
