package ticket

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The five parts fill from evidence and from what people write; a bare "none" fills nothing.
func TestPartsOfTheRecord(t *testing.T) {
	tk := opened(t).Ticket // with evidence for all five
	if len(tk.Parts) != len(Parts) {
		t.Errorf("parts %v", tk.Parts)
	}
	l := at(t, KindIncident, "", nil, gateTerms())
	if len(l.ticket.Parts) != 0 {
		t.Fatalf("parts of a new ticket: %v", l.ticket.Parts)
	}
	l.act(Action{Verb: Note, Text: "rang the client"}, bob)
	l.act(Action{Verb: GivePart, What: "affected_users", Text: "unknown, because reception is shut"}, bob)
	l.act(Action{Verb: GivePart, What: "affected_users", Text: "all of accounting"}, bob)
	l.act(Action{Verb: GivePart, What: "affected_users", Text: "none, because they went home"}, bob)
	l.act(Action{Verb: GivePart, What: "error_references", Text: "none: the log is empty"}, bob)
	l.act(Action{Verb: GivePart, What: "symptoms", Evidence: []Evidence{{Part: PartSymptoms, Salt: "s", Entries: []Entry{{Text: "HTTP 500", Source: "bob", At: t0}}}}}, bob)
	want := map[Part]string{PartActions: "rang the client", PartUsers: "all of accounting", PartErrors: "none: the log is empty", PartSymptoms: "HTTP 500"}
	if d := cmp.Diff(want, l.ticket.Parts); d != "" {
		t.Error(d)
	}
	r, err := AssembleRecord(l.timeline, func(int) ([]byte, bool, error) { return nil, false, nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Users.Entries) != 1 || r.Users.Entries[0].Text != "all of accounting" || r.Users.Entries[0].Source != "bob, recorded" {
		t.Errorf("affected users: %+v", r.Users)
	}
	if len(r.Errors.Entries) != 0 || r.Errors.None != "none: the log is empty" {
		t.Errorf("error references: %+v", r.Errors)
	}
	last := l.timeline[len(l.timeline)-1]
	if last.Kind != EvidenceAdded || last.Actor.Name != "bob" {
		t.Errorf("evidence by %+v", last.Actor)
	}
}

func TestAnswersThatSayNothing(t *testing.T) {
	for text, want := range map[string][2]bool{ // given, none
		"":                                   {false, false},
		" … ":                                {false, false},
		"none":                               {false, true},
		"None.":                              {false, true},
		"unknown":                            {false, true},
		"UNKNOWN, because":                   {false, true},
		"n/a":                                {false, true},
		"-":                                  {false, true},
		"none because it is a spare host":    {true, true},
		"unknown: nobody answers":            {true, true},
		"not known, as the log was rotated":  {true, true},
		"none, because because":              {false, true},
		"unknown: whatever":                  {false, true},
		"nonetheless, accounting is stopped": {true, false},
		"nobody, it is at night":             {true, false},
		"7":                                  {true, false},
		"натяжение":                          {true, false},
	} {
		given, none := gives(text)
		if given != want[0] || none != want[1] {
			t.Errorf("%q: given %v none %v, want %v", text, given, none, want)
		}
	}
}

func TestMailEvidenceTellsWhere(t *testing.T) {
	l := at(t, KindIncident, "", nil, gateTerms())
	l.act(Action{Verb: Confirm, What: "smtp-block", Text: "550 5.7.1 from the provider's relay"}, bob)
	if got := l.ticket.Facts[factMail]; got != "smtp-block" {
		t.Errorf("the fact %s is %q", factMail, got)
	}
	if _, ok := l.ticket.Ticks[tickMail+"smtp-block"]; !ok {
		t.Errorf("ticks %v", l.ticket.Ticks)
	}
}

// Security: no refuses everything but declining; an exception is somebody's who may make it.
func TestSecurityStatement(t *testing.T) {
	gate := Gate{Name: "security", Before: []Verb{Start, Resolve}, Needs: []Need{{Kind: needSecurity, Roles: []string{"it-ops-manager"}}}}
	client := By{Actor: Actor{Kind: Person, Name: "cleo"}, Customer: "acme"}
	l := at(t, KindRequest, "onboarding", nil, gateTerms(gate))
	l.act(Action{Verb: StateSecurity, What: "no", Text: "it opens the firewall to all"}, bob)
	for _, v := range []Verb{Start, Resolve, Did, Callback, Restored, RemoteSession} {
		a := Action{Verb: v, Text: "done"}
		if v == RemoteSession {
			a.What, a.To, a.At, a.Until = "Connect", "ursula", t0, t0
		}
		c, err := l.try(a, bob)
		gateRefused(t, l.ticket, c, err, "security-statement: it is not within the security policy")
	}
	for name, a := range map[string]struct {
		a  Action
		by By
	}{
		"yes by the same":             {Action{What: "yes"}, bob},
		"yes by who may except":       {Action{What: "yes"}, carol},
		"an exception by an engineer": {Action{What: "exception", To: "carol", Text: "one address"}, bob},
		"an exception without why":    {Action{What: "exception", To: "carol"}, carol},
	} {
		a.a.Verb = StateSecurity
		if _, err := l.try(a.a, a.by); !errors.Is(err, ErrRefused) {
			t.Errorf("%s overturned no: %v", name, err)
		}
	}
	l.act(Action{Verb: Decline, Text: "against the security policy"}, bob)
	if l.ticket.State != Done || l.ticket.Resolution != "refused: against the security policy" || l.ticket.Facts[factDeclined] != "yes" {
		t.Errorf("%s %q %v", l.ticket.State, l.ticket.Resolution, l.ticket.Facts)
	}
	l.act(Action{Verb: Reopen, Text: "they ask for an exception"}, bob)
	if l.ticket.Facts[factDeclined] != "" {
		t.Error("a reopened request is still refused")
	}
	l.act(Action{Verb: StateSecurity, What: "exception", To: "carol", Text: "one address for a week"}, carol)
	l.act(Action{Verb: Start}, bob)

	l = at(t, KindRequest, "onboarding", nil, gateTerms(gate))
	for name, by := range map[string]By{"an engineer": bob, "a client": client} {
		_, err := l.try(Action{Verb: StateSecurity, What: "exception", To: "carol", Text: "one address"}, by)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "an exception is made by it-ops-manager; "+by.Name) {
			t.Errorf("a first exception by %s: %v", name, err)
		}
	}
	l.act(Action{Verb: StateSecurity, What: "exception", To: "the board", Text: "one address for a week"}, carol)
	c, err := l.try(Action{Verb: Start}, bob)
	gateRefused(t, l.ticket, c, err, "security-exception: it-ops-manager makes the exception")
	l.act(Action{Verb: Approve, What: exceptionApproval}, carol)
	l.act(Action{Verb: Start}, bob)

	self := at(t, KindRequest, "onboarding", nil, gateTerms(gate))
	self.act(Action{Verb: StateSecurity, What: "exception", To: "carol", Text: "one address for a week"}, carol)
	if len(self.ticket.Approvals) != 1 || self.ticket.Approvals[0].Role != "it-ops-manager" {
		t.Errorf("the exception of who may make it: %+v", self.ticket.Approvals)
	}
	self.act(Action{Verb: Start}, bob)
}

func TestChargeableWork(t *testing.T) {
	gate := Gate{Name: "order", Before: []Verb{Start}, Needs: []Need{{Kind: needCharge}, {Kind: needOrder}}}
	l := at(t, KindRequest, "setup", nil, gateTerms(gate))
	c, err := l.try(Action{Verb: Start}, bob)
	gateRefused(t, l.ticket, c, err, "chargeable: ")
	l.act(Action{Verb: Charge, What: "yes"}, bob)
	if l.ticket.Chargeable != "yes" {
		t.Errorf("chargeable %q", l.ticket.Chargeable)
	}
	c, err = l.try(Action{Verb: Start}, bob)
	gateRefused(t, l.ticket, c, err, "order: ")
	l.act(Action{Verb: Order, What: "PO-77"}, bob)
	l.act(Action{Verb: Start}, bob)
	if l.ticket.Order != "PO-77" || l.ticket.StartedAt.IsZero() {
		t.Errorf("%+v", l.ticket.Work)
	}
	at(t, KindRequest, "internal", nil, gateTerms(gate)).act(Action{Verb: Start}, bob)
	l = at(t, KindRequest, "onboarding", nil, gateTerms(gate))
	c, err = l.try(Action{Verb: Start}, bob)
	gateRefused(t, l.ticket, c, err, "order: ")
}

func TestDraftsAndSending(t *testing.T) {
	l := at(t, KindIncident, "", Facts{FactDepartment: "sas"}, gateTerms())
	sam := By{Actor: Actor{Kind: Person, Name: "sam"}, Department: "sas"}
	l.act(Action{Verb: WriteDraft, To: "it@acme", Text: "Dear custmer", Template: "update"}, bob)
	l.act(Action{Verb: WriteDraft, What: "1", Text: "Dear customer"}, carol)
	c, err := l.try(Action{Verb: SendDraft, What: "1"}, bob)
	gateRefused(t, l.ticket, c, err, "owning-department: messages to this customer are sent by sas, who owns it; bob is engineer")
	l.act(Action{Verb: SendDraft, What: "1"}, sam)
	got := l.ticket.Drafts
	if len(got) != 1 || got[0].Text != "Dear customer" || got[0].To != "it@acme" || got[0].Template != "update" || got[0].By != "carol" || got[0].SentBy != "sam" || !got[0].SentAt.Equal(l.now) {
		t.Errorf("%+v", got)
	}
	c, err = l.ticket.AddDraft("it@acme", "update", "More soon", l.now)
	if err != nil {
		t.Fatal(err)
	}
	l.take(c)
	if d := l.ticket.Drafts; len(d) != 2 || d[1].ID != 2 || d[1].By != "watchbill" {
		t.Errorf("%+v", d)
	}
	for range maxKept - 2 {
		l.act(Action{Verb: WriteDraft, To: "it@acme", Text: "again"}, bob)
	}
	if _, err := l.ticket.AddDraft("it@acme", "update", "x", l.now); !errors.Is(err, ErrRefused) {
		t.Errorf("one draft too many: %v", err)
	}
	free := at(t, KindIncident, "", nil, gateTerms())
	writes(free)
	sends(free)
}

func TestLateUpdateTouchesNoClock(t *testing.T) {
	l := at(t, KindIncident, "", nil, gateTerms())
	breached("response")(l)
	before := l.ticket.Clocks
	l.act(Action{Verb: Update, Text: "still looking", What: "workload"}, bob)
	e := l.timeline[len(l.timeline)-1]
	if e.Kind != Updated || e.Detail.What != "workload" || !strings.Contains(l.notices[len(l.notices)-1].Text, "late because of workload") {
		t.Errorf("%+v, told %+v", e, l.notices)
	}
	if d := cmp.Diff(before, l.ticket.Clocks); d != "" {
		t.Error(d)
	}
}

func TestRemoteSessionIsAnActionTaken(t *testing.T) {
	l := at(t, KindIncident, "", nil, gateTerms())
	l.now = t0.Add(time.Hour)
	l.act(Action{Verb: RemoteSession, What: "Connect", To: "ursula", At: t0, Until: t0.Add(20 * time.Minute), Text: "cleared the cache"}, bob)
	e := l.timeline[len(l.timeline)-1]
	want := &Session{Tool: "Connect", Start: t0, End: t0.Add(20 * time.Minute), Consent: "ursula"}
	if d := cmp.Diff(want, e.Detail.Session); d != "" || e.Kind != ActionTaken || e.Actor.Name != "bob" {
		t.Errorf("%s %+v", d, e)
	}
	if !strings.Contains(l.ticket.Parts[PartActions], "remote session with Connect") {
		t.Errorf("actions taken: %q", l.ticket.Parts[PartActions])
	}
}

func TestEscalationByHand(t *testing.T) {
	l := at(t, KindIncident, "", nil, gateTerms())
	l.act(Action{Verb: Escalate, What: "quality", To: "quality-manager", Text: "third time this week"}, bob)
	want := []Told{{Step: "quality", At: l.now, To: []string{"quality-manager"}}}
	if d := cmp.Diff(want, l.ticket.Told); d != "" {
		t.Error(d)
	}
	if n := l.notices[len(l.notices)-1]; n.What != Escalated || n.Text != "escalated to quality-manager: third time this week" {
		t.Errorf("%+v", n)
	}
}

func TestRejectedDelivery(t *testing.T) {
	l := at(t, KindDelivery, "", Facts{factVersion: "2.4", factEnvironm: "live"}, gateTerms())
	l.act(Action{Verb: RejectDelivery, Text: "no release notes", To: "documentation, re-test"}, bob)
	if l.ticket.Facts[factDelivery] != "rejected" || !l.ticket.State.Open() {
		t.Errorf("%v, %s", l.ticket.Facts, l.ticket.State)
	}
	var got []string
	for _, b := range l.births {
		got = append(got, b.Kind+"/"+b.Type+": "+b.Title+" ("+b.Note+")")
		if b.Parent == nil || b.Parent.ID != "id9" || b.Relation != "follow-up of" || b.Parent.Seq != l.ticket.Seq {
			t.Errorf("%+v", b)
		}
		if err := b.CheckBirth(); err != nil {
			t.Error(err)
		}
	}
	want := []string{"task/documentation: documentation after the rejection of 2.4 (bob: no release notes)", "task/re-test: re-test after the rejection of 2.4 (bob: no release notes)"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n := l.notices[len(l.notices)-1]; n.What != Rejected || n.Text != "no release notes. To follow: documentation, re-test" {
		t.Errorf("told %+v", n)
	}
	if _, err := l.try(Action{Verb: RejectDelivery, Text: "no", To: "re-test"}, bob); !errors.Is(err, ErrRefused) {
		t.Errorf("rejected twice: %v", err)
	}
}

// Only a blocker's change goes out without a version, and what follows it blocks closing.
func TestBlockerException(t *testing.T) {
	gate := Gate{Name: "version", Before: []Verb{Did}, Needs: []Need{{Kind: needVersion}}}
	l := at(t, KindIncident, "", nil, gateTerms(gate, Gate{Name: "rejection-done", Before: []Verb{Close}, Needs: []Need{{Kind: needFollowed}}}))
	c, err := l.try(Action{Verb: Did, Text: "patched live"}, bob)
	gateRefused(t, l.ticket, c, err, "version: ")
	l.act(Action{Verb: Prioritise, What: "blocker", Text: "the shop is down"}, bob)
	c, err = l.try(Action{Verb: ExceptVersion, Text: "the shop is down"}, bob)
	gateRefused(t, l.ticket, c, err, "role: an exception is made by delivery-manager or general-manager")
	l.act(Action{Verb: ExceptVersion, Text: "the shop is down"}, somebody("tom", "technical-operation-manager"))
	if l.ticket.Priority != "blocker" || !l.ticket.Pinned {
		t.Errorf("the exception took the priority back: %s", l.ticket.Priority)
	}
	l.act(Action{Verb: Prioritise, What: "P3", Text: "it was none"}, bob)
	c, err = l.try(Action{Verb: Did, Text: "patched live"}, bob)
	gateRefused(t, l.ticket, c, err, "version: the exception was for blocker, and the priority is P3 now")
	l.act(Action{Verb: Prioritise, What: "blocker", Text: "it is one"}, bob)
	if len(l.births) != 1 || l.births[0].Type != TypeDeliverVersion || l.births[0].Title != "deliver a version of the change of WB-9" {
		t.Fatalf("%+v", l.births)
	}
	l.act(Action{Verb: Did, Text: "patched live"}, bob)
	resolves(l)
	c, err = l.try(Action{Verb: Close}, bob)
	gateRefused(t, l.ticket, c, err, TypeDeliverVersion+": open a ticket")
	child(TypeDeliverVersion, InProgress)(l)
	l.ticket.Children[0].Relation = followUpOf
	c, err = l.try(Action{Verb: Close}, bob)
	gateRefused(t, l.ticket, c, err, TypeDeliverVersion+": WB-deliver-version is not done yet")
	if strings.Contains(err.Error(), "rejection-done") {
		t.Errorf("nothing was rejected: %v", err)
	}
	l.ticket.Children[0].State = Shut
	l.act(Action{Verb: Close}, bob)
}

// What a type asked at opening is not taken back from under the gate that stands because of it.
func TestSetLiftsNoGate(t *testing.T) {
	terms := gateTerms(Gate{Name: "equipment-change", Before: []Verb{Start}, When: When{"changed-by": {"!it-ops"}},
		Needs: []Need{{Kind: needApproval, Names: []string{"equipment-change"}, Roles: []string{"it-ops-manager"}}}, Source: "set"})
	terms.Types = append(terms.Types, Type{Name: "swap", Kind: KindRequest, Asks: []string{"changed-by"}})
	lift := Action{Verb: Set, Facts: Facts{"changed-by": "it-ops"}}
	l := at(t, KindRequest, "swap", Facts{"changed-by": "a contractor"}, terms)
	c, err := l.try(lift, bob)
	gateRefused(t, l.ticket, c, err, "equipment-change")
	if !strings.Contains(err.Error(), "changed-by: it was said as the ticket was opened") {
		t.Error(err)
	}
	l.act(Action{Verb: Set, Facts: Facts{"changed-by": "another contractor"}}, bob)
	l.act(lift, somebody("mia", "it-ops-manager"))

	l = at(t, KindRequest, "swap", Facts{"changed-by": "a contractor"}, terms)
	l.act(Action{Verb: Approve, What: "equipment-change"}, somebody("mia", "it-ops-manager"))
	l.act(lift, bob) // the gate has what it asks for
}

func TestMonitoringBeforeClose(t *testing.T) {
	gate := Gate{Name: "monitoring", Before: []Verb{Close}, Needs: []Need{{Kind: needMonitoring}}}
	for name, tc := range map[string]struct {
		facts  Facts
		worked time.Duration
		ask    bool
		lacks  string
	}{
		"nothing calls for it": {Facts{factFirst: "monitoring"}, time.Hour, false, ""},
		"a person knew first":  {Facts{factFirst: "person"}, time.Hour, false, "monitoring: a person reported it"},
		"it took long":         {Facts{factFirst: "monitoring"}, 3 * time.Hour, false, "monitoring: it took long to find, 3h"},
		"as long as is long":   {Facts{factFirst: "monitoring"}, 2*time.Hour - time.Minute, false, "monitoring: it took long to find, 2h0m0s"},
		"somebody asked":       {Facts{factFirst: "monitoring"}, time.Hour, true, "monitoring: somebody asked"},
	} {
		t.Run(name, func(t *testing.T) {
			l := at(t, KindIncident, "", tc.facts, gateTerms(gate))
			l.terms.Investigation = 2 * time.Hour
			l.act(Action{Verb: Start}, bob)
			if tc.ask {
				l.act(Action{Verb: Monitor, What: "improve", Text: "the queue's length"}, stranger)
				if b := l.births; len(b) != 1 || b[0].Type != TypeMonitoring || b[0].Title != "improve monitoring for WB-9" || b[0].Note != stranger.Name+": the queue's length" || b[0].Relation != "monitoring for" {
					t.Errorf("%+v", b)
				}
			}
			l.now = l.now.Add(tc.worked)
			resolves(l)
			l.now = l.now.Add(24 * time.Hour) // nobody investigates a resolved ticket
			c, err := l.try(Action{Verb: Close}, bob)
			if tc.lacks == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			gateRefused(t, l.ticket, c, err, tc.lacks)
			child(TypeMonitoring, New)(l)
			l.act(Action{Verb: Close}, bob)
		})
	}
}

// A gate of a set stands in the place of one that goes without saying, and only where it asks for the same.
func TestGatesThatGoWithoutSaying(t *testing.T) {
	for name, tc := range map[string]struct {
		need Need
		want string
	}{
		"the same":              {Need{Kind: needSteps}, "of the set"},
		"the same, of others":   {Need{Kind: needSteps, When: When{"kind": {KindTask}}}, "steps"},
		"something else":        {Need{Kind: needOrder}, "steps"},
		"the same kind of need": {Need{Kind: needChildDone, Names: []string{"re-test"}}, "steps"},
	} {
		l := at(t, KindRequest, "setup", nil, gateTerms(Gate{Name: "of the set", Before: []Verb{Resolve}, Needs: []Need{tc.need}}))
		child("re-test", Done)(l)
		_, err := l.try(Action{Verb: Resolve, Text: "done"}, bob)
		var g *GateError
		if !errors.As(err, &g) || g.Gate != tc.want || len(g.Also) != 0 {
			t.Errorf("%s: %v, want gate %q alone", name, err, tc.want)
		}
	}
	l := at(t, KindIncident, "", Facts{factException: "yes"}, gateTerms(Gate{Name: "re-test", Before: []Verb{Close}, Needs: []Need{{Kind: needChildDone, Names: []string{"re-test"}}}}))
	child("re-test", Done)(l)
	resolves(l)
	c, err := l.try(Action{Verb: Close}, bob)
	gateRefused(t, l.ticket, c, err, TypeDeliverVersion+": ")
}

// The steps of a type and the evidence of a review are wanted although no set writes a gate for them.
func TestTypesBringGates(t *testing.T) {
	l := at(t, KindRequest, "setup", nil, gateTerms())
	c, err := l.try(Action{Verb: Resolve, Text: "done"}, bob)
	gateRefused(t, l.ticket, c, err, "get hardware: ")
	l = at(t, KindTask, "backup-review", nil, gateTerms())
	c, err = l.try(Action{Verb: Resolve, Text: "looked"}, bob)
	gateRefused(t, l.ticket, c, err, "report: attach it, or say \"unknown, because …\"")
	l.act(Action{Verb: GivePart, What: "report", Text: "unknown, because none was sent"}, bob)
	l.act(Action{Verb: GivePart, What: "last good backup", Evidence: []Evidence{{Part: PartActions, Salt: "s", Entries: []Entry{{Text: "2026-03-26", Source: "backup", At: t0}}}}}, bob)
	resolves(l)
	r, err := AssembleRecord(l.timeline, func(int) ([]byte, bool, error) { return nil, false, nil })
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(r.Actions)
	if !strings.Contains(string(text), "report: unknown, because none was sent") {
		t.Errorf("the review does not say that a report is unknown: %s", text)
	}
}

func TestRating(t *testing.T) {
	l := at(t, KindIncident, "", nil, gateTerms())
	l.terms.Rating = true
	ask := func() {
		t.Helper()
		c, err := l.ticket.AskRating(RatingDigestOf("secret"), l.terms, l.now)
		if err != nil {
			t.Fatal(err)
		}
		l.take(c)
	}
	ask()
	if l.ticket.RatingDigest != "" {
		t.Error("asked before it was closed")
	}
	resolves(l)
	l.act(Action{Verb: Close}, bob)
	ask()
	if l.ticket.RatingDigest == "" || strings.Contains(string(must2(json.Marshal(l.timeline))), "secret") {
		t.Error("no digest, or the token itself is kept")
	}
	if _, err := l.ticket.RateByLink("guess", 1, "", l.now); !errors.Is(err, ErrRefused) {
		t.Errorf("a guessed token: %v", err)
	}
	if _, err := l.ticket.RateByLink("secret", 11, "", l.now); !errors.Is(err, ErrRefused) {
		t.Errorf("eleven: %v", err)
	}
	c, err := l.ticket.RateByLink("secret", 3, "slow", l.now)
	if err != nil {
		t.Fatal(err)
	}
	l.take(c)
	if r := l.ticket.Rating; r == nil || r.Score != 3 || r.By != "client@acme" || r.Text != "slow" {
		t.Errorf("%+v", r)
	}
	if _, err := l.ticket.RateByLink("secret", 10, "", l.now); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "used already") {
		t.Errorf("answered twice by one link: %v", err)
	}
	if r := l.ticket.Rating; r.How != "link" {
		t.Errorf("answered by %q", r.How)
	}
	if _, err := l.try(Action{Verb: Rate, Score: 10}, bob); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "is rated by the client") {
		t.Errorf("rated by the desk itself: %v", err)
	}
	ursula := token("ursula", "u1")
	ursula.Customer = "acme"
	l.act(Action{Verb: Rate, Score: 9}, ursula)
	if r := l.ticket.Rating; r.Score != 9 || r.By != "ursula" || r.Person != "u1" || r.How != "customer" {
		t.Errorf("the last answer does not replace: %+v", r)
	}
	folded, err := Fold(l.timeline)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(l.ticket, folded); d != "" {
		t.Error(d)
	}
}

// TestWhatWasToldIsNoAnswer: an answer that the desk was told stands until the next one, and never in the place of one that
// the client gave themselves.
func TestWhatWasToldIsNoAnswer(t *testing.T) {
	told := Action{Verb: Rate, Score: 10, To: "ursula"}
	ursula := token("ursula", "u1")
	ursula.Customer = "acme"
	for name, answer := range map[string]func(t *testing.T, l *bench){
		"by link": func(t *testing.T, l *bench) {
			c, err := l.ticket.RateByLink("secret", 3, "slow", l.now)
			if err != nil {
				t.Fatal(err)
			}
			l.take(c)
		},
		"by token": func(_ *testing.T, l *bench) { l.act(Action{Verb: Rate, Score: 3, Text: "slow"}, ursula) },
		"before it was noted how": func(_ *testing.T, l *bench) {
			old := *l.ticket.Rating
			old.Score, old.How, old.RecordedBy = 3, "", ""
			l.ticket.Rating = &old
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := at(t, KindIncident, "", nil, gateTerms())
			l.terms.Rating = true
			resolves(l)
			l.act(Action{Verb: Close}, bob)
			c, err := l.ticket.AskRating(RatingDigestOf("secret"), l.terms, l.now)
			if err != nil {
				t.Fatal(err)
			}
			l.take(c)
			l.act(Action{Verb: Rate, Score: 8, To: "ursula"}, bob)
			l.act(Action{Verb: Rate, Score: 7, To: "ursula"}, bob)
			if r := l.ticket.Rating; r.Score != 7 || r.By != "ursula" || r.RecordedBy != "bob" || r.How != "desk" || r.Person != "" {
				t.Fatalf("what the client told the desk last: %+v", r)
			}
			answer(t, l)
			if _, err := l.try(told, bob); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "does not replace what they answered") {
				t.Errorf("told after the client answered: %v", err)
			}
			if r := l.ticket.Rating; r.Score != 3 || r.How == "desk" {
				t.Errorf("the client's answer became %+v", r)
			}
			l.act(Action{Verb: Rate, Score: 9}, ursula)
			if r := l.ticket.Rating; r.Score != 9 || r.How != "customer" {
				t.Errorf("the client's next answer: %+v", r)
			}
		})
	}
}

func must2(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// An event that lacks what its kind is about makes no ticket, rather than a wrong one.
func TestFoldOfBrokenDeskEvents(t *testing.T) {
	base := at(t, KindIncident, "", nil, gateTerms()).timeline
	for _, kind := range []Kind{PartGiven, Ticked, Approved, WaiverGiven, Estimated, Quoted, Ordered, Drafted, Sent, Rated, RatingAsked, Escalated} {
		for name, d := range map[string]*Detail{"none": nil, "empty": {}, "a draft far ahead": {Draft: &Draft{ID: 7}}} {
			if _, err := Fold(append(base[:1:1], Event{Seq: 2, Kind: kind, Actor: anna.Actor, Detail: d})); !errors.Is(err, ErrTimeline) {
				t.Errorf("%s with detail %s: %v", kind, name, err)
			}
		}
	}
}
