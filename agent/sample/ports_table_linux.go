package sample

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
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
	tcpClose       = 7
	tcpCloseWait   = 8
	tcpListen      = 10
)

var errSocket = errors.New("want a line as in proc_net_tcp(5)")

// eachSocket calls f with every socket of the protocols, line by line: a host can have more of them than fit what is read
// of other files. A protocol the kernel does not have has none.
func (h host) eachSocket(ctx context.Context, f func(socket)) error {
	for _, name := range []string{"tcp", "tcp6", "udp", "udp6"} {
		path := h.proc("net", name)
		if err := eachSocketOf(ctx, path, strings.TrimSuffix(name, "6"), f); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func eachSocketOf(ctx context.Context, path, protocol string, f func(socket)) error {
	file, err := os.Open(path)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 32<<10), 64<<10)
	lines.Scan() // the heading
	for n := 0; lines.Scan(); n++ {
		if n%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		s, err := parseSocket(protocol, lines.Text())
		if err != nil {
			return err
		}
		f(s)
	}
	if err := lines.Err(); err != nil && !absent(err) {
		return err
	}
	return nil
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
