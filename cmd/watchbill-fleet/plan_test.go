package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestPlanSpreadsAgents(t *testing.T) {
	p := newPlan(100, places(2, 5), 0.3, "sim")
	sites, windows := map[place]int{}, 0
	for _, a := range p.Agents {
		sites[place{a.Customer, a.Site}]++
		if a.OS == osWindows {
			windows++
		}
	}
	if len(sites) != 10 || windows != 30 {
		t.Errorf("%d sites, %d Windows hosts, want 10 and 30", len(sites), windows)
	}
	for where, n := range sites {
		if n != 10 {
			t.Errorf("%d agents at %v, want 10", n, where)
		}
	}
	if few := newPlan(3, places(2, 5), 0, "sim"); len(few.Agents) != 3 {
		t.Errorf("%d agents", len(few.Agents))
	}
}

func TestPlanIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fleet")
	if _, err := readPlan(dir); !errors.Is(err, errNoPlan) {
		t.Errorf("error %v, want errNoPlan", err)
	}
	want := newPlan(7, places(1, 2), 0.5, "x")
	if err := want.write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := readPlan(dir)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	info, err := os.Stat(filepath.Join(dir, planFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestDecodePlanRefuses(t *testing.T) {
	one := func(name, system string) string {
		return fmt.Sprintf(`{"format": 1, "agents": [{"name": %q, "customer": "a", "site": "b", "os": %q}]}`, name, system)
	}
	for name, c := range map[string]struct{ raw, says string }{
		"another format":   {`{"format": 2, "agents": [{}]}`, "format 2"},
		"nobody":           {`{"format": 1, "agents": []}`, "0 agents"},
		"a way out":        {one("../../etc", "linux"), "is no name"},
		"a way out, there": {one(`..\x`, "linux"), "is no name"},
		"hidden":           {one("..", "linux"), "is no name"},
		"another system":   {one("x", "plan9"), "plan9"},
		"twice":            {`{"format": 1, "agents": [{"name": "x", "os": "linux"}, {"name": "x", "os": "linux"}]}`, "twice"},
		"no JSON":          {"agents:", "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := decodePlan([]byte(c.raw)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}

func FuzzDecodePlan(f *testing.F) {
	raw, err := json.Marshal(newPlan(2, places(1, 1), 0.5, "x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := decodePlan(raw)
		if err != nil {
			return
		}
		for _, a := range p.Agents {
			if inside, err := filepath.Rel("d", dirOf("d", a.Name)); err != nil || !filepath.IsLocal(inside) || inside == agentsDir {
				t.Fatalf("%q lies outside", a.Name)
			}
		}
	})
}

func TestParsePlace(t *testing.T) {
	if got, err := parsePlace("acme/london"); err != nil || got != (place{"acme", "london"}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "acme", "/", "acme/", "/x", "a/b/c"} {
		if _, err := parsePlace(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// What directory prints is what prepare puts agents into.
func TestDirectoryDeclaresEveryPlace(t *testing.T) {
	var b bytes.Buffer
	all := places(3, 2)
	if err := writeDirectory(&b, all); err != nil {
		t.Fatal(err)
	}
	var d struct {
		Customers []struct {
			ID    string
			Sites []struct{ ID string }
		}
	}
	if err := yaml.Unmarshal(b.Bytes(), &d); err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	declared := map[place]bool{}
	for _, c := range d.Customers {
		for _, s := range c.Sites {
			declared[place{c.ID, s.ID}] = true
		}
	}
	if len(declared) != len(all) || len(d.Customers) != 3 {
		t.Errorf("declared %v, want %v", declared, all)
	}
	for _, p := range all {
		if !declared[p] {
			t.Errorf("%v is not declared", p)
		}
	}
}

func TestOperatorToken(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, tokenName)
	if _, err := operatorToken("", dir); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v, want one that names %s", err, file)
	}
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := operatorToken("", dir); err != nil || got != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := operatorToken(file, "elsewhere"); err != nil || got != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	t.Setenv(tokenEnv, "")
	if _, err := operatorToken("", ""); err == nil || !strings.Contains(err.Error(), tokenEnv) {
		t.Errorf("error %v, want one that names $%s", err, tokenEnv)
	}
	t.Setenv(tokenEnv, "other")
	if got, err := operatorToken("", ""); err != nil || got != "other" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestOperatorSaysWhatTheCollectorSays(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		body, says string
	}{
		"refused":         {403, `{"error": {"code": "forbidden", "message": "you may not", "hint": "ask"}}`, "you may not: ask"},
		"not a collector": {200, "<html>", "check --url"},
		"a strange error": {500, "oops", "500"},
		"a broken token":  {200, `{"text": "x"}`, "token cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer secret" {
					t.Error("no token was shown")
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer s.Close()
			t.Setenv(tokenEnv, "secret")
			o, err := newOperator(s.URL, "", "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := o.enrolment(t.Context(), planned{Name: "x"}); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
	for _, bad := range []string{"", "127.0.0.1:9720", "ftp://x", "http://a:b@x"} {
		if _, err := newOperator(bad, "", ""); err == nil || !strings.Contains(err.Error(), "--url") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// good is a configuration without a fault.
func good() config {
	return config{dir: "x", interval: 15 * time.Second, duration: time.Minute, series: 200, attacks: 1, every: time.Second, output: "text"}
}

func TestConfigNamesEveryFault(t *testing.T) {
	if err := good().validate(); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*config)
		says   string
	}{
		"no directory":     {func(c *config) { c.dir = "" }, "--dir"},
		"too many agents":  {func(c *config) { c.agents = maxAgents + 1 }, "--agents"},
		"too fast":         {func(c *config) { c.interval = 0 }, "--interval"},
		"for ever":         {func(c *config) { c.duration = 0 }, "--duration"},
		"series":           {func(c *config) { c.series = 3 }, "--series"},
		"churn":            {func(c *config) { c.churn = -1 }, "--churn"},
		"events":           {func(c *config) { c.events = 1e9 }, "--events"},
		"spool":            {func(c *config) { c.spooled = 2 }, "--spool"},
		"sources":          {func(c *config) { c.sources = maxSources + 1 }, "--sources"},
		"attacks":          {func(c *config) { c.attacks = 0 }, "--hostile-rate"},
		"output":           {func(c *config) { c.output = "xml" }, "--output"},
		"every":            {func(c *config) { c.every = 0 }, "--every"},
		"spread":           {func(c *config) { c.phases = -1 }, "--spread"},
		"flat out, spool":  {func(c *config) { c.flatOut, c.spooled = true, 1 }, "--flat-out"},
		"nothing to write": {func(c *config) { c.lifeOnly, c.peerURL = true, "http://127.0.0.1:9090/" }, "--no-samples"},
		"too late":         {func(c *config) { c.faults = []fault{{kind: faultValue, share: 1, after: time.Hour}} }, "before it begins"},
		"no URL":           {func(c *config) { c.collectorURL = "127.0.0.1" }, "--collector-url"},
		"remote":           {func(c *config) { c.peerURL = "http://prometheus.example:9090/api/v1/write" }, "--allow-remote"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := good()
			c.change(&bad)
			if err := bad.validate(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %s", err, c.says)
			}
		})
	}
	all := config{}
	if err := all.validate(); err == nil || strings.Count(err.Error(), "\n") < 6 {
		t.Errorf("an empty configuration has more faults than %v", err)
	}
	remote := good()
	remote.collectorURL, remote.allowRemote = "https://collector.example", true
	if err := remote.validate(); err != nil {
		t.Errorf("with --allow-remote: %v", err)
	}
}

// A command line that is wrong is told apart from a run that failed.
func TestWrongCommandLines(t *testing.T) {
	for _, args := range [][]string{
		{"run"}, {"run", "--dir", "x", "--fault", "x"}, {"run", "surplus"}, {"run", "--nonsense"}, {"prepare"},
		{"prepare", "--dir", "x", "--place", "x"}, {"directory", "--customers", "0"},
	} {
		root := newRoot()
		root.SetArgs(args)
		root.SetOut(&bytes.Buffer{})
		if err := root.Execute(); !errors.Is(err, errUsage) || exitCode(err) != 2 || !strings.Contains(err.Error(), "--help") {
			t.Errorf("%q: %v", args, err)
		}
	}
	root := newRoot()
	root.SetArgs([]string{"run", "--dir", t.TempDir()})
	if err := root.Execute(); !errors.Is(err, errNoPlan) || exitCode(err) != 1 {
		t.Errorf("no fleet: %v", err)
	}
}
