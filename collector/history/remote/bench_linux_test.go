package remote

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules/window"
)

// discard takes everything.
type discard struct{}

func (discard) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{writtenHeader: {"1000000"}}, Body: http.NoBody, Request: r}, nil
}

// hosts are reports of n hosts with 200 series each, values that change as counters and gauges do.
func hosts(n int) (assets []window.Asset, blocks [][]window.Block) {
	l := &window.Layout{ID: [32]byte{2}}
	for i := range 200 {
		l.Series = append(l.Series, labels.FromStrings("__name__", fmt.Sprintf("node_some_metric_%d_total", i/4), "device", fmt.Sprintf("sd%c", 'a'+i%4)))
	}
	for i := range n {
		assets = append(assets, window.Asset{Name: fmt.Sprintf("host-%04d.example", i), Customer: "acme", Site: "berlin"})
		blocks = append(blocks, []window.Block{{Source: "linux", Kind: "node", Status: window.OK, Layout: l, Values: make([]float64, 200)}})
	}
	return assets, blocks
}

// A million samples of 500 hosts, from Append to a target that takes all, with 1.0, with 2.0 and with two targets; spool alone is
// what is done while a target is away.
func BenchmarkMillionSamples(b *testing.B) {
	for name, c := range map[string]struct {
		targets int
		message remoteapi.WriteMessageType
	}{"spool": {}, "1.0": {1, remoteapi.WriteV1MessageType}, "2.0": {1, remoteapi.WriteV2MessageType}, "2.0_two_targets": {2, remoteapi.WriteV2MessageType}} {
		b.Run(name, func(b *testing.B) {
			conf := DefaultConfig()
			for i := range max(c.targets, 1) {
				t := defaultTarget()
				t.Name, t.URL, t.Message = fmt.Sprint(i), "http://a/write", c.message
				if c.targets == 0 {
					t.Message = remoteapi.WriteV1MessageType
				}
				conf.Targets = append(conf.Targets, t)
			}
			r, err := New(b.TempDir(), Options{transport: func(Target) (http.RoundTripper, error) { return discard{}, nil }})
			if err != nil {
				b.Fatal(err)
			}
			p, err := r.Plan(conf)
			if err != nil {
				b.Fatal(err)
			}
			r.Adopt(p)
			if c.targets == 0 {
				if err := r.open(p); err != nil {
					b.Fatal(err)
				}
			} else {
				ctx, cancel := context.WithCancel(b.Context())
				ended := make(chan error, 1)
				go func() { ended <- r.Run(ctx) }()
				defer func() { cancel(); <-ended }()
				for !r.spool.isOpen() {
					time.Sleep(time.Millisecond)
				}
			}
			assets, blocks := hosts(500)
			began := used(b)
			now, n := time.Now(), 0
			for b.Loop() {
				for range 10 {
					now = now.Add(10 * time.Second)
					n++
					for i, a := range assets {
						blocks[i][0].At = now
						for j := range blocks[i][0].Values {
							if j%3 > 0 {
								blocks[i][0].Values[j] = float64(n*(1000+j) + i)
							}
						}
						r.Append(a, blocks[i])
						if c.targets == 0 && i%40 == 39 {
							r.write(r.queue.gather(<-r.queue.waiting))
						}
					}
					if c.targets > 0 {
						for r.queue.samples.Load() > 500_000 {
							time.Sleep(time.Millisecond)
						}
					}
				}
				for c.targets > 0 && waiting(r) {
					time.Sleep(time.Millisecond)
				}
			}
			b.ReportMetric((used(b)-began).Seconds()/float64(b.N), "cpu-s/Msample")
			b.ReportMetric(float64(r.spool.size())/float64(r.spool.written()), "spoolB/sample")
		})
	}
}

// used is the processor time of this process.
func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// waiting tells whether a target, or the queue, has more than what waits for a batch to fill.
func waiting(r *Remote) bool {
	if r.queue.samples.Load() > 0 {
		return true
	}
	for _, s := range r.Status() {
		if s.PendingSamples > 100_000 {
			return true
		}
	}
	return false
}
