package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
)

func shipped(t testing.TB) *Book {
	t.Helper()
	b, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// agreed is a contract of one set.
func agreed(set string, say ...string) fleet.Contract {
	k := fleet.Contract{ID: "acme-2026", Customer: "acme", Sets: strings.Split(set, ","), At: "acme.yml:7"}
	for _, s := range say {
		key, value, _ := strings.Cut(s, "=")
		var err error
		if k, err = Agree(k, key, value); err != nil {
			panic(err)
		}
	}
	return k
}

func resolved(t testing.TB, b *Book, k fleet.Contract) Resolved {
	t.Helper()
	r, err := b.Resolve(Request{Customer: fleet.Customer{ID: "acme"}, Contract: &k})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

// What is offered, withdrawn, accepted and returned is told to clients by a letter each, and none of them asks for a decision
// that is not theirs.
func TestShippedLettersOfHandoffsSayWhatHappened(t *testing.T) {
	says := map[ticket.Kind]map[string]string{ // kind of event → to whom → what the letter has to say
		ticket.HandedOff:        {"offered": "Please accept or return it", "owner": "stays with you until they accept it"},
		ticket.HandoffWithdrawn: {"offered": "no longer asked to take over"},
		ticket.HandoffTaken:     {"offering": "is taken over"},
		ticket.HandoffBack:      {"offering": "and stays with you", "owner": "and stays with you"},
	}
	for _, s := range shipped(t).Sets() {
		found := map[ticket.Kind]bool{}
		for _, n := range s.Notices {
			for _, on := range n.On {
				for _, r := range n.To {
					want := says[ticket.Kind(on)][r.Party]
					if want == "" || n.Letter == "" {
						continue
					}
					found[ticket.Kind(on)] = true
					if text := s.Templates[n.Letter]; !strings.Contains(text, want) || strings.Contains(text, "decision") {
						t.Errorf("%s: notice %s on %s to %s says %q, want %q", s.Name, n.Name, on, r.Party, text, want)
					}
				}
			}
		}
		if s.Name != "default" && len(found) != len(says) {
			t.Errorf("%s: letters of handoffs for %v, want one for each of %d kinds", s.Name, found, len(says))
		}
	}
}

// Who asked for something that was refused is not told that it is solved, by any set.
func TestShippedLettersOfARefusalSayThatItIsOne(t *testing.T) {
	refused := ticket.Ticket{Opening: ticket.Opening{Number: "WB-7", Kind: ticket.KindRequest}, State: ticket.Done,
		Resolution: "refused: against the security policy", Work: ticket.Work{Facts: ticket.Facts{"declined": "yes"}}}
	mended := ticket.Ticket{Opening: ticket.Opening{Number: "WB-8", Kind: ticket.KindIncident}, State: ticket.Done}
	for _, s := range shipped(t).Sets() {
		for _, n := range s.Notices {
			if n.Template == "" || !slices.Contains(n.On, string(ticket.Resolved)) {
				continue
			}
			got, err := ticket.Message(s.Templates[n.Template], refused, ticket.MessageFacts{})
			if err != nil || !strings.Contains(got, "is refused.") || !strings.Contains(got, "against the security policy") ||
				strings.Contains(got, "solved") || strings.Contains(got, "done") || strings.Contains(got, "works") {
				t.Errorf("%s: a refusal is told as %q, %v", s.Name, got, err)
			}
			if got, err := ticket.Message(s.Templates[n.Template], mended, ticket.MessageFacts{}); err != nil || !strings.Contains(got, "is solved.") {
				t.Errorf("%s: a solution is told as %q, %v", s.Name, got, err)
			}
		}
	}
}

// The sets that ship are faultless, and so is what a check of them without any contract says.
func TestShippedSetsAreFaultless(t *testing.T) {
	b := shipped(t)
	if got := b.Check(fleet.Directory{}, at("2026-11-20T09:00:00Z")); len(got) > 0 {
		t.Errorf("%v", got)
	}
	want := []string{"customer-operations", "default", "erp-partner", "it-provider", "software-group", "web-host"}
	if diff := cmp.Diff(want, b.names()); diff != "" {
		t.Errorf("sets (-want +got):\n%s", diff)
	}
}

// The names that contracts, commands and documents use.
func TestShippedPriorities(t *testing.T) {
	b := shipped(t)
	for set, want := range map[string]string{
		"software-group": "P1 P2 P3", "erp-partner": "system-down high standard query", "web-host": "urgent high normal",
		"customer-operations": "blocker P1 P2 P3", "it-provider": "P1 P2 P3", "default": "P1 P2 P3",
	} {
		s, _ := b.Set(set)
		if got := strings.Join(s.Priorities, " "); got != want {
			t.Errorf("%s: %s, want %s", set, got, want)
		}
	}
}

func TestDefault(t *testing.T) {
	r, err := shipped(t).Resolve(Request{Customer: fleet.Customer{ID: "acme"}})
	if err != nil {
		t.Fatal(err)
	}
	for sev, want := range map[string]string{"critical": "P1", "warning": "P2", "info": "P3", "unheard-of": "P2"} {
		if got, _ := r.Ticket.Priority(ticket.Facts{"severity": sev}); got != want {
			t.Errorf("%s is %s, want %s", sev, got, want)
		}
	}
	if len(r.Ticket.Targets) > 0 || r.Ticket.Calendar.Name != "" {
		t.Errorf("clocks without a contract: %+v %+v", r.Ticket.Targets, r.Ticket.Calendar)
	}
	if r.Route.Default != "first level" || r.Route.Notices[0].To[0].Receiver != "all" || r.Ticket.ReopenFor != 24*time.Hour || r.Ticket.CloseAfter != 24*time.Hour {
		t.Errorf("%+v %+v", r.Route, r.Ticket)
	}
}

// clocksOf are the clocks of a ticket in words: "response 15m,business 2026-12-29T08:05:00Z".
func clocksOf(t *testing.T, r Resolved, q Question) []string {
	t.Helper()
	all, err := r.Explain(q)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, c := range all {
		if c.Breaches == c.Target.Inform {
			t.Errorf("%s: breaches %v, target %s", c.Clock, c.Breaches, c.Target.Text())
		}
		out = append(out, c.Clock+" "+c.Target.Text()+" "+c.Due.UTC().Format(time.RFC3339))
	}
	slices.Sort(out)
	return out
}

// What each set promises, kind of ticket by kind of ticket. The due instants of the worked examples were computed apart.
func TestShippedTargets(t *testing.T) {
	const (
		workday = "2026-11-18T10:00:00Z" // a Wednesday, within the hours of every set
		night   = "2026-11-21T03:00:00Z" // a Saturday, outside of all
	)
	type ask = Question
	for _, tc := range []struct {
		name, set string
		contract  []string
		q         Question
		at        string
		want      []string
	}{
		{"worked: system-down before Christmas", "erp-partner", nil, ask{Priority: "system-down"}, "2026-12-24T17:50:00Z",
			[]string{"access 4h,business 2026-12-29T11:50:00Z", "response 15m,business 2026-12-29T08:05:00Z"}},
		{"worked: high over the beginning of summer time", "erp-partner", nil, ask{Priority: "high"}, "2026-03-27T17:30:00Z",
			[]string{"resolution 8h,business 2026-03-30T14:30:00Z", "response 1h,business 2026-03-30T07:30:00Z"}},
		{"worked: 24x7 into summer time", "web-host", []string{"cover=24x7"}, ask{Priority: "urgent", Channel: "telephone"}, "2026-03-08T01:50:00-05:00",
			[]string{"resolution 24h,elapsed 2026-03-09T06:50:00Z", "response 20m,elapsed 2026-03-08T07:10:00Z"}},
		{"worked: 24x7 out of summer time", "web-host", []string{"cover=24x7"}, ask{Priority: "urgent", Channel: "telephone"}, "2026-11-01T01:50:00-04:00",
			[]string{"resolution 24h,elapsed 2026-11-02T05:50:00Z", "response 20m,elapsed 2026-11-01T06:10:00Z"}},
		{"worked: P3 on a Friday", "software-group", nil, ask{Priority: "P3"}, "2026-11-20T16:00:00Z",
			[]string{"next-business-day next-business-day,inform 2026-11-23T17:30:00Z", "response 8h,business 2026-11-23T15:30:00Z"}},

		{"P1", "software-group", nil, ask{Priority: "P1"}, workday, []string{"response 2h,business 2026-11-18T12:00:00Z"}},
		{"P2", "software-group", nil, ask{Priority: "P2"}, workday, []string{"response 4h,business 2026-11-18T14:00:00Z"}},

		{"query", "erp-partner", nil, ask{Priority: "query"}, workday, []string{"resolution 10,business-days 2026-12-02T10:00:00Z", "response 8h,business 2026-11-18T18:00:00Z"}},
		{"standard", "erp-partner", nil, ask{Priority: "standard"}, workday, []string{"resolution 1,business-days 2026-11-19T10:00:00Z", "response 2h,business 2026-11-18T12:00:00Z"}},
		{"training is a query", "erp-partner", nil, ask{Priority: "query", Type: "training"}, workday, []string{"resolution 10,business-days 2026-12-02T10:00:00Z", "response 8h,business 2026-11-18T18:00:00Z"}},
		{"an amendment has no clock", "erp-partner", nil, ask{Priority: "standard", Type: "amendment"}, workday, []string{}},
		{"nor has it one of the contract's", "erp-partner", []string{"target.query.response=4h,business"}, ask{Priority: "query", Type: "amendment"}, workday, []string{}},

		{"urgent", "web-host", nil, ask{Priority: "urgent"}, workday, []string{"resolution 24h,elapsed 2026-11-19T10:00:00Z"}},
		{"high", "web-host", nil, ask{Priority: "high"}, workday, []string{"resolution 48h,elapsed 2026-11-20T10:00:00Z"}},
		{"normal is scheduled", "web-host", nil, ask{Priority: "normal"}, workday, []string{}},
		{"e-mail", "web-host", nil, ask{Priority: "normal", Channel: "email"}, "2026-11-18T10:00:00-05:00", []string{"response 1,business-days 2026-11-19T15:00:00Z"}},
		{"e-mail of a 24x7 client", "web-host", []string{"cover=24x7"}, ask{Priority: "normal", Channel: "email"}, "2026-11-18T10:00:00-05:00", []string{"response 1,business-days 2026-11-19T15:00:00Z"}},
		{"on call, at night", "web-host", []string{"oncall=true"}, ask{Priority: "urgent", Channel: "on-call"}, night,
			[]string{"callback 1h,elapsed 2026-11-21T04:00:00Z", "resolution 24h,elapsed 2026-11-22T03:00:00Z"}},
		{"on call, within hours", "web-host", []string{"oncall=true"}, ask{Priority: "urgent", Channel: "on-call"}, "2026-11-18T15:00:00Z", []string{"resolution 24h,elapsed 2026-11-19T15:00:00Z"}},
		{"on call of a 24x7 client, within hours", "web-host", []string{"cover=24x7"}, ask{Priority: "urgent", Channel: "on-call"}, "2026-11-18T15:00:00Z",
			[]string{"resolution 24h,elapsed 2026-11-19T15:00:00Z", "response 20m,elapsed 2026-11-18T15:20:00Z"}},
		{"on call and 24x7, at night", "web-host", []string{"cover=24x7", "oncall=true"}, ask{Priority: "urgent", Channel: "on-call"}, night,
			[]string{"callback 1h,elapsed 2026-11-21T04:00:00Z", "resolution 24h,elapsed 2026-11-22T03:00:00Z", "response 20m,elapsed 2026-11-21T03:20:00Z"}},
		{"on call without the contract", "web-host", nil, ask{Priority: "urgent", Channel: "on-call"}, night, []string{"resolution 24h,elapsed 2026-11-22T03:00:00Z"}},
		{"web site down", "web-host", nil, ask{Priority: "urgent", Type: "website-down"}, night, []string{"resolution 24h,elapsed 2026-11-22T03:00:00Z", "restore 4h,elapsed 2026-11-21T07:00:00Z"}},
		{"server down", "web-host", nil, ask{Priority: "urgent", Type: "server-down"}, night, []string{"callback 1h,elapsed 2026-11-21T04:00:00Z", "resolution 24h,elapsed 2026-11-22T03:00:00Z"}},
		{"company file", "web-host", nil, ask{Priority: "urgent", Type: "company-file"}, night, []string{"callback 1h,elapsed 2026-11-21T04:00:00Z", "resolution 24h,elapsed 2026-11-22T03:00:00Z"}},
		{"password, lines busy", "web-host", nil, ask{Priority: "urgent", Type: "password", Facts: ticket.Facts{"lines-busy": "true"}}, night,
			[]string{"callback 1h,elapsed 2026-11-21T04:00:00Z", "resolution 24h,elapsed 2026-11-22T03:00:00Z"}},
		{"password, lines free", "web-host", nil, ask{Priority: "normal", Type: "password"}, night, []string{}},
		{"print, lines busy", "web-host", nil, ask{Priority: "normal", Type: "print", Facts: ticket.Facts{"lines-busy": "yes"}}, night, []string{"callback 1h,elapsed 2026-11-21T04:00:00Z"}},
		{"new account", "web-host", nil, ask{Priority: "normal", Type: "new-account"}, "2026-11-20T12:00:00-05:00", []string{"turnaround next-business-day 2026-11-24T01:00:00Z"}},
		{"post office", "web-host", nil, ask{Priority: "normal", Type: "post-office"}, "2026-11-20T12:00:00-05:00", []string{"turnaround 2,business-days 2026-11-24T17:00:00Z"}},
		{"virtual server", "web-host", nil, ask{Priority: "normal", Type: "virtual-server"}, "2026-11-20T12:00:00-05:00", []string{"turnaround 5,business-days 2026-11-27T17:00:00Z"}},
		{"physical server", "web-host", nil, ask{Priority: "normal", Type: "physical-server"}, "2026-11-20T12:00:00-05:00", []string{"turnaround 10,business-days 2026-12-04T17:00:00Z"}},
		{"fixed offset", "web-host", []string{"zone=UTC-05:00"}, ask{Priority: "normal", Type: "software"}, "2026-07-01T12:00:00-05:00", []string{"turnaround next-business-day 2026-07-03T01:00:00Z"}},

		{"the contract's targets", "customer-operations", []string{"target.P1.response=30m,elapsed", "target.P1.resolution=8h,business", "zone=Europe/London"}, ask{Priority: "P1"}, workday,
			[]string{"resolution 8h,business 2026-11-19T09:00:00Z", "response 30m,elapsed 2026-11-18T10:30:00Z"}},
		{"none for the others", "customer-operations", []string{"target.P1.response=30m,elapsed"}, ask{Priority: "P2"}, workday, []string{}},
		{"best effort", "it-provider", []string{"target.P1.response=2h,business,inform"}, ask{Priority: "P1"}, workday, []string{"response 2h,business,inform 2026-11-18T12:00:00Z"}},
		{"best effort by word", "it-provider", []string{"agreement=none", "target.P1.response=2h,business,inform"}, ask{Priority: "P1"}, workday, []string{"response 2h,business,inform 2026-11-18T12:00:00Z"}},
		{"agreed", "it-provider", []string{"agreement=A-77", "target.P1.response=2h,business"}, ask{Priority: "P1"}, workday, []string{"response 2h,business 2026-11-18T12:00:00Z"}},
		{"agreed, 24x7", "it-provider", []string{"agreement=A-77", "cover=24x7", "target.P1.response=2h,business"}, ask{Priority: "P1"}, night, []string{"response 2h,business 2026-11-21T05:00:00Z"}},

		{"another region", "erp-partner", []string{"region=GB-SCT"}, ask{Priority: "high"}, "2026-11-30T09:00:00Z",
			[]string{"resolution 8h,business 2026-12-01T16:00:00Z", "response 1h,business 2026-12-01T09:00:00Z"}},
		{"a target of the contract's", "erp-partner", []string{"target.high.response=30m,business"}, ask{Priority: "high"}, workday,
			[]string{"resolution 8h,business 2026-11-18T18:00:00Z", "response 30m,business 2026-11-18T10:30:00Z"}},
		{"the set that gives the targets decides", "erp-partner,it-provider", nil, ask{Priority: "high"}, workday,
			[]string{"resolution 8h,business 2026-11-18T18:00:00Z", "response 1h,business 2026-11-18T11:00:00Z"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := shipped(t)
			r := resolved(t, b, b.ForClocks(agreed(tc.set, tc.contract...)))
			tc.q.At = at(tc.at)
			if diff := cmp.Diff(tc.want, clocksOf(t, r, tc.q)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A ticket that is opened gets the clocks that are explained.
func TestExplainedClocksAreTheTickets(t *testing.T) {
	b := shipped(t)
	n := 0
	for _, set := range b.names() {
		for _, say := range [][]string{nil, {"cover=24x7", "oncall=true"}, {"agreement=A-1"}} {
			r := resolved(t, b, agreed(set, say...))
			terms, err := r.Ticket.Ready()
			if err != nil {
				t.Fatal(err)
			}
			for _, y := range append(terms.Types, ticket.Type{Kind: ticket.KindIncident}) {
				for _, channel := range []string{"telephone", "email", "on-call"} {
					for _, now := range []string{"2026-11-18T15:00:00Z", "2026-11-21T03:00:00Z"} {
						facts := ticket.Facts{"lines-busy": "true"}
						for _, ask := range y.Asks {
							facts[ask] = "said"
							if f, ok := fact(ask); ok && len(f.Words) > 0 {
								facts[ask] = f.Words[0]
							}
							if ask == "company-supplied" { // asked for by a type alone, and one of two words
								facts[ask] = "yes"
							}
						}
						c, err := ticket.Open(ticket.Birth{ID: "1", Number: "WB-1", Title: "t", Terms: terms, Owner: "o", Kind: y.Kind, Type: y.Name, Facts: facts,
							Report: &ticket.Report{By: "r", Channel: channel, ReceivedAt: at(now), Customer: "acme", Service: "s"}}, at(now))
						if err != nil {
							if !y.When.Holds(terms.Facts) || y.Kind == ticket.KindDelivery {
								continue
							}
							t.Fatalf("%s %s: %v", set, y.Name, err)
						}
						compareClocks(t, r, c.Ticket, Question{Priority: c.Ticket.Priority, Type: y.Name, Channel: channel, Facts: facts, At: at(now)})
						n++
					}
				}
			}
		}
	}
	if n < 1000 {
		t.Errorf("only %d tickets were compared", n)
	}
}

func compareClocks(t *testing.T, r Resolved, got ticket.Ticket, q Question) {
	t.Helper()
	all, err := r.Explain(q)
	if err != nil {
		t.Fatal(err)
	}
	var want, have []string
	for _, c := range all {
		want = append(want, fmt.Sprint(c.Clock, c.Target.Text(), c.Due.UTC()))
	}
	for _, c := range got.Clocks {
		have = append(have, fmt.Sprint(c.Name, c.Target.Text(), c.Due.UTC()))
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%s %+v: the ticket's clocks are not those explained (-explained +ticket):\n%s", r.Ticket.Policy, q, diff)
	}
}

// An explanation has no hole, and what counts in it is the target.
func TestExplanationsAddUp(t *testing.T) {
	b := shipped(t)
	r := resolved(t, b, agreed("erp-partner"))
	all, err := r.Explain(Question{Priority: "high", At: at("2026-12-24T16:30:00Z")})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		sum, last := time.Duration(0), c.Start
		for _, i := range c.Intervals {
			if !i.From.Equal(last) {
				t.Errorf("%s: a hole before %v", c.Clock, i.From)
			}
			if last = i.To; i.Counted {
				sum += i.To.Sub(i.From)
			}
		}
		if !last.Equal(c.Due) || sum != c.Target.Within || c.Mode != sla.Business {
			t.Errorf("%s ends %v, due %v; %v counted of %v", c.Clock, last, c.Due, sum, c.Target.Within)
		}
	}
}

// A workaround lowers a priority or leaves it: whatever else is said of a ticket, no shipped set makes it worse.
func TestWorkaroundNeverRaisesAPriority(t *testing.T) {
	b := shipped(t)
	lowered := map[string]int{}
	for _, set := range b.Sets() {
		terms := ticket.Terms{Priorities: set.Priorities}
		for _, c := range set.Classify {
			terms.Classes = append(terms.Classes, ticket.Class{When: c.When.compiled(), Priority: c.Priority, Because: c.Because})
		}
		for _, facts := range saidBy(set) {
			without, because := terms.Priority(facts)
			for _, word := range []string{"accepted", "proposed"} {
				facts["workaround"] = word
				with, why := terms.Priority(facts)
				delete(facts, "workaround")
				switch was, is := slices.Index(set.Priorities, without), slices.Index(set.Priorities, with); {
				case is < was:
					t.Errorf("%s: %v is %s (%s), and with a workaround %s: %s (%s)", set.Name, facts, without, because, word, with, why)
				case is > was:
					lowered[set.Name]++
				}
			}
		}
	}
	if lowered["web-host"] == 0 || len(lowered) != 1 {
		t.Errorf("a workaround lowers priorities in %v, want it in web-host", lowered)
	}
}

// saidBy are all tickets that a set's table of priorities can tell apart, but for the workaround: each of its facts with
// each word that a row names, with another and with none.
func saidBy(set Set) []ticket.Facts {
	words := map[string][]string{}
	for _, c := range set.Classify {
		for name, named := range c.When {
			for _, w := range named {
				if w = strings.TrimPrefix(w, "!"); name != "workaround" && !slices.Contains(words[name], w) {
					words[name] = append(words[name], w)
				}
			}
		}
	}
	all := []ticket.Facts{{}}
	for _, name := range slices.Sorted(maps.Keys(words)) {
		var more []ticket.Facts
		for _, f := range all {
			for _, w := range append([]string{"", "another"}, words[name]...) {
				next := maps.Clone(f)
				if w != "" {
					next[name] = w
				}
				more = append(more, next)
			}
		}
		all = more
	}
	return all
}
