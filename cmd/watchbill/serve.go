package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/agent"
	"github.com/watchbill/watchbill/collector"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/rules"
)

// serveOptions are the flags that `up` and `serve` share.
type serveOptions struct {
	configFile                    string
	webListen, agentListen        string
	storagePath                   string
	ruleFiles                     []string
	packs                         bool
	missing                       string
	historyRetention              string
	historySize                   collector.Bytes
	logLevel, logFormat           string
	logFile                       string
	logMaxSize                    int64
	logKeep                       int
	webConfigFile, webExternalURL string
}

func (o *serveOptions) register(cmd *cobra.Command) {
	d := collector.DefaultConfig()
	f := cmd.Flags()
	f.StringVar(&o.configFile, "config.file", "", "configuration (YAML); flags win over it")
	f.StringVar(&o.webListen, "web.listen-address", d.Web.ListenAddress, "operators' listener: API, /metrics, /federate")
	f.StringVar(&o.webConfigFile, "web.config.file", "", "Prometheus web configuration for the operators' listener (TLS)")
	f.StringVar(&o.webExternalURL, "web.external-url", "", "URL under which people reach the operators' listener")
	f.StringVar(&o.agentListen, "agent.listen-address", d.Agents.ListenAddress, "agents' listener (mutual TLS)")
	f.StringVar(&o.storagePath, "storage.path", d.Storage.Path, "directory of the store, the history and the operator's token")
	f.StringArrayVar(&o.ruleFiles, "rules.file", nil, "rule file to load beside the shipped packs; repeatable")
	f.BoolVar(&o.packs, "rules.packs", d.Rules.Packs, "load the shipped rule packs")
	f.StringVar(&o.missing, "rules.missing", string(d.Rules.Missing), "what missing series do to an alert: freeze it, or resolve it as Prometheus does")
	f.StringVar(&o.historyRetention, "history.retention", d.History.Retention.String(), "how long samples are kept for graphs and evidence; 0 keeps none")
	o.historySize = d.History.Size
	f.Var(&o.historySize, "history.size", "how much of the disk they may take with their log, the oldest dropped first; the newest hour and a half stays whatever it takes, with a warning where that is more; 0 for no bound")
	f.StringVar(&o.logLevel, "log.level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log.format", "logfmt", "logfmt or json")
	f.StringVar(&o.logFile, "log.file", "", "file for the log, rotated, instead of standard error")
	f.Int64Var(&o.logMaxSize, "log.file.max-size", 100, "MiB at which the log file is put aside")
	f.IntVar(&o.logKeep, "log.file.keep", 5, "how many log files that were put aside are kept")
}

// config is the configuration file, when there is one, under the flags that were given.
func (o *serveOptions) config(cmd *cobra.Command) (collector.Config, error) {
	c := collector.DefaultConfig()
	if o.configFile != "" {
		var err error
		if c, err = collector.LoadConfig(o.configFile); err != nil {
			return c, err
		}
	}
	given := cmd.Flags().Changed
	if given("history.retention") {
		d, err := model.ParseDuration(o.historyRetention)
		if err != nil {
			return c, usagef("--history.retention: want a duration like 15d or 12h, or 0, got %q", o.historyRetention)
		}
		c.History.Retention = policy.Duration(d)
	}
	for flag, set := range map[string]func(){
		"web.listen-address":   func() { c.Web.ListenAddress = o.webListen },
		"web.config.file":      func() { c.Web.ConfigFile = o.webConfigFile },
		"web.external-url":     func() { c.Web.ExternalURL = o.webExternalURL },
		"agent.listen-address": func() { c.Agents.ListenAddress = o.agentListen },
		"storage.path":         func() { c.Storage.Path = o.storagePath },
		"rules.packs":          func() { c.Rules.Packs = o.packs },
		"rules.missing":        func() { c.Rules.Missing = rules.Missing(o.missing) },
		"history.size":         func() { c.History.Size = o.historySize },
		"rules.file":           func() { c.Rules.Files = append(c.Rules.Files, o.ruleFiles...) },
	} {
		if given(flag) {
			set()
		}
	}
	return c, c.Validate()
}

func (o *serveOptions) logger(w io.Writer) (*slog.Logger, error) {
	level, format := promslog.NewLevel(), promslog.NewFormat()
	if err := level.Set(o.logLevel); err != nil {
		return nil, usagef("--log.level: want debug, info, warn or error, got %q", o.logLevel)
	}
	if err := format.Set(o.logFormat); err != nil {
		return nil, usagef("--log.format: want logfmt or json, got %q", o.logFormat)
	}
	if o.logFile != "" {
		if o.logMaxSize < 1 || o.logMaxSize > 1<<20 || o.logKeep < 1 {
			return nil, usagef("--log.file.max-size and --log.file.keep: want 1 or more, got %d and %d", o.logMaxSize, o.logKeep)
		}
		file, err := agent.OpenLogFile(o.logFile, o.logMaxSize<<20, o.logKeep, w)
		if err != nil {
			return nil, err
		}
		w = file // left open: the last words come after everything else has ended
	}
	return promslog.New(&promslog.Config{Level: level, Format: format, Writer: w}), nil
}

func newServeCmd() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the collector",
		Long: `Runs the collector: takes in agents' reports, evaluates rules, opens tickets, tells receivers.

Customers, sites and assets come from the fleet directory of the configuration; agents join with one-time tokens
("watchbill token create"). The first start makes an administrator for the user who starts it and puts the token into
the storage directory, where the other commands find it. SIGHUP and POST /-/reload read configuration, rules and fleet again.`,
		Example: `  watchbill serve --config.file /etc/watchbill/watchbill.yml
  watchbill check config /etc/watchbill/watchbill.yml`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runServe(cmd, o) },
	}
	o.register(cmd)
	return cmd
}

func runServe(cmd *cobra.Command, o serveOptions) error {
	log, err := o.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	read := func() (collector.Config, error) { return o.config(cmd) }
	cfg, err := read()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	c, err := collector.New(ctx, cfg, collector.Options{Logger: log, Reread: read})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.EnsureOperator(ctx, osUser()); err != nil {
		return err
	}
	return c.Run(ctx)
}

// durationFlag reads durations as Prometheus writes them.
type durationFlag struct{ d *model.Duration }

func (f durationFlag) String() string {
	if f.d == nil || *f.d == 0 { // one that is not given
		return ""
	}
	return f.d.String()
}

func (f durationFlag) Type() string { return "duration" }

func (f durationFlag) Set(s string) error {
	d, err := model.ParseDuration(s)
	if err != nil || d <= 0 {
		return fmt.Errorf("want a positive duration like 1s or 1m30s")
	}
	*f.d = d
	return nil
}
