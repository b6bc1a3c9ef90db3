package sample

import (
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

// factsEvery is how often what hardly ever changes is looked at.
const factsEvery = time.Minute

// unameSampler tells which kernel runs: uname(2).
type unameSampler struct{}

// Read fails only when the system call does.
func (unameSampler) Read(context.Context, time.Time) (Reading, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Reading{}, fmt.Errorf("uname: %w", err)
	}
	s := unix.ByteSliceToString
	return Reading{Samples: []wire.Sample{sample("node_uname_info", 1,
		"sysname", s(u.Sysname[:]), "release", s(u.Release[:]), "version", s(u.Version[:]), "machine", s(u.Machine[:]),
		"nodename", s(u.Nodename[:]), "domainname", s(u.Domainname[:]))}}, nil
}

// osSampler tells which distribution this is: os-release(5).
type osSampler struct{ host }

// Read fails when the file is there and cannot be read. A host without it has no samples.
func (s osSampler) Read(context.Context, time.Time) (Reading, error) {
	r, err := s.osRelease()
	if errors.Is(err, fs.ErrNotExist) {
		return Reading{}, nil
	}
	if err != nil {
		return Reading{}, err
	}
	var info []string
	for _, key := range []string{
		"BUILD_ID", "ID", "ID_LIKE", "IMAGE_ID", "IMAGE_VERSION", "NAME", "PRETTY_NAME", "VARIANT", "VARIANT_ID", "VERSION",
		"VERSION_CODENAME", "VERSION_ID",
	} {
		info = append(info, strings.ToLower(key), r[key])
	}
	out := []wire.Sample{sample("node_os_info", 1, info...)}
	if v := majorMinor(r["VERSION_ID"]); v > 0 {
		out = append(out, sample("node_os_version", v, "id", r["ID"], "id_like", r["ID_LIKE"], "name", r["NAME"]))
	}
	if end, err := time.Parse(time.DateOnly, r["SUPPORT_END"]); err == nil {
		out = append(out, sample("node_os_support_end_timestamp_seconds", float64(end.Unix())))
	}
	return Reading{Samples: out}, nil
}

// majorMinor is the number that a version begins with: 22.04 of 22.04.1; 0 when there is none.
func majorMinor(version string) float64 {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	if v, err := strconv.ParseFloat(major+"."+minor, 64); err == nil {
		return v
	}
	v, err := strconv.ParseFloat(major, 64)
	if err != nil {
		return 0
	}
	return v
}

// osRelease reads os-release(5): lines of KEY=value, a value perhaps in quotes, in which a backslash goes before
// characters that mean something to a shell.
func (h host) osRelease() (map[string]string, error) {
	content, err := read(h.root("etc/os-release"))
	if errors.Is(err, fs.ErrNotExist) {
		content, err = read(h.root("usr/lib/os-release"))
	}
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for l := range strings.Lines(content) {
		key, v, ok := strings.Cut(strings.TrimSpace(l), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		if n := len(v); n >= 2 && v[0] == v[n-1] && (v[0] == '"' || v[0] == '\'') {
			quote := v[0]
			v = v[1 : n-1]
			if quote == '"' {
				v = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, `$`, "\\`", "`").Replace(v)
			}
		}
		out[key] = v
	}
	return out, nil
}

// dmiSampler tells what the firmware says of the machine: /sys/class/dmi/id. Serial numbers are for root only.
type dmiSampler struct{ host }

// Read never fails: what cannot be read is not told. Machines without such firmware have no samples.
func (s dmiSampler) Read(context.Context, time.Time) (Reading, error) {
	var info []string
	for _, file := range []string{
		"bios_date", "bios_release", "bios_vendor", "bios_version", "board_asset_tag", "board_name", "board_serial",
		"board_vendor", "board_version", "chassis_asset_tag", "chassis_serial", "chassis_vendor", "chassis_version",
		"product_family", "product_name", "product_serial", "product_sku", "product_uuid", "product_version", "sys_vendor",
	} {
		text, err := sysText(s.sys("class/dmi/id", file))
		if err != nil {
			continue // for root only
		}
		info = append(info, strings.Replace(file, "sys_vendor", "system_vendor", 1), text)
	}
	if strings.Join(values(info), "") == "" {
		return Reading{}, nil
	}
	return Reading{Samples: []wire.Sample{sample("node_dmi_info", 1, info...)}}, nil
}

// values is every second of pairs.
func values(pairs []string) []string {
	var out []string
	for i := 1; i < len(pairs); i += 2 {
		out = append(out, pairs[i])
	}
	return out
}

// selinuxSampler tells whether SELinux is on and enforces: /sys/fs/selinux, /etc/selinux/config.
type selinuxSampler struct{ host }

// Read fails when the mode cannot be read.
func (s selinuxSampler) Read(context.Context, time.Time) (Reading, error) {
	current, on, err := value(s.sys("fs/selinux/enforce"))
	if err != nil {
		return Reading{}, err
	}
	out := []wire.Sample{sample("node_selinux_enabled", b2f(on))}
	if !on {
		return Reading{Samples: out}, nil
	}
	configured := -1.0 // disabled, or not said
	for l := range strings.Lines(s.text("etc/selinux/config")) {
		if mode, ok := strings.CutPrefix(strings.TrimSpace(l), "SELINUX="); ok {
			configured = map[string]float64{"enforcing": 1, "permissive": 0, "disabled": -1}[strings.ToLower(mode)]
		}
	}
	return Reading{Samples: append(out,
		sample("node_selinux_config_mode", configured), sample("node_selinux_current_mode", current))}, nil
}

// clocksourceSampler tells which clock the kernel counts by: a slow one taken for a bad one is a fault that shows nowhere
// else. /sys/devices/system/clocksource
type clocksourceSampler struct{ host }

// Read fails when a file cannot be read.
func (s clocksourceSampler) Read(context.Context, time.Time) (Reading, error) {
	dir := s.sys("devices/system/clocksource")
	devices, err := numbered(dir, "clocksource")
	if errors.Is(err, os.ErrNotExist) {
		return Reading{}, nil
	}
	if err != nil {
		return Reading{}, fmt.Errorf("list clock sources: %w", err)
	}
	var out []wire.Sample
	for _, d := range devices[:min(len(devices), 4)] { // there has never been a second
		for _, f := range []struct{ file, name string }{
			{"available_clocksource", "node_time_clocksource_available_info"},
			{"current_clocksource", "node_time_clocksource_current_info"},
		} {
			text, err := sysText(dir + "/clocksource" + d + "/" + f.file)
			if err != nil {
				return Reading{}, err
			}
			for _, source := range strings.Fields(text) {
				out = append(out, sample(f.name, 1, "device", d, "clocksource", source))
			}
		}
	}
	return Reading{Samples: out}, nil
}
