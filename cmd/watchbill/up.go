package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/watchbill/watchbill/agent"
	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/collector"
	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
)

// upOptions are the flags of `watchbill up`.
type upOptions struct {
	serveOptions
	interval model.Duration
	watch    []string
}

func newUpCmd() *cobra.Command {
	o := upOptions{interval: model.Duration(5 * time.Second)}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Watch this host: collector and agent in one process",
		Long: `Runs a collector and an agent for this host in one process, on the embedded store, with the shipped rules.
Nothing needs to be configured. When something breaks, a ticket opens; see it with "watchbill ticket list".

The agent enrols with the collector over mutual TLS, as any other agent would; further hosts join with the command
that "watchbill token create" prints. Ctrl-C stops both in order.`,
		Example: `  watchbill up
  watchbill up --interval 1s --rules.file my-rules.yml
  watchbill up --watch.process nginx     # a ticket opens when no process called nginx is left`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runUp(cmd, o) },
	}
	o.register(cmd)
	cmd.Flags().Var(&durationFlag{&o.interval}, "interval", "how often the agent reports and rules are evaluated")
	cmd.Flags().StringArrayVar(&o.watch, "watch.process", nil, "count processes with this name; repeatable")
	return cmd
}

// runUp starts the collector, enrols the agent with it on the first run, and runs both until a signal.
func runUp(cmd *cobra.Command, o upOptions) error {
	log, err := o.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("ask for this host's name: %w", err)
	}
	name := fleet.AssetName(host)
	directory := ownDirectory(name)
	if err := directory.Validate(); err != nil {
		return fmt.Errorf("this host's name %q cannot be an asset's: %w", host, err)
	}
	read := func() (collector.Config, error) {
		c, err := o.config(cmd)
		if err == nil && (cmd.Flags().Changed("interval") || o.configFile == "") {
			c.Evaluation.Interval = policy.Duration(o.interval)
		}
		return c, err
	}
	cfg, err := read()
	if err != nil {
		return err
	}
	own := ownAgent(cfg, o)
	if err := own.Validate(); err != nil {
		return err
	}
	ctx := cmd.Context()
	c, err := collector.New(ctx, cfg, collector.Options{Logger: log, Directory: directory, Reread: read})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.EnsureOperator(ctx, osUser()); err != nil {
		return err
	}
	printUp(cmd, c, o)
	return runBoth(ctx, c, func(ctx context.Context) error { return runOwnAgent(ctx, c, name, own, log) })
}

// runBoth runs the collector and beside it the agent. The agent is stopped first, so that its goodbye is heard.
func runBoth(ctx context.Context, c *collector.Collector, agent func(context.Context) error) error {
	collecting, stopCollector := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCollector()
	g, reporting := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer stopCollector()
		return agent(reporting)
	})
	g.Go(func() error {
		if err := c.Run(collecting); err != nil {
			return err
		}
		if reporting.Err() == nil && collecting.Err() == nil {
			return errors.New("the collector stopped without being asked to")
		}
		return nil
	})
	return g.Wait()
}

// ownAgent is the configuration of this host's agent.
func ownAgent(c collector.Config, o upOptions) agent.Config {
	cfg := agent.DefaultConfig()
	cfg.DataDir = filepath.Join(c.Storage.Path, "agent")
	if whole, err := filepath.Abs(cfg.DataDir); err == nil { // a configuration may name its storage from where it lies
		cfg.DataDir = whole
	}
	cfg.Interval = time.Duration(o.interval)
	for _, w := range o.watch {
		cfg.Samplers.Watch = append(cfg.Samplers.Watch, sample.Watch{Name: w, Cmdline: "^([^ ]*/)?" + regexp.QuoteMeta(w) + "( |$)"})
	}
	return cfg
}

// runOwnAgent enrols this host's agent if it has no identity with this collector, and runs it.
func runOwnAgent(ctx context.Context, c *collector.Collector, name string, cfg agent.Config, log *slog.Logger) error {
	if err := enrolSelf(ctx, c, name, cfg); err != nil {
		return fmt.Errorf("enrol this host's agent: %w", err)
	}
	a, err := agent.New(cfg, agent.Options{Logger: log.With("part", "agent"), Version: api.ReadBuild().Version})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// enrolSelf gives this host's agent its identity, unless it has one with this very collector at this address.
func enrolSelf(ctx context.Context, c *collector.Collector, name string, cfg agent.Config) error {
	id, err := enroll.Load(cfg.IdentityDir())
	if err == nil && id.Collector == c.OwnAgentAddress() && c.Knows(id.Certificate.Leaf) {
		return nil
	}
	if err != nil && !errors.Is(err, enroll.ErrNotEnrolled) {
		return err
	}
	text, err := c.TokenForSelf(ctx, name)
	if err != nil {
		return err
	}
	token, err := enroll.ParseToken(text)
	if err != nil {
		return err
	}
	inventory, err := sample.Inventory(ctx, cfg.Samplers)
	if err != nil {
		return err
	}
	_, err = enroll.Enroll(ctx, enroll.Options{Token: token, Dir: cfg.IdentityDir(), Inventory: inventory, Replace: true})
	return err
}

// ownDirectory is the fleet of one: this host.
func ownDirectory(name string) fleet.Directory {
	zone := time.Local.String()
	if zone == "Local" {
		zone = ""
	}
	return fleet.Directory{Customers: []fleet.Customer{{
		ID: "local", Name: "This machine", Zone: zone,
		Sites: []fleet.Site{{ID: "here", Name: "here", Assets: []fleet.Asset{{Name: name, Role: "the host Watchbill runs on"}}}},
	}}}
}

func osUser() string {
	u, err := user.Current()
	if err != nil {
		return "operator"
	}
	return u.Username
}

func printUp(cmd *cobra.Command, c *collector.Collector, o upOptions) {
	with := ""
	if c.DialURL() != defaultURL {
		with += " --url " + c.DialURL()
	}
	if c.StoragePath() != collector.DefaultStoragePath() {
		with += " --storage.path " + c.StoragePath()
	}
	fmt.Fprintf(cmd.OutOrStdout(), `Watchbill is up and watches this host every %s.
  operators  %s   (metrics at /metrics)
  agents     %s
  data       %s
Try, in another terminal:
  watchbill asset list%[5]s
  watchbill ticket list%[5]s
Stop with Ctrl-C.
`, o.interval, c.DialURL(), c.AgentAddress(), c.StoragePath(), with)
}
