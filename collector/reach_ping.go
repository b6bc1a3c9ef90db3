package collector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/go-ping/ping"
)

// pinger asks an address for echoes.
type pinger interface {
	// Ping sends n echo requests and waits for their answers until ctx ends, which must have a deadline. That nobody
	// answered is no error; an error says why nobody could be asked, for a person.
	Ping(ctx context.Context, to netip.Addr, n int) (echoes, error)
}

// echoes is what came back.
type echoes struct {
	sent, answered int
	fastest        time.Duration
}

// pingEvery is the pause between two requests to one address.
const pingEvery = 100 * time.Millisecond

// icmpPinger pings with go-ping: by a datagram socket for ICMP, which needs no privilege where the kernel lets this group
// have one, or else by a raw socket. That library is archived, so that nothing else in this house knows of it. What to know
// of it: its context-free Run ends up to 100 ms after Stop; without SetLogger it writes to standard error; it hides why a
// socket could not be had behind what the system said; errors after the first request are not told, only missed.
type icmpPinger struct{}

// Ping implements pinger.
func (icmpPinger) Ping(ctx context.Context, to netip.Addr, n int) (echoes, error) {
	var why error
	for _, raw := range []bool{false, true} {
		e, opened, err := pingBy(ctx, to, n, raw)
		switch {
		case e.answered > 0 || err == nil:
			return e, nil
		case opened:
			return e, unsent(to, err)
		case !refused(err):
			return echoes{}, fmt.Errorf("no socket to ping %s with: %w", to, err)
		}
		why = err
	}
	return echoes{}, denied(to, why)
}

// pingBy pings by one kind of socket; opened is false when it could not be had.
func pingBy(ctx context.Context, to netip.Addr, n int, raw bool) (e echoes, opened bool, err error) {
	p := ping.New("")
	p.SetIPAddr(&net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()})
	p.SetPrivileged(raw)
	p.SetLogger(ping.NoopLogger{})
	p.Count, p.Interval, p.RecordRtts = n, pingEvery, false
	p.OnSetup = func() { opened = true }
	defer context.AfterFunc(ctx, p.Stop)()
	err = p.Run()
	s := p.Statistics()
	return echoes{sent: s.PacketsSent, answered: s.PacketsRecv, fastest: s.MinRtt}, opened, err
}

// refused tells whether a socket was refused for want of a right, or because the system has no such kind: the other kind
// may be had.
func refused(err error) bool {
	return errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EPROTONOSUPPORT) || errors.Is(err, syscall.EPROTOTYPE) ||
		errors.Is(err, syscall.ESOCKTNOSUPPORT)
}

// unsent says why a request could not be sent.
func unsent(to netip.Addr, err error) error {
	switch {
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return fmt.Errorf("the collector has no route to %s: %w", to, err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("the collector's own firewall or routing forbids pings to %s: %w", to, err)
	}
	return fmt.Errorf("could not be sent to %s: %w", to, err)
}

// groupRange is who may have datagram sockets for ICMP on Linux, in both versions of IP.
const groupRange = "/proc/sys/net/ipv4/ping_group_range"

// denied says which right is missing and how to give it.
func denied(to netip.Addr, err error) error {
	text, readErr := os.ReadFile(groupRange)
	if readErr != nil { // not Linux
		return fmt.Errorf("this process may not ping %s: %w", to, err)
	}
	groups := fmt.Sprint(os.Getegid())
	if more, err := os.Getgroups(); err == nil && len(more) > 0 {
		groups = strings.Trim(fmt.Sprint(append([]int{os.Getegid()}, more...)), "[]")
	}
	return fmt.Errorf("this process may not ping: net.ipv4.ping_group_range is %q and holds none of its groups (%s), and it lacks CAP_NET_RAW: set net.ipv4.ping_group_range to \"0 2147483647\", or AmbientCapabilities=CAP_NET_RAW in the service: %w",
		strings.Join(strings.Fields(string(text)), " "), groups, err)
}
