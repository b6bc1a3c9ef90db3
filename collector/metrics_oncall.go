package collector

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/collector/route"
)

// pageMetrics count what people were told. Who is on call, and whether anybody is, is looked up when it is asked.
type pageMetrics struct {
	people       bound
	total, hours *prometheus.CounterVec
}

func newPageMetrics(reg prometheus.Registerer) *pageMetrics {
	m := &pageMetrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "watchbill_pages_total",
			Help: "Notices to people that were queued for delivery, by person, the rota by which they were on call (none: by none), and urgency; a digest is one."},
			[]string{"person", "rota", "urgent"}),
		hours: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "watchbill_pages_by_hour_total",
			Help: "Notices to people that were queued for delivery, by rota and the hour of the day in UTC, 00 to 23."}, []string{"rota", "hour"}),
	}
	reg.MustRegister(m.total, m.hours)
	return m
}

// noRota stands for somebody who was told and is on call in no rota.
const noRota = "none"

// page is one notice to one person.
type page struct {
	person string
	urgent bool
}

// tells notes that a telling is queued for delivery.
func (d *outcome) tells(t route.Telling) {
	d.says(channelOf(t), queued)
	if t.External {
		return
	}
	for _, p := range append([]route.Person{t.Person}, t.Also...) {
		if p.ID != "" {
			d.paged = append(d.paged, page{p.ID, t.Urgent})
		}
	}
}

// count counts the pages of one transaction, once it is committed.
func (m *pageMetrics) count(pages []page, rotas *oncall, now time.Time) {
	if len(pages) == 0 {
		return
	}
	on := onDuty(rotas.at(now), now)
	for _, p := range pages {
		rota := noRota
		if i := slices.IndexFunc(on, func(d dutyNow) bool { return d.person == p.person }); i >= 0 {
			rota = on[i].rota
		}
		urgent := "no"
		if p.urgent {
			urgent = "yes"
		}
		m.total.WithLabelValues(m.people.of(p.person), rota, urgent).Inc()
		m.hours.WithLabelValues(rota, hourOf(now)).Inc()
	}
}

// dutyNow is who is on call in a rota; nobody where person is empty. gap: somebody should be.
type dutyNow struct {
	rota, person string
	gap          bool
}

// onDuty is who is on call in every rota at a moment, by the rotas' names.
func onDuty(rotas route.Rotas, now time.Time) []dutyNow {
	var out []dutyNow
	for name, r := range rotas {
		d := dutyNow{rota: name}
		if id, _, on := r.OnDuty(now); on {
			d.person = id
		} else {
			gaps := r.Gaps(now, now.Add(time.Second))
			d.gap = slices.ContainsFunc(gaps, func(g route.Gap) bool { return !g.Planned })
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(x, y dutyNow) int {
		if x.rota < y.rota {
			return -1
		}
		return 1
	})
	return out
}

// onCallGauges tell who is on call.
type onCallGauges struct{ p *pipeline }

var (
	onCallDesc  = prometheus.NewDesc("watchbill_oncall", "1 for who is on call in a rota now.", []string{"rota", "person"}, nil)
	coveredDesc = prometheus.NewDesc("watchbill_oncall_covered",
		"0 while a rota should have somebody on call and has nobody, 1 otherwise.", []string{"rota"}, nil)
)

// Describe implements prometheus.Collector.
func (g onCallGauges) Describe(ch chan<- *prometheus.Desc) {
	ch <- onCallDesc
	ch <- coveredDesc
}

// Collect implements prometheus.Collector.
func (g onCallGauges) Collect(ch chan<- prometheus.Metric) {
	now := g.p.now()
	for _, d := range onDuty(g.p.oncall.at(now), now) {
		covered := 1.0
		if d.gap {
			covered = 0
		}
		ch <- prometheus.MustNewConstMetric(coveredDesc, prometheus.GaugeValue, covered, d.rota)
		if d.person != "" {
			ch <- prometheus.MustNewConstMetric(onCallDesc, prometheus.GaugeValue, 1, d.rota, d.person)
		}
	}
}

// webInfo tells where people reach the collector: links on dashboards lead there.
type webInfo struct{ url func() string }

var webInfoDesc = prometheus.NewDesc("watchbill_web_info",
	"Always 1; the label says where people reach the operators' listener: web.external_url, or else its address.", []string{"url"}, nil)

// Describe implements prometheus.Collector.
func (w webInfo) Describe(ch chan<- *prometheus.Desc) { ch <- webInfoDesc }

// Collect implements prometheus.Collector.
func (w webInfo) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(webInfoDesc, prometheus.GaugeValue, 1, w.url())
}

// webURL is where people reach the operators' listener, as far as this collector knows.
func (c *Collector) webURL() string {
	if a := c.pipeline.audience.Load(); a != nil && a.url != "" {
		return a.url
	}
	scheme := "http://"
	if c.cfg.Web.ConfigFile != "" {
		scheme = "https://"
	}
	return scheme + c.WebAddress()
}

// DialURL is where a command on this host reaches the operators' listener: by its address, and under TLS by web.external_url
// where that is set, for certificates are made for names.
func (c *Collector) DialURL() string {
	if c.cfg.Web.ConfigFile != "" {
		return c.webURL()
	}
	return "http://" + c.WebAddress()
}
