package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Decode reads one YAML document strictly: an unknown key, a wrong type or a second document is an error that names
// file and line, all of them at once. An empty document leaves into as it is.
func Decode(file string, content []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(content))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return words(file, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: there is a second document after `---`: keep everything in one", file)
	}
	return nil
}

// unknownKey is how the YAML package tells of a key that a Go type lacks. Should it change its words, a person reads
// those.
var unknownKey = regexp.MustCompile(`^line (\d+): field (.+) not found in type .+$`)

// words puts the YAML package's faults into words for somebody who does not know Go.
func words(file string, err error) error {
	var bad *yaml.TypeError
	if !errors.As(err, &bad) {
		return fmt.Errorf("%s: %w", file, err)
	}
	var errs []error
	for _, e := range bad.Errors {
		if m := unknownKey.FindStringSubmatch(e); m != nil {
			errs = append(errs, fmt.Errorf("%s: line %s: unknown key %q", file, m[1], m[2]))
			continue
		}
		errs = append(errs, fmt.Errorf("%s: %s", file, e))
	}
	return errors.Join(errs...)
}

// Duration is written as Prometheus writes durations: 90s, 15m, 1d.
type Duration time.Duration

// UnmarshalYAML reads a Prometheus duration. Its faults are gathered with those of other fields.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := model.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is no duration; write it like 90s, 15m or 24h", n.Line, n.Value)}}
	}
	*d = Duration(v)
	return nil
}

// String is the duration as Prometheus writes it.
func (d Duration) String() string { return model.Duration(d).String() }
