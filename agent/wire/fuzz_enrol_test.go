package wire_test

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// fuzzMessage holds the decoding of one kind of message to its promise: any body is taken in or refused with an *Error, and
// what is taken in is the same when it is encoded again. check looks at what was taken in.
func fuzzMessage[M proto.Message](f *testing.F, golden string, fresh func() M, check func(*testing.T, M)) {
	good := goldenFile(f, golden)
	f.Add(good, false)
	f.Add(packed(f, good, wire.ZstdWindow), true)
	f.Add(good[:len(good)/2], false)
	f.Add(append(bytes.Clone(good), good...), false) // every field twice
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xff}, true)
	f.Add([]byte{}, false)
	max := wire.DefaultLimits()
	f.Fuzz(func(t *testing.T, body []byte, zstd bool) {
		coding := ""
		if zstd {
			coding = wire.CodingZstd
		}
		m := fresh()
		if err := wire.Decode(bytes.NewReader(body), coding, max, m); err != nil {
			var e *wire.Error
			if !errors.As(err, &e) || e.Reason == "" || e.Text == "" || !utf8.ValidString(e.Text) {
				t.Fatalf("a body can only be refused with an *Error that can be shown, got %T: %v", err, err)
			}
			return
		}
		if len(m.ProtoReflect().GetUnknown()) > 0 {
			t.Fatal("fields that this release does not know are kept")
		}
		check(t, m)
		again, coding, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		same := fresh()
		if err := wire.Decode(bytes.NewReader(again), coding, max, same); err != nil || !proto.Equal(m, same) {
			t.Fatalf("read again it is\n%v\nand was\n%v\nerror %v", same, m, err)
		}
	})
}

// An inventory that passes can be kept and shown.
func FuzzDecodeEnrol(f *testing.F) {
	max := wire.DefaultLimits()
	fuzzMessage(f, "enrol", func() *wire.Enrol { return &wire.Enrol{} }, func(t *testing.T, m *wire.Enrol) {
		v := m.GetInventory()
		if err := wire.CheckInventory(v, max); err != nil {
			var e *wire.Error
			if !errors.As(err, &e) || e.Reason == "" || e.Text == "" {
				t.Fatalf("an inventory can only be refused with an *Error, got %T: %v", err, err)
			}
			return
		}
		for _, text := range append([]string{
			v.GetHostname(), v.GetOs(), v.GetOsVersion(), v.GetKernel(), v.GetArchitecture(), v.GetMachineId(), v.GetBootId(),
			v.GetAgentVersion(), v.GetZone(),
		}, v.GetAddresses()...) {
			if len(text) > max.WordBytes || !utf8.ValidString(text) {
				t.Fatalf("an inventory passed with %q", text)
			}
		}
	})
}

func FuzzDecodeEnrolled(f *testing.F) {
	fuzzMessage(f, "enrolled", func() *wire.Enrolled { return &wire.Enrolled{} }, func(*testing.T, *wire.Enrolled) {})
}

func FuzzDecodeHello(f *testing.F) {
	fuzzMessage(f, "hello", func() *wire.Hello { return &wire.Hello{} }, func(*testing.T, *wire.Hello) {})
}
