package ingest

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
)

// Places is the fleet, as far as a mapping asks it.
type Places interface {
	Asset(name string) (fleet.Asset, bool)
	Customer(id string) (fleet.Customer, bool)
	Site(customer, site string) (fleet.Site, bool)
}

// Mapping says whom and what the alerts that it matches are about. The first that matches decides; with Continue those
// after it may say what it did not.
type Mapping struct {
	// Match are Alertmanager's matchers, all of which hold: team="db", severity=~"page|critical". None match everything.
	Match []string `yaml:"match"`
	// Set is what is said.
	Set MappingSet `yaml:"set"`
	// Continue looks at the mappings after it too.
	Continue bool `yaml:"continue"`
}

// MappingSet is what a mapping says of an alert; what is not set is left to other mappings and to what is usual.
type MappingSet struct {
	Customer MappingValue `yaml:"customer"`
	Asset    MappingValue `yaml:"asset"`
	Site     MappingValue `yaml:"site"`
	Service  MappingValue `yaml:"service"`
	System   MappingValue `yaml:"system"`
	Severity MappingValue `yaml:"severity"`
}

// MappingValue is a constant, or made from a label.
type MappingValue struct {
	// Value is the constant.
	Value string `yaml:"value"`
	// Label is the label it is read from.
	Label string `yaml:"label"`
	// Regex has to match the whole of the label's value, or nothing is said; Replace is what becomes of it, with $1 and
	// ${name} as in relabelling; the first group, or the whole, when empty.
	Regex   string `yaml:"regex"`
	Replace string `yaml:"replace"`
	// Map gives words for words; "*" stands for all others, which are otherwise kept.
	Map map[string]string `yaml:"map"`
}

// fields are the values of a set by name, in a stable order.
func (s MappingSet) fields() []fedField {
	return []fedField{{"customer", s.Customer}, {"asset", s.Asset}, {"site", s.Site}, {"service", s.Service},
		{"system", s.System}, {"severity", s.Severity}}
}

type fedField struct {
	name string
	MappingValue
}

func (v MappingValue) empty() bool { return v.Value == "" && v.Label == "" }

// Validate names every fault of a list of mappings; at is their key.
func validateMappings(at string, all []Mapping) []error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for i, m := range all {
		at := fmt.Sprintf("%s[%d]", at, i)
		for _, text := range m.Match {
			if _, err := labels.ParseMatchers(text); err != nil {
				fault("%s.match: %q: %w; write it like severity=~\"page|critical\"", at, text, err)
			}
		}
		said := false
		for _, f := range m.Set.fields() {
			said = said || !f.empty()
			for _, err := range f.validate() {
				fault("%s.set.%s: %w", at, f.name, err)
			}
		}
		if !said {
			fault("%s.set: says nothing: set one of customer, asset, site, service, system, severity", at)
		}
		if len(m.Match) == 0 && !m.Continue && i < len(all)-1 {
			fault("%s: matches every alert, so that those after it never do: add a match, or continue: true", at)
		}
	}
	return errs
}

func (f fedField) validate() []error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	v := f.MappingValue
	switch {
	case v.Value != "" && v.Label != "":
		fault("has a value and a label: want one of them")
	case v.Label == "" && (v.Regex != "" || v.Replace != "" || len(v.Map) > 0):
		fault("regex, replace and map are about a label: name it")
	case v.Replace != "" && v.Regex == "":
		fault("replace wants a regex")
	}
	if v.Regex != "" {
		re, err := whole(v.Regex)
		if err != nil {
			fault("regex: %w", err)
		} else if group := missingGroup(re, v.Replace); group != "" {
			fault("replace: %q: the regex %q has no group %s, so nothing would stand there; it has %d", v.Replace, v.Regex, group, re.NumSubexp())
		}
	}
	if f.name != "severity" {
		return errs
	}
	if v.Value != "" && !isSeverity(v.Value) {
		fault("value %q: want critical, warning or info", v.Value)
	}
	for from, to := range v.Map {
		if !isSeverity(to) {
			fault("map: %q becomes %q: want critical, warning or info", from, to)
		}
	}
	return errs
}

// groupIn is a group in what replaces, as regexp.Expand reads it: $1, $name, ${name}; $$ is a dollar.
var groupIn = regexp.MustCompile(`\$(?:\$|\{(\w+)\}|(\w+))`)

// missingGroup is the first group that is named and not there.
func missingGroup(re *regexp.Regexp, replace string) string {
	for _, m := range groupIn.FindAllStringSubmatch(replace, -1) {
		name := m[1] + m[2]
		if n, err := strconv.Atoi(name); err == nil && n <= re.NumSubexp() || name == "" || re.SubexpIndex(name) >= 0 {
			continue
		}
		return name
	}
	return ""
}

func whole(regex string) (*regexp.Regexp, error) { return regexp.Compile("^(?s:" + regex + ")$") }

func isSeverity(s string) bool { return s == "critical" || s == "warning" || s == "info" }

// Mapped is whom and what an alert is about.
type Mapped struct {
	Customer string `json:"customer" yaml:"customer"`
	Asset    string `json:"asset" yaml:"asset"`
	Site     string `json:"site" yaml:"site"`
	Service  string `json:"service" yaml:"service"`
	System   string `json:"system" yaml:"system"`
	Severity string `json:"severity" yaml:"severity"`
	// Why says what was not found: "no customer: …". It stands in the ticket.
	Why []string `json:"why,omitempty" yaml:"-"`
}

// Mapper maps alerts. It is not changed once it is made.
type Mapper struct {
	rules         []mapRule
	customerLabel bool
}

type mapRule struct {
	match labels.Matchers
	set   []mapField
	more  bool
}

type mapField struct {
	fedField
	re *regexp.Regexp
}

// NewMapper compiles mappings. Without CustomerLabel no alert decides by a label named customer whose it is.
func NewMapper(all []Mapping, customerLabel bool) (*Mapper, error) {
	m := &Mapper{customerLabel: customerLabel}
	for i, one := range all {
		r := mapRule{more: one.Continue}
		for _, text := range one.Match {
			ms, err := labels.ParseMatchers(text)
			if err != nil {
				return nil, fmt.Errorf("feed.mappings[%d].match: %w", i, err)
			}
			r.match = append(r.match, ms...)
		}
		for _, f := range one.Set.fields() {
			if f.empty() {
				continue
			}
			field := mapField{fedField: f}
			if f.Regex != "" {
				var err error
				if field.re, err = whole(f.Regex); err != nil {
					return nil, fmt.Errorf("feed.mappings[%d].set.%s.regex: %w", i, f.name, err)
				}
			}
			r.set = append(r.set, field)
		}
		m.rules = append(m.rules, r)
	}
	return m, nil
}

// said is what the mappings say of an alert, by field.
func (m *Mapper) said(lbls map[string]string) map[string]string {
	out := map[string]string{}
	set := labelSet(lbls)
	for _, r := range m.rules {
		if !r.match.Matches(set) {
			continue
		}
		for _, f := range r.set {
			if v := f.of(lbls); v != "" && out[f.name] == "" {
				out[f.name] = v
			}
		}
		if !r.more {
			break
		}
	}
	return out
}

// of is the value for an alert, empty when nothing is said.
func (f mapField) of(lbls map[string]string) string {
	if f.Value != "" {
		return f.Value
	}
	v := lbls[f.Label]
	if f.re != nil {
		at := f.re.FindStringSubmatchIndex(v)
		if at == nil {
			return ""
		}
		replace := cmp.Or(f.Replace, "$1")
		if f.Replace == "" && f.re.NumSubexp() == 0 {
			replace = "$0"
		}
		v = string(f.re.ExpandString(nil, replace, v, at))
	}
	if to, ok := f.Map[v]; ok {
		return to
	}
	if to, ok := f.Map["*"]; ok && v != "" {
		return to
	}
	return v
}

// assetLabels are where an alert usually names its host, the first that names an asset of the fleet wins.
var assetLabels = []string{"instance", "host", "hostname", "nodename", "node"}

// Map says whom and what an alert with these labels is about. The customer is the asset's where the fleet knows the asset;
// otherwise a mapping's, or that of the label customer where that is allowed, if there is such a customer. Else it is
// nobody's: the operator's.
func (m *Mapper) Map(lbls map[string]string, places Places) Mapped {
	said := m.said(lbls)
	out := Mapped{
		Service:  cmp.Or(said["service"], lbls["service"], lbls["job"], "general"),
		System:   cmp.Or(said["system"], lbls["system"]),
		Severity: string(incident.SeverityOf(cmp.Or(said["severity"], lbls["severity"]))),
	}
	customer, from := said["customer"], "a mapping"
	if customer == "" && m.customerLabel {
		customer, from = lbls["customer"], "the label customer"
	}
	asset, known := findAsset(said["asset"], lbls, places)
	out.Asset = asset.Name
	if known {
		out.Customer, out.Site = asset.Customer, asset.Site
		if customer != "" && customer != asset.Customer {
			out.Why = append(out.Why, fmt.Sprintf("%s says customer %q, but the fleet says that %s is %s's", from, customer, asset.Name, asset.Customer))
		}
		return out
	}
	out.owner(customer, from, places)
	if site := cmp.Or(said["site"], lbls["site"]); site != "" && out.Customer != "" {
		if _, ok := places.Site(out.Customer, site); ok {
			out.Site = site
		} else {
			out.Why = append(out.Why, fmt.Sprintf("no site: %s has no site %q", out.Customer, site))
		}
	}
	return out
}

// owner decides whose an alert is whose asset the fleet does not know.
func (out *Mapped) owner(customer, from string, places Places) {
	if _, ok := places.Customer(customer); customer != "" && ok {
		out.Customer = customer
		return
	}
	about := "it names no instance"
	if out.Asset != "" {
		about = fmt.Sprintf("%q is no asset of the fleet", out.Asset)
	}
	if customer == "" {
		out.Why = append(out.Why, "no customer: "+about+", and nothing in feed.mappings says whose it is")
		return
	}
	out.Why = append(out.Why, fmt.Sprintf("no customer: %s, and the customer %q that %s gives is not in the fleet", about, customer, from))
}

// findAsset is the asset that an alert is about. One that is not known keeps the name that the alert gives it, without its
// port: its alerts belong together.
func findAsset(said string, lbls map[string]string, places Places) (fleet.Asset, bool) {
	stated := []string{said}
	if said == "" {
		stated = nil
		for _, l := range assetLabels {
			if lbls[l] != "" {
				stated = append(stated, lbls[l])
			}
		}
	}
	for _, name := range stated {
		if a, ok := instanceAsset(name, places.Asset); ok {
			return a, true
		}
	}
	if len(stated) == 0 {
		return fleet.Asset{}, false
	}
	return instanceAsset(stated[0], places.Asset)
}
