package sample

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// sensorsEvery is how often sensors are read: they change slowly, and some take milliseconds each to answer over a slow
// bus.
const sensorsEvery = 30 * time.Second

// numbered lists the numbers of a directory's entries of this prefix, ascending: 0 and 1 of zone0, zone1.
func numbered(dir, prefix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		id, ok := strings.CutPrefix(e.Name(), prefix)
		if _, err := strconv.ParseUint(id, 10, 32); ok && err == nil {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(len(a)-len(b), cmp.Compare(a, b)) })
	return out, nil
}

// thermalSampler tells temperatures and what cools: /sys/class/thermal.
// Files: https://docs.kernel.org/driver-api/thermal/sysfs-api.html
type thermalSampler struct{ host }

// Read fails when a file is not what it should be. A zone that does not tell its temperature is left out.
func (s thermalSampler) Read(context.Context, time.Time) (Reading, error) {
	var out []wire.Sample
	left := 0
	for _, kind := range []struct {
		prefix, id string // directory's name before its number, label for the number
		files      []struct {
			file, name string
			over       float64
		}
	}{
		{"thermal_zone", "zone", []struct {
			file, name string
			over       float64
		}{{"temp", "node_thermal_zone_temp", 1000}}},
		{"cooling_device", "name", []struct {
			file, name string
			over       float64
		}{{"cur_state", "node_cooling_device_cur_state", 1}, {"max_state", "node_cooling_device_max_state", 1}}},
	} {
		ids, err := numbered(s.sys("class/thermal"), kind.prefix)
		if errors.Is(err, fs.ErrNotExist) {
			return Reading{}, nil
		}
		if err != nil {
			return Reading{}, fmt.Errorf("list thermal zones: %w", err)
		}
		left += max(0, len(ids)-maxZones)
		for _, id := range ids[:min(len(ids), maxZones)] {
			dir := s.sys("class/thermal", kind.prefix+id) + "/"
			what, err := sysText(dir + "type")
			if err != nil {
				return Reading{}, err
			}
			for _, f := range kind.files {
				v, ok, err := value(dir + f.file)
				if err != nil {
					return Reading{}, err
				}
				if ok {
					out = append(out, sample(f.name, v/f.over, kind.id, id, "type", what))
				}
			}
		}
	}
	if left > 0 {
		out = append(out, leftOut("thermal_zone", left))
	}
	return Reading{Samples: out}, nil
}

// hwmonSampler tells of temperatures and fans: /sys/class/hwmon.
// Files: https://docs.kernel.org/hwmon/sysfs-interface.html
type hwmonSampler struct{ host }

// hwmonFiles are what is read of a sensor, with node_exporter's names and units.
var hwmonFiles = map[string]struct {
	name string
	unit float64
}{
	"temp_input":      {"node_hwmon_temp_celsius", 0.001},
	"temp_max":        {"node_hwmon_temp_max_celsius", 0.001},
	"temp_crit":       {"node_hwmon_temp_crit_celsius", 0.001},
	"temp_crit_alarm": {"node_hwmon_temp_crit_alarm_celsius", 0.001}, // an alarm in degrees: node_exporter's mistake, kept
	"temp_alarm":      {"node_hwmon_temp_alarm", 1},
	"temp_fault":      {"node_hwmon_temp_fault", 1},
	"fan_input":       {"node_hwmon_fan_rpm", 1},
	"fan_min":         {"node_hwmon_fan_min_rpm", 1},
	"fan_max":         {"node_hwmon_fan_max_rpm", 1},
	"fan_alarm":       {"node_hwmon_fan_alarm", 1},
	"fan_fault":       {"node_hwmon_fan_fault", 1},
}

// Read fails when the chips cannot be listed. A sensor that does not answer is left out.
func (s hwmonSampler) Read(ctx context.Context, _ time.Time) (Reading, error) {
	ids, err := numbered(s.sys("class/hwmon"), "hwmon")
	if errors.Is(err, fs.ErrNotExist) {
		return Reading{}, nil
	}
	if err != nil {
		return Reading{}, fmt.Errorf("list hardware monitors: %w", err)
	}
	var out []wire.Sample
	for _, m := range s.monitors(ids) {
		if ctx.Err() != nil {
			return Reading{}, fmt.Errorf("read hardware monitor %s: %w", m.chip, ctx.Err())
		}
		if m.name != "" {
			out = append(out, sample("node_hwmon_chip_names", 1, "chip", m.chip, "chip_name", m.name))
		}
		sensors, err := s.sensors(m.dir, m.chip)
		if err != nil {
			return Reading{}, err
		}
		out = append(out, sensors...)
	}
	if left := len(out) - maxSensors; left > 0 {
		out = append(out[:maxSensors:maxSensors], leftOut("hwmon", left))
	}
	return Reading{Samples: out}, nil
}

// monitor is a directory of sensors, what its chip is called and what the chip calls itself.
type monitor struct{ dir, chip, name string }

// monitors names the chips. Some devices have two monitors (one for fans, one of the firmware): these are told apart as
// node_exporter does it, by what they call themselves or else by their numbers.
func (s hwmonSampler) monitors(ids []string) []monitor {
	var out []monitor
	chips, names := map[string]int{}, map[[2]string]int{}
	for _, id := range ids {
		m := monitor{dir: s.sys("class/hwmon", "hwmon"+id)}
		var err error
		if m.chip, err = s.chip(m.dir); err != nil { // unplugged since
			continue
		}
		if name, err := sysText(m.dir + "/name"); err == nil {
			m.name = chipWord(name)
		}
		chips[m.chip]++
		names[[2]string{m.chip, m.name}]++
		out = append(out, m)
	}
	for i, m := range out {
		switch {
		case chips[m.chip] == 1:
		case m.name == "" || names[[2]string{m.chip, m.name}] > 1:
			out[i].chip += "_" + chipWord(filepath.Base(m.dir))
		default:
			out[i].chip += "_" + m.name
		}
	}
	return out
}

func (s hwmonSampler) sensors(dir, chip string) ([]wire.Sample, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list sensors of %s: %w", chip, err)
	}
	var out []wire.Sample
	for _, f := range files {
		sensor, what, ok := strings.Cut(f.Name(), "_")
		kind := strings.TrimRight(sensor, "0123456789")
		if !ok || kind == sensor {
			continue
		}
		if what == "label" && (kind == "temp" || kind == "fan") {
			if text, err := sysText(dir + "/" + f.Name()); err == nil && text != "" {
				out = append(out, sample("node_hwmon_sensor_label", 1, "chip", chip, "sensor", sensor, "label", text))
			}
			continue
		}
		m, ok := hwmonFiles[kind+"_"+what]
		if !ok {
			continue
		}
		if v, ok, err := value(dir + "/" + f.Name()); err == nil && ok {
			out = append(out, sample(m.name, v*m.unit, "chip", chip, "sensor", sensor))
		}
	}
	return out, nil
}

// chip names a chip by its place among the devices, which stays the same however drivers are loaded: platform_coretemp_0.
func (s hwmonSampler) chip(dir string) (string, error) {
	if device, err := filepath.EvalSymlinks(dir + "/device"); err == nil {
		bus, name := chipWord(filepath.Base(filepath.Dir(device))), chipWord(filepath.Base(device))
		return strings.Trim(bus+"_"+name, "_"), nil
	}
	if name, err := sysText(dir + "/name"); err == nil && chipWord(name) != "" {
		return chipWord(name), nil
	}
	real, err := filepath.EvalSymlinks(dir)
	return chipWord(filepath.Base(real)), err
}

// chipWord makes a name of lower-case letters, digits and underscores.
func chipWord(s string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == ':' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToLower(strings.TrimSpace(s))), "_")
}
