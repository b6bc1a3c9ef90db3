package collector

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/collector/incident"
)

// silentHosts is watchbill_silent_hosts as it is scraped, without the causes of nobody; it must have them all.
func (c *crowd) silentHosts(t *testing.T) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	c.counts.register(reg)
	found, err := reg.Gather()
	if err != nil || len(found) != 1 || found[0].GetName() != "watchbill_silent_hosts" || len(found[0].Metric) != len(silentCauses) {
		t.Fatalf("gathered %v, %v", found, err)
	}
	out := map[string]float64{}
	for _, m := range found[0].Metric {
		if v := m.Gauge.GetValue(); v != 0 {
			out[m.Label[0].GetValue()] = v
		}
	}
	return out
}

func (c *crowd) expectCounts(t *testing.T, what string, want map[string]float64) {
	t.Helper()
	if got := c.silentHosts(t); !maps.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// Silent hosts are counted by what they are silent for, from the moment that is known, and no longer than they are.
func TestSilentHostsAreCounted(t *testing.T) {
	c := newCrowd(3, 4)
	c.pass(t, 30)
	c.expectCounts(t, "all is well", nil)

	l := c.heard["s0h0"]
	l.Goodbye = "reboot"
	c.heard["s0h0"] = l
	l = c.heard["s1h0"]
	l.Word = incident.Enrolment
	c.heard["s1h0"] = l
	alone := []string{"s0h0", "s1h0", "s2h0"}
	c.pass(t, 16*60, alone...)
	c.expectCounts(t, "three of three causes", map[string]float64{"host": 1, "goodbye": 1, "never_started": 1})

	var site []string
	for h := range 4 {
		site = append(site, fmt.Sprintf("s1h%d", h))
	}
	c.pass(t, 70, append(slices.Clone(alone), site...)...)
	c.expectCounts(t, "a site", map[string]float64{"host": 1, "goodbye": 1, "never_started": 1, "site": 3})

	c.pass(t, 20)
	c.expectCounts(t, "all are back", nil)
}

// While it is not known, or not kept, what a host is silent for, it is counted as just that.
func TestUndecidedHostsAreCounted(t *testing.T) {
	c := newCrowd(2, 3)
	c.pass(t, 30)
	c.failing = errors.New("the disk is full")
	var all []string
	for s := range 2 {
		for h := range 3 {
			all = append(all, fmt.Sprintf("s%dh%d", s, h))
		}
	}
	c.pass(t, 120, all...)
	c.expectCounts(t, "not committed", map[string]float64{"undecided": 6})
	c.failing = nil
	c.pass(t, 5, all...)
	c.expectCounts(t, "everything", map[string]float64{"everything": 6})
	if d := c.at.Sub(c.heard["s0h0"].Heard); d < 2*time.Minute {
		t.Errorf("silent for %v", d)
	}
}
