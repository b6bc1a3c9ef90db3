package collector

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// upRules are diskRules and a rule of the kind that every Prometheus has: on its own it would open a ticket for each host.
const upRules = diskRules + `
- name: up
  rules:
  - alert: InstanceDown
    expr: up == 0
    labels: {severity: critical, service: node, system: server}
    annotations: {summary: "{{ $labels.instance }} is down"}
  - alert: WebDown
    expr: up{job="node"} == 0 unless on (instance) maintenance == 1
    for: 1m
    labels: {severity: critical, service: web, system: server}
    annotations: {summary: "{{ $labels.instance }} does not serve"}
`

// Silence and rules about up are one incident: of the host, and of its site when it turns out to be that.
func TestSilenceAndUpAreOneTicket(t *testing.T) {
	inTown(t, upRules, func(n *town) {
		n.at(10 * min1)
		n.hosts["web1"].set(func(h *citizen) { h.cut = true })
		n.at(15 * min1)
		all := n.tickets()
		if got := titles(all); !slices.Equal(got, []string{"web1 is silent"}) {
			t.Fatalf("tickets %q, want one for the host", got)
		}
		if tk := all["web1 is silent"]; tk.Firing() != 4 {
			t.Errorf("%d alerts fire in it, want the silence, one rule about up for each of two jobs and the other for one: %+v", tk.Firing(), tk.Alerts)
		}

		n.hosts["web2"].set(func(h *citizen) { h.cut = true })
		n.at(20 * min1)
		const site = "All 2 hosts at site london are silent"
		all = n.tickets()
		if got := titles(all); !slices.Equal(got, []string{site, "web1 is silent"}) {
			t.Fatalf("tickets %q, want one more for the site", got)
		}
		host, of := all["web1 is silent"], all[site]
		if host.State != ticket.Done || host.Firing() != 0 || !strings.Contains(host.Resolution, of.Number) || host.Links[0].Ticket != of.ID {
			t.Errorf("the host's ticket is %s: %q, %d fire, links %+v", host.State, host.Resolution, host.Firing(), host.Links)
		}
		if of.State != ticket.New || of.Firing() != 1 || of.Links[0].Ticket != host.ID {
			t.Errorf("the site's is %s, %d fire, links %+v", of.State, of.Firing(), of.Links)
		}
		if said := n.record(of); !strings.Contains(said, "of itself the collector found: its listener for agents accepts connections") {
			t.Errorf("the only site is silent, and the collector does not say what it found of itself:\n%s", said)
		}

		n.down()
		n.up()
		n.at(40 * min1) // longer than a resolved ticket may have alerts that fire
		n.elapse()
		for title, tk := range n.tickets() {
			if tk.Reopened != 0 || len(n.tickets()) != 2 {
				t.Errorf("%s was reopened %d times; tickets %q", title, tk.Reopened, titles(n.tickets()))
			}
		}

		n.hosts["web2"].set(func(h *citizen) { h.cut = false })
		n.at(50 * min1) // web1 does not come back with its site
		all = n.tickets()
		if tk := all[site]; tk.State != ticket.Done {
			t.Errorf("the site's ticket is %s, %d fire", tk.State, tk.Firing())
		}
		if tk := all["web1 is silent"]; tk.State != ticket.Again || tk.Firing() == 0 || tk.Reopened != 1 {
			t.Errorf("the host's is %s, %d fire, reopened %d times", tk.State, tk.Firing(), tk.Reopened)
		}
		n.hosts["web1"].set(func(h *citizen) { h.cut = false })
		n.at(60 * min1)
		for title, tk := range n.tickets() {
			if tk.State != ticket.Done || tk.Firing() != 0 {
				t.Errorf("%s is %s, %d fire, when all are back", title, tk.State, tk.Firing())
			}
		}
	})
}

// elapse keeps the deadlines that are due, which nobody in a town does by themselves.
func (n *town) elapse() {
	n.t.Helper()
	for {
		next, err := n.c.pipeline.elapse(context.Background())
		if err != nil {
			n.t.Fatal(err)
		}
		if next.IsZero() || next.After(time.Now()) {
			return
		}
	}
}

// A disk that is full every other minute is one ticket that flaps, through a restart too; people hear of it once when it
// begins and once when it is over.
func TestFlappingOutlastsARestart(t *testing.T) {
	inTown(t, diskRules, func(n *town) {
		n.hosts["web1"].set(func(h *citizen) {
			h.avail = func(d time.Duration) float64 {
				if d > 10*min1 && d < 70*min1 && int(d/min1)%2 == 0 {
					return 5
				}
				return 50
			}
		})
		n.at(40*min1 + 30*time.Second)
		tk := n.tickets()["/srv is filling on web1"]
		if !tk.Flaps() || tk.Flap.Count < 20 {
			t.Fatalf("it does not flap: %+v", tk.Flap)
		}
		n.down()
		n.up()
		if again := n.tickets()["/srv is filling on web1"]; again.Flap.Count != tk.Flap.Count {
			t.Errorf("%d changes after a restart, %d before", again.Flap.Count, tk.Flap.Count)
		}
		n.at(72 * min1)
		tk = n.tickets()["/srv is filling on web1"]
		if len(n.tickets()) != 1 || tk.Flap.Count < 50 || !tk.State.Open() {
			t.Errorf("%d tickets, %d changes, %s", len(n.tickets()), tk.Flap.Count, tk.State)
		}
		told := n.told(tk.Number)
		if want := []string{"opened", "resolved", "reopened", "resolved", "flapping"}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		n.at(90 * min1)
		n.elapse()
		tk = n.tickets()["/srv is filling on web1"]
		if told = n.told(tk.Number); tk.State != ticket.Done || len(told) != 6 || told[5] != "resolved" {
			t.Errorf("%s, told %v", tk.State, told)
		}
	})
}

// told is what people were told of a ticket, in order.
func (n *town) told(number string) (what []string) {
	n.view(func(tx store.Tx) error {
		all, err := tx.Messages("", 1000)
		for _, m := range all {
			if m.Number == number {
				what = append(what, m.What)
			}
		}
		return err
	})
	return what
}
