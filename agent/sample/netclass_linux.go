package sample

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

// netclassEvery is how often everything about a device is read; whether it is up, and how often its wire came and went,
// is read every time, and when that changed so is the rest. Some drivers ask the hardware for its speed.
const netclassEvery = time.Minute

// netclassSampler tells of network devices' state: /sys/class/net.
// Files: https://www.kernel.org/doc/Documentation/ABI/testing/sysfs-class-net
type netclassSampler struct {
	host
	ignored func(device string) bool
	made    map[string]*netDevice
}

// netDevice is what was read of a device, and what told that it is still so.
type netDevice struct {
	labels  []wire.Label
	samples []wire.Sample
	// state and changes are its files operstate and carrier_changes.
	state, changes []byte
	read           time.Time
}

// netclassFiles hold a number each, decimal or with 0x.
var netclassFiles = [...]struct{ file, name string }{
	{"addr_assign_type", "node_network_address_assign_type"},
	{"carrier", "node_network_carrier"}, // cannot be read of a device that is down
	{"carrier_changes", "node_network_carrier_changes_total"},
	{"carrier_up_count", "node_network_carrier_up_changes_total"},
	{"carrier_down_count", "node_network_carrier_down_changes_total"},
	{"dev_id", "node_network_device_id"},
	{"dormant", "node_network_dormant"},
	{"flags", "node_network_flags"},
	{"ifindex", "node_network_iface_id"},
	{"iflink", "node_network_iface_link"},
	{"link_mode", "node_network_iface_link_mode"},
	{"mtu", "node_network_mtu_bytes"},
	{"name_assign_type", "node_network_name_assign_type"},
	{"netdev_group", "node_network_net_dev_group"},
	{"tx_queue_len", "node_network_transmit_queue_length"},
	{"type", "node_network_protocol_type"},
}

func newNetclass(h host, c NetclassConfig) *netclassSampler {
	return &netclassSampler{host: h, ignored: exclude(c.IgnoredDevices), made: map[string]*netDevice{}}
}

// Read fails when the devices cannot be listed. A device that goes away while it looks is left out.
func (s *netclassSampler) Read(_ context.Context, now time.Time) (Reading, error) {
	entries, err := os.ReadDir(s.sys("class/net"))
	if err != nil {
		return Reading{}, fmt.Errorf("list network devices: %w", err)
	}
	var all []string
	for _, e := range entries {
		// bonding_masters is a file among the devices.
		if !e.Type().IsRegular() && !s.ignored(e.Name()) {
			all = append(all, e.Name())
		}
	}
	chosen := s.devices(all, maxNetdevs)
	made := make(map[string]*netDevice, len(chosen))
	out := make([]wire.Sample, 0, (len(netclassFiles)+3)*len(chosen)+1)
	for _, name := range chosen {
		d, err := s.device(name, now)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Reading{}, fmt.Errorf("state of network device %s: %w", name, err)
		}
		made[name] = d
		out = append(out, d.samples...)
	}
	s.made = made
	return Reading{Samples: append(out, leftOut("netclass", len(all)-len(chosen)))}, nil
}

// device reads what must be read of one device.
func (s *netclassSampler) device(name string, now time.Time) (*netDevice, error) {
	dir := s.sys("class/net", name) + "/"
	var a, b [64]byte
	state, err := slurp(dir+"operstate", a[:])
	if err != nil {
		return nil, err
	}
	changes, err := slurp(dir+"carrier_changes", b[:])
	if err != nil && !absent(err) { // from kernel 3.15
		return nil, err
	}
	d := s.made[name]
	if d != nil && bytes.Equal(d.state, state) && bytes.Equal(d.changes, changes) && now.Sub(d.read).Abs() < netclassEvery {
		return d, nil
	}
	fresh := &netDevice{state: bytes.Clone(state), changes: bytes.Clone(changes), read: now}
	if d != nil {
		fresh.labels = d.labels
	} else {
		fresh.labels = []wire.Label{{Name: "device", Value: labelValue(name)}}
	}
	return fresh, fresh.look(dir, name)
}

// look reads all files of a device.
func (d *netDevice) look(dir, name string) error {
	up := bytes.Equal(bytes.TrimSpace(d.state), []byte("up"))
	d.samples = append(d.samples, wire.Sample{Name: "node_network_up", Labels: d.labels, Value: b2f(up)})
	for _, f := range netclassFiles {
		text, err := sysText(dir + f.file)
		if err != nil {
			return err
		}
		v, err := strconv.ParseInt(text, 0, 64)
		if err != nil { // nothing there, or this driver does not tell
			continue
		}
		d.samples = append(d.samples, wire.Sample{Name: f.name, Labels: d.labels, Value: float64(v)})
	}
	info, err := d.info(dir, name)
	if err != nil {
		return err
	}
	d.samples = append(d.samples, info)
	speed, err := sysText(dir + "speed")
	if err != nil {
		return err
	}
	// Megabits; -1 or its unsigned twin where there is no wire or no speed.
	if v, err := strconv.ParseInt(speed, 10, 32); err == nil && v >= 0 {
		d.samples = append(d.samples, wire.Sample{Name: "node_network_speed_bytes", Labels: d.labels, Value: float64(v) * 1e6 / 8})
	}
	return nil
}

// info is what a device has to say that is no number.
func (d *netDevice) info(dir, name string) (wire.Sample, error) {
	flags, err := sysText(dir + "flags")
	if err != nil {
		return wire.Sample{}, err
	}
	labels := []string{"device", name, "operstate", string(bytes.TrimSpace(d.state)), "adminstate", adminState(flags)}
	for _, f := range []string{"address", "broadcast", "duplex", "ifalias"} {
		text, err := sysText(dir + f)
		if err != nil {
			return wire.Sample{}, err
		}
		labels = append(labels, f, text)
	}
	return sample("node_network_info", 1, labels...), nil
}

// adminState is whether a device was switched on, whatever its wire says: the flag IFF_UP of netdevice(7).
func adminState(flags string) string {
	v, err := strconv.ParseInt(flags, 0, 64)
	switch {
	case err != nil:
		return "unknown"
	case v&unix.IFF_UP != 0:
		return "up"
	}
	return "down"
}

// sysText is the content of a file of /sys without the blanks around it, empty where there is nothing to read.
func sysText(path string) (string, error) {
	var buf [256]byte
	content, err := slurp(path, buf[:])
	if absent(err) {
		return "", nil
	}
	return strings.TrimSpace(string(content)), err
}
