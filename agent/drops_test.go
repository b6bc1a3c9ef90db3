package agent

import (
	"strconv"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/spool"
	"github.com/watchbill/watchbill/agent/wire"
)

// drops is what a report says about the spool's drops; false when it says nothing, as a goodbye.
func (h *host) drops(r *wire.Report, sp *spool.Spool) (dropped, untold float64, ok bool) {
	h.t.Helper()
	own := block(r, "agent")
	if own == nil {
		return 0, 0, false
	}
	dropped, known := h.metric(sp, own, "watchbill_agent_spool_dropped_reports_total")
	untold, known2 := h.metric(sp, own, "watchbill_agent_spool_dropped_untold_reports")
	if !known || !known2 {
		h.t.Fatal("the agent's block does not tell of drops")
	}
	return dropped, untold, true
}

// An agent that is started anew within an outage tells, once it is heard, of all that was dropped in it: in its metric,
// which raises the alert, and in an event.
func TestDropsAreToldAfterARestartWithinTheOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.spool = 1 << 20
		h.sources = append(h.sources, big(func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return !h.cut
		}))
		h.run(nil, func() {
			time.Sleep(time.Minute)
			h.set(func() { h.cut = true })
			time.Sleep(30 * time.Minute)
		})
		before := len(h.arrived())
		h.run(nil, func() {
			time.Sleep(time.Minute)
			h.set(func() { h.cut = false })
			time.Sleep(tellDropsEvery) // until what went since the first event is told as well
		})
		sp := h.openSpool()
		defer sp.Close()
		dropped, untold, ok := h.drops(h.arrived()[before], sp)
		if !ok || dropped < 100 || untold != dropped {
			t.Errorf("the first report after the outage says %v of %v drops are untold, want all, and at least 100", untold, dropped)
		}
		told := uint64(0)
		for _, r := range h.arrived()[before:] {
			if r.Epoch != h.arrived()[before].Epoch {
				continue // of the run before; what was pushed out of it cannot tell
			}
			for _, e := range events([]*wire.Report{r}, "spool_dropped") {
				n, err := strconv.ParseUint(e.Fields["reports"], 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				told += n
			}
		}
		if told != uint64(dropped) {
			t.Errorf("events tell of %d drops, want %v", told, dropped)
		}
		if st := sp.Stats(); st.Untold != 0 || st.Dropped != uint64(dropped) {
			t.Errorf("%d of %d drops are still to be told", st.Untold, st.Dropped)
		}
		last := h.arrived()[len(h.arrived())-2]
		if _, untold, ok := h.drops(last, sp); !ok || untold != 0 {
			t.Errorf("after it was told, %v are still called untold", untold)
		}
	})
}

// What had to go to make room for the very report that was delivered is told by the next: of all drops that a report does
// not call untold, one before it has told.
func TestDropsOfTheDeliveredReportItselfAreTold(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.spool = 1 << 20
		h.ack = func(a *wire.Ack) { a.Credits = 0 } // the past stays where it is, and has to go when room is needed
		h.sources = append(h.sources, big(func() bool { return false }))
		h.run(nil, func() {
			for range 120 { // every other report gets through
				time.Sleep(10 * time.Second)
				h.set(func() { h.cut = !h.cut })
			}
			h.set(func() { h.cut = false })
			time.Sleep(time.Minute)
		})
		sp := h.openSpool()
		defer sp.Close()
		heard, rises := 0.0, 0
		for _, r := range h.arrived() {
			dropped, untold, ok := h.drops(r, sp)
			if !ok {
				continue
			}
			if dropped-untold > heard {
				t.Errorf("report %d says that %v of %v drops were told before; only %v were", r.Sequence, dropped-untold, dropped, heard)
			}
			if dropped > heard {
				heard, rises = dropped, rises+1
			}
		}
		if rises < 5 {
			t.Errorf("drops rose %d times: this proves nothing", rises)
		}
	})
}

func TestClaims(t *testing.T) {
	report := func(epoch, sequence uint64) *wire.Report { return &wire.Report{Epoch: epoch, Sequence: sequence} }
	accepted := func(epoch, sequence uint64) *wire.Ack {
		return &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Epoch: epoch, Sequence: sequence}
	}
	more := func(all *claims) {
		all.add(report(7, 3), 10)
		all.add(report(7, 4), 10)
		all.add(report(7, 5), 15)
		all.add(report(8, 1), 20)
	}
	pause := func(all *claims) {
		all.add(report(7, 3), 10)
		all.add(report(7, 4), 10)
		all.silent(report(7, 5))
		all.silent(report(7, 6))
		all.add(report(8, 1), 10)
	}
	for name, c := range map[string]struct {
		say  func(*claims)
		ack  *wire.Ack
		told uint64
	}{
		"the first that says it":           {more, accepted(7, 3), 10},
		"one that says the same":           {more, accepted(7, 4), 10},
		"one that says more":               {more, accepted(7, 5), 15},
		"one of a later epoch":             {more, accepted(8, 1), 20},
		"one from before":                  {more, accepted(7, 2), 0},
		"one of an earlier run":            {more, accepted(6, 900), 0},
		"an answer that names none":        {more, accepted(0, 0), 0},
		"refused":                          {more, &wire.Ack{Result: wire.Ack_RESULT_REFUSED, Epoch: 7, Sequence: 5}, 0},
		"to come again later":              {more, &wire.Ack{Result: wire.Ack_RESULT_LATER, Epoch: 7, Sequence: 5}, 0},
		"the collector asks for its shape": {more, &wire.Ack{Result: wire.Ack_RESULT_NEED_SHAPES, Epoch: 7, Sequence: 5}, 0},
		"the first before a silent one":    {pause, accepted(7, 3), 10},
		"the last before a silent one":     {pause, accepted(7, 4), 10},
		"the silent one":                   {pause, accepted(7, 5), 0},
		"a silent one behind it":           {pause, accepted(7, 6), 0},
		"the first that tells again":       {pause, accepted(8, 1), 10},
	} {
		t.Run(name, func(t *testing.T) {
			var all claims
			c.say(&all)
			for _, want := range []uint64{c.told, 0} { // heard again, it tells no more
				if told := all.accepted(c.ack); told != want {
					t.Errorf("%d drops are told, want %d", told, want)
				}
			}
		})
	}
	t.Run("more than are remembered", func(t *testing.T) {
		var all claims
		for n := range uint64(10 * maxClaims) {
			all.add(report(7, n+1), n+1)
		}
		if len(all.all) > maxClaims {
			t.Errorf("%d are remembered, at most %d should be", len(all.all), maxClaims)
		}
		if told := all.accepted(accepted(7, 10*maxClaims)); told != 10*maxClaims {
			t.Errorf("%d drops are told by the newest, want %d", told, 10*maxClaims)
		}
	})
}
