package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// TicketTestSuffix is what the name of a file of ticket tests ends in.
const TicketTestSuffix = "_ticket_test.yml"

// TicketRun is one file of ticket tests: rules, what assets report and what happens to them, and which tickets there are at
// which time. rules/README.md describes the format.
type TicketRun struct {
	// File names the tests in failures and errors.
	File    string
	Content []byte
	// Open, Glob and Only are as in rules.TestRun.
	Open func(name string) ([]byte, error)
	Glob func(pattern string) ([]string, error)
	Only func(name string) bool
	// Change changes the configuration that the rehearsed collector runs with, such as how it evaluates rules; nil leaves it.
	Change func(*Config)
}

// Run plays the tests, each in a collector of its own: what it decides is decided by the rooms that decide in production, over
// a store in memory and the test's clock. The error says that the file, or rules that it names, are wrong.
func (r TicketRun) Run(ctx context.Context) (rules.TestReport, error) {
	var report rules.TestReport
	file, err := parseTicketTests(r.File, r.Content)
	if err != nil {
		return report, err
	}
	files := rules.RuleFiles{Test: r.File, Open: r.Open, Glob: r.Glob}
	names, err := files.Find(file.RuleFiles)
	if err != nil {
		return report, err
	}
	report.Warnings = files.Warnings
	contents, err := files.Read(names)
	if err != nil {
		return report, err
	}
	groups, err := rules.LoadOptions{Interval: time.Duration(file.EvaluationInterval)}.Load(contents)
	found, faults := sift(groups, contents)
	if err := errors.Join(err, faults); err != nil {
		return report, err
	}
	for _, f := range found {
		if f.Fault {
			report.Warnings = append(report.Warnings, r.File+": a check of these rules fails: "+f.String())
		}
	}
	for i := range file.Tests {
		t := &file.Tests[i]
		if r.Only != nil && !r.Only(t.Name) {
			continue
		}
		p := play{run: r, file: &file, test: t, groups: groups}
		report.Failures = append(report.Failures, p.perform(ctx)...)
		report.Tests = append(report.Tests, t.title())
		if err := ctx.Err(); err != nil {
			return report, fmt.Errorf("%s: test %q: %w", r.File, t.title(), err)
		}
	}
	if len(report.Tests) == 0 {
		report.Warnings = append(report.Warnings, r.File+": no test was run: want some under tests, or another name to run")
	}
	return report, nil
}

type ticketFile struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval"`
	Tests              []ticketGroup  `yaml:"tests"`
}

type ticketGroup struct {
	Name           string          `yaml:"name"`
	Interval       model.Duration  `yaml:"interval"`
	StartTimestamp rules.TestStart `yaml:"start_timestamp"`
	Assets         []testAsset     `yaml:"assets"`
	InputSeries    []testSeries    `yaml:"input_series"`
	Life           []lifeEvent     `yaml:"life"`
	People         []personAct     `yaml:"people"`
	TicketTests    []ticketTest    `yaml:"ticket_test"`

	number    int
	lines     rules.Lines
	directory fleet.Directory
	byName    map[string]*testAsset
}

// testAsset is a declared asset, with what it reports.
type testAsset struct {
	Name     string `yaml:"name"`
	Customer string `yaml:"customer"`
	Site     string `yaml:"site"`
	Kind     string `yaml:"kind"`
	Role     string `yaml:"role"`

	// samplers in the order of their first series.
	samplers []*testSampler
}

// testSampler is what one sampler of an asset reports.
type testSampler struct {
	source, job string
	series      []labels.Labels
	// values by series and report.
	values [][]parser.SequenceValue
}

type testSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
	Source string `yaml:"source"`
}

// What happens to an asset.
const (
	lifeGoodbye = "goodbye"
	lifeSilent  = "silent"
	lifeBack    = "back"
	lifeFailed  = "failed"
	lifeMended  = "mended"
)

var lifeEvents = []string{lifeGoodbye, lifeSilent, lifeBack, lifeFailed, lifeMended}

type lifeEvent struct {
	At     model.Duration `yaml:"at"`
	Asset  string         `yaml:"asset"`
	Event  string         `yaml:"event"`
	Source string         `yaml:"source"`
	Text   string         `yaml:"text"`
}

type personAct struct {
	At      model.Duration `yaml:"at"`
	Asset   string         `yaml:"asset"`
	Service string         `yaml:"service"`
	Verb    ticket.Verb    `yaml:"verb"`
	Text    string         `yaml:"text"`
}

type ticketTest struct {
	EvalTime   model.Duration   `yaml:"eval_time"`
	ExpTickets []expectedTicket `yaml:"exp_tickets"`
}

// parseTicketTests reads a file strictly. The error joins every fault, each with its line.
func parseTicketTests(file string, content []byte) (ticketFile, error) {
	var f ticketFile
	if err := rules.DecodeTests(file, content, &f); err != nil {
		return f, err
	}
	if f.EvaluationInterval == 0 {
		f.EvaluationInterval = model.Duration(time.Minute)
	}
	lines := rules.ReadLines(content)
	var errs []error
	for i := range f.Tests {
		t := &f.Tests[i]
		t.number, t.lines, t.byName = i, lines, map[string]*testAsset{}
		if t.Interval == 0 {
			t.Interval = f.EvaluationInterval
		}
		c := ticketCheck{file: file, test: t}
		c.all()
		errs = append(errs, c.errs...)
	}
	return f, errors.Join(errs...)
}

func (t *ticketGroup) title() string { return or(t.Name, fmt.Sprintf("unnamed#%d", t.number)) }

func (t *ticketGroup) line(path ...any) int {
	return t.lines.Of(append([]any{"tests", t.number}, path...)...)
}

// last is the time of the last expectation.
func (t *ticketGroup) last() time.Duration {
	var d model.Duration
	for _, x := range t.TicketTests {
		d = max(d, x.EvalTime)
	}
	return time.Duration(d)
}

// ticketCheck finds what is wrong in a test, and what its series are.
type ticketCheck struct {
	file string
	test *ticketGroup
	errs []error
}

// fault notes what is wrong at a place under the test: keys and places in lists.
func (c *ticketCheck) fault(path []any, format string, args ...any) {
	var field strings.Builder
	fmt.Fprintf(&field, "tests[%d]", c.test.number)
	for _, step := range path {
		if i, ok := step.(int); ok {
			fmt.Fprintf(&field, "[%d]", i)
			continue
		}
		fmt.Fprintf(&field, ".%v", step)
	}
	err := fmt.Errorf("%s: %w", field.String(), fmt.Errorf(format, args...))
	c.errs = append(c.errs, &rules.Error{File: c.file, Line: c.test.line(path...), Err: err})
}

func (c *ticketCheck) all() {
	c.assets()
	for i, s := range c.test.InputSeries {
		c.series(i, s)
	}
	for i, e := range c.test.Life {
		c.life(i, e)
	}
	for i, a := range c.test.People {
		if !slices.Contains(ticket.Verbs, a.Verb) {
			c.fault([]any{"people", i, "verb"}, "%q is nothing a person can do: want one of %v", a.Verb, ticket.Verbs)
		}
		c.known([]any{"people", i, "asset"}, a.Asset)
		if a.Service == "" {
			c.fault([]any{"people", i, "service"}, "is missing: want the service that the ticket is about")
		}
	}
	for i, x := range c.test.TicketTests {
		for j, e := range x.ExpTickets {
			c.expected([]any{"ticket_test", i, "exp_tickets", j}, e)
		}
	}
}

// assets declares them as a fleet's directory does.
func (c *ticketCheck) assets() {
	bad := false
	for i := range c.test.Assets {
		a := &c.test.Assets[i]
		for _, f := range []struct{ key, text string }{{"name", a.Name}, {"customer", a.Customer}, {"site", a.Site}} {
			if f.text == "" {
				c.fault([]any{"assets", i, f.key}, "is missing: every asset has name, customer and site")
				bad = true
			}
		}
		c.test.byName[a.Name] = a
	}
	c.test.directory = directoryOf(c.test.Assets)
	if err := c.test.directory.Validate(); err != nil && !bad {
		c.fault([]any{"assets"}, "%w", err)
	}
}

func directoryOf(assets []testAsset) fleet.Directory {
	var d fleet.Directory
	for _, a := range assets {
		i := slices.IndexFunc(d.Customers, func(x fleet.Customer) bool { return x.ID == a.Customer })
		if i < 0 {
			i = len(d.Customers)
			d.Customers = append(d.Customers, fleet.Customer{ID: a.Customer, Name: a.Customer})
		}
		at := &d.Customers[i]
		j := slices.IndexFunc(at.Sites, func(x fleet.Site) bool { return x.ID == a.Site })
		if j < 0 {
			j = len(at.Sites)
			at.Sites = append(at.Sites, fleet.Site{ID: a.Site})
		}
		at.Sites[j].Assets = append(at.Sites[j].Assets, fleet.Asset{Name: a.Name, Kind: fleet.AssetKind(a.Kind), Role: a.Role})
	}
	return d
}

// known reports whether there is such an asset.
func (c *ticketCheck) known(path []any, name string) *testAsset {
	a := c.test.byName[name]
	if a == nil {
		c.fault(path, "%q is none of the test's assets: declare it there, or name one of them", name)
	}
	return a
}

// series gives a series to the sampler that reports it.
func (c *ticketCheck) series(i int, s testSeries) {
	path := []any{"input_series", i, "series"}
	lbls, values, err := rules.NewParser().ParseSeriesDesc(s.Series + " " + s.Values)
	if err != nil {
		c.fault(path, "%q: %w", s.Series+" "+s.Values, err)
		return
	}
	if slices.ContainsFunc(values, func(v parser.SequenceValue) bool { return v.Histogram != nil }) {
		c.fault([]any{"input_series", i, "values"}, "native histograms are not kept by the window: want numbers")
		return
	}
	for _, own := range []string{"customer", "site"} {
		if lbls.Has(own) {
			c.fault(path, "%s: label %s: comes from the test's assets: leave it out", s.Series, own)
		}
	}
	if lbls.Get(model.MetricNameLabel) == "up" {
		c.fault(path, "%s: the collector writes up itself: use life to say that an asset is silent", s.Series)
	}
	a := c.known(path, lbls.Get("instance"))
	if a == nil {
		return
	}
	job := or(lbls.Get("job"), "node")
	sampler := a.sampler(or(s.Source, job), job)
	if sampler.job != job {
		c.fault(path, "%s: source %q is of job %q already: want one job for a source", s.Series, sampler.source, sampler.job)
	}
	lbls = labels.NewBuilder(lbls).Del("instance", "job", "customer", "site").Labels()
	if slices.ContainsFunc(sampler.series, func(l labels.Labels) bool { return labels.Equal(l, lbls) }) {
		c.fault(path, "%s: is there twice: want it once", s.Series)
	}
	sampler.series, sampler.values = append(sampler.series, lbls), append(sampler.values, values)
}

func (a *testAsset) sampler(source, job string) *testSampler {
	for _, s := range a.samplers {
		if s.source == source {
			return s
		}
	}
	s := &testSampler{source: source, job: job}
	a.samplers = append(a.samplers, s)
	return s
}

func (c *ticketCheck) life(i int, e lifeEvent) {
	if !slices.Contains(lifeEvents, e.Event) {
		c.fault([]any{"life", i, "event"}, "%q is nothing that happens: want one of %s", e.Event, strings.Join(lifeEvents, ", "))
	}
	a := c.known([]any{"life", i, "asset"}, e.Asset)
	if a == nil || (e.Event != lifeFailed && e.Event != lifeMended) {
		return
	}
	var sources []string
	for _, s := range a.samplers {
		sources = append(sources, s.source)
	}
	if !slices.Contains(sources, e.Source) {
		c.fault([]any{"life", i, "source"}, "%q is no sampler of %s: want one of %q", e.Source, a.Name, sources)
	}
}

// has tells whether the sampler reports anything at report number k, and gives the series and values of it. One that is
// stale counts as reported, without a value.
func (s *testSampler) at(k int) (series []labels.Labels, values []float64, has bool) {
	for i, vs := range s.values {
		if k >= len(vs) || vs[k].Omitted {
			continue
		}
		has = true
		if v := vs[k].Value; !value.IsStaleNaN(v) {
			series, values = append(series, s.series[i]), append(values, v)
		}
	}
	return series, values, has
}
