package evaluate

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// TestEverythingAtOnce: reports, queries for what is shown, assets that go down or away and reloads, all at the same time.
func TestEverythingAtOnce(t *testing.T) {
	h := newHouse(t, "", func(o *Options) { o.Now = time.Now; o.Interval = 20 * time.Millisecond })
	texts := []string{
		`groups: [{name: g, rules: [{record: r, expr: x * 2}, {alert: High, expr: r > 5, for: 10ms, keep_firing_for: 10ms}, {alert: Fleet, expr: 'sum(x) > 1'}, {alert: Al, expr: 'count(ALERTS) > 3'}]}]`,
		`groups: [{name: g, interval: 1s, rules: [{record: r, expr: x * 3}, {alert: High, expr: r > 5}, {alert: Abs, expr: 'absent(z{instance="h1"})'}]}, {name: h, rules: [{alert: Avg, expr: 'avg_over_time(x[1m]) > 2', annotations: {s: '{{ query "sum(x)" }}'}}]}]`,
	}
	var books [][]rules.Group
	for _, text := range texts {
		g, err := rules.Load(map[string][]byte{"r.yml": []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		books = append(books, g)
	}
	ctx, stop := context.WithCancel(t.Context())
	var reports, others sync.WaitGroup
	others.Go(func() { _ = h.Run(ctx) })
	for k := range 6 {
		reports.Go(func() {
			a := window.Asset{Name: fmt.Sprint("h", k), Customer: "c", Site: "s"}
			for i := range 300 {
				series, values := []labels.Labels{labels.FromStrings("__name__", "x")}, []float64{float64(i * k % 9)}
				if i%3 == 0 {
					series, values = append(series, labels.FromStrings("__name__", "x", "n", fmt.Sprint(i%5))), append(values, 3)
				}
				l := &window.Layout{ID: [32]byte{byte(len(series)), byte(i % 5), byte(i % 3)}, Series: series}
				h.w.Apply(a, time.Now(), []window.Block{{
					Source: "cpu", Kind: "node", Interval: time.Second, At: time.Now(), Status: window.OK, Layout: l, Values: values,
				}})
				_ = h.Arrive(ctx, a.Name)
				if i%50 == 0 {
					h.w.SetDown(a, time.Now())
					h.Stir(a.Name)
				}
				if i%100 == 99 {
					h.w.Forget(a.Name)
				}
			}
		})
	}
	others.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			h.Load(books[i%2])
		}
	})
	others.Go(func() {
		for ctx.Err() == nil {
			h.Alerts()
			h.Groups()
			h.Resolved()
			h.programs()
			h.w.Stats()
		}
	})
	reports.Wait()
	stop()
	others.Wait()
	for _, s := range h.Alerts() {
		if s.Alert.State != rules.Pending && s.Alert.State != rules.Firing {
			t.Errorf("%s is shown and is %s", s.Alert.Labels, s.Alert.State)
		}
	}
}
