package fleet

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// county is a directory of customers, each with a contact, a contract for each of three years and ten assets.
func county(customers int) Directory {
	d := Directory{People: []Person{{ID: "anna", Name: "Anna", Receivers: []string{"mail-anna"}}},
		Departments: []Department{{ID: "sas", Zone: "Europe/London"}}}
	for i := range customers {
		c := Customer{ID: fmt.Sprint("c", i), Name: "Customer", Department: "sas", Contacts: []Contact{{Role: ProjectManager, Person: "anna"}}}
		for year := 2025; year < 2028; year++ {
			c.Contracts = append(c.Contracts, Contract{ID: fmt.Sprintf("c%d-%d", i, year), Sets: []string{"customer-operations", "it-provider"},
				From: Date(fmt.Sprintf("%d-01-01", year)), Until: Date(fmt.Sprintf("%d-12-31", year)), Terms: "As agreed."})
		}
		s := Site{ID: "main"}
		for j := range 10 {
			s.Assets = append(s.Assets, Asset{Name: fmt.Sprintf("web%d.c%d", j, i), Role: "web server", Users: 20, Responsible: "anna",
				Criticality: HighAsset, Versions: map[string]string{"os": "12"}})
		}
		c.Sites = []Site{s}
		d.Customers = append(d.Customers, c)
	}
	return d
}

func BenchmarkLoadDirectory(b *testing.B) {
	dir := b.TempDir()
	f, err := os.Create(filepath.Join(dir, "fleet.yml"))
	if err != nil {
		b.Fatal(err)
	}
	if err := county(1000).Export(f); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := LoadDirectory(dir); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExport(b *testing.B) {
	d := county(1000)
	for b.Loop() {
		if err := d.Export(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

// ofCounty is a registry with a county in force.
func ofCounty(b *testing.B, customers int) *Registry {
	b.Helper()
	g := NewRegistry(newMemory(), Options{})
	if err := g.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := g.SetDirectory(county(customers)); err != nil {
		b.Fatal(err)
	}
	return g
}

func BenchmarkPutCustomer(b *testing.B) {
	g := ofCounty(b, 1000)
	for n := 0; b.Loop(); n++ { // another name each time: the same again would be no change
		if err := g.PutCustomer(b.Context(), Customer{ID: "new", Name: fmt.Sprint(n), Department: "sas"}, "ann"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkContractAt(b *testing.B) {
	g, at := ofCounty(b, 1000), time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for b.Loop() {
		if _, ok := g.ContractAt("c500", at); !ok {
			b.Fatal("no contract")
		}
	}
}

func BenchmarkContacts(b *testing.B) {
	g := ofCounty(b, 1000)
	for b.Loop() {
		if len(g.Contacts("c500", ProjectManager)) != 1 {
			b.Fatal("no contact")
		}
	}
}

func BenchmarkMay(b *testing.B) {
	o := Operator{Roles: []Role{Responder, TeamLeader, GeneralManager}}
	for b.Loop() {
		if !o.May(MayWaive) || o.May(MayQuote) || !o.Sees("acme", "sas") {
			b.Fatal("wrong")
		}
	}
}
