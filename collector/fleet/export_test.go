package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// maker draws a valid directory. Names are numbered, so that none stands twice.
type maker struct {
	*rapid.T
	n      int
	people []string
	// named are the declared departments; where there are none a customer may name any.
	named []string
	// departments are declared ones that bear no customer's id.
	departments []string
}

// treacherous are texts that YAML reads as something else when they are not quoted, or that a block would lose.
var treacherous = []string{"yes", "no", "null", "~", "true", "3.10", "0x1f", "1e3", "2026-01-01", "07:00-22:00", "1:30", "<<", "=", "- a", "a: b",
	"a #b", "#", "{", "[x]", "*a", "&a", "!x", "%x", "@", "`", "'", "\"", "\\", "\\n", " a", "a ", "?", ":", "-", ",", "ü", "\u2028x", "x\u0085"[:1],
	"\ufeffx", "\U0001F600", ".inf", "0777", "0o7", "1_000", "|", ">", "%YAML 1.2", "---", "...", "\u00a0", "\ufffe", "a\u2029"}

func (m *maker) id(kind string) string {
	m.n++
	return fmt.Sprintf("%s-%d", kind, m.n)
}

func (m *maker) some(what string) bool { return rapid.Bool().Draw(m.T, what) }

// text is any that is valid; it may be empty.
func (m *maker) text(what string) string {
	return rapid.OneOf(rapid.Just(""), rapid.SampledFrom(treacherous), rapid.String().Filter(validText)).Filter(validText).Draw(m.T, what)
}

// name is a text that says something and stands nowhere else.
func (m *maker) name(what string) string { return m.text(what) + m.id("-x") }

func (m *maker) prose(what string) Prose {
	line := rapid.OneOf(rapid.SampledFrom(treacherous), rapid.SampledFrom([]string{"", " ", "\t", "  indented", "tail ", "plain words", "\tx"}),
		rapid.String()).Filter(validProse)
	return Prose(strings.Join(rapid.SliceOfN(line, 0, 4).Draw(m.T, what), "\n"))
}

func (m *maker) date(what string) Date {
	if !m.some(what + " said") {
		return ""
	}
	return Date(time.Date(2020, 1, rapid.IntRange(1, 4000).Draw(m.T, what), 0, 0, 0, 0, time.UTC).Format(time.DateOnly))
}

func (m *maker) span() (from, until Date) {
	from, until = m.date("from"), m.date("until")
	if from != "" && until != "" && until < from {
		from, until = until, from
	}
	return from, until
}

func (m *maker) zone() string {
	return rapid.SampledFrom([]string{"", "Europe/London", "UTC", "UTC-05:00"}).Draw(m.T, "zone")
}

func (m *maker) person() string {
	if len(m.people) == 0 {
		return ""
	}
	return rapid.SampledFrom(append(m.people, "")).Draw(m.T, "person")
}

func (m *maker) names(what string) (out []string) {
	for range rapid.IntRange(0, 3).Draw(m.T, what) {
		out = append(out, m.name(what))
	}
	return out
}

func several[T any](m *maker, what string, make func() T) (out []T) {
	for range rapid.IntRange(0, 3).Draw(m.T, what) {
		out = append(out, make())
	}
	return out
}

func drawn[T any](m *maker, what string, of []T) (v T) {
	if m.some(what + " said") {
		v = rapid.SampledFrom(of).Draw(m.T, what)
	}
	return v
}

func (m *maker) email() string {
	return rapid.SampledFrom([]string{"", "a@example.com"}).Draw(m.T, "email")
}

func (m *maker) contact() Contact {
	c := Contact{Role: rapid.SampledFrom(ContactRoles()).Draw(m.T, "role")}
	if p := m.person(); p != "" {
		m.n++
		c.Person = p
		return c
	}
	c.Name, c.Email, c.Phone, c.Receivers = m.name("name"), m.email(), m.text("phone"), m.names("receivers")
	return c
}

// contacts are none twice.
func (m *maker) contacts() (out []Contact) {
	seen := map[string]bool{}
	for _, c := range several(m, "contacts", m.contact) {
		if key := string(c.Role) + "/" + c.Person; c.Person == "" || !seen[key] {
			seen[key] = true
			out = append(out, c)
		}
	}
	return out
}

func (m *maker) directory() Directory {
	d := Directory{People: several(m, "people", func() Person {
		p := Person{ID: m.id("p"), Name: m.name("name"), Email: m.email(), Phone: m.text("phone"), Receivers: m.names("receivers")}
		m.people = append(m.people, p.ID)
		return p
	})}
	d.Contacts = m.contacts()
	d.Departments = several(m, "departments", func() Department {
		dep := Department{ID: m.id("d"), Name: m.text("name"), Zone: m.zone(), Customer: m.some("customer"), Contacts: m.contacts()}
		m.departments, m.named = append(m.departments, dep.ID), append(m.named, dep.ID)
		return dep
	})
	d.ApprovedSoftware = several(m, "software", func() Software {
		return Software{Name: m.name("name"), Kind: rapid.SampledFrom(SoftwareKinds()).Draw(m.T, "kind"),
			Versions: drawn(m, "versions", [][]string{{"*"}, {"3.1", "4.*"}, {"yes"}})}
	})
	d.Customers = several(m, "customers", m.customer)
	return d
}

func (m *maker) customer() Customer {
	c := Customer{ID: m.id("c"), Name: m.text("name"), Zone: m.zone(), Instructions: m.prose("instructions"), Contacts: m.contacts()}
	if len(m.departments) > 0 {
		if c.Department = drawn(m, "department", m.departments); c.Department != "" && m.some("bears the department's id") {
			c.ID = c.Department
			m.departments = nil // no other customer may bear it; any may belong to it
		}
	} else if len(m.named) == 0 {
		c.Department = drawn(m, "department", []string{"retail", "wholesale"})
	}
	day := 1
	for range rapid.IntRange(0, 2).Draw(m.T, "contracts") {
		c.Contracts = append(c.Contracts, m.contract(c.ID, &day))
	}
	c.Applications = several(m, "applications", func() Application {
		return Application{Name: m.name("name"), Version: m.text("version"), Vendor: m.text("vendor"), SupportEnds: m.date("ends"),
			Responsible: m.person(), Approved: m.some("approved")}
	})
	c.Sites = several(m, "sites", func() Site {
		s := Site{ID: m.id("s"), Name: m.text("name")}
		s.Assets = several(m, "assets", func() Asset { return m.asset(c.ID, s.ID) })
		return s
	})
	return c
}

// contract is one whose days follow those of the one before.
func (m *maker) contract(customer string, day *int) Contract {
	next := func() Date {
		*day += rapid.IntRange(1, 300).Draw(m.T, "days")
		return Date(time.Date(2026, 1, *day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly))
	}
	c := Contract{ID: m.id("k"), Customer: customer, From: next(), Until: next(), Sets: m.names("sets"), Agreement: m.text("agreement"),
		Cover: m.text("cover"), OnCall: m.some("oncall"), Zone: m.zone(), Region: m.text("region"), Phase: drawn(m, "phase", Phases()),
		Model: drawn(m, "model", Models()), Ordered: m.date("ordered"), Paid: m.date("paid"), Entitled: m.date("entitled"),
		Supports: m.names("supports"), Terms: m.prose("terms")}
	for _, set := range c.Sets {
		if c.Override == nil {
			c.Override = map[string]string{}
		}
		c.Override[m.name("unit")] = set
	}
	c.Overlays = several(m, "overlays", func() Overlay {
		o := Overlay{Name: m.name("name"), Holidays: m.some("holidays"), Hours: map[string]Spans{
			m.name("days"): {m.name("span")}, m.name("days"): {m.name("span"), m.name("span")},
		}}
		o.From, o.Until = m.span()
		return o
	})
	c.Targets = several(m, "targets", func() Target {
		return Target{Priority: m.name("priority"), Clock: m.name("clock"), Within: m.name("within")}
	})
	c.Owners = several(m, "owners", func() Owner {
		return Owner{System: m.name("system"), Owner: m.name("owner"), Agreement: m.text("agreement")}
	})
	return c
}

func (m *maker) asset(customer, site string) Asset {
	a := Asset{Name: m.id("a"), Customer: customer, Site: site, Declared: true, Kind: rapid.SampledFrom([]AssetKind{Host, Device}).Draw(m.T, "kind"),
		Role: m.text("role"), Users: rapid.IntRange(0, 1<<40).Draw(m.T, "users"), Criticality: drawn(m, "criticality", Criticalities()),
		Environment: drawn(m, "environment", Environments()), SupportEnds: m.date("ends"), Responsible: m.person(),
		Supplied: drawn(m, "supplied", Suppliers())}
	if m.some("versions") {
		a.Versions = map[string]string{"os": m.text("version"), "y": m.text("version"), "null": m.text("version")}
	}
	return a
}

// said compares what directories declare, not where.
var said = cmp.Options{
	cmpopts.IgnoreUnexported(Directory{}), cmpopts.EquateEmpty(),
	cmp.FilterPath(func(p cmp.Path) bool { name := p.Last().String(); return name == ".At" || name == ".MadeBy" }, cmp.Ignore()),
}

func exported(t testing.TB, d Directory) string {
	t.Helper()
	var b bytes.Buffer
	if err := d.Export(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestExport: any directory is read back from its export as it was, and exported again in the same bytes.
func TestExport(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		d := (&maker{T: r}).directory()
		if err := d.Validate(); err != nil {
			r.Fatalf("the test made a directory with faults: %v", err)
		}
		first := exported(t, d)
		if err := os.WriteFile(filepath.Join(dir, "fleet.yml"), []byte(first), 0o600); err != nil {
			r.Fatal(err)
		}
		again, err := LoadDirectory(dir)
		if err != nil {
			r.Fatalf("%v\n%s", err, first)
		}
		if diff := cmp.Diff(d.settled(), again, said); diff != "" {
			r.Fatalf("exported and read back (-want +got):\n%s\n%s", diff, first)
		}
		if second := exported(t, again); second != first {
			r.Fatalf("exported again:\n%s", cmp.Diff(first, second))
		}
	})
}

// TestExportExample: the README's example is exported as a person would write it.
func TestExportExample(t *testing.T) {
	const path = "testdata/export.yml"
	got := exported(t, mustLoad(t, example(t)))
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("export (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(mustLoad(t, example(t)), mustLoad(t, got), said); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

// TestExportOfTheWhole: what commands declared is exported with what files did, and can take the directory's place.
func TestExportOfTheWhole(t *testing.T) {
	s := loaded(t, around)
	if err := errors.Join(
		s.PutPerson(t.Context(), Person{ID: "carl", Name: "Carl"}, "ann"),
		s.PutDepartment(t.Context(), Department{ID: "sal", Name: "SAL", Customer: true}, "ann"),
		s.PutCustomer(t.Context(), func() Customer { c := madeCustomer(); c.ID = "delta"; return c }(), "ann"),
	); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Export(&b); err != nil {
		t.Fatal(err)
	}
	want := s.Directory()
	d := mustLoad(t, b.String())
	if diff := cmp.Diff(want, d, said); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	if err := s.SetDirectory(d); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, s.Directory(), said); diff != "" {
		t.Errorf("in the directory's place (-want +got):\n%s", diff)
	}
}

func TestExportNothing(t *testing.T) {
	got := exported(t, Directory{})
	if diff := cmp.Diff(Directory{}, mustLoad(t, got), said); diff != "" {
		t.Errorf("an empty directory read back:\n%s", diff)
	}
}

// TestExportFails: an export that cannot be written whole says so.
func TestExportFails(t *testing.T) {
	err := mustLoad(t, around).Export(full{})
	if !errors.Is(err, errFull) || !strings.Contains(err.Error(), "export fleet") {
		t.Errorf("error %v", err)
	}
}

var errFull = errors.New("no room")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
