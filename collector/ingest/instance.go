package ingest

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
)

// This file is how `instance` is read, in alerts of the feed as in series of remote write, so that both are about one asset:
// the one that the fleet declares by that name, by its host alone or by that in small letters; else the host is the asset.

// instanceAsset is the asset of the fleet that an instance names; one that the fleet does not declare has the host as its name.
func instanceAsset(instance string, of func(name string) (fleet.Asset, bool)) (a fleet.Asset, declared bool) {
	host := bare(instance)
	for _, name := range slices.Compact([]string{instance, host, strings.ToLower(host)}) {
		if a, ok := of(name); name != "" && ok {
			return a, true
		}
	}
	return fleet.Asset{Name: host}, false
}

// bare is an address without its port, and the host alone of a URL. What only looks like an address stays as it is.
func bare(s string) string {
	if isURL(s) {
		if u, err := url.Parse(s); err == nil && u.Hostname() != "" {
			return u.Hostname()
		}
		return s
	}
	host, port, err := net.SplitHostPort(s)
	if _, no := strconv.ParseUint(port, 10, 16); err != nil || no != nil || host == "" {
		return s
	}
	return host
}

func isURL(s string) bool { return strings.Contains(s, "://") }
