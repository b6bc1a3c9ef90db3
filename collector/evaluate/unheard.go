package evaluate

import (
	"slices"
	"time"

	"github.com/watchbill/watchbill/rules/window"
)

// Rules that name an asset speak of it even when nobody has heard of it: absent(x{instance="web1"}). No arrival will have
// them evaluated then, so the wheel does, once in an interval.

// named tells whether some rule names the asset.
func (a *asset) named() bool { return len(a.book.named[a.name]) > 0 }

// expect has an asset that is named, and was not heard of, looked at then at the latest; it tells whether it is one.
func (a *asset) expect(at time.Time) bool {
	if a.newest != never || !a.named() {
		return false
	}
	if t := at.UnixMilli(); a.next == 0 || t < a.next {
		a.next = t
	}
	return true
}

// unheard opens what rules say of an asset that the window has not heard of: where it has alerts, and where they name it.
func (w *turn) unheard(a *asset, t int64) {
	a.shown.Lock()
	defer a.shown.Unlock()
	a.bind(a.who, nil)
	w.open = w.open[:0] // what a part of the rules found before the window let go of it
	clear(w.ran)
	for i, r := range a.book.rules {
		if !w.due[r.group.index] || !r.Alerting() {
			continue
		}
		o := opened{rule: r, use: a.bound[i].use}
		if o.use != nil {
			if o.err = o.use.err; o.err == nil {
				o.samples, o.err = w.machine.Run(o.use.prog, window.View{}, nil, t-r.QueryOffset.Milliseconds())
			}
		}
		if o.use == nil && a.states[i].empty() {
			continue
		}
		w.ran[r.group.index]++
		if o.err == nil && len(o.samples) == 0 && a.states[i].empty() {
			continue
		}
		o.samples = slices.Clone(o.samples)
		w.open = append(w.open, o)
	}
}
