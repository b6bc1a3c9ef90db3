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

// testFormats are three formats: in the first a fact is called "a", in the second "b", in the third it is three times as much,
// which takes three portions.
func testFormats() formats {
	return formats{oldest: 1, newest: 3, steps: []step{
		func(x *tx, _ key) (key, error) {
			n, ok, err := load[int](x, metaKey("a"))
			if err != nil || !ok {
				return nil, errors.Join(err, fmt.Errorf("a is there: %v", ok))
			}
			return nil, errors.Join(x.remove(metaKey("a")), x.put(metaKey("b"), n))
		},
		func(x *tx, from key) (key, error) {
			n, _, err := load[int](x, metaKey("b"))
			was, _, err2 := load[int](x, metaKey("was"))
			if from == nil {
				was = n
			}
			if string(from) == "last" {
				return nil, errors.Join(err, err2, x.put(metaKey("b"), n+was), x.remove(metaKey("was")))
			}
			next := key("middle")
			if string(from) == "middle" {
				next, n = key("last"), n+was
			}
			return next, errors.Join(err, err2, x.put(metaKey("was"), was), x.put(metaKey("b"), n))
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
	if f, b := facts(t, e); f != 3 || b != 63 || len(told) != 1 || told[0] != "1→3" {
		t.Errorf("format %d, fact %d, backups %v; want 3, 63 and one backup", f, b, told)
	}
}

// TestMigrateInterrupted fails at every update in turn: the next start goes on where that one ended, and makes no backup of a
// store that is half of the one format and half of the other.
func TestMigrateInterrupted(t *testing.T) {
	for at, left := range map[int]int{1: 1, 2: 2, 3: 3, 4: 3} {
		t.Run(fmt.Sprint("update ", at), func(t *testing.T) {
			e := oldStore(t)
			e.failAt = at
			var backups []int
			o := Options{formats: testFormats(), BeforeMigration: func(from, _ int) error {
				if resume, err := newTx(fakeKV(e.kept), e.Name()).resume(); err != nil || resume != nil {
					t.Errorf("a backup is made in the middle, at %q: %v", resume, err)
				}
				backups = append(backups, from)
				return nil
			}}
			if _, err := New(e, o); !errors.Is(err, errPower) || !strings.Contains(err.Error(), "goes on where this one ended") {
				t.Fatalf("%v, want errPower", err)
			}
			if f, _ := facts(t, e); f != left {
				t.Errorf("the format is %d, want %d", f, left)
			}
			if at > 1 {
				old := formats{oldest: 1, newest: left - 1, steps: testFormats().steps[:max(0, left-2)]}
				if _, err := New(e, Options{formats: old}); !errors.Is(err, ErrNewer) {
					t.Errorf("an older release opens it: %v", err)
				}
			}
			e.failAt = 0
			if _, err := New(e, o); err != nil {
				t.Fatal(err)
			}
			if f, b := facts(t, e); f != 3 || b != 63 || len(e.kept) != 2 {
				t.Errorf("after a new start: format %d, fact %d, %d records; want 3, 63, 2", f, b, len(e.kept))
			}
			if slices.Contains(backups, 3) || len(backups) == 0 || backups[0] != 1 {
				t.Errorf("backups of formats %v", backups)
			}
		})
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
		"a failed step": {func(x *tx) error { return x.remove(metaKey("a")) }, Options{}, nil, "from format 1 to 2; the next start goes on"},
		"damage": {func(x *tx) error { return x.kv.Put(metaKey("a"), []byte("ma")) }, Options{}, ErrDamaged,
			"from format 1 to 2"},
		"newer":                {func(x *tx) error { return x.put(metaKey("format"), 4) }, Options{}, ErrNewer, "format 4, this release reads up to 3"},
		"a step to the oldest": {func(x *tx) error { return x.put(metaKey("migration"), []byte("x")) }, Options{}, ErrDamaged, "which is the oldest"},
		"too old":              {func(x *tx) error { return x.put(metaKey("format"), 0) }, Options{}, ErrDamaged, "format version 0"},
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
