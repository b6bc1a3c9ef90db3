package incident

import (
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
)

// Muter tells which mutings and maintenance windows hold an alert back. It is made once for many alerts, and never changes but
// with who owns which customer:
//
//	alert ─► the values of a few of its labels ─► those mutings that ask for one of them, and those that ask for none
type Muter struct {
	// byLabel are those with a condition label="value", by label and value; rest are all others.
	byLabel map[string]map[string][]muter
	rest    []muter
	mutings []Muting
	windows []Window
	owner   func(customer string) (department string)
}

// muter is one muting or window, compiled; the other of the two is -1.
type muter struct {
	matchers       []*labels.Matcher
	muting, window int
}

// MutedBy is one thing that holds an alert back.
type MutedBy struct {
	// ID is that of the muting, empty of a window; Name the window's, empty of a muting.
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// By is who said so, Comment why.
	By      string `json:"by,omitempty"`
	Comment string `json:"comment,omitempty"`
}

// NewMuter compiles mutings and windows. What cannot be compiled holds nothing back: it was refused on its way in. owner tells
// which department owns a customer now, empty for none.
func NewMuter(mutings []Muting, windows []Window, owner func(customer string) (department string)) *Muter {
	m := &Muter{byLabel: map[string]map[string][]muter{}, mutings: mutings, windows: windows, owner: owner}
	for i, one := range mutings {
		m.add(one.Matchers, muter{muting: i, window: -1})
	}
	for i, one := range windows {
		m.add(one.Matchers, muter{muting: -1, window: i})
	}
	return m
}

// indexFirst are the labels by which mutings are best told apart, the best first.
var indexFirst = []string{"instance", "customer", "alertname"}

func (m *Muter) add(all []Matcher, one muter) {
	compiled, err := compile(all)
	if err != nil {
		return
	}
	one.matchers = compiled
	var by *labels.Matcher
	for _, c := range compiled {
		if c.Type == labels.MatchEqual && c.Value != "" && (by == nil || prefers(c.Name, by.Name)) {
			by = c
		}
	}
	if by == nil {
		m.rest = append(m.rest, one)
		return
	}
	if m.byLabel[by.Name] == nil {
		m.byLabel[by.Name] = map[string][]muter{}
	}
	m.byLabel[by.Name][by.Value] = append(m.byLabel[by.Name][by.Value], one)
}

func prefers(a, b string) bool {
	for _, name := range indexFirst {
		if name == a || name == b {
			return name == a && a != b
		}
	}
	return false
}

// Mutings and Windows are what it was made of.
func (m *Muter) Mutings() []Muting {
	if m == nil {
		return nil
	}
	return m.mutings
}

// Windows are the maintenance windows it was made of.
func (m *Muter) Windows() []Window {
	if m == nil {
		return nil
	}
	return m.windows
}

// By is what holds an alert back at now, nil when nothing does.
func (m *Muter) By(a Alert, now time.Time) (out []MutedBy) {
	if m == nil {
		return nil
	}
	look := func(some []muter) {
		for _, one := range some {
			if one.matches(a) && m.holds(one, a.Customer, now) {
				out = append(out, m.word(one))
			}
		}
	}
	for name, values := range m.byLabel {
		v := a.Label(name)
		look(values[v])
		if sent, ok := a.sent(name); ok && sent != v {
			look(values[sent])
		}
	}
	look(m.rest)
	return out
}

// matches tells whether an alert fulfils all matchers. One that was sent goes by either of its names, the sender's and the
// house's, for people see both: what a matcher wants, one of them has to be, and what it does not want, neither.
func (u muter) matches(a Alert) bool {
	for _, c := range u.matchers {
		ok := c.Matches(a.Label(c.Name))
		if v, two := a.sent(c.Name); two && ok == (c.Type == labels.MatchNotEqual || c.Type == labels.MatchNotRegexp) {
			ok = c.Matches(v)
		}
		if !ok {
			return false
		}
	}
	return true
}

func (m *Muter) holds(one muter, customer string, now time.Time) bool {
	if one.muting >= 0 {
		s := m.mutings[one.muting]
		return s.State(now) == MutingActive && (s.Bound == nil || s.Bound.Covers(customer, m.owner(customer)))
	}
	return m.windows[one.window].Active(now)
}

func (m *Muter) word(one muter) MutedBy {
	if one.muting >= 0 {
		s := m.mutings[one.muting]
		return MutedBy{ID: s.ID, By: s.CreatedBy, Comment: s.Comment}
	}
	w := m.windows[one.window]
	return MutedBy{Name: w.Name, Comment: w.Comment}
}

// InForce names what holds at now: while it stays the same, no alert comes free.
func (m *Muter) InForce(now time.Time) (mutings, windows []string) {
	if m == nil {
		return nil, nil
	}
	for _, s := range m.mutings {
		if s.State(now) == MutingActive {
			mutings = append(mutings, s.ID)
		}
	}
	for _, w := range m.windows {
		if w.Active(now) {
			windows = append(windows, w.Name)
		}
	}
	return mutings, windows
}

// Label is the value of one of the alert's labels as matchers see it. Customer and site are what the fleet says; alert name,
// instance, service, system and severity are what the alert was taken for where its labels do not say.
func (a Alert) Label(name string) string {
	switch name {
	case "customer":
		return a.Customer
	case "site":
		return a.Site
	}
	if v := a.Labels[name]; v != "" {
		return v
	}
	switch name {
	case "alertname":
		return a.Name
	case "instance":
		return a.Asset
	case "service":
		return a.Service
	case "system":
		return a.System
	case "severity":
		return string(a.Severity)
	}
	return ""
}

// sent is what the sender of an alert called what the house calls otherwise: instance="web1:9100" of asset web1, say. Customer
// and site are the fleet's word alone: who may silence what hangs on them.
func (a Alert) sent(name string) (string, bool) {
	if !a.Fed() {
		return "", false
	}
	switch name {
	case "instance", "service", "system", "severity":
		v, ok := a.Labels["exported_"+name]
		return v, ok
	}
	return "", false
}
