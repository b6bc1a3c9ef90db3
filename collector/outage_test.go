package collector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

const min1 = time.Minute

// dip is a file system that fills and is emptied again.
func dip(from, to time.Duration) func(time.Duration) float64 {
	return func(d time.Duration) float64 {
		if d >= from && d < to {
			return 5
		}
		return 50
	}
}

// Promise 21: a fault during an outage of the collector or of the line is told afterwards, once per asset, and changes
// no live alert.
func TestWhatNobodySawIsToldOnce(t *testing.T) {
	// web1's disk is full from minute 20 to 30; the outage lasts from minute 10 to 60.
	for name, outage := range map[string]func(*town, *citizen){
		"collector down": func(n *town, _ *citizen) {
			n.at(10 * min1)
			n.down()
			n.at(60 * min1)
			n.up()
		},
		"line cut": func(n *town, h *citizen) {
			n.at(10 * min1)
			h.set(func(h *citizen) { h.cut = true })
			n.at(60 * min1)
			h.set(func(h *citizen) { h.cut = false })
		},
		"both, one after the other": func(n *town, h *citizen) {
			n.at(10 * min1)
			n.down()
			n.at(25 * min1)
			h.set(func(h *citizen) { h.cut = true })
			n.at(40 * min1)
			n.up()
			n.at(60 * min1)
			h.set(func(h *citizen) { h.cut = false })
		},
		"agent started anew in between": func(n *town, h *citizen) {
			n.at(10 * min1)
			h.set(func(h *citizen) { h.cut = true })
			n.at(24*min1 + 5*time.Second)
			h.halt()
			n.at(24*min1 + 15*time.Second)
			h.run()
			n.at(60 * min1)
			h.set(func(h *citizen) { h.cut = false })
		},
		"everything arrives twice": func(n *town, h *citizen) {
			h.set(func(h *citizen) { h.twice = true })
			n.at(10 * min1)
			n.down()
			n.at(60 * min1)
			n.up()
		},
		"collector killed in the middle of the telling": func(n *town, h *citizen) {
			n.at(10 * min1)
			h.set(func(h *citizen) { h.cut = true })
			n.at(60 * min1)
			n.c.past.tell = func(context.Context, evaluate.Unseen, func(store.Tx) error) error { return errors.New("killed") }
			h.set(func(h *citizen) { h.cut = false })
			waitFor(n, func() bool { return n.gaps() == 1 })
			time.Sleep(min1) // all is acknowledged, nothing is told
			n.down()
			n.at(65 * min1)
			n.up()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inTown(t, diskRules, func(n *town) {
				h := n.hosts["web1"]
				h.set(func(h *citizen) { h.avail = dip(20*min1, 30*min1) })
				outage(n, h)
				n.at(90 * min1)
				toldOnce(n, "web1")
				n.at(180 * min1)
				toldOnce(n, "web1")
			})
		})
	}
}

// waitFor lets time pass until something is so.
func waitFor(n *town, so func() bool) {
	n.t.Helper()
	for range 600 {
		if so() {
			return
		}
		time.Sleep(time.Second)
	}
	n.t.Fatal("it never happened")
}

// toldOnce expects one quiet ticket about the asset's full disk, and no other alert about any disk.
func toldOnce(n *town, asset string) {
	n.t.Helper()
	all := n.tickets()
	unseen, ok := all["While we could not see "+asset]
	if !ok {
		n.t.Fatalf("nothing was told: %v", titles(all))
	}
	if unseen.Priority != "P3" || unseen.State != ticket.New || unseen.Owner != "first level" || unseen.Kind != "incident" || len(unseen.Alerts) != 1 {
		n.t.Errorf("ticket %+v", unseen)
	}
	said := n.symptoms(unseen)
	for _, want := range []string{
		"DiskFull: /srv is filling on " + asset + "; from ", " 00:20:", " to ", " 00:30:", "worst value 0.05", "rule disk/DiskFull",
		"node_filesystem_avail_bytes{mountpoint=\"/srv\"} around that time",
	} {
		if !strings.Contains(said, want) {
			n.t.Errorf("symptoms lack %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "DiskBrimful") {
		n.t.Errorf("symptoms:\n%s", said)
	}
	if n.paged(unseen.Number) {
		n.t.Error("somebody was paged for what is over")
	}
	for title := range all {
		if strings.Contains(title, "/srv") {
			n.t.Errorf("a live alert came of it: %q", title)
		}
	}
	if g := n.gaps(); g != 0 {
		n.t.Errorf("%d gaps are still noted", g)
	}
}

func titles(all map[string]ticket.Ticket) (out []string) {
	for title := range all {
		out = append(out, title)
	}
	return out
}
