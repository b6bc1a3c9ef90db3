package collector

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"syscall"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/notify"
)

// reloadOnHangup reloads at every SIGHUP.
func (c *Collector) reloadOnHangup(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			if _, err := c.Reload(ctx); err != nil {
				c.log.Error("nothing was reloaded", "err", err)
			}
		}
	}
}

// Reload reads the configuration again, with the rules, the policies, the fleet and the receivers it names: all of it is right and takes
// effect, or nothing changes and the error names every fault. The answer names the keys that differ from what this collector
// was started with and take effect at its next start, and what should be mended about rules, policies and contracts; both are
// logged, too. Where files change a contract's operating model or owners a ticket asks the client owner to approve it.
func (c *Collector) Reload(ctx context.Context) (out api.Reloaded, err error) {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	defer func() { c.pipeline.metrics.reloaded(err, c.now()) }()
	cfg := c.cfg
	if c.o.Reread != nil {
		if cfg, err = c.o.Reread(); err != nil {
			return out, err
		}
	}
	r, err := c.read(cfg)
	senders, sendersErr := notify.New(cfg.Receivers, c.notifyOptions(cfg))
	remotes, remoteErr := c.remote.Plan(cfg.Remote)
	if err := errors.Join(cfg.Validate(), err, r.directory.Validate(), sendersErr, remoteErr); err != nil {
		return out, err
	}
	// What commands declared has to go with it, too. Fleet and policies take effect together, first: nothing else can fail,
	// for it was found right.
	policies, before := c.pipeline.Policies(), c.fleet.Directory()
	err = c.fleet.SetDirectoryWith(r.directory, func(whole fleet.Directory) error {
		return errors.Join(checkMade(r.book, running(whole, c.now()))...)
	}, func(show func()) { c.pipeline.agreements.swap(r.book, show) })
	if err != nil {
		return out, err
	}
	if err := c.ingest.Configure(boundsOf(cfg)); err != nil {
		return out, err
	}
	c.remoteIn.Load().Configure(cfg.RemoteWriteIn)
	c.pipeline.oncall.stale()
	c.outbox.Configure(senders)
	c.remote.Adopt(remotes)
	c.alertsOut.configure(senders)
	c.pipeline.tell(cfg)
	c.pipeline.maintain(cfg.Maintenance)
	c.setPatience(cfg)
	c.feed.configure(cfg)
	c.api.SetQueryLimits(cfg.Query)
	c.setRules(r.groups)
	for _, key := range changed(c.cfg, cfg) {
		out.NextStart = append(out.NextStart, key)
		c.log.Warn(key + " changed: takes effect at the next start")
	}
	c.doubt(r.doubts)
	c.log.Info("reloaded", "groups", len(r.groups))
	out.Reloaded, out.Warnings = true, slices.Concat(r.doubts, c.doubtTerms(cfg, r.book), c.stranded(ctx, cfg), c.consents(ctx, policies, before))
	return out, nil
}

func boundsOf(cfg Config) ingest.Bounds {
	return ingest.Bounds{Quotas: cfg.Quotas, Door: cfg.Agents.Door, Backlog: cfg.Backlog}
}

// changed are the keys that a running collector cannot change and that differ: what it listens on, where it keeps what it
// has, and the beat it was started with. All others take effect with a reload.
func changed(from, to Config) []string {
	was, is := atStart(from), atStart(to)
	var keys []string
	for i := range was {
		if !reflect.DeepEqual(was[i].value, is[i].value) {
			keys = append(keys, was[i].key)
		}
	}
	return keys
}

// setting is one key of the configuration with its value.
type setting struct {
	key   string
	value any
}

func atStart(c Config) []setting {
	return []setting{
		{"storage.path", c.Storage.Path},
		{"backup.every", c.Backup.Every}, {"backup.keep", c.Backup.Keep}, {"backup.path", c.Backup.Path},
		{"web.listen_address", c.Web.ListenAddress}, {"web.config_file", c.Web.ConfigFile},
		{"agents.listen_address", c.Agents.ListenAddress}, {"agents.external_address", c.Agents.ExternalAddress},
		{"agents.names", fmt.Sprint(c.Agents.Names)},
		{"evaluation.interval", c.Evaluation.Interval},
		{"history.retention", c.History.Retention}, {"history.size", c.History.Size}, {"history.instance", c.History.Instance},
	}
}
