package cmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// program is what the units start; here stands in for it, since it is not installed where tests run.
var program = regexp.MustCompile(`/usr/bin/watchbill(-agent)?`)

// units copies the units, and the drop-ins beside them with every right switched on, to where systemd-analyze reads them.
func units(t *testing.T) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	found, err := filepath.Glob("../deploy/systemd/*.service")
	if err != nil || len(found) < 2 {
		t.Fatalf("units: %v, %v", found, err)
	}
	drops, err := filepath.Glob("../deploy/systemd/*.service.d/*.conf")
	if err != nil || len(drops) == 0 {
		t.Fatalf("drop-ins: %v, %v", drops, err)
	}
	for _, name := range append(found, drops...) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := program.ReplaceAllString(string(b), "/bin/true")
		to := filepath.Join(dir, filepath.Base(name))
		if strings.HasSuffix(name, ".conf") {
			text = regexp.MustCompile(`(?m)^#([A-Z][A-Za-z]+=)`).ReplaceAllString(text, "$1")
			to = filepath.Join(dir, filepath.Base(filepath.Dir(name)), filepath.Base(name))
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
		} else {
			names = append(names, filepath.Base(name))
		}
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, names
}

// analyze runs systemd-analyze in dir, or skips where there is none.
func analyze(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("WATCHBILL_REQUIRE_PEERS") == "1" {
			t.Fatalf("required by WATCHBILL_REQUIRE_PEERS: %v; install systemd", err)
		}
		t.Skipf("units are checked by systemd's own tool: %v; install systemd", err)
	}
	cmd := exec.CommandContext(t.Context(), tool, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestUnits: systemd finds no fault with the units, and no line that it ignores.
func TestUnits(t *testing.T) {
	dir, names := units(t)
	for _, name := range names {
		if out, err := analyze(t, dir, "verify", "--man=no", "./"+name); err != nil || out != "" {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	bad := filepath.Join(dir, "bad.service")
	if err := os.WriteFile(bad, []byte("[Service]\nExecStart=/bin/true\nProtectEverything=yes\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := analyze(t, dir, "verify", "--man=no", "./bad.service"); err == nil && out == "" {
		t.Error("a line that systemd does not know is not seen: this proves nothing")
	}
}

// TestUnitsExposure holds how little the units may do, as systemd counts it: 0 is nothing, 10 everything.
func TestUnitsExposure(t *testing.T) {
	dir, _ := units(t)
	if err := os.RemoveAll(filepath.Join(dir, "watchbill-agent.service.d")); err != nil { // what the operator adds
		t.Fatal(err)
	}
	level := regexp.MustCompile(`Overall exposure level for [^:]+: ([0-9.]+)`)
	for name, most := range map[string]float64{"watchbill.service": 1.5, "watchbill-agent.service": 2.8} {
		out, err := analyze(t, dir, "security", "--offline=true", "--no-pager", "./"+name)
		m := level.FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		got, err := strconv.ParseFloat(m[1], 64)
		if err != nil || got > most {
			t.Errorf("%s is exposed to %v, at most %v was meant (%v)", name, got, most, err)
		}
		t.Logf("%s: %v", name, got)
	}
}
