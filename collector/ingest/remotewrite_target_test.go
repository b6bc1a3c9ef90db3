package ingest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules/window"
)

// siteless is a fleet whose sites nobody asks for.
type siteless struct{ town1 }

func (siteless) Site(string, string) (fleet.Site, bool) { return fleet.Site{}, false }

// An alert and a series that say the same instance are about one asset: what only looks like an address stays as it is.
func TestInstanceNamesOneAsset(t *testing.T) {
	m, err := NewMapper(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for instance, want := range map[string]string{
		"web1": "web1", "web1:9100": "web1", "WEB1:9100": "web1", "https://web1:8443/health": "web1",
		"db9": "db9", "db9:9104": "db9", "DB9:1": "DB9", "https://db9/a?b=c": "db9", "https://ann@db9:443/": "db9", "http:///x": "http:///x",
		"[::1]:9100": "::1", "https://[::1]:1/": "::1", "fe80::1": "fe80::1", "10.0.0.7:80": "10.0.0.7", ":9100": ":9100",
		"topic:payments": "topic:payments", "db9:99999": "db9:99999", "db9:": "db9:",
	} {
		if got := m.Map(map[string]string{"instance": instance}, siteless{}).Asset; got != want {
			t.Errorf("an alert of %s is of %q, want %q", instance, got, want)
		}
		f := newFeed(t)
		if w := f.send(false, seriesOf(f.now, 1, "a", instance, "node")); w.Code != 204 || len(f.kept) != 1 {
			t.Fatalf("%s: %d %s, the history got %v", instance, w.Code, w.Body, f.kept)
		}
		if got := f.kept[0].Labels.Get("instance"); got != want {
			t.Errorf("a series of %s is of %q, want %q", instance, got, want)
		}
	}
}

func seriesOf(at time.Time, v float64, name, instance, job string) prompb.TimeSeries {
	return prompb.TimeSeries{
		Labels:  []prompb.Label{{Name: "__name__", Value: name}, {Name: "instance", Value: instance}, {Name: "job", Value: job}},
		Samples: []prompb.Sample{{Value: v, Timestamp: at.UnixMilli()}},
	}
}

// scrape is one of a port of db9: up, and one more series with the port as its value.
func (f *feed1) scrape(t *testing.T, job, port string) {
	t.Helper()
	v, err := strconv.ParseFloat(port, 64)
	if err != nil {
		t.Fatal(err)
	}
	if w := f.send(false, seriesOf(f.now, v, "busy", "db9:"+port, job), seriesOf(f.now, 1, "up", "db9:"+port, job)); w.Code != 204 {
		t.Fatalf("%s: %d %s", port, w.Code, w.Body)
	}
	f.now = f.now.Add(5 * time.Second)
	f.Settle(t.Context(), f.now)
}

// stands are the series of a name that have not ended.
func (f *feed1) stands(name string) (out []string) {
	f.o.Window.Last(func(l labels.Labels, _ time.Time, _ float64) {
		if l.Get("__name__") == name {
			out = append(out, l.String())
		}
	})
	slices.Sort(out)
	return out
}

const (
	plainBusy = `{__name__="busy", customer="operator", instance="db9", job="app"}`
	apartBusy = `{__name__="busy", customer="operator", exported_instance="db9:8081", instance="db9", job="app"}`
)

func expectSeries(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Exporters of one host are one asset. Their jobs tell their series apart; of two ports with one job the first stays the first,
// also after a kill or an orderly stop, and whichever comes first then.
func TestRemoteWriteOfTwoPorts(t *testing.T) {
	f := newFeed(t)
	for range 3 {
		f.scrape(t, "app", "8080")
		f.scrape(t, "app", "8081")
		f.scrape(t, "mysql", "9104")
	}
	const mysql = `{__name__="busy", customer="operator", instance="db9", job="mysql"}`
	expectSeries(t, "of three ports there is", f.stands("busy"), plainBusy, apartBusy, mysql)
	if all := f.o.Window.Assets(); len(all) != 1 || all[0].Name != "db9" {
		t.Errorf("assets %v, want db9 alone", all)
	}
	for what, w := range map[string]*window.Window{"killed": window.New(window.Options{}), "stopped": f.o.Window} {
		next := newFeed(t)
		next.now, next.o.Window = f.now, w
		next.Resume(f.State())
		next.scrape(t, "app", "8081")
		next.scrape(t, "app", "8080")
		for _, s := range next.kept {
			if apart := s.Labels.Has("exported_instance"); s.Labels.Get("__name__") == "busy" && apart != (s.V == 8081) {
				t.Errorf("%s: %v went to %s", what, s.V, s.Labels)
			}
		}
	}
}

// A target that cannot be scraped makes what it showed unknown, and says nothing of another with the same job.
func TestRemoteWriteOfTwoPortsOneFails(t *testing.T) {
	f := newFeed(t)
	for range 3 {
		f.scrape(t, "app", "8080")
		f.scrape(t, "app", "8081")
	}
	stale := math.Float64frombits(value.StaleNaN)
	if w := f.send(false, seriesOf(f.now, stale, "busy", "db9:8080", "app"), seriesOf(f.now, 0, "up", "db9:8080", "app"),
		seriesOf(f.now.Add(-time.Second), 1, "busy", "db9:8081", "app"), seriesOf(f.now.Add(-time.Second), 1, "up", "db9:8081", "app")); w.Code != 204 {
		t.Fatal(w.Code, w.Body)
	}
	var failed []string
	all, _ := f.o.Window.Asset("db9")
	for _, b := range all.Blocks {
		if b.Status == window.Failed {
			failed = append(failed, b.Source+": "+b.Reason)
		}
	}
	if len(failed) != 1 || !strings.Contains(failed[0], "remote write app: its sender could not scrape it") {
		t.Errorf("failed %q, want what db9:8080 showed", failed)
	}
	expectSeries(t, "there is still", f.stands("busy"), plainBusy, apartBusy)
}

// Whatever label names the instance, and whatever else a series says, that of a target that is apart stands in
// exported_instance, by which it is the same target after an orderly stop: when the other cannot be scraped it is heard.
func TestRemoteWriteOfTwoPortsGoesOn(t *testing.T) {
	for name, test := range map[string]struct {
		label string
		more  []prompb.Label
		// other is what the second port comes under, want what its series say.
		other, want string
	}{
		"by instance": {"instance", nil, "db9:8081", apartBusy},
		"by host": {"host", []prompb.Label{{Name: "instance", Value: "p1:80"}}, "db9:8081",
			`{__name__="busy", customer="operator", exported_exported_instance="p1:80", exported_instance="db9:8081", instance="db9", job="app"}`},
		"exported already": {"instance", []prompb.Label{{Name: "exported_instance", Value: "x"}}, "db9:8081",
			`{__name__="busy", customer="operator", exported_exported_instance="db9:8081", exported_instance="x", instance="db9", job="app"}`},
		"without a port": {"instance", nil, "db9",
			`{__name__="busy", customer="operator", exported_instance="db9", instance="db9", job="app"}`},
	} {
		for _, kept := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, targets kept: %v", name, kept), func(t *testing.T) {
				goesOn(t, test.label, test.more, test.other, test.want, kept)
			})
		}
	}
}

// goesOn has two ports of one job scraped, restarts, with or without what was kept of targets, and lets the first one fail.
func goesOn(t *testing.T, label string, more []prompb.Label, other, want string, kept bool) {
	t.Helper()
	keying := func(c *RemoteWriteIn) { c.Keying.InstanceLabel = label }
	f := newFeed(t, keying)
	scrape := func(f *feed1, instance string, busy, up float64) {
		t.Helper()
		all := []prompb.TimeSeries{seriesOf(f.now, busy, "busy", instance, "app"), seriesOf(f.now, up, "up", instance, "app")}
		for i := range all {
			all[i].Labels[1].Name = label
			all[i].Labels = append(all[i].Labels, more...)
		}
		if w := f.send(false, all...); w.Code != 204 {
			t.Fatalf("%s: %d %s", instance, w.Code, w.Body)
		}
		f.now = f.now.Add(5 * time.Second)
		f.Settle(t.Context(), f.now)
	}
	for range 3 {
		scrape(f, "db9:8080", 1, 1)
		scrape(f, other, 2, 1)
	}
	next := newFeed(t, keying)
	next.now, next.o.Window = f.now, f.o.Window
	if kept {
		next.Resume(f.State())
	}
	scrape(next, "db9:8080", math.Float64frombits(value.StaleNaN), 0)
	scrape(next, other, 2, 1)
	if !slices.Contains(next.stands("busy"), want) {
		t.Errorf("there is %v, want %s", next.stands("busy"), want)
	}
	for key, want := range map[string]bool{"db9:8080": false, other: true} {
		if got := next.assets["db9"].targets[targetKey{"app", key}]; got == nil || got.apart != want {
			t.Errorf("%s is target %+v, want apart %v", key, got, want)
		}
	}
	for _, g := range next.assets["db9"].groups {
		for _, s := range g.series {
			if key := g.target.instance; (key == other) != (s.last == 2) && s.labels.Get("__name__") == "busy" {
				t.Errorf("%s with %v is of %s", s.labels, s.last, key)
			}
		}
	}
}

// What a sender means by instance, where another label names the asset, is no other target of it: after a restart the series
// go on as they did, for as long as they come.
func TestRemoteWriteOfAnExportedAddressGoesOn(t *testing.T) {
	keying := func(c *RemoteWriteIn) { c.Keying.InstanceLabel = "host" }
	f := newFeed(t, keying)
	scrape := func(f *feed1) {
		t.Helper()
		all := []prompb.TimeSeries{seriesOf(f.now, 1, "busy", "db9:9100", "app"), seriesOf(f.now, 1, "up", "db9:9100", "app")}
		for i := range all {
			all[i].Labels = append(all[i].Labels, prompb.Label{Name: "host", Value: "db9"})
		}
		if w := f.send(false, all...); w.Code != 204 {
			t.Fatal(w.Code, w.Body)
		}
		f.now = f.now.Add(5 * time.Second)
		f.Settle(t.Context(), f.now)
		f.Sweep(t.Context(), f.now)
	}
	for range 3 {
		scrape(f)
	}
	next := newFeed(t, keying)
	next.now, next.o.Window = f.now, f.o.Window
	next.Resume(f.State())
	for range 130 {
		scrape(next)
	}
	for _, s := range next.kept {
		if value.IsStaleNaN(s.V) {
			t.Errorf("%s ended at %v, while it comes", s.Labels, time.UnixMilli(s.T).UTC())
		}
	}
}

// When the first of two ports is gone for good the other's series go on as its did, and what they were ends in the history.
func TestRemoteWriteOfAPortThatMoved(t *testing.T) {
	f := newFeed(t)
	for range 3 {
		f.scrape(t, "app", "8080")
		f.scrape(t, "app", "8081")
	}
	f.send(false, seriesOf(f.now, math.Float64frombits(value.StaleNaN), "busy", "db9:8080", "app"),
		seriesOf(f.now, math.Float64frombits(value.StaleNaN), "up", "db9:8080", "app"))
	for range 130 {
		f.scrape(t, "app", "8081")
		f.Sweep(t.Context(), f.now)
	}
	expectSeries(t, "there is", f.stands("busy"), plainBusy)
	var ended []string
	for _, s := range f.kept {
		if value.IsStaleNaN(s.V) && s.Labels.Has("exported_instance") {
			ended = append(ended, s.Labels.Get("__name__"))
		}
	}
	if slices.Sort(ended); !slices.Equal(ended, []string{"busy", "up"}) {
		t.Errorf("the history was told of the end of %v, want busy and up", ended)
	}
}

// movable is a fleet whose one asset is moved, or taken out.
type movable struct {
	town1
	site string
	out  bool
}

func (m *movable) Asset(name string) (fleet.Asset, bool) {
	return fleet.Asset{Name: "web1", Customer: "acme", Site: m.site, Agent: "a1"}, name == "web1" && !m.out
}

// agentReports reports temp of web1 as its agent would, of job sensors.
func (f *feed1) agentReports(site string) {
	layout := &window.Layout{ID: [32]byte{1}, Series: []labels.Labels{labels.FromStrings("__name__", "temp")}}
	f.o.Window.Apply(window.Asset{Name: "web1", Customer: "acme", Site: site}, f.now, []window.Block{{Source: "sensors", Kind: "sensors",
		At: f.now, Interval: 15 * time.Second, Status: window.OK, Layout: layout, Values: []float64{40}}})
}

// Whatever of an agent's series ends when the way in looks through its assets, the history learns of it: who takes an asset
// out of the fleet, or moves it at that moment, sees nothing of it for as long as a last value stands.
func TestRemoteWriteEndsTheAgentsSeries(t *testing.T) {
	for name, end := range map[string]func(f *feed1, m *movable){
		"taken out": func(f *feed1, m *movable) {
			m.out = true
			f.Sweep(t.Context(), f.now)
			if _, there := f.o.Window.Asset("web1"); there {
				t.Error("the window has an asset that the fleet has not")
			}
		},
		"moved while it is looked through": func(f *feed1, _ *movable) {
			f.agentReports("leeds")
			f.now = f.now.Add(time.Second)
			a := f.assets["web1"]
			a.kinds, a.looked = []string{"node"}, f.now // its agent has begun to report what was written from outside
			if !f.tidy(a, f.now) {
				t.Error("nothing ended")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, m := newFeed(t), &movable{site: "york"}
			f.o.Fleet = m
			f.agentReports("york")
			f.send(false, series1("a", f.now, 1))
			f.now = f.now.Add(time.Second)
			f.Settle(t.Context(), f.now)
			end(f, m)
			ended := map[string]bool{}
			for _, s := range f.kept {
				if value.IsStaleNaN(s.V) {
					if l := s.Labels.Get("__name__"); ended[l] {
						t.Errorf("%s ended twice", s.Labels)
					} else {
						ended[l] = true
					}
				}
			}
			if !ended["temp"] || !ended["a"] {
				t.Errorf("the history got %v, want the end of temp and a", f.kept)
			}
		})
	}
}

// When an asset is moved its series end in the history as what they were, when their next samples are due; nothing makes it
// again what it was.
func TestRemoteWriteOfAMovedAsset(t *testing.T) {
	f, m := newFeed(t), &movable{site: "york"}
	f.o.Fleet = m
	send := func() time.Time {
		f.send(false, series1("a", f.now, 1))
		at := f.now
		f.now = f.now.Add(time.Second)
		f.Settle(t.Context(), f.now)
		f.now = f.now.Add(14 * time.Second)
		return at
	}
	for range 3 {
		send()
	}
	m.site = "leeds"
	agent := window.Asset{Name: "web1", Customer: "acme", Site: "leeds"}
	f.o.Window.Apply(agent, f.now, []window.Block{{Source: "cpu", Kind: "cpu", At: f.now, Status: window.OK, Layout: &window.Layout{}}})
	last := send()
	if a, _ := f.o.Window.Asset("web1"); a.Site != "leeds" {
		t.Errorf("after a row the asset is at %s, its agent's report said leeds", a.Site)
	}
	f.Sweep(t.Context(), f.now)
	send()
	want := []string{"york stale", "leeds 1"}
	var got []string
	for _, s := range f.kept[4:] {
		if value.IsStaleNaN(s.V) {
			got = append(got, s.Labels.Get("site")+" stale")
			if at := time.UnixMilli(s.T); !at.Equal(last.Add(15 * time.Second)) {
				t.Errorf("it ended at %v, its last sample is of %v", at, last)
			}
			continue
		}
		got = append(got, s.Labels.Get("site")+" 1")
	}
	if !slices.Equal(got, want) {
		t.Errorf("the history got %v, want %v", got, want)
	}
}
