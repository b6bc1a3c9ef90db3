package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/storetest"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// deskFleet is a customer under erp-partner, owned by a department, with people who can be told.
const deskFleet = `
people:
- {id: eve, name: Eve Engineer, receivers: [eve]}
- {id: tom, name: Tom Leader, receivers: [tom]}
- {id: sue, name: Sue Manager, receivers: [sue]}
- {id: dan, name: Dan Director, receivers: [dan]}
contacts:
- {role: engineer, person: eve}
- {role: team-leader, person: tom}
- {role: support-manager, person: sue}
- {role: quality-manager, person: sue}
- {role: service-director, person: dan}
- {role: account-manager, person: sue}
departments:
- {id: sas, name: SAS, contacts: [{role: department-member, person: sue}]}
customers:
- id: acme
  name: Acme
  zone: Europe/London
  department: sas
  contracts: [{id: acme-1, sets: [erp-partner]}]
  sites:
  - id: hq
    assets:
    - {name: web1, role: web server, criticality: high, environment: production}
    - {name: web2, support_ends: 2026-01-31}
- id: beta
  sites: [{id: main, assets: [{name: db1}]}]
`

// deskAt is a Tuesday within the hours of erp-partner.
var deskAt = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

// desk is a pipeline whose clock the test holds, on a store that runs every closure twice.
type desk struct {
	*pipeline
	t      *testing.T
	at     time.Time
	engine store.Engine
	book   *policy.Book
	fleet  fleet.Directory
}

func newDesk(t *testing.T) *desk { t.Helper(); return newDeskOf(t, deskFleet) }

func newDeskOf(t *testing.T, declared string) *desk {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "fleet.yml"), []byte(declared), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, at: deskAt, engine: storetest.NewMemory()}
	var err error
	if d.fleet, err = fleet.LoadDirectory(dir); err == nil {
		d.book, err = policy.Shipped()
	}
	if err != nil {
		t.Fatal(err)
	}
	d.restart()
	return d
}

// restart begins anew with what the store has.
func (d *desk) restart() {
	d.t.Helper()
	s, err := store.New(d.engine, store.Options{Now: func() time.Time { return d.at }})
	if err != nil {
		d.t.Fatal(err)
	}
	s = storetest.Rerun(s)
	registry := fleet.NewRegistry(store.Keeper(s), fleet.Options{})
	if err := registry.SetDirectory(d.fleet); err != nil {
		d.t.Fatal(err)
	}
	d.pipeline = &pipeline{store: s, fleet: registry, wake: func() {}, metrics: newMetrics(prometheus.NewRegistry()),
		log: slog.New(slog.DiscardHandler), now: func() time.Time { return d.at }}
	if err := d.agree(context.Background(), d.book); err != nil {
		d.t.Fatal(err)
	}
	d.evidence = gatherer{facts: newFacts(), fleet: registry, store: s, zones: d.zones,
		failing: func(string) []failing { return nil }, standing: func() []rules.Transition { return nil }}
	cfg := DefaultConfig()
	cfg.Web.ExternalURL = "https://watch.example"
	for _, name := range []string{"desk", "eve", "tom", "sue", "dan"} {
		cfg.Receivers = append(cfg.Receivers, notify.Receiver{Name: name})
	}
	d.tell(cfg)
}

func (d *desk) fire(asset, alert, severity string, state rules.State) {
	d.t.Helper()
	customer := map[string]string{"web1": "acme", "web2": "acme", "db1": "beta"}[asset]
	tr := rules.Transition{
		Origin: rules.Origin{ID: alert, Group: "g", Name: alert},
		From:   rules.Inactive,
		Alert: rules.Alert{Labels: labels.FromStrings("alertname", alert, "instance", asset, "customer", customer,
			"severity", severity, "service", "filesystem", "system", "server"),
			State: state, FirstBadAt: d.at, ActiveAt: d.at, FiredAt: d.at},
	}
	if state == rules.Inactive {
		tr.From, tr.Alert.EndedAt, tr.Alert.End = rules.Firing, d.at, rules.Recovered
	}
	if err := d.Commit(context.Background(), d.at, []rules.Transition{tr}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) ticket(ref string) (t ticket.Ticket) {
	d.t.Helper()
	d.view(func(tx store.Tx) (err error) { t, err = FindTicket(tx, ref); return err })
	return t
}

func (d *desk) view(fn func(store.Tx) error) {
	d.t.Helper()
	if err := d.store.View(context.Background(), fn); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) timeline(ref string) (line []ticket.Event) {
	t := d.ticket(ref)
	d.view(func(tx store.Tx) (err error) { line, err = tx.Timeline(t.ID); return err })
	if err := ticket.VerifyChain(line, t.Seq, t.Head); err != nil {
		d.t.Error(err)
	}
	return line
}

func (d *desk) kinds(ref string, of ticket.Kind) (found []ticket.Event) {
	for _, e := range d.timeline(ref) {
		if e.Kind == of {
			found = append(found, e)
		}
	}
	return found
}

// pass lets time pass until at, looking at every deadline on the way.
func (d *desk) pass(at time.Time) {
	d.t.Helper()
	for n := 0; ; n++ {
		next, err := d.elapse(context.Background())
		if err != nil || n > 1000 {
			d.t.Fatalf("after %d looks: %v", n, err)
		}
		switch {
		case next.IsZero() || next.After(at):
			if d.at = at; n > 0 && (next.IsZero() || next.After(at)) {
				return
			}
		case next.After(d.at):
			d.at = next
		}
	}
}

// told are the queued messages as RECEIVER WHAT, and takes them away.
func (d *desk) told() (out []string) {
	d.t.Helper()
	err := d.store.Update(context.Background(), "", func(tx store.Tx) error {
		out = nil
		all, err := tx.Messages(outbox.Queued, 1000)
		for _, m := range all {
			if m.NextAt.After(d.at) {
				continue
			}
			out = append(out, m.Receiver+" "+m.What)
			err = errors.Join(err, tx.DeleteMessage(m.ID))
		}
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func (d *desk) hears(want ...string) {
	d.t.Helper()
	if got := d.told(); !slices.Equal(got, want) {
		d.t.Errorf("at %s told %q, want %q", d.at.Format(time.RFC3339), got, want)
	}
}

func person(name string, roles ...string) ticket.By {
	return ticket.By{Actor: ticket.Actor{Kind: ticket.Person, Name: name}, Roles: roles}
}

func (d *desk) act(ref string, a ticket.Action, by ticket.By) ticket.Ticket {
	d.t.Helper()
	t, err := d.Act(context.Background(), ref, a, by)
	if err != nil {
		d.t.Fatalf("%s: %v", a.Verb, err)
	}
	return t
}

func (d *desk) open(b ticket.Birth) ticket.Ticket {
	d.t.Helper()
	t, err := d.Open(context.Background(), b, person("ann"))
	if err != nil {
		d.t.Fatal(err)
	}
	return t
}

// TestATicketIsOpenedUnderItsContract: terms, clocks, facts and owner are those of the customer's contract, and the
// document of its terms is kept; a customer without one has none of it.
func TestATicketIsOpenedUnderItsContract(t *testing.T) {
	d := newDesk(t)
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	d.fire("web2", "DiskFull", "warning", rules.Firing)
	d.fire("db1", "DiskFull", "critical", rules.Firing)
	one := d.ticket("WB-1001")
	if one.Policy != "erp-partner" || one.Priority != "high" || one.Owner != "support" || len(one.Clocks) != 2 {
		t.Errorf("policy %s, priority %s, owner %s, %d clocks", one.Policy, one.Priority, one.Owner, len(one.Clocks))
	}
	if c, _ := one.Clock("response"); !c.Due.Equal(deskAt.Add(time.Hour)) {
		t.Errorf("response due %v", c.Due)
	}
	for fact, want := range map[string]string{"contract": "acme-1", "department": "sas", "criticality": "high",
		"environment": "production", "role": "web server", "first-to-know": "monitoring"} {
		if one.Facts[fact] != want {
			t.Errorf("fact %s is %q, want %q", fact, one.Facts[fact], want)
		}
	}
	if two := d.ticket("WB-1002"); !strings.Contains(two.Unsupported, "2026-01-31") {
		t.Errorf("unsupported: %q", two.Unsupported)
	}
	if three := d.ticket("WB-1003"); three.Policy != policy.DefaultSet || len(three.Clocks) > 0 || three.Priority != "P1" {
		t.Errorf("without a contract: policy %s, priority %s, clocks %v", three.Policy, three.Priority, three.Clocks)
	}
	d.view(func(tx store.Tx) error {
		body, ok, err := tx.Terms(one.Terms)
		if err != nil || !ok {
			return fmt.Errorf("terms %s: %v, %w", one.Terms, ok, err)
		}
		res, err := policy.ReadDocument(body)
		if res.Ticket.Policy != "erp-partner" {
			t.Errorf("the document is of %s", res.Ticket.Policy)
		}
		queue, err2 := tx.Tickets(store.TicketFilter{Order: store.InQueue})
		var numbers []string
		for _, q := range queue {
			numbers = append(numbers, q.Number)
		}
		if want := []string{"WB-1003", "WB-1001", "WB-1002"}; !slices.Equal(numbers, want) {
			t.Errorf("the queue is %v, want %v", numbers, want)
		}
		return errors.Join(err, err2)
	})
}

// TestClocksAndLadder: what time makes true is recorded once, as of when it was due, and the ladder is climbed once, across
// restarts.
func TestClocksAndLadder(t *testing.T) {
	d := newDesk(t)
	d.fire("web1", "DiskFull", "critical", rules.Firing) // high: response 1 h, resolution 8 h
	d.hears("eve opened", "tom opened")
	d.pass(deskAt.Add(47 * time.Minute))
	d.hears()
	d.pass(deskAt.Add(48 * time.Minute)) // 80 % of an hour
	d.hears("eve clock_at_risk", "sue told", "tom clock_at_risk")
	d.restart()
	d.pass(deskAt.Add(50 * time.Minute))
	d.hears()
	d.at = deskAt.Add(75 * time.Minute) // nobody looked meanwhile
	d.restart()
	d.pass(d.at)
	d.hears("dan told", "eve clock_breached", "tom clock_breached")
	breaches := d.kinds("WB-1001", ticket.ClockBreached)
	if len(breaches) != 1 || !breaches[0].Detail.At.Equal(deskAt.Add(time.Hour)) {
		t.Errorf("breaches %+v", breaches)
	}
	if told := d.kinds("WB-1001", ticket.WasTold); len(told) != 2 {
		t.Errorf("%d rungs told, want 2", len(told))
	}
	d.restart()
	d.pass(deskAt.Add(90 * time.Minute))
	d.hears()
	if n := testutil.ToFloat64(d.metrics.desk.breaches.WithLabelValues("erp-partner", "response", "unacknowledged")); n != 0 {
		t.Errorf("%v breaches counted after a restart, want 0: counters begin anew", n)
	}
}

// TestATicketKeepsItsTerms: policies that are loaded later change no ticket; a person re-bases it.
func TestATicketKeepsItsTerms(t *testing.T) {
	d := newDesk(t)
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	before := d.ticket("WB-1001")
	body, err := os.ReadFile("../rules/policies/erp-partner/policy.yml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(body), `{priority: high, type: "!amendment", clock: response, within: "1h,business"`,
		`{priority: high, type: "!amendment", clock: response, within: "3h,business"`, 1)
	set, err := policy.Parse("erp-partner/policy.yml", []byte(strings.Replace(text, "version: 1", "version: 2", 1)))
	if err != nil {
		t.Fatal(err)
	}
	d.book = d.book.With(set)
	d.agreements.load(d.book)
	d.at = d.at.Add(10 * time.Minute)
	d.act("WB-1001", ticket.Action{Verb: ticket.Note, Text: "looked"}, person("eve"))
	d.restart() // its terms are read from the store
	d.act("WB-1001", ticket.Action{Verb: ticket.Note, Text: "looked again"}, person("eve"))
	after := d.ticket("WB-1001")
	if c, _ := after.Clock("response"); !c.Due.Equal(deskAt.Add(time.Hour)) || after.Terms != before.Terms {
		t.Errorf("response due %v under %s", c.Due, after.Terms)
	}
	moves, err := d.Moves(context.Background(), store.TicketFilter{})
	if err != nil || len(moves) != 1 || moves[0].Version != "2" {
		t.Fatalf("moves %+v, %v", moves, err)
	}
	based := d.act("WB-1001", ticket.Action{Verb: ticket.Rebase, Text: "the new contract"}, person("eve"))
	if c, _ := based.Clock("response"); !c.Due.Equal(deskAt.Add(3*time.Hour)) || based.PolicyVersion != "2" {
		t.Errorf("re-based: response due %v under version %s", c.Due, based.PolicyVersion)
	}
	if moves, err = d.Moves(context.Background(), store.TicketFilter{}); err != nil || len(moves) != 0 {
		t.Errorf("moves after re-basing %+v, %v", moves, err)
	}
	d.restart()
	d.act("WB-1001", ticket.Action{Verb: ticket.Note, Text: "and again"}, person("eve"))
}

// TestARefusalIsKept: what a gate refuses is an event of the ticket, and the caller has the gate's error.
func TestARefusalIsKept(t *testing.T) {
	d := newDesk(t)
	made := d.open(ticket.Birth{Type: "amendment", Title: "another report", Report: &ticket.Report{Customer: "acme", Channel: "email"}})
	d.act(made.Number, ticket.Action{Verb: ticket.Ack}, person("sue"))
	d.act(made.Number, ticket.Action{Verb: ticket.Set, Facts: ticket.Facts{"objects": "invoice"}}, person("sue"))
	d.act(made.Number, ticket.Action{Verb: ticket.Resolve, Text: "done"}, person("sue"))
	before := d.ticket(made.Number)
	_, err := d.Act(context.Background(), made.Number, ticket.Action{Verb: ticket.Close}, person("sue"))
	var gate *ticket.GateError
	if !errors.As(err, &gate) || gate.Gate != "amendment-documented" || !errors.Is(err, ticket.ErrRefused) {
		t.Fatalf("closed: %v", err)
	}
	after := d.ticket(made.Number)
	if after.Seq != before.Seq+1 || after.State != before.State || after.Refusals != before.Refusals+1 {
		t.Errorf("after the refusal: event %d, %s, %d refusals; before: event %d, %s, %d", after.Seq, after.State, after.Refusals,
			before.Seq, before.State, before.Refusals)
	}
	if n := testutil.ToFloat64(d.metrics.desk.refusals.WithLabelValues("amendment-documented")); n != 1 {
		t.Errorf("%v refusals counted", n)
	}
	if _, err = d.Act(context.Background(), made.Number, ticket.Action{Verb: ticket.Ack}, person("sue")); errors.As(err, &gate) && err == error(gate) || err == nil {
		t.Errorf("what the state does not allow: %v", err)
	}
	if again := d.ticket(made.Number); again.Seq != after.Seq {
		t.Errorf("an attempt that the state refused is kept")
	}
}

// TestBirthsAndParents: a change's tickets open with it, and the parent hears of their states.
func TestBirthsAndParents(t *testing.T) {
	d := newDesk(t)
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	d.act("WB-1001", ticket.Action{Verb: ticket.Monitor, What: "improve", Text: "the disk of web1"}, person("eve"))
	parent, child := d.ticket("WB-1001"), d.ticket("WB-1002")
	if child.Parent == nil || child.Parent.Ticket != parent.ID || child.Kind != ticket.KindTask || child.Customer != "acme" {
		t.Fatalf("child %+v of %+v", child.Opening, child.Parent)
	}
	if child.Title != "improve monitoring for WB-1001" {
		t.Errorf("the title %q, which the customer reads, has to be without the words of the house", child.Title)
	}
	if len(parent.Children) != 1 || parent.Children[0].Number != "WB-1002" || parent.Children[0].State != ticket.New {
		t.Errorf("the parent knows %+v", parent.Children)
	}
	d.act("WB-1002", ticket.Action{Verb: ticket.Ack}, person("eve"))
	d.act("WB-1002", ticket.Action{Verb: ticket.Resolve, Text: "done"}, person("eve"))
	if parent = d.ticket("WB-1001"); parent.Children[0].State != ticket.Done {
		t.Errorf("the parent knows %+v after the child is resolved", parent.Children)
	}
}

// TestAlertsFollowAMerge: what becomes of a merged ticket's alerts goes to the ticket that took it over.
func TestAlertsFollowAMerge(t *testing.T) {
	d := newDesk(t)
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	d.fire("web2", "DiskFull", "critical", rules.Firing)
	d.act("WB-1002", ticket.Action{Verb: ticket.Merge, Other: &ticket.Ticket{Opening: ticket.Opening{Number: "WB-1001"}}, Text: "one cause"}, person("eve"))
	if two := d.ticket("WB-1002"); two.State != ticket.Shut || two.Merged == nil {
		t.Fatalf("merged: %s, %+v", two.State, two.Merged)
	}
	if one := d.ticket("WB-1001"); one.Firing() != 2 {
		t.Errorf("%d alerts fire on the target, want 2", one.Firing())
	}
	d.at = d.at.Add(time.Minute)
	d.fire("web2", "DiskBrimful", "critical", rules.Firing)
	d.fire("web2", "DiskFull", "critical", rules.Inactive)
	d.fire("web2", "DiskBrimful", "critical", rules.Inactive)
	d.fire("web1", "DiskFull", "critical", rules.Inactive)
	if one := d.ticket("WB-1001"); one.State != ticket.Done || one.Firing() != 0 || len(one.Alerts) != 3 {
		t.Errorf("the target is %s with %d of %d alerts firing", one.State, one.Firing(), len(one.Alerts))
	}
	d.fire("web2", "DiskFull", "critical", rules.Firing) // the target is resolved: a ticket of its own
	if three := d.ticket("WB-1003"); three.Asset != "web2" || !three.State.Open() {
		t.Errorf("afterwards: %+v", three.Opening)
	}
}

// TestReportedAndDetected: at most one ticket is open per incident, and what a person reported is linked, not merged.
func TestReportedAndDetected(t *testing.T) {
	d := newDesk(t)
	made := d.open(ticket.Birth{Title: "no room", Report: &ticket.Report{Customer: "acme", Asset: "web1", Service: "filesystem",
		System: "server", Channel: "telephone", By: "Cleo"}})
	d.at = d.at.Add(5 * time.Minute)
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	reported, detected := d.ticket(made.Number), d.ticket("WB-1002")
	if reported.Site != "hq" || reported.Reporter != "Cleo" || reported.Key == detected.Key {
		t.Errorf("reported %+v", reported.Opening)
	}
	for _, one := range []ticket.Ticket{reported, detected} {
		if one.Facts[ticket.FactFirst] != ticket.FirstPerson || len(one.Links) != 1 {
			t.Errorf("%s: %s knew first, links %v", one.Number, one.Facts[ticket.FactFirst], one.Links)
		}
	}
	for what, r := range map[string]ticket.Report{"no customer": {}, "another's asset": {Customer: "beta", Asset: "web1"},
		"no asset": {Customer: "acme", Asset: "web9"}, "no site": {Customer: "acme", Site: "moon"}} {
		if _, err := d.Open(context.Background(), ticket.Birth{Title: "x", Report: &r}, person("ann")); !errors.Is(err, ticket.ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestDraftsForTheDepartment: what goes to a department's customer waits on the ticket for the department.
func TestDraftsForTheDepartment(t *testing.T) {
	d := newDesk(t)
	made := d.open(ticket.Birth{Title: "cannot print", Report: &ticket.Report{Customer: "acme", Channel: "telephone", By: "Cleo"}})
	d.hears("eve opened", "tom opened")
	d.at = d.at.Add(10 * time.Minute)
	acked := d.act(made.Number, ticket.Action{Verb: ticket.Ack}, person("eve"))
	if len(acked.Drafts) != 1 || acked.Drafts[0].To != "Cleo" || !strings.Contains(acked.Drafts[0].Text, made.Number) {
		t.Errorf("drafts %+v", acked.Drafts)
	}
	d.hears("sue acknowledged", "tom acknowledged")
}

// TestDigests: who was told a moment ago is told the rest as one, after a restart too; nothing is lost.
func TestDigests(t *testing.T) {
	d := newDesk(t)
	d.fire("web1", "DiskFull", "warning", rules.Firing)
	d.hears("eve opened", "tom opened")
	d.at = d.at.Add(10 * time.Second)
	d.fire("web2", "DiskFull", "warning", rules.Firing)
	d.at = d.at.Add(10 * time.Second)
	d.act("WB-1001", ticket.Action{Verb: ticket.Assign, To: "eve"}, person("tom"))
	d.hears()
	d.restart()
	d.pass(deskAt.Add(59 * time.Second))
	d.hears()
	d.pass(deskAt.Add(61 * time.Second))
	d.hears("eve digest", "tom opened")
	d.pass(deskAt.Add(5 * time.Minute))
	d.hears()
}

// TestWhatComesAgain: the next review opens when its time comes, once, whatever restarts; not beside one that is open.
func TestWhatComesAgain(t *testing.T) {
	d := newDesk(t)
	d.fleet.Customers[1].Contracts = []fleet.Contract{{ID: "beta-1", Sets: []string{"it-provider"}}}
	d.restart()
	d.pass(deskAt.Add(time.Second))
	opened := func() (n int) {
		d.view(func(tx store.Tx) error {
			all, err := tx.Tickets(store.TicketFilter{Type: "signal-review"})
			n = len(all)
			return err
		})
		return n
	}
	d.pass(deskAt.AddDate(0, 0, 7).Add(-time.Minute))
	if n := opened(); n != 0 {
		t.Fatalf("%d reviews after less than a week", n)
	}
	for range 3 {
		d.restart()
		d.pass(deskAt.AddDate(0, 0, 7).Add(time.Minute))
	}
	if n := opened(); n != 1 {
		t.Fatalf("%d reviews after a week, want 1", n)
	}
	d.at = deskAt.AddDate(0, 0, 30) // nothing ran for weeks, and the first is still open
	d.restart()
	d.pass(d.at)
	if n := opened(); n != 1 {
		t.Errorf("%d reviews while one is open", n)
	}
	d.view(func(tx store.Tx) error {
		r, ok, err := tx.Recurrence("beta/signal-review")
		if want := deskAt.AddDate(0, 0, 35); !ok || r.At.Before(d.at) || r.At.After(want.Add(time.Minute)) {
			t.Errorf("the next is %v, want by %v", r.At, want)
		}
		return err
	})
}

// TestOverrides: who is put on call is kept, checked and taken back.
func TestOverrides(t *testing.T) {
	d := newDesk(t)
	ctx := context.Background()
	for what, o := range map[string]route.Override{
		"no rota":   {Rota: "moon", Person: "eve", From: d.at, Until: d.at.Add(time.Hour)},
		"no person": {Rota: "moon", Person: "nobody", From: d.at, Until: d.at.Add(time.Hour)},
		"no end":    {Rota: "moon", Person: "eve", From: d.at},
	} {
		if _, err := d.Override(ctx, o, person("ann")); !errors.Is(err, ticket.ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := d.DropOverride(ctx, "none"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("dropping none: %v", err)
	}
	const rota = "web-host-on-call"
	night := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	onCall := func() string {
		who, _, _ := d.Rotas()[rota].OnDuty(night)
		return who
	}
	if onCall() != "eve" {
		t.Fatalf("%q is on call, want the only engineer", onCall())
	}
	made, err := d.Override(ctx, route.Override{Rota: rota, Person: "tom", From: night.Add(-time.Hour), Until: night.Add(time.Hour), Reason: "eve is ill"}, person("ann"))
	if err != nil || made.ID == "" || made.By != "ann" {
		t.Fatalf("%+v, %v", made, err)
	}
	if onCall() != "tom" {
		t.Errorf("%q is on call, want tom", onCall())
	}
	d.restart()
	if all := d.Overrides(); onCall() != "tom" || len(all) != 1 || all[0].Reason != "eve is ill" {
		t.Errorf("after a restart %q is on call, by %+v", onCall(), all)
	}
	if err := d.DropOverride(ctx, made.ID); err != nil || onCall() != "eve" {
		t.Errorf("after it is dropped %q is on call, %v", onCall(), err)
	}
}

// TestClientsAreNotOnCall: nobody of a client is put into a rota of the house; who is of both is of the house.
func TestClientsAreNotOnCall(t *testing.T) {
	declared := strings.NewReplacer("contacts:\n- {role: engineer", "- {id: cleo, name: Cleo Client, receivers: [cleo]}\n"+
		"- {id: adam, name: Adam Client, receivers: [cleo]}\n- {id: lou, name: Lou, receivers: [desk]}\ncontacts:\n- {role: engineer",
		"department: sas\n", "department: sas\n  contacts: [{role: client-owner-user, person: cleo}, {role: administrator, person: adam}, "+
			"{role: client-owner-user, person: tom}]\n").Replace(deskFleet)
	d := newDeskOf(t, declared)
	for who, want := range map[string]string{"cleo": "is of a client", "adam": "is of a client", "tom": "", "sue": "", "lou": ""} {
		made, err := d.Override(t.Context(), route.Override{Rota: "web-host-on-call", Person: who, From: d.at, Until: d.at.Add(time.Hour), Reason: "eve is ill"},
			person("ann"))
		switch {
		case want != "" && (!errors.Is(err, ticket.ErrRefused) || !strings.Contains(err.Error(), who+" "+want)):
			t.Errorf("%s: %v, want a refusal that says %q", who, err, want)
		case want == "" && (err != nil || made.ID == ""):
			t.Errorf("%s: %v", who, err)
		}
	}
	if n := len(d.Overrides()); n != 3 {
		t.Errorf("%d overrides are kept, want 3", n)
	}
}

// TestTicketsOfAnOlderReleaseLineUp: open tickets without a place get theirs after a start.
func TestTicketsOfAnOlderReleaseLineUp(t *testing.T) {
	d := newDesk(t)
	err := d.store.Update(context.Background(), "", func(tx store.Tx) error {
		for n, severity := range []string{"info", "critical"} {
			made, line := storetest.Birth(1001+n, fmt.Sprint("key ", n), deskAt)
			made.Priority = map[string]string{"info": "P3", "critical": "P1"}[severity]
			if err := tx.CreateTicket(made, line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d.pass(deskAt.Add(time.Second))
	d.view(func(tx store.Tx) error {
		left, err := tx.Unplaced(0)
		queue, err2 := tx.Tickets(store.TicketFilter{Order: store.InQueue})
		if len(left) > 0 || len(queue) != 2 || queue[0].Number != "WB-1002" {
			t.Errorf("%d without a place, the queue is %v", len(left), queue)
		}
		return errors.Join(err, err2)
	})
}

// TestDeskMetricsAreWellNamed: promtool would find nothing to say of them.
func TestDeskMetricsAreWellNamed(t *testing.T) {
	d := newDesk(t)
	reg := prometheus.NewPedanticRegistry()
	d.metrics = newMetrics(reg)
	reg.MustRegister(&clockGauges{store: d.store, now: d.now}, &tallyGauges{d.store})
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	d.pass(deskAt.Add(2 * time.Hour))
	d.act("WB-1001", ticket.Action{Verb: ticket.Ack}, person("eve"))
	d.act("WB-1001", ticket.Action{Verb: ticket.WaitFor, What: "supplier", Text: "a new disk"}, person("eve"))
	d.at = d.at.Add(time.Hour)
	d.act("WB-1001", ticket.Action{Verb: ticket.Resume}, person("eve"))
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	for name, want := range map[string]string{
		"watchbill_sla_breaches_total":           `watchbill_sla_breaches_total{clock="response",policy="erp-partner",reason="unacknowledged"} 1`,
		"watchbill_ticket_waiting_seconds_total": `watchbill_ticket_waiting_seconds_total{reason="supplier"} 3600`,
		"watchbill_first_to_know": `watchbill_first_to_know{who="monitoring"} 1
watchbill_first_to_know{who="person"} 0`,
		"watchbill_sla_clocks": `watchbill_sla_clocks{clock="resolution",policy="erp-partner",state="running"} 1
watchbill_sla_clocks{clock="response",policy="erp-partner",state="met_late"} 1`,
	} {
		text, err := testutil.CollectAndFormat(reg, expfmt.TypeTextPlain, name)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s, %v\nwant %s", text, err, want)
		}
	}
}
