package ingest

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestShutters: who is shut out is for a second, whoever else is; no more than so many are, and a kernel that cannot do
// it is not asked again.
func TestShutters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out []netip.Addr
		var fail error
		asked := 0
		s := shutters{until: map[netip.Addr]time.Time{}, drop: func(all []netip.Addr) error {
			asked++
			out = slices.Clone(all)
			return fail
		}}
		at := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, n}) }
		shut := func(n byte, want bool) {
			t.Helper()
			if got := s.shut(at(n), time.Now()); got != want {
				t.Errorf("shut %d: %t", n, got)
			}
		}
		are := func(want ...netip.Addr) {
			t.Helper()
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			slices.SortFunc(out, netip.Addr.Compare)
			if !slices.Equal(out, want) {
				t.Errorf("out are %v, want %v", out, want)
			}
		}
		shut(1, true)
		shut(1, false)
		time.Sleep(shutFor / 2)
		shut(2, true)
		are(at(1), at(2))
		told := func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			return asked
		}
		if n := told(); n != 2 {
			t.Errorf("the kernel was told %d times", n)
		}
		time.Sleep(shutFor / 2)
		are(at(2))
		time.Sleep(shutFor / 2)
		are()
		if s.shut(netip.Addr{}, time.Now()) {
			t.Error("nobody is shut out")
		}
		for n := range maxShut {
			shut(byte(n), true)
		}
		shut(200, false)
		time.Sleep(shutFor)
		are()
		synctest.Wait()
		s.mu.Lock()
		fail = errors.New("operation not permitted")
		s.mu.Unlock()
		shut(1, false)
		n := told()
		shut(1, false)
		if told() != n {
			t.Error("a kernel that refuses is asked again")
		}
		s.close()
	})
}

// TestShuttersClose: nothing is left that would open again.
func TestShuttersClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		s := shutters{until: map[netip.Addr]time.Time{}, drop: func([]netip.Addr) error { told++; return nil }}
		s.shut(netip.MustParseAddr("192.0.2.1"), time.Now())
		s.close()
		time.Sleep(2 * shutFor)
		synctest.Wait()
		if told != 1 || s.shut(netip.MustParseAddr("192.0.2.2"), time.Now()) {
			t.Errorf("told %d times", told)
		}
	})
}
