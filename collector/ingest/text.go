package ingest

import (
	"maps"
	"strings"
	"time"
	"unicode"

	"github.com/watchbill/watchbill/agent/wire"
)

// clean makes text from a host inert for whoever shows it: valid UTF-8 on one line. Line breaks and tabs become spaces;
// other control characters and those that change the direction of text become U+FFFD, so that a reader sees that
// something was there.
func clean(s string) string {
	if plain(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// plain is true for the text of most hosts: printable ASCII needs no second look.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func cleanAll(in []string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = clean(s)
	}
	return out
}

func events(in []*wire.Event, received time.Time) []Event {
	out := make([]Event, 0, len(in))
	for _, e := range in {
		ev := Event{ID: e.GetId(), Kind: clean(e.GetKind()), At: moment(e.GetAtMs()), Text: clean(e.GetText())}
		if len(e.GetFields()) > 0 {
			ev.Fields = make(map[string]string, len(e.GetFields()))
			for k, v := range e.GetFields() {
				ev.Fields[clean(k)] = clean(v)
			}
		}
		if ev.At.After(received.Add(maxAhead)) {
			ev.Fields = maps.Clone(ev.Fields)
			if ev.Fields == nil {
				ev.Fields = map[string]string{}
			}
			ev.Fields["stated_at"], ev.At = ev.At.Format(time.RFC3339Nano), received
		}
		out = append(out, ev)
	}
	return out
}

func inventory(in *wire.Inventory) *Inventory {
	if in == nil {
		return nil
	}
	return &Inventory{
		Hostname: clean(in.GetHostname()), OS: clean(in.GetOs()), OSVersion: clean(in.GetOsVersion()),
		Kernel: clean(in.GetKernel()), Architecture: clean(in.GetArchitecture()),
		MachineID: clean(in.GetMachineId()), BootID: clean(in.GetBootId()), BootedAt: moment(in.GetBootedAtMs()),
		AgentVersion: clean(in.GetAgentVersion()), CPUs: in.GetCpus(), MemoryBytes: in.GetMemoryBytes(),
		Addresses: cleanAll(in.GetAddresses()), Zone: clean(in.GetZone()),
	}
}

func tables(in []*wire.Table, received time.Time) []Table {
	out := make([]Table, 0, len(in))
	for _, t := range in {
		out = append(out, table(t, received))
	}
	return out
}

func table(t *wire.Table, received time.Time) Table {
	out := Table{
		Kind: clean(t.GetKind()), SampledAt: moment(t.GetSampledAtMs()), Columns: cleanAll(t.GetColumns()),
		Rows: make([][]string, len(t.GetRows())), NoneBecause: clean(t.GetNoneBecause()),
	}
	if out.SampledAt.After(received.Add(maxAhead)) {
		out.SampledAt = received
	}
	for i, r := range t.GetRows() {
		out.Rows[i] = cleanAll(r.GetCells())
	}
	return out
}

// bundles keep name and argument as they came: they are compared with what was asked for, and shown to nobody.
func bundles(in []*wire.Bundle, received time.Time) []Bundle {
	out := make([]Bundle, 0, len(in))
	for _, b := range in {
		out = append(out, Bundle{Name: b.GetRequest().GetName(), Argument: b.GetRequest().GetArgument(), Table: table(b.GetTable(), received)})
	}
	return out
}

// moment is a time on the wire; zero means none.
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
