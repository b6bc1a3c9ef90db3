package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector"
)

func newTestFeedCmd() *cobra.Command {
	var only []string
	var junit, config string
	cmd := &cobra.Command{
		Use: "feed FILE…", Short: "Run tests of feed.mappings: whom and what alerts of other programs are about",
		Long: `Runs tests of the mapping of alerts that come from Prometheus, Alertmanager, Grafana and the like: the labels of an
alert, and the customer, asset, site, service, system and severity that are expected of it. A file names the collector's
configuration that it tests, whose feed.mappings and fleet directory are used. Nothing is sent and nothing is written.

  config: watchbill.yml
  tests:
  - name: a database of acme
    labels: {alertname: PostgresDown, instance: "db1:9187", severity: page}
    expect: {customer: acme, asset: db1, service: database, severity: critical}
  - name: nobody's
    labels: {alertname: PostgresDown, instance: "db9:9187"}
    expect: {customer: "", why: no customer}`,
		Example: `  watchbill test feed /etc/watchbill/feed_test.yml
  watchbill test feed --config /etc/watchbill/watchbill.yml --run database feed_test.yml`,
		Args: takesSome("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			match, err := anyOf(only)
			if err != nil {
				return usagef("--run: %v", err)
			}
			var verdicts junitFile
			good := true
			for _, file := range args {
				var report collector.FeedReport
				content, err := os.ReadFile(file)
				if err != nil {
					err = fmt.Errorf("read the tests: %w", err)
				} else {
					report, err = collector.FeedRun{File: file, Content: content, Config: config, Only: match}.Run()
				}
				verdicts.Suites = append(verdicts.Suites, feedSuite(file, report, err))
				good = tellFeed(cmd, file, report, err) && good
			}
			return verdicts.close(junit, good)
		},
	}
	cmd.Flags().StringArrayVar(&only, "run", nil, "run only tests whose name matches this regular expression; can be given several times")
	cmd.Flags().StringVar(&junit, "junit", "", "write the verdicts to this file too, as JUnit XML")
	cmd.Flags().StringVar(&config, "config", "", "the collector's configuration, in place of the one that a file names")
	return cmd
}

// tellFeed prints what a file came to and reports whether it passed.
func tellFeed(cmd *cobra.Command, file string, report collector.FeedReport, err error) bool {
	out := screenOf(cmd)
	for _, f := range report.Failures {
		fmt.Fprintln(out.w, clean(f.String()))
	}
	switch {
	case err != nil:
		_ = say(cmd, err)
	case len(report.Failures) == 0:
		fmt.Fprintf(out.w, "%s: passed (%s)\n", clean(file), count(len(report.Names), "test"))
		return true
	}
	return false
}

// feedSuite is a file's verdicts as machines read them.
func feedSuite(file string, report collector.FeedReport, err error) junitSuite {
	s := junitSuite{Name: file, Tests: len(report.Names), Failures: len(report.Failures)}
	for _, name := range report.Names {
		c := junitCase{Name: name}
		for _, f := range report.Failures {
			if f.Test == name {
				c.Failures = append(c.Failures, f.Text)
			}
		}
		s.Cases = append(s.Cases, c)
	}
	if err != nil {
		s.Errors, s.Cases = 1, append(s.Cases, junitCase{Name: "the file", Error: err.Error()})
	}
	return s
}
