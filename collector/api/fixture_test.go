package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/history/remote"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/bolt"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// house is a collector's rooms around an API: a real store, registry and window, a desk over the store, scripted rules.
type house struct {
	t       testing.TB
	store   store.Store
	fleet   *fleet.Registry
	window  *window.Window
	rules   *scriptedRules
	opts    Options
	api     *API
	handler http.Handler
	// tokens by role.
	tokens map[fleet.Role]string
	resent int
	backup func(context.Context) (Download, error)
	ready  []string
	reload error
	// nextStart is what a reload leaves to the next start, warnings what it finds about the rules.
	nextStart, warnings []string
}

type scriptedRules struct {
	alerts, resolved []evaluate.Standing
	groups           []evaluate.GroupStatus
}

func (s *scriptedRules) Alerts() []evaluate.Standing    { return s.alerts }
func (s *scriptedRules) Resolved() []evaluate.Standing  { return s.resolved }
func (s *scriptedRules) Groups() []evaluate.GroupStatus { return s.groups }

// newHouse is a house with one customer, two sites, three assets, an operator per role and nothing else.
func newHouse(t testing.TB, change ...func(*Options)) *house {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store"), bolt.Options{Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	noBackup := func(context.Context) (Download, error) { return Download{}, store.ErrFull }
	h := &house{t: t, store: s, backup: noBackup, window: window.New(window.Options{}), rules: &scriptedRules{}, tokens: map[fleet.Role]string{}}
	h.fleet = fleet.NewRegistry(store.Keeper(s), fleet.Options{Now: func() time.Time { return noon }, AgentAddress: "collector.example:9721"})
	if err := h.fleet.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.fleet.SetDirectory(fleet.Directory{People: []fleet.Person{{ID: "ann", Name: "Ann", Receivers: []string{"ann-phone"}},
		{ID: "bob", Name: "Bob", Receivers: []string{"bob-phone"}}}, Customers: []fleet.Customer{{ID: "acme", Name: "Acme Ltd", Sites: []fleet.Site{
		{ID: "berlin", Assets: []fleet.Asset{{Name: "web1", Role: "web server of the shop", Users: 40}, {Name: "db1"}}},
		{ID: "paris", Assets: []fleet.Asset{{Name: "web2"}}},
	}}, shop()}}); err != nil {
		t.Fatal(err)
	}
	for _, role := range fleet.Roles() {
		h.add(fleet.NewOperator{Name: "the-" + string(role), Roles: []fleet.Role{role}, By: "test"})
	}
	d := newDesk(t, s, h.fleet)
	h.opts = Options{
		Store: s, Desk: d, Terms: d, OnCall: d, Silencer: &quiet{}, Fleet: h.fleet, Rules: h.rules, Window: h.window, Gatherer: prometheus.NewRegistry(),
		Ready: func() []string { return h.ready },
		Reload: func(context.Context) (Reloaded, error) {
			return Reloaded{Reloaded: h.reload == nil, NextStart: h.nextStart, Warnings: h.warnings}, h.reload
		},
		Resent: func() { h.resent++ }, Receivers: func() map[string]bool { return map[string]bool{"mail": true, "am": false} },
		Backup: func(ctx context.Context) (Download, error) { return h.backup(ctx) },
		Build:  Build{Version: "v0.1.0", Revision: "0123abc", GoVersion: "go1.26", Platform: "linux/amd64"}, Incarnation: 7,
		Engines: func() []remote.Status {
			return []remote.Status{{Name: "mimir", URL: "https://mimir.example/api/v1/push", Shards: 1, PendingSamples: 1200, LagSeconds: 42,
				SentAt: noon.Add(-time.Minute), LastError: "503 Service Unavailable", ErrorAt: noon.Add(-time.Second)}}
		},
		StoragePath: "/var/lib/watchbill", AgentAddress: "collector.example:9721",
		Now: func() time.Time { return noon }, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, f := range change {
		f(&h.opts)
	}
	h.api = New(h.opts)
	h.handler = h.api.Handler()
	return h
}

// add adds an operator, whose token is filed under the name.
func (h *house) add(n fleet.NewOperator) fleet.Role {
	h.t.Helper()
	token, err := h.fleet.AddOperatorWith(h.t.Context(), n)
	if err != nil {
		h.t.Fatal(err)
	}
	key := fleet.Role(strings.TrimPrefix(n.Name, "the-"))
	h.tokens[key] = token
	return key
}

// everyRole adds an operator of each contact role; those who see nothing without a scope get that of acme.
func (h *house) everyRole() {
	h.t.Helper()
	for _, role := range fleet.ContactRoles() {
		n := fleet.NewOperator{Name: "the-" + string(role), Roles: []fleet.Role{role}, By: "test"}
		switch role {
		case fleet.DepartmentMember, fleet.ClientOwnerUser, fleet.ITProviderUser, fleet.Administrator:
			n.Scope.Customer = "acme"
		}
		h.add(n)
	}
}

// shop is a customer with a contract, whose server runs out of support.
func shop() fleet.Customer {
	return fleet.Customer{ID: "shop", Name: "The Shop", Zone: "Europe/London",
		Contracts:    []fleet.Contract{{ID: "shop-2026", Sets: []string{"nights"}, Entitled: "2026-01-01"}},
		Applications: []fleet.Application{{Name: "Ledger", Version: "9", SupportEnds: "2025-12-31", Responsible: "ann"}},
		Sites: []fleet.Site{{ID: "leeds", Assets: []fleet.Asset{{Name: "erp1", Environment: fleet.Production, SupportEnds: "2026-12-31", Responsible: "bob",
			Versions: map[string]string{"os": "Windows Server 2016"}}}}}}
}

// do sends a request with a role's token; an empty role sends none.
func (h *house) do(role fleet.Role, method, path, body string) *httptest.ResponseRecorder {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), method, path, strings.NewReader(body))
	if role != "" {
		r.Header.Set("Authorization", "Bearer "+h.tokens[role])
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w
}

// want sends a request as administrator and fails the test when the answer has another status.
func (h *house) want(status int, method, path, body string) string {
	h.t.Helper()
	w := h.do(fleet.Admin, method, path, body)
	if w.Code != status {
		h.t.Fatalf("%s %s answered %d, want %d:\n%s", method, path, w.Code, status, w.Body)
	}
	return w.Body.String()
}

// desk does what the collector's pipeline does with a person's action, without messages, under the shipped policies.
type desk struct {
	store store.Store
	fleet *fleet.Registry
	book  *policy.Book
	// overrides are those of a test's making; rotas those of the book with them.
	overrides *[]route.Override
}

func newDesk(t testing.TB, s store.Store, f *fleet.Registry) desk {
	t.Helper()
	book, err := policy.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Parse("nights.yml", []byte(nightRota))
	if err != nil {
		t.Fatal(err)
	}
	return desk{s, f, book.With(set), &[]route.Override{}}
}

// nightRota is a policy set of these tests alone, so that their answers do not change with the sets that ship.
const nightRota = `
name: nights
version: "1"
description: a counter with somebody on call at night
calendar:
  zone: Europe/London
  hours: {mon-fri: "09:00-17:30"}
  region: GB-ENG
agreement: standard
priorities: [P1, P2]
classify:
  - {when: {impact: business}, priority: P1, because: the whole business}
  - {priority: P2, because: nothing else applies}
clocks:
  response: {met_by: [ack, callback, resolve], not_needed: true}
  resolution: {met_by: [resolve]}
targets:
  - {priority: P1, clock: response, within: "1h,elapsed"}
  - {priority: P2, clock: response, within: "8h,business"}
  - {priority: P2, clock: resolution, within: "2,business-days"}
at_risk: 80%
types:
  question: {kind: request, title: Question}
  deviation: {kind: task, title: Deviation, asks: [policy]}
compliance:
  patches: {title: Patches are in place, systems: [patching]}
owner: first level
parties:
  first level: {role: technical-operation}
notices:
  - {name: everybody, on: ["*"], to: [{receiver: all}]}
rotas:
  nights:
    zone: Europe/London
    people: [ann, bob]
    start: 2026-11-16T09:00:00Z
    every: 1w
reopen_window: 24h
close_after: 24h
`

func (d desk) Policies() *policy.Book { return d.book }

func (d desk) Terms(customer string) (policy.Resolved, error) {
	c, _ := d.fleet.Customer(customer)
	q := policy.Request{Customer: c}
	if k, ok := d.fleet.ContractAt(customer, noon); ok {
		q.Contract = &k
	}
	res, err := d.book.Resolve(q)
	if err != nil {
		return res, err
	}
	if res.Ticket.Digest, _, err = res.Document(); err != nil {
		return res, err
	}
	res.Ticket, err = res.Ticket.Ready()
	return res, err
}

func (d desk) TermsOf(_ store.Tx, t ticket.Ticket) (policy.Resolved, error) {
	return d.Terms(t.Customer)
}

func (d desk) Moves(ctx context.Context, f store.TicketFilter) (out []ticket.Move, err error) {
	f.Order = store.InQueue
	err = d.store.View(ctx, func(tx store.Tx) error {
		all, err := tx.Tickets(f)
		for _, t := range all {
			res, err := d.Terms(t.Customer)
			if err != nil {
				return err
			}
			if m, moves := t.Moved(res.Ticket, noon); moves {
				out = append(out, m)
			}
		}
		return err
	})
	return out, err
}

// people is the fleet as routing asks it.
type people struct{ fleet *fleet.Registry }

func (p people) Contacts(string, string) []route.Person { return nil }

// Side implements route.Directory: all of the fixture are of the house.
func (people) Side(route.Person) route.Side { return route.House }

func (p people) Person(id string) (route.Person, bool) {
	one, ok := p.fleet.Person(id)
	return route.Person{ID: one.ID, Name: one.Name, Receivers: one.Receivers}, ok
}

func (d desk) Rotas() route.Rotas {
	rotas, err := route.NewRotas(d.book.Rotas(), *d.overrides, people{d.fleet})
	if err != nil {
		panic(err)
	}
	return rotas
}

func (d desk) Overrides() []route.Override { return *d.overrides }

func (d desk) Override(_ context.Context, o route.Override, by ticket.By) (route.Override, error) {
	o.ID, o.By, o.At = "20261121t120000.000-abcdef", by.Name, noon
	if err := o.Validate(); err != nil {
		return o, fmt.Errorf("%w: %w", ticket.ErrRefused, err)
	}
	*d.overrides = append(*d.overrides, o)
	return o, nil
}

func (d desk) DropOverride(_ context.Context, id string) error {
	n := len(*d.overrides)
	*d.overrides = slices.DeleteFunc(*d.overrides, func(o route.Override) bool { return o.ID == id })
	if len(*d.overrides) == n {
		return store.ErrNotFound
	}
	return nil
}

func (d desk) Intakes(context.Context) ([]policy.IntakeState, error) {
	return []policy.IntakeState{{Name: "post", Set: "nights", Within: "1,business-days", Type: "question", ReadAt: &noon, By: "ann",
		Due: noon.AddDate(0, 0, 3)}}, nil
}

func (d desk) ReadIntake(ctx context.Context, name string, by ticket.By) (policy.IntakeState, error) {
	all, err := d.Intakes(ctx)
	if name != "post" {
		return policy.IntakeState{}, fmt.Errorf("intake %q: %w", name, store.ErrNotFound)
	}
	all[0].By = by.Name
	return all[0], err
}

func (d desk) StandsFor(tx store.Tx, t ticket.Ticket, by ticket.By) ([]string, error) {
	res, err := d.TermsOf(tx, t)
	return route.Audience{Terms: res.Route, Directory: people{d.fleet}, Rotas: d.Rotas()}.StandsFor(t, by.Person, by.Roles, noon), err
}

func (d desk) RateByLink(context.Context, string, string, int, string) error {
	return ticket.ErrRefused
}

func (d desk) Open(ctx context.Context, b ticket.Birth, by ticket.By) (ticket.Ticket, error) {
	var out ticket.Ticket
	if b.Report.By == "" {
		b.Report.By = by.Name
	}
	res, err := d.Terms(b.Report.Customer)
	if err != nil {
		return out, err
	}
	err = d.store.Update(ctx, "", func(tx store.Tx) error {
		n, err := tx.NextNumber()
		if err != nil {
			return err
		}
		b.ID, b.Number, b.Terms, b.Owner = fmt.Sprintf("t-%d", n+1000), fmt.Sprintf("WB-%d", n+1000), res.Ticket, "first-level"
		b = b.SaidBy(by)
		b.Facts = policy.KnownOf(d.fleet, b.Report.Customer, b.Report.Asset, b.Facts, noon)
		c, err := ticket.Open(b, noon)
		if err != nil {
			return err
		}
		out = c.Ticket
		return keep(tx, c)
	})
	return out, err
}

func (d desk) Act(ctx context.Context, ref string, a ticket.Action, by ticket.By) (ticket.Ticket, error) {
	var out ticket.Ticket
	var gate *ticket.GateError
	err := d.store.Update(ctx, "", func(tx store.Tx) error {
		t, err := findTicket(tx, ref)
		if err != nil {
			return err
		}
		res, err := d.Terms(t.Customer)
		if err != nil {
			return err
		}
		c, err := t.Act(a, by, res.Ticket, noon.Add(time.Minute))
		if err != nil && !errors.As(err, &gate) {
			return err
		}
		out = c.Ticket
		if err := keep(tx, c); err != nil {
			return err
		}
		if c.Other != nil {
			return keep(tx, *c.Other)
		}
		return nil
	})
	if err == nil && gate != nil {
		return out, gate
	}
	return out, err
}

func keep(tx store.Tx, c ticket.Change) error {
	if c.Before == 0 {
		if err := tx.CreateTicket(c.Ticket, c.Events); err != nil {
			return err
		}
	} else if err := tx.AppendTicket(c.Before, c.Ticket, c.Events); err != nil {
		return err
	}
	for seq, body := range c.Bodies {
		if err := tx.PutEvidence(c.Ticket.ID, seq, body); err != nil {
			return err
		}
	}
	return nil
}

func fileSystemAlert(asset string) incident.Alert {
	return incident.Alert{
		ID: "rule1-" + asset, Name: "FilesystemFull", Source: "rule linux/FilesystemFull", Expr: "node_filesystem_avail_bytes < 1",
		Severity: incident.Critical, Service: "filesystem", System: "os", Customer: "acme", Site: "berlin", Asset: asset,
		Labels:      map[string]string{"alertname": "FilesystemFull", "instance": asset, "mountpoint": "/"},
		Annotations: map[string]string{"summary": "File system / of " + asset + " is full"},
		Value:       0.5, FirstBadAt: noon.Add(-20 * time.Second), ActiveAt: noon.Add(-15 * time.Second), FiredAt: noon.Add(-15 * time.Second),
	}
}

// openTicket puts one whole ticket about asset into the store.
func (h *house) openTicket(n int, asset string) ticket.Ticket {
	h.t.Helper()
	return h.openTicketFor(n, asset, fileSystemAlert(asset).ID)
}

// openTicketFor is openTicket for the alert with this ID.
func (h *house) openTicketFor(n int, asset, alertID string) ticket.Ticket {
	h.t.Helper()
	alert := fileSystemAlert(asset)
	alert.ID = alertID
	number := fmt.Sprintf("WB-%d", n)
	entry := func(text string) []ticket.Entry {
		return []ticket.Entry{{Text: text, Source: "agent " + asset, At: noon.Add(-10 * time.Second)}}
	}
	c, err := ticket.Open(ticket.Birth{
		ID: "t-" + asset, Number: number, Title: "File system / of " + asset + " is full", Alert: alert,
		Owner: "first level", Terms: ticket.Terms{Policy: "default", Version: "1", ReopenFor: 24 * time.Hour, CloseAfter: 24 * time.Hour,
			Priorities: []string{"P1"}},
		Evidence: []ticket.Evidence{
			{Part: ticket.PartTime, Salt: "s1", Entries: entry("first bad sample 2026-11-21T11:59:40Z")},
			{Part: ticket.PartSymptoms, Salt: "s2", Entries: []ticket.Entry{{
				Text: "the last hour", Source: "history", At: noon,
				Series: &ticket.Series{Name: "node_filesystem_avail_bytes", Points: [][2]float64{{1763722800, 5}, {1763726400, 0.5}}}}}},
			{Part: ticket.PartUsers, Salt: "s3", Entries: []ticket.Entry{{Text: "sessions", Source: "agent " + asset, At: noon,
				Table: &ticket.Table{Columns: []string{"user", "terminal"}, Rows: [][]string{{"root", "pts/0"}}}}}},
			{Part: ticket.PartErrors, Salt: "s4", None: "no unit has failed"},
			{Part: ticket.PartActions, Salt: "s5", None: "nothing was done yet"},
		},
	}, noon.Add(-10*time.Second+time.Duration(n-1001)*time.Millisecond))
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.store.Update(h.t.Context(), "", func(tx store.Tx) error { return keep(tx, c) }); err != nil {
		h.t.Fatal(err)
	}
	return c.Ticket
}

// report lets an asset report a block of series at a time.
func (h *house) report(asset string, at time.Time, status window.Status, series map[string]float64) {
	h.t.Helper()
	l := &window.Layout{}
	var values []float64
	names := slices.Sorted(maps.Keys(series))
	for _, text := range names {
		m, err := rules.NewParser().ParseMetric(text)
		if err != nil {
			h.t.Fatal(err)
		}
		l.Series, values = append(l.Series, m), append(values, series[text])
	}
	l.ID = sha256.Sum256([]byte(strings.Join(names, " ")))
	b := window.Block{Source: "filesystem", Kind: "node", At: at, Interval: 5 * time.Second, Status: status, Layout: l, Values: values}
	if status == window.Failed {
		b.Layout, b.Values, b.Reason = nil, nil, "permission denied"
	}
	site := "berlin"
	if asset == "web2" {
		site = "paris"
	}
	h.window.Apply(window.Asset{Name: asset, Customer: "acme", Site: site}, at, []window.Block{b})
}

// agent puts an enrolled agent into the store, as the registry will find it.
func (h *house) agent(id, asset string) {
	h.t.Helper()
	g := fleet.Agent{ID: id, Asset: asset, Customer: "acme", Site: "berlin", EnrolledAt: noon.Add(-time.Hour),
		ExpiresAt: noon.Add(90 * 24 * time.Hour), Serials: []string{"01ab"}}
	if err := h.store.Update(h.t.Context(), "", func(tx store.Tx) error { return tx.PutAgent(g) }); err != nil {
		h.t.Fatal(err)
	}
	if err := h.fleet.Load(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) message(id string, state outbox.MessageState) {
	h.t.Helper()
	m := outbox.Message{ID: id, Receiver: "desk", Ticket: "t-web1", Number: "WB-1001", What: "opened", Body: []byte(`{"n":1}`),
		CreatedAt: noon.Add(-time.Minute), State: state, NextAt: noon.Add(time.Minute), Attempts: 3,
		LastError: "connection refused", TriedAt: noon.Add(-time.Second)}
	if err := h.store.Update(h.t.Context(), "", func(tx store.Tx) error { return tx.PutMessage(m) }); err != nil {
		h.t.Fatal(err)
	}
}

// standing is an alert as the evaluator has it.
func standing(asset string, state rules.State) evaluate.Standing {
	al := rules.Alert{
		Labels: labels.FromStrings("alertname", "HighLoad", "customer", "acme", "instance", asset, "service", "cpu",
			"severity", "warning", "site", "berlin", "system", "os"),
		Annotations: labels.FromStrings("summary", "Load is high"), State: state, Value: 12,
		FirstBadAt: noon.Add(-time.Minute), ActiveAt: noon.Add(-time.Minute),
	}
	if state == rules.Firing {
		al.FiredAt = noon.Add(-30 * time.Second)
	}
	return evaluate.Standing{Alert: al, Origin: rules.Origin{ID: "rule2", Group: "linux", Name: "HighLoad", Expr: "node_load1 > 10", For: 30 * time.Second}}
}
