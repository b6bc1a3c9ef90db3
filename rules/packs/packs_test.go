package packs_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/packs"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := fs.ReadFile(packs.Files(), name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// shipped is every pack, parsed.
func shipped(t *testing.T) []rules.Group {
	t.Helper()
	names, err := fs.Glob(packs.Files(), "*.yml")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, n := range names {
		if !strings.HasSuffix(n, "_test.yml") {
			files[n] = read(t, n)
		}
	}
	if len(files) == 0 {
		t.Fatal("no pack is embedded")
	}
	groups, err := rules.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return groups
}

func TestPacksPassTheirTests(t *testing.T) {
	names := ruleTests(t)
	if len(names) == 0 {
		t.Fatal("no tests of packs")
	}
	open := func(name string) ([]byte, error) { return fs.ReadFile(packs.Files(), name) }
	for _, n := range names {
		t.Run(n, func(t *testing.T) {
			t.Parallel()
			failures, err := rules.RunTests(t.Context(), n, read(t, n), open)
			if err != nil {
				t.Error(err)
			}
			for _, f := range failures {
				t.Error(f)
			}
		})
	}
}

func TestPacksMakeGoodTickets(t *testing.T) {
	for _, f := range rules.Check(shipped(t), rules.CheckOptions{}) {
		t.Error(f)
	}
	for _, g := range shipped(t) {
		for _, r := range g.Rules {
			if !r.Alerting() {
				continue
			}
			for _, a := range []string{"summary", "description", "first_checks"} {
				if r.Annotations.Get(a) == "" {
					t.Errorf("%s has no %s", r.Name(), a)
				}
			}
			if n := strings.Count(strings.TrimSpace(r.Annotations.Get("first_checks")), "\n") + 1; n < 2 || n > 3 {
				t.Errorf("%s: %d first checks, want two or three", r.Name(), n)
			}
			if !strings.Contains(r.Annotations.Get("summary"), "{{ $labels.instance }}") {
				t.Errorf("%s: the summary does not say which host", r.Name())
			}
		}
	}
}

// A word that the ownership map does not know makes a check of each pack fail.
func TestAnUnknownSystemIsAFault(t *testing.T) {
	all := byFile(t)
	for name := range all {
		content := strings.Replace(string(read(t, name)), "\n          system: ", "\n          system: un", 1)
		groups, err := rules.Load(map[string][]byte{name: []byte(content)})
		if err != nil {
			t.Fatal(err)
		}
		faults := 0
		for _, f := range rules.Check(groups, rules.CheckOptions{}) {
			if f.Fault {
				faults++
			}
		}
		if faults != 1 {
			t.Errorf("%s with one unknown system: %d faults, want 1", name, faults)
		}
	}
	if len(all) < 2 {
		t.Errorf("%d packs, want all of them", len(all))
	}
}

// byFile is the rules of each pack.
func byFile(t *testing.T) map[string][]*rules.Rule {
	t.Helper()
	out := map[string][]*rules.Rule{}
	for _, g := range shipped(t) {
		out[g.File] = append(out[g.File], g.Rules...)
	}
	return out
}

// notLocal are the rules that cannot be judged on one asset's samples alone, each with its reason. They wait for a timer.
var notLocal = map[string]string{}

func TestRulesAreAboutOneAsset(t *testing.T) {
	local := map[string]bool{}
	for _, g := range rules.Local(shipped(t)) {
		for _, r := range g.Rules {
			local[r.Name()] = true
		}
	}
	for _, g := range shipped(t) {
		for _, r := range g.Rules {
			reason, listed := notLocal[r.Name()]
			switch {
			case !local[r.Name()] && !listed:
				t.Errorf("%s: %s looks at more than one asset: keep instance in every match and aggregation, or say in notLocal why not", g.File, r.Name())
			case local[r.Name()] && listed:
				t.Errorf("%s: %s is in notLocal (%s) and looks at one asset only", g.File, r.Name(), reason)
			}
		}
	}
}

// Agents send again, after a restart of the collector that was not orderly, what the longest rule looks back on: one rule that
// looks back for a day would have all hosts pay for it.
func TestRulesLookBackLittle(t *testing.T) {
	for name, pack := range byFile(t) {
		for _, r := range pack {
			if r.Lookback > 90*time.Minute {
				t.Errorf("%s: %s looks back %v, want an hour and a half at most", name, r.Name(), r.Lookback)
			}
		}
	}
}

// Two rules of one name are two answers to the question what an alert means.
func TestNamesAreUnique(t *testing.T) {
	seen := map[string]string{}
	for name, pack := range byFile(t) {
		for _, r := range pack {
			if other, twice := seen[r.Name()]; twice {
				t.Errorf("%s is in %s and in %s", r.Name(), other, name)
			}
			seen[r.Name()] = name
		}
	}
}

// least is how many rules each pack has at least.
var least = map[string]int{
	"linux.yml": 35, "network.yml": 26, "backup.yml": 25, "security.yml": 18, "self.yml": 37,
}

func TestPacksDoNotShrink(t *testing.T) {
	all := byFile(t)
	for name, want := range least {
		if got := len(all[name]); got < want {
			t.Errorf("%s has %d rules, want %d at least", name, got, want)
		}
	}
}

// What is written down of a rule is where people look it up.
func TestREADMENamesEveryRule(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	for _, w := range regexp.MustCompile(`\w+`).FindAllString(string(readme), -1) {
		words[w] = true
	}
	for name, pack := range byFile(t) {
		for _, r := range pack {
			if !words[r.Name()] {
				t.Errorf("%s: the README does not name %s", name, r.Name())
			}
		}
	}
}

// Each rule must be seen to fire and seen not to, in the tests of its pack.
func TestEachRuleHasBothCases(t *testing.T) {
	for name, pack := range byFile(t) {
		fires, silent := cases(t, strings.TrimSuffix(name, ".yml"))
		for _, r := range pack {
			if r.Alerting() && (!fires[r.Name()] || !silent[r.Name()]) {
				t.Errorf("%s: %s: tested to fire: %t, tested not to: %t; want both", name, r.Name(), fires[r.Name()], silent[r.Name()])
			}
		}
	}
}

// cases is which alerts the tests of a pack, NAME_test.yml and NAME_*_test.yml, expect to fire and which not to.
func cases(t *testing.T, pack string) (fires, silent map[string]bool) {
	t.Helper()
	fires, silent = map[string]bool{}, map[string]bool{}
	for _, name := range ruleTests(t) {
		if !strings.HasPrefix(name, pack+"_") {
			continue
		}
		var f struct {
			Tests []struct {
				Alerts []struct {
					Name   string `yaml:"alertname"`
					Expect []any  `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			} `yaml:"tests"`
		}
		if err := yaml.Unmarshal(read(t, name), &f); err != nil {
			t.Fatal(err)
		}
		for _, test := range f.Tests {
			for _, a := range test.Alerts {
				fires[a.Name] = fires[a.Name] || len(a.Expect) > 0
				silent[a.Name] = silent[a.Name] || len(a.Expect) == 0
			}
		}
	}
	return fires, silent
}

// ruleTests are the files of rule tests; tests of tickets have a form of their own, and go test ./collector runs those.
func ruleTests(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(packs.Files(), "*_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(n string) bool { return strings.HasSuffix(n, "_ticket_test.yml") })
}

// A rule about Watchbill over a name or a reason that Watchbill does not tell would never fire, and nobody would notice.
func TestSelfReadsWhatWatchbillTells(t *testing.T) {
	source := sources(t, "../../collector", "../../agent")
	pack := string(read(t, "self.yml"))
	names := regexp.MustCompile(`\bwatchbill_[a-z_]+`).FindAllString(pack, -1)
	told := 0
	for _, name := range names {
		base := strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count")
		switch {
		case strings.HasSuffix(name, "_"): // a family, in a comment
		case strings.Contains(source, `"`+name+`"`), strings.Contains(source, `"`+base+`"`):
			told++
		default:
			t.Errorf("self.yml reads %s, which neither collector nor agent tells", name)
		}
	}
	for _, m := range regexp.MustCompile(`\b(?:reason|outcome|result|state)="([a-z_]+)"`).FindAllStringSubmatch(pack, -1) {
		if !strings.Contains(source, `"`+m[1]+`"`) {
			t.Errorf("self.yml reads %s, which neither collector nor agent tells", m[0])
		}
	}
	if told < 30 {
		t.Errorf("%d names found in self.yml, want all of them", told)
	}
}

// sources is all Go code below some directories that is not tests.
func sources(t *testing.T, dirs ...string) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			all.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// Packs are for any Prometheus: promtool reads them, and their tests run in it too. Debian's is of another version, with
// ranges that are closed on the left, so verdicts are our engine's.
func TestPromtoolReadsThePacks(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("WATCHBILL_REQUIRE_PEERS") != "" {
			t.Fatal(err)
		}
		t.Skip("promtool is not installed: apt-get install prometheus")
	}
	for name := range byFile(t) {
		if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", "--lint=all", "--lint-fatal", name).CombinedOutput(); err != nil {
			t.Errorf("promtool check rules %s: %v\n%s", name, err, out)
		}
	}
}
