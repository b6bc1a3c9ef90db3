package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Door bounds who may come in. Zero fields have the defaults of DefaultDoor. Who does not fit is turned away by closing
// the connection before any handshake, which costs a fiftieth of one; an agent comes back a while later,
// spread over Ack.return_spread_ms. Names in the tags are keys of the configuration: agents.door.connections.
type Door struct {
	// Connections is how many may stand at a time.
	Connections int `yaml:"connections"`
	// Handshakes is how many may be between a connection's opening and its first request at a time; from one address a
	// sixteenth of that. More of them are not faster: whatever is at work already waits for its processor behind all.
	Handshakes int `yaml:"handshakes"`
	// PerSecond is how many connections are let in per second, with a burst as large.
	PerSecond int `yaml:"per_second"`
	// PerAddress is how many from one address (one /64 of IPv6) per second, AddressBurst how many at once. Raise both when
	// agents come through a load balancer or a site is larger than that behind one address.
	PerAddress   int `yaml:"per_address"`
	AddressBurst int `yaml:"address_burst"`
}

// DefaultDoor holds ten thousand agents on two processors: back within 20 s after a restart, when handshakes take half of
// one processor; a storm of one address takes a fiftieth of one,
// once its burst is spent.
func DefaultDoor() Door {
	return Door{Connections: 20_000, Handshakes: 256, PerSecond: 500, PerAddress: 15, AddressBurst: 1000}
}

// Validate names every bound that is negative.
func (d Door) Validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int
	}{
		{"connections", d.Connections}, {"handshakes", d.Handshakes}, {"per_second", d.PerSecond},
		{"per_address", d.PerAddress}, {"address_burst", d.AddressBurst},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("agents.door.%s: must be positive, or 0 for the default, got %d", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}

func (d Door) orDefault() Door {
	def := DefaultDoor()
	return Door{
		Connections: cmp.Or(d.Connections, def.Connections), Handshakes: cmp.Or(d.Handshakes, def.Handshakes),
		PerSecond: cmp.Or(d.PerSecond, def.PerSecond), PerAddress: cmp.Or(d.PerAddress, def.PerAddress),
		AddressBurst: cmp.Or(d.AddressBurst, def.AddressBurst),
	}
}

// Why a connection is turned away, as counted.
const (
	turnedConnections = "connections"
	turnedHandshakes  = "handshakes"
	turnedPace        = "pace"
	turnedAddress     = "address"   // over its own bounds
	turnedAddresses   = "addresses" // more of them than can be told apart
	turnedFlood       = "flood"     // an address that is not listened to for a second
)

// Pace of turning away those whom nobody's own bound keeps out, and how many at once: a fleet that comes back all together
// is not slowed down.
const (
	refusalsPerSecond = 100
	refusalsAtOnce    = 2000
	// refusalPause is how long callers wait outside then: once for several, for waking up costs more than turning away.
	refusalPause = 100 * time.Millisecond
)

// Bounds of what is remembered about addresses: a caller that has been quiet is forgotten when there are too many.
const (
	maxAddresses = 1 << 14
	forgetEvery  = time.Second
)

// gate is a listener that lets in only so many.
type gate struct {
	net.Listener
	door   Door
	turned func(reason string)
	pace   *rate.Limiter
	// refusals is the pace of turning away: past it callers wait outside, in the kernel's queue.
	refusals *rate.Limiter
	closed   chan struct{}
	once     sync.Once
	shutters shutters

	mu        sync.Mutex
	standing  int
	strangers int // connections that have not spoken yet
	addresses map[netip.Addr]*caller
	forgotten time.Time
}

// caller is one address.
type caller struct {
	pace *rate.Limiter
	// refused is how often it may be turned away before it is shut out.
	refused   *rate.Limiter
	strangers int
}

func newGate(inner net.Listener, d Door, turned func(reason string)) *gate {
	d = d.orDefault()
	drop, err := dropper(inner)
	return &gate{
		Listener: inner, door: d, turned: turned, pace: rate.NewLimiter(rate.Limit(d.PerSecond), d.PerSecond),
		refusals: rate.NewLimiter(refusalsPerSecond, refusalsAtOnce), closed: make(chan struct{}),
		addresses: map[netip.Addr]*caller{},
		shutters:  shutters{drop: drop, cannot: err, until: map[netip.Addr]time.Time{}},
	}
}

// Close ends Accept.
func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed); g.shutters.close() })
	return g.Listener.Close()
}

// Accept lets the next one in that fits, and turns all others away meanwhile: nobody waits who would have given up when
// the turn comes, and nobody is kept out by those who do not fit. An address that is over its own bounds is turned away at
// once, and shut out when it keeps coming: to wait would be to let everybody else wait. Only a flood from everywhere,
// thousands in seconds, is slowed down, newcomers with it; connections that stand are not touched.
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, now := addressOf(conn.RemoteAddr()), time.Now()
		reason, flood := g.admit(from, now)
		if reason == "" {
			return &guest{Conn: conn, gate: g, from: from}, nil
		}
		g.turned(reason)
		turnAway(conn)
		if flood && g.shutters.shut(from, now) {
			g.turned(turnedFlood)
		}
		if reason != turnedAddress && !g.refusals.Allow() && !g.pause(refusalPause) {
			return nil, net.ErrClosed
		}
	}
}

// pause waits; false when the gate is closed meanwhile.
func (g *gate) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-g.closed:
		return false
	}
}

// turnAway closes at once and leaves nothing behind: a reset, no parting words, no lingering socket.
func turnAway(conn net.Conn) {
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // closing is what counts
	}
	_ = conn.Close()
}

// admit takes a place for one more, or says why there is none; flood that the address is turned away too often.
func (g *gate) admit(from netip.Addr, now time.Time) (reason string, flood bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.caller(from, now)
	if c == nil {
		return turnedAddresses, false
	}
	reason = g.place(c, now)
	return reason, reason == turnedAddress && !c.refused.AllowN(now, 1)
}

// place takes one for a caller. The caller of this holds mu.
func (g *gate) place(c *caller, now time.Time) (reason string) {
	switch {
	case c.strangers >= max(g.door.Handshakes/16, 1) || c.pace.TokensAt(now) < 1:
		return turnedAddress
	case g.standing >= g.door.Connections:
		return turnedConnections
	case g.strangers >= g.door.Handshakes:
		return turnedHandshakes
	case !g.pace.AllowN(now, 1):
		return turnedPace
	}
	c.pace.AllowN(now, 1)
	c.strangers++
	g.strangers++
	g.standing++
	return ""
}

// caller is what is known of an address; nil when there are too many to know another. The caller holds mu.
func (g *gate) caller(from netip.Addr, now time.Time) *caller {
	if c, ok := g.addresses[from]; ok {
		return c
	}
	if len(g.addresses) >= maxAddresses {
		if now.Sub(g.forgotten) < forgetEvery {
			return nil
		}
		g.forgotten = now
		for a, c := range g.addresses {
			if c.strangers == 0 && c.pace.TokensAt(now) >= float64(g.door.AddressBurst) {
				delete(g.addresses, a)
			}
		}
		if len(g.addresses) >= maxAddresses {
			return nil
		}
	}
	c := &caller{
		pace:    rate.NewLimiter(rate.Limit(g.door.PerAddress), g.door.AddressBurst),
		refused: rate.NewLimiter(refusedPerSecond, refusedAtOnce),
	}
	g.addresses[from] = c
	return c
}

// addressOf is who counts as one: an IPv4 address, or the /64 of an IPv6 one, for everybody has the whole of that.
func addressOf(a net.Addr) netip.Addr {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}

// guest is a connection that came through the gate.
type guest struct {
	net.Conn
	gate     *gate
	from     netip.Addr
	known    sync.Once
	released sync.Once
	closed   atomic.Bool
	// end cancels the requests of the connection.
	end atomic.Pointer[context.CancelFunc]
	// seat is whose connection it is, once it has shown that.
	seat atomic.Pointer[seat]
}

// introduce makes a stranger one who has spoken.
func (c *guest) introduce() {
	c.known.Do(func() {
		c.gate.mu.Lock()
		defer c.gate.mu.Unlock()
		c.gate.strangers--
		if a, ok := c.gate.addresses[c.from]; ok {
			a.strangers--
		}
	})
}

// Close gives the place back.
func (c *guest) Close() error {
	c.introduce()
	c.released.Do(func() {
		c.gate.mu.Lock()
		c.gate.standing--
		c.gate.mu.Unlock()
		c.closed.Store(true)
		if end := c.end.Load(); end != nil {
			(*end)()
		}
		if s := c.seat.Load(); s != nil {
			s.agents.unseat(c, s)
		}
	})
	err := c.Conn.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
