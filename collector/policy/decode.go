package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
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

// Fault is what is wrong at one place of a file; Line is 0 where it stands nowhere in particular.
type Fault struct {
	File string
	Line int
	Err  error
}

// Error names the place and what is wrong.
func (f *Fault) Error() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %v", f.File, f.Err)
	}
	return fmt.Sprintf("%s: line %d: %v", f.File, f.Line, f.Err)
}

// Unwrap is what is wrong without the place.
func (f *Fault) Unwrap() error { return f.Err }

// How the YAML package tells of a line, of a key that a Go type lacks, and of a value of another type. Should it change its
// words, a person reads those.
var (
	atLine     = regexp.MustCompile(`(?s)^line (\d+): (.+)$`)
	unknownKey = regexp.MustCompile(`^field (.+) not found in type .+$`)
	wrongType  = regexp.MustCompile("(?s)^cannot unmarshal (!!\\w+)(?: `(.*)`)? into (.+)$")
)

// words puts the YAML package's faults into words for somebody who does not know Go: each is a *Fault.
func words(file string, err error) error {
	var bad *yaml.TypeError
	if !errors.As(err, &bad) {
		return fmt.Errorf("%s: %w", file, err)
	}
	var errs []error
	for _, e := range bad.Errors {
		f := &Fault{File: file}
		if m := atLine.FindStringSubmatch(e); m != nil {
			f.Line, _ = strconv.Atoi(m[1]) // digits alone
			e = m[2]
		}
		if m := unknownKey.FindStringSubmatch(e); m != nil {
			e = fmt.Sprintf("unknown key %q", m[1])
		} else if m := wrongType.FindStringSubmatch(e); m != nil {
			e = fmt.Sprintf("want %s, got %s", wanted(m[3], m[1]), found(m[1], m[2]))
		}
		f.Err = errors.New(e)
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

// wanted says what a value of a Go type looks like in YAML, where something of another tag stands.
func wanted(goType, tag string) string {
	number := func(kind string) bool { return strings.HasPrefix(goType, kind) }
	switch {
	case goType == "bool":
		return "true or false"
	case goType == "string":
		return "text"
	case goType == "time.Time":
		return "a time like 2026-11-28T22:00:00Z"
	case slices.ContainsFunc([]string{"int", "uint", "float"}, number):
		return "a number"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case tag == "!!map": // a type of its own, made of text
		return "one value"
	}
	return "keys with values"
}

// found says what stands there instead.
func found(tag, text string) string {
	switch tag {
	case "!!seq":
		return "a list"
	case "!!map":
		return "keys with values"
	case "!!null":
		return "nothing"
	}
	return strconv.Quote(text)
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
