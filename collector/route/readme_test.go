package route

import (
	"os"
	"strings"
	"testing"
)

// TestReadme: the README's tables of fallbacks and of systems are what the code does.
func TestReadme(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(b), "| nobody is | then it is |\n|---|---|\n")
	if !ok {
		t.Fatal("README.md has no table of fallbacks")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	lines := strings.Split(table, "\n")
	for _, line := range lines {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 2 || Fallbacks()[cells[0]] != cells[1] {
			t.Errorf("README.md says %q, the code %q", line, Fallbacks()[cells[0]])
		}
	}
	if len(lines) != len(Fallbacks()) {
		t.Errorf("README.md has %d fallbacks, the code %d", len(lines), len(Fallbacks()))
	}
	for place, words := range Systems() {
		if list := "`" + strings.Join(words, " ") + "`"; !strings.Contains(string(b), list) {
			t.Errorf("README.md lists not the systems of %s: %s", place, list)
		}
	}
}
