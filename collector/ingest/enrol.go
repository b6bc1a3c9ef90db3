package ingest

import (
	"net/http"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
)

// Bounds of enrolment, which needs no certificate and is therefore open to everybody: all of the world together.
const (
	enrolsPerSecond = 50
	enrolsAtOnce    = 200
)

// enrol turns a token into an identity.
func (i *Ingest) enrol(w http.ResponseWriter, r *http.Request) {
	if wait(i.enrols, 1, i.o.Now()) > 0 {
		i.metrics.refused(reasonEnrols)
		w.Header().Set("Retry-After", "5")
		i.answer(w, http.StatusTooManyRequests, wire.TypeEnrol, &wire.Enrolled{
			Error: "too many enrolments at this moment: try again in a few seconds",
		})
		return
	}
	m, ok := i.readEnrol(w, r)
	if !ok {
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
