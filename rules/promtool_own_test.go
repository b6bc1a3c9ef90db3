package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ownFile keeps what promtool says of each file of its own test data, of which most are no tests.
const ownFile = "testdata/promtool-own.txt"

// TestPromtoolsOwnData holds us to promtool's verdicts on the data that promtool is tested with. The data lie where Go keeps
// the module that we are built with.
func TestPromtoolsOwnData(t *testing.T) {
	items := promtoolsOwn(t)
	if *update {
		path := promtool(t)
		var b strings.Builder
		for _, it := range items {
			fmt.Fprintf(&b, "%s %s\n", it.name, theirs(t, path, []string{it.write(t, filepath.Join(t.TempDir(), it.name))}))
		}
		if err := os.WriteFile(ownFile, []byte(b.String()), 0o644); err != nil { //nolint:gosec // a file of the repository
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(ownFile)
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, verdict, _ := strings.Cut(strings.TrimSpace(line), " ")
		kept[name] = verdict
	}
	for _, it := range items {
		t.Run(it.name, func(t *testing.T) {
			if v, said := ours(t, it.write(t, t.TempDir())); string(v) != kept[it.name] {
				t.Errorf("%c, promtool says %q: %s", v, kept[it.name], said)
			}
		})
	}
	if len(items) != len(kept) {
		t.Errorf("%d files, verdicts on %d", len(items), len(kept))
	}
}
