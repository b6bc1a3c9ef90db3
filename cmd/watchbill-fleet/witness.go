package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/wire"
)

// errCut: the line of this agent is cut, on request.
var errCut = errors.New("the line is cut (simulated)")

// witness is the way to the collector of an agent with the agent's own push. It carries push's requests, counts, and
// remembers of the last one what an Ack does not say: why it was sent and which reports it brought.
type witness struct {
	identity enroll.Identity
	line     *http.Transport
	stats    *stats
	cut      atomic.Bool

	// last belongs to push's goroutine, which hears of the Ack before it sends the next request.
	last trip
}

// trip is a request of push.
type trip struct {
	lane string
	// bulk are the reports of a request that brings many, first to last; nil when it brought one.
	bulk []key
}

// key names a report and orders reports by age.
type key struct{ epoch, sequence uint64 }

func (k key) less(o key) bool {
	return k.epoch < o.epoch || k.epoch == o.epoch && k.sequence < o.sequence
}

// newWitness is the agent's own transport, from this agent's source address.
func newWitness(id enroll.Identity, source net.Addr, s *stats) *witness {
	w := &witness{identity: id, line: id.Transport(), stats: s}
	d := net.Dialer{LocalAddr: source, Timeout: dialTimeout}
	w.line.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		s.connects.Add(1)
		s.connected.Add(1)
		return &counted{Conn: c, stats: s}, nil
	}
	return w
}

// RoundTrip carries one request of push.
func (w *witness) RoundTrip(req *http.Request) (*http.Response, error) {
	if w.cut.Load() {
		w.line.CloseIdleConnections()
		return nil, errCut
	}
	w.last = trip{lane: req.Header.Get(wire.HeaderLane)}
	if req.URL.Path == wire.PathBulk {
		var err error
		if w.last.bulk, err = reportsIn(req); err != nil {
			return nil, err
		}
	}
	resp, err := w.line.RoundTrip(req)
	now := time.Now()
	if err != nil {
		if !errors.Is(req.Context().Err(), context.Canceled) { // not for the end of the run
			w.stats.fail(err, now)
		}
		return nil, enroll.Explain(err, w.identity.Collector, now)
	}
	w.stats.sentBytes.Add(uint64(max(req.ContentLength, 0))) //nolint:gosec // a length
	if resp.StatusCode != http.StatusOK {
		w.stats.refuse("status_" + http.StatusText(resp.StatusCode))
	}
	return resp, nil
}

// reportsIn reads which reports a bulk brings. Their blocks stay packed, so this costs little.
func reportsIn(req *http.Request) ([]key, error) {
	body, err := req.GetBody()
	if err != nil {
		return nil, fmt.Errorf("look into a bulk: %w", err)
	}
	defer body.Close()
	var m wire.Bulk
	if err := wire.Decode(body, req.Header.Get(wire.HeaderCoding), wire.DefaultLimits(), &m); err != nil {
		return nil, fmt.Errorf("look into a bulk: %w", err)
	}
	keys := make([]key, len(m.Reports))
	for i, r := range m.Reports {
		keys[i] = key{r.Epoch, r.Sequence}
	}
	return keys, nil
}

// counted is a connection that tells when it is closed.
type counted struct {
	net.Conn
	stats *stats
	once  sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.stats.connected.Add(-1) })
	return c.Conn.Close()
}
