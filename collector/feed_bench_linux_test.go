package collector

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
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
