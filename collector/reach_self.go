package collector

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// newReach is what asks about silence for this collector.
func (c *Collector) newReach() *reach {
	return &reach{
		pinger: icmpPinger{}, terms: &c.pinging, sign: c.facts.sign, self: c.ofItself, now: c.now, pings: c.pipeline.metrics.pings,
	}
}

// ofItself is what the collector finds when it suspects itself: does its listener accept, are its interfaces up, does the
// agent on its own host report?
func (c *Collector) ofItself(ctx context.Context, lives []incident.Life, now time.Time) []string {
	return []string{
		"of itself the collector found: " + acceptsAt(ctx, c.OwnAgentAddress()),
		"of itself the collector found: " + interfacesUp(),
		"of itself the collector found: " + ownAgent(c.lives(), c.patience(len(lives)), now),
	}
}

// acceptsAt tells whether something accepts connections at an address of this host.
func acceptsAt(ctx context.Context, address string) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Sprintf("its listener for agents does not accept connections at %s: %v", address, err)
	}
	conn.Close()
	return "its listener for agents accepts connections at " + address
}

// interfacesUp names the interfaces to the outside that are up and have an address.
func interfacesUp() string {
	all, err := net.Interfaces()
	if err != nil {
		return "its network interfaces cannot be read: " + err.Error()
	}
	var up, down []string
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagRunning == 0 || err != nil || len(addrs) == 0 {
			down = append(down, i.Name)
			continue
		}
		up = append(up, fmt.Sprintf("%s (%s)", i.Name, addrs[0]))
	}
	switch {
	case len(up) == 0 && len(down) == 0:
		return "it has no network interface but loopback"
	case len(up) == 0:
		return "no network interface but loopback is up and has an address; not so are " + strings.Join(down, ", ")
	case len(down) == 0:
		return "its network interfaces are up: " + strings.Join(up, ", ")
	}
	return fmt.Sprintf("network interfaces that are up: %s; that are not, or have no address: %s", strings.Join(up, ", "), strings.Join(down, ", "))
}

// ownAgent tells whether the agent on the collector's own host reports.
func ownAgent(lives []incident.Life, p incident.Patience, now time.Time) string {
	i := slices.IndexFunc(lives, func(l incident.Life) bool { return l.Own })
	switch {
	case i < 0:
		return "no agent on its own host is known that could show whether reports are taken in"
	case p.Silent(lives[i], now):
		return fmt.Sprintf("the agent on its own host, %s, is not heard either, last at %s", lives[i].Asset, lives[i].Heard.UTC().Format("15:04:05 UTC"))
	}
	return fmt.Sprintf("the agent on its own host, %s, is heard, so reports are taken in: what is wrong lies between here and the others", lives[i].Asset)
}

// ownAddress tells whether an address is this host's.
func (c *Collector) ownAddress(a netip.Addr) bool {
	own := c.own.Load()
	return a.IsLoopback() || own != nil && (*own)[a.WithZone("")]
}

// learnOwnAddresses reads which addresses this host has. Where they cannot be read, loopback alone is known to be its own.
func (c *Collector) learnOwnAddresses() {
	own := map[netip.Addr]bool{}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		c.log.Warn("the addresses of this host cannot be read: its own agent is taken for another host's", "err", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own[p.Addr().Unmap().WithZone("")] = true
		}
	}
	c.own.Store(&own)
}
