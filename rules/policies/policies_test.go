package policies_test

import (
	"bytes"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/rules/policies"
)

// What a customer without a contract gets is a promise: it does not change by accident.
func TestDefaultSet(t *testing.T) {
	content, err := fs.ReadFile(policies.Files(), "default/policy.yml")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Name         string            `yaml:"name"`
		Version      string            `yaml:"version"`
		Description  string            `yaml:"description"`
		Priorities   map[string]string `yaml:"priorities"`
		Owner        string            `yaml:"owner"`
		ReopenWindow string            `yaml:"reopen_window"`
		CloseAfter   string            `yaml:"close_after"`
	}
	d := yaml.NewDecoder(bytes.NewReader(content))
	d.KnownFields(true) // a clock, for one, would be an unknown field
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"critical": "P1", "warning": "P2", "info": "P3"}
	if diff := cmp.Diff(want, got.Priorities); diff != "" {
		t.Errorf("priorities (-want +got):\n%s", diff)
	}
	if got.Name != "default" || got.Version != "1" || got.Owner != "first level" || got.ReopenWindow != "24h" || got.CloseAfter != "24h" {
		t.Errorf("got %+v", got)
	}
}
