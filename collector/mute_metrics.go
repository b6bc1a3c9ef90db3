package collector

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
)

// muteCounts count what was muted since the start.
type muteCounts struct{ muted, late atomic.Uint64 }

// muted takes note of what a transaction muted and opened late.
func (p *pipeline) muted(did outcome) {
	if len(did.muted) > 0 {
		p.mutes.news.Store(true)
		p.mutes.counts.muted.Add(uint64(len(did.muted)))
	}
	p.mutes.counts.late.Add(uint64(len(did.unmuted)))
}

// muteGauges show silences, maintenance and what they hold back, when /metrics is asked.
type muteGauges struct {
	p   *pipeline
	now func() time.Time
}

var (
	silencesDesc = prometheus.NewDesc("watchbill_silences", "Silences that are kept, by state.", []string{"state"}, nil)
	mutedDesc    = prometheus.NewDesc("watchbill_muted_alerts",
		"Alerts that fire and are kept from a ticket by a silence or maintenance.", nil, nil)
	maintenanceDesc = prometheus.NewDesc("watchbill_maintenance_active", "Whether a maintenance window holds now.", []string{"name"}, nil)
	mutedTotalDesc  = prometheus.NewDesc("watchbill_alerts_muted_total", "Alerts that fired while a silence or maintenance held them back.", nil, nil)
	lateTotalDesc   = prometheus.NewDesc("watchbill_alerts_unmuted_total",
		"Alerts that were brought to their tickets when what had held them back was over.", nil, nil)
)

func (g *muteGauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{silencesDesc, mutedDesc, maintenanceDesc, mutedTotalDesc, lateTotalDesc} {
		out <- d
	}
}

func (g *muteGauges) Collect(out chan<- prometheus.Metric) {
	now, muter := g.now(), g.p.mutes.muter.Load()
	states := map[incident.MutingState]int{incident.MutingActive: 0, incident.MutingPending: 0, incident.MutingExpired: 0}
	for _, m := range muter.Mutings() {
		if !m.Forgotten(now) {
			states[m.State(now)]++
		}
	}
	for state, n := range states {
		out <- prometheus.MustNewConstMetric(silencesDesc, prometheus.GaugeValue, float64(n), string(state))
	}
	for _, w := range muter.Windows() {
		active := 0.0
		if w.Active(now) {
			active = 1
		}
		out <- prometheus.MustNewConstMetric(maintenanceDesc, prometheus.GaugeValue, active, w.Name)
	}
	var held []store.Muted
	err := g.p.store.View(context.Background(), func(tx store.Tx) (err error) {
		held, err = tx.AllMuted()
		return err
	})
	if err != nil {
		out <- prometheus.NewInvalidMetric(mutedDesc, err)
	} else {
		out <- prometheus.MustNewConstMetric(mutedDesc, prometheus.GaugeValue, float64(len(held)))
	}
	out <- prometheus.MustNewConstMetric(mutedTotalDesc, prometheus.CounterValue, float64(g.p.mutes.counts.muted.Load()))
	out <- prometheus.MustNewConstMetric(lateTotalDesc, prometheus.CounterValue, float64(g.p.mutes.counts.late.Load()))
}
