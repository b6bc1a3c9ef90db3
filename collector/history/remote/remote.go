// Package remote writes samples on to the engines that an operator already runs, by Prometheus' remote write 1.0 and 2.0:
// Prometheus itself, Mimir, Thanos, VictoriaMetrics. Between the collector and them lies a spool on disk, so that an engine
// may be away for a day, and the collector may be killed, without a sample being lost. Nothing here ever stops the collector or holds up
// what comes in: what does not fit is dropped and counted.
//
//	Append ─► queue ─► one writer ─► spool on disk ─┬─► target A: read, relabel, shards, send ─► cursor A
//	                                                └─► target B: read, relabel, shards, send ─► cursor B
//
// Delivery is at least once, and in order for every series: a target reads a round of samples, gives each series to one
// shard, and moves its cursor on when all shards are done. A stop in the middle of a round sends that round again.
package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/shirou/gopsutil/v3/disk"
)

// How Run works.
const (
	// tidyEvery is how often the log is made power-safe, cursors are kept and segments that nobody needs are removed.
	tidyEvery = time.Second
	// commitSamples is where gathering what waits for one write ends.
	commitSamples = 8192
)

// Options says how a Remote works; the zero value of everything is a default.
type Options struct {
	// Queue is how many samples may wait to be written to the spool; a million by default, which take about 16 MB.
	Queue int
	// MinFree is the free space, in bytes, below which nothing is written to the spool; the smaller of 256 MiB and a
	// twentieth of the file system by default.
	MinFree uint64
	// Version stands in the User-Agent header.
	Version    string
	Logger     *slog.Logger
	Registerer prometheus.Registerer

	// segmentBytes is where a segment ends; a sixteenth of the spool's size by default, at most 64 MiB.
	segmentBytes int64
	// tidyEvery is tidyEvery by default.
	tidyEvery time.Duration
	// transport is what a target's requests go through, made of its configuration by default.
	transport func(Target) (http.RoundTripper, error)
	// free is how much may be written: free and total bytes of the file system that holds a path.
	free func(path string) (free, total uint64, err error)
}

// Remote spools samples and sends them to every target. Its methods may be called from several goroutines.
type Remote struct {
	o       Options
	dir     string
	metrics *metrics
	queue   queue
	spool   *spool
	writer  writer
	// cursors is what is kept of targets' positions.
	cursors cursors
	// behind is true while Run could not do yet what is planned.
	behind bool
	// disk tells whether there is room.
	disk room

	// mu guards what follows.
	mu      sync.Mutex
	plan    *Plan
	targets map[string]*target
	// changed has something when plan is another one.
	changed chan struct{}
}

// New makes a Remote that spools in dir, which is made when there is something to spool. It has no targets until Adopt.
func New(dir string, o Options) (*Remote, error) {
	o.Queue = cmp.Or(o.Queue, 1<<20)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.free == nil {
		o.free = freeSpace
	}
	r := &Remote{o: o, dir: dir, targets: map[string]*target{}, changed: make(chan struct{}, 1), plan: &Plan{}}
	if o.transport == nil {
		r.o.transport = r.newTransport
	}
	r.spool = newSpool(dir)
	r.cursors = cursors{dir: dir}
	r.disk = room{dir: dir, least: o.MinFree, free: o.free}
	r.queue.init(o.Queue)
	var err error
	if r.metrics, err = newMetrics(o.Registerer, r); err != nil {
		return nil, err
	}
	return r, nil
}

// Plan is a configuration whose clients are made: nothing about it can fail any more.
type Plan struct {
	config  Config
	clients map[string]*http.Client
}

// Plan makes what is needed to send as c says, and changes nothing. c must be valid; what is wrong with files that it names,
// certificates for one, is the error.
func (r *Remote) Plan(c Config) (*Plan, error) {
	p := &Plan{config: c, clients: map[string]*http.Client{}}
	var errs []error
	for i, t := range c.Targets {
		transport, err := r.o.transport(t)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t.called(i), err))
			continue
		}
		p.clients[t.ID()] = &http.Client{
			Transport: transport,
			// A redirected POST becomes a GET, which any web server answers with success: nothing would be written.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

// Adopt has Run work by p from now on. A target keeps what waits for it as long as one of its name is configured; what waits for
// one that is gone is let go of.
func (r *Remote) Adopt(p *Plan) {
	r.mu.Lock()
	r.plan = p
	r.mu.Unlock()
	r.queue.on.Store(len(p.config.Targets) > 0)
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Sends tells whether there is a target.
func (r *Remote) Sends() bool { return r.queue.on.Load() }

func (r *Remote) planned() *Plan {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.plan
}

// Run spools and sends until ctx ends; then it spools what is still queued, and returns nil.
func (r *Remote) Run(ctx context.Context) error {
	defer r.stopAll()
	tidy := time.NewTicker(cmp.Or(r.o.tidyEvery, tidyEvery))
	defer tidy.Stop()
	r.follow(ctx)
	for {
		select {
		case <-ctx.Done():
			r.shut()
			return nil
		case <-r.changed:
			r.follow(ctx)
		case b := <-r.queue.waiting:
			r.write(r.queue.gather(b))
		case <-tidy.C:
			if r.behind {
				r.follow(ctx)
			}
			r.tidy()
		}
	}
}

// shut spools what is queued, waits for the targets and keeps where they are.
func (r *Remote) shut() {
	for {
		select {
		case b := <-r.queue.waiting:
			r.write(r.queue.gather(b))
			continue
		default:
		}
		break
	}
	r.stopAll()
	r.tidy()
	r.spool.close()
}

// tidy makes what was written safe and removes what nobody needs.
func (r *Remote) tidy() {
	if !r.spool.isOpen() {
		return
	}
	if err := r.spool.sync(); err != nil {
		r.metrics.failures.Inc()
		r.o.Logger.Warn("remote write's spool could not be synced; it is tried again", "dir", r.dir, "err", err)
	}
	at, needed := r.positions()
	if err := r.cursors.keep(at); err != nil {
		r.metrics.failures.Inc()
		r.o.Logger.Warn("remote write's cursors could not be kept; after a crash samples would be sent again", "dir", r.dir, "err", err)
	}
	bounds := r.planned().config.Spool
	for _, lost := range r.spool.trim(needed, int64(bounds.Size), time.Now().Add(-time.Duration(bounds.Age))) {
		r.o.Logger.Warn("remote write's oldest samples were dropped unsent: targets are away for longer than the spool holds; "+
			"mend them, or raise remote_write_spool", "because", lost.because, "samples", lost.samples, "written", lost.written)
	}
}

// positions are where the targets are, and the first segment that one of them needs.
func (r *Remote) positions() (map[string]position, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, needed := map[string]position{}, r.spool.end().Segment
	for name, t := range r.targets {
		p, _ := t.acknowledged()
		at[name] = p
		needed = min(needed, p.Segment)
	}
	return at, needed
}

func freeSpace(path string) (free, total uint64, err error) {
	u, err := disk.Usage(path)
	if err != nil {
		return 0, 0, err
	}
	return u.Free, u.Total, nil
}
