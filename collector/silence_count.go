package collector

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/collector/incident"
)

// silentCauses are what silent hosts are counted by. Of one that is undecided it is not known yet, or not committed, whether
// it, its site or everything is silent.
var silentCauses = [...]string{"host", "goodbye", "never_started", "site", "everything", undecided: "undecided"}

// Indexes of silentCauses.
const (
	hostAlone = iota
	saidGoodbye
	neverStarted
	wholeSite
	everything
	undecided
)

// silentCounts are how many hosts are silent now, by cause. The zero value counts none.
type silentCounts [len(silentCauses)]atomic.Int64

// register shows the counts as a metric, every cause from the start.
func (c *silentCounts) register(reg prometheus.Registerer) {
	for i, cause := range silentCauses {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "watchbill_silent_hosts", Help: "Hosts that are silent, by what they are taken to be silent for.",
			ConstLabels: prometheus.Labels{"cause": cause},
		}, func() float64 { return float64(c[i].Load()) }))
	}
}

// count counts those who are silent by the alert that explains them: the host's own, its site's or everything's.
func (s *silence) count() {
	own, sites, all := map[string]int{}, map[where]bool{}, false
	for _, t := range s.standing() {
		l := t.Alert.Labels
		host := l.Get("instance")
		switch t.Origin.Name {
		case incident.HostSilent:
			own[host] = hostAlone
		case incident.AgentStopped:
			own[host] = saidGoodbye
		case incident.AgentNotSeen:
			own[host] = neverStarted
		case incident.SiteSilent:
			sites[where{l.Get("customer"), l.Get("site")}] = true
		case incident.CollectorBlind:
			all = true
		}
	}
	var n [len(silentCauses)]int64
	for h := range s.silent {
		cause, found := own[h.Asset]
		switch {
		case found:
		case all:
			cause = everything
		case sites[h.site.where]:
			cause = wholeSite
		default:
			cause = undecided
		}
		n[cause]++
	}
	for i := range n {
		s.counts[i].Store(n[i])
	}
}
