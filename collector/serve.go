package collector

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/sync/errgroup"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/ingest"
)

// drain is how long requests under way may take to end when the collector stops.
const drain = 5 * time.Second

// authoritiesEvery is how often it is looked at whether an authority may retire or needs a successor.
const authoritiesEvery = time.Minute

// serveAgents serves the agents' listener over mutual TLS, HTTP/1.1 only: for one request per interval that is cheaper.
// Beside it run what ends connections of revoked agents and what carries authorities over.
func (c *Collector) serveAgents(ctx context.Context) error {
	cert, err := c.fleet.ServerCertificate(c.agentNames())
	if err != nil {
		return err
	}
	srv, listener := c.ingest.Server(c.agents, ingest.TLSConfig(cert.GetCertificate, c.fleet.ClientCAs, nil))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return serve(ctx, srv, func() error { return srv.Serve(listener) }) })
	g.Go(func() error { return c.ingest.Run(ctx) })
	g.Go(func() error { return c.watchAuthorities(ctx) })
	return g.Wait()
}

// expected is how many agents may come: those that were neither revoked nor let their certificates expire.
func (c *Collector) expected() int {
	n, now := 0, c.now()
	for _, a := range c.fleet.Agents() {
		if a.Active(now) {
			n++
		}
	}
	return n
}

// watchAuthorities does what is due about the fleet's authorities. A failure is logged and tried again.
func (c *Collector) watchAuthorities(ctx context.Context) error {
	tick := time.NewTicker(authoritiesEvery)
	defer tick.Stop()
	for {
		if err := c.fleet.AdvanceAuthorities(ctx); err != nil && ctx.Err() == nil {
			c.log.Error("authorities could not be looked after; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// serveWeb serves the operators' listener; TLS and client certificates as a Prometheus web configuration says.
func (c *Collector) serveWeb(ctx context.Context) error {
	srv := &http.Server{
		Handler: c.api.Handler(), ReadHeaderTimeout: api.ReadHeaderTimeout, IdleTimeout: api.IdleTimeout,
		MaxHeaderBytes: api.MaxHeaderBytes,
	}
	none := false
	flags := &web.FlagConfig{
		WebListenAddresses: &[]string{c.cfg.Web.ListenAddress}, WebSystemdSocket: &none, WebConfigFile: &c.cfg.Web.ConfigFile,
	}
	return serve(ctx, srv, func() error { return web.Serve(c.web, srv, flags, c.log.With("part", "web")) })
}

// serve runs listen until ctx ends and then gives requests under way a moment.
func serve(ctx context.Context, srv *http.Server, listen func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- listen() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := srv.Shutdown(stopping); err != nil {
		srv.Close()
	}
	if err := <-ended; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (c *Collector) openAPI() {
	c.api = api.New(api.Options{
		Store: c.store, Desk: c.pipeline, Terms: c.pipeline, OnCall: c.pipeline, Silencer: c.pipeline, Fleet: c.fleet, Rules: c.evaluator, Window: c.window,
		Gatherer: c.reg, Ready: c.unready, Reload: c.Reload, Reloads: c.pipeline.metrics.reloads, Resent: c.outbox.Wake, Receivers: c.receiverNames,
		Alertmanager: c.alertmanager(),
		Build:        api.ReadBuild(), Incarnation: c.incarnation, StoragePath: c.StoragePath(), AgentAddress: c.AgentAddress(),
		Backup: c.backups.Download, RemoteWrite: c.remoteIn.Load(), Feeds: c.remoteIn.Load(), Engines: c.remote.Status,
		Loopback: isLoopback(c.web.Addr()), Logger: c.log.With("part", "api"),
		History: c.queried(), Retention: time.Duration(c.cfg.History.Retention), Interval: time.Duration(c.cfg.Evaluation.Interval),
		Query: c.cfg.Query,
	})
	c.reg.MustRegister(c.api.Collector())
	c.reg.MustRegister(c.api.QueryMetrics()...)
}
