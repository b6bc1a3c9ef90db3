package dashboards

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestProvisioning: the files are what Grafana's provisioning reads, name no host of anybody's, and lead to where the README
// installs the dashboards.
func TestProvisioning(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var providers struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type string
			Options    struct{ Path string }
		}
	}
	decode(t, "provisioning/dashboards/watchbill.yml", &providers)
	if providers.APIVersion != 1 || len(providers.Providers) != 1 || providers.Providers[0].Type != "file" ||
		!strings.Contains(string(readme), "install -m 644 dashboards/*.json "+providers.Providers[0].Options.Path+"/\n") {
		t.Errorf("dashboards: %+v: the README installs elsewhere, or it is no provider of files", providers)
	}
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct{ Name, Type, Access, URL, UID string }
	}
	decode(t, "provisioning/datasources/watchbill.yml", &sources)
	if sources.APIVersion != 1 || len(sources.Datasources) != 2 {
		t.Errorf("data sources: %+v: expected two", sources)
	}
	for _, s := range sources.Datasources {
		if s.Type != "prometheus" || s.Access != "proxy" || !strings.HasPrefix(s.URL, "$") || s.UID != "" {
			t.Errorf("data source %+v: expected a Prometheus by proxy at an address from the environment", s)
		}
		if !strings.Contains(string(readme), strings.TrimPrefix(s.URL, "$")) {
			t.Errorf("the README does not say what %s is", s.URL)
		}
	}
}

func decode(t *testing.T, file string, into any) {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
