package sample

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// portsEvery is how often the listening ports are looked at.
const portsEvery = 15 * time.Second

// portsSampler tells when a program begins or ceases to listen: sock_diag(7) or, where that is not to be had and where
// another host's tree is looked at, /proc/net/tcp, tcp6, udp, udp6. What listens when the agent first looks is not told. Of UDP only ports below those that the kernel hands out count: a client's socket looks
// the same.
type portsSampler struct {
	host
	// ask is listening; nil: read /proc.
	ask func() ([]socket, error)
	// before are the ports of the last reading, nil before the first.
	before  map[port]owner
	repeats *repeats
}

type port struct {
	protocol string
	local    netip.AddrPort
}

func newPorts(h host) *portsSampler {
	s := &portsSampler{host: h, repeats: newRepeats()}
	if h.path.Procfs == DefaultConfig().Path.Procfs {
		s.ask = listening
	}
	return s
}

// listeners are the sockets that may be waiting for whoever comes.
func (s *portsSampler) listeners() ([]socket, error) {
	if s.ask != nil {
		if all, err := s.ask(); err == nil {
			return all, nil
		}
		s.ask = nil // it will not be had the next time either
	}
	return s.sockets()
}

// Read fails when the sockets cannot be read. Whose a port is is told where it may be seen.
func (s *portsSampler) Read(ctx context.Context, now time.Time) (Reading, error) {
	all, err := s.listeners()
	if err != nil {
		return Reading{}, fmt.Errorf("list sockets: %w", err)
	}
	lowest := s.handedOut()
	inodes := map[port]uint64{}
	for _, k := range all {
		if listens(k) && (k.protocol == "tcp" || k.local.Port() < lowest) {
			inodes[port{k.protocol, k.local}] = k.inode
		}
	}
	next := make(map[port]owner, len(inodes))
	opened := s.before == nil
	for p := range inodes {
		o, known := s.before[p]
		next[p] = o
		opened = opened || !known
	}
	if opened { // only then is it worth to look at every process
		owners, _, err := s.socketOwners(ctx, &pace{work: usageStretch})
		if err != nil {
			return Reading{}, fmt.Errorf("look for who listens: %w", err)
		}
		for p, inode := range inodes {
			if o, ok := owners[inode]; ok {
				next[p] = o
			}
		}
	}
	if s.before != nil {
		s.tell(now, s.before, next, "port_closed", "no longer listens on")
		s.tell(now, next, s.before, "port_opened", "listens on")
	}
	s.before = next
	return Reading{Events: s.repeats.take(now)}, nil
}

// tell tells of the ports that are in one and not in the other.
func (s *portsSampler) tell(now time.Time, in, notIn map[port]owner, kind, verb string) {
	var all []port
	for p := range in {
		if _, ok := notIn[p]; !ok {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b port) int {
		return cmp.Or(strings.Compare(a.protocol, b.protocol), a.local.Compare(b.local))
	})
	for _, p := range all {
		o := in[p]
		f := map[string]string{
			"protocol": p.protocol, "address": p.local.Addr().String(), "port": strconv.Itoa(int(p.local.Port())),
		}
		who := "A program that the agent may not see"
		if o.command != "" {
			who = fmt.Sprintf("%s (process %d)", o.command, o.pid)
			f["process"], f["pid"] = o.command, strconv.Itoa(o.pid)
		}
		s.repeats.add(kind+"\x00"+p.protocol+p.local.String(), newEvent(kind, now, fmt.Sprintf("%s %s %s %s.", who, verb, p.protocol, p.local), f))
	}
}

// handedOut is the lowest port that the kernel gives to whoever asks for none.
func (h host) handedOut() uint16 {
	const usual = 32768
	content, err := read(h.proc("sys/net/ipv4/ip_local_port_range"))
	if err != nil {
		return usual
	}
	first, _, _ := strings.Cut(strings.TrimSpace(content), "\t")
	v, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return usual
	}
	return uint16(v)
}
