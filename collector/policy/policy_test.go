package policy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A set's name is that of its directory or file, however it is named: from outside, as "." and from inside.
func TestNameOfTheDirectory(t *testing.T) {
	text := strings.Replace(shippedText(t, "default"), "name: default", "name: mine", 1)
	dir := t.TempDir()
	for name, content := range map[string]string{"mine/policy.yml": text, "other/policy.yml": text, "mine.yml": text, "else.yml": text} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ from, file, want string }{
		{".", filepath.Join(dir, "mine"), ""},
		{".", filepath.Join(dir, "mine", "policy.yml"), ""},
		{".", filepath.Join(dir, "mine.yml"), ""},
		{"mine", ".", ""},
		{"mine", "policy.yml", ""},
		{"mine", "../mine", ""},
		{".", filepath.Join(dir, "other"), "other"},
		{".", filepath.Join(dir, "else.yml"), "else"},
		{"other", ".", "other"},
		{"other", "policy.yml", "other"},
		{"mine", "../other", "other"},
	} {
		t.Run(tc.from+" "+filepath.Base(tc.file), func(t *testing.T) {
			t.Chdir(filepath.Join(dir, tc.from))
			loads := map[string]func() error{"one": func() error { _, err := LoadSet(tc.file); return err }}
			if info, err := os.Stat(tc.file); err != nil {
				t.Fatal(err)
			} else if info.IsDir() {
				loads["all"] = func() error { _, err := LoadSets(tc.file); return err }
			}
			for what, load := range loads {
				err := load()
				if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("the set is called %q but its file stands under %q", "mine", tc.want))) {
					t.Errorf("%s: %v, want %q", what, err, tc.want)
				}
			}
		})
	}
}
