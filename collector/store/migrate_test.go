package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// fakeEngine is a small engine of the test's own: this package's tests cannot use storetest's, which imports it.
type fakeEngine struct {
	kept map[string][]byte
	// failAt is the update that fails, counted from 1; none when 0.
	updates, failAt int
}

type fakeKV map[string][]byte

func (k fakeKV) Get(key []byte) ([]byte, error) { return k[string(key)], nil }
func (k fakeKV) Put(key, value []byte) error    { k[string(key)] = value; return nil }
func (k fakeKV) Delete(key []byte) error        { delete(k, string(key)); return nil }
func (k fakeKV) Scan(from, to []byte, _ bool, fn func(key, value []byte) (bool, error)) error {
	for _, key := range slices.Sorted(maps.Keys(k)) {
		if key < string(from) || to != nil && key >= string(to) {
			continue
		}
		if more, err := fn([]byte(key), k[key]); err != nil || !more {
			return err
		}
	}
	return nil
}

var errPower = errors.New("the power went")

func (e *fakeEngine) Update(_ context.Context, fn func(KV) error) error {
	if e.updates++; e.updates == e.failAt {
		return errPower
	}
	draft := fakeKV(maps.Clone(e.kept))
	if draft == nil {
		draft = fakeKV{}
	}
	if err := fn(draft); err != nil {
		return err
	}
	e.kept = draft
	return nil
}
func (e *fakeEngine) View(_ context.Context, fn func(KV) error) error { return fn(fakeKV(e.kept)) }
func (e *fakeEngine) Name() string                                    { return "test.db" }
func (e *fakeEngine) Close() error                                    { return nil }

// testFormats are three formats: in the first a fact is called "a", in the second "b", in the third it is doubled.
func testFormats() formats {
	return formats{oldest: 1, newest: 3, steps: []step{
		func(x *tx) error {
			n, ok, err := load[int](x, metaKey("a"))
			if err != nil || !ok {
				return errors.Join(err, fmt.Errorf("a is there: %v", ok))
			}
			return errors.Join(x.remove(metaKey("a")), x.put(metaKey("b"), n))
		},
		func(x *tx) error {
			n, _, err := load[int](x, metaKey("b"))
			return errors.Join(err, x.put(metaKey("b"), 2*n))
		},
	}}
}

// oldStore is a store in format 1.
func oldStore(t *testing.T) *fakeEngine {
	t.Helper()
	e := &fakeEngine{}
	err := e.Update(context.Background(), func(kv KV) error {
		x := newTx(kv, e.Name())
		return errors.Join(x.put(metaKey("format"), 1), x.put(metaKey("a"), 21))
	})
	if err != nil {
		t.Fatal(err)
	}
	e.updates = 0
	return e
}

func facts(t *testing.T, e *fakeEngine) (format, b int) {
	t.Helper()
	x := newTx(fakeKV(e.kept), e.Name())
	format, _, err := load[int](x, metaKey("format"))
	b, _, err2 := load[int](x, metaKey("b"))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return format, b
}

func TestMigrate(t *testing.T) {
	e := oldStore(t)
	var told []string
	before := func(from, to int) error {
		if f, _ := facts(t, e); f != from {
			t.Errorf("format %d when the backup is made, want %d", f, from)
		}
		told = append(told, fmt.Sprint(from, "→", to))
		return nil
	}
	for range 2 { // the second time there is nothing to do
		if _, err := New(e, Options{BeforeMigration: before, formats: testFormats()}); err != nil {
			t.Fatal(err)
		}
	}
	if f, b := facts(t, e); f != 3 || b != 42 || len(told) != 1 || told[0] != "1→3" {
		t.Errorf("format %d, fact %d, backups %v; want 3, 42 and one backup", f, b, told)
	}
}

// TestMigrateInterrupted fails at every update in turn: the next start goes on where that one ended.
func TestMigrateInterrupted(t *testing.T) {
	for at := 1; at <= 2; at++ {
		e := oldStore(t)
		e.failAt = at
		if _, err := New(e, Options{formats: testFormats()}); !errors.Is(err, errPower) {
			t.Fatalf("update %d: %v, want errPower", at, err)
		}
		if f, _ := facts(t, e); f != at {
			t.Errorf("after update %d failed the format is %d", at, f)
		}
		e.failAt = 0
		if _, err := New(e, Options{formats: testFormats()}); err != nil {
			t.Fatal(err)
		}
		if f, b := facts(t, e); f != 3 || b != 42 {
			t.Errorf("after update %d failed and a new start: format %d, fact %d", at, f, b)
		}
	}
}

func TestMigrateRefuses(t *testing.T) {
	full := errors.New("no room")
	for name, c := range map[string]struct {
		change func(*tx) error
		o      Options
		want   error
		says   string
	}{
		"no backup":     {nil, Options{BeforeMigration: func(int, int) error { return full }}, full, "nothing was changed"},
		"a failed step": {func(x *tx) error { return x.remove(metaKey("a")) }, Options{}, nil, "from format 1 to 2; it stays at 1"},
		"damage": {func(x *tx) error { return x.kv.Put(metaKey("a"), []byte("ma")) }, Options{}, ErrDamaged,
			"from format 1 to 2"},
		"newer":   {func(x *tx) error { return x.put(metaKey("format"), 4) }, Options{}, ErrNewer, "format 4, this release reads up to 3"},
		"too old": {func(x *tx) error { return x.put(metaKey("format"), 0) }, Options{}, ErrDamaged, "format version 0"},
	} {
		t.Run(name, func(t *testing.T) {
			e := oldStore(t)
			if c.change != nil {
				if err := e.Update(context.Background(), func(kv KV) error { return c.change(newTx(kv, e.Name())) }); err != nil {
					t.Fatal(err)
				}
			}
			before := maps.Clone(e.kept)
			c.o.formats = testFormats()
			_, err := New(e, c.o)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v that says %q", err, c.want, c.says)
			}
			if !maps.EqualFunc(before, e.kept, slices.Equal) {
				t.Error("something was changed")
			}
		})
	}
}

// TestReleased: every format since the oldest has its step, and Format is the newest.
func TestReleased(t *testing.T) {
	f := released()
	if f.newest != Format || len(f.steps) != f.newest-f.oldest {
		t.Errorf("formats %d to %d with %d steps, Format is %d", f.oldest, f.newest, len(f.steps), Format)
	}
}
