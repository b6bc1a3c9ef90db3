package ticket

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// mergeTerms have a gate for each thing that a ticket may owe.
func mergeTerms() Terms {
	work := []Verb{Start, Did, Resolve}
	t := gateTerms(
		Gate{Name: "order-number", Before: work, Needs: []Need{{Kind: needOrder}}, Source: "set"},
		Gate{Name: "security-policy", Before: work, When: When{"kind": {KindRequest}}, Needs: []Need{{Kind: needSecurity}}, Source: "set"},
		Gate{Name: "versioned-change", Before: work, When: When{"type": {"change"}}, Needs: []Need{{Kind: needVersion}}, Source: "set"},
		Gate{Name: "seen-change", Before: work, When: When{"service": {"unversioned-change"}}, Needs: []Need{{Kind: needVersion}}, Source: "set"},
		Gate{Name: "documents", Before: []Verb{Close}, When: When{"type": {"amendment"}}, Needs: []Need{{Kind: needDocuments}}, Source: "set"},
		Gate{Name: "monitoring", Before: []Verb{Close}, Needs: []Need{{Kind: needMonitoring}}, Source: "set"},
		Gate{Name: "record", Before: []Verb{escalation}, Needs: []Need{{Kind: needRecord}}, Source: "set"},
		Gate{Name: "four-eyes", Before: []Verb{Close}, Needs: []Need{{Kind: needVerified}}, Source: "set"},
	)
	t.Types = append(t.Types, Type{Name: "change", Kind: KindRequest}, Type{Name: "amendment", Kind: KindRequest}, Type{Name: "question", Kind: KindRequest})
	return t
}

// side is one of two tickets that are to be merged.
type side struct {
	kind, typ string
	facts     Facts
	make      func(t *Ticket)
}

func (x side) ticket(t *testing.T, id string) *bench {
	t.Helper()
	l := at(t, x.kind, x.typ, x.facts, ready(t, mergeTerms()))
	l.ticket.ID, l.ticket.Number = id, "WB-"+id
	if x.make != nil {
		x.make(&l.ticket)
	}
	return l
}

// TestMergeKeepsWhatIsOwed: a ticket is merged only into its like, and what it owes is owed by the one that stays, or keeps the
// two apart.
func TestMergeKeepsWhatIsOwed(t *testing.T) {
	follows := func(parent string) func(*Ticket) {
		return func(t *Ticket) { t.Parent = &Link{Relation: followUpOf, Ticket: parent, Number: "WB-" + parent} }
	}
	waits := func(t *Ticket) {
		t.Children = []Child{{ID: "c", Number: "WB-c", Kind: KindTask, Type: TypeDeliverVersion, State: New, Relation: followUpOf}}
	}
	said := func(more Facts) Facts {
		f := Facts{"security": "yes"}
		for n, w := range more {
			f[n] = w
		}
		return f
	}
	incident := side{kind: KindIncident, facts: Facts{"impact": "team"}}
	for name, c := range map[string]struct {
		from, into side
		want       []string // gate and a word of what is missing; empty: they are merged
		text       string   // of a refusal that is none of a gate
	}{
		"like and like":          {incident, incident, nil, ""},
		"an incident, a request": {incident, side{kind: KindRequest, typ: "setup"}, nil, "is an incident and cannot be merged into WB-b, which is a request: link them"},
		"an amendment, a query":  {side{KindRequest, "amendment", said(nil), nil}, side{KindRequest, "question", said(nil), nil}, nil, "type amendment and cannot be merged into WB-b of type question: link"},
		"untyped into a type":    {incident, side{kind: KindIncident, typ: "website-down"}, nil, ""},
		"a type into untyped":    {side{kind: KindIncident, typ: "website-down"}, incident, nil, "of type website-down and cannot be merged into WB-b of type none"},
		"chargeable into what is not": {side{KindRequest, "question", said(Facts{"chargeable": "yes"}), func(t *Ticket) { t.Chargeable, t.Order = yes, "4711" }},
			side{KindRequest, "question", said(nil), nil}, []string{"order-number", "chargeable: it is, and WB-b is not"}, ""},
		"both without an order": {side{KindRequest, "question", said(nil), func(t *Ticket) { t.Chargeable = yes }},
			side{KindRequest, "question", said(nil), func(t *Ticket) { t.Chargeable = yes }}, nil, ""},
		"an order there alone": {side{KindRequest, "question", said(nil), func(t *Ticket) { t.Chargeable = yes }},
			side{KindRequest, "question", said(nil), func(t *Ticket) { t.Chargeable, t.Order = yes, "4711" }}, []string{"order-number", "order: "}, ""},
		"against the security policy": {side{KindRequest, "question", Facts{"security": "no"}, nil}, side{KindRequest, "question", said(nil), nil},
			[]string{"security-policy", "merge: WB-b does not ask for that"}, ""},
		"no version into one":   {side{KindRequest, "change", said(nil), nil}, side{KindRequest, "change", said(Facts{"version": "4.1"}), nil}, []string{"versioned-change", "version: "}, ""},
		"no version, nor there": {side{KindRequest, "change", said(nil), nil}, side{KindRequest, "change", said(nil), nil}, nil, ""},
		"a change that was seen": {side{KindIncident, "", Facts{"service": "unversioned-change"}, func(t *Ticket) { t.Service = "unversioned-change" }}, incident,
			[]string{"seen-change", "version: "}, ""},
		"no documents, nor there":   {side{KindRequest, "amendment", said(nil), nil}, side{KindRequest, "amendment", said(nil), nil}, nil, ""},
		"objects of its own":        {side{KindRequest, "amendment", said(Facts{"objects": "Table 18"}), nil}, side{KindRequest, "amendment", said(nil), nil}, []string{"documents", "Table 18"}, ""},
		"a parent's follow-up":      {side{KindTask, TypeDeliverVersion, nil, follows("p")}, side{kind: KindTask, typ: TypeDeliverVersion}, []string{"follow-up", "parent: WB-p has this one as follow-up of"}, ""},
		"both of one parent":        {side{KindTask, TypeDeliverVersion, nil, follows("p")}, side{KindTask, TypeDeliverVersion, nil, follows("p")}, nil, ""},
		"a version to come":         {side{KindIncident, "", Facts{"version-exception": "yes"}, waits}, incident, []string{"version-follow-up", "WB-c is not done yet"}, ""},
		"a record that was skipped": {incident, side{KindIncident, "", nil, func(t *Ticket) { t.Owner = "developer"; t.Parts = fullRecord() }}, []string{"record", "symptoms"}, ""},
		"under other terms": {side{KindRequest, "change", said(nil), func(t *Ticket) { t.Terms = "old" }}, side{KindRequest, "change", said(nil), nil},
			[]string{"versioned-change", "version: "}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l, o := c.from.ticket(t, "a"), c.into.ticket(t, "b").ticket
			was := l.ticket.State
			done, err := l.try(Action{Verb: Merge, Text: "the same", Other: &o}, anna)
			var gate *GateError
			switch {
			case c.text != "":
				if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.text) {
					t.Fatalf("got %v, want %q", err, c.text)
				}
			case c.want != nil:
				if !errors.As(err, &gate) || gate.Gate != c.want[0] || !strings.Contains(strings.Join(gate.Missing, "; "), c.want[1]) {
					t.Fatalf("got %v, want gate %v", err, c.want)
				}
				if done.Ticket.State != was || done.Other != nil || len(done.Events) != 1 || done.Events[0].Kind != Refused {
					t.Errorf("the refusal changed more than it kept: %+v", done)
				}
			case err != nil || done.Ticket.State != Shut || done.Other == nil:
				t.Fatalf("not merged: %v", err)
			}
		})
	}
}

// fullRecord is a record that lacks nothing.
func fullRecord() map[Part]string {
	out := map[Part]string{}
	for _, p := range Parts {
		out[p] = "it is known"
	}
	return out
}

// TestMergePassesOnWhatIsToBeMonitored: a fault that a person reported first, that took long, or that somebody wants monitored
// asks for its monitoring task where it goes on.
func TestMergePassesOnWhatIsToBeMonitored(t *testing.T) {
	found := Facts{"first-to-know": FirstMonitoring}
	for name, c := range map[string]struct {
		from, into side
		fact, want string
	}{
		"a person knew of both":      {side{KindIncident, "", Facts{"first-to-know": FirstPerson}, func(t *Ticket) { t.Detected = true }}, side{KindIncident, "", found, func(t *Ticket) { t.Detected = true }}, "first-to-know", FirstPerson},
		"a report before the other":  {side{KindIncident, "", Facts{"first-to-know": FirstPerson}, nil}, side{KindIncident, "", found, func(t *Ticket) { t.ReceivedAt = t0.Add(time.Hour) }}, "first-to-know", FirstPerson},
		"a report after the other":   {side{KindIncident, "", Facts{"first-to-know": FirstPerson}, nil}, side{KindIncident, "", found, nil}, "first-to-know", FirstMonitoring},
		"a detected one known of":    {side{KindIncident, "", Facts{"first-to-know": FirstPerson}, func(t *Ticket) { t.ReceivedAt = t0.Add(time.Hour) }}, side{KindIncident, "", Facts{"first-to-know": FirstPerson}, func(t *Ticket) { t.Detected = true }}, "first-to-know", FirstPerson},
		"somebody asked":             {side{KindIncident, "", Facts{"first-to-know": FirstMonitoring, "monitoring": "asked"}, nil}, side{KindIncident, "", found, nil}, "monitoring", "asked"},
		"asked, and opened":          {side{KindIncident, "", Facts{"monitoring": "asked"}, func(t *Ticket) { t.Children = []Child{{ID: "m", Type: TypeMonitoring}} }}, side{KindIncident, "", found, nil}, "monitoring", ""},
		"it took long":               {side{KindIncident, "", found, func(t *Ticket) { t.StartedAt = t0.Add(-5 * time.Hour) }}, side{KindIncident, "", found, nil}, "monitoring", "asked"},
		"nothing that is to be kept": {side{KindIncident, "", found, nil}, side{KindIncident, "", found, nil}, "monitoring", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l, o := c.from.ticket(t, "a"), c.into.ticket(t, "b").ticket
			l.terms.Investigation = 4 * time.Hour
			o.Pinned = true
			done, err := l.try(Action{Verb: Merge, Text: "the same", Other: &o}, anna)
			if err != nil {
				t.Fatal(err)
			}
			into := done.Other.Ticket
			if got := into.Facts[c.fact]; got != c.want {
				t.Errorf("%s is %q, want %q", c.fact, got, c.want)
			}
			if !into.Pinned {
				t.Error("the merge took a priority back that a person had set outright")
			}
			blocked := into.Blocked(Close, anna, l.terms, l.now)
			asks := slices.ContainsFunc(blocked, func(g GateError) bool { return g.Gate == "monitoring" })
			if want := c.want == FirstPerson || c.want == "asked"; asks != want {
				t.Errorf("a monitoring task is asked for: %v, want %v", asks, want)
			}
		})
	}
}
