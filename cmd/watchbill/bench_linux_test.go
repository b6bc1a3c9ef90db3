package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// BenchmarkFaultToDelivered kills a watched process under real binaries and follows the fault to the webhook. It
// reports the three legs apart, in milliseconds: fault → bad sample (the agent's interval), sample → commit (push,
// the group's timer, the transaction), commit → delivered.
func BenchmarkFaultToDelivered(b *testing.B) {
	for _, every := range []string{"1s", "200ms"} {
		b.Run("interval="+every, func(b *testing.B) {
			h := newHouse(b, strings.NewReplacer("    for: 600ms\n", "", "200ms", every).Replace(shopRule), false)
			h.serve()
			_, bin := binaries(b)
			config := h.enrol("wbshop")
			shop := victim(b, h.dir)
			start(b, exec.Command(bin, "run", "--config.file", config, "--interval", every))
			h.reporting()
			var legs [3]time.Duration
			n := 0
			for b.Loop() {
				eventually(b, patience, "the shop is up", func() bool { return !strings.Contains(h.cli("alert", "list"), "ShopGone") })
				mark := h.hook.mark()
				fault := time.Now()
				shop.kill()
				number, delivered := h.hook.after(b, mark, "opened")
				sample, commit := h.when(number)
				for i, d := range []time.Duration{sample.Sub(fault), commit.Sub(sample), delivered.Sub(commit)} {
					legs[i] += d
				}
				n++
				shop = victim(b, h.dir)
				h.state(number, "resolved")
				h.cli("ticket", "close", number)
			}
			for i, name := range []string{"fault→sample-ms", "sample→commit-ms", "commit→delivered-ms"} {
				b.ReportMetric(float64(legs[i].Milliseconds())/float64(n), name)
			}
		})
	}
}

// when is the time of a ticket's first bad sample and of its commit.
func (h *house) when(number string) (sample, commit time.Time) {
	h.t.Helper()
	var tk struct {
		OpenedAt time.Time `json:"opened_at"`
		Alerts   []struct {
			FirstBadAt time.Time `json:"first_bad_at"`
		}
	}
	out := h.cli("ticket", "show", number, "--output", "json")
	if err := json.Unmarshal([]byte(out), &tk); err != nil || len(tk.Alerts) == 0 {
		h.t.Fatal(fmt.Errorf("%w: %s", err, out))
	}
	return tk.Alerts[0].FirstBadAt, tk.OpenedAt
}

// mark is how many notices came so far.
func (h *hook) mark() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.log)
}

// after waits for a notice of this kind behind a mark and tells about which ticket, and when it came.
func (h *hook) after(t testing.TB, mark int, what string) (number string, at time.Time) {
	t.Helper()
	eventually(t, 30*time.Second, "a notice that a ticket was "+what, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, d := range h.log[mark:] {
			if d.what == what {
				number, at = d.number, d.at
				return true
			}
		}
		return false
	})
	return number, at
}
