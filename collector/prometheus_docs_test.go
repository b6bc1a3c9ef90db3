package collector

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/collector/notify"
)

// snippet is a piece of a configuration in PROMETHEUS.md.
type snippet struct {
	line int
	// file is what its first line says it is of.
	file, text string
}

// snippetsOf are the fenced pieces of YAML, without the indentation of their fence.
func snippetsOf(t *testing.T, doc string) []snippet {
	t.Helper()
	var all []snippet
	for _, at := range regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```$").FindAllStringSubmatchIndex(doc, -1) {
		indent, text := doc[at[2]:at[3]], doc[at[4]:at[5]]
		text = regexp.MustCompile("(?m)^"+indent).ReplaceAllString(text, "")
		first, _, _ := strings.Cut(text, "\n")
		all = append(all, snippet{1 + strings.Count(doc[:at[0]], "\n"), strings.TrimPrefix(first, "# "), text})
	}
	if fences := strings.Count(doc, "```yaml"); len(all) != fences || fences < 10 {
		t.Fatalf("%d of %d pieces were read", len(all), fences)
	}
	return all
}

// TestSnippetsForPrometheus: every piece of configuration in PROMETHEUS.md is taken by the program that it is for.
func TestSnippetsForPrometheus(t *testing.T) {
	doc, err := os.ReadFile("PROMETHEUS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range snippetsOf(t, string(doc)) {
		t.Run(fmt.Sprintf("line %d of %s", s.line, s.file), func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"web.yml": "", "sender.token": "x", "scrape.token": "x", "own.yml": "groups: []\n"} {
				put(t, dir, name, text)
			}
			file := put(t, dir, "it.yml", strings.ReplaceAll(s.text, "/etc/prometheus/rules/*.yml", filepath.Join(dir, "own.yml")))
			program, _, _ := strings.Cut(s.file, ",")
			switch program {
			case "watchbill.yml":
				cfg, err := LoadConfig(file)
				if err == nil {
					_, _, err = LoadRules(cfg)
				}
				if err == nil {
					_, err = notify.New(cfg.Receivers, notify.Options{})
				}
				if err != nil {
					t.Error(err)
				}
			case "prometheus.yml":
				args := []string{"check", "config", file}
				if strings.Contains(s.file, "agent") {
					args = append(args, "--agent")
				}
				accepted(t, "promtool", args...)
			case "alertmanager.yml":
				accepted(t, "amtool", "check-config", file)
			case "grafana: provisioning/datasources/watchbill.yml": // no Grafana is here to ask
				if err := yaml.Unmarshal([]byte(s.text), map[string]any{}); err != nil {
					t.Error(err)
				}
			default:
				t.Errorf("its first line does not say of which file it is: %q", s.file)
			}
		})
	}
}

// put writes a file, and returns where it is.
func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// accepted tells whether a program of somebody else's, if it is here, takes what it is given.
func accepted(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), peerProgram(t, program), args...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", program, err, out)
	}
}
