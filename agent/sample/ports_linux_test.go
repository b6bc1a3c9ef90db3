package sample

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

const socketsHead = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

func socketLine(local, remote, state string, uid, inode int) string {
	return fmt.Sprintf("   0: %s %s %s 00000000:00000000 00:00000000 00000000 %5d        0 %d 1 0 100 0 0 10 0\n", local, remote, state, uid, inode)
}

func TestParseSocket(t *testing.T) {
	for name, c := range map[string]struct{ line, want string }{
		"ipv4": {socketLine("0100007F:1F90", "0200000A:01BB", "01", 33, 77), "tcp 127.0.0.1:8080 10.0.0.2:443 1 33 77"},
		"ipv6": {socketLine("B80D0120000000000000000001000000:0050", "00000000000000000000000000000000:0000", "0A", 0, 1), "tcp [2001:db8::1]:80 [::]:0 10 0 1"},
		"4in6": {socketLine("0000000000000000FFFF00000100007F:0050", "00000000000000000000000000000000:0000", "0A", 0, 1), "tcp 127.0.0.1:80 [::]:0 10 0 1"},
	} {
		s, err := parseSocket("tcp", c.line)
		if got := fmt.Sprint(s.protocol, " ", s.local, " ", s.remote, " ", s.state, " ", s.uid, " ", s.inode); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "x", socketLine("01:1", "0:0", "0A", 0, 1), socketLine("0100007F:1F90", "0200000A:01BB", "xyz", 0, 1)} {
		if _, err := parseSocket("tcp", bad); !errors.Is(err, errSocket) {
			t.Errorf("%q: %v, want errSocket", bad, err)
		}
	}
}

func FuzzParseSocket(f *testing.F) {
	f.Add(socketLine("0100007F:1F90", "0200000A:01BB", "01", 33, 77))
	f.Add(socketLine("B80D0120000000000000000001000000:0050", "00000000000000000000000000000000:0000", "0A", 0, 1))
	f.Fuzz(func(t *testing.T, line string) {
		s, err := parseSocket("udp", line)
		if err == nil && (!s.local.IsValid() || !s.remote.IsValid()) {
			t.Errorf("%q: %+v", line, s)
		}
	})
}

// withOpenFile makes a process of the fixture hold something open.
func withOpenFile(t *testing.T, h host, pid, fd, target string) {
	t.Helper()
	write(t, h.proc(pid, "comm"), "prog"+pid+"\n")
	if err := os.MkdirAll(h.proc(pid, "fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, h.proc(pid, "fd", fd)); err != nil {
		t.Fatal(err)
	}
}

func TestPorts(t *testing.T) {
	h := copyFixture(t)
	ssh := socketLine("00000000:0016", "00000000:0000", "0A", 0, 100)
	web := socketLine("00000000:0050", "00000000:0000", "0A", 33, 101)
	write(t, h.proc("net/tcp"), socketsHead+ssh)
	s := newPorts(h)
	c := &stepping{t, noon}
	c.tells(s, 0, "")
	write(t, h.proc("net/tcp"), socketsHead+ssh+web+socketLine("0100007F:9999", "0100007F:0050", "01", 33, 102))
	write(t, h.proc("net/udp"), socketsHead+socketLine("00000000:0035", "00000000:0000", "07", 0, 103)+
		socketLine("00000000:C001", "00000000:0000", "07", 0, 104))
	withOpenFile(t, h, "10", "3", "socket:[101]")
	r := c.tells(s, 15*time.Second, "prog10 (process 10) listens on tcp 0.0.0.0:80.; A program that the agent may not see listens on udp 0.0.0.0:53.")
	if f := r.Events[0].Fields; f["port"] != "80" || f["process"] != "prog10" || f["address"] != "0.0.0.0" {
		t.Errorf("fields %v", f)
	}
	write(t, h.proc("net/tcp"), socketsHead+ssh)
	c.tells(s, 15*time.Second, "prog10 (process 10) no longer listens on tcp 0.0.0.0:80.")
	for range 20 { // one that comes and goes all the time is not told all the time
		write(t, h.proc("net/tcp"), socketsHead+ssh+web)
		c.at = c.at.Add(time.Second)
		readAt(t, s, c.at)
		write(t, h.proc("net/tcp"), socketsHead+ssh)
		c.at = c.at.Add(time.Second)
		readAt(t, s, c.at)
	}
	if n := len(s.repeats.open); n > 4 {
		t.Errorf("%d things are remembered", n)
	}
	write(t, h.proc("net/tcp"), socketsHead+"nonsense\n")
	if _, err := s.Read(t.Context(), c.at); !errors.Is(err, errSocket) {
		t.Errorf("%v, want errSocket", err)
	}
}

func TestPortsOfThisMachine(t *testing.T) {
	s := newPorts(host{DefaultConfig().Path})
	readAt(t, s, noon)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := texts(readAt(t, s, noon.Add(time.Second)).Events)
	if want := fmt.Sprintf("(process %d) listens on tcp %s.", os.Getpid(), l.Addr()); !strings.Contains(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// Both ways of asking tell the same.
func TestListeningIsWhatProcSays(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		if l, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	defer l.Close()
	asked, err := listening()
	if err != nil {
		t.Skipf("sock_diag is not to be had here: %v", err)
	}
	var read []socket
	if err := (host{DefaultConfig().Path}).eachSocket(t.Context(), func(s socket) { read = append(read, s) }); err != nil {
		t.Fatal(err)
	}
	find := func(all []socket) (out socket) {
		for _, s := range all {
			if listens(s) && s.local.String() == l.Addr().String() {
				return s
			}
		}
		return
	}
	if a, b := find(asked), find(read); a != b || a.inode == 0 {
		t.Errorf("sock_diag says %+v, /proc %+v", a, b)
	}
}

// One answer that fails is no reason to read /proc for good, nor to ask for nothing all the time.
func TestPortsFallBackToProc(t *testing.T) {
	h := copyFixture(t)
	write(t, h.proc("net/tcp"), socketsHead+socketLine("00000000:0016", "00000000:0000", "0A", 0, 100))
	ssh := socket{protocol: "tcp", local: netip.MustParseAddrPort("0.0.0.0:22"), state: tcpListen, inode: 100}
	web := socket{protocol: "tcp", local: netip.MustParseAddrPort("0.0.0.0:80"), state: tcpListen, inode: 101}
	s := newPorts(h)
	asked := 0
	answer, refuse := []socket{ssh}, errDiag
	s.ask = func() ([]socket, error) { asked++; return answer, refuse }
	c := &stepping{t, noon}
	c.tells(s, 0, "")
	c.tells(s, time.Minute, "")
	if asked != 1 || len(s.before) != 1 {
		t.Errorf("asked %d times, %d ports are known", asked, len(s.before))
	}
	answer, refuse = []socket{ssh, web}, nil
	c.tells(s, portsAskAgain, "A program that the agent may not see listens on tcp 0.0.0.0:80.")
	c.tells(s, time.Minute, "")
	if asked != 3 {
		t.Errorf("asked %d times, want it to go on being asked", asked)
	}
}

// A port that somebody else has taken over between two readings is told, and names who it was.
func TestPortsTakenOver(t *testing.T) {
	h := copyFixture(t)
	listen := func(inodes ...int) {
		lines := socketsHead
		for _, i := range inodes {
			lines += socketLine("00000000:0050", "00000000:0000", "0A", 33, i)
		}
		write(t, h.proc("net/tcp"), lines)
	}
	listen(101)
	withOpenFile(t, h, "10", "3", "socket:[101]")
	withOpenFile(t, h, "10", "4", "socket:[102]")
	withOpenFile(t, h, "11", "3", "socket:[103]")
	withOpenFile(t, h, "11", "4", "socket:[104]")
	s := newPorts(h)
	c := &stepping{t, noon}
	c.tells(s, 0, "")
	listen(102)
	c.tells(s, 15*time.Second, "") // the same process, with a new socket
	listen(104, 103)
	c.tells(s, 15*time.Second, "prog10 (process 10) no longer listens on tcp 0.0.0.0:80.; prog11 (process 11) listens on tcp 0.0.0.0:80.")
	listen(103, 104, 105)
	c.tells(s, 15*time.Second, "") // one more of several that share the port
	listen(105)
	c.tells(s, 15*time.Second, "") // it was handed on to a process that may not be seen
	listen()
	c.tells(s, 2*time.Minute, "prog11 (process 11) no longer listens on tcp 0.0.0.0:80.")
}

func FuzzParseDiag(f *testing.F) {
	message := make([]byte, 16+diagMessageBytes)
	message[0], message[4], message[16], message[17] = byte(len(message)), sockDiagByFamily, 2, tcpListen
	f.Add(message)
	f.Add([]byte{16, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		all, _, err := parseDiag(b, "tcp")
		for _, s := range all {
			if err == nil && !s.local.IsValid() {
				t.Errorf("%+v", s)
			}
		}
	})
}

// A host that is flooded with connections is the one whose sockets are wanted.
func TestSocketsBundleOfVeryMany(t *testing.T) {
	h := copyFixture(t)
	const many = 130_000
	var b strings.Builder
	b.WriteString(socketsHead)
	for i := range many {
		// As the kernel pads its lines: 150 bytes each.
		fmt.Fprintf(&b, "%-149s\n", strings.TrimSuffix(socketLine("0100007F:0050", fmt.Sprintf("%08X:C001", i), "01", 33, 1000+i), "\n"))
	}
	if b.Len() <= maxFile {
		t.Fatalf("%d bytes prove nothing", b.Len())
	}
	write(t, h.proc("net/tcp"), b.String())
	withOpenFile(t, h, "10", "3", "socket:[1000]")
	table, err := socketsBundle{h}.make(t.Context(), noon, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Rows) != 2 || table.Rows[0].Cells[4] != fmt.Sprint(many-1) || table.Rows[1].Cells[4] != "1" {
		t.Errorf("rows %v", table.Rows)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (socketsBundle{h}).make(ended, noon, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("when its time is up: %v", err)
	}
}

func TestSocketsBundle(t *testing.T) {
	h := copyFixture(t)
	write(t, h.proc("net/tcp"), socketsHead+socketLine("00000000:0050", "00000000:0000", "0A", 33, 100)+
		socketLine("0100007F:0050", "0200000A:C001", "01", 33, 101)+socketLine("0100007F:0050", "0200000A:C002", "08", 33, 102)+
		socketLine("0100007F:0050", "0200000A:C003", "06", 0, 0)+socketLine("0100007F:0051", "0200000A:C003", "01", 4242, 999))
	withOpenFile(t, h, "10", "3", "socket:[100]")
	withOpenFile(t, h, "10", "4", "socket:[101]")
	withOpenFile(t, h, "10", "5", "socket:[102]")
	table, err := socketsBundle{h}.make(t.Context(), noon, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range table.Rows {
		got = append(got, strings.Join(append(r.Cells[:1:1], r.Cells[2:]...), "|"))
	}
	want := []string{"10|prog10|tcp 0.0.0.0:80|1|1|0", "|unknown||1|0|0", "|unknown||0|0|1"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}
