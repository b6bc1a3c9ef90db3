package sample

import (
	"bytes"
	"cmp"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// diskInfoEvery is how often what udev knows of a disk is looked up again: it knows a disk better some seconds after it
// came than at once, and hardly anything changes then.
const diskInfoEvery = 10 * time.Minute

// diskInfo makes node_disk_info: what udev keeps of a block device in /run/udev/data/bMAJOR:MINOR.
type diskInfo struct {
	host
	made map[string]*diskFacts
}

type diskFacts struct {
	major, minor string
	read         time.Time
	used         bool
	sample       wire.Sample
}

func newDiskInfo(h host) *diskInfo { return &diskInfo{h, map[string]*diskFacts{}} }

// of is the sample of one device. Without udev it has the device's numbers only, and whether it turns.
func (i *diskInfo) of(now time.Time, major, minor, device []byte) wire.Sample {
	f := i.made[string(device)]
	if f == nil || f.major != string(major) || f.minor != string(minor) || now.Sub(f.read).Abs() >= diskInfoEvery {
		f = &diskFacts{major: string(major), minor: string(minor), read: now}
		f.sample = i.look(f, string(device))
		i.made[string(device)] = f
	}
	f.used = true
	return f.sample
}

func (i *diskInfo) look(f *diskFacts, device string) wire.Sample {
	udev := map[string]string{}
	content, err := slurp(i.root("run/udev/data", "b"+f.major+":"+f.minor), nil)
	for err == nil && len(content) > 0 {
		var l []byte
		l, content = line(content)
		// A property of the device: E:ID_MODEL=disk
		if key, value, ok := bytes.Cut(bytes.TrimPrefix(l, []byte("E:")), []byte("=")); ok && bytes.HasPrefix(l, []byte("E:")) {
			udev[string(key)] = string(value)
		}
	}
	// The last is what virtual disks have.
	serial := cmp.Or(udev["SCSI_IDENT_SERIAL"], udev["ID_SERIAL_SHORT"], udev["ID_SERIAL"])
	rotational, err := sysText(i.sys("block", device, "queue/rotational"))
	if err != nil || rotational == "" { // a partition, or a device that went away
		rotational = "0"
	}
	return sample("node_disk_info", 1, "device", device, "major", f.major, "minor", f.minor, "path", udev["ID_PATH"],
		"wwn", udev["ID_WWN"], "model", udev["ID_MODEL"], "serial", serial, "revision", udev["ID_REVISION"],
		"rotational", rotational)
}

// sweep forgets devices that were not asked for since the last sweep.
func (i *diskInfo) sweep() {
	for device, f := range i.made {
		if !f.used {
			delete(i.made, device)
		}
		f.used = false
	}
}
