package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
)

// errRemote: a target that is not on this machine.
var errRemote = errors.New("target is on another machine")

// onLoopback refuses an address, host:port, that is not this machine's own for sure.
func onLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q is not host:port: %w", address, err)
	}
	if host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() {
		return nil
	}
	return fmt.Errorf("%w: %s is not a loopback address; a simulated fleet is a load and, with hostile agents, an attack: "+
		"add --allow-remote if that collector is yours and nobody works with it", errRemote, address)
}

// Source addresses: a collector tells hosts apart by them, and each has its own ephemeral ports.
const (
	agentsPerSource = 100
	maxSources      = 1000
)

// sources are n addresses on loopback to come from: 127.0.1.1 and on. Empty, which leaves it to the system, where the
// collector is not reached over IPv4 loopback or the system has but one such address.
func sources(n int, collector string) []net.Addr {
	host, _, _ := net.SplitHostPort(collector)
	ip, err := netip.ParseAddr(host)
	if host == "localhost" || runtime.GOOS == "darwin" || err != nil || !ip.Is4() || !ip.IsLoopback() {
		return nil
	}
	all := make([]net.Addr, n)
	for i := range all {
		all[i] = &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+i/250), byte(1+i%250))}
	}
	return all
}
