package sample

import (
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"
)

// The exporter asks the same bus as the sampler, so the two can be compared where systemd is not PID 1: DBUS_SYSTEM_BUS_ADDRESS
// names the scripted one. Where systemd is PID 1, that one is asked too.
func TestSystemdAgainstNodeExporter(t *testing.T) {
	t.Run("scripted", func(t *testing.T) {
		b := newBus(t)
		b.tell("Version", "252.31-1~deb12u1")
		b.tell("SystemState", "degraded")
		b.tell("Virtualization", "kvm")
		socket := map[string]any{"Socket.NAccepted": uint32(7), "Socket.NConnections": uint32(2), "Socket.NRefused": uint32(1)}
		timer := map[string]any{"Timer.LastTriggerUSec": us(noon)}
		for _, u := range []struct {
			name, state string
			props       map[string]any
		}{
			{"nginx.service", "active", running(0, noon)},
			{"a job of-ours@1.service", "inactive", map[string]any{"Service.Type": "oneshot"}},
			{"shop.service", "failed", failed("signal", 2, 9, noon)},
			{"db.service", "activating", running(3, noon)},
			{"old.service", "deactivating", running(0, noon)},
			{"sick.service", "reloading", running(0, noon)},
			{"ssh.socket", "active", socket},
			{"apt.timer", "active", timer},
			{"srv.mount", "active", map[string]any{"Mount.Type": "ext4"}},
			{"user.slice", "active", nil},
			{"left.out.service", "active", running(0, noon)},
		} {
			b.set(u.name, u.state, u.props)
		}
		b.set("gone.service", "inactive", nil)
		b.units[len(b.units)-1].LoadState = "not-found"
		compareSystemd(t, booted(t), SystemdConfig{UnitInclude: `.+\.(service|socket|timer|mount)`, UnitExclude: `left\.out\..*`})
	})
	t.Run("of this host", func(t *testing.T) {
		if _, err := os.Lstat("/run/systemd/system"); errors.Is(err, fs.ErrNotExist) {
			t.Skip("systemd is not PID 1 here")
		}
		compareSystemd(t, host{DefaultConfig().Path}, DefaultConfig().Systemd)
	})
}

func compareSystemd(t *testing.T, h host, c SystemdConfig) {
	t.Helper()
	e := startNodeExporter(t, "--collector.disable-defaults", "--collector.systemd",
		"--collector.systemd.unit-include="+c.UnitInclude, "--collector.systemd.unit-exclude="+c.UnitExclude)
	sources := []Source{{Name: "systemd", Kind: "node", Every: time.Second, Sampler: newSystemd(h, c)}}
	if shared := compare(t, sources, e); shared != 2 {
		t.Errorf("%d names are shared, want node_systemd_unit_state and node_systemd_units", shared)
	}
}
