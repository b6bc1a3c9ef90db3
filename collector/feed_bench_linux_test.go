package collector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
)

// fedBench is a collector to which alerts are sent, and how many were.
type fedBench struct {
	*Collector
	b      *testing.B
	tokens map[fleet.Role]string
	n      int
}

func newFedBench(b *testing.B) *fedBench {
	b.Helper()
	dir := b.TempDir()
	file := filepath.Join(dir, "rules.yml")
	if err := os.WriteFile(file, []byte(diskRules), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Storage.Path = filepath.Join(dir, "data")
	cfg.Web.ListenAddress, cfg.Agents.ListenAddress = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Rules.Packs, cfg.Rules.Files = false, []string{file}
	c, err := New(context.Background(), cfg, Options{Directory: testFleet})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	f := &fedBench{Collector: c, b: b, tokens: map[fleet.Role]string{}}
	for _, role := range []fleet.Role{fleet.Sender, fleet.Viewer} {
		o := fleet.NewOperator{Name: string(role), Roles: []fleet.Role{role}, By: "test"}
		if f.tokens[role], err = c.fleet.AddOperatorWith(context.Background(), o); err != nil {
			b.Fatal(err)
		}
	}
	return f
}

// body is a POST of alerts: those after the first from, as a Prometheus of 200 jobs sends them.
func (f *fedBench) body(from, n int) string {
	f.b.Helper()
	now := time.Now()
	var all []map[string]any
	for i := from; i < from+n; i++ {
		all = append(all, map[string]any{"startsAt": now, "endsAt": now.Add(time.Hour), "annotations": map[string]string{"summary": "down"},
			"labels": map[string]string{"alertname": "InstanceDown", "job": fmt.Sprint("job", i%200), "instance": fmt.Sprintf("host%06d:9100", i)}})
	}
	body, err := json.Marshal(all)
	if err != nil {
		f.b.Fatal(err)
	}
	return string(body)
}

// flood is a POST of alerts that are about no asset: those after the first from, each of another pod.
func (f *fedBench) flood(from, n int) string {
	f.b.Helper()
	now := time.Now()
	var all []map[string]any
	for i := from; i < from+n; i++ {
		all = append(all, map[string]any{"startsAt": now, "endsAt": now.Add(time.Hour), "annotations": map[string]string{"summary": "restarts again and again"},
			"labels": map[string]string{"alertname": "PodCrashLooping", "pod": fmt.Sprintf("pod-%06d", i), "severity": "warning"}})
	}
	body, err := json.Marshal(all)
	if err != nil {
		f.b.Fatal(err)
	}
	return string(body)
}

// BenchmarkFeedOfOneTicket is a flood of alerts that all belong to one ticket: until the last is answered, how long the last
// request took, what was allocated, and what the ticket became.
func BenchmarkFeedOfOneTicket(b *testing.B) {
	for _, flood := range []struct{ requests, size int }{{1, 2000}, {30, 64}, {150, 64}} {
		b.Run(fmt.Sprintf("%dx%d", flood.requests, flood.size), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				f := newFedBench(b)
				var was, is runtime.MemStats
				runtime.ReadMemStats(&was)
				b.StartTimer()
				var last time.Duration
				for range flood.requests {
					body, began := f.flood(f.n, flood.size), time.Now()
					f.ask(fleet.Sender, "POST", body)
					f.n, last = f.n+flood.size, time.Since(began)
				}
				b.StopTimer()
				runtime.ReadMemStats(&is)
				b.ReportMetric(last.Seconds(), "last-s")
				b.ReportMetric(float64(is.TotalAlloc-was.TotalAlloc)/1e6, "allocated-MB")
				f.reportTicket()
				b.StartTimer()
			}
		})
	}
}

// reportTicket measures the one ticket that there is.
func (f *fedBench) reportTicket() {
	f.b.Helper()
	err := f.store.View(context.Background(), func(tx store.Tx) error {
		all, err := tx.Tickets(store.TicketFilter{})
		if err != nil || len(all) != 1 {
			return fmt.Errorf("%d tickets, want one: %w", len(all), err)
		}
		t, err := tx.Ticket(all[0].ID)
		body, jsonErr := json.Marshal(t)
		f.b.ReportMetric(float64(len(body))/1e3, "ticket-kB")
		f.b.ReportMetric(float64(t.Seq), "events")
		return errors.Join(err, jsonErr)
	})
	if err != nil {
		f.b.Fatal(err)
	}
}

// ask sends a request to the operators' listener and wants it taken.
func (f *fedBench) ask(role fleet.Role, method, body string) int {
	f.b.Helper()
	r := httptest.NewRequest(method, "/api/v2/alerts", strings.NewReader(body))
	r.Header.Set("User-Agent", prometheusAgent)
	r.SetBasicAuth("any", f.tokens[role])
	w := httptest.NewRecorder()
	f.api.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		f.b.Fatalf("answered %d: %.200s", w.Code, w.Body)
	}
	return w.Body.Len()
}

// BenchmarkFeed is the way of other programs' alerts: from a POST to its answer, when the tickets are durable; resends, which
// write nothing; and showing all that max_alerts lets stand.
func BenchmarkFeed(b *testing.B) {
	for _, size := range []int{1, 64} {
		b.Run(fmt.Sprintf("new=%d", size), func(b *testing.B) {
			f := newFedBench(b)
			began := cpuTime(b)
			for b.Loop() {
				f.ask(fleet.Sender, "POST", f.body(f.n, size))
				f.n += size
			}
			b.ReportMetric(float64((cpuTime(b)-began).Microseconds())/float64(f.n), "cpu-µs/alert")
		})
	}
	b.Run("again=64", func(b *testing.B) {
		f := newFedBench(b)
		body := f.body(0, 64)
		f.ask(fleet.Sender, "POST", body)
		began := cpuTime(b)
		for b.Loop() {
			f.ask(fleet.Sender, "POST", body)
			f.n += 64
		}
		b.ReportMetric(float64((cpuTime(b)-began).Microseconds())/float64(f.n), "cpu-µs/alert")
	})
	b.Run("standing=20000", func(b *testing.B) {
		f := newFedBench(b)
		for range 2 { // alerts_per_request
			f.ask(fleet.Sender, "POST", f.body(f.n, 10_000))
			f.n += 10_000
		}
		b.ResetTimer()
		size := 0
		for b.Loop() {
			size = f.ask(fleet.Viewer, "GET", "")
		}
		b.ReportMetric(float64(size)/1e6, "MB")
	})
}
