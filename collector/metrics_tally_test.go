package collector

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// TestTotalsSurviveARestart: who knew first and the ratings are counted from all tickets, whatever is restarted; a later
// answer replaces the one before, and nothing goes below zero.
func TestTotalsSurviveARestart(t *testing.T) {
	d := newDesk(t)
	want := func(monitoring, person, nps string) {
		t.Helper()
		text := `# HELP watchbill_first_to_know Incidents by who knew of them first, over all tickets: monitoring, or a person who reported it.
# TYPE watchbill_first_to_know gauge
watchbill_first_to_know{who="monitoring"} ` + monitoring + `
watchbill_first_to_know{who="person"} ` + person + "\n"
		if nps != "" {
			text += `# HELP watchbill_nps_score Net promoter score over the last rating of every ticket, from -100 to 100: the share of promoters less that of detractors. Absent before the first.
# TYPE watchbill_nps_score gauge
watchbill_nps_score ` + nps + "\n"
		}
		if err := testutil.CollectAndCompare(&tallyGauges{d.store}, strings.NewReader(text), "watchbill_first_to_know", "watchbill_nps_score"); err != nil {
			t.Error(err)
		}
	}
	want("0", "0", "")
	d.fire("web2", "DiskFull", "warning", rules.Firing)
	made := d.open(ticket.Birth{Title: "no room", Report: &ticket.Report{Customer: "acme", Asset: "web1", Service: "filesystem",
		System: "server", Channel: "telephone", By: "Cleo"}})
	want("1", "1", "")
	d.restart()
	d.at = d.at.Add(time.Minute)
	d.fire("web1", "DiskFull", "warning", rules.Firing) // a person knew of that, too
	want("1", "2", "")
	d.act(made.Number, ticket.Action{Verb: ticket.Ack}, person("eve"))
	d.act(made.Number, ticket.Action{Verb: ticket.Resolve, Text: "done"}, person("eve"))
	d.act(made.Number, ticket.Action{Verb: ticket.Close}, person("eve"))
	cleo := person("Cleo")
	cleo.Customer = "acme"
	d.act(made.Number, ticket.Action{Verb: ticket.Rate, Score: 3}, cleo)
	want("1", "2", "-100")
	d.restart()
	d.act(made.Number, ticket.Action{Verb: ticket.Rate, Score: 9}, cleo)
	want("1", "2", "100")
}

// TestCountersBeginAtZero: what may happen under a customer's terms is counted from 0 on once they are known.
func TestCountersBeginAtZero(t *testing.T) {
	d := newDesk(t)
	d.pass(d.at.Add(time.Second)) // the customers are looked through
	for what, vec := range map[string]*prometheus.CounterVec{
		`watchbill_sla_breaches_total{clock="response",policy="erp-partner",reason="in_work"} 0`: d.metrics.desk.breaches,
		`watchbill_gate_refusals_total{gate="amendment-documented"} 0`:                           d.metrics.desk.refusals,
		`watchbill_ratings_total{group="passive"} 0`:                                             d.metrics.desk.ratings,
	} {
		text, err := testutil.CollectAndFormat(vec, expfmt.TypeTextPlain, strings.SplitN(what, "{", 2)[0])
		if err != nil || !strings.Contains(string(text), what) {
			t.Errorf("want %s in %s, %v", what, text, err)
		}
	}
}
