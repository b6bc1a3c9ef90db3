// Package ingest is the agents' way in: mutual TLS, identity from the certificate, limits and quotas, shapes, the
// sorting out of what came twice, late or from the future. What is left over is a Report, which it hands to the Sink;
// only when the Sink says that it is durable does the agent hear "accepted".
//
// The rules by which a report is judged, in their order:
//
//	who         the certificate's agent, looked up for every request: a revoked one is out on open connections too
//	how much    one request of an agent at a time; reports of the past on credits; reports, bytes, events, shapes and
//	            series within its Quotas
//	what        decoded within wire.Limits, checked by wire.CheckReport
//	again?      (epoch, sequence) already applied: accepted once more, without effect
//	shapes      known for this customer, or sent in full with this report, or asked for
//	when        blocks from the future or from long ago are refused; what is late or behind a newer report is marked Late
package ingest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
)

// Registry is what ingest asks the fleet.
type Registry interface {
	// AuthenticateCert says which agent a certificate speaks for, now.
	AuthenticateCert(*x509.Certificate) (fleet.Agent, error)
	// TokenOpen says, at little cost, whether a token is known and has not expired.
	TokenOpen(secret string) bool
	// Enrol turns a token into an identity, Renew an identity into its next certificate.
	Enrol(context.Context, fleet.Request) (fleet.Enrolment, error)
	Renew(ctx context.Context, present *x509.Certificate, csr []byte) (fleet.Enrolment, error)
	// Outdated says whether who holds this certificate should renew it before its time.
	Outdated(*x509.Certificate) bool
}

// Options of New. Registry, Keeper and Sink must be set.
type Options struct {
	Registry Registry
	// Keeper keeps shapes.
	Keeper fleet.Keeper
	Sink   Sink
	// Limits bound one body; wire.DefaultLimits when zero.
	Limits wire.Limits
	// Quotas bound agents and customers over time; DefaultQuotas where zero.
	Quotas Quotas
	// Door bounds who may come in at a time; DefaultDoor where zero.
	Door Door
	// Backlog bounds what agents send of their past; DefaultBacklog where zero.
	Backlog Backlog
	// Room tells whether the past of an asset can be taken in now, and Since from when on it is wanted again beyond
	// KeepFor, zero for not at all. By default there is room and nothing is wanted.
	Room  func(asset string) bool
	Since func(asset string) time.Time
	// Logger gets what a person should look at; nothing is logged by default.
	Logger *slog.Logger
	// Registerer gets the metrics; none by default.
	Registerer prometheus.Registerer
	// Now is the clock by which reports are judged; time.Now by default.
	Now func() time.Time
	// Incarnation is this start of the collector.
	Incarnation uint64
	// KeepFor is how far back some loaded rule looks: so long agents keep what was acknowledged, and so far back they
	// are asked to replay after a start. Nothing is asked for by default.
	KeepFor func() time.Duration
	// Recall wants reports again that were lost after they were acknowledged. Nothing is by default.
	Recall Recall
	// ReturnSpread is over how long agents spread their return after a broken connection at the least; 2 s when zero. It
	// grows with their number, to what the door needs for all of them.
	ReturnSpread time.Duration
	// Agents is how many agents there are that may come, whether they have come or not: right after a start all of them
	// do. It is asked now and then. By default only those count that have come.
	Agents func() int
	// Ask is the evidence that is wanted of a host, put into the Ack of each of its live reports. Nothing is asked for by
	// default.
	Ask func(asset string) []*wire.BundleRequest
}

// Ingest is the agents' way in. Safe for concurrent use; it starts nothing of its own.
type Ingest struct {
	o Options
	// bounds are those in force; they began as the options'.
	bounds  atomic.Pointer[Bounds]
	gates   gates
	shapes  *shapes
	agents  *agents
	metrics *metrics
	asks    *asks
	past    *past
	// fleet is Options.Agents as last asked.
	fleet  atomic.Int64
	enrols *enrols
	// renewals before their time, of all agents.
	renewals *rate.Limiter
	// bodyTimeout is the constant; tests shorten it.
	bodyTimeout time.Duration
	// toldOnce is when tellOnce logged last, in Unix nanoseconds.
	toldOnce atomic.Int64
}

// New checks the options and makes an Ingest that knows no shapes yet; see Load.
func New(o Options) (*Ingest, error) {
	if o.Registry == nil || o.Keeper == nil || o.Sink == nil {
		return nil, errors.New("ingest: registry, keeper and sink must be set")
	}
	if o.Limits == (wire.Limits{}) {
		o.Limits = wire.DefaultLimits()
	}
	o.Quotas = o.Quotas.orDefault()
	if o.Backlog == (Backlog{}) {
		o.Backlog = DefaultBacklog()
	}
	if err := errors.Join(o.Limits.Validate(), o.Quotas.Validate(), o.Door.Validate(), o.Backlog.Validate()); err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	o.Door = o.Door.orDefault()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.KeepFor == nil {
		o.KeepFor = func() time.Duration { return 0 }
	}
	if o.Recall == nil {
		o.Recall = noRecall{}
	}
	if o.Room == nil {
		o.Room = func(string) bool { return true }
	}
	if o.Since == nil {
		o.Since = func(string) time.Time { return time.Time{} }
	}
	if o.Agents == nil {
		o.Agents = func() int { return 0 }
	}
	if o.ReturnSpread == 0 {
		o.ReturnSpread = 2 * time.Second
	}
	i := &Ingest{
		o: o, shapes: newShapes(o.Keeper), agents: newAgents(o.Quotas), asks: newAsks(), past: newPast(o.Backlog),
		enrols:   newEnrols(),
		renewals: rate.NewLimiter(renewalsPerSecond, renewalsPerSecond), bodyTimeout: bodyTimeout,
	}
	i.bounds.Store(&Bounds{Quotas: o.Quotas, Door: o.Door, Backlog: o.Backlog})
	i.metrics = newMetrics(o.Registerer, i.shapes.count)
	return i, nil
}

// Load counts the fleet and reads the known shapes from the Keeper, so that a restart does not ask every agent for them
// again. A shape that does not match its ID is left out and logged: agents will be asked for it.
func (i *Ingest) Load(ctx context.Context) error {
	i.fleet.Store(int64(i.o.Agents()))
	skipped, err := i.shapes.load(ctx, i.o.Limits, i.o.Now())
	if err != nil {
		return fmt.Errorf("load shapes: %w", err)
	}
	if skipped > 0 {
		i.o.Logger.Warn("some stored shapes cannot be used and will be asked for again", "shapes", skipped)
	}
	return nil
}

// Handler serves the agents' five paths. What else is asked for is answered 404.
func (i *Ingest) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(wire.PathReport, i.endpoint(i.report, wire.TypeReportV1, wire.TypeReport))
	mux.Handle(wire.PathBulk, i.endpoint(i.report, wire.TypeBulkV1))
	mux.Handle(wire.PathHello, i.endpoint(i.hello, wire.TypeHello))
	mux.Handle(wire.PathEnrol, i.endpoint(i.enrol, wire.TypeEnrol))
	mux.Handle(wire.PathRenew, i.endpoint(i.renew, wire.TypeEnrol))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, fmt.Sprintf("nothing is at %.100q: this is the agents' listener of a Watchbill collector; operators "+
			"have a listener of their own", r.URL.Path), http.StatusNotFound)
	})
	return strict(mux)
}
