package ingest

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
)

// sweepEvery is how often connections that lie idle are looked at: one of a revoked agent ends that long after it at the
// latest. A request on it is refused at once, whenever it comes.
const sweepEvery = 20 * time.Second

// crowdedRetry is how long an agent waits when its customer has too many connections.
const crowdedRetry = 30 * time.Second

// seat is whose connection a guest is, by the certificate it has shown.
type seat struct {
	agents *agents
	agent  *agent
	cert   *x509.Certificate
}

// seat gives a connection to its agent when it first speaks for it. An agent that has as many as it may, or whose
// customer has, loses its oldest for it: its line mostly broke without a word. Where the customer has too many and this
// agent none, the text says so and the connection gets no seat.
func (i *Ingest) seat(r *http.Request, a *agent) (crowded string) {
	g, ok := r.Context().Value(guestKey{}).(*guest)
	if !ok || g.seat.Load() != nil {
		return ""
	}
	c := a.customer
	i.agents.mu.Lock()
	full := c.connections >= c.quotas().Connections
	if full && len(a.guests) == 0 {
		i.agents.mu.Unlock()
		return fmt.Sprintf("this customer's agents have %d connections, and more are not taken: the agent comes again later; "+
			"raise %sconnections if there are that many agents", c.quotas().Connections, c.key())
	}
	var oldest *guest
	if full || len(a.guests) >= i.bounds.Load().Quotas.Agent.Connections {
		oldest = a.guests[0]
		i.agents.remove(a, 0)
	}
	c.connections++
	a.guests = append(a.guests, g)
	taken := &seat{i.agents, a, r.TLS.PeerCertificates[0]}
	g.seat.Store(taken)
	i.agents.mu.Unlock()
	if g.closed.Load() { // before it could be known whose it is
		i.agents.unseat(g, taken)
	}
	if oldest != nil {
		i.metrics.refused(reasonConnections)
		_ = oldest.Close() // its agent has a newer one
	}
	return ""
}

// unseat takes a connection from its agent.
func (a *agents) unseat(g *guest, from *seat) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := slices.Index(from.agent.guests, g); n >= 0 {
		a.remove(from.agent, n)
	}
}

// remove gives back the place of an agent's n-th connection. The caller holds mu.
func (a *agents) remove(one *agent, n int) {
	one.guests = slices.Delete(one.guests, n, n+1)
	one.customer.connections--
}

// seated is every connection that belongs to an agent, with its certificate.
func (a *agents) seated() map[*guest]*x509.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[*guest]*x509.Certificate{}
	for _, one := range a.byID {
		for _, g := range one.guests {
			out[g] = g.seat.Load().cert
		}
	}
	return out
}

// Run closes connections whose certificates are not good any more, forgets what agents that have fallen silent were
// counted with and shapes that nobody uses, and counts the fleet, until ctx ends. It must run beside Server.
func (i *Ingest) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			i.closeRefused()
			i.forgetSilent()
			i.fleet.Store(int64(i.o.Agents()))
			if err := i.shapes.expire(ctx, i.o.Now()); err != nil && ctx.Err() == nil {
				i.o.Logger.Error("shapes that nobody uses stay in the store for now; trying again", "error", err)
			}
		}
	}
}

// closeRefused ends the connections of those who would be refused if they spoke.
func (i *Ingest) closeRefused() {
	for g, cert := range i.agents.seated() {
		if _, err := i.o.Registry.AuthenticateCert(cert); err != nil {
			i.metrics.refused(reasonEnded)
			_ = g.Close() // gone is gone
		}
	}
}

// forgetSilent gives a customer back the series of agents that do not report any more.
func (i *Ingest) forgetSilent() {
	now := i.o.Now()
	for _, a := range i.agents.all() {
		select {
		case a.turn <- struct{}{}:
			a.forget(now)
			a.leave()
		default: // it reports at this very moment
		}
	}
}

// Pace and patience of renewals before their time, after authorities have changed: ten thousand agents are over in half
// an hour, and one that does not listen is told again every ten minutes.
const (
	renewalsPerSecond = 5
	tellRenewEvery    = 10 * time.Minute
)

// HeaderRenew on an answer tells an agent to renew its certificate now: authorities have changed since it was made. It
// is a header and no field of an Ack because identity is the transport's, on both sides.
const HeaderRenew = "Watchbill-Renew"

// tellRenew tells an agent to renew before its time, when it is its turn among all. The caller holds the agent's turn.
func (i *Ingest) tellRenew(w http.ResponseWriter, r *http.Request, a *agent, now time.Time) {
	if !i.o.Registry.Outdated(r.TLS.PeerCertificates[0]) || now.Sub(a.renewTold) < tellRenewEvery || !i.renewals.AllowN(now, 1) {
		return
	}
	a.renewTold = now
	w.Header().Set(HeaderRenew, "now")
}

// crowded is the answer to an agent whose customer has too many connections.
func (i *Ingest) crowded(w http.ResponseWriter, who fleet.Agent, text string) outcome {
	w.Header().Set("Connection", "close")
	return i.later(who, reasonCustomerConnections, crowdedRetry, text)
}
