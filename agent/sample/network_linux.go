package sample

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/watchbill/watchbill/agent/wire"
)

// netdevSampler counts what passed network devices: /proc/net/dev.
type netdevSampler struct {
	host
	ignored func(device string) bool
}

// Read fails when the file cannot be read.
func (s netdevSampler) Read(context.Context, time.Time) (Reading, error) {
	pfs, err := procfs.NewFS(s.path.Procfs)
	if err != nil {
		return Reading{}, err
	}
	devs, err := pfs.NetDev()
	if err != nil {
		return Reading{}, fmt.Errorf("read %s: %w", s.proc("net/dev"), err)
	}
	var out []wire.Sample
	for _, name := range slices.Sorted(maps.Keys(devs)) {
		if !s.ignored(name) {
			out = append(out, netdevSamples(devs[name])...)
		}
	}
	return Reading{Samples: out}, nil
}

func netdevSamples(d procfs.NetDevLine) []wire.Sample {
	values := []struct {
		name  string
		value uint64
	}{
		{"receive_bytes", d.RxBytes},
		{"receive_packets", d.RxPackets},
		{"receive_errs", d.RxErrors},
		{"receive_drop", d.RxDropped},
		{"receive_fifo", d.RxFIFO},
		{"receive_frame", d.RxFrame},
		{"receive_compressed", d.RxCompressed},
		{"receive_multicast", d.RxMulticast},
		{"transmit_bytes", d.TxBytes},
		{"transmit_packets", d.TxPackets},
		{"transmit_errs", d.TxErrors},
		{"transmit_drop", d.TxDropped},
		{"transmit_fifo", d.TxFIFO},
		{"transmit_colls", d.TxCollisions},
		{"transmit_carrier", d.TxCarrier},
		{"transmit_compressed", d.TxCompressed},
	}
	out := make([]wire.Sample, len(values))
	for i, v := range values {
		out[i] = sample("node_network_"+v.name+"_total", float64(v.value), "device", d.Name)
	}
	return out
}

// netclassSampler tells which network devices are up: /sys/class/net/*/operstate.
type netclassSampler struct {
	host
	ignored func(device string) bool
}

// Read fails when the devices cannot be listed. A device that goes away while it looks is left out.
func (s netclassSampler) Read(context.Context, time.Time) (Reading, error) {
	dir := s.sys("class/net")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Reading{}, fmt.Errorf("list network devices: %w", err)
	}
	var out []wire.Sample
	for _, e := range entries {
		// bonding_masters is a file among the devices.
		if e.Type().IsRegular() || s.ignored(e.Name()) {
			continue
		}
		state, err := read(s.sys("class/net", e.Name(), "operstate"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Reading{}, fmt.Errorf("state of network device %s: %w", e.Name(), err)
		}
		out = append(out, sample("node_network_up", b2f(strings.TrimSpace(state) == "up"), "device", e.Name()))
	}
	return Reading{Samples: out}, nil
}
