package sample

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

// Inventory describes the host; what cannot be told stays empty. It fails when the boot id or boot time cannot be read,
// without which a report could not be told from one before a reboot, or when c is bad. It starts no process.
func Inventory(ctx context.Context, c Config) (*wire.Inventory, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	h := host{c.Path.withDefaults()}
	boot, err := h.bootTime()
	if err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	bootID, err := h.bootID()
	if err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	name, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	word := func(s string) string { return wire.Clean(s, wire.DefaultLimits().WordBytes) }
	inv := &wire.Inventory{
		Hostname: word(name), Os: "linux", OsVersion: word(h.osVersion()), Kernel: word(kernel()), Architecture: runtime.GOARCH,
		MachineId: word(h.text("etc/machine-id")), BootId: word(bootID), BootedAtMs: boot.UnixMilli(),
		AgentVersion: word(c.Version), Addresses: addresses(), Zone: word(h.zone()),
	}
	if r, err := newCPU(h).Read(ctx, time.Time{}); err == nil {
		for _, s := range r.Samples {
			if s.Name == "node_cpu_seconds_total" && s.Labels[1].Value == "idle" {
				inv.Cpus++
			}
		}
	}
	if r, err := newMeminfo(h).Read(ctx, time.Time{}); err == nil {
		for _, s := range r.Samples {
			if s.Name == "node_memory_MemTotal_bytes" {
				inv.MemoryBytes = uint64(s.Value)
			}
		}
	}
	return inv, nil
}

// text is the trimmed content of a small file under the root, empty when it cannot be read.
func (h host) text(name string) string {
	content, err := read(h.root(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(content)
}

// osVersion is PRETTY_NAME of os-release(5).
func (h host) osVersion() string {
	r, err := h.osRelease()
	if err != nil {
		return ""
	}
	return r["PRETTY_NAME"]
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// zone is the IANA name that /etc/localtime points at, or what /etc/timezone says, or UTC where neither exists
// (see localtime(5)); empty when it cannot be told.
func (h host) zone() string {
	target, err := os.Readlink(h.root("etc/localtime"))
	if err == nil {
		if _, name, ok := strings.Cut(filepath.ToSlash(target), "zoneinfo/"); ok {
			return name
		}
	}
	if name := h.text("etc/timezone"); name != "" {
		return name
	}
	if os.IsNotExist(err) {
		return "UTC"
	}
	return ""
}

// addresses are those by which others can reach this host, as many as a report takes.
func addresses() []string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if ok && len(out) < wire.DefaultLimits().Cells && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			out = append(out, n.IP.String())
		}
	}
	return out
}
