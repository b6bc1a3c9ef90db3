package sample

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// socket is one line of /proc/net/tcp, tcp6, udp or udp6.
type socket struct {
	protocol      string // tcp or udp
	local, remote netip.AddrPort
	// state is that of include/net/tcp_states.h.
	state uint8
	uid   string
	inode uint64
}

// States of a TCP socket; an UDP socket that is bound and not connected is in the last of them.
const (
	tcpEstablished = 1
	tcpTimeWait    = 6
	tcpClose       = 7
	tcpCloseWait   = 8
	tcpListen      = 10
)

var errSocket = errors.New("want a line as in proc_net_tcp(5)")

// sockets reads every socket of the protocols. A protocol the kernel does not have has none.
func (h host) sockets() ([]socket, error) {
	var out []socket
	for _, name := range []string{"tcp", "tcp6", "udp", "udp6"} {
		path := h.proc("net", name)
		content, err := read(path)
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		_, content, _ = strings.Cut(content, "\n") // the heading
		for line := range strings.Lines(content) {
			s, err := parseSocket(strings.TrimSuffix(name, "6"), line)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// parseSocket reads a line of proc_net_tcp(5):
//
//	0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 …
func parseSocket(protocol, line string) (socket, error) {
	f := strings.Fields(line)
	if len(f) < 10 {
		return socket{}, fmt.Errorf("%w, got %.80q", errSocket, line)
	}
	s := socket{protocol: protocol, uid: f[7]}
	var errs [4]error
	s.local, errs[0] = parseAddress(f[1])
	s.remote, errs[1] = parseAddress(f[2])
	state, err := strconv.ParseUint(f[3], 16, 8)
	s.state, errs[2] = uint8(state), err
	s.inode, errs[3] = strconv.ParseUint(f[9], 10, 64)
	if err := errors.Join(errs[:]...); err != nil {
		return socket{}, fmt.Errorf("%w, got %.80q: %w", errSocket, line, err)
	}
	return s, nil
}

// parseAddress reads an address as the kernel writes it: words of 32 bits in the order of this machine, then the port.
func parseAddress(s string) (netip.AddrPort, error) {
	address, port, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(address)
	if !ok || err != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, fmt.Errorf("address %.40q", s)
	}
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port of %.40q", s)
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), nil
}
