package collector

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/rules/packs"
)

// TestPacksOpenTheirTickets runs the ticket tests of the shipped packs.
func TestPacksOpenTheirTickets(t *testing.T) {
	names, err := fs.Glob(packs.Files(), "*"+TicketTestSuffix)
	if err != nil || len(names) == 0 {
		t.Fatalf("no ticket tests of packs: %v", err)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := fs.ReadFile(packs.Files(), name)
			if err != nil {
				t.Fatal(err)
			}
			report, err := TicketRun{File: name, Content: text, Open: func(name string) ([]byte, error) {
				return fs.ReadFile(packs.Files(), name)
			}}.Run(t.Context())
			if err != nil || len(report.Tests) == 0 {
				t.Fatalf("%d tests ran, error %v", len(report.Tests), err)
			}
			for _, f := range report.Failures {
				t.Error(f)
			}
		})
	}
}

// TestTicketTestOfTheREADME runs the ticket test that rules/README.md shows.
func TestTicketTestOfTheREADME(t *testing.T) {
	doc, err := os.ReadFile("../rules/README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(doc), "```yaml\n")
	if len(blocks) < 4 {
		t.Fatalf("%d examples, want three", len(blocks)-1)
	}
	example := func(i int) []byte { return []byte(strings.SplitN(blocks[i], "```", 2)[0]) }
	report, err := TicketRun{File: "README.md", Content: example(3), Open: func(string) ([]byte, error) { return example(1), nil }}.Run(t.Context())
	if err != nil || len(report.Tests) != 1 {
		t.Fatalf("%v ran, error %v", report.Tests, err)
	}
	for _, f := range report.Failures {
		t.Error(f)
	}
}
