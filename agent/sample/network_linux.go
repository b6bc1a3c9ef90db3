package sample

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// netdevSampler counts what passed network devices: /proc/net/dev.
type netdevSampler struct {
	host
	file    *kept
	ignored *choice
	labels  *labels
	// chosen are the devices reported when there are too many, nil when all are.
	chosen map[string]bool
	count  int
}

// netdevFields are the columns of /proc/net/dev.
var netdevFields = [...]string{
	"node_network_receive_bytes_total", "node_network_receive_packets_total", "node_network_receive_errs_total",
	"node_network_receive_drop_total", "node_network_receive_fifo_total", "node_network_receive_frame_total",
	"node_network_receive_compressed_total", "node_network_receive_multicast_total", "node_network_transmit_bytes_total",
	"node_network_transmit_packets_total", "node_network_transmit_errs_total", "node_network_transmit_drop_total",
	"node_network_transmit_fifo_total", "node_network_transmit_colls_total", "node_network_transmit_carrier_total",
	"node_network_transmit_compressed_total",
}

func newNetdev(h host, c NetdevConfig) *netdevSampler {
	return &netdevSampler{
		host: h, file: keep(h.proc("net/dev")), ignored: newChoice(outside(c.DeviceExclude, c.DeviceInclude)), labels: newLabels("device"),
	}
}

// Read fails when the file cannot be read or a line has not its sixteen numbers.
func (s *netdevSampler) Read(context.Context, time.Time) (Reading, error) {
	content, err := s.file.read()
	if err != nil {
		return Reading{}, err
	}
	for range 2 { // the head
		_, content = line(content)
	}
	s.choose(content)
	out := make([]wire.Sample, 0, len(netdevFields)*min(s.count, maxNetdevs)+1)
	for len(content) > 0 {
		var l []byte
		l, content = line(content)
		device, rest, err := s.split(l)
		if err != nil {
			return Reading{}, err
		}
		if s.ignored.of(device) || s.chosen != nil && !s.chosen[string(device)] {
			continue
		}
		labels := s.labels.of(device)
		for _, name := range netdevFields {
			var w []byte
			w, rest = word(rest)
			v, err := whole(s.file.path, name, w)
			if err != nil {
				return Reading{}, err
			}
			out = append(out, wire.Sample{Name: name, Labels: labels, Value: v})
		}
	}
	s.labels.sweep()
	return Reading{Samples: append(out, leftOut("netdev", max(0, s.count-maxNetdevs)))}, nil
}

// split parts the device's name from its numbers. A name may hold a colon, the numbers do not.
func (s *netdevSampler) split(l []byte) (device, rest []byte, err error) {
	i := bytes.LastIndexByte(l, ':')
	if i < 0 {
		return nil, nil, fmt.Errorf("%s: want a line of a device and numbers, got %q", s.file.path, short(l))
	}
	device, _ = word(l[:i])
	return device, l[i+1:], nil
}

// choose counts the devices and, where there are too many, says which are reported.
func (s *netdevSampler) choose(content []byte) {
	s.count, s.chosen = 0, nil
	s.each(content, func([]byte) { s.count++ })
	if s.count <= maxNetdevs {
		return
	}
	var all []string
	s.each(content, func(device []byte) { all = append(all, string(device)) })
	s.chosen = make(map[string]bool, maxNetdevs)
	for _, d := range s.devices(all, maxNetdevs) {
		s.chosen[d] = true
	}
}

// each calls f with every device that is not ignored.
func (s *netdevSampler) each(content []byte, f func(device []byte)) {
	for len(content) > 0 {
		var l []byte
		l, content = line(content)
		if device, _, err := s.split(l); err == nil && !s.ignored.of(device) {
			f(device)
		}
	}
}
