package store_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Open)
}

// raw writes bytes past the typed layer.
func raw(t *testing.T, e store.Engine, key string, value []byte) {
	t.Helper()
	if err := e.Update(context.Background(), func(kv store.KV) error { return kv.Put([]byte(key), value) }); err != nil {
		t.Fatal(err)
	}
}

// record seals a payload as the format says, written anew here: kind, version 1, CRC-32C of key, kind, version, payload.
func record(key, payload string) []byte {
	head := []byte{key[0], 1}
	sum := crc32.Checksum([]byte(key+string(head)+payload), crc32.MakeTable(crc32.Castagnoli))
	return append(binary.BigEndian.AppendUint32(head, sum), payload...)
}

func TestFormat(t *testing.T) {
	const key = "mformat\x00\x01"
	for name, c := range map[string]struct {
		key, value string
		want       error
		says       []string
	}{
		"newer":           {key, string(record(key, "99")), store.ErrNewer, []string{"format 99", fmt.Sprint("up to ", store.Format), "memory"}},
		"nonsense":        {key, string(record(key, "-3")), store.ErrDamaged, []string{"format version -3"}},
		"not a number":    {key, string(record(key, "{}")), store.ErrDamaged, []string{`fact "format"`}},
		"altered":         {key, string(record(key, "1"))[:6] + "2", store.ErrDamaged, []string{`fact "format"`, "checksum"}},
		"cut short":       {key, "m", store.ErrDamaged, []string{`fact "format"`, "cut short"}},
		"lost":            {"tx\x00\x01", string(record("tx\x00\x01", "{}")), store.ErrDamaged, []string{"without a format version"}},
		"of another kind": {key, "a" + string(record(key, "1"))[1:], store.ErrDamaged, []string{`fact "format"`}},
	} {
		t.Run(name, func(t *testing.T) {
			e := storetest.NewMemory()
			raw(t, e, c.key, []byte(c.value))
			_, err := store.New(e, store.Options{})
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}

// TestDamage alters every bit of every record, one after the other, and reads what it belongs to.
func TestDamage(t *testing.T) {
	ctx := context.Background()
	e := storetest.NewMemory()
	s, err := store.New(e, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(ctx, "", func(tx store.Tx) error { return tx.PutAsset(fleet.Asset{Name: "web1", Users: 4}) })
	if err != nil {
		t.Fatal(err)
	}
	const key = "Aweb1\x00\x01"
	var good []byte
	if err := e.View(ctx, func(kv store.KV) (err error) { good, err = kv.Get([]byte(key)); return err }); err != nil || good == nil {
		t.Fatalf("the asset is not under %q: %v", key, err)
	}
	for bit := range len(good) * 8 {
		bad := append([]byte(nil), good...)
		bad[bit/8] ^= 1 << (bit % 8)
		raw(t, e, key, bad)
		err := s.View(ctx, func(tx store.Tx) error {
			a, ok, err := tx.Asset("web1")
			if err == nil {
				t.Errorf("bit %d: served %+v, %v", bit, a, ok)
			}
			return err
		})
		if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), `asset "web1"`) || !strings.Contains(err.Error(), "backup") {
			t.Fatalf("bit %d: %v", bit, err)
		}
		if err := s.View(ctx, func(tx store.Tx) error { _, err := tx.Assets(); return err }); !errors.Is(err, store.ErrDamaged) {
			t.Fatalf("bit %d, list: %v", bit, err)
		}
	}
	// A closure that overlooks damage is not committed.
	err = s.Update(ctx, "", func(tx store.Tx) error {
		_, _, _ = tx.Asset("web1")
		return tx.PutAsset(fleet.Asset{Name: "web2"})
	})
	if !errors.Is(err, store.ErrDamaged) {
		t.Errorf("an update that met damage: %v", err)
	}
	// A good record under another's key is noticed too.
	raw(t, e, "Aweb3\x00\x01", good)
	err = s.View(ctx, func(tx store.Tx) error { _, _, err := tx.Asset("web3"); return err })
	if !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a record under another key: %v", err)
	}
}

// TestMissing takes away, one at a time, every record that others lead to.
func TestMissing(t *testing.T) {
	ctx := context.Background()
	for _, lost := range []string{"tt001001\x00\x01", "et001001\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01", "qm1\x00\x01"} {
		e := storetest.NewMemory()
		s, err := store.New(e, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		made, line := storetest.Birth(1001, "key", time.Unix(0, 0))
		err = s.Update(ctx, "", func(tx store.Tx) error {
			return errors.Join(tx.CreateTicket(made, line), tx.PutMessage(outbox.Message{ID: "m1", State: outbox.Queued, NextAt: time.Unix(0, 0)}))
		})
		if err != nil {
			t.Fatal(err)
		}
		read := func(tx store.Tx) error {
			_, err := tx.Tickets(store.TicketFilter{})
			_, err2 := tx.TicketByNumber("WB-1001")
			_, _, err3 := tx.OpenTicket("key")
			_, err4 := tx.Timeline(made.ID)
			_, _, err5 := tx.DueMessages(time.Unix(1, 0), 0)
			return errors.Join(err, err2, err3, err4, err5)
		}
		if err := s.View(ctx, read); err != nil {
			t.Fatal(err)
		}
		err = e.Update(ctx, func(kv store.KV) error {
			if v, _ := kv.Get([]byte(lost)); v == nil {
				return fmt.Errorf("there is nothing under %q", lost)
			}
			return kv.Delete([]byte(lost))
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.View(ctx, read); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("without %q: %v", lost, err)
		}
	}
}

// TestDecisionsAge: decisions are forgotten after a day and not before, a few at a time.
func TestDecisionsAge(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC)
	e := storetest.NewMemory()
	s, err := store.New(e, store.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	decide := func(name string) {
		t.Helper()
		if err := s.Update(ctx, name, func(store.Tx) error { ran++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	size := func() (n int) {
		_ = e.View(ctx, func(kv store.KV) error {
			return kv.Scan([]byte("D"), []byte("e"), false, func([]byte, []byte) (bool, error) { n++; return true, nil })
		})
		return n
	}
	for i := range 40 {
		decide(fmt.Sprint("old ", i))
	}
	now = now.Add(24 * time.Hour)
	for i := range 40 {
		decide(fmt.Sprint("old ", i))
	}
	if ran != 40 {
		t.Fatalf("after exactly a day %d closures had run, want 40", ran)
	}
	now = now.Add(time.Second)
	before := size()
	decide("new")
	if shrunk := before - size(); shrunk < 2 || shrunk > 10 {
		t.Errorf("one update changed the number of decisions' records by %d, want a few", -shrunk)
	}
	for i := range 20 {
		decide(fmt.Sprint("newer ", i))
	}
	if n := size(); n != 21*2 {
		t.Errorf("%d records of decisions are left, want those of the 21 new ones", n)
	}
}
