package sample

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes and offsets of inet_diag (include/uapi/linux/inet_diag.h): inet_diag_req_v2 is followed by nothing, inet_diag_msg
// by attributes that nobody asked for.
const (
	diagRequestBytes = 56
	diagMessageBytes = 72
	// sockDiagByFamily is SOCK_DIAG_BY_FAMILY.
	sockDiagByFamily = 20
	// diagWait bounds an answer, which the kernel gives at once.
	diagWait = time.Second
)

var errDiag = errors.New("want an answer of inet_diag")

// listening asks the kernel for the sockets that wait for whoever comes: sock_diag(7). /proc/net/tcp would tell them too,
// but to read it makes the kernel walk its table of connections, however few there are.
func listening() ([]socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, fmt.Errorf("socket of sock_diag: %w", err)
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(diagWait.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return nil, fmt.Errorf("socket of sock_diag: %w", err)
	}
	var out []socket
	buf := make([]byte, 32<<10) // the kernel sends no more at a time
	for _, q := range []diagRequest{
		{unix.AF_INET, unix.IPPROTO_TCP, "tcp", 1 << tcpListen}, {unix.AF_INET6, unix.IPPROTO_TCP, "tcp", 1 << tcpListen},
		{unix.AF_INET, unix.IPPROTO_UDP, "udp", 1 << tcpClose}, {unix.AF_INET6, unix.IPPROTO_UDP, "udp", 1 << tcpClose},
	} {
		found, err := q.ask(fd, buf)
		if err != nil { // also ENOENT, where the module that tells of the protocol cannot be had: there may be sockets
			return nil, fmt.Errorf("ask for sockets of %s: %w", q.name, err)
		}
		out = append(out, found...)
	}
	return out, nil
}

// diagRequest asks for the sockets of a protocol that are in some states, a bit for each.
type diagRequest struct {
	family, protocol uint8
	name             string
	states           uint32
}

// ask makes the request and reads all of its answer.
func (q diagRequest) ask(fd int, buf []byte) ([]socket, error) {
	b := make([]byte, unix.NLMSG_HDRLEN+diagRequestBytes)
	binary.NativeEndian.PutUint32(b[0:], uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b[16], b[17] = q.family, q.protocol
	binary.NativeEndian.PutUint32(b[20:], q.states)
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var out []socket
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found, done, err := parseDiag(buf[:n], q.name)
		if err != nil {
			return nil, err
		}
		if out = append(out, found...); done {
			return out, nil
		}
	}
}

// parseDiag reads messages of an answer; done says that it ends with them.
func parseDiag(b []byte, name string) (out []socket, done bool, err error) {
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", errDiag, err)
	}
	for _, m := range messages {
		switch m.Header.Type {
		case unix.NLMSG_DONE:
			return out, true, nil
		case unix.NLMSG_ERROR:
			if len(m.Data) < 4 {
				return nil, false, errDiag
			}
			return nil, false, syscall.Errno(-int32(binary.NativeEndian.Uint32(m.Data))) //nolint:gosec // a negative error number
		case sockDiagByFamily:
			s, err := parseDiagSocket(m.Data, name)
			if err != nil {
				return nil, false, err
			}
			out = append(out, s)
		}
	}
	return out, false, nil
}

// parseDiagSocket reads an inet_diag_msg: family, state, timer, retrans, then ports and addresses in the order of the net.
func parseDiagSocket(b []byte, name string) (socket, error) {
	if len(b) < diagMessageBytes {
		return socket{}, fmt.Errorf("%w: a message of %d bytes, at least %d wanted", errDiag, len(b), diagMessageBytes)
	}
	address := func(at, port int) netip.AddrPort {
		a := netip.AddrFrom16([16]byte(b[at : at+16]))
		if b[0] == unix.AF_INET {
			a = netip.AddrFrom4([4]byte(b[at : at+4]))
		}
		return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(b[port:]))
	}
	return socket{
		protocol: name, state: b[1], local: address(8, 4), remote: address(24, 6),
		uid: strconv.FormatUint(uint64(binary.NativeEndian.Uint32(b[64:])), 10), inode: uint64(binary.NativeEndian.Uint32(b[68:])),
	}, nil
}
