package sample

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

func happened(text string) *wire.Event { return &wire.Event{Kind: "log_error", Text: text} }

func texts(events []*wire.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, e.Text)
	}
	return strings.Join(all, "; ")
}

func TestRepeatsAreCounted(t *testing.T) {
	r := newRepeats()
	at := time.Unix(1763763400, 0)
	step := func(after time.Duration, want string, keys ...string) {
		t.Helper()
		at = at.Add(after)
		for _, k := range keys {
			r.add(k, happened(k))
		}
		if got := texts(r.take(at)); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	step(0, "a (2 times); b", "a", "a", "b")
	step(10*time.Second, "", "a", "a", "a")
	step(51*time.Second, "a (4 times)", "a")
	step(61*time.Second, "", "a") // the wait has doubled
	step(60*time.Second, "a")
	step(3*time.Hour, "a", "a") // forgotten in between, so new
	if len(r.open) != 1 {
		t.Errorf("%d things are remembered, want one", len(r.open))
	}
}

func TestRepeatsAreBounded(t *testing.T) {
	r := newRepeats()
	at := time.Unix(1763763400, 0)
	told, seen := 0, 0
	for second := range 3600 {
		for i := range 5 {
			r.add(fmt.Sprint(second, i), happened("x"))
		}
		for _, e := range r.take(at.Add(time.Duration(second) * time.Second)) {
			var n int
			if _, err := fmt.Sscan(e.Fields["count"], &n); err != nil {
				t.Fatal(err)
			}
			told, seen = told+1, seen+n
		}
		if len(r.open) > repeatKinds {
			t.Fatalf("%d things are remembered", len(r.open))
		}
	}
	if most := eventsAtOnce + int(time.Hour/eventsEvery); told > most || told < most/2 {
		t.Errorf("%d events in an hour, want about %d", told, most)
	}
	for _, o := range r.open {
		seen += o.count
	}
	if seen += r.beyond; seen != 5*3600 {
		t.Errorf("%d of %d were counted", seen, 5*3600)
	}
}

func TestState(t *testing.T) {
	dir := t.TempDir()
	var got map[string]int
	if ok, err := lastState(dir, "x.json", &got); ok || err != nil {
		t.Errorf("without a state: %t, %v", ok, err)
	}
	if err := keepState(dir, "x.json", map[string]int{"a": 1}); err != nil {
		t.Fatal(err)
	}
	if ok, err := lastState(dir, "x.json", &got); !ok || err != nil || got["a"] != 1 {
		t.Errorf("%t, %v, %v", ok, err, got)
	}
	write(t, filepath.Join(dir, "x.json"), `{"a":`)
	if ok, err := lastState(dir, "x.json", &got); ok || err == nil || !strings.Contains(err.Error(), "begins anew") {
		t.Errorf("a damaged state: %t, %v", ok, err)
	}
	if ok, err := lastState(dir, "x.json", &got); ok || err != nil {
		t.Errorf("a damaged state is in the way again: %t, %v", ok, err)
	}
	if err := keepState(filepath.Join(dir, "none"), "x.json", 1); err == nil {
		t.Error("a state was kept in no directory")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
