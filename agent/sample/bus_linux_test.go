package sample

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// bus is a scripted peer that speaks D-Bus on a Unix socket as the system bus and systemd behind it do:
// https://dbus.freedesktop.org/doc/dbus-specification.html
type bus struct {
	mu    sync.Mutex
	units []systemd.UnitStatus
	// props are the units' properties: unit, then interface without its prefix and property, "Service.Type".
	props map[string]map[string]any
	// paths are the names of the units by their paths.
	paths map[dbus.ObjectPath]string
	// refuse answers calls of these members with an error of this name; of the member "AUTH", the log-in.
	refuse map[string]string
	// silent are members that are never answered.
	silent map[string]bool
	calls  map[string]int
}

func newBus(t testing.TB) *bus {
	t.Helper()
	b := &bus{props: map[string]map[string]any{}, paths: map[dbus.ObjectPath]string{}, refuse: map[string]string{}, silent: map[string]bool{}, calls: map[string]int{}}
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+path)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				if err := b.serve(c); err != nil && !hungUp(err) {
					t.Errorf("scripted bus: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return b
}

// hungUp says whether err means that the sampler went away, as it may at any time.
func hungUp(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// called is how often this member was called, of all members when empty.
func (b *bus) called(member string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.calls[member]
	if member == "" {
		for _, c := range b.calls {
			n += c
		}
	}
	return n
}

// set makes a unit, or changes it.
func (b *bus) set(name, active string, props map[string]any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.props[name] = props
	b.paths[unitPath(name)] = name
	u := systemd.UnitStatus{Name: name, Description: "The " + name, LoadState: "loaded", ActiveState: active, SubState: "x", Path: unitPath(name), JobPath: "/"}
	for i := range b.units {
		if b.units[i].Name == name {
			b.units[i] = u
			return
		}
	}
	b.units = append(b.units, u)
}

// manager is systemd itself among the units' properties.
const manager = "the manager"

// tell sets a property of systemd itself.
func (b *bus) tell(property, value string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.props[manager] == nil {
		b.props[manager] = map[string]any{}
		b.paths[unitPath(manager)] = manager
	}
	b.props[manager]["Manager."+property] = value
}

func unitPath(name string) dbus.ObjectPath {
	if name == manager {
		return "/org/freedesktop/systemd1"
	}
	return dbus.ObjectPath("/org/freedesktop/systemd1/unit/" + systemd.PathBusEscape(name))
}

func (b *bus) serve(c net.Conn) error {
	in := bufio.NewReader(c)
	if err := b.logIn(c, in); err != nil {
		return err
	}
	for {
		m, err := dbus.DecodeMessage(in)
		if err != nil {
			return err
		}
		member, _ := m.Headers[dbus.FieldMember].Value().(string)
		answer, silent := b.answer(m, member)
		if silent {
			continue
		}
		answer.Headers[dbus.FieldReplySerial] = dbus.MakeVariant(m.Serial())
		if len(answer.Body) > 0 {
			answer.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(answer.Body...))
		}
		if err := answer.EncodeTo(c, binary.LittleEndian); err != nil {
			return err
		}
	}
}

func (b *bus) logIn(c net.Conn, in *bufio.Reader) error {
	if _, err := in.ReadByte(); err != nil { // the NUL that every client begins with
		return err
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		b.mu.Lock()
		_, refused := b.refuse["AUTH"]
		b.mu.Unlock()
		reply := "ERROR\r\n"
		switch {
		case strings.HasPrefix(line, "AUTH EXTERNAL"):
			reply = "DATA\r\n" // who are you? The socket itself tells, so the answer may be empty
		case strings.HasPrefix(line, "DATA") && !refused:
			reply = "OK 0123456789abcdef0123456789abcdef\r\n"
		case strings.HasPrefix(line, "AUTH"), strings.HasPrefix(line, "DATA"):
			reply = "REJECTED EXTERNAL\r\n"
		case strings.HasPrefix(line, "BEGIN"):
			return nil
		}
		if _, err := io.WriteString(c, reply); err != nil {
			return err
		}
	}
}

func (b *bus) answer(m *dbus.Message, member string) (answer *dbus.Message, silent bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls[member]++
	answer = &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{}}
	fail := func(name string) {
		answer.Type, answer.Body = dbus.TypeError, []any{"scripted"}
		answer.Headers[dbus.FieldErrorName] = dbus.MakeVariant(name)
	}
	if name, ok := b.refuse[member]; ok {
		fail(name)
		return answer, false
	}
	switch member {
	case "Hello":
		answer.Body = []any{":1.7"}
	case "AddMatch":
	case "ListUnits":
		answer.Body = []any{b.units}
	case "Get":
		path, _ := m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
		kind := strings.TrimPrefix(m.Body[0].(string), "org.freedesktop.systemd1.")
		fail("org.freedesktop.DBus.Error.UnknownObject")
		if props, ok := b.props[b.paths[path]]; ok {
			fail("org.freedesktop.DBus.Error.UnknownProperty")
			if v, ok := props[kind+"."+m.Body[1].(string)]; ok {
				answer.Type, answer.Body = dbus.TypeMethodReply, []any{dbus.MakeVariant(v)}
				delete(answer.Headers, dbus.FieldErrorName)
			}
		}
	default:
		fail("org.freedesktop.DBus.Error.UnknownMethod")
	}
	return answer, b.silent[member]
}
