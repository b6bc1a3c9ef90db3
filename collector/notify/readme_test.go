package notify

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Every example of the README is a configuration that a collector takes.
func TestReadmeExamplesAreConfigurations(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(b), -1)
	kinds := map[string]bool{}
	for _, block := range blocks {
		var c struct {
			Receivers []Receiver `yaml:"receivers"`
		}
		d := yaml.NewDecoder(strings.NewReader(block[1]))
		d.KnownFields(true)
		if err := d.Decode(&c); err != nil {
			t.Errorf("%v in:\n%s", err, block[1])
		} else if err := Validate(c.Receivers); err != nil || len(c.Receivers) == 0 {
			t.Errorf("%d receivers, %v in:\n%s", len(c.Receivers), err, block[1])
		}
		for _, r := range c.Receivers {
			for _, k := range r.kinds() {
				kinds[k.key] = true
			}
		}
	}
	if len(kinds) != 6 {
		t.Errorf("examples of %v, want one of every kind", kinds)
	}
}
