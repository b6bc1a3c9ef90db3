package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// madeCustomer is one that a command makes, with references to what else commands made.
func madeCustomer() Customer {
	return Customer{
		ID: "gamma", Name: "Gamma", Department: "sam", Contacts: []Contact{{Role: ProjectManager, Person: "carl"}},
		Contracts: []Contract{{ID: "gamma-1", From: "2026-01-01", Sets: []string{"web-host"}, Override: map[string]string{"targets": "web-host"},
			Overlays: []Overlay{{Name: "always", Hours: map[string]Spans{"sat": {"08:00-12:00"}}}}}},
		Sites: []Site{{ID: "main", Assets: []Asset{{Name: "gamma-web", Responsible: "carl", Versions: map[string]string{"os": "12"}}}}},
	}
}

// makeAll declares a person, a department and a customer by command.
func makeAll(t *testing.T, s *site) {
	t.Helper()
	if err := errors.Join(
		s.PutPerson(t.Context(), Person{ID: "carl", Name: "Carl"}, "ann"),
		s.PutDepartment(t.Context(), Department{ID: "sam", Name: "SAM", Customer: true}, "ann"),
		s.PutCustomer(t.Context(), madeCustomer(), "ann"),
	); err != nil {
		t.Fatal(err)
	}
}

// TestMade: what commands declare is there at once and after a restart, behind what files declare, and says who made it.
func TestMade(t *testing.T) {
	s := newSite(t)
	makeAll(t, s)
	for range 2 {
		c, ok := s.Customer("gamma")
		if !ok || c.MadeBy != "ann" || !strings.Contains(c.At, "made by ann on 2026-11-21") || c.Contracts[0].Customer != "gamma" ||
			c.Contracts[0].At != c.At || c.Sites[0].Assets[0].At != c.At {
			t.Errorf("customer %+v, %v", c, ok)
		}
		a, ok := s.Asset("gamma-web")
		if !ok || a.Customer != "gamma" || a.Site != "main" || !a.Declared || a.Kind != Host {
			t.Errorf("asset %+v, %v", a, ok)
		}
		if k, ok := s.ContractAt("gamma", s.clock.now()); !ok || k.ID != "gamma-1" {
			t.Errorf("contract %+v, %v", k, ok)
		}
		if got := s.Contacts("gamma", ProjectManager); len(got) != 1 || got[0].Name != "Carl" {
			t.Errorf("contacts %+v", got)
		}
		if _, ok := s.Customer("sam"); !ok {
			t.Error("a department made by command is no customer")
		}
		if ids := s.Customers(); ids[0].ID != "acme" || ids[2].ID != "gamma" || ids[3].ID != "sam" {
			t.Errorf("customers are not in order: %v", ids)
		}
		s.restart()
	}
	changed := madeCustomer()
	changed.Name, changed.Sites = "Gamma two", nil
	if err := s.PutCustomer(t.Context(), changed, "eve"); err != nil {
		t.Fatal(err)
	}
	if c, _ := s.Customer("gamma"); c.Name != "Gamma two" || c.MadeBy != "eve" {
		t.Errorf("changed: %+v", c)
	}
	if _, ok := s.Asset("gamma-web"); ok {
		t.Error("an asset that nobody declares any more is there")
	}
	for _, gone := range []struct {
		kind DeclaredKind
		id   string
	}{{DeclaredCustomer, "gamma"}, {DeclaredDepartment, "sam"}, {DeclaredPerson, "carl"}} {
		if err := s.RemoveDeclared(t.Context(), gone.kind, gone.id); err != nil {
			t.Errorf("remove %s: %v", gone.kind, err)
		}
	}
	s.restart()
	if len(s.Customers()) != 2 || len(s.People()) != 0 {
		t.Errorf("left: %v, %v", s.Customers(), s.People())
	}
}

func TestMadeRefusals(t *testing.T) {
	const files = "people: [{id: anna, name: Anna}]\ndepartments: [{id: sas}]\ncustomers:\n  - {id: acme, department: sas, " +
		"contracts: [{id: acme-1}], sites: [{id: york, assets: [{name: web1}]}]}\n"
	made := func(edit func(*Customer)) Customer {
		c := madeCustomer()
		edit(&c)
		return c
	}
	for _, test := range []struct {
		name string
		do   func(context.Context, *Registry) error
		kind error
		text []string
	}{
		{"a file's customer", func(ctx context.Context, g *Registry) error {
			return g.PutCustomer(ctx, Customer{ID: "acme"}, "eve")
		}, ErrDeclared, []string{`customer "acme" is declared at fleet.yml:4`, "reload"}},
		{"a file's department", func(ctx context.Context, g *Registry) error {
			return g.PutDepartment(ctx, Department{ID: "sas", Name: "SAS"}, "eve")
		}, ErrDeclared, []string{`department "sas" is declared at fleet.yml:2`}},
		{"a file's person", func(ctx context.Context, g *Registry) error {
			return g.PutPerson(ctx, Person{ID: "anna", Name: "Eve"}, "eve")
		}, ErrDeclared, []string{`person "anna" is declared at fleet.yml:1`}},
		{"remove a file's", func(ctx context.Context, g *Registry) error {
			return g.RemoveDeclared(ctx, DeclaredCustomer, "acme")
		}, ErrDeclared, []string{"fleet.yml:4"}},
		{"remove what is not there", func(ctx context.Context, g *Registry) error {
			return g.RemoveDeclared(ctx, DeclaredPerson, "nobody")
		}, ErrNotFound, []string{`no person "nobody"`}},
		{"remove what is needed", func(ctx context.Context, g *Registry) error {
			return g.RemoveDeclared(ctx, DeclaredPerson, "carl")
		}, ErrInvalid, []string{"still needed", `customer "gamma" (made by ann`, `no person "carl"`}},
		{"a file's asset", func(ctx context.Context, g *Registry) error {
			return g.PutCustomer(ctx, made(func(c *Customer) { c.Sites[0].Assets[0].Name = "web1" }), "eve")
		}, ErrInvalid, []string{`asset "web1" is already declared at fleet.yml:4`}},
		{"a file's contract", func(ctx context.Context, g *Registry) error {
			return g.PutCustomer(ctx, made(func(c *Customer) { c.Contracts[0].ID = "acme-1" }), "eve")
		}, ErrInvalid, []string{`contract "acme-1" is already declared at fleet.yml:4`}},
		{"several faults", func(ctx context.Context, g *Registry) error {
			return g.PutCustomer(ctx, made(func(c *Customer) { c.Zone, c.Department, c.Contracts[0].From = "X", "sat", "2026-02-30" }), "eve")
		}, ErrInvalid, []string{`zone "X"`, `no department "sat"`, `"2026-02-30"`, "made by eve"}},
		{"no id", func(ctx context.Context, g *Registry) error { return g.PutPerson(ctx, Person{}, "eve") }, ErrInvalid, []string{"person id", "name"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := loaded(t, files)
			makeAll(t, s)
			before, err := json.Marshal(s.Directory())
			if err != nil {
				t.Fatal(err)
			}
			wantRefusal(t, test.do(t.Context(), s.Registry), test.kind, test.text...)
			for range 2 {
				after, err := json.Marshal(s.Directory())
				if err != nil || !bytes.Equal(before, after) {
					t.Errorf("a refusal changed the fleet (%v):\n%s\n%s", err, before, after)
				}
				if err := s.Load(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestMadeAndFile: a file that declares what a command had declared is in force, and a warning says so; the command's can
// be removed, and is in force again when the file no longer has it.
func TestMadeAndFile(t *testing.T) {
	s := newSite(t)
	makeAll(t, s)
	mine := mustLoad(t, "people: [{id: carl, name: Carl of the file}]\ndepartments: [{id: sam}]")
	if err := s.SetDirectory(mine); err != nil {
		t.Fatal(err)
	}
	if p, _ := s.Person("carl"); p.Name != "Carl of the file" {
		t.Errorf("person %+v", p)
	}
	if log := s.log.String(); !strings.Contains(log, "a file declares what a command had declared") || !strings.Contains(log, "id=carl") ||
		!strings.Contains(log, "fleet.yml:1") {
		t.Errorf("no warning: %s", log)
	}
	if err := s.SetDirectory(Directory{}); err != nil {
		t.Fatal(err)
	}
	if p, _ := s.Person("carl"); p.Name != "Carl" {
		t.Errorf("person without the file %+v", p)
	}
	if err := errors.Join(s.SetDirectory(mine), s.RemoveDeclared(t.Context(), DeclaredPerson, "carl")); err != nil {
		t.Fatal(err)
	}
	if p, _ := s.Person("carl"); p.Name != "Carl of the file" {
		t.Errorf("person after the command's was removed %+v", p)
	}
}

// TestReloadIsAtomic: a directory that is at fault, by itself or with what commands declared, changes nothing.
func TestReloadIsAtomic(t *testing.T) {
	for _, test := range []struct {
		name, body string
		text       []string
	}{
		{"by itself", "customers: [{id: new, sites: [{id: x}, {id: x}]}]", []string{"already declared"}},
		{"needed by what a command made", "departments: [{id: other}, {id: sam}]\ncustomers: [{id: new, sites: [{id: x, assets: [{name: gamma-web}]}]}]",
			[]string{`asset "gamma-web" is already declared at fleet.yml:2`, "made by ann"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			makeAll(t, s)
			before := s.Directory()
			d, err := loadText(t, test.body)
			if err == nil {
				err = s.SetDirectory(d)
			}
			for _, text := range test.text {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("error lacks %q: %v", text, err)
				}
			}
			if diff := cmp.Diff(before, s.Directory(), cmp.AllowUnexported(Directory{})); diff != "" {
				t.Errorf("a refused directory changed the fleet:\n%s", diff)
			}
			if _, ok := s.Asset("db1"); !ok {
				t.Error("an asset of the directory in force is gone")
			}
		})
	}
}

// TestMadeUncertain: a change of which nobody knows whether it was committed is shown as the keeper has it.
func TestMadeUncertain(t *testing.T) {
	for _, committed := range []bool{false, true} {
		s := newSite(t)
		s.keeper.failBefore, s.keeper.failAfter = !committed, committed
		if err := s.PutPerson(t.Context(), Person{ID: "carl", Name: "Carl"}, "ann"); !errors.Is(err, errKeeper) {
			t.Errorf("error %v", err)
		}
		if _, ok := s.Person("carl"); ok != committed {
			t.Errorf("committed %v, shown %v", committed, ok)
		}
	}
}

// TestMadeElsewhere: another collector on the same store declared something meanwhile; a change is judged by what is there.
func TestMadeElsewhere(t *testing.T) {
	s, other := newSite(t), newSite(t)
	other.keeper = s.keeper
	other.restart()
	makeAll(t, other)
	same := madeCustomer()
	same.ID = "delta"
	wantRefusal(t, s.PutCustomer(t.Context(), same, "eve"), ErrInvalid, `asset "gamma-web" is already declared`, "made by ann")
	same.Sites, same.Contracts = nil, nil
	if err := s.PutCustomer(t.Context(), same, "eve"); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Customer("gamma"); !ok {
		t.Error("what another collector declared is not seen after a change")
	}
}

// TestMadeRecord: what is kept is what was declared, and nothing of where it stood or what an agent made of it.
func TestMadeRecord(t *testing.T) {
	s := newSite(t)
	c := madeCustomer()
	c.At, c.MadeBy, c.Sites[0].Assets[0].Agent, c.Sites[0].Assets[0].Customer = "x", "x", "x", "acme"
	if err := errors.Join(s.PutPerson(t.Context(), Person{ID: "carl", Name: "Carl"}, "ann"), s.PutCustomer(t.Context(), c, "ann")); err != nil {
		t.Fatal(err)
	}
	kept := s.keeper.state.declared[DeclaredCustomer]["gamma"]
	if kept.By != "ann" || !kept.At.Equal(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)) || kept.Customer.MadeBy != "ann" {
		t.Errorf("kept %+v", kept)
	}
	if a := kept.Customer.Sites[0].Assets[0]; a.Agent != "" || a.Customer != "gamma" || a.Site != "main" {
		t.Errorf("kept asset %+v", a)
	}
}

// TestMadeContradicted: files that changed while nobody looked contradict what a command declared. The start goes on with
// what the files say, and a warning names the fault.
func TestMadeContradicted(t *testing.T) {
	s := newSite(t)
	makeAll(t, s)
	s.Registry = NewRegistry(s.keeper, Options{Now: s.clock.now, Logger: slog.New(slog.NewTextHandler(s.log, nil))})
	d := mustLoad(t, "customers: [{id: new, department: sam, sites: [{id: x, assets: [{name: gamma-web, role: the file's}]}]}]")
	if err := errors.Join(s.SetDirectory(d), s.Load(t.Context())); err != nil {
		t.Fatal(err)
	}
	if a, _ := s.Asset("gamma-web"); a.Customer != "new" || a.Role != "the file's" {
		t.Errorf("asset %+v", a)
	}
	if log := s.log.String(); !strings.Contains(log, "does not fit the directory") || !strings.Contains(log, "already declared at fleet.yml:1") {
		t.Errorf("no warning: %s", log)
	}
}

// TestMadeWhileRead: whoever asks while the fleet changes gets the one before or the one after, never half of it.
func TestMadeWhileRead(t *testing.T) {
	s := newSite(t)
	makeAll(t, s)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				c, ok := s.Customer("gamma")
				a, there := s.Asset("gamma-" + c.Name)
				if !ok || there && a.Role != c.Name {
					t.Errorf("customer %q (%v) with asset %+v", c.Name, ok, a)
					return
				}
				if err := s.Export(io.Discard); err != nil {
					t.Error(err)
				}
				s.ContractAt("gamma", s.clock.now())
				s.Contacts("gamma", ProjectManager)
				s.Departments()
			}
		})
	}
	for i := range 50 {
		c := madeCustomer()
		c.Name = fmt.Sprint("n", i%3)
		c.Sites[0].Assets[0].Name, c.Sites[0].Assets[0].Role = "gamma-"+c.Name, c.Name
		if err := errors.Join(s.PutCustomer(t.Context(), c, "ann"), s.SetDirectory(directory())); err != nil {
			t.Error(err)
		}
	}
	close(done)
	readers.Wait()
}
