package policy

import (
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
)

// Whatever a file holds, it is a set or a list of faults; what is a set can be resolved or is refused, and its document
// reads back the same.
func FuzzParse(f *testing.F) {
	b := shipped(f)
	for _, name := range b.names() {
		f.Add(shippedText(f, name))
	}
	f.Add("name: x\nversion: 1\nchoice: {operator: [name]}\ncalendar: {zone: UTC, hours: {mon: '08:00-09:00'}}\n")
	f.Add("name: x\nversion: 1\nwhen: &a {b: *a}\n")
	f.Add("&000")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("x.yml", []byte(text))
		if err != nil {
			return
		}
		k := fleet.Contract{ID: "k", Sets: []string{s.Name}}
		r, err := b.With(s).Resolve(Request{Customer: fleet.Customer{ID: "c"}, Contract: &k})
		if err != nil {
			return
		}
		digest, body, err := r.Document()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ReadDocument(body)
		if err != nil {
			t.Fatal(err)
		}
		if back.Ticket.Digest != digest {
			t.Errorf("read back as %s, written as %s", back.Ticket.Digest, digest)
		}
		if again, _, err := back.Document(); err != nil || again != digest {
			t.Errorf("written again as %s, %v", again, err)
		}
	})
}

// What it costs to compose and resolve the three sets of a contract, with its document: done when a directory is read
// and when a contract begins, never for each ticket.
func BenchmarkResolve(b *testing.B) {
	book := shipped(b)
	k := agreed("erp-partner,customer-operations,it-provider", "override.notices=customer-operations", "target.high.response=30m,business")
	for b.Loop() {
		if _, err := book.Resolve(Request{Customer: fleet.Customer{ID: "acme"}, Contract: &k}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkShipped(b *testing.B) {
	for b.Loop() {
		if _, err := Shipped(); err != nil {
			b.Fatal(err)
		}
	}
}
