package store

import (
	"bytes"
	"cmp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestKeyOrder: keys sort as what they are made of, and come apart again.
func TestKeyOrder(t *testing.T) {
	text := rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xfe, 0xff}), 0, 4).Draw(t, "bytes"))
	})
	at := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC()
	})
	rapid.Check(t, func(t *rapid.T) {
		s1, s2, t1, t2 := text.Draw(t, "s1"), text.Draw(t, "s2"), at.Draw(t, "t1"), at.Draw(t, "t2")
		n1, n2 := rapid.Uint64().Draw(t, "n1"), rapid.Uint64().Draw(t, "n2")
		a, b := tableMeta.key().str(s1).time(t1).num(n1), tableMeta.key().str(s2).time(t2).num(n2)
		want := cmp.Or(strings.Compare(s1, s2), t1.Compare(t2), cmp.Compare(n1, n2))
		if got := bytes.Compare(a, b); got != want {
			t.Fatalf("%x and %x compare as %d, their parts as %d", a, b, got, want)
		}
		p := split(a)
		if s, at, n := p.str(), p.time(), p.num(); s != s1 || !at.Equal(t1) || n != n1 || p.bad || len(p.rest) > 0 {
			t.Fatalf("%x came apart as %q, %v, %d; bad %v, left %x", a, s, at, n, p.bad, p.rest)
		}
		under := tableMeta.key().str(s1)
		inside := bytes.Compare(b, under) >= 0 && (under.after() == nil || bytes.Compare(b, under.after()) < 0)
		if inside != (s1 == s2) {
			t.Fatalf("whether %x lies under %x: %v", b, under, inside)
		}
	})
}

func TestAfter(t *testing.T) {
	for in, want := range map[string]string{"a": "b", "a\xff": "b", "\xff\xff": "", "": "", "a\x00": "a\x01"} {
		if got := key(in).after(); string(got) != want {
			t.Errorf("after %q: got %q, want %q", in, got, want)
		}
	}
}

func TestTables(t *testing.T) {
	names := map[string]bool{}
	for letter, about := range tables {
		if names[about.name] {
			t.Errorf("two tables are called %q", about.name)
		}
		names[about.name] = true
		k := letter.key()
		for _, part := range about.layout {
			switch part {
			case 's':
				k = k.str("x")
			case 'n':
				k = k.num(7)
			case 't':
				k = k.time(time.Unix(0, 0))
			}
		}
		if got := describe(k); !strings.HasPrefix(got, about.name) || strings.Contains(got, "unreadable") {
			t.Errorf("a key of table %q is described as %q", about.name, got)
		}
	}
}

// FuzzRecord: whatever bytes an engine hands up, they are refused or are exactly what seal makes.
func FuzzRecord(f *testing.F) {
	k := ticketKey("t1")
	f.Add([]byte(k), seal(k, []byte("{}")))
	f.Add([]byte{}, []byte{})
	f.Add([]byte("a\x00"), []byte("a\x01\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, k, v []byte) {
		if describe(k) == "" {
			t.Error("a key without a description")
		}
		payload, err := open(k, v)
		if err == nil && !bytes.Equal(seal(k, payload), v) {
			t.Errorf("accepted %x under %x, which is not what seal writes", v, k)
		}
	})
}
