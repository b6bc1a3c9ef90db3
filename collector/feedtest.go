package collector

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/policy"
)

// FeedRun is a file of tests of feed.mappings: labels of alerts, and whom and what they are to be about.
type FeedRun struct {
	// File is its name, Content what is in it.
	File    string
	Content []byte
	// Config is the configuration that is tested, in place of the one that the file names; empty for that.
	Config string
	// Only tells which tests are run, by name; nil for all.
	Only func(name string) bool
}

// FeedReport is what a run came to.
type FeedReport struct {
	Names    []string
	Failures []FeedFailure
}

// FeedFailure is one expectation that was not met.
type FeedFailure struct{ File, Test, Text string }

// String is the failure in one line.
func (f FeedFailure) String() string { return fmt.Sprintf("%s: %s: %s", f.File, f.Test, f.Text) }

// feedFile is such a file.
type feedFile struct {
	// Config is the collector's configuration, relative to the file.
	Config string     `yaml:"config"`
	Tests  []feedTest `yaml:"tests"`
}

type feedTest struct {
	Name   string            `yaml:"name"`
	Labels map[string]string `yaml:"labels"`
	// Expect are the fields that are compared: customer, asset, site, service, system, severity; "" expects nothing. why
	// is part of what is said of what was not found.
	Expect map[string]string `yaml:"expect"`
}

// feedFields are what a test may expect.
var feedFields = []string{"customer", "asset", "site", "service", "system", "severity", "why"}

// Run runs the tests. The error says why the file, or the configuration that it names, cannot be used.
func (r FeedRun) Run() (FeedReport, error) {
	var file feedFile
	if err := policy.Decode(r.File, r.Content, &file); err != nil {
		return FeedReport{}, err
	}
	if err := file.validate(r.File); err != nil {
		return FeedReport{}, err
	}
	cfg, places, err := r.config(file)
	if err != nil {
		return FeedReport{}, err
	}
	mapper, err := ingest.NewMapper(cfg.Mappings, cfg.CustomerLabel)
	if err != nil {
		return FeedReport{}, err
	}
	var out FeedReport
	for _, t := range file.Tests {
		if r.Only != nil && !r.Only(t.Name) {
			continue
		}
		out.Names = append(out.Names, t.Name)
		for _, text := range t.differences(mapper.Map(t.Labels, places)) {
			out.Failures = append(out.Failures, FeedFailure{r.File, t.Name, text})
		}
	}
	return out, nil
}

// validate names every fault of a file.
func (f feedFile) validate(name string) error {
	var faults []string
	names := map[string]bool{}
	if len(f.Tests) == 0 {
		faults = append(faults, "tests: there are none")
	}
	for i, t := range f.Tests {
		at := fmt.Sprintf("tests[%d]", i)
		switch {
		case t.Name == "":
			faults = append(faults, at+".name: name the test")
		case names[t.Name]:
			faults = append(faults, fmt.Sprintf("%s.name: another test is named %q", at, t.Name))
		}
		names[t.Name] = true
		if len(t.Labels) == 0 {
			faults = append(faults, at+".labels: an alert has labels")
		}
		if len(t.Expect) == 0 {
			faults = append(faults, at+".expect: expects nothing, and can only pass")
		}
		for field := range t.Expect {
			if !slices.Contains(feedFields, field) {
				faults = append(faults, fmt.Sprintf("%s.expect: unknown key %q; want one of %s", at, field, strings.Join(feedFields, ", ")))
			}
		}
	}
	if len(faults) == 0 {
		return nil
	}
	slices.Sort(faults)
	return fmt.Errorf("%s: %s", name, strings.Join(faults, "\n"+name+": "))
}

// config reads what is tested: the configuration with the fleet that it names.
func (r FeedRun) config(file feedFile) (ingest.FeedConfig, ingest.Places, error) {
	name := r.Config
	if name == "" && file.Config != "" {
		if name = file.Config; !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(r.File), name)
		}
	}
	if name == "" {
		return ingest.FeedConfig{}, nil, fmt.Errorf("%s: config: name the collector's configuration whose feed.mappings are tested, or give --config", r.File)
	}
	if _, err := os.Stat(name); err != nil && r.Config == "" {
		return ingest.FeedConfig{}, nil, fmt.Errorf("%s: config: %w: write where it is from this file's directory, or give --config", r.File, err)
	}
	cfg, err := LoadConfig(name)
	if err != nil {
		return ingest.FeedConfig{}, nil, err
	}
	var d fleet.Directory
	if cfg.Fleet.Directory != "" {
		if d, err = fleet.LoadDirectory(cfg.Fleet.Directory); err != nil {
			return ingest.FeedConfig{}, nil, err
		}
	}
	return cfg.Feed, declared{d}, nil
}

// differences are how what became of an alert differs from what is expected.
func (t feedTest) differences(got ingest.Mapped) []string {
	has := map[string]string{"customer": got.Customer, "asset": got.Asset, "site": got.Site, "service": got.Service,
		"system": got.System, "severity": got.Severity}
	var out []string
	for _, field := range feedFields {
		want, asked := t.Expect[field]
		if field == "why" {
			if why := strings.Join(got.Why, "; "); asked && !strings.Contains(why, want) {
				out = append(out, fmt.Sprintf("why is %q, want it to say %q", why, want))
			}
			continue
		}
		if asked && has[field] != want {
			out = append(out, fmt.Sprintf("%s is %q, want %q", field, has[field], want))
		}
	}
	return out
}

// declared finds what a fleet directory declares.
type declared struct{ fleet.Directory }

// Asset implements ingest.Places.
func (d declared) Asset(name string) (fleet.Asset, bool) {
	for _, c := range d.Customers {
		for _, s := range c.Sites {
			for _, a := range s.Assets {
				if a.Name == name {
					a.Customer, a.Site = c.ID, s.ID
					return a, true
				}
			}
		}
	}
	return fleet.Asset{}, false
}

// Customer implements ingest.Places.
func (d declared) Customer(id string) (fleet.Customer, bool) {
	for _, c := range d.Customers {
		if c.ID == id {
			return c, true
		}
	}
	return fleet.Customer{}, false
}

// Site implements ingest.Places.
func (d declared) Site(customer, site string) (fleet.Site, bool) {
	c, _ := d.Customer(customer)
	for _, s := range c.Sites {
		if s.ID == site {
			return s, true
		}
	}
	return fleet.Site{}, false
}
