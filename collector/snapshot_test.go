package collector

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// stopped is a collector's configuration after it heard twenty minutes of a host and stopped in order.
func stopped(t *testing.T) (cfg Config, began time.Time) {
	t.Helper()
	cfg = testConfig(t, lookingBack)
	s := newStage(t, cfg)
	began = s.at.Truncate(time.Minute)
	for i := range 20 {
		s.at = began.Add(time.Duration(i) * time.Minute)
		if err := s.sink.Apply(t.Context(), minutely(s.at, began.Add(-24*time.Hour), uint64(i+1), 50)); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	return cfg, began
}

// hear applies the report of a minute; it is late when late is true.
func hear(t *testing.T, s *stage, began time.Time, minute int, late bool) {
	t.Helper()
	r := minutely(began.Add(time.Duration(minute)*time.Minute), began.Add(-24*time.Hour), uint64(minute+1), 50)
	if late {
		r.Replayed, r.Lane, r.ReceivedAt = true, wire.LaneReplay, s.at
		r.Blocks[0].Late = true
	} else {
		s.at = r.MadeAt
	}
	if err := s.sink.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func completeSince(t *testing.T, s *stage) time.Time {
	t.Helper()
	at, ok := s.window.CompleteSince("web1")
	if !ok {
		t.Fatal("web1 was not heard of")
	}
	return at
}

// Nothing was missed between stop and start: the window is whole with the first report, without a replay.
func TestTheWindowOutlivesAnOrderlyStop(t *testing.T) {
	cfg, began := stopped(t)
	path := filepath.Join(cfg.Storage.Path, windowSnapshot)
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("the snapshot is %v, %v; want it there for its owner only", fi, err)
	}
	s := newStage(t, cfg)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the snapshot is still there: %v", err)
	}
	hear(t, s, began, 20, false)
	if got := completeSince(t, s); !got.Equal(began) {
		t.Errorf("complete since %v, want %v", got, began)
	}
}

// What came between stop and start is not here until the agent has sent it again.
func TestTheGapIsNotTakenForComplete(t *testing.T) {
	cfg, began := stopped(t)
	s := newStage(t, cfg)
	hear(t, s, began, 30, false)
	if got, want := completeSince(t, s), began.Add(30*time.Minute); !got.Equal(want) {
		t.Errorf("after a gap of ten minutes it is complete since %v, want %v", got, want)
	}
	for minute := 20; minute < 30; minute++ {
		hear(t, s, began, minute, true)
	}
	hear(t, s, began, 31, false)
	if got := completeSince(t, s); !got.Equal(began) {
		t.Errorf("with the gap filled it is complete since %v, want %v", got, began)
	}
}

// A snapshot that is not whole is said and put away; the start goes on without it.
func TestADamagedSnapshotIsLeftAlone(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut short":        func(b []byte) []byte { return b[:len(b)/2] },
		"a bit flipped":    func(b []byte) []byte { b[len(b)/3] ^= 4; return b },
		"its reports gone": func(b []byte) []byte { return b[:len(b)-20] },
		"of a newer release": func(b []byte) []byte {
			return bytes.Replace(b, []byte("wb window\x00\x01"), []byte("wb window\x00\x02"), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, began := stopped(t)
			path := filepath.Join(cfg.Storage.Path, windowSnapshot)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			s := newStage(t, cfg)
			hear(t, s, began, 20, false)
			if got, want := completeSince(t, s), began.Add(20*time.Minute); !got.Equal(want) {
				t.Errorf("complete since %v, want %v: nobody knows what is here from before", got, want)
			}
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("the snapshot is still there: %v", err)
			}
		})
	}
}
