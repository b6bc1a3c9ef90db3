package collector

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inNamespace runs test on a thread of its own in a network namespace of its own, where ping_group_range is groups and this
// thread has CAP_NET_RAW or not. The thread ends with the test, and the namespace with it.
func inNamespace(t *testing.T, groups string, raw bool, test func(t *testing.T)) {
	t.Helper()
	need := func(what string, err error) {
		if err == nil {
			return
		}
		if os.Getenv("WATCHBILL_REQUIRE_PEERS") == "1" {
			t.Errorf("required by WATCHBILL_REQUIRE_PEERS: %s: %v", what, err)
		} else {
			t.Skipf("%s: %v; this test makes network namespaces and so runs as root", what, err)
		}
		runtime.Goexit()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: what is done to this thread ends with it
		need("make a network namespace", unix.Unshare(unix.CLONE_NEWNET))
		for _, args := range [][]string{
			{"link", "set", "lo", "up"}, {"link", "add", "near", "type", "veth", "peer", "name", "far"}, {"addr", "add", "10.99.0.1/24", "dev", "near"},
			{"addr", "add", "fd99::1/64", "dev", "near", "nodad"}, {"link", "set", "near", "up"}, {"link", "set", "far", "up"},
		} {
			out, err := exec.Command("ip", args...).CombinedOutput()
			if err != nil {
				t.Logf("ip %s: %s", strings.Join(args, " "), out)
			}
			need("set up a network namespace (ip, of iproute2)", err)
		}
		need("say who may ping", os.WriteFile(groupRange, []byte(groups), 0))
		if !raw {
			need("give up CAP_NET_RAW", dropNetRaw())
		}
		test(t)
	}()
	<-done
}

// dropNetRaw takes CAP_NET_RAW from this thread.
func dropNetRaw() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&head, &sets[0]); err != nil {
		return err
	}
	for _, set := range []*uint32{&sets[0].Effective, &sets[0].Permitted, &sets[0].Inheritable} {
		*set &^= 1 << unix.CAP_NET_RAW
	}
	return unix.Capset(&head, &sets[0])
}

const (
	noGroup  = "1 0"
	everyone = "0 2147483647"
)

// With the one right or the other a host is pinged, over both versions of IP.
func TestPingWhereItIsAllowed(t *testing.T) {
	for name, tc := range map[string]struct {
		groups string
		raw    bool
	}{
		"unprivileged": {everyone, false}, "privileged": {noGroup, true}, "both": {everyone, true},
	} {
		t.Run(name, func(t *testing.T) {
			inNamespace(t, tc.groups, tc.raw, func(t *testing.T) {
				for _, to := range []string{"127.0.0.1", "::1", "10.99.0.1", "fd99::1"} {
					e, err := pingOf(t, to, 20*time.Second) // it ends with the third answer
					if err != nil || e.sent != 3 || e.answered != 3 || e.fastest <= 0 || e.fastest > time.Second {
						t.Errorf("%s: %+v, %v; want three answers", to, e, err)
					}
				}
			})
		})
	}
}

// A host that is not there is no error: nobody answers. Where there is no route, that is said.
func TestPingWhereNobodyAnswers(t *testing.T) {
	for name, raw := range map[string]bool{"unprivileged": false, "privileged": true} {
		t.Run(name, func(t *testing.T) {
			groups := everyone
			if raw {
				groups = noGroup
			}
			inNamespace(t, groups, raw, func(t *testing.T) {
				// Nobody is at the far end of the line; after three seconds the kernel would say so.
				for _, to := range []string{"10.99.0.2", "fd99::2"} {
					if e, err := pingOf(t, to, 2*time.Second); err != nil || e.sent != 3 || e.answered != 0 {
						t.Errorf("%s: %+v, %v; want no answer of three", to, e, err)
					}
				}
				for _, to := range []string{"203.0.113.9", "2001:db8::9"} {
					if e, err := pingOf(t, to, 2*time.Second); err == nil || !strings.Contains(err.Error(), "the collector has no route to "+to) {
						t.Errorf("%s: %+v, %v; want that there is no route", to, e, err)
					}
				}
			})
		})
	}
}

// Where neither right is there, the error says which they are and how to give them.
func TestPingWhereItIsDenied(t *testing.T) {
	inNamespace(t, noGroup, false, func(t *testing.T) {
		for _, to := range []string{"127.0.0.1", "::1"} {
			e, err := pingOf(t, to, 2*time.Second)
			if err == nil || e.sent != 0 {
				t.Fatalf("%s: %+v, want it denied", to, e)
			}
			for _, part := range []string{`net.ipv4.ping_group_range is "1 0"`, "lacks CAP_NET_RAW", "AmbientCapabilities=CAP_NET_RAW"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s: %v\ndoes not say %q", to, err, part)
				}
			}
		}
	})
}

// Nobody waits longer than they say.
func TestPingEndsWithItsContext(t *testing.T) {
	inNamespace(t, everyone, false, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if e, err := (icmpPinger{}).Ping(ctx, netip.MustParseAddr("10.99.0.2"), 1000); err != nil || e.sent > 2 {
			t.Errorf("%+v, %v; want that it ends at once", e, err)
		}
	})
}

func pingOf(t *testing.T, to string, within time.Duration) (echoes, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return icmpPinger{}.Ping(ctx, netip.MustParseAddr(to), 3)
}
