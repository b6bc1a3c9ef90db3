package collector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// exposed are the samples that a collector of metrics gives.
func exposed(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	var out []string
	for line := range strings.Lines(text.String()) {
		if !strings.HasPrefix(line, "#") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return strings.Join(out, "\n")
}

func holds(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains("\n"+text+"\n", "\n"+w+"\n") {
			t.Errorf("want %s in\n%s", w, text)
		}
	}
}

// TestCustomersAreCounted: what a customer was promised and got, and who acknowledged at which hour.
func TestCustomersAreCounted(t *testing.T) {
	d := newDesk(t)
	m := d.metrics.customers
	made := d.open(ticket.Birth{Title: "no room", Report: &ticket.Report{Customer: "acme", Asset: "web1", Service: "filesystem",
		System: "server", Channel: "telephone", By: "Cleo", ReceivedAt: d.at.Add(-10 * time.Minute)}})
	holds(t, exposed(t, m.first), `watchbill_customer_first_to_know_total{customer="acme",who="person"} 1`,
		`watchbill_customer_first_to_know_total{customer="acme",who="monitoring"} 0`)
	holds(t, exposed(t, m.response), `watchbill_customer_response_seconds_count{customer="acme"} 0`)
	d.at = d.at.Add(5 * time.Minute)
	d.act(made.Number, ticket.Action{Verb: ticket.Ack}, person("eve"))
	d.act(made.Number, ticket.Action{Verb: ticket.Resolve, Text: "done"}, person("eve"))
	holds(t, exposed(t, m.response), `watchbill_customer_response_seconds_sum{customer="acme"} 900`, `watchbill_customer_response_seconds_count{customer="acme"} 1`)
	holds(t, exposed(t, m.resolution), `watchbill_customer_resolution_seconds_sum{customer="acme"} 900`)
	holds(t, exposed(t, m.acknowledged), `watchbill_acknowledgements_total{person="eve"} 1`)
	holds(t, exposed(t, m.byHour), fmt.Sprintf(`watchbill_acknowledgements_by_hour_total{hour=%q} 1`, d.at.UTC().Format("15")))
	if n := testutil.CollectAndCount(m.byHour); n != 24 {
		t.Errorf("%d hours", n)
	}
}

// TestTargetsAreCounted: a target that was met in time, and one that was missed, which is not met when it ends late.
func TestTargetsAreCounted(t *testing.T) {
	d := newDesk(t)
	m := d.metrics.customers
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	first := d.ticket("WB-1001")
	if len(first.Clocks) == 0 {
		t.Fatal("the ticket has no clocks")
	}
	clock := first.Clocks[0].Name
	series := fmt.Sprintf(`{clock=%q,customer=%q}`, clock, first.Customer)
	holds(t, exposed(t, m.breaches), "watchbill_customer_breaches_total"+series+" 0")
	d.pass(first.Clocks[0].Due.Add(time.Minute))
	d.act(first.Number, ticket.Action{Verb: ticket.Ack}, person("eve"))
	holds(t, exposed(t, m.breaches), "watchbill_customer_breaches_total"+series+" 1")
	holds(t, exposed(t, m.met), "watchbill_customer_met_in_time_total"+series+" 0")
	d.fire("web2", "DiskFull", "critical", rules.Firing)
	d.act("WB-1002", ticket.Action{Verb: ticket.Ack}, person("eve"))
	holds(t, exposed(t, m.met), "watchbill_customer_met_in_time_total"+series+" 1")
}

// TestOpenTicketsAreListed: each with whose it is, and no more than so many; a resolved one is gone.
func TestOpenTicketsAreListed(t *testing.T) {
	d := newDesk(t)
	open := &openTickets{store: d.store, metrics: d.metrics.customers, now: func() time.Time { return d.at }, most: 1}
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	one := d.ticket("WB-1001")
	want := fmt.Sprintf(`watchbill_ticket_opened_timestamp_seconds{asset="web1",customer="acme",number="WB-1001",owner=%q,priority=%q,service=%q,site="hq",state="new"} %v`,
		one.Owner, one.Priority, one.Service, float64(one.OpenedAt.Unix()))
	holds(t, exposed(t, open), want, "watchbill_tickets_left_out 0",
		fmt.Sprintf(`watchbill_tickets_by_owner{customer="acme",owner=%q,priority=%q} 1`, one.Owner, one.Priority))
	holds(t, exposed(t, open),
		fmt.Sprintf(`watchbill_customer_clocks{clock=%q,customer="acme",state="running"} 1`, one.Clocks[0].Name))
	d.at = d.at.Add(time.Minute)
	d.fire("web2", "DiskFull", "critical", rules.Firing)
	holds(t, exposed(t, open), "watchbill_tickets_left_out 1")
	if n := testutil.CollectAndCount(open, "watchbill_ticket_opened_timestamp_seconds"); n != 1 {
		t.Errorf("%d tickets are listed", n)
	}
	d.at = d.at.Add(time.Minute)
	for _, number := range []string{"WB-1001", "WB-1002"} {
		d.act(number, ticket.Action{Verb: ticket.Ack}, person("eve"))
		d.act(number, ticket.Action{Verb: ticket.Resolve, Text: "done"}, person("eve"))
	}
	d.at = d.at.Add(time.Minute)
	if n := testutil.CollectAndCount(open, "watchbill_ticket_opened_timestamp_seconds", "watchbill_customer_clocks"); n != 0 {
		t.Errorf("%d series of tickets that are resolved", n)
	}
}

// TestPagesAreCounted: by person, by the rota that they are on call in, and by urgency.
func TestPagesAreCounted(t *testing.T) {
	at := time.Date(2026, 3, 3, 23, 30, 0, 0, time.UTC)
	rotas, err := route.NewRotas([]route.Rota{
		{Name: "nights", Zone: "UTC", People: []string{"eve"}, Start: at.Add(-time.Hour), Every: 24 * time.Hour},
		{Name: "later", Zone: "UTC", People: []string{"max"}, Start: at.Add(time.Hour), Every: 24 * time.Hour},
	}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := newPageMetrics(prometheus.NewRegistry())
	var did outcome
	did.tells(route.Telling{Person: route.Person{ID: "eve"}, Urgent: true, Also: []route.Person{{ID: "max"}}})
	did.tells(route.Telling{Person: route.Person{ID: "cleo"}, External: true})
	did.tells(route.Telling{Receivers: []string{"desk"}})
	duty := &oncall{rotas: rotas, madeAt: at}
	m.count(did.paged, duty, at)
	m.count(nil, nil, at) // nobody was told: nobody is asked who is on call
	if got, want := exposed(t, m.total), `watchbill_pages_total{person="eve",rota="nights",urgent="yes"} 1
watchbill_pages_total{person="max",rota="none",urgent="yes"} 1`; got != want {
		t.Errorf("got\n%s", got)
	}
	holds(t, exposed(t, m.hours), `watchbill_pages_by_hour_total{hour="23",rota="nights"} 1`)
	got := exposed(t, onCallGauges{&pipeline{oncall: duty, now: func() time.Time { return at }}})
	if want := `watchbill_oncall{person="eve",rota="nights"} 1
watchbill_oncall_covered{rota="later"} 0
watchbill_oncall_covered{rota="nights"} 1`; got != want {
		t.Errorf("got\n%s", got)
	}
}

// TestLabelsAreBounded: what operators name without end is counted together beyond a bound.
func TestLabelsAreBounded(t *testing.T) {
	var b bound
	for i := range maxCounted {
		if name := fmt.Sprint(i); b.of(name) != name {
			t.Fatalf("%s is not counted apart", name)
		}
	}
	if b.of("7") != "7" || b.of("one more") != others {
		t.Error("the bound does not hold")
	}
}
