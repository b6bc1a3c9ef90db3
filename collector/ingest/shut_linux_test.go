package ingest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// reaches says whether somebody at from gets a connection to l; who is turned away may get one or not.
func reaches(t *testing.T, l net.Listener, from string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return reachesWithin(ctx, l, from)
}

func reachesWithin(ctx context.Context, l net.Listener, from string) bool {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// dropperOf skips the test where the kernel lets only others drop, or fails it where nothing may be skipped.
func dropperOf(t *testing.T, l net.Listener) func([]netip.Addr) error {
	t.Helper()
	drop, err := dropper(l)
	if errors.Is(err, unix.EPERM) && os.Getenv("WATCHBILL_REQUIRE_PEERS") != "1" {
		t.Skipf("not seen on this machine: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return drop
}

// TestTheKernelIsNotLetDrop: the log says why and what it means.
func TestTheKernelIsNotLetDrop(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // so that it takes no filter
	w := newWorld(t, nil)
	if g := w.ingest.gate(l); g.shutters.shut(netip.MustParseAddr("192.0.2.1"), time.Now()) {
		t.Error("it says that it shut somebody out")
	}
	if said := w.log.String(); !strings.Contains(said, "packet filter") || !strings.Contains(said, "costs more") {
		t.Errorf("the log says %s", said)
	}
}

// TestTheKernelDrops: what comes from an address that is shut out, and nothing else; a connection that stands goes on.
func TestTheKernelDrops(t *testing.T) {
	for _, tt := range []struct{ name, listen, out, other string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.2", "127.0.0.3"},
		{"IPv6", "[::1]:0", "::1", ""},
		{"IPv4 on a listener for both", "[::]:0", "127.0.0.2", "127.0.0.3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Listen(t.Context(), tt.listen)
			if err != nil {
				t.Skipf("this machine has no %s: %v", tt.listen, err)
			}
			defer l.Close()
			if tt.name == "IPv4 on a listener for both" {
				l = at{l, "127.0.0.1"}
			}
			inner := l
			if a, ok := l.(at); ok {
				inner = a.Listener
			}
			drop := dropperOf(t, inner)
			stands, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(tt.out)}}).Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer stands.Close()
			end, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer end.Close()

			out := addressOf(&net.TCPAddr{IP: net.ParseIP(tt.out)})
			all := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::"), out, netip.MustParseAddr("2001:db8:1::")}
			if err := drop(all); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if reachesWithin(ctx, l, tt.out) {
				t.Error("who is shut out comes in")
			}
			if tt.other != "" && !reaches(t, l, tt.other) {
				t.Error("another one does not come in")
			}
			if _, err := stands.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			if n, err := end.Read(make([]byte, 1)); n != 1 {
				t.Errorf("a connection that stands: %v", err)
			}
			for range 2 { // to open what is open is no error
				if err := drop(nil); err != nil {
					t.Error(err)
				}
			}
			if !reaches(t, l, tt.out) {
				t.Error("it is not let in again")
			}
		})
	}
}

// at is a listener on all addresses, as one of them is dialled.
type at struct {
	net.Listener
	host string
}

func (a at) Addr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(a.host), Port: a.Listener.Addr().(*net.TCPAddr).Port}
}

// TestGateShutsOut: an address that keeps coming does not get as far as the door any more, and another one does.
func TestGateShutsOut(t *testing.T) {
	inner, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dropperOf(t, inner)
	turned := make(chan string, 10*refusedAtOnce)
	g := newGate(inner, Door{Handshakes: 16}, func(reason string) { turned <- reason }) // one from each address
	in := accepts(g)
	defer func() {
		_ = g.Close()
		for c := range in {
			_ = c.Close()
		}
	}()
	if !reaches(t, inner, "127.0.0.2") {
		t.Fatal("the first is not let in")
	}
	flooder := <-in
	defer flooder.Close()
	g.mu.Lock()
	refused := g.addresses[netip.MustParseAddr("127.0.0.2")].refused
	refused.SetLimit(0) // however slowly this machine knocks
	refused.SetBurst(5)
	g.mu.Unlock()
	for range 5 {
		reaches(t, inner, "127.0.0.2") // and is turned away
	}
	for range 5 {
		if reason := <-turned; reason != turnedAddress {
			t.Errorf("turned away for %q", reason)
		}
	}
	reaches(t, inner, "127.0.0.2")
	if first, second := <-turned, <-turned; first != turnedAddress || second != turnedFlood {
		t.Errorf("%s, then %s", first, second)
	}
	if !reaches(t, inner, "127.0.0.3") {
		t.Error("another one does not come in")
	}
	(<-in).Close()
	select {
	case reason := <-turned:
		t.Errorf("turned away for %q while it is shut out", reason)
	default:
	}
	reaches(t, inner, "127.0.0.2") // its kernel knocks again a second later, and then it is turned away as before
	if reason := <-turned; reason != turnedAddress {
		t.Errorf("turned away for %q", reason)
	}
}
