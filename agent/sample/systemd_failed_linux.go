package sample

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"syscall"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

const (
	// maxFailed bounds the table of failed units: each costs questions to systemd.
	maxFailed = 50
	// maxChanged is how many units that failed, or were restarted, between two readings are told one by one: when a host
	// falls apart the first say enough, and the rest would keep the source from telling anything else.
	maxChanged = 10
)

// failure is why and since when a unit is failed.
type failure struct {
	unit, description, result, exit, since string
}

// transient says what is shown of a unit that a program made for one command (systemd-run): its description is the whole
// command line, which holds what its author thought nobody would read.
const transient = "a command that was started by a program or by hand (systemd-run); its command line is not shown"

// failedUnits asks after the failed units, of whatever type, up to one more than the table holds.
func failedUnits(ctx context.Context, conn *systemd.Conn, units []systemd.UnitStatus) ([]failure, error) {
	var out []failure
	for _, u := range units {
		if u.ActiveState != "failed" {
			continue
		}
		f := failure{unit: u.Name, description: u.Description}
		if len(out) < maxFailed {
			err := f.ask(ctx, conn)
			if unitGone(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		out = append(out, f)
	}
	return out, nil
}

func (f *failure) ask(ctx context.Context, conn *systemd.Conn) error {
	p, err := conn.GetUnitPropertyContext(ctx, f.unit, "Transient")
	if err != nil && !unknownProperty(err) { // systemd before 218 does not say
		return err
	}
	if err == nil {
		if made, _ := p.Value.Value().(bool); made {
			f.description = transient
		}
	}
	p, err = conn.GetUnitPropertyContext(ctx, f.unit, "StateChangeTimestamp")
	if err != nil {
		return err
	}
	if us, _ := p.Value.Value().(uint64); us > 0 {
		f.since = microseconds(us)
	}
	kind, ok := map[string]string{
		".service": "Service", ".socket": "Socket", ".timer": "Timer", ".mount": "Mount", ".automount": "Automount",
		".swap": "Swap", ".path": "Path", ".scope": "Scope",
	}[path.Ext(f.unit)]
	if !ok {
		return nil // the other types have no result
	}
	p, err = conn.GetUnitTypePropertyContext(ctx, f.unit, kind, "Result")
	if err != nil {
		return err
	}
	f.result, _ = p.Value.Value().(string)
	if kind != "Service" {
		return nil
	}
	code, err := conn.GetServicePropertyContext(ctx, f.unit, "ExecMainCode")
	if err != nil {
		return err
	}
	status, err := conn.GetServicePropertyContext(ctx, f.unit, "ExecMainStatus")
	if err != nil {
		return err
	}
	c, _ := code.Value.Value().(int32)
	st, _ := status.Value.Value().(int32)
	f.exit = exitText(c, st)
	return nil
}

// exitText says how the main process ended; code is si_code of SIGCHLD, see sigaction(2).
func exitText(code, status int32) string {
	const exited, killed, dumped = 1, 2, 3
	signal := fmt.Sprintf("signal %d", status)
	if name := unix.SignalName(syscall.Signal(status)); name != "" {
		signal += " (" + name + ")"
	}
	switch code {
	case exited:
		return fmt.Sprintf("exit status %d", status)
	case killed:
		return "killed by " + signal
	case dumped:
		return "dumped core after " + signal
	}
	return ""
}

func fillFailed(t *wire.Table, failures []failure) {
	if len(failures) == 0 {
		t.NoneBecause = "no unit is failed"
	}
	for i, f := range failures {
		if i == maxFailed {
			t.Rows = append(t.Rows, row(fmt.Sprintf("and %d more", len(failures)-maxFailed), "see systemctl --failed", "", "", ""))
			return
		}
		t.Rows = append(t.Rows, row(f.unit, f.description, f.result, cmp.Or(f.exit, "none"), cmp.Or(f.since, "unknown")))
	}
}

// newlyFailed tells which units failed since the last reading. At the first it tells nothing: what had failed before
// the agent looked is in the table.
func (s *systemdSampler) newlyFailed(now time.Time, failures []failure) []*wire.Event {
	if s.states == nil {
		return nil
	}
	var out []*wire.Event
	for _, f := range failures {
		if s.states[f.unit] == "failed" {
			continue
		}
		text := f.unit + " failed"
		if f.result != "" {
			text += ": " + f.result
		}
		if f.exit != "" {
			text += ", " + f.exit
		}
		out = append(out, &wire.Event{
			Kind: "unit_failed", AtMs: now.UnixMilli(), Text: text + ".",
			Fields: map[string]string{"unit": f.unit, "result": f.result, "exit": f.exit, "since": f.since},
		})
	}
	return firstOf(out, "failed")
}

// firstOf keeps the first events of many, and one that counts the rest.
func firstOf(events []*wire.Event, what string) []*wire.Event {
	if len(events) <= maxChanged {
		return events
	}
	last := events[maxChanged]
	more := len(events) - maxChanged
	return append(events[:maxChanged], &wire.Event{
		Kind: last.Kind, AtMs: last.AtMs, Text: fmt.Sprintf("%d more units %s at the same time.", more, what),
		Fields: map[string]string{"more": fmt.Sprint(more)},
	})
}
