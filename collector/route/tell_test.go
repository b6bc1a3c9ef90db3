package route

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/collector/ticket"
)

// incident is an open ticket of acme about iis on web1, found by monitoring.
func incident() ticket.Ticket {
	var t ticket.Ticket
	t.ID, t.Number, t.Kind, t.Customer, t.Asset, t.System = "id1", "WB-1001", "incident", "acme", "web1", "iis"
	t.Title, t.Owner, t.Priority, t.State, t.Detected, t.OpenedAt = "pool stopped", "hosting-provider", "P2", ticket.New, true, t0
	t.Facts = ticket.Facts{"environment": "production"}
	return t
}

// happened is a change of a ticket by one event, and the notice of it.
func happened(t ticket.Ticket, kind ticket.Kind, text string, d *ticket.Detail) (ticket.Change, ticket.Notice) {
	e := ticket.Event{Kind: kind, Text: text, Actor: ticket.Actor{Kind: ticket.Person, Name: "ivy"}, Detail: d}
	return ticket.Change{Ticket: t, Events: []ticket.Event{e}}, ticket.Notice{What: kind, Text: text}
}

func audience(t testing.TB, terms Terms, dir people) Audience {
	t.Helper()
	rotas, err := NewRotas([]Rota{week()}, nil, dir)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Audience{Policy: ticket.Terms{Priorities: []string{"P1", "P2", "P3"}}, Terms: terms, Directory: dir, Rotas: rotas,
		Message: func(template string, t ticket.Ticket, n ticket.Notice) (string, error) {
			if strings.Contains(template, "broken") {
				return "", errors.New("unknown placeholder {{expr}}")
			}
			return strings.ReplaceAll(template, "{{number}}", t.Number), nil
		}}.Ready()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// say writes tellings one per line: whom, through what, why.
func say(all []Telling) []string {
	var out []string
	for _, t := range all {
		line := t.To() + " → " + strings.Join(t.Receivers, "+")
		if t.All {
			line += "every receiver"
		}
		for _, p := range t.Also {
			line += " and " + p.ID
		}
		if t.Draft != nil {
			line += fmt.Sprintf("%q", t.Draft.Text)
		} else if t.External {
			line += fmt.Sprintf(" %q", t.Text)
		}
		out = append(out, line+" ["+t.Why+"]")
	}
	return out
}

func TestTell(t *testing.T) {
	handoff := &ticket.Detail{Handoff: &ticket.Handoff{From: "first-level", To: "second-level", Reason: "infrastructure"}}
	shared := desk()
	shared["acme/product-owner"] = []Person{{ID: "paul", Name: "Paul", Receivers: []string{"mail-dora"}}}
	twoWays := desk()
	twoWays["acme/product-owner"] = []Person{{ID: "paul", Name: "Paul", Receivers: []string{"mail-dora", "sms-paul"}}}
	mute := desk()
	mute["acme/product-owner"] = []Person{{ID: "paul", Name: "Paul", Email: "paul@acme.example"}}
	empty := people{}
	both := NoticeRule{Name: "escalated", On: []string{"handed_off"}, When: ticket.When{"environment": {"*"}, "internal": {"!yes"}},
		To: []Target{{Role: "delivery-manager"}, {Role: "product-owner"}}}
	for _, tt := range []struct {
		name   string
		rules  []NoticeRule
		dir    people
		tweak  func(*ticket.Ticket)
		kind   ticket.Kind
		detail *ticket.Detail
		want   []string
	}{
		{"delivery manager and product owner", []NoticeRule{both}, desk(), nil, ticket.HandedOff, handoff,
			[]string{"person:dora → mail-dora [notice escalated (delivery-manager)]", "person:paul → mail-paul [notice escalated (product-owner)]"}},
		{"not for no environment", []NoticeRule{both}, desk(), func(t *ticket.Ticket) { t.Facts = nil }, ticket.HandedOff, handoff, nil},
		{"nor for an internal handoff", []NoticeRule{both}, desk(), nil, ticket.HandedOff,
			&ticket.Detail{Handoff: &ticket.Handoff{Internal: true}}, nil},
		{"nor for another event", []NoticeRule{both}, desk(), nil, ticket.Opened, nil, nil},
		{"by the reason of the handoff", []NoticeRule{{Name: "why", On: []string{"*"}, When: ticket.When{"reason": {"infrastructure"}, "to": {"second-level"}, "event": {"handed_off"}, "by": {"person"}}, To: []Target{{Person: "tess"}}}},
			desk(), nil, ticket.HandedOff, handoff, []string{"person:tess → mail-tess [notice why]"}},
		{"one inbox for two is told once", []NoticeRule{both}, shared, nil, ticket.HandedOff, handoff,
			[]string{"person:dora → mail-dora and paul [notice escalated (delivery-manager)]"}},
		{"and a second way of one of them is used", []NoticeRule{both}, twoWays, nil, ticket.HandedOff, handoff,
			[]string{"person:dora → mail-dora [notice escalated (delivery-manager)]", "person:paul → sms-paul [notice escalated (product-owner)]"}},
		{"who has a role but no receiver cannot be told: the next, who was", []NoticeRule{both}, mute, nil, ticket.HandedOff, handoff,
			[]string{"person:dora → mail-dora [notice escalated (delivery-manager)]"}},
		{"a role nobody has", []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Role: "engineer"}}}}, desk(), nil, ticket.Opened, nil,
			[]string{"person:tess → mail-tess [notice n (team-leader, for nobody is engineer)]"}},
		{"and down the line", []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Role: "service-director"}}}}, desk(), nil, ticket.Opened, nil,
			[]string{"person:ada → mail-ada [notice n (administrator, for nobody is service-director, nor general-manager)]"}},
		{"nobody at all", []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Role: "engineer"}, {Person: "ghost"}}}}, empty, nil, ticket.Opened, nil,
			[]string{"all → every receiver [notice n: engineer, ghost reaches nobody]"}},
		{"a rule that reaches somebody needs no last resort", []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Person: "ghost"}, {Receiver: "ops"}}}}, empty, nil, ticket.Opened, nil,
			[]string{"receiver:ops → ops [notice n]"}},
		{"all, and by name within", []NoticeRule{{Name: "n", On: []string{"opened"}, To: []Target{{Role: "it-ops"}, {Receiver: "all"}}}}, desk(), nil, ticket.Opened, nil,
			[]string{"all → every receiver and ivy and ian [notice n]"}},
		{"twice by name", []NoticeRule{{Name: "n", On: []string{"opened"}, To: []Target{{Receiver: "ops"}, {Receiver: "ops"}}}, {Name: "m", On: []string{"*"}, To: []Target{{Receiver: "ops"}}}},
			desk(), nil, ticket.Opened, nil, []string{"receiver:ops → ops [notice n]"}},
		{"the owner, by the role of the party", []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Party: "owner"}}}}, desk(), nil, ticket.Opened, nil,
			[]string{"person:ivy → mail-ivy [notice n: hosting-provider (it-ops)]", "person:ian → mail-ian [notice n: hosting-provider (it-ops)]"}},
		{"the it provider is told of what was detected", []NoticeRule{{Name: "n", On: []string{"opened"}, When: ticket.When{"detected": {"yes"}}, To: []Target{{Party: "it-provider"}}}}, desk(), nil, ticket.Opened, nil,
			[]string{"person:ingo → mail-ingo [notice n: it-provider (it-provider-user)]"}},
		{"a party with nobody, one with another", []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Party: "hosting-provider"}}}},
			people{"acme/it-provider-user": {someone("ingo")}}, func(t *ticket.Ticket) { t.Facts = ticket.Facts{"model": "same-party"} }, ticket.Opened, nil,
			[]string{"person:ingo → mail-ingo [notice n: hosting-provider (it-provider-user)]"}},
		{"an owner that is a role", []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Party: "owner"}}}}, desk(),
			func(t *ticket.Ticket) { t.Owner = "support-manager" }, ticket.Opened, nil, []string{"person:sam → mail-sam [notice n: support-manager (support-manager)]"}},
		{"on call", []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Rota: "week"}}}}, desk(), nil, ticket.Opened, nil,
			[]string{"person:tess → mail-tess [notice n (on call: week)]"}},
		{"no such rota", []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Rota: "year"}}}}, desk(), nil, ticket.Opened, nil,
			[]string{"all → every receiver [notice n: year reaches nobody]"}},
		{"the assignee", []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Person: "assignee"}}}}, desk(), func(t *ticket.Ticket) { t.Assignee = "sam" }, ticket.Opened, nil,
			[]string{"person:sam → mail-sam [notice n (assignee)]"}},
		{"no assignee: the owner", []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Person: "assignee"}}}}, desk(), func(t *ticket.Ticket) { t.Owner = "it-provider" }, ticket.Opened, nil,
			[]string{"person:ingo → mail-ingo [notice n, for no assignee can be reached: it-provider (it-provider-user)]"}},
		{"a reporter the house cannot reach", []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Person: "reporter"}}}}, desk(), func(t *ticket.Ticket) { t.Reporter = "someone" }, ticket.Opened, nil,
			[]string{"person:dana → mail-dana [notice n (who can tell the reporter) (department-member)]", "person:dirk → mail-dirk [notice n (who can tell the reporter) (department-member)]"}},
		{"no rule", nil, desk(), nil, ticket.Opened, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			terms := boundary()
			terms.Notices = tt.rules
			tk := incident()
			if tt.tweak != nil {
				tt.tweak(&tk)
			}
			c, n := happened(tk, tt.kind, "it happened", tt.detail)
			got := audience(t, terms, tt.dir).Tell(c, n, t0)
			if d := cmp.Diff(tt.want, say(got)); d != "" {
				t.Error(d)
			}
			for _, one := range got {
				if one.Text != "it happened" || one.What != tt.kind || one.Item.Number != "WB-1001" || one.Item.Rank != 1 || !one.At.Equal(t0) {
					t.Errorf("telling says %+v", one)
				}
			}
		})
	}
}

func TestTellOutside(t *testing.T) {
	client := NoticeRule{Name: "client", On: []string{"opened"}, To: []Target{{Role: "client-owner-user"}}, Template: "ack"}
	reporter := NoticeRule{Name: "reporter", On: []string{"opened"}, To: []Target{{Person: "reporter"}}, Template: "ack"}
	team := NoticeRule{Name: "team", On: []string{"*"}, To: []Target{{Role: "it-ops"}}}
	waits := "\nA message to Clive Owen <clive@acme.example> (ack) waits to be sent."
	sender := []string{"person:dana → mail-dana [a draft waits (department-member)]", "person:dirk → mail-dirk [a draft waits (department-member)]"}
	for _, tt := range []struct {
		name   string
		rules  []NoticeRule
		drafts bool
		tweak  func(*ticket.Ticket, people, *Terms)
		want   []string
		suffix string
	}{
		{"a draft for the department", []NoticeRule{client}, true, nil,
			append(sender, `draft:Clive Owen <clive@acme.example> → "dear client, WB-1001" [notice client]`), waits},
		{"a draft though a way to the client is known", []NoticeRule{client}, true, func(_ *ticket.Ticket, dir people, _ *Terms) {
			dir["acme/client-owner-user"][0].Receivers = []string{"mail-clive"}
		},
			append(sender, `draft:Clive Owen <clive@acme.example> → "dear client, WB-1001" [notice client]`), waits},
		{"those inside hear of the draft in the same notice", []NoticeRule{client, team}, true, nil,
			[]string{"person:ivy → mail-ivy [notice team (it-ops)]", "person:ian → mail-ian [notice team (it-ops)]", sender[0], sender[1],
				`draft:Clive Owen <clive@acme.example> → "dear client, WB-1001" [notice client]`}, waits},
		{"nobody owns the customer: directly", []NoticeRule{client}, false, func(_ *ticket.Ticket, dir people, _ *Terms) {
			dir["acme/client-owner-user"][0].Receivers = []string{"mail-clive"}
		},
			[]string{`person:clive → mail-clive "dear client, WB-1001" [notice client]`}, ""},
		{"directly, but no way is known", []NoticeRule{client}, false, nil,
			append(sender, `draft:Clive Owen <clive@acme.example> → "dear client, WB-1001" [notice client]`), waits},
		{"nobody is recorded", []NoticeRule{client}, true, func(_ *ticket.Ticket, dir people, _ *Terms) { delete(dir, "acme/client-owner-user") },
			append(sender, `draft:client-owner-user (no addressee: choose one) → "dear client, WB-1001" [notice client]`), "\nA message to client-owner-user (no addressee: choose one) (ack) waits to be sent."},
		{"a reporter by name", []NoticeRule{reporter}, true, func(t *ticket.Ticket, _ people, _ *Terms) { t.Reporter = "Carla" },
			append(sender, `draft:Carla → "dear client, WB-1001" [notice reporter]`), "\nA message to Carla (ack) waits to be sent."},
		{"the same client by two rules hears once", []NoticeRule{client, {Name: "again", On: []string{"*"}, To: []Target{{Person: "clive"}}, Template: "ack"}}, true, nil,
			append(sender, `draft:Clive Owen <clive@acme.example> → "dear client, WB-1001" [notice client]`), waits},
		{"who was told inside gets no letter", []NoticeRule{reporter, team}, true, func(t *ticket.Ticket, _ people, _ *Terms) { t.Reporter = "ivy" },
			[]string{"person:ivy → mail-ivy [notice team (it-ops)]", "person:ian → mail-ian [notice team (it-ops)]"}, ""},
		{"a template that fails leaves an empty draft and says so", []NoticeRule{client}, true, func(_ *ticket.Ticket, _ people, terms *Terms) { terms.Templates["ack"] = "broken" },
			append(sender, `draft:Clive Owen <clive@acme.example> → "" [notice client]`), waits + " It could not be worded (unknown placeholder {{expr}}): write it by hand."},
		{"and never goes out directly", []NoticeRule{client}, false, func(_ *ticket.Ticket, dir people, terms *Terms) {
			dir["acme/client-owner-user"][0].Receivers = []string{"mail-clive"}
			terms.Templates = nil
		}, append(sender, `draft:Clive Owen <clive@acme.example> → "" [notice client]`), waits + " Its template is missing: write it by hand."},
		{"a draft that nobody of the department can send", []NoticeRule{client}, true, func(_ *ticket.Ticket, dir people, _ *Terms) {
			for key := range dir {
				if key != "acme/client-owner-user" {
					delete(dir, key)
				}
			}
		}, []string{"all → every receiver [a draft waits: department-member reaches nobody]", `draft:Clive Owen <clive@acme.example> → "dear client, WB-1001" [notice client]`}, waits},
	} {
		t.Run(tt.name, func(t *testing.T) {
			terms, dir, tk := boundary(), desk(), incident()
			terms.Notices, terms.Drafts, terms.Templates = tt.rules, tt.drafts, map[string]string{"ack": "dear client, {{number}}"}
			if tt.tweak != nil {
				tt.tweak(&tk, dir, &terms)
			}
			c, n := happened(tk, ticket.Opened, "pool stopped", nil)
			got := audience(t, terms, dir).Tell(c, n, t0)
			if d := cmp.Diff(tt.want, say(got)); d != "" {
				t.Error(d)
			}
			for _, one := range got {
				if !one.External && one.Text != "pool stopped"+tt.suffix {
					t.Errorf("%s is told %q, want %q", one.To(), one.Text, "pool stopped"+tt.suffix)
				}
			}
		})
	}
}

func TestTellAtNight(t *testing.T) {
	night := at(t, "2026-03-28T03:00:00Z")
	for _, tt := range []struct {
		name   string
		tweak  func(*ticket.Ticket, *Terms)
		until  string
		urgent bool
	}{
		{"waits for the morning", nil, "2026-03-28T07:00:00Z", false},
		{"a priority that is not quiet", func(t *ticket.Ticket, _ *Terms) { t.Priority = "P3" }, "", false},
		{"the worst is never put off, though it is named", func(t *ticket.Ticket, terms *Terms) { t.Priority, terms.Quiet.Priorities = "P1", []string{"P1"} }, "", true},
		{"nor what is urgent by name", func(_ *ticket.Ticket, terms *Terms) { terms.Urgent = []string{"P2"} }, "", true},
		{"nor a major incident", func(t *ticket.Ticket, _ *Terms) { t.Major = true }, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			terms, tk := boundary(), incident()
			terms.Quiet = &QuietHours{Zone: "Europe/London", From: "22:00", To: "07:00", Priorities: []string{"P2"}}
			terms.Notices = []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Role: "it-ops"}, {Receiver: "ops"}}},
				{Name: "c", On: []string{"*"}, To: []Target{{Role: "client-owner-user"}}, Template: "ack"}}
			terms.Drafts = true
			if tt.tweak != nil {
				tt.tweak(&tk, &terms)
			}
			c, n := happened(tk, ticket.Opened, "x", nil)
			a := audience(t, terms, desk())
			got := a.Tell(c, n, night)
			if len(got) != 6 {
				t.Fatalf("%d are told, want 6: %v", len(got), say(got))
			}
			for _, one := range got {
				want := at(t, tt.until)
				if one.Draft != nil {
					want = time.Time{} // it waits on the ticket anyway
				}
				if !one.NotBefore.Equal(want) || one.Urgent != tt.urgent {
					t.Errorf("%s not before %v, urgent %v; want %v, %v", one.To(), one.NotBefore, one.Urgent, want, tt.urgent)
				}
			}
			a.quiet = nil // as when Ready was not called
			if d := cmp.Diff(got, a.Tell(c, n, night)); d != "" {
				t.Error("without Ready it differs:", d)
			}
		})
	}
}

func TestRotaOutOfHours(t *testing.T) {
	r := week()
	r.Hours, r.Calendar = HoursOutside, office()
	team := r
	team.Name, team.People, team.Role = "team", nil, "it-ops"
	ghosts := week()
	ghosts.Name, ghosts.People, ghosts.Role = "ghosts", nil, "astronaut"
	rotas, err := NewRotas([]Rota{r, team, ghosts}, nil, desk())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		to   []Target
		want []string
	}{
		{"not its hours: others are told", []Target{{Rota: "week"}, {Receiver: "ops"}}, []string{"receiver:ops → ops [notice n]"}},
		{"not its hours: its role is not told either", []Target{{Rota: "team"}, {Receiver: "ops"}}, []string{"receiver:ops → ops [notice n]"}},
		{"not its hours, and nobody else", []Target{{Rota: "week"}}, []string{"all → every receiver [notice n: week reaches nobody]"}},
		{"nobody on call although somebody should be", []Target{{Rota: "ghosts"}, {Receiver: "ops"}}, []string{"receiver:ops → ops [notice n]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			terms := boundary()
			terms.Notices = []NoticeRule{{Name: "n", On: []string{"*"}, To: tt.to}}
			a := audience(t, terms, desk())
			a.Rotas = rotas
			c, n := happened(incident(), ticket.Opened, "x", nil)
			if d := cmp.Diff(tt.want, say(a.Tell(c, n, t0))); d != "" {
				t.Error(d)
			}
		})
	}
	terms := boundary()
	terms.Fallback = map[string]string{"astronaut": "it-ops"}
	terms.Notices = []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Rota: "ghosts"}}}}
	a := audience(t, terms, desk())
	a.Rotas = rotas
	c, n := happened(incident(), ticket.Opened, "x", nil)
	want := "person:ivy → mail-ivy [notice n (nobody on call: ghosts) (it-ops, for nobody is astronaut)]"
	if got := say(a.Tell(c, n, t0)); len(got) != 2 || got[0] != want {
		t.Errorf("got %v, want first %s", got, want)
	}
}

func TestFallbackRound(t *testing.T) {
	terms := boundary()
	terms.Fallback = map[string]string{"astronaut": "pilot", "pilot": "astronaut"}
	terms.Notices = []NoticeRule{{Name: "n", On: []string{"*"}, To: []Target{{Role: "astronaut"}}}}
	c, n := happened(incident(), ticket.Opened, "x", nil)
	want := []string{"all → every receiver [notice n: astronaut reaches nobody]"}
	if d := cmp.Diff(want, say(audience(t, terms, desk()).Tell(c, n, t0))); d != "" {
		t.Error(d)
	}
}

func TestSeveralEventsOfOneKind(t *testing.T) {
	terms := boundary()
	terms.Notices = []NoticeRule{{Name: "r", On: []string{"clock_breached"}, When: ticket.When{"what": {"response"}}, To: []Target{{Receiver: "a"}}},
		{Name: "s", On: []string{"clock_breached"}, When: ticket.When{"what": {"resolution"}}, To: []Target{{Receiver: "b"}}}}
	c := ticket.Change{Ticket: incident(), Events: []ticket.Event{
		{Kind: ticket.ClockBreached, Text: "response breached", Detail: &ticket.Detail{What: "response"}},
		{Kind: ticket.ClockBreached, Text: "resolution breached", Detail: &ticket.Detail{What: "resolution"}},
	}}
	a := audience(t, terms, desk())
	for text, want := range map[string]string{"response breached": "receiver:a", "resolution breached": "receiver:b"} {
		got := a.Tell(c, ticket.Notice{What: ticket.ClockBreached, Text: text}, t0)
		if len(got) != 1 || got[0].To() != want {
			t.Errorf("of %q %v are told, want %s", text, say(got), want)
		}
	}
}

// TestNobodyTwiceNeverNobody: whatever the rules and whoever there is, a rule that applies tells somebody, no person and no
// receiver is told twice, and everybody whom a rule reaches is among those told.
func TestNobodyTwiceNeverNobody(t *testing.T) {
	roles := []string{"engineer", "team-leader", "it-ops", "delivery-manager", "product-owner", "administrator", "client-owner-user", "general-manager"}
	targets := rapid.Custom(func(t *rapid.T) Target {
		return []Target{
			{Role: rapid.SampledFrom(roles).Draw(t, "role")}, {Person: rapid.SampledFrom([]string{"p1", "p2", "ghost", "assignee", "reporter"}).Draw(t, "person")},
			{Party: rapid.SampledFrom([]string{"owner", "it-provider", "developer", "nobody"}).Draw(t, "party")},
			{Receiver: rapid.SampledFrom([]string{"all", "r1", "r2", "r3"}).Draw(t, "receiver")}, {Rota: "week"},
		}[rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3, 4}).Draw(t, "kind")]
	})
	rapid.Check(t, func(t *rapid.T) {
		dir := people{}
		for i := range rapid.IntRange(0, 6).Draw(t, "people") {
			p := Person{ID: fmt.Sprint("p", i), Receivers: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"r1", "r2", "r3", "r4"}), 0, 3, rapid.ID[string]).Draw(t, "receivers")}
			key := "/" + rapid.SampledFrom(roles).Draw(t, "has")
			dir[key] = append(dir[key], p)
		}
		terms := boundary()
		terms.Drafts = rapid.Bool().Draw(t, "drafts")
		for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
			r := NoticeRule{Name: fmt.Sprint("n", i), On: []string{"*"}, To: rapid.SliceOfN(targets, 1, 3).Draw(t, "to")}
			if i > 0 && rapid.Bool().Draw(t, "outside") {
				r.Template = "ack"
			}
			terms.Notices = append(terms.Notices, r)
		}
		c, n := happened(incident(), ticket.Opened, "x", nil)
		got := Audience{Terms: terms, Directory: dir, Message: func(string, ticket.Ticket, ticket.Notice) (string, error) { return "dear", nil }}.Tell(c, n, t0)
		inside, persons, receivers := 0, map[string]bool{}, map[string]bool{}
		for _, one := range got {
			if one.Draft != nil {
				if len(one.Receivers) > 0 || one.All || one.Draft.To == "" {
					t.Fatalf("a draft that is sent, or goes to nobody: %+v", one)
				}
				continue
			}
			if !one.All && len(one.Receivers) == 0 {
				t.Fatalf("%+v goes nowhere", one)
			}
			if !one.External {
				inside++
			}
			for _, p := range append([]Person{one.Person}, one.Also...) {
				if p.ID != "" && persons[p.ID] {
					t.Fatalf("%s is told twice: %v", p.ID, say(got))
				}
				persons[p.ID] = true
			}
			for _, r := range one.Receivers {
				if receivers[r] && !one.External {
					t.Fatalf("%s is told twice: %v", r, say(got))
				}
				receivers[r] = true
			}
		}
		if inside == 0 {
			t.Fatalf("nobody is told: %v", say(got))
		}
	})
}
