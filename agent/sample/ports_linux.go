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

const (
	// portsEvery is how often the listening ports are looked at.
	portsEvery = 15 * time.Second
	// portsAskAgain is when the kernel is asked again after it has not answered.
	portsAskAgain = 5 * time.Minute
)

// portsSampler tells when a program begins or ceases to listen: sock_diag(7) or, where that is not to be had and where
// another host's tree is looked at, /proc/net/tcp, tcp6, udp, udp6. What listens when the agent first looks is not told.
// Of UDP only ports below those that the kernel hands out count: a client's socket looks the same.
type portsSampler struct {
	host
	// ask is listening; nil: read /proc. It is not asked before askAt.
	ask   func() ([]socket, error)
	askAt time.Time
	// before are the ports of the last reading, nil before the first.
	before  map[port]listener
	repeats *repeats
}

type port struct {
	protocol string
	local    netip.AddrPort
}

// listener is who listens on a port.
type listener struct {
	// inodes are those of its sockets: some programs have one for each of their processes (SO_REUSEPORT).
	inodes []uint64
	owner  owner
}

func newPorts(h host) *portsSampler {
	s := &portsSampler{host: h, repeats: newRepeats()}
	if h.path.Procfs == DefaultConfig().Path.Procfs {
		s.ask = listening
	}
	return s
}

// listeners are the ports and the sockets that wait there for whoever comes.
func (s *portsSampler) listeners(ctx context.Context, now time.Time) (map[port]listener, error) {
	lowest := s.handedOut()
	out := map[port]listener{}
	take := func(k socket) {
		if listens(k) && (k.protocol == "tcp" || k.local.Port() < lowest) {
			p := port{k.protocol, k.local}
			out[p] = listener{inodes: append(out[p].inodes, k.inode)}
		}
	}
	if s.ask != nil && !now.Before(s.askAt) {
		all, err := s.ask()
		if err == nil {
			for _, k := range all {
				take(k)
			}
			return out, nil
		}
		s.askAt = now.Add(portsAskAgain) // a kernel that is short of memory for a moment gets another chance
	}
	return out, s.eachSocket(ctx, take)
}

// Read fails when the sockets cannot be read. Whose a port is is told where it may be seen.
func (s *portsSampler) Read(ctx context.Context, now time.Time) (Reading, error) {
	next, err := s.listeners(ctx, now)
	if err != nil {
		return Reading{}, fmt.Errorf("list sockets: %w", err)
	}
	changed := s.before == nil
	for p, l := range next {
		if old := s.before[p]; l.shares(old) {
			next[p] = listener{l.inodes, old.owner}
		} else {
			changed = true
		}
	}
	if changed { // only then is it worth to look at every process
		owners, _, err := s.socketOwners(ctx, &pace{work: usageStretch})
		if err != nil {
			return Reading{}, fmt.Errorf("look for who listens: %w", err)
		}
		for p, l := range next {
			next[p] = l.ownedBy(owners)
		}
	}
	if s.before != nil {
		s.tell(now, s.before, next, "port_closed", "no longer listens on")
		s.tell(now, next, s.before, "port_opened", "listens on")
	}
	s.before = next
	return Reading{Events: s.repeats.take(now)}, nil
}

// shares says whether one of the sockets is the other's: then it is the same program that listens, or a child of it.
func (l listener) shares(other listener) bool {
	return slices.ContainsFunc(l.inodes, func(i uint64) bool { return slices.Contains(other.inodes, i) })
}

// ownedBy names the owner of the first of the sockets that has one.
func (l listener) ownedBy(all owners) listener {
	slices.Sort(l.inodes)
	for _, i := range l.inodes {
		if o, ok := all.of(i); ok {
			return listener{l.inodes, o}
		}
	}
	return l
}

// same says whether nobody else listens now: the same socket, or the same process with a new one, as after a reload.
func (l listener) same(other listener) bool {
	return l.shares(other) || l.owner == other.owner && l.owner.pid != 0
}

// tell tells of the ports that are in one and not in the other, or somebody else's there.
func (s *portsSampler) tell(now time.Time, in, other map[port]listener, kind, verb string) {
	var all []port
	for p, l := range in {
		if was, ok := other[p]; !ok || !l.same(was) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b port) int {
		return cmp.Or(strings.Compare(a.protocol, b.protocol), a.local.Compare(b.local))
	})
	for _, p := range all {
		o := in[p].owner
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
