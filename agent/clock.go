package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/watchbill/watchbill/agent/push"
)

// maxStep is how far wall and monotonic clock, or this epoch's offset and a newly learnt one, may part before a new
// epoch begins (DESIGN D11).
const maxStep = 2 * time.Second

// clock tells corrected time: the collector's, as far as it is known. Within an epoch it runs on the monotonic clock with
// one offset, so that nothing that happens to the wall clock bends the time line. It is used by one goroutine.
type clock struct {
	wall func() time.Time
	mono func() time.Duration

	// offset is the collector's clock minus this host's, as this epoch uses it.
	offset time.Duration
	// learnt says that offset came from the collector, now or in an earlier run.
	learnt bool
	// measured is the offset as last measured, give or take uncertainty; offset follows it only into a new epoch.
	measured, uncertainty time.Duration

	anchorWall time.Time
	anchorMono time.Duration
}

func newClock(wall func() time.Time) *clock {
	start := time.Now()
	c := &clock{wall: func() time.Time { return wall().Round(0) }, mono: func() time.Duration { return time.Since(start) }}
	c.anchor()
	return c
}

// anchor ties the time line to the wall clock as it is now.
func (c *clock) anchor() { c.anchorWall, c.anchorMono = c.wall(), c.mono() }

// now is corrected time.
func (c *clock) now() time.Time {
	return c.anchorWall.Add(c.offset + c.mono() - c.anchorMono)
}

// stepped is by how much the wall clock has left the monotonic one since the anchor: somebody set it, or the host slept.
func (c *clock) stepped() time.Duration {
	return c.wall().Sub(c.anchorWall) - (c.mono() - c.anchorMono)
}

// restart begins a time line with what is known of the offset. step is what stepped said.
//
// When nobody can be asked: a step that brings the wall clock near corrected time was somebody setting it right, and a
// step back can be nothing but a correction; then corrected time runs on. Any other step forward is a host that slept:
// then the wall clock is right and the offset stays.
func (c *clock) restart(step time.Duration) {
	set := step < 0 || (c.offset-step).Abs() < c.offset.Abs()
	if set && c.learnt {
		c.offset -= step
		c.measured = c.offset
	}
	c.anchor()
}

// learn takes the offset that the collector's clock gave.
func (c *clock) learn(a push.Answer) {
	c.measured, c.uncertainty = a.Offset()
	c.learnt = true
}

// fits reports whether an offset is that of the time line, as far as one can tell. The time line's own is taken as it is
// now, which a small step of the wall clock may have moved.
func (c *clock) fits(offset, uncertainty time.Duration) bool {
	return (offset - (c.offset - c.stepped())).Abs() <= maxStep+uncertainty.Abs()
}

// follow begins a time line with the offset last measured.
func (c *clock) follow() {
	c.offset = c.measured
	c.anchor()
}

// clockState is clock.json: an agent that starts without a line stamps by what it last knew.
type clockState struct {
	OffsetMs   int64     `json:"offset_ms"`
	MeasuredAt time.Time `json:"measured_at"`
}

func (c *clock) load(dir string) error {
	raw, err := os.ReadFile(clockFile(dir))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the last clock offset: %w", err)
	}
	var s clockState
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("read the last clock offset in %s: %w", clockFile(dir), err)
	}
	c.measured, c.learnt = time.Duration(s.OffsetMs)*time.Millisecond, true
	c.follow()
	return nil
}

// save is a plain write and rename: a lost offset is learnt again.
func (c *clock) save(dir string) error {
	raw, err := json.Marshal(clockState{OffsetMs: c.measured.Milliseconds(), MeasuredAt: c.wall().UTC()})
	if err != nil {
		return fmt.Errorf("keep the clock offset: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep the clock offset: %w", err)
	}
	if err := os.WriteFile(clockFile(dir)+".new", raw, 0o600); err != nil {
		return fmt.Errorf("keep the clock offset: %w", err)
	}
	if err := os.Rename(clockFile(dir)+".new", clockFile(dir)); err != nil {
		return fmt.Errorf("keep the clock offset: %w", err)
	}
	return nil
}

func clockFile(dir string) string { return filepath.Join(dir, "clock.json") }
