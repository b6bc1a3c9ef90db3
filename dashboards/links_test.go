package dashboards

import (
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
)

// TestLinksLeadSomewhere follows every link from a panel into the collector, with the address that the collector says of itself:
// each is answered.
func TestLinksLeadSomewhere(t *testing.T) {
	h := startCollector(t)
	h.do("POST", root+"/tickets", map[string]any{"title": "the shop is slow", "customer": "acme", "asset": "shop2", "service": "shop",
		"channel": "telephone", "reporter": "Pat", "impact": "business", "urgency": "time-critical", "system": "application"}, nil)
	collector, number := "", ""
	h.until("its ticket", func(all map[string]scrape) bool {
		for _, s := range all {
			switch s.labels.Get(model.MetricNameLabel) {
			case "watchbill_web_info":
				collector = s.labels.Get("url")
			case "watchbill_ticket_opened_timestamp_seconds":
				number = s.labels.Get("number")
			}
		}
		return collector != "" && number != ""
	})
	followed := map[string]bool{}
	for _, b := range load(t) {
		for _, p := range b.panels() {
			for _, l := range p.FieldConfig.Defaults.Links {
				if !strings.HasPrefix(l.URL, "${collector:raw}") {
					continue
				}
				to, err := url.Parse(strings.NewReplacer("${collector:raw}", collector, "${__data.fields.Ticket}", number,
					"${__data.fields.Asset}", "shop2", "${__field.labels.instance}", "shop2",
					"${__field.labels.priority}", "P1", "${__field.labels.owner}", "first-level").Replace(l.URL))
				if err != nil || to.Host != h.c.WebAddress() || strings.Contains(to.RequestURI(), "$") {
					t.Errorf("%s, panel %q: the link %s leads to %v, %v", b.file, p.Title, l.URL, to, err)
					continue
				}
				if !followed[to.RequestURI()] {
					h.do("GET", to.RequestURI(), nil, nil)
				}
				followed[to.RequestURI()] = true
			}
		}
	}
	if len(followed) < 2 {
		t.Errorf("followed %v: expected a ticket and an asset", followed)
	}
}
