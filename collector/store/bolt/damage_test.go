package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/store"
)

// sample makes a store with some history and returns its file's content and a digest of its records.
func sample(t *testing.T, changes int, more ...func(store.Tx) error) (content []byte, digest uint32) {
	t.Helper()
	path := file(t)
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range changes {
		if err := work(s, i+1); err != nil {
			t.Fatal(err)
		}
	}
	for _, fn := range more {
		if err := s.Update(context.Background(), "more", fn); err != nil {
			t.Fatal(err)
		}
	}
	digest, err = dump(s)
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	content, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content, digest
}

// harm damages a file in one of the ways disks, cables and people do, and says how.
func harm(b []byte, used int, r *rand.Rand) ([]byte, string) {
	const page = 4096
	pages := used / page
	switch r.IntN(9) {
	case 8:
		n := r.IntN(3 * page)
		return b[:n], fmt.Sprintf("cut to %d bytes", n)
	case 0:
		n := r.IntN(len(b))
		return b[:n], fmt.Sprintf("cut to %d bytes", n)
	case 1:
		n := r.IntN(pages) * page
		clear(b[n : n+page])
		return b, fmt.Sprintf("page %d zeroed", n/page)
	case 2:
		from, to := r.IntN(pages)*page, r.IntN(pages)*page
		copy(b[to:to+page], b[from:from+page])
		return b, fmt.Sprintf("page %d written over page %d", from/page, to/page)
	case 3:
		at := r.IntN(used - sector)
		for i := range sector {
			b[at+i] = byte(r.Uint32())
		}
		return b, fmt.Sprintf("garbage at %d", at)
	case 4: // heads of pages hold what leads elsewhere
		at := r.IntN(pages)*page + r.IntN(64)
		b[at] ^= 1 << r.IntN(8)
		return b, fmt.Sprintf("a bit of byte %d of page %d", at%page, at/page)
	default:
		at := r.IntN(used)
		b[at] ^= 1 << r.IntN(8)
		return b, fmt.Sprintf("a bit of byte %d of page %d", at%page, at/page)
	}
}

// TestDamage: a damaged file is refused, naming file and way out, or the damage lies where nothing is kept.
func TestDamage(t *testing.T) {
	r := dice(t)
	good, digest := sample(t, 60)
	used := len(good)
	for used > 0 && good[used-1] == 0 {
		used--
	}
	used = (used + 4095) &^ 4095
	path, refused, harmless := file(t), 0, 0
	for range rounds(500, 10_000) {
		bad, how := harm(append([]byte(nil), good...), used, r)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{})
		if err != nil {
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "backup") {
				t.Fatalf("%s: %v", how, err)
			}
			refused++
			continue
		}
		got, err := dump(s)
		if err != nil || got != digest {
			t.Errorf("%s: opened, and other data is served (%v)", how, err)
		}
		harmless++
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", how, err)
		}
	}
	t.Logf("%d refused, %d harmless, 0 served", refused, harmless)
	if refused < harmless/10 || harmless == 0 {
		t.Error("damage was hardly ever refused, or always: this proved little")
	}
}

// rewritten is the file at hand after one more transaction that changed one record without changing its length, so that
// the page is found again by the positions of its records.
func rewritten(t *testing.T, old []byte) (content []byte, digest uint32) {
	t.Helper()
	path := file(t)
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	const key = "Aa7\x00\x01"
	err = s.engine.Update(context.Background(), func(kv store.KV) error {
		v, err := kv.Get([]byte(key))
		if err != nil || v == nil {
			return fmt.Errorf("no record to change: %w", err)
		}
		before, users, ok := strings.Cut(string(v[6:]), `"users":`)
		if !ok {
			return fmt.Errorf("no number to change in %q", v)
		}
		digit := '1' + (users[0]-'0')%9 // another one
		return kv.Put([]byte(key), sealed(key, before+`"users":`+string(rune(digit))+users[1:]))
	})
	digest, err2 := dump(s)
	if err = errors.Join(err, err2, s.Close()); err != nil {
		t.Fatal(err)
	}
	content, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content, digest
}

// TestStalePage puts the newest pages' older versions in their places, one by one, as when a write is lost: each is
// sound by itself, so only the total over all records can tell. A page that nobody uses any more may be anything.
func TestStalePage(t *testing.T) {
	old, _ := sample(t, 40)
	now, digest := rewritten(t, old)
	path, stale := file(t), 0
	for p := 2; p < len(now)/4096; p++ {
		for q := 2; q < len(old)/4096; q++ {
			a, b := now[p*4096:(p+1)*4096], old[q*4096:(q+1)*4096]
			if a[8] != leafFlag || b[8] != leafFlag || string(a[8:]) == string(b[8:]) || leafKeys(a) != leafKeys(b) ||
				leafKeys(a) == `"records" ` {
				continue // not the same leaf, or not another version of it, or the root with its total: all of an older state
			}
			bad := append([]byte(nil), now...)
			copy(bad[p*4096+8:(p+1)*4096], b[8:])
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(path, Options{})
			if err == nil {
				if got, err := dump(s); err != nil || got != digest {
					t.Errorf("page %d in its old version is served: %v", p, err)
				}
				_ = s.Close()
				continue
			}
			stale++
			if !errors.Is(err, store.ErrDamaged) {
				t.Errorf("page %d in its old version: %v", p, err)
			}
		}
	}
	if stale == 0 {
		t.Error("no page could be put back to an older version: this proved nothing")
	}
}

// leafKeys are the keys of a leaf page, as far as they lie in it.
func leafKeys(page []byte) string {
	var out strings.Builder
	for i := range int(binary.LittleEndian.Uint16(page[10:])) {
		element := 16 + 16*i // flags, position from here, length of the key, length of the value: 4 bytes each
		if element+16 > len(page) {
			break
		}
		from := element + int(binary.LittleEndian.Uint32(page[element+4:]))
		to := from + int(binary.LittleEndian.Uint32(page[element+8:]))
		if to > len(page) {
			break
		}
		fmt.Fprintf(&out, "%q ", page[from:to])
	}
	return out.String()
}

// TestDamageUnderWay damages the file of a store that is open. What is read is what was written or ErrDamaged, and the
// process lives on.
func TestDamageUnderWay(t *testing.T) {
	r := dice(t)
	good, _ := sample(t, 60)
	var noticed int
	for range rounds(40, 1000) {
		path := filepath.Join(t.TempDir(), "watchbill.db")
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		was := map[string]string{}
		read := func(each func(k, v []byte)) error {
			return s.engine.View(context.Background(), func(kv store.KV) error {
				return kv.Scan(nil, nil, false, func(k, v []byte) (bool, error) {
					if err := store.CheckRecord(k, v); err != nil {
						return false, fmt.Errorf("%w: %w", store.ErrDamaged, err)
					}
					each(k, v)
					return true, nil
				})
			})
		}
		if err := read(func(k, v []byte) { was[string(k)] = string(v) }); err != nil {
			t.Fatal(err)
		}
		bad, how := harm(append([]byte(nil), good...), len(good)/4, r)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		err = read(func(k, v []byte) {
			if was[string(k)] != string(v) {
				t.Errorf("%s: %q is served with another value", how, k)
			}
		})
		if err != nil {
			noticed++
			if !errors.Is(err, store.ErrDamaged) {
				t.Errorf("%s: %v", how, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: close: %v", how, err)
		}
	}
	if noticed == 0 {
		t.Error("no damage was noticed: this proved nothing")
	}
}

// sealed is a record as the format says: kind, version 1, CRC-32C over key, kind, version and payload.
func sealed(key, payload string) []byte {
	head := []byte{key[0], 1}
	sum := crc32.Checksum([]byte(key+string(head)+payload), castagnoli)
	return append(binary.BigEndian.AppendUint32(head, sum), payload...)
}
