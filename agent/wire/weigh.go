package wire

import (
	"fmt"
	"reflect"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// weigh reckons, from its encoding alone, how many bytes of memory a message will take at most while it is decoded.
// The sum is over every occurrence of every field, as if none were merged or replaced:
//
//	message   size of its Go structure + its fields
//	text      length, rounded up to what the allocator gives
//	packed    elements · their size; every further piece of a list adds twice what is there before it
//	list      + 9/4 · size of an element (pointer 8, string 16, bytes 24): a list that grows is there twice for a moment
//	map       + 256 per entry and 512 for the first
//
// Without this, the worst message of this protocol (empty blocks: two bytes each) would take 93 times its encoding; with
// it, never more than Limits.MemoryBytes. TestDecodeCostsWhatIsReckoned measures both.
func weigh(b []byte, d protoreflect.MessageDescriptor) (int64, error) {
	p, ok := plans()[d.FullName()]
	if !ok {
		return 0, fmt.Errorf("%s is not a message of this protocol", d.FullName())
	}
	return p.weigh(b)
}

// plan is what weigh knows of a message; fields are found by number.
type plan struct {
	size   int64
	fields []field
}

type field struct {
	kind    fieldKind
	list    bool
	element int64 // size of one number
	message *plan // of kind message and entry
}

type fieldKind uint8

const (
	unknown fieldKind = iota
	number
	varText // string or bytes
	message
	entry // of a map
)

// plans is a read-only table made at first use: the generated code is not ready when package variables are.
var plans = sync.OnceValue(func() map[protoreflect.FullName]*plan {
	all := map[protoreflect.FullName]*plan{}
	messages := File_wire_proto.Messages()
	for i := range messages.Len() {
		planFor(messages.Get(i), all)
	}
	return all
})

func planFor(d protoreflect.MessageDescriptor, all map[protoreflect.FullName]*plan) *plan {
	if p, ok := all[d.FullName()]; ok {
		return p
	}
	p := &plan{}
	all[d.FullName()] = p
	if t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName()); err == nil {
		p.size = round(int64(reflect.TypeOf(t.Zero().Interface()).Elem().Size())) //nolint:gosec // size of a structure
	}
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		f := field{list: fd.IsList(), element: 8}
		switch fd.Kind() {
		case protoreflect.MessageKind, protoreflect.GroupKind:
			f.kind = message
			if fd.IsMap() {
				f.kind = entry
			}
			f.message = planFor(fd.Message(), all)
		case protoreflect.StringKind, protoreflect.BytesKind:
			f.kind = varText
		default:
			f.kind = number
			if fd.Kind() == protoreflect.Uint32Kind {
				f.element = 4
			}
		}
		for len(p.fields) <= int(fd.Number()) {
			p.fields = append(p.fields, field{})
		}
		p.fields[fd.Number()] = f
	}
	return p
}

func (p *plan) weigh(b []byte) (int64, error) {
	s := scale{total: p.size}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		value := b[:n]
		b = b[n:]
		var f field
		if int(num) < len(p.fields) {
			f = p.fields[num]
		}
		if typ != protowire.BytesType {
			if f.list {
				s.total += 3 * f.element
			}
			continue
		}
		content, _ := protowire.ConsumeBytes(value)
		if err := s.add(f, content); err != nil {
			return 0, err
		}
	}
	return s.total, nil
}

// scale is what one message weighs so far.
type scale struct {
	total  int64
	packed int64 // bytes of packed numbers
	mapped bool  // it has an entry of a map
}

// add weighs one occurrence of a field that has a length.
func (s *scale) add(f field, content []byte) error {
	switch f.kind {
	case number:
		add := f.element * elements(content, f.element)
		if s.packed > 0 {
			s.total += 2*s.packed + 2*add
		}
		s.packed += add
		s.total += round(add)
	case varText:
		s.total += round(int64(len(content)))
		if f.list {
			s.total += 24 * 9 / 4
		}
	case message, entry:
		w, err := f.message.weigh(content)
		if err != nil {
			return err
		}
		s.total += w
		if f.list {
			s.total += 8 * 9 / 4
		}
		if f.kind == entry {
			s.total += 256
			if !s.mapped {
				s.total, s.mapped = s.total+512, true
			}
		}
	}
	return nil
}

// elements counts packed numbers: varints by their last bytes, doubles by their length.
func elements(b []byte, size int64) int64 {
	if size == 8 {
		return int64(len(b)) / 8
	}
	var n int64
	for _, c := range b {
		if c < 0x80 {
			n++
		}
	}
	return n
}

// round is what the allocator gives for n bytes at most: its sizes are 16 bytes apart, further on an eighth.
func round(n int64) int64 {
	if n <= 256 {
		return (n + 15) &^ 15
	}
	return n + n/8
}
