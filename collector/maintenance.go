package collector

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/timeinterval"
	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/collector/incident"
)

// Maintenance is a recurring or single time in which alerts of some labels open no tickets.
type Maintenance struct {
	Name    string `yaml:"name"`
	Comment string `yaml:"comment"`
	// Matchers are conditions as Alertmanager writes them, all of which an alert fulfils: customer="acme", instance=~"web.*".
	Matchers []string `yaml:"matchers"`
	// Times are Alertmanager's time intervals; any one of them suffices. Empty: all the time between From and Until.
	Times []Interval `yaml:"times"`
	// From and Until bound it; zero does not.
	From  time.Time `yaml:"from"`
	Until time.Time `yaml:"until"`
}

// Interval is Alertmanager's time interval, read strictly.
type Interval struct {
	timeinterval.TimeInterval
	empty bool
}

// UnmarshalYAML reads it; what is wrong names its line and keeps no other fault from being found.
func (i *Interval) UnmarshalYAML(n *yaml.Node) error {
	text, err := yaml.Marshal(n)
	if err != nil {
		return err
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&i.TimeInterval); err != nil {
		fault := fmt.Sprintf("line %d: a time of maintenance: %s; write it like {location: Europe/Berlin, weekdays: [saturday], "+
			`times: [{start_time: "22:00", end_time: "24:00"}]}, and two of them for what crosses midnight`,
			n.Line, strings.TrimPrefix(err.Error(), "yaml: "))
		return &yaml.TypeError{Errors: []string{oneLine(fault)}}
	}
	i.empty = len(i.Times) == 0 && len(i.Weekdays) == 0 && len(i.DaysOfMonth) == 0 && len(i.Months) == 0 && len(i.Years) == 0
	return nil
}

// MaintenancePlan is all of them.
type MaintenancePlan []Maintenance

// Validate names every fault at once.
func (p MaintenancePlan) Validate() error {
	var errs []error
	seen := map[string]bool{}
	for i, m := range p {
		at := fmt.Sprintf("maintenance[%d]", i)
		if m.Name != "" && !seen[m.Name] {
			at = fmt.Sprintf("maintenance[%q]", m.Name)
		}
		fault := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%s."+format, append([]any{at}, args...)...))
		}
		if strings.TrimSpace(m.Name) == "" {
			fault("name: must say what people know it by")
		} else if seen[m.Name] {
			fault("name: there is another of the name %q", m.Name)
		}
		seen[m.Name] = true
		for _, err := range m.faults() {
			fault("%w", err)
		}
	}
	return errors.Join(errs...)
}

// faults is what is wrong with one of them beside its name.
func (m Maintenance) faults() (errs []error) {
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	w, err := m.window()
	if err != nil {
		errs = apart(err)
	} else if err := (incident.Muting{Matchers: w.Matchers}).Validate(); err != nil {
		fault(`matchers: %s: write for instance customer="acme"; alertname=~".+" is every alert`, strings.TrimPrefix(err.Error(), "invalid silence: "))
	}
	if len(m.Times) == 0 && (m.From.IsZero() || m.Until.IsZero()) {
		fault("times: it names none and would hold for ever: name some, or both from and until for a single one")
	}
	for n, t := range m.Times {
		if t.empty {
			fault("times[%d]: it names no times, weekdays, days, months or years and would hold for ever", n)
		}
	}
	if !m.From.IsZero() && !m.Until.IsZero() && !m.From.Before(m.Until) {
		fault("until: must be after from (%s), got %s", m.From.Format(time.RFC3339), m.Until.Format(time.RFC3339))
	}
	return errs
}

func (m Maintenance) window() (incident.Window, error) {
	w := incident.Window{Name: m.Name, Comment: m.Comment, From: m.From, Until: m.Until}
	var errs []error
	for _, text := range m.Matchers {
		one, err := incident.ParseMatcher(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("matchers: %w", err))
		}
		w.Matchers = append(w.Matchers, one)
	}
	for _, t := range m.Times {
		w.Times = append(w.Times, t.TimeInterval)
	}
	return w, errors.Join(errs...)
}

// windows are the plan's windows; what is wrong with one was found by Validate.
func (p MaintenancePlan) windows() []incident.Window {
	out := make([]incident.Window, 0, len(p))
	for _, m := range p {
		w, err := m.window()
		if err == nil {
			out = append(out, w)
		}
	}
	return out
}
