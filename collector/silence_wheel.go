package collector

import "time"

// wheel says who is due at which second. Putting somebody on it costs the same however many are on it, a second in which
// nobody is due costs nothing, and nobody is taken off before their time: who comes due and should not is put on again.
// That is cheaper than moving a host with each of its reports: it comes due once in the time it may be silent for, which is
// three reports or more. The zero value is not ready.
type wheel struct {
	base  time.Time
	at    int64
	slots map[int64][]*watched
	spare [][]*watched
}

func newWheel(now time.Time) *wheel {
	return &wheel{base: now, slots: map[int64][]*watched{}}
}

// second is the first second that lies wholly behind t.
func (w *wheel) second(t time.Time) int64 { return int64(t.Sub(w.base)/time.Second) + 1 }

// put puts h on, to come due as soon as t is over; when it is over already, with the next tick.
func (w *wheel) put(h *watched, t time.Time) {
	s := max(w.second(t), w.at+1)
	slot, there := w.slots[s]
	if !there && len(w.spare) > 0 {
		slot, w.spare = w.spare[len(w.spare)-1], w.spare[:len(w.spare)-1]
	}
	w.slots[s] = append(slot, h)
}

// tick calls due for everybody whose time is over at now; due may put them on again.
func (w *wheel) tick(now time.Time, due func(*watched)) {
	to := int64(now.Sub(w.base) / time.Second)
	from := w.at + 1
	if to < from {
		return
	}
	w.at = to
	if to-from > int64(len(w.slots)) { // after a long pause there are fewer slots than seconds
		for s := range w.slots {
			if s <= to {
				w.turn(s, due)
			}
		}
		return
	}
	for s := from; s <= to; s++ {
		w.turn(s, due)
	}
}

func (w *wheel) turn(s int64, due func(*watched)) {
	slot, there := w.slots[s]
	if !there {
		return
	}
	delete(w.slots, s)
	for i, h := range slot {
		due(h)
		slot[i] = nil
	}
	w.spare = append(w.spare, slot[:0])
}
