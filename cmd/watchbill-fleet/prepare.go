package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/wire"
)

// preparation is what prepare is asked for.
type preparation struct {
	dir                string
	agents             int
	places             []place
	windows            float64
	prefix             string
	url, token, store  string
	perSecond          float64
	concurrency        int
	allowRemote        bool
	customers, sites   int
	placeTexts         []string
	progress           io.Writer
	enrolled, existing atomic.Int64
}

func newPrepare() *cobra.Command {
	p := &preparation{}
	cmd := &cobra.Command{
		Use:   "prepare",
		Short: "Enrol the agents of a simulated fleet",
		Long: `Enrols agents through the collector's own door: for each a token from the operators' API, a key made here, and a
certificate from the collector's authority. Identities are kept on disk, one directory each, exactly as an agent keeps
its own. Agents that are enrolled already are left as they are, so an interrupted preparation goes on where it stopped.

The customers and sites must be declared at the collector: "watchbill-fleet directory" prints them.`,
		Example: `  watchbill-fleet prepare --dir /tmp/fleet --agents 1000
  watchbill-fleet prepare --dir /tmp/fleet --agents 50 --place local/here --collector-storage ~/.local/state/watchbill`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.check(); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			p.progress = cmd.ErrOrStderr()
			if err := p.run(cmd.Context()); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d agents enrolled, %d were already: run `watchbill-fleet run --dir %s`\n",
				p.enrolled.Load(), p.existing.Load(), p.dir)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.dir, "dir", "", "directory for the fleet's identities (required)")
	f.IntVar(&p.agents, "agents", 100, "how many agents")
	placeFlags(cmd, &p.customers, &p.sites)
	f.StringArrayVar(&p.placeTexts, "place", nil, "CUSTOMER/SITE to put agents into, instead of --customers and --sites; repeatable")
	f.Float64Var(&p.windows, "windows", 0.3, "share of Windows servers")
	f.StringVar(&p.prefix, "prefix", "sim", "what the agents' names begin with")
	f.StringVar(&p.url, "url", "http://127.0.0.1:9720", "where the collector's operators' listener is")
	f.StringVar(&p.token, "token-file", "", "file with an administrator's token")
	f.StringVar(&p.store, "collector-storage", "", "the collector's storage directory, in which an administrator's token lies ("+tokenName+"); $"+tokenEnv+" if neither is given")
	f.Float64Var(&p.perSecond, "rate", 40, "enrolments per second; a collector takes 50 a second from all the world")
	f.IntVar(&p.concurrency, "concurrency", 8, "enrolments under way at a time")
	f.BoolVar(&p.allowRemote, "allow-remote", false, "enrol with a collector on another machine")
	return cmd
}

// check names every fault of the flags at once.
func (p *preparation) check() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if p.dir == "" {
		fault("--dir: name the directory for the fleet's identities")
	}
	if p.agents < 1 || p.agents > maxAgents {
		fault("--agents %d: want 1 to %d", p.agents, maxAgents)
	}
	if p.windows < 0 || p.windows > 1 {
		fault("--windows %g: want a share from 0 to 1", p.windows)
	}
	if p.perSecond <= 0 || p.concurrency < 1 || p.concurrency > 64 {
		fault("--rate %g, --concurrency %d: want more than 0 and 1 to 64", p.perSecond, p.concurrency)
	}
	if p.prefix == "" {
		fault("--prefix: names must begin with something")
	}
	if len(p.placeTexts) == 0 {
		if err := checkPlaces(p.customers, p.sites); err != nil {
			errs = append(errs, err)
		}
		p.places = places(p.customers, p.sites)
	}
	for _, text := range p.placeTexts {
		where, err := parsePlace(text)
		if err != nil {
			errs = append(errs, err)
		}
		p.places = append(p.places, where)
	}
	return errors.Join(errs...)
}

// run enrols whoever is not.
func (p *preparation) run(ctx context.Context) error {
	api, err := newOperator(p.url, p.token, p.store)
	if err != nil {
		return err
	}
	defer api.client.CloseIdleConnections()
	all := newPlan(p.agents, p.places, p.windows, p.prefix)
	if err := all.write(p.dir); err != nil {
		return err
	}
	stop := p.report(ctx)
	defer stop()
	pace := rate.NewLimiter(rate.Limit(p.perSecond), max(int(p.perSecond), 1))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(p.concurrency)
	for _, one := range all.Agents {
		if ctx.Err() != nil {
			break
		}
		if _, err := enroll.Load(dirOf(p.dir, one.Name)); err == nil {
			p.existing.Add(1)
			continue
		}
		g.Go(func() error { return p.enrol(ctx, api, pace, one) })
	}
	return g.Wait()
}

// enrol makes one identity.
func (p *preparation) enrol(ctx context.Context, api *operator, pace *rate.Limiter, one planned) error {
	if err := pace.Wait(ctx); err != nil {
		return err
	}
	token, err := api.enrolment(ctx, one)
	if err != nil {
		return err
	}
	if !p.allowRemote {
		if err := onLoopback(token.Address); err != nil {
			return err
		}
	}
	_, err = enroll.Enroll(ctx, enroll.Options{
		Token: token, Dir: dirOf(p.dir, one.Name), Replace: true,
		Inventory: &wire.Inventory{Hostname: one.Name, Os: one.OS, AgentVersion: "simulated"},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", one.Name, err)
	}
	p.enrolled.Add(1)
	return nil
}

// progressEvery is how often a person hears how far it is.
const progressEvery = 5 * time.Second

// report tells how far it is until the returned function is called.
func (p *preparation) report(ctx context.Context) func() {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				fmt.Fprintf(p.progress, "%d of %d agents enrolled\n", p.enrolled.Load()+p.existing.Load(), p.agents)
			}
		}
	}()
	return func() { cancel(); <-ended }
}
