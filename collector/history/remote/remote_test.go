package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/rules/window"
)

// point is one sample as a receiver got it; bits are the value's.
type point struct {
	t    int64
	bits uint64
}

// receiver is a remote-write target that decodes what it gets.
type receiver struct {
	// answer says what becomes of the n-th request, from 1 on; nil takes all. Status 0 is a network error.
	answer func(n int, r *http.Request) (status int, header http.Header)

	mu       sync.Mutex
	requests int
	headers  []http.Header
	// got are the samples of each series in the order in which they came.
	got map[string][]point
	// sizes are how many samples each request that was taken had.
	sizes []int
}

func newReceiver() *receiver { return &receiver{got: map[string][]point{}} }

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.requests++
	n := r.requests
	r.headers = append(r.headers, req.Header.Clone())
	r.mu.Unlock()
	status, header := http.StatusNoContent, http.Header{}
	if r.answer != nil {
		var h http.Header
		if status, h = r.answer(n, req); h != nil {
			header = h
		}
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	if status/100 == 2 {
		count, err := r.decode(req.Header.Get("Content-Type"), body)
		if err != nil {
			return nil, err
		}
		if strings.Contains(req.Header.Get("Content-Type"), "v2") && header.Get(writtenHeader) == "" {
			header.Set(writtenHeader, strconv.Itoa(count))
		}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader("the answer\n")), Request: req}, nil
}

// decode takes a request's samples.
func (r *receiver) decode(contentType string, body []byte) (int, error) {
	raw, err := snappy.Decode(nil, body)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b, n := labels.NewScratchBuilder(0), 0
	if strings.Contains(contentType, "io.prometheus.write.v2.Request") {
		var m writev2.Request
		if err := m.Unmarshal(raw); err != nil {
			return 0, err
		}
		for _, ts := range m.Timeseries {
			ls, err := ts.ToLabels(&b, m.Symbols)
			if err != nil {
				return 0, err
			}
			for _, s := range ts.Samples {
				r.got[ls.String()] = append(r.got[ls.String()], point{s.Timestamp, math.Float64bits(s.Value)})
				n++
			}
		}
	} else {
		var m prompb.WriteRequest
		if err := m.Unmarshal(raw); err != nil {
			return 0, err
		}
		for _, ts := range m.Timeseries {
			name := ts.ToLabels(&b, nil).String()
			for _, s := range ts.Samples {
				r.got[name] = append(r.got[name], point{s.Timestamp, math.Float64bits(s.Value)})
				n++
			}
		}
	}
	r.sizes = append(r.sizes, n)
	return n, nil
}

// all is a copy of what came.
func (r *receiver) all() map[string][]point {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.got)
}

// forget lets go of what came.
func (r *receiver) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = map[string][]point{}
}

// total is how many samples came.
func (r *receiver) total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, points := range r.got {
		n += len(points)
	}
	return n
}

func (r *receiver) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// bench is one Remote with its receivers, by the host of their URLs.
type bench struct {
	*Remote
	t    testing.TB
	dir  string
	reg  *prometheus.Registry
	log  *bytes.Buffer
	stop func()
}

type rig struct {
	dir       string
	receivers map[string]http.RoundTripper
	options   Options
}

// begin runs a Remote until the test ends or stop is called.
func (g rig) begin(t testing.TB, c Config) *bench {
	t.Helper()
	b := &bench{t: t, dir: g.dir, reg: prometheus.NewPedanticRegistry(), log: new(bytes.Buffer)}
	o := g.options
	o.Registerer, o.Logger = b.reg, slog.New(slog.NewTextHandler(&locked{w: b.log}, nil))
	o.transport = func(c Target) (http.RoundTripper, error) {
		for host, r := range g.receivers {
			if strings.HasPrefix(c.URL, "http://"+host+"/") {
				return r, nil
			}
		}
		return nil, fmt.Errorf("no receiver for %s", c.URL)
	}
	if o.free == nil {
		o.free = func(string) (uint64, uint64, error) { return 1 << 40, 1 << 40, nil }
	}
	var err error
	if b.Remote, err = New(g.dir, o); err != nil {
		t.Fatal(err)
	}
	b.adopt(c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

func (b *bench) adopt(c Config) {
	b.t.Helper()
	if err := c.Validate(); err != nil {
		b.t.Fatal(err)
	}
	p, err := b.Plan(c)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Adopt(p)
}

// metric is the value of a metric, with labels as the exposition writes them; 0 when there is none.
func (b *bench) metric(name string) float64 {
	b.t.Helper()
	base, _, _ := strings.Cut(name, "{")
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != base {
			continue
		}
		for _, m := range f.GetMetric() {
			var pairs []string
			for _, l := range m.GetLabel() {
				pairs = append(pairs, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			full := base
			if len(pairs) > 0 {
				full += "{" + strings.Join(pairs, ",") + "}"
			}
			if full == name {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

func (b *bench) want(name string, v float64) {
	b.t.Helper()
	if got := b.metric(name); got != v {
		b.t.Errorf("%s is %v, want %v", name, got, v)
	}
}

type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// to is a configuration with targets of these names, each at the host of its name.
func to(names ...string) Config {
	c := DefaultConfig()
	for _, n := range names {
		t := defaultTarget()
		t.Name, t.URL = n, "http://"+n+"/write"
		c.Targets = append(c.Targets, t)
	}
	return c
}

var layout = &window.Layout{ID: [32]byte{1}, Series: []labels.Labels{
	labels.FromStrings("__name__", "node_load1"),
	labels.FromStrings("__name__", "node_filesystem_avail_bytes", "mountpoint", "/"),
	labels.FromStrings("__name__", "node_filesystem_avail_bytes", "mountpoint", "/var"),
}}

// report is one block of an asset now.
func report(asset string, now time.Time, v float64) (window.Asset, []window.Block) {
	return window.Asset{Name: asset, Customer: "acme", Site: "berlin"}, []window.Block{
		{Source: "linux", Kind: "node", At: now, Status: window.OK, Layout: layout, Values: []float64{v, v + 1, v + 2}},
		{Source: "broken", Kind: "node", At: now, Status: window.Failed, Reason: "timeout"},
	}
}

func TestSamplesArriveAsTheyAre(t *testing.T) {
	for name, message := range map[string]remoteapi.WriteMessageType{"1.0": remoteapi.WriteV1MessageType, "2.0": remoteapi.WriteV2MessageType} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReceiver()
				c := to("a")
				c.Targets[0].Message = message
				c.Targets[0].Headers = map[string]promconfig.Secret{"X-Scope-OrgID": "tenant"}
				c.External = map[string]string{"cluster": "eu", "site": "not this one"}
				b := rig{dir: t.TempDir(), receivers: map[string]http.RoundTripper{"a": r}}.begin(t, c)
				synctest.Wait()
				now := time.Now()
				b.Append(report("web-1", now, 7))
				own := labels.FromStrings("__name__", "up", "instance", "elsewhere")
				stale := math.Float64frombits(value.StaleNaN)
				other := math.Float64frombits(0x7ff8000000000123)
				b.AppendSamples([]history.Sample{{Labels: own, T: 5, V: stale}, {Labels: own, T: 6, V: other}, {Labels: own, T: 7, V: 0}})
				time.Sleep(6 * time.Second)
				at := now.UnixMilli()
				want := map[string][]point{
					`{__name__="node_load1", cluster="eu", customer="acme", instance="web-1", job="node", site="berlin"}`:                                     {{at, math.Float64bits(7)}},
					`{__name__="node_filesystem_avail_bytes", cluster="eu", customer="acme", instance="web-1", job="node", mountpoint="/", site="berlin"}`:    {{at, math.Float64bits(8)}},
					`{__name__="node_filesystem_avail_bytes", cluster="eu", customer="acme", instance="web-1", job="node", mountpoint="/var", site="berlin"}`: {{at, math.Float64bits(9)}},
					`{__name__="up", cluster="eu", instance="elsewhere", site="not this one"}`:                                                                {{5, value.StaleNaN}, {6, 0x7ff8000000000123}, {7, 0}},
				}
				if fmt.Sprint(r.all()) != fmt.Sprint(want) {
					t.Errorf("got %v\nwant %v", r.all(), want)
				}
				r.mu.Lock()
				h := r.headers[0]
				r.mu.Unlock()
				version, contentType := "0.1.0", "application/x-protobuf"
				if message == remoteapi.WriteV2MessageType {
					version, contentType = "2.0.0", "application/x-protobuf;proto=io.prometheus.write.v2.Request"
				}
				for key, want := range map[string]string{"X-Scope-Orgid": "tenant", "Content-Encoding": "snappy", versionHeader: version, "Content-Type": contentType} {
					if h.Get(key) != want {
						t.Errorf("%s is %q, want %q", key, h.Get(key), want)
					}
				}
				b.want(`watchbill_remote_write_samples_total{target="a"}`, 6)
				b.want(`watchbill_remote_write_samples_in_total`, 6)
				b.want(`watchbill_remote_write_spooled_samples_total`, 6)
				b.want(`watchbill_remote_write_samples_pending{target="a"}`, 0)
				b.want(`watchbill_remote_write_lag_seconds{target="a"}`, 0)
				b.want(`watchbill_remote_write_highest_sent_timestamp_seconds{target="a"}`, float64(at)/1000)
			})
		})
	}
}

// feed gives n samples of each of a few series, one every step, and waits as long.
func feed(b *bench, series, n int, step time.Duration) {
	for range n {
		now := time.Now()
		for i := range series {
			b.AppendSamples([]history.Sample{{
				Labels: labels.FromStrings("__name__", "m", "i", strconv.Itoa(i)), T: now.UnixMilli(), V: float64(now.UnixMilli() % 1e6),
			}})
		}
		time.Sleep(step)
	}
}

// inOrder faults series whose samples did not come in order, each once, so many of them.
func inOrder(t *testing.T, r *receiver, series, n int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.got) != series {
		t.Errorf("%d series came, want %d", len(r.got), series)
	}
	for name, points := range r.got {
		if len(points) != n {
			t.Errorf("%d samples of %s came, want %d", len(points), name, n)
		}
		for i, p := range points {
			if i > 0 && points[i-1].t >= p.t {
				t.Fatalf("%s: sample %d of %d came before", name, i, len(points))
			}
			if want := math.Float64bits(float64(p.t % 1e6)); p.bits != want {
				t.Fatalf("%s: sample %d has another value", name, i)
			}
		}
	}
}

func TestTargetThatIsAwayForADayMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := newReceiver()
		back := time.Now().Add(24 * time.Hour)
		away.answer = func(int, *http.Request) (int, http.Header) {
			if time.Now().Before(back) {
				return 0, nil
			}
			time.Sleep(20 * time.Millisecond)
			return http.StatusOK, nil
		}
		there := newReceiver()
		c := to("away", "there")
		b := rig{dir: t.TempDir(), receivers: map[string]http.RoundTripper{"away": away, "there": there},
			options: Options{segmentBytes: 64 << 10, tidyEvery: 5 * time.Minute}}.begin(t, c)
		synctest.Wait()
		const series, n = 23, 24 * 60
		feed(b, series, n, time.Minute)
		if got := b.metric(`watchbill_remote_write_samples_pending{target="away"}`); got != series*n {
			t.Errorf("%v samples wait for the target that was away, want %d", got, series*n)
		}
		if lag := b.metric(`watchbill_remote_write_lag_seconds{target="away"}`); lag < 86000 {
			t.Errorf("lag is %v s after a day", lag)
		}
		time.Sleep(10 * time.Minute)
		inOrder(t, away, series, n)
		inOrder(t, there, series, n)
		b.want(`watchbill_remote_write_samples_pending{target="away"}`, 0)
		b.want(`watchbill_remote_write_samples_dropped_total{reason="spool_full",target="away"}`, 0)
		if n := b.metric(`watchbill_remote_write_spool_bytes`); n > 128<<10 {
			t.Errorf("the spool has %v bytes when all is sent", n)
		}
	})
}

func TestSlowTargetDoesNotSlowTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, quick := newReceiver(), newReceiver()
		slow.answer = func(int, *http.Request) (int, http.Header) {
			time.Sleep(25 * time.Second)
			return http.StatusOK, nil
		}
		b := rig{dir: t.TempDir(), receivers: map[string]http.RoundTripper{"slow": slow, "quick": quick}}.begin(t, to("slow", "quick"))
		synctest.Wait()
		feed(b, 10, 60, time.Second)
		time.Sleep(6 * time.Second)
		inOrder(t, quick, 10, 60)
		if n := slow.total(); n >= 600 {
			t.Errorf("the slow target has %d samples already: it was not slow", n)
		}
		time.Sleep(5 * time.Minute)
		inOrder(t, slow, 10, 60)
	})
}

func TestMoreShardsForABacklogAndFewerAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver()
		var under, most, down = 0, 0, true
		var mu sync.Mutex
		r.answer = func(int, *http.Request) (int, http.Header) {
			mu.Lock()
			under++
			most = max(most, under)
			no := down
			mu.Unlock()
			time.Sleep(50 * time.Millisecond)
			mu.Lock()
			under--
			mu.Unlock()
			if no {
				return http.StatusServiceUnavailable, nil
			}
			return http.StatusOK, nil
		}
		c := to("a")
		c.Targets[0].Queue.MaxSamplesPerSend, c.Targets[0].Queue.MaxShards = 50, 8
		b := rig{dir: t.TempDir(), receivers: map[string]http.RoundTripper{"a": r}}.begin(t, c)
		synctest.Wait()
		feed(b, 100, 300, time.Second)
		mu.Lock()
		if most != 1 {
			t.Errorf("%d requests at once to a target that is down, want 1", most)
		}
		down = false
		mu.Unlock()
		time.Sleep(time.Minute)
		inOrder(t, r, 100, 300)
		mu.Lock()
		highest := most
		mu.Unlock()
		if highest != 8 {
			t.Errorf("%d requests at once at most, want max_shards, 8", highest)
		}
		feed(b, 1, 30, time.Second)
		b.want(`watchbill_remote_write_shards{target="a"}`, 1)
	})
}

func TestIngestIsNeverHeldUp(t *testing.T) {
	r, err := New(t.TempDir(), Options{Queue: 10, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	a, blocks := report("web-1", time.Now(), 1)
	r.Append(a, blocks)
	if n := testutil.ToFloat64(r.metrics.in); n != 0 {
		t.Errorf("%v samples were taken although there is no target", n)
	}
	p, err := r.Plan(to("a"))
	if err != nil {
		t.Fatal(err)
	}
	r.Adopt(p)
	for range 5 { // nobody runs it: three reports of three samples fit
		r.Append(a, blocks)
	}
	if n := testutil.ToFloat64(r.metrics.dropped.WithLabelValues("queue_full")); n != 6 {
		t.Errorf("%v samples were dropped, want 6", n)
	}
	var taken []window.Block = nil
	r.Append(a, taken)
	if n := testutil.ToFloat64(r.metrics.in); n != 15 {
		t.Errorf("%v samples came in, want 15", n)
	}
}

func TestSampleAgeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver()
		back := time.Now().Add(time.Hour)
		r.answer = func(int, *http.Request) (int, http.Header) {
			if time.Now().Before(back) {
				return 0, nil
			}
			return http.StatusOK, nil
		}
		c := to("a")
		c.Targets[0].Queue.SampleAgeLimit = policy.Duration(10 * time.Minute)
		b := rig{dir: t.TempDir(), receivers: map[string]http.RoundTripper{"a": r}}.begin(t, c)
		synctest.Wait()
		feed(b, 2, 60, time.Minute)
		time.Sleep(time.Minute)
		sent := b.metric(`watchbill_remote_write_samples_total{target="a"}`)
		old := b.metric(`watchbill_remote_write_samples_dropped_total{reason="too_old",target="a"}`)
		if sent < 18 || sent > 22 || sent+old != 120 {
			t.Errorf("%v samples were sent and %v dropped as too old, want about 20 and the rest of 120", sent, old)
		}
	})
}

func TestRelabelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver()
		var c Config
		if err := policy.Decode("t.yml", []byte(`
remote_write:
  - url: http://a/write
    name: a
    write_relabel_configs:
      - {source_labels: [__name__], regex: node_load1|node_filesystem_.*, action: keep}
      - {source_labels: [mountpoint], regex: /var, action: drop}
      - {source_labels: [cluster, instance], separator: "-", target_label: host}
      - {regex: customer|site|job|cluster|instance, action: labeldrop}
remote_write_spool: {size: 64MiB, age: 2d}
remote_write_external_labels: {cluster: eu}
`), &c); err != nil {
			t.Fatal(err)
		}
		b := rig{dir: t.TempDir(), receivers: map[string]http.RoundTripper{"a": r}}.begin(t, c)
		synctest.Wait()
		now := time.Now()
		b.Append(report("web-1", now, 1))
		feed(b, 2, 1, 6*time.Second)
		want := map[string][]point{
			`{__name__="node_load1", host="eu-web-1"}`:                                  {{now.UnixMilli(), math.Float64bits(1)}},
			`{__name__="node_filesystem_avail_bytes", host="eu-web-1", mountpoint="/"}`: {{now.UnixMilli(), math.Float64bits(2)}},
		}
		if fmt.Sprint(r.all()) != fmt.Sprint(want) {
			t.Errorf("got %v\nwant %v", r.all(), want)
		}
		b.want(`watchbill_remote_write_samples_dropped_total{reason="filtered",target="a"}`, 3)
	})
}
