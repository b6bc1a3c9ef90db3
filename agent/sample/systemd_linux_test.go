package sample

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/agent/wire"
)

// booted is a host that systemd runs.
func booted(t testing.TB) host {
	t.Helper()
	h := host{Path{Rootfs: t.TempDir()}}
	if err := os.MkdirAll(h.root("run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	return h
}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func us(t time.Time) uint64 { return uint64(t.UnixMicro()) }

func running(restarts uint32, since time.Time) map[string]any {
	return map[string]any{"Service.Type": "notify", "Service.NRestarts": restarts, "Unit.ActiveEnterTimestamp": us(since)}
}

func failed(result string, code, status int32, at time.Time) map[string]any {
	return map[string]any{
		"Service.Type": "simple", "Service.Result": result, "Service.ExecMainCode": code, "Service.ExecMainStatus": status,
		"Unit.StateChangeTimestamp": us(at),
	}
}

func TestSystemdSamplesAndTable(t *testing.T) {
	b := newBus(t)
	b.set("nginx.service", "active", running(0, noon))
	b.set("getty@tty1.service", "failed", failed("exit-code", 1, 203, noon))
	b.set("shop.service", "failed", failed("signal", 2, 9, noon))
	b.set("old.service", "failed", failed("core-dump", 3, 11, time.Unix(0, 0)))
	b.set("ssh.socket", "active", nil)
	b.set("apt.timer", "inactive", nil)
	b.set("data.mount", "failed", map[string]any{"Mount.Result": "timeout", "Unit.StateChangeTimestamp": us(noon)})
	b.set("basic.target", "active", nil)
	b.units[4].LoadState = "masked"

	s := newSystemd(booted(t), DefaultConfig().Systemd)
	r := readOnce(t, s)
	var want strings.Builder
	for _, u := range []struct{ name, kind, state string }{
		{"nginx.service", "notify", "active"}, {"getty@tty1.service", "simple", "failed"}, {"shop.service", "simple", "failed"},
		{"old.service", "simple", "failed"}, {"apt.timer", "", "inactive"},
	} {
		for _, state := range []string{"active", "activating", "deactivating", "inactive", "failed"} {
			fmt.Fprintf(&want, "node_systemd_unit_state{name=%q,state=%q,type=%q} %v\n", u.name, state, u.kind, b2f(state == u.state))
		}
	}
	want.WriteString(`node_systemd_units{state="active"} 3
node_systemd_units{state="activating"} 0
node_systemd_units{state="deactivating"} 0
node_systemd_units{state="inactive"} 1
node_systemd_units{state="failed"} 4
watchbill_agent_left_out{source="systemd"} 0
`)
	if d := cmp.Diff(want.String(), text(r.Samples)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	wantRows := [][]string{
		{"getty@tty1.service", "The getty@tty1.service", "exit-code", "exit status 203", "2026-11-20T12:00:00Z"},
		{"shop.service", "The shop.service", "signal", "killed by signal 9 (SIGKILL)", "2026-11-20T12:00:00Z"},
		{"old.service", "The old.service", "core-dump", "dumped core after signal 11 (SIGSEGV)", "unknown"},
		{"data.mount", "The data.mount", "timeout", "none", "2026-11-20T12:00:00Z"},
	}
	if d := cmp.Diff(wantRows, rows(t, r)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if r.Events != nil {
		t.Errorf("what failed before the agent looked is no event: %v", r.Events)
	}
}

func TestSystemdNothingFailed(t *testing.T) {
	b := newBus(t)
	b.set("nginx.service", "active", running(0, noon))
	r := readOnce(t, newSystemd(booted(t), DefaultConfig().Systemd))
	if len(r.Tables[0].Rows) != 0 || r.Tables[0].NoneBecause != "no unit is failed" {
		t.Errorf("table %v, want none because no unit is failed", r.Tables[0])
	}
}

func TestSystemdBoundsTable(t *testing.T) {
	b := newBus(t)
	for i := range maxFailed + 3 {
		b.set(fmt.Sprintf("u%03d.service", i), "failed", failed("exit-code", 1, 1, noon))
	}
	got := rows(t, readOnce(t, newSystemd(booted(t), DefaultConfig().Systemd)))
	if len(got) != maxFailed+1 || got[maxFailed][0] != "and 3 more" {
		t.Errorf("%d rows, the last %v; want %d and one that tells of 3 more", len(got), got[len(got)-1], maxFailed)
	}
}

// Each step changes units and reads; the sampler looks for restarts every 15 s.
func TestSystemdEvents(t *testing.T) {
	type step struct {
		name   string
		change func(*bus)
		after  time.Duration
		want   []string
	}
	const s15, s5 = 15 * time.Second, 5 * time.Second
	steps := []step{
		{"first look", func(b *bus) {
			b.set("web.service", "active", running(3, noon))
			b.set("job.service", "active", map[string]any{"Service.Type": "oneshot"})
			b.set("bad.service", "failed", failed("exit-code", 1, 1, noon))
		}, 0, nil},
		{"nothing changed", func(*bus) {}, s15, nil},
		{"restarted by systemd", func(b *bus) { b.set("web.service", "active", running(4, noon.Add(time.Minute))) }, s15,
			[]string{"unit_restarted: web.service ended and was restarted by systemd (restart 4 since it was last started by hand)."}},
		{"not told again", func(*bus) {}, s15, nil},
		{"restarted by hand, but not looked for yet", func(b *bus) { b.set("web.service", "active", running(0, noon.Add(time.Hour))) }, s5, nil},
		{"restarted by hand, too soon to be told again", func(*bus) {}, s15 - s5, nil},
		{"failed", func(b *bus) { b.set("web.service", "failed", failed("signal", 2, 11, noon)) }, s5,
			[]string{"unit_failed: web.service failed: signal, killed by signal 11 (SIGSEGV)."}},
		{"still failed", func(*bus) {}, s15, nil},
		{"mended", func(b *bus) { b.set("web.service", "active", running(0, noon.Add(2*time.Hour))) }, s15,
			[]string{"unit_restarted: web.service was started again at 2026-11-20T14:00:00Z. (2 times)"}},
		{"a new unit", func(b *bus) { b.set("new.service", "active", running(9, noon)) }, s15, nil},
		{"a oneshot runs again", func(b *bus) { b.set("job.service", "activating", map[string]any{"Service.Type": "oneshot"}) }, s15, nil},
	}
	b := newBus(t)
	s := newSystemd(booted(t), DefaultConfig().Systemd)
	now := noon
	for _, st := range steps {
		st.change(b)
		now = now.Add(st.after)
		r, err := s.Read(t.Context(), now)
		if err != nil {
			t.Fatalf("%s: %v", st.name, err)
		}
		var got []string
		for _, e := range r.Events {
			got = append(got, e.Kind+": "+e.Text)
			if e.AtMs != now.UnixMilli() || e.Fields["unit"] == "" {
				t.Errorf("%s: event %v has not the time of the reading, or no unit", st.name, e)
			}
		}
		if d := cmp.Diff(st.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", st.name, d)
		}
	}
	if n := b.called("Hello"); n != 2*len(steps) {
		t.Errorf("%d log-ins for %d readings, want two each: no connection may outlive a reading", n, len(steps))
	}
}

// A service that dies again and again is told, with how often, and leaves room for what else happens on the host.
func TestSystemdCrashLoops(t *testing.T) {
	b := newBus(t)
	const services = 15
	for i := range services {
		b.set(fmt.Sprintf("u%02d.service", i), "active", running(0, noon))
	}
	s := newSystemd(booted(t), DefaultConfig().Systemd)
	readAt(t, s, noon)
	told, seen := 0, 0
	const minutes = 20
	for turn := 1; turn <= 4*minutes; turn++ { // every 15 s, all of them
		at := noon.Add(time.Duration(turn) * restartsEvery)
		for i := range services {
			b.set(fmt.Sprintf("u%02d.service", i), "active", running(uint32(turn), at))
		}
		for _, e := range readAt(t, s, at).Events {
			if told++; e.Fields["count"] != "" {
				seen++
			}
			if err := wire.CheckReport(&wire.Report{Epoch: 1, Sequence: 1, MadeAtMs: 1, Events: []*wire.Event{{
				Id: 1, Kind: e.Kind, AtMs: e.AtMs, Text: e.Text, Fields: e.Fields,
			}}}, wire.DefaultLimits()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if most := eventsAtOnce + int(minutes*time.Minute/eventsEvery); told > most || seen != told {
		t.Errorf("%d events of crash loops, %d of them counted; want at most %d", told, seen, most)
	}
}

// A failure while it looks must not swallow what it would have told.
func TestSystemdTellsAfterFailedReading(t *testing.T) {
	b := newBus(t)
	b.set("web.service", "active", running(0, noon))
	s := newSystemd(booted(t), DefaultConfig().Systemd)
	readOnce(t, s)
	b.set("web.service", "failed", map[string]any{"Service.Type": "simple"}) // its other properties cannot be read
	if _, err := s.Read(t.Context(), noon); err == nil {
		t.Fatal("want an error")
	}
	b.set("web.service", "failed", failed("exit-code", 1, 1, noon))
	if r := readOnce(t, s); len(r.Events) != 1 {
		t.Errorf("events %v, want the failure", r.Events)
	}
}

func TestSystemdUnitsComeAndGo(t *testing.T) {
	b := newBus(t)
	b.set("web.service", "active", running(0, noon))
	b.set("gone.service", "active", running(0, noon))
	delete(b.props, "gone.service") // listed, and unloaded before it was asked
	got := text(readOnce(t, newSystemd(booted(t), DefaultConfig().Systemd)).Samples)
	if strings.Contains(got, "gone.service") || !strings.Contains(got, "web.service") {
		t.Errorf("want web.service alone, got\n%s", got)
	}
}

func TestSystemdOldVersionWithoutRestartCount(t *testing.T) {
	b := newBus(t)
	props := running(0, noon)
	delete(props, "Service.NRestarts")
	b.set("web.service", "active", props)
	readOnce(t, newSystemd(booted(t), DefaultConfig().Systemd))
}

func TestSystemdUnitFilter(t *testing.T) {
	b := newBus(t)
	b.set("web.service", "active", running(0, noon))
	b.set("web.serviceX.timer", "active", nil)
	b.set("cron.service", "active", running(0, noon))
	got := text(readOnce(t, newSystemd(booted(t), SystemdConfig{UnitInclude: `.*\.service|.*\.timer`, UnitExclude: `cron\.service|web`})).Samples)
	if strings.Contains(got, "cron.service") || !strings.Contains(got, `name="web.service"`) || !strings.Contains(got, "web.serviceX.timer") {
		t.Errorf("patterns must match whole names; got\n%s", got)
	}
}

func TestSystemdNotPID1(t *testing.T) {
	b := newBus(t)
	s := newSystemd(host{Path{Rootfs: t.TempDir()}}, DefaultConfig().Systemd)
	r := readOnce(t, s)
	if len(r.Samples) != 0 || len(r.Tables) != 1 || r.Tables[0].NoneBecause != "systemd is not PID 1 on this host" {
		t.Errorf("got %v, want no samples and a table that says why", r)
	}
	if n := b.called(""); n != 0 {
		t.Errorf("asked the bus %d times", n)
	}
}

func TestSystemdSilentBus(t *testing.T) {
	b := newBus(t)
	b.silent["ListUnits"] = true
	s := newSystemd(booted(t), DefaultConfig().Systemd)
	ctx, cancel := timeoutContext(t, 200*time.Millisecond)
	defer cancel()
	if _, err := s.Read(ctx, noon); err == nil || !strings.Contains(err.Error(), "list units of systemd") {
		t.Errorf("error %v, want one that says what was asked", err)
	}
}

func TestSystemdRefused(t *testing.T) {
	for _, member := range []string{"ListUnits", "Get"} {
		b := newBus(t)
		b.set("web.service", "active", running(0, noon))
		b.refuse[member] = "org.freedesktop.DBus.Error.AccessDenied"
		_, err := newSystemd(booted(t), DefaultConfig().Systemd).Read(t.Context(), noon)
		if err == nil || !strings.Contains(err.Error(), "Properties.Get in /etc/dbus-1/system.d") {
			t.Errorf("%s refused: error %v, want one that names the right that is missing", member, err)
		}
	}
	b := newBus(t)
	b.refuse["AUTH"] = "rejected"
	if _, err := newSystemd(booted(t), DefaultConfig().Systemd).Read(t.Context(), noon); err == nil {
		t.Error("log-in refused: want an error")
	}
}

func TestSystemdExplains(t *testing.T) {
	denied := dbus.Error{Name: "org.freedesktop.DBus.Error.AccessDenied"}
	tests := []struct {
		err  error
		want string
	}{
		{denied, "the bus policy denies"},
		{fmt.Errorf("dial: %w", fs.ErrPermission), "may not open the bus socket"},
		{&os.PathError{Op: "dial", Path: "x", Err: syscall.ENOENT}, "install and start dbus"},
		{syscall.ECONNREFUSED, "install and start dbus"},
		{syscall.EAFNOSUPPORT, "RestrictAddressFamilies"},
		{context.DeadlineExceeded, "did not answer within 4s"},
		{errors.New("anything"), "systemctl list-units"},
	}
	for _, tt := range tests {
		got := explainDBus("ask", tt.err)
		if !strings.Contains(got.Error(), tt.want) || !errors.As(got, new(dbus.Error)) && !errors.Is(got, tt.err) {
			t.Errorf("%v: explained as %q, want %q and the cause wrapped", tt.err, got, tt.want)
		}
	}
}

func TestExitText(t *testing.T) {
	for _, tt := range []struct {
		code, status int32
		want         string
	}{{1, 0, "exit status 0"}, {2, 15, "killed by signal 15 (SIGTERM)"}, {3, 250, "dumped core after signal 250"}, {0, 0, ""}} {
		if got := exitText(tt.code, tt.status); got != tt.want {
			t.Errorf("code %d, status %d: %q, want %q", tt.code, tt.status, got, tt.want)
		}
	}
}
