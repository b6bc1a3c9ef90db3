package sample

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"github.com/watchbill/watchbill/agent/wire"
)

const (
	// systemdEvery is a compromise: each reading makes systemd list all its units, and a dead service should be known
	// within seconds.
	systemdEvery = 5 * time.Second
	// restartsEvery is how often services are asked, one by one, whether they were restarted.
	restartsEvery = 15 * time.Second
	// systemdTimeout bounds one reading; systemd answers in milliseconds unless it is stuck itself.
	systemdTimeout = 4 * time.Second
)

// unitStates is every state of node_systemd_unit_state, in node_exporter's order.
var unitStates = [...]string{"active", "activating", "deactivating", "inactive", "failed"}

// systemdSampler tells of the units of the service manager, over D-Bus. It connects anew for every reading, so that
// nothing of it lives on between them.
type systemdSampler struct {
	host
	wanted func(unit string) bool
	// known are the units reported at the last reading.
	known map[string]*unitSeries
	// states are the units' states at the last reading, nil before the first.
	states map[string]string
	// runs is what is known of each service's starts, as of checked.
	runs    map[string]run
	checked time.Time
	repeats *repeats
}

// typed are the units that have a type, by suffix: services (simple, oneshot) and mounts (ext4).
var typed = map[string]string{".service": "Service", ".mount": "Mount"}

// unitSeries is a unit's type, and its label sets in the order of unitStates.
type unitSeries struct {
	kind   string
	labels [len(unitStates)][]wire.Label
}

// run tells one start of a service from the next.
type run struct {
	restarts uint32
	// entered is when it became active, in microseconds since 1970.
	entered uint64
}

func newSystemd(h host, c SystemdConfig) *systemdSampler {
	include := func(string) bool { return true }
	if c.UnitInclude != "" {
		include = regexp.MustCompile("^(?:" + c.UnitInclude + ")$").MatchString
	}
	skip := exclude("")
	if c.UnitExclude != "" {
		skip = exclude("^(?:" + c.UnitExclude + ")$")
	}
	return &systemdSampler{
		host: h, wanted: func(unit string) bool { return include(unit) && !skip(unit) },
		known: map[string]*unitSeries{}, runs: map[string]run{}, repeats: newRepeats(),
	}
}

// Read fails when systemd runs this host and cannot be asked; the error says which right is missing. Where systemd is
// not PID 1 there are no samples, and the table of failed units says so.
func (s *systemdSampler) Read(ctx context.Context, now time.Time) (Reading, error) {
	t := &wire.Table{
		Kind: "failed_units", SampledAtMs: now.UnixMilli(), Columns: []string{"unit", "description", "result", "exit", "since"},
	}
	// The test that sd_booted(3) makes.
	if _, err := os.Lstat(s.root("run/systemd/system")); errors.Is(err, fs.ErrNotExist) {
		t.NoneBecause = "systemd is not PID 1 on this host"
		return Reading{Tables: []*wire.Table{t}}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, systemdTimeout)
	defer cancel()
	conn, err := dialSystemd(ctx)
	if err != nil {
		return Reading{}, explainDBus("connect to systemd", err)
	}
	defer conn.Close()
	units, err := conn.ListUnitsContext(ctx)
	if err != nil {
		return Reading{}, explainDBus("list units of systemd", err)
	}
	r := Reading{Tables: []*wire.Table{t}}
	if r.Samples, err = s.samples(ctx, conn, units); err != nil {
		return Reading{}, explainDBus("ask systemd for a unit's type", err)
	}
	failures, err := failedUnits(ctx, conn, units)
	if err != nil {
		return Reading{}, explainDBus("ask systemd why a unit failed", err)
	}
	fillFailed(t, failures)
	changed := s.newlyFailed(now, failures)
	if now.Sub(s.checked) >= restartsEvery {
		restarted, err := s.restarted(ctx, now, conn, units)
		if err != nil {
			return Reading{}, explainDBus("ask systemd when a service started", err)
		}
		changed, s.checked = append(changed, restarted...), now
	}
	s.remember(units) // last: until a reading is whole, what changed since the one before is still to be told
	for _, e := range changed {
		s.repeats.add(e.Kind+"\x00"+e.Fields["unit"], e)
	}
	r.Events = s.repeats.take(now)
	return r, nil
}

// dialSystemd connects over the system bus or, as root, where there is none, to systemd's own socket. The address of the
// bus can be given in DBUS_SYSTEM_BUS_ADDRESS, as everywhere.
func dialSystemd(ctx context.Context) (*systemd.Conn, error) {
	conn, err := systemd.NewSystemConnectionContext(ctx)
	if err == nil || os.Geteuid() != 0 {
		return conn, err
	}
	conn, direct := systemd.NewSystemdConnectionContext(ctx)
	if direct != nil {
		return nil, errors.Join(err, direct)
	}
	return conn, nil
}

func (s *systemdSampler) samples(ctx context.Context, conn *systemd.Conn, units []systemd.UnitStatus) ([]wire.Sample, error) {
	count := map[string]int{}
	var wanted []systemd.UnitStatus
	for _, u := range units {
		count[u.ActiveState]++
		if u.LoadState == "loaded" && s.wanted(u.Name) {
			wanted = append(wanted, u)
		}
	}
	chosen := choose(wanted)
	out := make([]wire.Sample, 0, len(unitStates)*(len(chosen)+1)+1)
	known := make(map[string]*unitSeries, len(chosen))
	for _, u := range chosen {
		series, err := s.series(ctx, conn, u.Name)
		if unitGone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		known[u.Name] = series
		for i, state := range unitStates {
			out = append(out, wire.Sample{Name: "node_systemd_unit_state", Labels: series.labels[i], Value: b2f(u.ActiveState == state)})
		}
	}
	s.known = known
	for _, state := range unitStates {
		out = append(out, sample("node_systemd_units", float64(count[state]), "state", state))
		delete(count, state)
	}
	for _, state := range slices.Sorted(maps.Keys(count)) { // reloading, maintenance: told while a unit is in them
		out = append(out, sample("node_systemd_units", float64(count[state]), "state", state))
	}
	return append(out, leftOut("systemd", len(wanted)-len(chosen))), nil
}

// choose keeps as many units as are reported, those that failed first.
func choose(units []systemd.UnitStatus) []systemd.UnitStatus {
	if len(units) <= maxUnits {
		return units
	}
	slices.SortFunc(units, func(a, b systemd.UnitStatus) int {
		if fa, fb := a.ActiveState == "failed", b.ActiveState == "failed"; fa != fb {
			return map[bool]int{true: -1, false: 1}[fa]
		}
		return strings.Compare(a.Name, b.Name)
	})
	return units[:maxUnits]
}

// series are the label sets of a unit, made when it is first seen and remembered at once: where there are so many that
// asking for their types takes longer than a reading may, the next one goes on from there. A service's type hardly ever
// changes.
func (s *systemdSampler) series(ctx context.Context, conn *systemd.Conn, unit string) (*unitSeries, error) {
	if u := s.known[unit]; u != nil {
		return u, nil
	}
	u := &unitSeries{}
	if iface := typed[filepath.Ext(unit)]; iface != "" {
		p, err := conn.GetUnitTypePropertyContext(ctx, unit, iface, "Type")
		if err != nil {
			return nil, err
		}
		u.kind, _ = p.Value.Value().(string)
	}
	for i, state := range unitStates {
		u.labels[i] = []wire.Label{
			{Name: "name", Value: labelValue(unit)}, {Name: "state", Value: state}, {Name: "type", Value: labelValue(u.kind)},
		}
	}
	s.known[unit] = u
	return u, nil
}

// remember keeps the units' states for the next reading.
func (s *systemdSampler) remember(units []systemd.UnitStatus) {
	s.states = make(map[string]string, len(units))
	for _, u := range units {
		s.states[u.Name] = u.ActiveState
	}
}

// restarted tells which running services were started again since the last check. A service that is seen for the
// first time is only remembered.
func (s *systemdSampler) restarted(
	ctx context.Context, now time.Time, conn *systemd.Conn, units []systemd.UnitStatus,
) ([]*wire.Event, error) {
	var out []*wire.Event
	runs := make(map[string]run, len(s.runs))
	for _, u := range units {
		// A oneshot service that runs again does its work; that is no restart.
		series := s.known[u.Name]
		if !strings.HasSuffix(u.Name, ".service") || series == nil || series.kind == "oneshot" {
			continue
		}
		before, known := s.runs[u.Name]
		if u.ActiveState != "active" && u.ActiveState != "activating" {
			if known { // down; that it comes back is what is to be told
				runs[u.Name] = before
			}
			continue
		}
		r, err := serviceRun(ctx, conn, u.Name)
		if unitGone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		runs[u.Name] = r
		if known {
			out = append(out, restart(u.Name, now, before, r)...)
		}
	}
	s.runs = runs
	return firstOf(out, "were restarted"), nil
}

func restart(unit string, now time.Time, before, r run) []*wire.Event {
	e := &wire.Event{
		Kind: "unit_restarted", AtMs: now.UnixMilli(),
		Fields: map[string]string{"unit": unit, "restarts": fmt.Sprint(r.restarts)},
	}
	if r.entered > 0 {
		e.Fields["active_since"] = microseconds(r.entered)
	}
	switch {
	case r.restarts > before.restarts:
		e.Text = fmt.Sprintf("%s ended and was restarted by systemd (restart %d since it was last started by hand).", unit, r.restarts)
	case r.entered > before.entered && before.entered > 0:
		e.Text = fmt.Sprintf("%s was started again at %s.", unit, microseconds(r.entered))
	default:
		return nil
	}
	return []*wire.Event{e}
}

func serviceRun(ctx context.Context, conn *systemd.Conn, unit string) (run, error) {
	var r run
	p, err := conn.GetServicePropertyContext(ctx, unit, "NRestarts")
	if err != nil && !unknownProperty(err) { // systemd before 235 does not count them
		return r, err
	}
	if err == nil {
		r.restarts, _ = p.Value.Value().(uint32)
	}
	p, err = conn.GetUnitPropertyContext(ctx, unit, "ActiveEnterTimestamp")
	if err != nil {
		return r, err
	}
	r.entered, _ = p.Value.Value().(uint64)
	return r, nil
}

func microseconds(us uint64) string {
	return time.UnixMicro(int64(us)).UTC().Format(time.RFC3339)
}

// dbusError says whether err is the answer of this name.
func dbusError(err error, names ...string) bool {
	var e dbus.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, n := range names {
		if e.Name == n {
			return true
		}
	}
	return false
}

func unitGone(err error) bool {
	return dbusError(err, "org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.DBus.Error.UnknownObject")
}

func unknownProperty(err error) bool {
	return dbusError(err, "org.freedesktop.DBus.Error.UnknownProperty")
}

// explainDBus adds to err what a person can do about it.
func explainDBus(doing string, err error) error {
	advice := "see whether `systemctl list-units` works as the agent's user"
	switch {
	case dbusError(err, "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.AuthFailed"):
		advice = "the bus policy denies the agent's user to ask org.freedesktop.systemd1; allow it to call " +
			"Manager.ListUnits and Properties.Get in /etc/dbus-1/system.d"
	case errors.Is(err, fs.ErrPermission):
		advice = "the agent's user may not open the bus socket /run/dbus/system_bus_socket; let it, or run the agent with " +
			"the unit file it is shipped with"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		advice = "no system bus listens; install and start dbus, or run the agent as root, which can ask systemd without it"
	case errors.Is(err, syscall.EAFNOSUPPORT):
		advice = "the agent may not use Unix sockets; add AF_UNIX to RestrictAddressFamilies in its unit file"
	case errors.Is(err, context.DeadlineExceeded):
		advice = fmt.Sprintf("systemd did not answer within %v; it may be stuck: see `systemctl is-system-running`", systemdTimeout)
	}
	return fmt.Errorf("%s: %w: %s", doing, err, advice)
}
