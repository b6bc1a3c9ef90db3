package push

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/watchbill/watchbill/agent/spool"
	"github.com/watchbill/watchbill/agent/wire"
)

// maxBulk is how many reports of the past go out in one body: enough that the request costs little beside them, and
// few enough that the newest report does not wait long behind them on a slow line.
const maxBulk = 60

// behind is first, which is of the past, and what may go out in one body with it: the reports that are next in its lane,
// as far as the credits go and nothing of the other lane comes in between.
func (p *Push) behind(first item) []item {
	out := []item{first}
	limit := min(p.credits, maxBulk, p.o.Limits.BulkReports)
	if first.lane == laneLive || p.oldFor != nil || p.noBulk || p.alone > 0 || first.memory || limit < 2 {
		return out
	}
	if first.lane == laneReplay {
		oldest, waits := p.oldest()
		for len(out) < limit {
			s, ok := p.replay.ahead(len(out))
			if !ok || waits && !keyOf(s.Report).less(keyOf(oldest.report)) {
				break
			}
			out = append(out, p.replayed(s))
		}
		return out
	}
	again, replays := p.nextReplay()
	for s, err := range p.o.Spool.Waiting() {
		k := keyOf(first.report)
		if err == nil && !k.less(keyOf(s.Report)) {
			continue
		}
		if err != nil || len(out) >= limit || replays && !keyOf(s.Report).less(keyOf(again.report)) {
			break
		}
		out = append(out, p.spooled(s, laneBacklog))
	}
	return out
}

// deliverBulk sends several reports of one lane in one body and says how long to wait before anything else is sent. What
// a bulk cannot carry goes alone.
func (p *Push) deliverBulk(ctx context.Context, items []item) time.Duration {
	e := wire.NewBulkEncoder(p.o.Limits)
	for i, it := range items {
		ok, err := e.Add(it.report)
		if err != nil {
			p.once("bulk", "a report cannot be sent in bulk; it is sent alone", "error", err)
		}
		if !ok {
			items = items[:i]
			break
		}
	}
	if len(items) < 2 {
		p.alone = 1
		return 0
	}
	body, coding, err := e.Body()
	if err != nil {
		return p.failed(err)
	}
	p.count(func(s *Stats) { s.Sent++ })
	a, err := p.postBody(ctx, wire.PathBulk, wire.TypeBulkV1, body, coding, p.words(items...))
	var status *statusError
	switch {
	case errors.As(err, &status) && (status.code == http.StatusUnsupportedMediaType || status.code == http.StatusNotFound):
		p.noBulk = true
		return 0
	case status != nil && status.final():
		p.alone = len(items) // the one that cannot be taken will say so
		return 0
	case err != nil:
		return p.failed(err)
	}
	return p.disposed(items, a)
}

// disposed lets go of what the collector has disposed of, and does with the next what the answer says.
func (p *Push) disposed(items []item, a Answer) time.Duration {
	p.heard(a)
	ack := a.Ack
	n := min(int(ack.Disposed), len(items))
	for _, it := range items[:n] {
		if err := it.done(); err != nil {
			p.once("done", "acknowledgement not kept in the spool, the report may be sent twice", "error", err)
		}
		if it.lane == laneReplay {
			p.count(func(s *Stats) { s.Replayed++ })
		}
	}
	refused := min(uint64(ack.Refused), uint64(n)) //nolint:gosec // not negative
	p.count(func(s *Stats) {
		s.Acknowledged += uint64(n) - refused //nolint:gosec // not negative
		s.Refused += refused
		s.RefusedBlocks += uint64(len(ack.Refusals))
	})
	p.sayRefused(items, ack)
	if n > 0 {
		p.up()
		p.askReplay(ack, items[n-1].lane, keyOf(items[n-1].report))
	}
	switch {
	case ack.Result == wire.Ack_RESULT_LATER:
		p.pastAt = p.o.Now().Add(p.later(ack))
	case n < len(items):
		p.alone = 1 // it wants shapes, or is refused for good: alone it gets what it needs
	}
	return 0
}

// sayRefused says, once each, what of a bulk was not taken.
func (p *Push) sayRefused(items []item, ack *wire.Ack) {
	for _, r := range ack.Refusals {
		source := "?"
		if int(r.Report) < len(items) {
			if blocks := items[r.Report].report.Blocks; int(r.Block) < len(blocks) {
				source = blocks[r.Block].Source
			}
		}
		p.once("block "+source+" "+r.Reason, "the collector did not apply a block", "source", source, "reason", r.Reason, "error", r.Error)
	}
	if ack.Refused > 0 {
		p.once("bulk refused "+ack.Error, "the collector refuses reports; they are let go", "reports", fmt.Sprint(ack.Refused), "error", ack.Error)
	}
}

// ahead is the i-th report of a replay from the one whose turn it is; what is read ahead is kept until it is done.
func (r *replay) ahead(i int) (spool.Item, bool) {
	for len(r.read) <= i {
		s, err, ok := r.next()
		if err != nil || !ok || r.ends(s) {
			r.broken = err
			return spool.Item{}, false
		}
		r.read = append(r.read, s)
	}
	return r.read[i], true
}
