package policy

import (
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// ScenarioSuffix is what the name of a file of scenarios ends in.
const ScenarioSuffix = "_test.yml"

// ScenarioLayout is how times are told: with weekday and zone, since both decide.
const ScenarioLayout = "Mon 2006-01-02 15:04:05 MST"

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// ScenarioFile is a file as it is written.
type ScenarioFile struct {
	// Sets are the sets of the customer's contract, where no directory says otherwise.
	Sets []string `yaml:"sets"`
	// Zone is that of times without one.
	Zone string `yaml:"zone"`
	// Directory is a fleet directory's file.
	Directory yaml.Node  `yaml:"directory"`
	Scenarios []Scenario `yaml:"scenarios"`

	// Name is the file's.
	Name string `yaml:"-"`
}

// Scenario is one story.
type Scenario struct {
	Name   string   `yaml:"name"`
	Proves []string `yaml:"proves"`
	// Open are sentences that the scenario is about and cannot show yet, each with what is missing.
	Open map[string]string `yaml:"open"`
	// Sets, Zone and Directory replace the file's.
	Sets      []string  `yaml:"sets"`
	Zone      string    `yaml:"zone"`
	Directory yaml.Node `yaml:"directory"`
	// Customer is whose tickets they are: the directory's first by default.
	Customer string `yaml:"customer"`
	// Contract are keys of that customer's first contract that are otherwise here; null takes one away.
	Contract yaml.Node `yaml:"contract"`
	// Edit changes sets before anything happens: name → what is otherwise, merged key by key; null takes one away.
	Edit map[string]yaml.Node `yaml:"edit"`
	// Faults are texts that loading the edited sets has to complain with: each must be part of one complaint.
	Faults   []string       `yaml:"faults"`
	Timeline []ScenarioStep `yaml:"timeline"`

	// Line is where it stands in the file, Zoned its zone.
	Line  int            `yaml:"-"`
	Zoned *time.Location `yaml:"-"`
}

// ScenarioStep is one moment: something happens, or nothing, and is looked at afterwards.
type ScenarioStep struct {
	// At is a time with date and zone, a time of the scenario's zone, or +DURATION after the step before.
	At     string      `yaml:"at"`
	Open   *OpenStep   `yaml:"open"`
	Fire   *AlertStep  `yaml:"fire"`
	End    *AlertStep  `yaml:"end"`
	Do     *DoStep     `yaml:"do"`
	Change *ChangeStep `yaml:"change"`
	Read   *ReadStep   `yaml:"read"`
	// Override puts somebody else on call for a while.
	Override *OverrideStep `yaml:"override"`
	// Down keeps the collector down until then.
	Down   string       `yaml:"down"`
	Expect *Expectation `yaml:"expect"`

	// Line is where it stands in the file, When when it is, DownTo until when the collector is down.
	Line   int       `yaml:"-"`
	When   time.Time `yaml:"-"`
	DownTo time.Time `yaml:"-"`
}

// ChangeStep changes what is in force: the customer's contract, the directory, sets.
type ChangeStep struct {
	Contract  yaml.Node            `yaml:"contract"`
	Directory yaml.Node            `yaml:"directory"`
	Edit      map[string]yaml.Node `yaml:"edit"`
}

// ReadStep is the confirmation that an intake was read.
type ReadStep struct {
	Intake string   `yaml:"intake"`
	By     string   `yaml:"by"`
	Roles  []string `yaml:"roles"`
}

// OverrideStep is somebody on call out of turn, from From (now without it) until Until.
type OverrideStep struct {
	Rota   string `yaml:"rota"`
	Person string `yaml:"person"`
	From   string `yaml:"from"`
	Until  string `yaml:"until"`
	By     string `yaml:"by"`
	Reason string `yaml:"reason"`
}

// ParseScenarios reads a file strictly. The error joins every fault, each with its line.
func ParseScenarios(name string, content []byte) (*ScenarioFile, error) {
	f := &ScenarioFile{Name: name}
	if err := Decode(name, content, f); err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c := scenarioCheck{file: f, names: map[string]int{}}
	for i, n := range items(&doc, "scenarios") {
		if i < len(f.Scenarios) {
			c.scenario(&f.Scenarios[i], n)
		}
	}
	return f, c.err()
}

// items are the nodes of the list under a key of a document or a mapping.
func items(n *yaml.Node, key string) []*yaml.Node {
	if v := valueOf(n, key); v != nil {
		return v.Content
	}
	return nil
}

// valueOf is the value of a key of a mapping, or of a document that is one; nil when there is none.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	if n != nil && n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// scenarioCheck finds what is wrong in a file before it is played, and reads its times.
type scenarioCheck struct {
	file  *ScenarioFile
	names map[string]int
	errs  []string
}

func (c *scenarioCheck) fault(line int, format string, args ...any) {
	c.errs = append(c.errs, fmt.Sprintf("%s:%d: %s", c.file.Name, line, fmt.Sprintf(format, args...)))
}

func (c *scenarioCheck) err() error {
	if len(c.errs) == 0 {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(c.errs, "\n"))
}

func (c *scenarioCheck) scenario(s *Scenario, n *yaml.Node) {
	s.Line = n.Line
	if s.Name == "" {
		c.fault(s.Line, "the scenario has no name: want name: what it tells, in a few words")
	}
	if before, twice := c.names[s.Name]; twice {
		c.fault(s.Line, "the scenario %q stands in line %d already: give one of them another name", s.Name, before)
	}
	c.names[s.Name] = s.Line
	var err error
	if s.Zoned, err = time.LoadLocation(or(s.Zone, or(c.file.Zone, "UTC"))); err != nil {
		c.fault(s.Line, "zone: %v: want one like Europe/London", err)
		s.Zoned = time.UTC
	}
	if len(s.Timeline) == 0 && len(s.Faults) == 0 {
		c.fault(s.Line, "the scenario %q has neither a timeline nor faults: nothing would be shown", s.Name)
	}
	nodes := items(n, "timeline")
	var now time.Time
	for i := range s.Timeline {
		s.Timeline[i].Line = nodes[i].Line
		now = c.step(s, &s.Timeline[i], now)
	}
}

// step reads a step's times and returns when it is; now is the time of the one before.
func (c *scenarioCheck) step(s *Scenario, st *ScenarioStep, now time.Time) time.Time {
	var err error
	if st.When, err = s.Time(st.At, now); err != nil {
		c.fault(st.Line, "at: %v", err)
		return now
	}
	if st.When.Before(now) {
		c.fault(st.Line, "at: %s lies before the step before it (%s): a timeline goes forward", st.At, now.Format(ScenarioLayout))
	}
	happens := 0
	for _, has := range []bool{st.Open != nil, st.Fire != nil, st.End != nil, st.Do != nil, st.Change != nil, st.Override != nil, st.Read != nil, st.Down != ""} {
		if has {
			happens++
		}
	}
	switch {
	case happens > 1:
		c.fault(st.Line, "one thing happens in a step: want one of open, fire, end, do, change, override, read, down; make further steps of the same time")
	case happens == 0 && st.Expect == nil:
		c.fault(st.Line, "nothing happens in the step and nothing is expected: want one of open, fire, end, do, change, override, read, down, or expect")
	}
	if st.Down != "" {
		if st.DownTo, err = s.Time(st.Down, st.When); err != nil {
			c.fault(st.Line, "down: %v", err)
		}
	}
	return st.When
}

// layouts are how times are written; those without a zone are of the scenario's.
var layouts = []string{"2006-01-02 15:04", "2006-01-02 15:04:05"}

// Time reads a time: RFC 3339, local with or without the name of a zone, or +DURATION after now.
func (s *Scenario) Time(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "" || text == "now":
		if now.IsZero() {
			return now, fmt.Errorf("is missing: the first step needs a time, such as 2026-03-02 09:00")
		}
		return now, nil
	case strings.HasPrefix(text, "+"):
		d, err := time.ParseDuration(text[1:])
		if err != nil || now.IsZero() {
			return now, fmt.Errorf("%q: want +DURATION after an earlier step, such as +90m", text)
		}
		return now.Add(d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.In(s.Zoned), nil
	}
	zone := s.Zoned
	if i := strings.LastIndexByte(text, ' '); i > 0 && !strings.ContainsAny(text[i:], ":") {
		l, err := time.LoadLocation(text[i+1:])
		if err != nil {
			return now, fmt.Errorf("%q: %q is no zone: want one like Europe/London", text, text[i+1:])
		}
		zone, text = l, text[:i]
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t.In(s.Zoned), nil
		}
	}
	return now, fmt.Errorf("%q is no time: want 2026-03-02T09:00:00Z, 2026-03-02 09:00 (in zone), 2026-03-02 09:00 Europe/London or +90m", text)
}
