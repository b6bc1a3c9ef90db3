package push

import (
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/watchbill/watchbill/agent/spool"
	"github.com/watchbill/watchbill/agent/wire"
)

// key names a report and orders reports by age.
type key struct{ epoch, sequence uint64 }

func keyOf(r *wire.Report) key { return key{r.Epoch, r.Sequence} }

func (k key) less(o key) bool {
	return k.epoch < o.epoch || k.epoch == o.epoch && k.sequence < o.sequence
}

// lane is why a report is sent.
type lane string

const (
	laneLive    lane = wire.LaneLive
	laneBacklog lane = wire.LaneBacklog
	laneReplay  lane = wire.LaneReplay
)

// item is a report to be sent.
type item struct {
	report *wire.Report
	lane   lane
	// shape finds the shapes of the report.
	shape func(id []byte) (*wire.Shape, bool)
	// done lets go of the report.
	done func() error
	// memory says that it is in no spool.
	memory bool
}

// direct is a report that never saw the spool because the spool would not take it.
type direct struct {
	report *wire.Report
	shape  func(id []byte) (*wire.Shape, bool)
}

// Direct hands over a report that the spool would not take, to be sent from memory. The newest sixteen are kept; what is
// pushed out is lost and counted (Stats.Lost). shape finds the report's shapes.
func (p *Push) Direct(r *wire.Report, shape func(id []byte) (*wire.Shape, bool)) {
	p.mu.Lock()
	p.direct = append(p.direct, direct{r, shape})
	if over := len(p.direct) - maxDirect; over > 0 {
		p.direct = append([]direct(nil), p.direct[over:]...)
		p.stats.Lost += uint64(over)
	}
	p.mu.Unlock()
	p.Wake()
}

// next is the report whose turn it is: the newest if the collector has not had it, else, while there are credits, the
// oldest of what waits and what is replayed. So the collector hears of the past in the order of time.
func (p *Push) next() (item, bool) {
	if it, ok := p.newest(); ok {
		return it, true
	}
	granted := p.credits > 0 || p.oldFor != nil // a collector of an earlier release knows of no credits
	if !granted || p.o.Now().Before(p.pastAt) {
		return item{}, false
	}
	again, replays := p.nextReplay()
	if it, ok := p.oldest(); ok && (!replays || keyOf(it.report).less(keyOf(again.report))) {
		return it, true
	}
	return again, replays
}

// newest is the newest report that is younger than all the collector has disposed of.
func (p *Push) newest() (item, bool) {
	stored, ok := p.read("newest", p.o.Spool.Newest)
	var best item
	if ok {
		best = p.spooled(stored, laneLive)
	}
	if d, any := p.directAt(-1); any && (!ok || keyOf(stored.Report).less(keyOf(d.report))) {
		best, ok = p.unspooled(d, laneLive), true
	}
	if !ok || !p.live.less(keyOf(best.report)) {
		return item{}, false
	}
	return best, true
}

// oldest is the oldest report that the collector has not disposed of.
func (p *Push) oldest() (item, bool) {
	stored, ok := p.read("oldest", p.o.Spool.Oldest)
	if d, any := p.directAt(0); any && (!ok || keyOf(d.report).less(keyOf(stored.Report))) {
		return p.unspooled(d, laneBacklog), true
	}
	if !ok {
		return item{}, false
	}
	return p.spooled(stored, laneBacklog), true
}

// read asks the spool. One that cannot be read holds nothing for now: reports in memory still go out.
func (p *Push) read(which string, from func() (spool.Item, bool, error)) (spool.Item, bool) {
	s, ok, err := from()
	if err != nil {
		p.once("spool "+which, "a spooled report cannot be read; reports are sent from memory", "which", which, "error", err)
		return spool.Item{}, false
	}
	return s, ok
}

func (p *Push) spooled(s spool.Item, l lane) item {
	return item{report: s.Report, lane: l, shape: p.o.Spool.Shape, done: func() error { return p.o.Spool.Done(s.Epoch, s.Sequence) }}
}

func (p *Push) unspooled(d direct, l lane) item {
	return item{report: d.report, lane: l, shape: d.shape, memory: true, done: func() error { p.dropDirect(keyOf(d.report)); return nil }}
}

// directAt is the i-th oldest report in memory; -1 means the newest.
func (p *Push) directAt(i int) (direct, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.direct) == 0 {
		return direct{}, false
	}
	if i < 0 {
		i = len(p.direct) - 1
	}
	return p.direct[i], true
}

func (p *Push) dropDirect(k key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, d := range p.direct {
		if keyOf(d.report) == k {
			p.direct = append(p.direct[:i:i], p.direct[i+1:]...)
			return
		}
	}
}

// replay is what the collector asked to see again. One request is answered once: it is recognised by who asked and
// since when.
type replay struct {
	incarnation uint64
	sinceMs     int64
	// untilMs is where an earlier request of the same collector, answered before, began; 0 when there was none. until is
	// the first live report that this collector has taken: it and what is newer it has, or gets without a replay.
	untilMs int64
	until   key
	next    func() (spool.Item, error, bool)
	stop    func()
	// read was read and not yet delivered.
	read []spool.Item
	// whole says that everything was sent, broken why the spool could not give the rest.
	whole  bool
	broken error
}

// taken is the first live report that an incarnation of the collector has taken. A report of the past says nothing of
// the kind: newer ones may have been taken by an incarnation before, which has forgotten them.
type taken struct {
	by    uint64
	first key
}

// askReplay takes note of what the Ack of an accepted report asks to see again. A collector that wants to see further
// back gets only what it has not had yet.
func (p *Push) askReplay(a *wire.Ack, l lane, of key) {
	if p.taken.by != a.Incarnation {
		p.taken = taken{by: a.Incarnation}
	}
	if l == laneLive && p.taken.first == (key{}) {
		p.taken.first = of
	}
	was := p.replay
	same := was != nil && was.incarnation == a.Incarnation
	if a.ReplaySinceMs == 0 || same && was.sinceMs <= a.ReplaySinceMs {
		return
	}
	p.endReplay()
	next, stop := iter.Pull2(p.o.Spool.Since(time.UnixMilli(a.ReplaySinceMs)))
	p.replay = &replay{incarnation: a.Incarnation, sinceMs: a.ReplaySinceMs, next: next, stop: stop, until: p.taken.first}
	if same && was.whole {
		p.replay.untilMs = was.sinceMs
	}
	p.o.Logger.Info("the collector asks to see reports again", "since", time.UnixMilli(a.ReplaySinceMs).UTC())
}

// nextReplay is the next report of a replay under way.
func (p *Push) nextReplay() (item, bool) {
	r := p.replay
	if r == nil || r.next == nil {
		return item{}, false
	}
	s, ok := r.ahead(0)
	if !ok {
		if r.broken != nil {
			p.once("replay", "a report that the collector asked for cannot be read", "error", r.broken)
		}
		p.endReplay()
		r.whole = true // what cannot be read will not be read at the next try either
		return item{}, false
	}
	return p.replayed(s), true
}

// replayed is a report of the replay under way; they are done with in their order.
func (p *Push) replayed(s spool.Item) item {
	r := p.replay
	return item{report: s.Report, lane: laneReplay, shape: p.o.Spool.Shape, done: func() error { r.read = r.read[1:]; return nil }}
}

// endReplay stops reading; that this request was answered stays known.
func (p *Push) endReplay() {
	if p.replay != nil && p.replay.stop != nil {
		p.replay.stop()
		p.replay.next, p.replay.stop, p.replay.read = nil, nil, nil
	}
}

// ends tells whether the collector has s, and all behind it.
func (r *replay) ends(s spool.Item) bool {
	return r.untilMs != 0 && s.MadeAt.UnixMilli() >= r.untilMs || r.until != key{} && !keyOf(s.Report).less(r.until)
}

// words are what a request says about its reports, all of one lane, beside them.
func (p *Push) words(items ...item) map[string]string {
	p.mu.Lock()
	waiting := len(p.direct)
	p.mu.Unlock()
	waiting += p.o.Spool.Stats().Unacknowledged
	lane := items[0].lane
	if lane != laneReplay {
		waiting -= len(items)
	}
	out := map[string]string{wire.HeaderLane: string(lane), wire.HeaderWaiting: strconv.Itoa(max(waiting, 0))}
	if r := p.replay; r != nil && r.whole {
		out[wire.HeaderReplayed] = fmt.Sprintf("%d %d", r.sinceMs, r.incarnation)
	}
	return out
}
