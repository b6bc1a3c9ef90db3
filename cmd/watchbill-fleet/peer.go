package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"

	"github.com/watchbill/watchbill/agent/wire"
)

// peer is somebody else who gets the same samples, by Prometheus remote write 1.0 over plain HTTP: a measure for what a
// collector costs.
type peer struct {
	url    string
	client *http.Client

	samples, bytes, failures atomic.Uint64
	mu                       sync.Mutex
	last                     error // of the failures, the last
}

const peerTimeout = 30 * time.Second

func newPeer(url string) *peer {
	return &peer{url: url, client: &http.Client{Timeout: peerTimeout, Transport: &http.Transport{
		MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64,
	}}}
}

// write sends one report's samples, a request for each report as a collector gets them.
func (p *peer) write(ctx context.Context, h *host, m *wire.Report) {
	req := h.remote(m)
	n := len(req.Timeseries)
	if err := p.post(ctx, req); err != nil {
		if ctx.Err() != nil {
			return
		}
		p.failures.Add(1)
		p.mu.Lock()
		p.last = err
		p.mu.Unlock()
		return
	}
	p.samples.Add(uint64(n)) //nolint:gosec // a count
}

func (p *peer) post(ctx context.Context, m *prompb.WriteRequest) error {
	raw, err := m.Marshal()
	if err != nil {
		return fmt.Errorf("encode remote write: %w", err)
	}
	body := snappy.Encode(nil, raw)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("remote write: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("remote write: %w", err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 400)) // for the message only
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("remote write: %s answered %s %q", p.url, resp.Status, text)
	}
	p.bytes.Add(uint64(len(body)))
	return nil
}

// lastError is what went wrong last; nil when nothing did.
func (p *peer) lastError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// remote is a report as remote write has it: every series with all its labels, those of a scrape among them.
func (h *host) remote(m *wire.Report) *prompb.WriteRequest {
	req := &prompb.WriteRequest{}
	for i, b := range m.Blocks {
		for slot, k := range h.blocks[i].order {
			s := h.blocks[i].samples[k]
			labels := make([]prompb.Label, 0, len(s.Labels)+3)
			labels = append(labels, prompb.Label{Name: wire.NameLabel, Value: s.Name}, prompb.Label{Name: "instance", Value: h.name},
				prompb.Label{Name: "job", Value: b.Kind})
			for _, l := range s.Labels {
				labels = append(labels, prompb.Label{Name: l.Name, Value: l.Value})
			}
			slices.SortFunc(labels, func(x, y prompb.Label) int { return strings.Compare(x.Name, y.Name) })
			req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
				Labels: labels, Samples: []prompb.Sample{{Value: b.Values[slot], Timestamp: b.SampledAtMs}},
			})
		}
	}
	return req
}
