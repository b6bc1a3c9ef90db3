package sample

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"github.com/watchbill/watchbill/agent/wire"
)

const (
	// repeatFirst and repeatMost are how soon what goes on is told again: the wait doubles from one to the other.
	repeatFirst = time.Minute
	repeatMost  = 16 * time.Minute
	// repeatKinds bounds the different things that are counted apart.
	repeatKinds = 200
	// eventsAtOnce and eventsEvery bound what one source tells: so many at once, and then one in that time. All
	// sources together stay below what a collector takes of one agent in an hour.
	eventsAtOnce = 30
	eventsEvery  = 30 * time.Second
)

// repeats tells what happens without telling it again and again: a thing at once when it is new, then with the number
// of times it was seen, at growing intervals while it goes on. What the rate does not allow waits and is counted.
type repeats struct {
	limit *rate.Limiter
	open  []*repeated
	// beyond counts what could not even be counted apart, last being the newest of it.
	beyond int
	last   *wire.Event
}

// repeated is one thing that was seen.
type repeated struct {
	key   string
	event *wire.Event // the newest
	count int         // since it was last told
	told  time.Time   // zero: not yet
	wait  time.Duration
}

func newRepeats() *repeats {
	return &repeats{limit: rate.NewLimiter(rate.Every(eventsEvery), eventsAtOnce)}
}

// add takes in that e happened. What has the same key is the same thing.
func (r *repeats) add(key string, e *wire.Event) {
	i := slices.IndexFunc(r.open, func(o *repeated) bool { return o.key == key })
	if i < 0 {
		if len(r.open) >= repeatKinds {
			r.beyond, r.last = r.beyond+1, e
			return
		}
		i, r.open = len(r.open), append(r.open, &repeated{key: key, wait: repeatFirst})
	}
	r.open[i].event, r.open[i].count = e, r.open[i].count+1
}

// take is what is to be told now, oldest first.
func (r *repeats) take(now time.Time) []*wire.Event {
	var out []*wire.Event
	r.open = slices.DeleteFunc(r.open, func(o *repeated) bool {
		return o.count == 0 && now.Sub(o.told) > 2*o.wait
	})
	for _, o := range r.open {
		if o.count == 0 || !o.told.IsZero() && now.Sub(o.told) < o.wait || !r.limit.AllowN(now, 1) {
			continue
		}
		out = append(out, counted(o.event, o.count))
		if !o.told.IsZero() {
			o.wait = min(2*o.wait, repeatMost)
		}
		o.told, o.count = now, 0
	}
	if r.beyond > 0 && r.limit.AllowN(now, 1) {
		e := counted(r.last, r.beyond)
		e.Text = wire.Clean(fmt.Sprintf("%d more of many kinds, the last: %s", r.beyond, r.last.Text), wire.DefaultLimits().TextBytes)
		out, r.beyond = append(out, e), 0
	}
	return out
}

// waits says whether something new has not been told yet. Until it has, a source must not keep the place it has reached:
// after a crash it would never be told. What was told and goes on may wait.
func (r *repeats) waits() bool {
	return r.beyond > 0 || slices.ContainsFunc(r.open, func(o *repeated) bool { return o.told.IsZero() })
}

// counted says how often e was seen.
func counted(e *wire.Event, n int) *wire.Event {
	if e.Fields == nil {
		e.Fields = map[string]string{}
	}
	e.Fields["count"] = strconv.Itoa(n)
	if n > 1 {
		e.Text += fmt.Sprintf(" (%d times)", n)
	}
	return e
}

// newEvent makes an event that fits the wire, whatever is in its words.
func newEvent(kind string, at time.Time, text string, fields map[string]string) *wire.Event {
	for k, v := range fields {
		fields[k] = wire.Clean(v, wire.DefaultLimits().CellBytes)
	}
	return &wire.Event{Kind: kind, AtMs: at.UnixMilli(), Text: wire.Clean(text, wire.DefaultLimits().TextBytes-64), Fields: fields}
}
