package ingest

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
)

// BenchmarkRemoteWrite is what a million samples cost in processor time, from the body to the window: ten targets of 200 series
// each in one request, every series known. Both versions write the same samples by turns, who is first alternates, and each
// begins with nothing of the other's to be collected.
func BenchmarkRemoteWrite(b *testing.B) {
	const rounds = 20 // requests of one version before it is the other's turn
	var feeds [2]*feed1
	var spent [2]time.Duration
	var samples int
	var all []prompb.TimeSeries
	for i := range feeds {
		feeds[i] = newFeed(b, func(c *RemoteWriteIn) { c.Quotas.SamplesPerMinute = 1 << 30 })
	}
	for target := range 10 {
		for n := range 200 {
			s := series1(fmt.Sprintf("metric_%d_total", n), feeds[0].now, 1)
			s.Labels[1].Value = fmt.Sprintf("host%d:9100", target)
			all = append(all, s)
		}
	}
	turn := func(i, round int) time.Duration {
		f, reqs := feeds[i], make([]*http.Request, rounds)
		for n := range reqs {
			f.now = f.now.Add(15 * time.Second)
			for k := range all {
				all[k].Samples[0] = prompb.Sample{Value: float64(round*rounds + n + k%7), Timestamp: f.now.UnixMilli()}
			}
			reqs[n] = httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(snappy.Encode(nil, message(i == 1, all...))))
			reqs[n].Header.Set("Authorization", "Bearer send")
			reqs[n].Header.Set("Content-Type", [2]string{"application/x-protobuf", typeV2}[i])
		}
		f.now = f.now.Add(-rounds * 15 * time.Second)
		runtime.GC()
		began := cpuTime(b)
		for _, req := range reqs {
			f.now, f.kept = f.now.Add(15*time.Second), f.kept[:0]
			w := httptest.NewRecorder()
			f.ServeHTTP(w, req)
			if w.Code != 204 {
				b.Fatal(w.Code, w.Body)
			}
		}
		return cpuTime(b) - began
	}
	for i := range feeds { // nobody knows what else comes at the first time
		turn(i, 0)
		feeds[i].now = feeds[i].now.Add(time.Second)
		feeds[i].Settle(b.Context(), feeds[i].now)
		turn(i, 1)
	}
	for n := 0; b.Loop(); n++ {
		for i := range feeds {
			i = (i + n) % 2
			spent[i] += turn(i, n+2)
		}
		samples += rounds * len(all)
	}
	for i, d := range spent {
		b.ReportMetric(d.Seconds()/float64(samples)*1e6, fmt.Sprintf("v%d-CPU-s/Msample", i+1))
	}
}
