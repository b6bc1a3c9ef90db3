package window

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// Selector is one selector of a rule's expression.
type Selector struct {
	Matchers []*labels.Matcher
	// Absence is true where the expression wants the series not to be: in absent(), and to the right of unless. That
	// such a series left says nothing about the alert.
	Absence bool
	// Lookback is how far back from Question.At the selector reaches by ranges, subqueries and offsets; 0 for an
	// instant one, for which StaleAfter is enough.
	Lookback time.Duration
}

// Question is about the series that one alert of one rule is about.
type Question struct {
	Selectors []Selector
	// Labels of the alert, without those that the rule adds itself. A series is compatible with them when every label
	// that both have is equal, but for __name__ and alertname.
	Labels labels.Labels
	At     time.Time
	// Holds is true when the expression has a result with these labels.
	Holds bool
}

// State is what is known about an alert's series.
type State uint8

// The states of knowledge.
const (
	// Live: they are in fresh ok blocks.
	Live State = iota + 1
	// Unknown: nobody can say. Reason says why.
	Unknown
	// Gone: they left an ok block, or there are none.
	Gone
)

// Standing is the answer to a Question.
type Standing struct {
	State  State
	Reason string
	// Newest is the time of the newest sample at or before Question.At of those of these series that had not ended by
	// then; zero if there is none.
	Newest time.Time
	// Every is how often the series with that sample are reported; 0 where nobody says.
	Every time.Duration
}

// settle is how long after an asset's first report a series that is not there may still come: slow samplers report at
// least every two minutes.
const settle = 5 * time.Minute

// finding is what one selector finds.
type finding struct {
	live, left bool
	// over: a recorded series ended. That is what recording rules do when their expression does not hold; whether it can
	// be known that it does not is up to the selectors behind it.
	over    bool
	unknown string
	newest  int64
	every   time.Duration
}

// Look says whether an alert's series are known to be well enough to judge the alert by. One unknown selector makes the
// whole unknown: what an expression joins with data nobody has is not known. A selector that finds series which left,
// and none that is live, means gone.
func (w *Window) Look(q Question) Standing {
	all := finding{newest: never}
	missing := false
	for _, sel := range q.Selectors {
		f := w.seek(q, sel)
		if f.newest > all.newest {
			all.newest, all.every = f.newest, f.every
		}
		switch {
		case f.live:
			all.live = true
		case f.unknown != "" && all.unknown == "":
			all.unknown = f.unknown
		case f.left && !sel.Absence:
			all.left = true
		case !f.left && !f.over && !sel.Absence:
			missing = true
		}
	}
	st := Standing{State: Live}
	if all.newest != never {
		st.Newest, st.Every = time.UnixMilli(all.newest).UTC(), all.every
	}
	switch {
	case all.unknown != "":
		st.State, st.Reason = Unknown, all.unknown
	case all.left && !q.Holds:
		st.State, st.Reason = Gone, "its series left their block"
	case !all.live, missing && !q.Holds:
		if why := w.filling(q); why != "" {
			st.State, st.Reason = Unknown, why
		} else if !all.live {
			st.State, st.Reason = Gone, "there is no such series"
		}
	}
	return st
}

// filling says why a series that is not here may still come.
func (w *Window) filling(q Question) string {
	instance := q.Labels.Get(instanceLabel)
	if instance == "" {
		if started := w.since(); started.IsZero() || q.At.Sub(started) < settle {
			return "the window is still filling after the start"
		}
		return ""
	}
	as := w.find(instance)
	if as != nil {
		as.mu.RLock()
		defer as.mu.RUnlock()
	}
	switch {
	case as == nil || as.first.IsZero():
		return fmt.Sprintf("%s has not been heard of since the start", instance)
	case as.silent(q.At) != "":
		return as.silent(q.At)
	case q.At.Sub(as.first) < settle:
		return fmt.Sprintf("the window of %s is still filling", instance)
	}
	return ""
}

// seek looks at the series of one selector that are compatible with the alert.
func (w *Window) seek(q Question, sel Selector) finding {
	f := finding{newest: never}
	instance := q.Labels.Get(instanceLabel)
	if instance == "" {
		w.catchUp()
		find := newFinder(sel.Matchers)
		for _, as := range w.assetsOf(sel.Matchers) {
			w.seekIn(as, q, sel, find, &f)
		}
	} else if as := w.find(instance); as != nil {
		w.seekIn(as, q, sel, newFinder(sel.Matchers), &f)
	}
	r := &w.recorded
	r.mu.RLock()
	defer r.mu.RUnlock()
	lists := [2][]*source{r.instance[instance], r.instance[""]} // a series without an instance is compatible too
	if instance == "" {
		lists = [2][]*source{r.list(sel.Matchers)}
	}
	for _, list := range lists {
		for _, s := range list {
			if lbls := s.part.Series[0]; matches(lbls, sel.Matchers) && (&Asset{}).compatible(lbls, q.Labels) {
				f.add(w, s, 0, q.At, sel.Lookback)
			}
		}
	}
	return f
}

// seekIn looks at the series of one asset.
func (w *Window) seekIn(as *asset, q Question, sel Selector, find *finder, f *finding) {
	as.read(w)
	defer as.mu.RUnlock()
	for _, s := range as.order {
		find.each(&as.Asset, s.part, func(slot int32) bool {
			if as.compatible(s.part.Series[slot], q.Labels) {
				f.add(w, s, slot, q.At, sel.Lookback)
			}
			return true
		})
	}
}

// add looks at one series.
func (f *finding) add(w *Window, s *source, slot int32, at time.Time, lookback time.Duration) {
	t, v, ok := s.lastAt(slot, at.UnixMilli())
	if !ok && s.asset != nil && s.newest() == never {
		return // nothing of it was kept
	}
	if ok && !value.IsStaleNaN(v) && t > f.newest {
		f.newest, f.every = t, s.interval
	}
	gone, why := w.judge(s, slot, at, lookback)
	switch {
	case why != "":
		f.unknown = why
	case gone && s.written():
		f.over = true
	case gone:
		f.left = true
	default:
		f.live = true
	}
}

// written tells whether the house writes it itself.
func (s *source) written() bool { return s.asset == nil || s.part.Written() }

// judge says whether one series has left, or why nobody can say.
func (w *Window) judge(s *source, slot int32, now time.Time, lookback time.Duration) (gone bool, unknown string) {
	at, back := now.UnixMilli(), lookback.Milliseconds()
	if lookback > w.opts.MaxLookback {
		return false, fmt.Sprintf("the rule looks back %v, the window at most %v", lookback, w.opts.MaxLookback)
	}
	if s.written() {
		return w.judgeWritten(s, slot, at, back)
	}
	as := s.asset
	if why := as.silent(now); why != "" && (!s.outside() || as.agentless()) {
		return false, why
	}
	switch {
	case s.status == Failed:
		return false, fmt.Sprintf("%s of %s failed: %s", s.part.Name, as.Name, s.more.reason)
	case s.interval > 0 && at-s.newest() > 3*s.interval.Milliseconds():
		return false, fmt.Sprintf("%s of %s is missing since %s", s.part.Name, as.Name, clock(s.newest()))
	}
	_, v, ok := s.lastAt(slot, at)
	switch complete := max(as.complete, s.since(slot)); {
	case ok && value.IsStaleNaN(v):
		return true, ""
	case back > 0 && at-back < complete:
		return false, fmt.Sprintf("the window of %s is complete since %s, the rule looks back %v", as.Name, clock(complete), lookback)
	case !ok && at <= s.lost:
		return false, fmt.Sprintf("the window of %s keeps %s since %s, and is asked about %s", as.Name, s.part.Name, clock(s.lost), clock(at))
	}
	return false, ""
}

// since is since when what is looked back on of a slot is kept; never when that was always so.
func (s *source) since(slot int32) int64 {
	if all := s.seldom().since; all != nil {
		return all[slot]
	}
	return never
}

// judgeWritten is judge for series that the house writes itself. They stand on their own: up is there to tell silence.
func (w *Window) judgeWritten(s *source, slot int32, at, back int64) (gone bool, unknown string) {
	name := s.part.Series[slot].Get(model.MetricNameLabel)
	t, v, ok := s.lastAt(slot, at)
	switch {
	case ok && value.IsStaleNaN(v):
		return true, ""
	case !ok || at-t >= StaleAfter.Milliseconds():
		return false, fmt.Sprintf("%s was last written at %s", name, clock(t))
	}
	if doubted := s.seldom().doubted; doubted != 0 && (doubted > at-back || t <= doubted) {
		return false, fmt.Sprintf("%s was made of what was not known until %s", name, clock(doubted))
	}
	complete := w.since().UnixMilli()
	if s.asset != nil {
		complete = s.asset.complete
		if !s.asset.known {
			complete = at
		}
		if s.asset.again != 0 && s.part.house() {
			complete = max(complete, s.asset.again)
		}
	}
	complete = max(complete, s.since(slot))
	if back > 0 && at-back < complete {
		return false, fmt.Sprintf("%s is complete since %s, the rule looks back to %s", name, clock(complete), clock(at-back))
	}
	return false, ""
}

// silent says why nothing can be known about the asset at all.
func (a *asset) silent(at time.Time) string {
	every := a.interval()
	if a.down || (every > 0 && at.Sub(a.received) > 3*every) {
		if a.received.IsZero() {
			return fmt.Sprintf("%s is silent", a.Name)
		}
		return fmt.Sprintf("%s is silent since %s", a.Name, a.received.UTC().Format(time.RFC3339))
	}
	return ""
}

func clock(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
