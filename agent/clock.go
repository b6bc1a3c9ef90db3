package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/watchbill/watchbill/agent/push"
	"github.com/watchbill/watchbill/agent/wire"
)

// maxStep is how far wall and monotonic clock, or this epoch's line and the collector's clock, may part before a new
// epoch begins (DESIGN D11).
const maxStep = 2 * time.Second

const (
	// maxDrift is how fast two clocks may part unseen, one in so many: 500 ppm, as far as Linux lets a time service bend a
	// clock (adjtimex(2), "freq").
	maxDrift = 2000
	// notMeasured is the uncertainty of what nobody measured: any exchange tells more.
	notMeasured = 100 * 365 * 24 * time.Hour
)

// exchange is what one answer told: the collector's clock showed now when this host's monotonic one showed at, give or
// take uncertainty. The wall clock has no part in it, so nothing that is done to that one makes it wrong.
type exchange struct {
	now         time.Time
	at          time.Duration
	uncertainty time.Duration
}

// doubt is the exchange's uncertainty by the time at, when the clocks have had time to drift apart.
func (x exchange) doubt(at time.Duration) time.Duration {
	return x.uncertainty + (at-x.at).Abs()/maxDrift
}

// clock tells corrected time: the collector's, as far as it is known. Within an epoch it runs on the monotonic clock with
// one offset, so that nothing that happens to the wall clock bends the time line. It is used by one goroutine.
type clock struct {
	wall func() time.Time
	mono func() time.Duration

	// offset is the collector's clock minus this host's, as this epoch uses it; when the epoch began it was known to
	// within uncertainty. One that was guessed has none: nothing speaks for it against an exchange.
	offset, uncertainty time.Duration
	// learnt says that offset came from the collector, now or in an earlier run.
	learnt bool
	// best is the exchange that tells most of the collector's clock; offset follows it only into a new epoch.
	best exchange

	anchorWall time.Time
	anchorMono time.Duration
}

func newClock(wall func() time.Time) *clock {
	start := time.Now()
	c := &clock{wall: func() time.Time { return wall().Round(0) }, mono: func() time.Duration { return time.Since(start) }}
	c.anchor()
	c.guess(notMeasured)
	return c
}

// anchor ties the time line to the wall clock as it is now.
func (c *clock) anchor() { c.anchorWall, c.anchorMono = c.wall(), c.mono() }

// guess takes the time line itself for the best that is known of the collector's clock.
func (c *clock) guess(uncertainty time.Duration) {
	c.best = exchange{now: c.now(), at: c.mono(), uncertainty: uncertainty}
}

// now is corrected time.
func (c *clock) now() time.Time { return c.line(c.mono()) }

// line is corrected time at a time of the monotonic clock.
func (c *clock) line(at time.Duration) time.Time {
	return c.anchorWall.Add(c.offset + at - c.anchorMono)
}

// ahead is by how much the collector's clock was ahead of the time line.
func (c *clock) ahead(x exchange) time.Duration { return x.now.Sub(c.line(x.at)) }

// correction is by how much the collector's clock is ahead of the time line; 0 when that is not known to within a step.
func (c *clock) correction() time.Duration {
	if c.best.uncertainty > maxStep {
		return 0
	}
	return c.ahead(c.best)
}

// measured is the collector's clock minus this host's wall clock as it is now, as far as it is known.
func (c *clock) measured() time.Duration { return c.offset + c.correction() - c.stepped() }

// stepped is by how much the wall clock has left the monotonic one since the anchor: somebody set it, or the host slept.
func (c *clock) stepped() time.Duration {
	return c.wall().Sub(c.anchorWall) - (c.mono() - c.anchorMono)
}

// restart begins a time line with what is known of the offset. step is what stepped said.
//
// When nobody can be asked: a step that brings the wall clock near corrected time was somebody setting it right, and a
// step back can be nothing but a correction; then corrected time runs on. Any other step forward is a host that slept:
// then the wall clock is right and the offset stays. Both go by the best exchange of the time line that ends.
func (c *clock) restart(step time.Duration) {
	c.offset += c.correction()
	set := step < 0 || (c.offset-step).Abs() < c.offset.Abs()
	if set && c.learnt {
		c.offset -= step
	}
	c.uncertainty = 0
	c.anchor()
	c.guess(maxStep)
}

// hear makes an exchange of an answer that has just come. It may be called from any goroutine.
//
// The collector looked at its clock at some time between question and answer; taken for the middle of that, its reading
// is wrong by half of it at most (Cristian, "Probabilistic clock synchronization", 1989), and by the millisecond it is
// cut to. A collector that held the answer, and looked then, makes that half a long one.
func (c *clock) hear(a push.Answer) exchange {
	_, half := a.Offset()
	return exchange{now: time.UnixMilli(a.Ack.NowMs).Add(half), at: c.mono(), uncertainty: half.Abs() + time.Millisecond}
}

// learn keeps an exchange if it tells more than the best one, drift counted, or if one of the two must be wrong: then it
// is the older.
func (c *clock) learn(x exchange) {
	c.learnt = true
	at := c.mono()
	newer, older := x.doubt(at), c.best.doubt(at)
	if newer <= older || (c.ahead(x)-c.ahead(c.best)).Abs() > newer+older {
		c.best = x
	}
}

// off reports whether the time line is off by more than a step, whatever the uncertainty of the exchange and of what the
// line began with.
func (c *clock) off(x exchange) bool {
	return c.ahead(x).Abs() > maxStep+x.doubt(c.mono())+c.uncertainty
}

// follow begins a time line with what the best exchange told.
func (c *clock) follow() {
	c.offset, c.uncertainty = c.offset+c.ahead(c.best)-c.stepped(), c.best.doubt(c.mono())
	c.anchor()
}

// ears are where the pusher leaves what it heard: the newest Ack, and of the exchanges the one that tells most. The zero
// value has heard nothing.
type ears struct {
	mu  sync.Mutex
	ack *wire.Ack
	x   exchange
}

// hear takes an Ack, and an exchange if the Ack told the time.
func (e *ears) hear(a *wire.Ack, x exchange) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ack = a
	if a.NowMs != 0 && (e.x.now.IsZero() || x.uncertainty <= e.x.doubt(x.at)) {
		e.x = x
	}
}

// take is what was heard since it was last called; ack is nil when nothing was, and ok tells whether the time was among
// it.
func (e *ears) take() (ack *wire.Ack, x exchange, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ack, x = e.ack, e.x
	e.ack, e.x = nil, exchange{}
	return ack, x, !x.now.IsZero()
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
	c.offset, c.learnt = time.Duration(s.OffsetMs)*time.Millisecond, true
	c.guess(notMeasured) // whatever happened to the host's clock since
	return nil
}

// save is a plain write and rename: a lost offset is learnt again.
func (c *clock) save(dir string) error {
	raw, err := json.Marshal(clockState{OffsetMs: c.measured().Milliseconds(), MeasuredAt: c.wall().UTC()})
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
