package sample

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// netstatSampler counts what the network protocols did: /proc/net/netstat, snmp and snmp6.
type netstatSampler struct {
	pairs  []*kept // netstat and snmp: a line of names and a line of numbers for each protocol
	six    *kept   // snmp6: a line for each counter
	wanted func(field string) bool
	// heads are the lines of names seen, and for each column the metric's name, empty where it is not wanted.
	heads map[string][]string
	names map[string]string // of snmp6
}

func newNetstat(h host, c NetstatConfig) *netstatSampler {
	return &netstatSampler{
		pairs: []*kept{keep(h.proc("net/netstat")), keep(h.proc("net/snmp"))}, six: keep(h.proc("net/snmp6")),
		wanted: include(c.Fields), heads: map[string][]string{}, names: map[string]string{},
	}
}

// Read fails when a file cannot be read or is no such table. Without IPv6 there is no snmp6.
func (s *netstatSampler) Read(context.Context, time.Time) (Reading, error) {
	out := make([]wire.Sample, 0, 64)
	for _, f := range s.pairs {
		content, err := f.read()
		if err != nil {
			return Reading{}, err
		}
		for len(content) > 0 {
			var head, numbers []byte
			head, content = line(content)
			numbers, content = line(content)
			if out, err = s.protocol(out, f.path, head, numbers); err != nil {
				return Reading{}, err
			}
		}
	}
	content, err := s.six.read()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Reading{}, err
	}
	for len(content) > 0 {
		var l []byte
		l, content = line(content)
		key, rest := word(l)
		name := s.name6(key)
		if name == "" {
			continue
		}
		number, _ := word(rest)
		v, err := whole(s.six.path, name, number)
		if err != nil {
			return Reading{}, err
		}
		out = append(out, wire.Sample{Name: name, Value: v})
	}
	return Reading{Samples: out}, nil
}

// protocol reads a pair of lines: "Tcp: ActiveOpens …" and "Tcp: 12 …".
func (s *netstatSampler) protocol(out []wire.Sample, path string, head, numbers []byte) ([]wire.Sample, error) {
	protocol, _, ok := bytes.Cut(head, []byte(": "))
	same, rest, ok2 := bytes.Cut(numbers, []byte(": "))
	if !ok || !ok2 || !bytes.Equal(protocol, same) {
		return nil, fmt.Errorf("%s: want a line of names and one of numbers, got %q and %q", path, short(head), short(numbers))
	}
	for _, name := range s.columns(head) {
		var w []byte
		w, rest = word(rest)
		if name == "" {
			continue
		}
		v, ok := signed(w)
		if !ok {
			return nil, fmt.Errorf("%s: %s: want a number, got %q", path, name, short(w))
		}
		out = append(out, wire.Sample{Name: name, Value: v})
	}
	return out, nil
}

func (s *netstatSampler) columns(head []byte) []string {
	if c, ok := s.heads[string(head)]; ok {
		return c
	}
	if len(s.heads) > 64 { // IcmpMsg's columns come with the messages
		clear(s.heads)
	}
	protocol, rest, _ := bytes.Cut(head, []byte(": "))
	columns := []string{}
	for {
		var w []byte
		if w, rest = word(rest); len(w) == 0 {
			break
		}
		columns = append(columns, s.metric(string(protocol)+"_"+string(w)))
	}
	s.heads[string(head)] = columns
	return columns
}

// name6 turns Ip6InOctets into the name of Ip6_InOctets.
func (s *netstatSampler) name6(key []byte) string {
	if name, ok := s.names[string(key)]; ok {
		return name
	}
	name := ""
	if i := bytes.IndexByte(key, '6'); i >= 0 {
		name = s.metric(string(key[:i+1]) + "_" + string(key[i+1:]))
	}
	s.names[string(key)] = name
	return name
}

func (s *netstatSampler) metric(field string) string {
	if !s.wanted(field) {
		return ""
	}
	return "node_netstat_" + field
}

// sockstatSampler counts sockets and their memory: /proc/net/sockstat and sockstat6.
type sockstatSampler struct {
	files []*kept
	names *names
}

func newSockstat(h host) *sockstatSampler {
	return &sockstatSampler{[]*kept{keep(h.proc("net/sockstat")), keep(h.proc("net/sockstat6"))}, newNames("node_sockstat_")}
}

// Read fails when the first file cannot be read or a value is no number. Without IPv6 there is no second.
func (s *sockstatSampler) Read(context.Context, time.Time) (Reading, error) {
	out := make([]wire.Sample, 0, 32)
	for i, f := range s.files {
		content, err := f.read()
		if i > 0 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Reading{}, err
		}
		for len(content) > 0 {
			var l []byte
			l, content = line(content)
			if out, err = s.protocol(out, f.path, l); err != nil {
				return Reading{}, err
			}
		}
	}
	return Reading{Samples: out}, nil
}

// protocol reads a line such as "TCP: inuse 4 orphan 0 tw 4 alloc 5 mem 1". mem is in pages.
func (s *sockstatSampler) protocol(out []wire.Sample, path string, l []byte) ([]wire.Sample, error) {
	protocol, rest, ok := bytes.Cut(l, []byte(":"))
	if !ok {
		return nil, fmt.Errorf("%s: want a line of a protocol and its counts, got %q", path, short(l))
	}
	for {
		var key, number []byte
		key, rest = word(rest)
		number, rest = word(rest)
		if len(key) == 0 {
			return out, nil
		}
		name := s.names.of(protocol, key)
		v, err := whole(path, name, number)
		if err != nil {
			return nil, err
		}
		out = append(out, wire.Sample{Name: name, Value: v})
		if string(key) == "mem" {
			name = s.names.of(protocol, key, []byte("bytes"))
			out = append(out, wire.Sample{Name: name, Value: v * float64(os.Getpagesize())})
		}
	}
}
