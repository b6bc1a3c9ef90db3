package packs_test

import (
	"io/fs"
	"strings"
	"testing"

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
	names, err := fs.Glob(packs.Files(), "*_test.yml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no tests of packs: %v", err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, "_ticket_test.yml") { // go test ./collector runs those
			continue
		}
		open := func(name string) ([]byte, error) { return fs.ReadFile(packs.Files(), name) }
		failures, err := rules.RunTests(t.Context(), n, read(t, n), open)
		if err != nil {
			t.Errorf("%s: %v", n, err)
		}
		for _, f := range failures {
			t.Error(f)
		}
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

// Each rule must be seen to fire and seen not to.
func TestEachRuleHasBothCases(t *testing.T) {
	var f struct {
		Tests []struct {
			Alerts []struct {
				Name   string `yaml:"alertname"`
				Expect []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	if err := yaml.Unmarshal(read(t, "linux_test.yml"), &f); err != nil {
		t.Fatal(err)
	}
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range f.Tests {
		for _, a := range test.Alerts {
			fires[a.Name] = fires[a.Name] || len(a.Expect) > 0
			silent[a.Name] = silent[a.Name] || len(a.Expect) == 0
		}
	}
	for _, g := range shipped(t) {
		for _, r := range g.Rules {
			if !fires[r.Name()] || !silent[r.Name()] {
				t.Errorf("%s: tested to fire: %t, tested not to: %t; want both", r.Name(), fires[r.Name()], silent[r.Name()])
			}
		}
	}
}
