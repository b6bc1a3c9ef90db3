package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPutAgain: what was exported and is put again changes nothing, whoever declared it: no write, the same maker.
func TestPutAgain(t *testing.T) {
	s := newSite(t)
	makeAll(t, s)
	d := mustLoad(t, "people: [{id: anna, name: Anna}]\ncontacts: [{role: engineer, person: anna}]\napproved_software: [{name: Word}]\n"+
		"departments: [{id: sas}, {id: sal, customer: true}]\ncustomers:\n  - {id: acme, department: sas, contracts: [{id: acme-1, from: 2026-01-01}], "+
		"sites: [{id: york, assets: [{name: web1}]}]}\n  - {id: sal, sites: [{id: x, assets: [{name: sal1, kind: host}]}]}\n")
	if err := s.SetDirectory(d); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Export(&b); err != nil {
		t.Fatal(err)
	}
	was, writes := s.Directory(), s.keeper.state.declared
	before, err := json.Marshal(writes)
	if err != nil {
		t.Fatal(err)
	}
	for name, changed := range putAll(t, s.Registry, mustLoad(t, b.String())) {
		if changed {
			t.Errorf("%s: putting what was exported is said to be a change", name)
		}
	}
	if after, err := json.Marshal(s.keeper.state.declared); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the store was written (%v): %s\nwas %s", err, after, before)
	}
	if diff := cmp.Diff(was, s.Directory(), cmp.AllowUnexported(Directory{})); diff != "" {
		t.Errorf("what is declared (-was +is):\n%s", diff)
	}
	other := mustLoad(t, b.String())
	other.People[1].Phone, other.Departments[2].Name, other.Customers[2].Sites[0].Assets[0].Role = "+44 1", "Sam two", "another"
	var changes []string
	for name, changed := range putAll(t, s.Registry, other) {
		if changed {
			changes = append(changes, name)
		}
	}
	if slices.Sort(changes); !slices.Equal(changes, []string{"customer gamma", "department sam", "person carl"}) {
		t.Errorf("changed: %v", changes)
	}
}

// putAll puts all that a directory declares, and answers what was a change.
func putAll(t *testing.T, g *Registry, d Directory) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	put := func(name string, do func(PutOption) error) {
		var changed bool
		if err := do(NoteChange(&changed)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		out[name] = changed
	}
	for _, p := range d.People {
		put("person "+p.ID, func(o PutOption) error { return g.PutPerson(t.Context(), p, "eve", o) })
	}
	put("contacts", func(o PutOption) error { return g.PutContacts(t.Context(), d.Contacts, "eve", o) })
	put("software", func(o PutOption) error { return g.PutApprovedSoftware(t.Context(), d.ApprovedSoftware, "eve", o) })
	for _, dep := range d.Departments {
		put("department "+dep.ID, func(o PutOption) error { return g.PutDepartment(t.Context(), dep, "eve", o) })
	}
	for _, c := range d.Customers {
		put("customer "+c.ID, func(o PutOption) error { return g.PutCustomer(t.Context(), c, "eve", o) })
	}
	return out
}

// TestOperatorsOwn: the operator's contacts and approved software are declared by command where no file does, are there
// after a restart and in the export, are taken back with none, and stand in files alone where a file has any.
func TestOperatorsOwn(t *testing.T) {
	s := newSite(t)
	makeAll(t, s)
	contacts, software := []Contact{{Role: Engineer, Person: "carl"}}, []Software{{Name: "Word", Versions: []string{"16*"}}}
	if err := errors.Join(s.PutContacts(t.Context(), contacts, "ann"), s.PutApprovedSoftware(t.Context(), software, "ann")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := s.Contacts("gamma", Engineer); len(got) != 1 || got[0].Name != "Carl" || !strings.Contains(got[0].At, "made by ann") {
			t.Errorf("contacts %+v", got)
		}
		if got, ok := s.Approved("word", "16.1"); !ok || got.Kind != KindSoftware {
			t.Errorf("approved %+v, %v", got, ok)
		}
		s.restart()
	}
	var b strings.Builder
	if err := s.Export(&b); err != nil || !strings.Contains(b.String(), "contacts:\n  - role: engineer\n    person: carl\n") ||
		!strings.Contains(b.String(), "approved_software:\n  - name: Word\n") {
		t.Errorf("exported %v:\n%s", err, b.String())
	}
	wantRefusal(t, s.PutContacts(t.Context(), []Contact{{Role: "king", Person: "nobody"}}, "eve"), ErrInvalid, "king", `no person "nobody"`)
	wantRefusal(t, s.RemoveDeclared(t.Context(), DeclaredPerson, "carl"), ErrInvalid, "still needed", "engineer")
	if err := errors.Join(s.PutContacts(t.Context(), nil, "ann"), s.PutApprovedSoftware(t.Context(), nil, "ann")); err != nil {
		t.Fatal(err)
	}
	if d := s.Directory(); len(d.Contacts)+len(d.ApprovedSoftware) > 0 {
		t.Errorf("taken back and there: %+v, %+v", d.Contacts, d.ApprovedSoftware)
	}
	if err := s.SetDirectory(mustLoad(t, "people: [{id: anna, name: Anna}]\ncontacts: [{role: engineer, person: anna}]\napproved_software: [{name: Excel}]")); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, s.PutContacts(t.Context(), contacts, "eve"), ErrDeclared, "the operator's contacts stand at fleet.yml:2")
	wantRefusal(t, s.PutApprovedSoftware(t.Context(), nil, "eve"), ErrDeclared, "the operator's approved software stand at fleet.yml:3")
}

// TestOnlyIfSeesWhatWasKnownLast: a customer whose contracts went, or that went itself, is seen with those that it
// had.
func TestOnlyIfSeesWhatWasKnownLast(t *testing.T) {
	stop := errors.New("stop")
	for name, goes := range map[string]func(s *site) error{
		"emptied": func(s *site) error {
			c := madeCustomer()
			c.Contracts = nil
			return s.PutCustomer(t.Context(), c, "eve")
		},
		"removed": func(s *site) error { return s.RemoveDeclared(t.Context(), DeclaredCustomer, "gamma") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			makeAll(t, s)
			if err := goes(s); err != nil {
				t.Fatal(err)
			}
			c, known := madeCustomer(), ""
			c.Contracts[0].Model = ModelSameParty
			err := s.PutCustomer(t.Context(), c, "eve", OnlyIf(func(was, _ Customer) error {
				for _, k := range was.Contracts {
					known += k.ID
				}
				return stop
			}))
			if !errors.Is(err, stop) || known != c.Contracts[0].ID {
				t.Errorf("seen with contracts %q, %v", known, err)
			}
		})
	}
}

// TestOnlyIf: a customer changes only where who asks for it may, judged by what it is at that moment.
func TestOnlyIf(t *testing.T) {
	s := newSite(t)
	makeAll(t, s)
	stop := errors.New("stop")
	only := func(c Customer) (was, becomes Customer, err error) {
		err = s.PutCustomer(t.Context(), c, "eve", OnlyIf(func(a, b Customer) error {
			was, becomes = a, b
			return stop
		}))
		return was, becomes, err
	}
	c := madeCustomer()
	c.Contracts[0].Model = ModelSameParty
	was, becomes, err := only(c)
	if !errors.Is(err, stop) || was.Contracts[0].Model != "" || becomes.Contracts[0].Model != ModelSameParty || becomes.MadeBy != "eve" {
		t.Errorf("was %+v, becomes %+v, %v", was, becomes, err)
	}
	if c, _ := s.Customer("gamma"); c.Contracts[0].Model != "" {
		t.Errorf("changed all the same: %+v", c)
	}
	if was, _, err := only(Customer{ID: "new"}); !errors.Is(err, stop) || was.ID != "" {
		t.Errorf("a new one: was %+v, %v", was, err)
	}
	if _, _, err := only(madeCustomer()); err != nil {
		t.Errorf("what is declared already: %v", err)
	}
}
