package ticket

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// needsTable is the table of needs as the README has it.
func needsTable() string {
	var b strings.Builder
	b.WriteString("| need | asks for | `roles` | `names` | given by |\n|---|---|---|---|---|\n")
	cell := func(text string, must bool) string {
		if text != "" && must {
			text += " (required)"
		}
		return text
	}
	for _, k := range Needs() {
		verb := ""
		if k.Gives != "" {
			verb = "`" + string(k.Gives) + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Kind, k.Asks, cell(k.Roles, k.NeedsRoles), cell(k.Names, k.NeedsNames), verb)
	}
	return b.String()
}

const needsBegin, needsEnd = "<!-- needs: go test ./collector/ticket -run Needs -update -->\n", "<!-- /needs -->"

// The README's table is the one that gates are checked by.
func TestNeedsInTheREADME(t *testing.T) {
	const file = "README.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), needsBegin)
	_, after, closed := strings.Cut(rest, needsEnd)
	if !ok || !closed {
		t.Fatalf("%s has no table between %q and %q", file, needsBegin, needsEnd)
	}
	want := before + needsBegin + needsTable() + needsEnd + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("the table of needs in %s is not what gates are checked by; run `go test ./collector/ticket -run Needs -update`", file)
	}
}
