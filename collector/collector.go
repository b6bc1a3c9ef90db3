// Package collector takes in reports, evaluates rules, opens tickets and tells people.
//
//	agents ══ mTLS ══► ingest ─► pipeline.Apply ─► window ─► evaluate ─► pipeline.Commit ─► store ─► outbox ─► notify
//	                                  └─► history ─► evidence ────────────────┘
//	operators ── bearer ──► api ─► pipeline.Act
//
// Pure rooms decide, pipeline.go commits what they decided; this file wires them and runs them.
package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/collector/history/remote"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// Options is what a Collector runs with beside its configuration.
type Options struct {
	Logger *slog.Logger
	// Directory is the fleet when the configuration names no directory of YAML.
	Directory fleet.Directory
	// Reread gives the configuration afresh on reload; nil keeps the one given to New.
	Reread func() (Config, error)
}

// Collector is one running collector.
type Collector struct {
	cfg Config
	o   Options
	log *slog.Logger
	now func() time.Time
	reg *prometheus.Registry

	store     store.Store
	backups   *backups
	fleet     *fleet.Registry
	window    *window.Window
	history   *history.History
	remote    *remote.Remote
	evaluator *evaluate.Evaluator
	ingest    *ingest.Ingest
	outbox    *outbox.Loop
	api       *api.API
	pipeline  *pipeline
	silence   *silence
	feed      *feed
	past      *hindsight
	alertsOut *alertsOut
	facts     *facts
	remember  *remembering
	// recall has agents send again what history lost; nil without history.
	recall *recall
	// remoteIn is remote write's way in, feeds watches its senders.
	remoteIn     atomic.Pointer[ingest.Remote]
	feeds        *feeds
	savingRemote sync.Mutex

	// started is when this process began, listening when it could first be reached, in Unix nanoseconds.
	started     time.Time
	listening   atomic.Int64
	incarnation uint64
	// installation names this house for good.
	installation string
	// restore is the store's last restore, when it was restored.
	restore     store.Restore
	restored    bool
	web, agents net.Listener
	// running is true while Run serves.
	running atomic.Bool
	// reloading lets one Reload run at a time.
	reloading sync.Mutex
	// patient is how long silence may last, as configured.
	patient atomic.Pointer[incident.Patience]
	// rehearsal tells a collector that no other follows: it takes up no files that one before it left, and leaves none.
	rehearsal bool
	// keepWindow is true when a stop is to leave the window to the next start.
	keepWindow atomic.Bool
	// pinging is how silent hosts are asked, own which addresses this host has.
	pinging atomic.Pointer[pingTerms]
	own     atomic.Pointer[map[netip.Addr]bool]
	// lookback is how far back the loaded rules look, in nanoseconds.
	lookback atomic.Int64
}

// New opens the store and both listeners and loads rules and fleet; it runs nothing yet. What it opened is closed by
// Close. A configuration, rule or fleet file that is wrong, a taken port and a store in use are errors for a person.
func New(ctx context.Context, cfg Config, o Options) (*Collector, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Collector{cfg: cfg, o: o, log: o.Logger, now: time.Now, reg: prometheus.NewRegistry(), facts: newFacts()}
	c.started = c.now()
	r, err := c.read(cfg)
	if err != nil {
		return nil, err
	}
	c.doubt(r.doubts)
	for _, step := range []func() error{
		func() error { return c.listen(ctx) },
		func() error { return c.openStore(ctx) },
		func() error { return c.openFleet(ctx, r.directory) },
		c.openHistory,
		c.openRemote,
		func() error { return c.wire(ctx, r.groups, r.book) },
		func() error { c.doubtMade(r.book); c.doubtTerms(cfg, r.book); return nil },
		func() error { c.consents(ctx, r.book, fleet.Directory{}); return nil },
		func() error { c.stranded(ctx, cfg); return nil },
	} {
		if err := step(); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// reading is what the configuration names, read.
type reading struct {
	groups []rules.Group
	// doubts are what should be mended about the rules although they are taken.
	doubts    []string
	directory fleet.Directory
	// book are the policy sets.
	book *policy.Book
}

// read reads what the configuration names: rules, policies and fleet. It names every fault at once and changes nothing.
func (c *Collector) read(cfg Config) (reading, error) {
	cfg.Evaluation.Interval = c.cfg.Evaluation.Interval // another takes effect at the next start, for subqueries too
	groups, found, rulesErr := LoadRules(cfg)
	r := reading{groups: groups, doubts: doubts(found), directory: c.o.Directory}
	var fleetErr error
	if cfg.Fleet.Directory != "" {
		r.directory, fleetErr = fleet.LoadDirectory(cfg.Fleet.Directory)
	}
	var policyErr error
	if r.book, policyErr = loadPolicies(cfg.Policies.Directory); policyErr == nil {
		policyErr = errors.Join(checkContracts(r.book, running(r.directory, c.now()))...)
	}
	return r, errors.Join(rulesErr, fleetErr, policyErr)
}

// doubt logs what should be mended about rules that are in force, once for every load.
func (c *Collector) doubt(doubts []string) {
	for _, d := range doubts {
		c.log.Warn("rules are in force that a check finds fault with or warns of", "found", d)
	}
}

// doubtMade says at a start which contracts that commands declared cannot be put into force. It keeps nothing from starting:
// only a collector that runs takes the command that mends it.
func (c *Collector) doubtMade(book *policy.Book) {
	for _, err := range checkMade(book, running(c.fleet.Directory(), c.now())) {
		c.log.Error("a contract that a command declared cannot hold, and its customer's tickets open as without a contract: "+
			"put the policies back that it goes by, or declare it anew", "err", err)
	}
}

// listen takes both ports, so that one that is taken is told before anything is written.
func (c *Collector) listen(ctx context.Context) error {
	for _, l := range []struct {
		into       *net.Listener
		addr, flag string
	}{
		{&c.web, c.cfg.Web.ListenAddress, "--web.listen-address"},
		{&c.agents, c.cfg.Agents.ListenAddress, "--agent.listen-address"},
	} {
		ln, err := ingest.Listen(ctx, l.addr)
		if err != nil {
			return fmt.Errorf("listen on %s: %w; is another collector running? Stop it, or give another %s", l.addr, err, l.flag)
		}
		*l.into = ln
	}
	return nil
}

// fewAgents are back at once, and their history is read at once.
const fewAgents = 500

// wire connects the rooms and restores the alerts that stood when the collector stopped.
func (c *Collector) wire(ctx context.Context, groups []rules.Group, book *policy.Book) error {
	c.window = window.New(window.Options{})
	if err := c.openPipeline(ctx, book); err != nil {
		return err
	}
	c.registerGauges()
	c.watchOver()
	c.feed = c.newFeed()
	c.feed.suppressed = c.pipeline.MutedBy
	if err := c.openRules(ctx, groups); err != nil {
		return err
	}
	if !c.rehearsal {
		c.loadWindow()
		c.keepWindow.Store(true)
	}
	c.past.reviews = evaluate.NewReviews(evaluate.ReviewOptions{
		Live: c.evaluator, Tell: c.past.told, Logger: c.log.With("part", "review"), Registerer: c.reg,
		Now: func() time.Time { return c.now() },
	})
	if err := errors.Join(c.openIngest(ctx), c.openRemoteIn()); err != nil {
		return err
	}
	c.openAPI()
	c.pipeline.metrics.reloaded(nil, c.started) // what it starts with is in force
	c.listening.Store(c.now().UnixNano())
	return nil
}

// openPipeline makes the way from an alert to a ticket and from there to who is told, with what policies and silences say of it.
func (c *Collector) openPipeline(ctx context.Context, book *policy.Book) error {
	if err := c.openAlertsOut(); err != nil {
		return err
	}
	senders, err := notify.New(c.cfg.Receivers, c.notifyOptions(c.cfg))
	if err != nil {
		return err
	}
	if c.outbox, err = outbox.New(outbox.Options{
		Queue: store.Queue(c.store), Senders: senders, Logger: c.log.With("part", "outbox"), Registerer: c.reg,
	}); err != nil {
		return err
	}
	c.pipeline = &pipeline{
		store: c.store, fleet: c.fleet, wake: c.outbox.Wake, out: c.alertsOut, metrics: newMetrics(c.reg), log: c.log, now: c.now,
	}
	c.alertsOut.configure(senders)
	if err := c.pipeline.agree(ctx, book); err != nil {
		return err
	}
	if c.restored {
		c.pipeline.line = strconv.FormatInt(c.restore.At.Unix(), 36)
	}
	c.pipeline.tell(c.cfg)
	c.pipeline.maintain(c.cfg.Maintenance)
	c.pipeline.evidence = gatherer{
		facts: c.facts, fleet: c.fleet, history: c.history, window: c.window, store: c.store, zones: c.pipeline.zones,
		failing: c.failing, standing: c.standing,
	}
	return c.pipeline.loadSilences(ctx)
}

// registerGauges has /metrics show what is read when it is asked.
func (c *Collector) registerGauges() {
	now := func() time.Time { return c.now() }
	c.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&clockGauges{store: c.store, now: now}, &tallyGauges{c.store},
		&openTickets{store: c.store, metrics: c.pipeline.metrics.customers, now: now},
		onCallGauges{c.pipeline}, webInfo{c.webURL}, &muteGauges{p: c.pipeline, now: now})
}

// watchOver makes what watches for silence, and what sees to it that nothing of a silence is lost.
func (c *Collector) watchOver() {
	c.setPatience(c.cfg)
	c.silence = &silence{
		roster: roster{lives: c.lives, changed: c.fleet.Watched, fresh: c.alive, patience: c.patience},
		commit: c.pipeline.Commit, down: c.setDown, record: c.window.AppendRecorded, now: c.now,
		reach: c.newReach(),
	}
	c.silence.counts.register(c.reg)
	c.feeds = c.newFeeds()
	c.past = &hindsight{
		store: c.store, window: c.window, facts: c.facts, gather: c.pipeline.missed, started: c.started,
		now:      func() time.Time { return c.now() },
		lookback: func() time.Duration { return time.Duration(c.lookback.Load()) },
	}
}

// setDown says that an asset is not heard of, and has the rules about that judged.
func (c *Collector) setDown(a window.Asset, at time.Time) {
	c.window.SetDown(a, at)
	c.evaluator.Stir(a.Name)
}

func (c *Collector) openRules(ctx context.Context, groups []rules.Group) error {
	c.evaluator = evaluate.New(evaluate.Options{
		Window: c.window, Commit: c.pipeline, Interval: time.Duration(c.cfg.Evaluation.Interval),
		Logger: c.log.With("part", "evaluate"), Registerer: c.reg, AssetOf: c.assetOf, Others: c.others,
		Recorded: newRecordings(func(s []history.Sample) { c.curves().AppendSamples(s) }).write,
	})
	var states []store.AlertState
	if err := c.store.View(ctx, func(tx store.Tx) (err error) {
		states, err = tx.Alerts()
		return err
	}); err != nil {
		return fmt.Errorf("read alert states: %w", err)
	}
	var restored []evaluate.Restored
	for _, s := range states {
		if !incident.IsSilence(s.Origin) && !incident.IsGap(s.Origin) && !incident.IsFed(s.Origin) && !incident.IsFeed(s.Origin) {
			restored = append(restored, evaluate.Restored{Origin: s.Origin, Alert: s.Alert})
		}
	}
	c.silence.restore(states)
	c.feeds.restore(states)
	c.past.gaps.restore(states)
	if err := c.feed.restore(ctx, states); err != nil {
		return err
	}
	c.evaluator.Restore(restored)
	c.setRules(groups)
	return nil
}

// setRules puts rules into force.
func (c *Collector) setRules(groups []rules.Group) {
	c.evaluator.Load(groups)
	c.alertsOut.rules(groups, time.Duration(c.cfg.Evaluation.Interval))
	c.lookback.Store(int64(rules.Lookback(groups)))
}

func (c *Collector) openIngest(ctx context.Context) error {
	in, err := ingest.New(ingest.Options{
		Registry: c.fleet, Keeper: store.Keeper(c.store), Logger: c.log.With("part", "ingest"), Registerer: c.reg,
		Quotas: c.cfg.Quotas, Backlog: c.cfg.Backlog, Door: c.cfg.Agents.Door,
		Sink:        c.newSink(),
		Ask:         func(asset string) []*wire.BundleRequest { return c.pipeline.asks.ask(asset, c.now()) },
		Recall:      c.recalls(),
		Incarnation: c.incarnation, Room: c.past.reviews.Room, Since: c.past.wants, Agents: c.expected,
		KeepFor: func() time.Duration {
			return askAgain(time.Duration(c.lookback.Load()), c.restore, c.restored, c.now())
		},
	})
	if err != nil {
		return err
	}
	c.ingest = in
	return in.Load(ctx)
}

// Run serves, evaluates, delivers and watches until ctx ends; it returns when all of that has stopped.
func (c *Collector) Run(ctx context.Context) error {
	c.listening.Store(c.now().UnixNano())
	c.running.Store(true)
	defer c.running.Store(false)
	g, ctx := errgroup.WithContext(ctx)
	parts := map[string]func(context.Context) error{
		"agents' listener":    c.serveAgents,
		"operators' listener": c.serveWeb,
		"evaluate":            c.evaluator.Run,
		"outbox":              c.outbox.Run,
		"review":              c.past.reviews.Run,
		"alerts out":          c.alertsOut.Run,
		"watch":               c.watch,
		"remote write in":     c.runRemoteIn,
		"reload":              c.reloadOnHangup,
		"remote write":        c.remote.Run,
	}
	if c.history != nil {
		parts["history"], parts["recall"] = c.history.Run, c.recall.Run
	}
	if len(c.curves()) > 0 {
		parts["own series"] = c.newOwnSeries().Run
	}
	if c.cfg.Backup.Every > 0 {
		parts["backup"] = c.backups.Run
	}
	for name, run := range parts {
		g.Go(func() error {
			if err := run(ctx); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	c.log.Info("collector runs", "version", api.ReadBuild().Version, "incarnation", c.incarnation,
		"operators", c.WebAddress(), "agents", c.AgentAddress(), "storage", c.StoragePath())
	return g.Wait()
}

// unready says why the collector should not be asked now.
func (c *Collector) unready() []string {
	if !c.running.Load() {
		return []string{"it is starting or stopping"}
	}
	return nil
}

// Close leaves the window to the next start and closes what New opened. Call it when Run has returned.
func (c *Collector) Close() {
	for _, l := range []net.Listener{c.web, c.agents} {
		if l != nil {
			l.Close() // Run's servers have closed it already
		}
	}
	if c.keepWindow.Swap(false) {
		if err := c.remember.all(context.Background(), true); err != nil {
			c.log.Error("how agents were seen last is kept as of a minute ago", "err", err)
		}
		if err := c.saveRemoteIn(); err != nil {
			c.log.Error("how senders were heard last is kept as of a minute ago", "err", err)
		}
		if err := c.saveWindow(); err != nil {
			c.log.Error("agents will have to send again what rules look back on", "err", err)
		}
	}
	if c.history != nil {
		if err := c.history.Close(); err != nil {
			c.log.Error("history was not closed in order", "err", err)
		} else if err := c.recall.closed(); err != nil {
			c.log.Warn("what history wants again is kept as of a minute ago", "err", err)
		}
	}
	if c.store != nil {
		if err := c.store.Close(); err != nil {
			c.log.Error("store was not closed in order", "err", err)
		}
	}
}
