package ingest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// dropper has the kernel drop what comes to a listener from addresses that it is called with: a classic packet filter on
// the listening socket (packet(7), SO_ATTACH_FILTER), for which some kernels want CAP_NET_ADMIN (6.18 was seen to): the error
// says so then. nil for what is no TCP listener. A connection inherits the filter of the moment, in which its own address
// cannot be.
func dropper(l net.Listener) (func([]netip.Addr) error, error) {
	t, ok := l.(*net.TCPListener)
	if !ok {
		return nil, nil //nolint:nilnil // no error: nothing is asked
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil, err
	}
	drop := func(all []netip.Addr) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = filter(int(fd), all) }) //nolint:gosec // a file descriptor
		if err == nil {
			err = failed
		}
		if err != nil {
			return fmt.Errorf("set a packet filter on the listening socket: %w", err)
		}
		return nil
	}
	if err = drop([]netip.Addr{netip.IPv4Unspecified()}); err == nil { // a trial: nothing comes from there
		err = drop(nil)
	}
	switch {
	case errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("%w: this kernel wants CAP_NET_ADMIN for it", err)
	case err != nil:
		return nil, err
	}
	return drop, nil
}

func filter(fd int, all []netip.Addr) error {
	if len(all) == 0 {
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		if err == syscall.ENOENT { // there is none
			return nil
		}
		return err
	}
	p := program(all)
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{
		Len: uint16(len(p)), Filter: &p[0], //nolint:gosec // maxShut bounds it
	})
}

// Offsets in the header of the network's layer, which a filter reaches at a number of its own (SKF_NET_OFF).
const (
	header       = 0xfff00000
	headerFrom4  = header + 12
	headerFrom6  = header + 8 // and the half of the /64 behind it
	headerFrom6b = header + 12
)

// program drops packets from these addresses; of IPv6, from these /64.
func program(all []netip.Addr) []unix.SockFilter {
	const keep = 0xffffffff
	load := func(from uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: from}
	}
	is := func(v uint32, otherwise uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: otherwise, K: v}
	}
	ret := func(n uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: n} }
	v4, v6 := []unix.SockFilter{load(headerFrom4)}, []unix.SockFilter{}
	for _, a := range all {
		b := a.AsSlice()
		if a.Is4() {
			v4 = append(v4, is(binary.BigEndian.Uint32(b), 1), ret(0))
			continue
		}
		v6 = append(v6, load(headerFrom6), is(binary.BigEndian.Uint32(b), 3),
			load(headerFrom6b), is(binary.BigEndian.Uint32(b[4:]), 1), ret(0))
	}
	v4 = append(v4, ret(keep))
	out := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: header},
		{Code: unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K, K: 4},                     // the version
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(len(v4)), K: 6}, //nolint:gosec // 2 × maxShut + 2 at most
	}
	return append(append(append(out, v4...), v6...), ret(keep))
}
