package agent

import (
	"slices"
	"sync"

	"github.com/watchbill/watchbill/agent/wire"
)

// maxClaims bounds what is remembered; one is made when a segment is dropped. Beyond it the oldest go: the newest report
// is the first to be delivered, and says the most.
const maxClaims = 64

// claims are what the reports of this run say about the spool's drops. The collector has been told what a report says
// that it accepted, and no more: what had to go to make room for that very report is told by the next. All methods are
// safe for concurrent use.
type claims struct {
	mu  sync.Mutex
	all []claim
}

// claim: the reports from the first on, and before the end if there is one, say that so many were dropped over the life of
// the spool.
type claim struct {
	first   place
	end     place // the zero place while there is none
	dropped uint64
}

// place is where a report stands among all of a host.
type place struct{ epoch, sequence uint64 }

func (p place) before(q place) bool {
	return p.epoch < q.epoch || p.epoch == q.epoch && p.sequence < q.sequence
}

// holds tells whether the report at p says what is claimed, or one after it that says more.
func (c *claim) holds(p place) bool {
	return !p.before(c.first) && (c.end == place{} || p.before(c.end))
}

// add notes that r says it, and so will those behind it.
func (c *claims) add(r *wire.Report, dropped uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := c.last(); last != nil && last.dropped == dropped {
		return
	}
	c.all = append(c.all, claim{first: place{r.Epoch, r.Sequence}, dropped: dropped})
	if over := len(c.all) - maxClaims; over > 0 {
		c.all = slices.Delete(c.all, 0, over)
	}
}

// silent notes that r says nothing: that it is delivered proves nothing, while those before it may still be.
func (c *claims) silent(r *wire.Report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.all {
		if c.all[i].end == (place{}) {
			c.all[i].end = place{r.Epoch, r.Sequence}
		}
	}
}

// last is the claim that the newest report makes, nil when it makes none; the caller holds the lock.
func (c *claims) last() *claim {
	if n := len(c.all); n > 0 && c.all[n-1].end == (place{}) {
		return &c.all[n-1]
	}
	return nil
}

// accepted is how many drops the collector knows of by this answer, 0 when no more than before.
func (c *claims) accepted(a *wire.Ack) (told uint64) {
	if a.Result != wire.Ack_RESULT_ACCEPTED {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.all) - 1; i >= 0; i-- {
		if c.all[i].holds(place{a.Epoch, a.Sequence}) {
			told = c.all[i].dropped
			c.all = slices.Delete(c.all, 0, i+1)
			return told
		}
	}
	return 0
}

// claim notes what a report that is about to be handed on says about drops.
func (r *run) claim(report *wire.Report) {
	says := slices.ContainsFunc(report.Blocks, func(b *wire.Block) bool {
		return b.Kind == kindAgent && b.Source == sourceOwn && b.Status == wire.Block_STATUS_OK
	})
	switch {
	case !says:
		r.claims.silent(report)
	case r.untold > 0:
		r.claims.add(report, r.counted)
	}
}

// hearDrops keeps what the collector has been told of drops, for the next start too: one within an outage must not take
// what was dropped before it for told.
func (r *run) hearDrops(a *wire.Ack) {
	told := r.claims.accepted(a)
	if told == 0 {
		return
	}
	if err := r.spool.Told(told); err != nil {
		r.log.Warn("that dropped reports were told of is not kept; after a restart they are told again", "error", err)
	}
}
