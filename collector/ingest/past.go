package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
)

// Backlog bounds what agents may send of their past, so that it never delays what is live. All must be positive.
type Backlog struct {
	// SamplesPerSecond of all agents together.
	SamplesPerSecond int `yaml:"samples_per_second"`
	// Credits are the most reports of the past that one agent may have to send at a time.
	Credits int `yaml:"credits"`
	// AtOnce is how many bodies of the past are worked on at a time.
	AtOnce int `yaml:"at_once"`
	// BodyBytes is how many bytes of such bodies may be on their way in or wait for that; those of one customer half of it.
	BodyBytes int `yaml:"body_bytes"`
}

// DefaultBacklog takes about a quarter of one processor, of which reviews of the same reports take as much again, and
// leaves half of the processors to live reports at any moment.
func DefaultBacklog() Backlog {
	return Backlog{SamplesPerSecond: 100_000, Credits: 60, AtOnce: max(runtime.GOMAXPROCS(0)/2, 1), BodyBytes: 32 << 20}
}

// Validate names every bound that is not positive.
func (b Backlog) Validate() error {
	var errs []error
	for _, f := range []named{
		{"samples_per_second", &b.SamplesPerSecond}, {"credits", &b.Credits}, {"at_once", &b.AtOnce},
		{"body_bytes", &b.BodyBytes},
	} {
		if *f.value < 1 {
			errs = append(errs, fmt.Errorf("backlog.%s: must be positive, got %d", f.name, *f.value))
		}
	}
	return errors.Join(errs...)
}

// leastPrice is what a report costs of Backlog.SamplesPerSecond however few samples it has.
const leastPrice = 50

// firstReplay is how far back agents are asked to replay at first: what most rules look back on. The rest follows when
// that is here.
const firstReplay = 15 * time.Minute

// sending is what a request says about its report.
type sending struct {
	// lane is empty for an agent that knows of none: it sends its past as it likes, within its quotas.
	lane string
	// waiting is how many more reports there are; -1 when nobody said.
	waiting int
	// replayed is since when all was sent again; zero when it was not.
	replayed time.Time
	// arrived is when the request did, by the machine's clock.
	arrived time.Time
	// from is the address it came from.
	from netip.Addr
}

func (s sending) past() bool { return s.lane == wire.LaneBacklog || s.lane == wire.LaneReplay }

// sendingOf reads the headers; what makes no sense was not said, and what was said to another incarnation is not news.
func sendingOf(h http.Header, incarnation uint64) sending {
	s := sending{waiting: -1}
	switch lane := h.Get(wire.HeaderLane); lane {
	case wire.LaneLive, wire.LaneBacklog, wire.LaneReplay:
		s.lane = lane
	}
	if n, err := strconv.ParseInt(h.Get(wire.HeaderWaiting), 10, 32); err == nil && n >= 0 {
		s.waiting = int(n)
	}
	since, to, _ := strings.Cut(h.Get(wire.HeaderReplayed), " ")
	if ms, err := strconv.ParseInt(since, 10, 64); err == nil && ms > 0 && to == strconv.FormatUint(incarnation, 10) {
		s.replayed = moment(ms)
	}
	return s
}

// past is the collector's side of credits.
type past struct {
	o atomic.Pointer[Backlog]
	// budget is in samples.
	budget *rate.Limiter
	slots  atomic.Pointer[slots]
	// ready is how many bodies have come whole and wait for a slot.
	ready atomic.Int64

	// mu guards held, in all and of each customer: bytes of bodies.
	mu   sync.Mutex
	held int64
}

func newPast(o Backlog) *past {
	p := &past{budget: rate.NewLimiter(rate.Limit(o.SamplesPerSecond), o.SamplesPerSecond)}
	p.o.Store(&o)
	p.slots.Store(newSlots(o.AtOnce))
	return p
}

// grant says how many reports of the past the agent may send from now on. What it did not use of an earlier grant goes
// back first. The caller holds the agent's turn.
func (i *Ingest) grant(who fleet.Agent, a *agent, ack *wire.Ack, now time.Time) {
	i.past.budget.ReserveN(now, -a.credits*a.granted)
	a.credits = 0
	if a.sent.lane == "" || ack.Result == wire.Ack_RESULT_LATER {
		return
	}
	want := max(a.sent.waiting, 0)
	if ack.ReplaySinceMs != 0 {
		want += i.past.o.Load().Credits
	}
	if ack.Result == wire.Ack_RESULT_NEED_SHAPES {
		want++ // the same report again
	}
	if want == 0 || !i.o.Room(who.Asset) {
		return
	}
	price := max(a.price, leastPrice)
	n := min(want, i.past.o.Load().Credits, int(i.past.budget.TokensAt(now))/price)
	if n <= 0 {
		return
	}
	i.past.budget.ReserveN(now, n*price)
	a.credits, a.granted = n, price
	ack.Credits = uint32(n) //nolint:gosec // Backlog.Credits at most
}

// replaySince is since when the agent is asked to send again what it has acknowledged; zero when nothing is missing. It
// is the same time for every report until that is done: the agent knows a request it has answered, and one that got
// lost with its ack, or with the agent, is not lost for good.
func (i *Ingest) replaySince(who fleet.Agent, a *agent, now time.Time) time.Time {
	if since := i.windowSince(who, a, now); !since.IsZero() {
		return since
	}
	return i.recallSince(a, who.Asset) // when rules have what they look back on
}

// windowSince is since when windows and reviews need it.
func (i *Ingest) windowSince(who fleet.Agent, a *agent, now time.Time) time.Time {
	if a.firstAt.IsZero() {
		a.firstAt = now
	}
	if r := a.sent.replayed; !r.IsZero() && (a.replayed.IsZero() || r.Before(a.replayed)) {
		a.replayed = r
	}
	var all, first time.Time
	if keep := i.o.KeepFor(); keep > 0 && now.Sub(a.firstAt) < keep {
		all = a.firstAt.Add(-keep)
		first = a.firstAt.Add(-min(keep, firstReplay))
	}
	if wanted := i.o.Since(who.Asset); !wanted.IsZero() && (all.IsZero() || wanted.Before(first)) {
		first = wanted
		if all.IsZero() || wanted.Before(all) {
			all = wanted
		}
	}
	switch {
	case all.IsZero() || a.sent.lane == "":
		return all
	case a.replayed.IsZero() || a.replayed.After(first):
		return first
	case a.replayed.After(all):
		return all
	}
	return time.Time{}
}
