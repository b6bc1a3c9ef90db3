package ingest

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/watchbill/watchbill/agent/wire"
)

// free lifts the quotas that a benchmark would run into, and keeps no report.
func free(o *Options) {
	o.Quotas = DefaultQuotas()
	o.Quotas.Agent.ReportsPerMinute, o.Quotas.Agent.BytesPerMinute = 1e9, 1e9
	o.Quotas.Customer.ReportsPerMinute, o.Quotas.Customer.BytesPerMinute = 1e9, 1e9
	o.Sink = nowhere{}
}

// nowhere is a sink that keeps nothing.
type nowhere struct{}

func (nowhere) Apply(context.Context, Report) error { return nil }

// series200 is what a host reports in an interval: 200 series in eight blocks whose shapes are known. The next one is
// the same message with other names, times and values: sampling is not what is measured here.
func series200(b *testing.B, w *world) (*client, func() *wire.Report) {
	b.Helper()
	c := w.enrol("acme", "leeds", "web1")
	m := c.report()
	for _, source := range []string{"cpu", "disk", "memory", "net", "filesystem", "load", "stat", "vmstat"} {
		m.Blocks = append(m.Blocks, c.block(source, 25, 0))
	}
	c.deliver(m)
	return c, func() *wire.Report {
		w.clock.add(15 * time.Second)
		m.Sequence++
		m.MadeAtMs += 15_000
		for _, block := range m.Blocks {
			block.SampledAtMs += 15_000
			for k := range block.Values {
				block.Values[k] += 0.25
			}
		}
		return m
	}
}

// BenchmarkReportOverTLS is one report of 200 series over a kept-alive connection on loopback with real mutual TLS and a
// sink that keeps nothing. Both sides run in this process: the time holds the agent's encoding and TLS as well as the
// collector's.
func BenchmarkReportOverTLS(b *testing.B) {
	w := newWorld(b, free).serve(Door{})
	c, next := series200(b, w)
	b.ReportAllocs()
	from := cpuTime(b)
	for b.Loop() {
		c.deliver(next())
	}
	b.ReportMetric(float64((cpuTime(b)-from).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// BenchmarkReportHandler is the collector's part of it without HTTP and TLS: from the body to the ack.
func BenchmarkReportHandler(b *testing.B) {
	w := newWorld(b, free)
	c, next := series200(b, w)
	h := w.ingest.Handler()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		body, coding, err := wire.Encode(next())
		if err != nil {
			b.Fatal(err)
		}
		r, err := http.NewRequest(http.MethodPost, wire.PathReport, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set(wire.HeaderType, wire.TypeReport)
		r.Header.Set(wire.HeaderCoding, coding)
		c.authorise(r)
		answer := &discard{status: http.StatusOK}
		b.StartTimer()
		h.ServeHTTP(answer, r)
		if answer.status != http.StatusOK {
			b.Fatal(answer.status)
		}
	}
}

// BenchmarkHandshake is a new connection and one hello, both sides in this process: what a fleet costs that comes back.
// As agents do it, and as it would be with session tickets, which this collector does not give out (see TLSConfig).
func BenchmarkHandshake(b *testing.B) {
	for _, tickets := range []bool{false, true} {
		b.Run(map[bool]string{false: "full", true: "resumed"}[tickets], func(b *testing.B) {
			w := newWorld(b, free)
			certificate, err := w.fleet.ServerCertificate([]string{"127.0.0.1"})
			if err != nil {
				b.Fatal(err)
			}
			conf := TLSConfig(certificate.GetCertificate, w.fleet.ClientCAs, w.clock.now)
			if tickets {
				conf.GetConfigForClient, conf.SessionTicketsDisabled, conf.ClientCAs = nil, false, w.fleet.ClientCAs()
			}
			w.listen(conf, Door{PerSecond: 1e6, Connections: 1e5, Handshakes: 1e4, PerAddress: 1e6, AddressBurst: 1e6})
			c := w.enrol("acme", "leeds", "web1")
			line := c.http.Transport.(*http.Transport)
			line.DisableKeepAlives = true
			line.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			resumed := 0
			line.TLSClientConfig.VerifyConnection = func(s tls.ConnectionState) error {
				if s.DidResume {
					resumed++
				}
				return nil
			}
			from := cpuTime(b)
			for b.Loop() {
				if _, _, err := c.post(wire.PathHello, wire.TypeHello, "", nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-from).Nanoseconds())/float64(b.N), "cpu-ns/op")
			if tickets != (resumed > b.N/2) {
				b.Errorf("%d of %d resumed", resumed, b.N)
			}
		})
	}
}

// BenchmarkTurnAway is what the door costs for one it does not let in, with the caller's part of it.
func BenchmarkTurnAway(b *testing.B) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	g := newGate(inner, Door{PerSecond: 1, AddressBurst: 1e6}, func(string) {})
	g.refusals.SetLimit(rate.Inf)
	go func() {
		for {
			if _, err := g.Accept(); err != nil {
				return
			}
		}
	}()
	defer g.Close()
	from := cpuTime(b)
	for b.Loop() {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			continue
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, _ = c.Read(make([]byte, 1))
		_ = c.Close()
	}
	b.ReportMetric(float64((cpuTime(b)-from).Nanoseconds())/float64(b.N), "cpu-ns/op")
}
