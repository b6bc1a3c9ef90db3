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

// What a verb refuses, and what it says instead.
func TestDeskRefusals(t *testing.T) {
	quoteGate := Gate{Name: "quote", Before: []Verb{Start}, Needs: []Need{{Kind: needQuote}}, Source: "software-group 1"}
	approvals := Gate{Name: "scope", Before: []Verb{Start}, Needs: []Need{{Kind: needApproval, Names: []string{"outside-scope"}, Roles: []string{"management"}}}}
	eyes := Gate{Name: "four-eyes", Before: []Verb{Close}, Needs: []Need{{Kind: needVerified}}}
	waiving := Gate{Name: "waiver", Before: []Verb{Waive}, Needs: []Need{{Kind: needWaiver, Roles: []string{"general-manager"}}}}
	client := By{Actor: Actor{Kind: Person, Name: "ursula"}, Customer: "acme"}
	full := &Quote{Price: "1", Exceptions: "none", Terms: "x", ETA: "y"}
	for name, tc := range map[string]struct {
		kind, typ string
		gates     []Gate
		before    []func(*bench)
		a         Action
		by        By
		want      string
		rating    bool
		gate      string // of the gate that refuses; empty: the verb does
	}{
		"a quote by an engineer":          {gates: []Gate{quoteGate}, a: Action{Verb: GiveQuote, Quote: full}, by: bob, want: "a quote is issued by it-ops-manager; bob is engineer", gate: "quote"},
		"a quote where no gate asks":      {a: Action{Verb: GiveQuote, Quote: full}, by: bob, want: "by it-ops-manager", gate: "quote"},
		"a quote in a role of others":     {a: Action{Verb: GiveQuote, Quote: full, As: "general-manager"}, by: carol, want: "carol is it-ops-manager and acts as general-manager: leave that out, or act as it-ops-manager", gate: "quote"},
		"half a quote":                    {a: Action{Verb: GiveQuote, Quote: &Quote{Price: "1", ETA: "y"}}, by: carol, want: "without exceptions, terms"},
		"no quote":                        {a: Action{Verb: GiveQuote}, by: carol, want: "wants price, exceptions, terms and ETA"},
		"an estimate without a price":     {a: Action{Verb: GiveEstimate, Quote: &Quote{ETA: "soon"}}, by: bob, want: "wants the price"},
		"an approval nobody asks":         {a: Action{Verb: Approve, What: "party"}, by: boss, want: "needs no approval: no gate of desk"},
		"an approval of something else":   {gates: []Gate{approvals}, a: Action{Verb: Approve, What: "party"}, by: boss, want: "say one of outside-scope"},
		"an approval by an engineer":      {gates: []Gate{approvals}, a: Action{Verb: Approve, What: "outside-scope"}, by: bob, want: "outside-scope is approved by management; bob is engineer", gate: "scope"},
		"an approval of tomorrow":         {gates: []Gate{approvals}, a: Action{Verb: Approve, What: "outside-scope", At: t0.Add(24 * time.Hour)}, by: boss, want: "that is in the future"},
		"verified by who resolved":        {gates: []Gate{eyes}, before: []func(*bench){resolves}, a: Action{Verb: Verify}, by: somebody("Anna "), want: "anna resolved it, so somebody else verifies it", gate: "four-eyes"},
		"verified by who resolved, free":  {before: []func(*bench){resolves}, a: Action{Verb: Verify}, by: anna, want: "somebody else", gate: "four-eyes"},
		"verified before it is resolved":  {a: Action{Verb: Verify}, by: bob, want: "is new: it is verified when it is resolved"},
		"verified by nobody":              {before: []func(*bench){resolves}, a: Action{Verb: Verify}, by: By{Actor: Actor{Kind: Person}}, want: "by one named person"},
		"verified by a rule":              {before: []func(*bench){resolves}, a: Action{Verb: Verify}, by: By{Actor: Actor{Kind: Rule, Name: "r"}}, want: "by one named person"},
		"verified twice":                  {before: []func(*bench){resolves, acts(Action{Verb: Verify}, bob)}, a: Action{Verb: Verify}, by: carol, want: "was verified by bob"},
		"waived by an engineer":           {gates: []Gate{waiving}, before: []func(*bench){ticks("resolution", false)}, a: Action{Verb: Waive, What: "resolution", Text: "busy"}, by: bob, want: "a target is waived by general-manager; bob is engineer", gate: "waiver"},
		"waived in another role":          {gates: []Gate{waiving}, before: []func(*bench){ticks("resolution", false)}, a: Action{Verb: Waive, What: "resolution", Text: "busy", As: "engineer"}, by: gm, want: " is general-manager and acts as engineer: leave that out, or act as general-manager", gate: "waiver"},
		"waived in a role never held":     {gates: []Gate{waiving}, before: []func(*bench){ticks("resolution", false)}, a: Action{Verb: Waive, What: "resolution", Text: "busy", As: "general-manager"}, by: bob, want: "bob is engineer, not general-manager", gate: "waiver"},
		"waived without a reason":         {gates: []Gate{waiving}, before: []func(*bench){ticks("resolution", false)}, a: Action{Verb: Waive, What: "resolution"}, by: gm, want: "say why the target may be missed"},
		"waived where nobody may":         {before: []func(*bench){ticks("resolution", false)}, a: Action{Verb: Waive, What: "resolution", Text: "busy"}, by: gm, want: "no gate of desk says who consents"},
		"another clock waived":            {gates: []Gate{waiving}, before: []func(*bench){ticks("resolution", false)}, a: Action{Verb: Waive, What: "response", Text: "busy"}, by: gm, want: `has no clock "response" to waive; it has: resolution`},
		"an informing clock waived":       {gates: []Gate{waiving}, before: []func(*bench){ticks("resolution", true)}, a: Action{Verb: Waive, What: "resolution", Text: "busy"}, by: gm, want: "only informs"},
		"waived after its end":            {gates: []Gate{waiving}, before: []func(*bench){ticks("resolution", false), ends("resolution")}, a: Action{Verb: Waive, What: "resolution", Text: "busy"}, by: gm, want: "has its clock resolution ended, met: there is nothing left to waive"},
		"waived until yesterday":          {gates: []Gate{waiving}, before: []func(*bench){ticks("resolution", false)}, a: Action{Verb: Waive, What: "resolution", Text: "busy", Until: t0.Add(-time.Hour)}, by: gm, want: "that is over"},
		"bare none":                       {a: Action{Verb: GivePart, What: "symptoms", Text: "None."}, by: bob, want: "say why"},
		"a part of nothing":               {a: Action{Verb: GivePart, What: "shape", Text: "round"}, by: bob, want: "say one of time, symptoms, affected_users, error_references, actions_taken"},
		"an empty part":                   {a: Action{Verb: GivePart, What: "symptoms", Text: " … "}, by: bob, want: "wants words for symptoms"},
		"empty evidence":                  {a: Action{Verb: GivePart, What: "symptoms", Evidence: []Evidence{{Part: PartSymptoms}}}, by: bob, want: "says nothing"},
		"evidence without a reason":       {a: Action{Verb: GivePart, What: "symptoms", Evidence: []Evidence{{Part: PartSymptoms, None: "none"}}}, by: bob, want: "says nothing"},
		"evidence for another part":       {a: Action{Verb: GivePart, What: "symptoms", Evidence: []Evidence{{Part: PartTime, None: "none, because"}}}, by: bob, want: "record each part by itself"},
		"a prerequisite nobody knows":     {a: Action{Verb: Confirm, What: "moon", Text: "full"}, by: bob, want: "say one of browser, device"},
		"confirmed without a finding":     {a: Action{Verb: Confirm, What: "device"}, by: bob, want: "say what was found"},
		"ticked what is not on it":        {kind: KindRequest, typ: "setup", a: Action{Verb: Tick, What: "dance"}, by: bob, want: `left are "configure", "get hardware"`},
		"ticked where nothing is":         {kind: KindRequest, a: Action{Verb: Tick, What: "dance"}, by: bob, want: "no steps and no checklist"},
		"ticked twice":                    {kind: KindRequest, typ: "setup", before: []func(*bench){acts(Action{Verb: Tick, What: "configure"}, bob)}, a: Action{Verb: Tick, What: "configure"}, by: carol, want: "ticked by bob"},
		"documented nothing":              {a: Action{Verb: DocumentIt, Text: "wiki"}, by: bob, want: "the name of the object"},
		"chargeable perhaps":              {a: Action{Verb: Charge, What: "perhaps"}, by: bob, want: "say one of yes, no"},
		"marked against its type":         {kind: KindRequest, typ: "onboarding", a: Action{Verb: Charge, What: "no"}, by: bob, want: "is always chargeable"},
		"an order number of none":         {a: Action{Verb: Order, What: "n/a"}, by: bob, want: `cannot take "n/a" as an order number`},
		"security perhaps":                {a: Action{Verb: StateSecurity, What: "perhaps"}, by: bob, want: "say one of yes, no, exception"},
		"an exception by nobody":          {a: Action{Verb: StateSecurity, What: "exception", Text: "old printer"}, by: bob, want: "the name of who makes the exception"},
		"no without a reason":             {a: Action{Verb: StateSecurity, What: "no"}, by: bob, want: "wants the reason"},
		"declined what is no request":     {a: Action{Verb: Decline, Text: "no"}, by: bob, want: "only requests are refused"},
		"a draft to nobody":               {a: Action{Verb: WriteDraft, Text: "Dear customer"}, by: bob, want: "to whom the message goes"},
		"rewrote what is not there":       {a: Action{Verb: WriteDraft, Text: "x", What: "2"}, by: bob, want: `has no draft "2"`},
		"sent what is not there":          {a: Action{Verb: SendDraft, What: "1"}, by: bob, want: `has no draft "1"; it has 0`},
		"sent twice":                      {before: []func(*bench){writes, sends}, a: Action{Verb: SendDraft, What: "1"}, by: bob, want: "sent by bob"},
		"rewrote what was sent":           {before: []func(*bench){writes, sends}, a: Action{Verb: WriteDraft, What: "1", Text: "y"}, by: bob, want: "sent already"},
		"sent by a customer's user":       {before: []func(*bench){writes}, a: Action{Verb: SendDraft, What: "1"}, by: By{Actor: Actor{Kind: Person, Name: "ursula"}, Customer: "acme"}, want: "sent by the operator's people; ursula is of the customer", gate: "owning-department"},
		"an update late because of rain":  {a: Action{Verb: Update, Text: "x", What: "rain"}, by: bob, want: "say one of workload, absence"},
		"a session without consent":       {a: Action{Verb: RemoteSession, What: "Connect", At: t0, Until: t0}, by: bob, want: "without who consented"},
		"a session without anything":      {a: Action{Verb: RemoteSession}, by: bob, want: "without the tool, its start, its end, who consented"},
		"a session that ended first":      {a: Action{Verb: RemoteSession, What: "Connect", To: "ursula", At: t0, Until: t0.Add(-time.Second)}, by: bob, want: "before it started"},
		"a session to come":               {a: Action{Verb: RemoteSession, What: "Connect", To: "ursula", At: t0, Until: t0.Add(time.Hour)}, by: bob, want: "in the future"},
		"rejected what is no delivery":    {a: Action{Verb: RejectDelivery, Text: "bad", To: "re-test"}, by: bob, want: "only deliveries are rejected"},
		"rejected with nothing to follow": {kind: KindDelivery, a: Action{Verb: RejectDelivery, Text: "bad"}, by: bob, want: "at least one of documentation, investigation, re-test"},
		"rejected with a party to follow": {kind: KindDelivery, a: Action{Verb: RejectDelivery, Text: "bad", To: "party"}, by: bob, want: `the follow-up "party"`},
		"rejected without a reason":       {kind: KindDelivery, a: Action{Verb: RejectDelivery, To: "re-test"}, by: bob, want: "say why the delivery is rejected"},
		"excepted without a gate":         {a: Action{Verb: ExceptVersion, Text: "urgent"}, by: bob, want: "no gate of desk asks for a version"},
		"excepted under two sets":         {gates: []Gate{{Name: "v", Before: []Verb{Start}, Needs: []Need{{Kind: needVersion}}}, {Name: "w", Before: []Verb{Did}, Needs: []Need{{Kind: needVersion}}}}, a: Action{Verb: ExceptVersion, Text: "urgent"}, by: bob, want: "is P2: only blocker may be excepted"},
		"a reason of one word":            {a: Action{Verb: GivePart, What: "error_references", Text: "none, because test"}, by: bob, want: "too short a one: say why in two words or more, as in"},
		"excepted what is no blocker":     {gates: []Gate{{Name: "v", Before: []Verb{Start}, Needs: []Need{{Kind: needVersion}}}}, a: Action{Verb: ExceptVersion, Text: "urgent"}, by: bob, want: "is P2: only blocker may be excepted"},
		"rated while resolved":            {rating: true, before: []func(*bench){resolves}, a: Action{Verb: Rate, Score: 9}, by: client, want: "it is rated when it is closed"},
		"rated where nobody asks":         {before: []func(*bench){resolves, acts(Action{Verb: Close}, bob)}, a: Action{Verb: Rate, Score: 9}, by: client, want: "does not ask for ratings"},
		"rated by the desk":               {rating: true, before: []func(*bench){resolves, acts(Action{Verb: Close}, bob)}, a: Action{Verb: Rate, Score: 9}, by: bob, want: "say who of the client gave it"},
		"rated by the desk for itself":    {rating: true, before: []func(*bench){resolves, acts(Action{Verb: Close}, bob)}, a: Action{Verb: Rate, Score: 9, To: " Bob "}, by: bob, want: "say who of the client gave it"},
		"junk that nothing shows":         {a: Action{Verb: Confirm, What: "junk", Text: "nothing found"}, by: bob, want: "confirm nothing-found"},
		"a block that is only said":       {a: Action{Verb: Confirm, What: "smtp-block", Text: "yes"}, by: bob, want: "say what shows it"},
		"rated eleven":                    {rating: true, before: []func(*bench){resolves}, a: Action{Verb: Rate, Score: 11}, by: client, want: "from 0"},
		"escalated to nobody":             {a: Action{Verb: Escalate, Text: "stuck"}, by: bob, want: "to whom it is escalated"},
		"monitoring of what":              {a: Action{Verb: Monitor, What: "dream", Text: "x"}, by: bob, want: "say one of create, improve"},
		"a field that is a novel":         {a: Action{Verb: Order, What: strings.Repeat("x", maxField+1)}, by: bob, want: "at most 500 are kept"},
		"a field with an escape":          {a: Action{Verb: Order, What: "PO\x1b[2J"}, by: bob, want: "write it as one line of text"},
		"on a closed ticket":              {before: []func(*bench){resolves, acts(Action{Verb: Close}, bob)}, a: Action{Verb: Order, What: "PO-1"}, by: bob, want: "is closed; reopen it first"},
	} {
		t.Run(name, func(t *testing.T) {
			l := at(t, or(tc.kind, KindIncident), tc.typ, nil, gateTerms(tc.gates...))
			l.terms.Checklists, l.terms.Rating = nil, tc.rating
			for _, do := range tc.before {
				do(l)
			}
			c, err := l.try(tc.a, tc.by)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want a refusal that says %q", err, tc.want)
			}
			var g *GateError
			if errors.As(err, &g) {
				if g.Gate != tc.gate {
					t.Errorf("refused by gate %q, want %q", g.Gate, tc.gate)
				}
				onlyRefused(t, l.ticket, c)
			} else if tc.gate != "" || !c.Empty() {
				t.Errorf("no gate refused, with %d events; want %q", len(c.Events), tc.gate)
			}
		})
	}
}

func writes(l *bench) { l.act(Action{Verb: WriteDraft, To: "it@acme", Text: "Dear customer"}, bob) }
func sends(l *bench)  { l.act(Action{Verb: SendDraft, What: "1"}, bob) }

// ticks gives the ticket a clock of four hours.
func ticks(name string, inform bool) func(*bench) {
	return func(l *bench) {
		c, err := sla.Begin(sla.Target{Clock: name, Mode: sla.Elapsed, Within: 4 * time.Hour, Inform: inform}, nil, t0, 0, t0)
		if err != nil {
			l.t.Fatal(err)
		}
		l.ticket.Clocks = []sla.Clock{c}
	}
}

func TestVerification(t *testing.T) {
	eyes := Gate{Name: "four-eyes", Before: []Verb{Close}, Needs: []Need{{Kind: needVerified}}}
	shut := Action{Verb: Close}
	t.Run("after a person resolved it another verifies", func(t *testing.T) {
		l := at(t, KindIncident, "", nil, gateTerms(eyes))
		resolves(l)
		c, err := l.try(shut, bob)
		gateRefused(t, l.ticket, c, err, "verified: somebody other than anna")
		l.act(Action{Verb: Verify, Text: "looked, it is fine"}, bob)
		if v := l.ticket.Verified; v == nil || v.By != "bob" || !v.At.Equal(l.now) {
			t.Errorf("verified by %+v", v)
		}
		l.act(shut, anna)
	})
	t.Run("after it recovered by itself any one person does", func(t *testing.T) {
		tk := must(t)(opened(t).Ticket.End(ended("disk", "warning", "recovered", t0), t0)).Ticket
		if tk.State != Done || tk.ResolvedBy.Kind != Rule {
			t.Fatalf("%s by %+v", tk.State, tk.ResolvedBy)
		}
		terms := gateTerms(eyes)
		if _, err := tk.Act(shut, anna, terms, t0); !errors.Is(err, ErrRefused) {
			t.Errorf("closed unverified: %v", err)
		}
		tk = must(t)(tk.Act(Action{Verb: Verify}, anna, terms, t0)).Ticket
		if tk = must(t)(tk.Act(shut, anna, terms, t0)).Ticket; tk.State != Shut {
			t.Error(tk.State)
		}
	})
	t.Run("after it was reopened anew", func(t *testing.T) {
		l := at(t, KindIncident, "", nil, gateTerms(eyes))
		resolves(l)
		l.act(Action{Verb: Verify}, bob)
		l.act(Action{Verb: Reopen, Text: "it is back"}, bob)
		l.act(Action{Verb: Resolve, Text: "again"}, bob)
		c, err := l.try(shut, anna)
		gateRefused(t, l.ticket, c, err, "verified: somebody other than bob")
		l.act(Action{Verb: Verify}, anna)
		l.act(shut, anna)
	})
	t.Run("a gate says who may", func(t *testing.T) {
		g := eyes
		g.Needs = []Need{{Kind: needVerified, Roles: []string{"engineer"}}}
		l := at(t, KindIncident, "", nil, gateTerms(g))
		resolves(l)
		c, err := l.try(Action{Verb: Verify}, boss)
		gateRefused(t, l.ticket, c, err, "role: it is verified by engineer; mike is management")
		l.act(Action{Verb: Verify}, bob)
		if e := l.timeline[len(l.timeline)-1]; e.Actor.As != "engineer" {
			t.Errorf("by %+v", e.Actor)
		}
	})
}

func TestApprovals(t *testing.T) {
	gate := func(all bool) Gate {
		return Gate{Name: "change", Before: []Verb{Did}, Needs: []Need{{Kind: needApproval, Names: []string{"equipment-change"}, Roles: []string{"it-ops-manager", "management"}, All: all}}}
	}
	did := func(at time.Time) Action { return Action{Verb: Did, Text: "swapped the disk", At: at} }
	both := somebody("max", "it-ops-manager", "management")
	approve := func(at time.Time, as string) Action {
		return Action{Verb: Approve, What: "equipment-change", At: at, As: as}
	}
	for name, tc := range map[string]struct {
		all    bool
		give   []func(*bench)
		change time.Time
		lacks  string // empty: it passes
	}{
		"one of two":                 {give: []func(*bench){acts(approve(t0, ""), boss)}},
		"dated earlier than changed": {give: []func(*bench){acts(approve(t0.Add(-time.Hour), ""), boss)}, change: t0},
		"dated at the change":        {give: []func(*bench){acts(approve(t0, ""), boss)}, change: t0, lacks: "equipment-change: it-ops-manager or management approves it"},
		"dated after the change":     {give: []func(*bench){acts(approve(t0, ""), boss)}, change: t0.Add(-time.Minute), lacks: "equipment-change: "},
		"a change that is to come":   {give: []func(*bench){says(Facts{factChangeAt: "2026-03-28T09:00:00Z"}), acts(approve(time.Time{}, ""), boss)}},
		"a change that was":          {give: []func(*bench){says(Facts{factChangeAt: "2026-03-27T09:00:00Z"}), acts(approve(time.Time{}, ""), boss)}, lacks: "equipment-change: "},
		"all of both":                {all: true, give: []func(*bench){acts(approve(t0, ""), boss), acts(approve(t0, ""), carol)}},
		"one of both":                {all: true, give: []func(*bench){acts(approve(t0, ""), boss)}, lacks: "equipment-change/it-ops-manager: "},
		"one person as both": {all: true, give: []func(*bench){acts(approve(t0, "management"), both), acts(approve(t0, "it-ops-manager"), both)},
			lacks: "equipment-change: it-ops-manager and management are asked, and one person gave both"},
		"one person as both, and a second": {all: true, give: []func(*bench){acts(approve(t0, "management"), both), acts(approve(t0, "it-ops-manager"), both), acts(approve(t0, ""), boss)}},
	} {
		t.Run(name, func(t *testing.T) {
			l := at(t, KindRequest, "setup", nil, gateTerms(gate(tc.all)))
			for _, do := range tc.give {
				do(l)
			}
			c, err := l.try(did(tc.change), bob)
			if tc.lacks == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			gateRefused(t, l.ticket, c, err, tc.lacks)
		})
	}
	l := at(t, KindRequest, "setup", nil, gateTerms(gate(false)))
	l.act(Action{Verb: Approve, What: "equipment-change", At: t0.Add(-24 * time.Hour), Text: "by letter"}, boss)
	want := []Approval{{What: "equipment-change", Role: "management", By: "mike", Dated: t0.Add(-24 * time.Hour), At: l.now, Text: "by letter"}}
	if d := cmp.Diff(want, l.ticket.Approvals); d != "" {
		t.Error(d)
	}
}

func TestWaivers(t *testing.T) {
	waiving := Gate{Name: "waiver", Before: []Verb{Waive}, Needs: []Need{{Kind: needWaiver, Roles: []string{"general-manager"}}}}
	waive := Action{Verb: Waive, What: "resolution", Text: "the client agreed to Monday"}
	t.Run("before the breach", func(t *testing.T) {
		l := at(t, KindIncident, "", nil, gateTerms(waiving))
		ticks("resolution", false)(l)
		a := waive
		a.Until = t0.Add(48 * time.Hour)
		l.act(a, gm)
		want := []Waiver{{Clock: "resolution", By: "gina", Role: "general-manager", Reason: waive.Text, At: l.now, Until: a.Until}}
		if d := cmp.Diff(want, l.ticket.Waivers); d != "" {
			t.Error(d)
		}
		if c := l.ticket.Clocks[0]; !c.Waived || !c.WaivedUntil.Equal(a.Until) {
			t.Errorf("the clock is %+v", c)
		}
	})
	for name, late := range map[string]func(*bench){
		"after the breach was recorded":   breached("resolution"),
		"after a breach nobody saw":       func(l *bench) { ticks("resolution", false)(l); l.now = t0.Add(5 * time.Hour) },
		"after it was missed and met":     func(l *bench) { breached("resolution")(l); l.ticket.Clocks[0] = l.ticket.Clocks[0].Meet(l.now) },
		"at the very instant of its miss": func(l *bench) { ticks("resolution", false)(l); l.now = t0.Add(4*time.Hour - time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			l := at(t, KindIncident, "", nil, gateTerms(waiving))
			late(l)
			want := slices.Clone(l.ticket.Clocks)
			if want[0].BreachedAt.IsZero() { // the attempt sees it
				want[0].BreachedAt = want[0].Due
			}
			l.act(waive, gm)
			if w := l.ticket.Waivers; len(w) != 1 || !w[0].Retrospective {
				t.Errorf("%+v", w)
			}
			if d := cmp.Diff(want, l.ticket.Clocks); d != "" {
				t.Errorf("a consent that came late changed the clocks: %s", d)
			}
			if e := l.timeline[len(l.timeline)-1]; !strings.HasPrefix(e.Text, "retrospective consent") {
				t.Error(e.Text)
			}
		})
	}
}

// ends meets a clock.
func ends(clock string) func(*bench) {
	return func(b *bench) {
		for i, c := range b.ticket.Clocks {
			if c.Name == clock {
				b.ticket.Clocks[i] = c.Meet(t0)
			}
		}
	}
}
