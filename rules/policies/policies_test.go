package policies_test

import (
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/rules/policies"
)

// What a customer without a contract gets is a promise: it does not change by accident. No clock is in it.
func TestDefaultSet(t *testing.T) {
	content, err := fs.ReadFile(policies.Files(), "default/policy.yml")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := yaml.Unmarshal(content, &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "description")
	delete(got, "choice")
	want := map[string]any{
		"name": "default", "version": 1,
		"priorities": []any{"P1", "P2", "P3"},
		"classify": []any{
			map[string]any{"when": map[string]any{"severity": "critical"}, "priority": "P1", "because": "a critical fault"},
			map[string]any{"when": map[string]any{"severity": "info"}, "priority": "P3", "because": "for the record"},
			map[string]any{"priority": "P2", "because": "a fault"},
		},
		"owner":   "first level",
		"parties": map[string]any{"first level": map[string]any{"role": "technical-operation"}},
		"notices": []any{map[string]any{"name": "everybody", "on": []any{"*"}, "to": []any{map[string]any{"receiver": "all"}}}},

		"reopen_window": "24h", "close_after": "24h",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("default set (-want +got):\n%s", diff)
	}
}
