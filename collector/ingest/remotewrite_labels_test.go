package ingest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
)

// What an answer says of samples whose place is taken is what Prometheus makes of it: it counts a sample that is not said to
// be written as lost. So one that is here already is written, and so is one that the other of a pair wrote.
func TestRemoteWriteSaysWritten(t *testing.T) {
	f := newFeed(t, func(c *RemoteWriteIn) { c.Keying.DropLabels = []string{"__replica__"} })
	send := func(replica, want string) {
		t.Helper()
		s := series1("a", f.now, 1)
		s.Labels = append([]prompb.Label{s.Labels[0], {Name: "__replica__", Value: replica}}, s.Labels[1:]...)
		if w := f.send(true, s); w.Code != 204 || w.Header().Get("X-Prometheus-Remote-Write-Samples-Written") != want {
			t.Errorf("%s: %d, written %s, want %s: %s", replica, w.Code, w.Header().Get("X-Prometheus-Remote-Write-Samples-Written"), want, w.Body)
		}
	}
	send("a", "1")
	send("a", "1")
	f.now = f.now.Add(5 * time.Second)
	send("b", "1")
	if len(f.kept) != 1 {
		t.Errorf("the history got %v, want one sample", f.kept)
	}
}

// A request that could not be made durable comes again: it is not charged twice.
func TestRemoteWriteChargesARetryOnce(t *testing.T) {
	f := newFeed(t, func(c *RemoteWriteIn) { c.Quotas.SamplesPerMinute = 2 })
	f.judge = errors.New("the disk is full")
	s := []prompb.TimeSeries{series1("a", f.now, 1), series1("b", f.now, 1)}
	for range 3 {
		if w := f.send(false, s...); w.Code != 503 {
			t.Fatalf("%d %s, want 503", w.Code, w.Body)
		}
	}
	f.judge = nil
	if w := f.send(false, s...); w.Code != 204 {
		t.Errorf("%d %s, want 204", w.Code, w.Body)
	}
	if w := f.send(false, series1("c", f.now, 1)); w.Code != 429 {
		t.Errorf("%d %s, want 429: the quota is used up", w.Code, w.Body)
	}
}

// The labels that the house sets are the fleet's; what the sender means by their names goes on under others, as when
// Prometheus scrapes a target with labels like its own.
func TestRemoteWriteKeepsTheSendersLabels(t *testing.T) {
	const iis = `__name__="windows_iis_requests_total", `
	for name, test := range map[string]struct {
		keying RemoteKeying
		sent   []string
		want   string
	}{
		"a web site":            {sent: []string{"instance", "web1:9182", "site", "shop"}, want: `{` + iis + `customer="acme", exported_site="shop", instance="web1", site="york"}`},
		"the same":              {sent: []string{"customer", "acme", "instance", "web1", "site", "york"}, want: `{` + iis + `customer="acme", instance="web1", site="york"}`},
		"both of another":       {sent: []string{"customer", "x", "instance", "web1", "site", "y"}, want: `{` + iis + `customer="acme", exported_customer="x", exported_site="y", instance="web1", site="york"}`},
		"exported already":      {sent: []string{"exported_site", "shop", "instance", "web1", "site", "leeds"}, want: `{` + iis + `customer="acme", exported_exported_site="leeds", exported_site="shop", instance="web1", site="york"}`},
		"scraped with our site": {sent: []string{"exported_site", "shop", "instance", "web1", "site", "york"}, want: `{` + iis + `customer="acme", exported_site="shop", instance="web1", site="york"}`},
		"not declared":          {sent: []string{"customer", "acme", "instance", "db9:80", "site", "york"}, want: `{` + iis + `customer="operator", exported_customer="acme", exported_site="york", instance="db9"}`},
		"another key": {keying: RemoteKeying{InstanceLabel: "host"}, sent: []string{"exported_instance", "x", "host", "web1", "instance", "p1:80"},
			want: `{` + iis + `customer="acme", exported_exported_instance="p1:80", exported_instance="x", instance="web1", site="york"}`},
		"customer by label": {keying: RemoteKeying{CustomerLabel: "customer"}, sent: []string{"customer", "acme", "instance", "db9"},
			want: `{` + iis + `customer="acme", instance="db9"}`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFeed(t, func(c *RemoteWriteIn) { c.Senders = map[string]RemoteSender{"prom": {Keying: test.keying}} })
			s := series1("windows_iis_requests_total", f.now, 1)
			s.Labels = s.Labels[:1]
			for i := 0; i < len(test.sent); i += 2 {
				s.Labels = append(s.Labels, prompb.Label{Name: test.sent[i], Value: test.sent[i+1]})
			}
			if w := f.send(false, s); w.Code != 204 || len(f.kept) != 1 {
				t.Fatalf("%d %s, the history got %v", w.Code, w.Body, f.kept)
			}
			if got := f.kept[0].Labels.String(); got != test.want {
				t.Errorf("the history got\n%s, want\n%s", got, test.want)
			}
			f.now = f.now.Add(time.Second)
			f.Settle(t.Context(), f.now)
			var live []string
			f.o.Window.Last(func(l labels.Labels, _ time.Time, _ float64) {
				if !strings.HasPrefix(l.Get("__name__"), "watchbill_") && l.Get("__name__") != "up" {
					live = append(live, l.String())
				}
			})
			if len(live) != 1 || live[0] != test.want {
				t.Errorf("the window has %v, want\n%s", live, test.want)
			}
		})
	}
}
