package ingest

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules/window"
)

// RemoteSample is a sample with all its labels, as the history has it.
type RemoteSample struct {
	Labels labels.Labels
	T      int64
	V      float64
}

// RemoteFleet is what remote write asks the fleet.
type RemoteFleet interface {
	Authenticate(token string) (fleet.Operator, bool)
	Asset(name string) (fleet.Asset, bool)
	Customer(id string) (fleet.Customer, bool)
}

// RemoteOptions of NewRemote. Fleet, Window, Judge and Keep must be set.
type RemoteOptions struct {
	Config RemoteWriteIn
	Fleet  RemoteFleet
	Window *window.Window
	// Judge has the rules about an asset judged, and returns when what that changed is committed.
	Judge func(ctx context.Context, asset string) error
	// Keep hands samples to the history. Nothing of the slice is kept but the labels.
	Keep func([]RemoteSample)
	// KeepsBack is how old samples may be for Keep; older ones are refused. Zero, or nil: they may be of any age.
	KeepsBack func() time.Duration
	// Remember makes durable which senders and assets there are: State.
	Remember   func(context.Context) error
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Remote is remote write's way in, versions 1.0 and 2.0. It is an http.Handler for POST /api/v1/write, safe for concurrent
// use. Series become rows of their asset's sources in the window; what has no place there goes to the history alone.
//
//	body ─► alias of the series ─► asset ─► group: rows by time ─► block ─► window ─► Judge ─► 204
//	                                   └────────────────────────────────► Keep (history)
type Remote struct {
	o       RemoteOptions
	conf    atomic.Pointer[RemoteWriteIn]
	handler http.Handler
	metrics *remoteMetrics
	seed    maphash.Seed
	layouts remoteLayouts
	scratch sync.Pool
	// slots are taken by requests that are worked on.
	slots atomic.Pointer[chan struct{}]

	mu      sync.Mutex
	senders map[string]*remoteSender
	assets  map[string]*remoteAsset
	// waiting are assets with rows that are not whole.
	waiting map[*remoteAsset]bool
	// unsaved says that State has something new that has to be durable before it is acknowledged.
	unsaved bool

	about remoteAbout
}

// NewRemote checks the options and makes a Remote that knows nobody; see Resume and Run.
func NewRemote(o RemoteOptions) (*Remote, error) {
	if o.Fleet == nil || o.Window == nil || o.Judge == nil || o.Keep == nil {
		return nil, errors.New("remote write: fleet, window, judge and keep must be set")
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Remember == nil {
		o.Remember = func(context.Context) error { return nil }
	}
	if o.KeepsBack == nil {
		o.KeepsBack = func() time.Duration { return 0 }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Remote{
		o: o, seed: maphash.MakeSeed(), senders: map[string]*remoteSender{}, assets: map[string]*remoteAsset{},
		waiting: map[*remoteAsset]bool{},
	}
	r.layouts = remoteLayouts{seed: r.seed, known: map[uint64]weak.Pointer[window.Layout]{}}
	r.about.all = map[string]RemoteMetadata{}
	r.scratch.New = func() any { return &remoteJob{} }
	r.metrics = newRemoteMetrics(o.Registerer, r)
	// The handler reads the method and which message it is; the body is unpacked by Store, so that every answer to a
	// message of version 2 says how much was written.
	r.handler = remote.NewWriteHandler(r, remote.MessageTypes{remote.WriteV1MessageType, remote.WriteV2MessageType},
		remote.WithWriteHandlerMiddlewares(), remote.WithWriteHandlerLogger(o.Logger))
	r.Configure(o.Config)
	return r, nil
}

// Configure puts other bounds and another keying into force, with the next request. It must have been found valid.
func (r *Remote) Configure(c RemoteWriteIn) {
	was := r.conf.Swap(&c)
	if was == nil || was.Limits.AtOnce != c.Limits.AtOnce {
		slots := make(chan struct{}, c.Limits.AtOnce)
		r.slots.Store(&slots)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.senders {
		s.configure(c)
	}
}

// readRemote is how long the body of a request may take.
const readRemote = 30 * time.Second

// ServeHTTP implements http.Handler: who may send is looked up for every request, whatever the listener is bound to.
func (r *Remote) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	name, status, text := r.authenticate(req)
	if status != 0 {
		r.metrics.refused.WithLabelValues(reasonToken).Inc()
		r.metrics.requests.WithLabelValues(fmt.Sprint(status)).Inc()
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="watchbill", Basic realm="watchbill"`)
		}
		http.Error(w, text, status)
		return
	}
	// Not every ResponseWriter has deadlines (tests' recorders do not); the server's own still hold.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readRemote))
	req.Body = http.MaxBytesReader(w, req.Body, int64(r.conf.Load().Limits.BodyBytes))
	seen := &answered{ResponseWriter: w, code: http.StatusOK}
	r.handler.ServeHTTP(seen, req.WithContext(context.WithValue(req.Context(), senderKey{}, name)))
	r.metrics.requests.WithLabelValues(fmt.Sprint(seen.code)).Inc()
}

// senderKey is where a request's context has the sender's name.
type senderKey struct{}

// answered remembers the status of an answer.
type answered struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (a *answered) WriteHeader(code int) {
	a.code = code
	a.ResponseWriter.WriteHeader(code)
}

// authenticate says who sends, or with which status and text the request is refused.
func (r *Remote) authenticate(req *http.Request) (name string, status int, text string) {
	token := tokenOf(req)
	const make = "an administrator makes one with `watchbill operator add NAME --role sender`"
	if token == "" {
		return "", http.StatusUnauthorized, "remote write wants a token, as `Authorization: Bearer TOKEN` or as the password of " +
			"basic authentication: " + make
	}
	who, ok := r.o.Fleet.Authenticate(token)
	switch {
	case !ok:
		return "", http.StatusUnauthorized, "this collector does not know the token that was sent: " + make
	case !who.May(fleet.MayFeed):
		return "", http.StatusForbidden, fmt.Sprintf("the token of %s may not send samples: %s", who.Name, make)
	}
	return who.Name, 0, ""
}

// Answers to requests that are not taken now.
const (
	slotWait   = 5 * time.Second
	retryLater = "5"
)

// Store implements what the handler of the protocol asks for: it takes one request.
func (r *Remote) Store(req *http.Request, kind remote.WriteMessageType) (*remote.WriteResponse, error) {
	began := r.o.Now()
	out := remote.NewWriteResponse()
	if enc := req.Header.Get("Content-Encoding"); enc != "" && enc != string(remote.SnappyBlockCompression) {
		return r.turnAway(out, http.StatusUnsupportedMediaType, reasonMedia,
			fmt.Errorf("content encoding %q is not taken: remote write is compressed with snappy, in the block format", clean(enc)))
	}
	free, ok := r.enter(req.Context())
	if !ok {
		return r.turnAway(out, http.StatusServiceUnavailable, reasonBusy,
			errors.New("too many requests are being worked on: send again, or raise remote_write_in.limits.at_once"))
	}
	defer free()
	j := r.scratch.Get().(*remoteJob)
	defer j.free(&r.scratch)
	j.begin(r, req.Context().Value(senderKey{}).(string), kind == remote.WriteV2MessageType, r.o.Now())
	if status, reason, err := j.read(req); err != nil {
		return r.turnAway(out, status, reason, err)
	}
	if d := j.sender.afford(len(j.batch), j.now); d > 0 {
		out.SetExtraHeader("Retry-After", fmt.Sprint(int(d/time.Second)+1))
		return r.turnAway(out, http.StatusTooManyRequests, reasonSamples,
			fmt.Errorf("%s sends more samples than %squotas.samples_per_minute allows: send again in %v, or raise it", j.sender.name,
				j.prefix, d.Round(time.Second)))
	}
	if err := j.apply(req.Context()); err != nil {
		j.sender.giveBack(len(j.batch), j.now) // it comes again
		return r.turnAway(out, http.StatusServiceUnavailable, reasonSink, fmt.Errorf("what was sent could not be made durable: %w", err))
	}
	out.Samples = j.written
	r.metrics.duration.Observe(r.o.Now().Sub(began).Seconds())
	if err := j.refusals(); err != nil {
		out.SetStatusCode(http.StatusBadRequest)
		return out, err
	}
	return out, nil
}

// turnAway is the answer to a request of which nothing is taken; the reason is counted.
func (r *Remote) turnAway(out *remote.WriteResponse, status int, reason string, err error) (*remote.WriteResponse, error) {
	r.metrics.refused.WithLabelValues(reason).Inc()
	out.SetStatusCode(status)
	if status == http.StatusServiceUnavailable {
		out.SetExtraHeader("Retry-After", retryLater)
	}
	return out, err
}

// enter waits for one of the places of requests that are worked on.
func (r *Remote) enter(ctx context.Context) (free func(), ok bool) {
	slots := *r.slots.Load()
	free = func() { <-slots }
	select {
	case slots <- struct{}{}:
		return free, true
	default:
	}
	t := time.NewTimer(slotWait)
	defer t.Stop()
	select {
	case slots <- struct{}{}:
		return free, true
	case <-t.C:
	case <-ctx.Done():
	}
	return nil, false
}

// Run writes rows that have waited long enough and looks after who and what is written, until ctx ends.
func (r *Remote) Run(ctx context.Context) error {
	tick := time.NewTicker(quiet / 5)
	defer tick.Stop()
	swept := r.o.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := r.o.Now()
		r.Settle(ctx, now)
		if now.Sub(swept).Abs() >= remoteSweepEvery {
			swept = now
			r.Sweep(ctx, now)
		}
	}
}

// Settle writes the rows that have waited for long enough.
func (r *Remote) Settle(ctx context.Context, now time.Time) {
	r.mu.Lock()
	all := make([]*remoteAsset, 0, len(r.waiting))
	for a := range r.waiting {
		all = append(all, a)
	}
	clear(r.waiting)
	r.mu.Unlock()
	for _, a := range all {
		if !r.write(a, now) {
			continue
		}
		if err := r.o.Judge(ctx, a.Name); err != nil && ctx.Err() == nil {
			r.o.Logger.Error("what remote write brought could not be judged; it is tried again", "asset", a.Name, "err", err)
		}
	}
}

// write writes what rows of an asset are due into the window; it tells whether there were some.
func (r *Remote) write(a *remoteAsset, now time.Time) (wrote bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone || a.moved(r.declared(a.instance)) { // the next sweep finds it
		return false
	}
	open := false
	for i := 0; i < len(a.groups); i++ {
		g := a.groups[i]
		g.due(now, func(row *remoteRow) {
			wrote = true
			r.row(a, g, row, now)
		})
		open = open || len(g.rows) > 0
		if len(g.series) == 0 && len(g.rows) == 0 {
			a.groups = append(a.groups[:i], a.groups[i+1:]...)
			i--
		}
	}
	if open {
		r.mu.Lock()
		r.waiting[a] = true
		r.mu.Unlock()
	}
	return wrote
}

// row writes one row, and says since when the asset's rows are here without a hole: as for agents, three may be missing.
func (r *Remote) row(a *remoteAsset, g *remoteGroup, row *remoteRow, now time.Time) {
	before, known := r.o.Window.CompleteSince(a.Name)
	b := g.block(row, now, &r.layouts)
	r.ended(r.o.Window.Apply(a.Asset, now, []window.Block{b}))
	r.metrics.rows.Inc()
	if len(a.kinds) > 0 || b.Status != window.OK {
		a.newest = max(a.newest, row.t)
		return // its agent's reports tell how far back it is complete
	}
	hole := a.newest != never && a.pace > 0 && row.t-a.newest > 3*a.pace.Milliseconds()
	switch {
	case hole:
		r.o.Window.SetCompleteSince(a.Name, time.UnixMilli(row.t))
	case known && (a.resumed || b.Late):
		r.o.Window.SetCompleteSince(a.Name, before)
	}
	a.newest, a.resumed = max(a.newest, row.t), a.resumed && b.Late
}
