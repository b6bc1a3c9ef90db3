package evaluate

import (
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/value"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/program"
	"github.com/watchbill/watchbill/rules/window"
)

// asset is what is known of one asset: the programs its reports run, and where its alerts stand.
type asset struct {
	name string

	// mu lets one evaluation of the asset run at a time, to the end of its commit; shown guards what others may look at
	// meanwhile, and is held for moments.
	mu, shown sync.Mutex

	who   window.Asset
	book  *book
	parts []*window.Part
	bound []binding
	// counts are the evaluator's, by group.
	counts []*arrivedGroup
	// states are those of rules that have something to remember, by the rule's index.
	states []*localState
	// begun is when each group with an interval was evaluated, by the group's index; in milliseconds as all times here.
	begun []int64
	// at is the time evaluated last, newest that of the newest sample then.
	at, newest int64
	// tried is the time of the last evaluation when its commit failed: what it recorded is written.
	tried int64
	// news is how much the window had heard of it then.
	news uint64
	// every is how often the asset reports.
	every time.Duration
	// next is when something changes although nothing arrives; 0 for never. stirred says that something has changed.
	next    int64
	stirred atomic.Bool
	// passed says that the wheel, or a reload, found the asset being evaluated.
	passed atomic.Bool
	// err is of the last commit.
	err error
	// gone says that the evaluator has let go of it; whoever waited for its turn looks for another.
	gone bool

	// owed are alerts of the book's rules that come from elsewhere, for the next who has the turn; shown guards them.
	owed []Restored
	// ended are recording rules that are loaded no more, whose series are to be ended.
	ended []string

	// queued is when the wheel looks at it, as the wheel knows.
	queued time.Time
	place  int
}

// localState is what a rule has to remember of one asset.
type localState struct {
	origin rules.Origin
	active rules.Active
	// quiet are the lanes that hold, in order, when the alerts are just theirs; nil when the next result has to be looked at
	// in full. Nothing but their values changes while the same ones hold, before until.
	quiet []held
	until int64
	// unknown says why nothing can be said about alerts and results.
	unknown map[string]string
	written rules.Written
	err     error
	at      int64
	// recorded tells that a recording rule has written.
	recorded bool
	// blind tells of a rule that is not evaluated at every arrival that it was not since what it reads is known.
	blind bool
}

// held is a lane that holds, with its alert.
type held struct {
	lane  int32
	id    string
	value float64
}

func (s *localState) empty() bool {
	return s == nil || len(s.active) == 0 && s.err == nil && len(s.unknown) == 0 && len(s.written) == 0
}

// turn is one evaluation of an asset: a worker's memory, used again.
type turn struct {
	machine program.Machine
	values  []float64
	// open are the rules whose result has to be looked at in full.
	open []opened
	// due are the groups to be evaluated, ran counts the rules that were, by group.
	due []bool
	ran []int
	// spaced are the rules with long ranges that were evaluated, with when they had been before.
	spaced []spacedAt
}

type spacedAt struct {
	state *localState
	was   int64
}

// opened is a result that has to be looked at in full.
type opened struct {
	rule    *localRule
	use     *compiled
	samples []program.Sample
	err     error
	// doubted tells that something it was made of had been recorded of what was not known.
	doubted bool
}

// recording is what a recording rule made.
type recording struct {
	rule *localRule
	use  *compiled
	// lanes are those of its samples when they may be made of what is not known.
	lanes []int32
}

// judge runs rules from the one at i on, until one has recorded something, which is to be written before the next one
// runs. It returns where to go on.
func (w *turn) judge(a *asset, v window.View, i int, t int64) (int, *recording) {
	for ; i < len(a.book.rules); i++ {
		r := a.book.rules[i]
		if !w.due[r.group.index] || !w.isSpaced(a, r, t) {
			continue
		}
		w.ran[r.group.index]++
		b, at := a.bound[i], t-r.QueryOffset.Milliseconds()
		var samples []program.Sample
		var err error
		if b.use != nil {
			if err = b.use.err; err == nil {
				samples, err = w.machine.Run(b.use.prog, v, b.at, at)
			}
		}
		if s := a.states[i]; s != nil && s.at != 0 {
			s.blind = !b.known(v, r, at)
		}
		if !r.Alerting() {
			if rec := w.record(a, v, r, b, samples, err, at); rec != nil {
				return i + 1, rec
			}
			continue
		}
		s := a.states[i]
		if err == nil && (len(samples) == 0 && s.empty() || s.calm(samples, t) && b.known(v, r, at)) {
			continue
		}
		w.open = append(w.open, opened{
			rule: r, use: b.use, samples: slices.Clone(samples), err: err, doubted: !r.Resolves() && b.doubted(v, r, at),
		})
	}
	return i, nil
}

// isSpaced tells whether a rule is due that may have a long range: at the first arrival at or after each multiple of its
// spacing, so that a restart changes nothing about when that is.
func (w *turn) isSpaced(a *asset, r *localRule, t int64) bool {
	every := r.spacing.Milliseconds()
	if every == 0 || a.every >= r.spacing {
		return true
	}
	s := a.stateOf(r)
	if s.at == 0 {
		s.at, s.blind = t, true
	}
	if t/every == s.at/every {
		return false
	}
	w.spaced = append(w.spaced, spacedAt{s, s.at})
	s.at = t
	return true
}

// calm tells whether the alerts are just those of the samples and nothing but their values changes; it takes the values.
func (s *localState) calm(samples []program.Sample, t int64) bool {
	if s == nil || s.err != nil || len(s.quiet) == 0 || len(s.quiet) != len(samples) || t >= s.until {
		return false
	}
	for i := range samples {
		if samples[i].Lane != s.quiet[i].lane {
			return false
		}
	}
	for i := range samples {
		s.quiet[i].value = samples[i].V
	}
	return true
}

// known tells whether all that the rule reads is known.
func (b binding) known(v window.View, r *localRule, t int64) bool {
	for _, part := range b.at {
		if !v.Known(part, t, r.Arrival.MaxRange()) {
			return false
		}
	}
	return true
}

// doubted tells whether the rule reads what a recording rule made of what was not known. What is recorded later in the same
// turn may be known, and the rule has not seen it.
func (b binding) doubted(v window.View, r *localRule, t int64) bool {
	parts := v.Parts()
	return slices.ContainsFunc(b.at, func(part int) bool {
		return strings.HasPrefix(parts[part].Name, window.RecordedPart) && !v.Known(part, t, r.Arrival.MaxRange())
	})
}

// record puts what a recording rule made into w.values; nil when it made nothing, and had made nothing before.
func (w *turn) record(a *asset, v window.View, r *localRule, b binding, samples []program.Sample, err error, t int64) *recording {
	s := a.states[r.index]
	if err == nil && b.use != nil && !b.use.single {
		err = b.use.collision(samples)
	}
	if err == nil && r.Limit > 0 && len(samples) > r.Limit {
		err = rules.ErrLimit
	}
	if err != nil || s != nil && s.err != nil {
		w.open = append(w.open, opened{rule: r, use: b.use, err: err})
	}
	if err != nil || len(samples) == 0 && (s == nil || !s.recorded) {
		return nil
	}
	a.stateOf(r).recorded = len(samples) > 0
	w.values = w.values[:0]
	if b.use != nil {
		for range b.use.layout.Series {
			w.values = append(w.values, math.Float64frombits(value.StaleNaN))
		}
		for _, x := range samples {
			w.values[b.use.slots[x.Lane]] = x.V
		}
	}
	out := &recording{rule: r, use: b.use}
	if !b.known(v, r, t) {
		for _, x := range samples {
			out.lanes = append(out.lanes, x.Lane)
		}
	}
	return out
}

// collision tells whether two of the samples would be the same recorded series.
func (c *compiled) collision(samples []program.Sample) error {
	for i, x := range samples {
		for _, y := range samples[:i] {
			if c.slots[x.Lane] == c.slots[y.Lane] {
				return rules.ErrDuplicateLabels
			}
		}
	}
	return nil
}

// rebind gives the asset the programs of its present parts.
func (a *asset) rebind(v window.View) {
	a.every = v.Interval()
	a.bind(v.Asset(), v.Parts())
}

// bind gives the asset the programs of these parts; the caller holds shown.
func (a *asset) bind(who window.Asset, parts []*window.Part) {
	if a.bound != nil && a.who == who && sameParts(a.parts, parts) {
		return
	}
	was, bound := a.parts, a.bound
	a.who, a.parts, a.bound = who, parts, a.book.bind(who, parts)
	a.book.release(was, bound)
	for i, s := range a.states {
		if s != nil && (bound == nil || bound[i].use != a.bound[i].use) {
			s.quiet = nil // lanes are others
		}
	}
}

func sameParts(a, b []*window.Part) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
