package ingest

import (
	"maps"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
)

// Bounds of enrolment, which needs no certificate and is therefore open to everybody. Who brings a token counts among all
// of the world together, for that is work; who guesses counts for the address he comes from alone, and keeps nobody else
// from enrolling.
const (
	enrolsPerSecond  = 50
	enrolsAtOnce     = 200
	guessesPerSecond = 1
	guessesAtOnce    = 20
)

// enrols is the pace of enrolments, and that of guesses by address.
type enrols struct {
	pace *rate.Limiter

	mu        sync.Mutex
	guesses   map[netip.Addr]*rate.Limiter
	forgotten time.Time
}

func newEnrols() *enrols {
	return &enrols{pace: rate.NewLimiter(enrolsPerSecond, enrolsAtOnce), guesses: map[netip.Addr]*rate.Limiter{}}
}

// guess says whether one more unknown token from this address may be looked at.
func (e *enrols) guess(from netip.Addr, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	l, ok := e.guesses[from]
	if !ok {
		if len(e.guesses) >= maxAddresses && now.Sub(e.forgotten) >= forgetEvery {
			e.forgotten = now
			maps.DeleteFunc(e.guesses, func(_ netip.Addr, l *rate.Limiter) bool { return l.TokensAt(now) >= guessesAtOnce })
		}
		if len(e.guesses) >= maxAddresses {
			return false
		}
		l = rate.NewLimiter(guessesPerSecond, guessesAtOnce)
		e.guesses[from] = l
	}
	return l.AllowN(now, 1)
}

// comesFrom is the address of a request's other end.
func comesFrom(r *http.Request) netip.Addr {
	p, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // all who have none are one
	}
	return addressOf(net.TCPAddrFromAddrPort(p))
}

// otherEnd is the whole address of a request's other end, with its zone.
func otherEnd(r *http.Request) netip.Addr {
	p, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr().Unmap()
}

// enrol turns a token into an identity.
func (i *Ingest) enrol(w http.ResponseWriter, r *http.Request) {
	m, ok := i.readEnrol(w, r)
	if !ok {
		return
	}
	now := i.o.Now()
	var text string
	switch {
	case i.o.Registry.TokenOpen(m.GetToken()):
		if wait(i.enrols.pace, 1, now) > 0 {
			text = "too many enrolments at this moment: try again in a few seconds"
		}
	case !i.enrols.guess(comesFrom(r), now):
		text = "too many unknown or expired tokens came from this address: try again in a few seconds, with a token that " +
			"`watchbill token create` has just made"
	}
	if text != "" {
		i.metrics.refused(reasonEnrols)
		w.Header().Set("Retry-After", "5")
		i.answer(w, http.StatusTooManyRequests, wire.TypeEnrol, &wire.Enrolled{Error: text})
		return
	}
	e, err := i.o.Registry.Enrol(r.Context(), fleet.Request{
		Token: m.GetToken(), CSR: m.GetCsr(), Hostname: m.GetInventory().GetHostname(),
	})
	i.enrolled(w, e, err)
}

// renew gives an agent the next certificate.
func (i *Ingest) renew(w http.ResponseWriter, r *http.Request) {
	who, err := i.identify(r)
	if err != nil {
		i.enrolled(w, fleet.Enrolment{}, err)
		return
	}
	a := i.agents.get(who)
	if text := i.seat(r, a); text != "" {
		out := i.crowded(w, who, text)
		w.Header().Set("Retry-After", "30")
		i.answer(w, http.StatusTooManyRequests, wire.TypeEnrol, &wire.Enrolled{Error: out.ack.GetError()})
		return
	}
	if wait(a.renewals, 1, i.o.Now()) > 0 {
		i.metrics.refused(reasonRenewals)
		w.Header().Set("Retry-After", "600")
		i.answer(w, http.StatusTooManyRequests, wire.TypeEnrol, &wire.Enrolled{
			Error: "this agent has renewed its certificate too often: try again in an hour, or raise quotas.agent.renewals_per_hour",
		})
		return
	}
	m, ok := i.readEnrol(w, r)
	if !ok {
		return
	}
	e, err := i.o.Registry.Renew(r.Context(), r.TLS.PeerCertificates[0], m.GetCsr())
	i.enrolled(w, e, err)
}

func (i *Ingest) readEnrol(w http.ResponseWriter, r *http.Request) (*wire.Enrol, bool) {
	small := i.o.Limits
	small.BodyBytes, small.DecodedBytes = min(small.BodyBytes, maxEnrol), min(small.DecodedBytes, maxEnrol)
	var m wire.Enrol
	_, err := i.read(w, r, small, &m)
	if err == nil {
		err = wire.CheckInventory(m.GetInventory(), small)
	}
	if err != nil {
		status, text := i.unread(err)
		i.answer(w, status, wire.TypeEnrol, &wire.Enrolled{Error: text})
		return nil, false
	}
	return &m, true
}

func (i *Ingest) enrolled(w http.ResponseWriter, e fleet.Enrolment, err error) {
	if err != nil {
		status, text := i.refusal(err)
		i.answer(w, status, wire.TypeEnrol, &wire.Enrolled{Error: text})
		return
	}
	i.answer(w, http.StatusOK, wire.TypeEnrol, &wire.Enrolled{
		Certificates: e.Certificates, Authorities: e.Authorities, RenewAtMs: e.RenewAt.UnixMilli(),
		Customer: e.Agent.Customer, Site: e.Agent.Site, Asset: e.Agent.Asset,
	})
}
