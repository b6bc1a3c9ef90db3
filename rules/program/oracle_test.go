package program

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/rules/window"
)

var (
	long  = flag.Int("long", 0, "also check this many expressions against the engine, in worlds of their own")
	first = flag.Uint64("first", 1000, "seed of the first world of -long")
)

// question is one expression about one asset of a world at a time.
type question struct {
	world *world
	asset int
	expr  string
	t     int64
}

func draw(t *rapid.T, seed uint64) question {
	q := question{world: worldOf(seed), asset: rapid.IntRange(0, 1).Draw(t, "asset")}
	s := speaker{T: t}
	if s.chance(4) {
		s.pinned = assets[q.asset].Name
	}
	q.expr = s.vector(rapid.IntRange(0, 3).Draw(t, "depth"))
	ticks := q.world.ticks
	if s.chance(2) {
		ticks = ticks[len(ticks)-3:] // where the newest block is enough
	}
	q.t = rapid.SampledFrom(ticks).Draw(t, "tick") +
		rapid.SampledFrom([]int64{0, 0, 0, 1, -1, 7000, 15000, 299_999, 300_000, 300_001, 60_000}).Draw(t, "after")
	return q
}

// options are those of the engine that is asked.
var options = Options{Step: defaultStep}

// errTimer: the expression is not one for arrival.
var errTimer = errors.New("timer")

// check compares what a program says with what the engine says; a mutant spoils it first.
func (q question) check(m *Machine, e *promql.Engine, spoil mutant) (said, error) {
	expr, err := newParser().ParseExpr(q.expr)
	if err != nil {
		return said{}, fmt.Errorf("parse: %w", err)
	}
	if spoil.expr != nil {
		spoil.expr(expr)
	}
	x, timer := options.Prepare(expr)
	if timer != nil {
		return said{}, errTimer
	}
	a := assets[q.asset]
	want, werr := ask(e, q.world.alone[q.asset], q.expr, q.t)
	got, gerr := reading(m, x, q.world.alone[q.asset], a, q.t, spoil)
	if other := func(name string) bool { return name != a.Name }; werr != nil && slices.ContainsFunc(x.instances, other) {
		return said{}, nil // it can be about the other asset
	}
	if err := sameErrors(q.expr, gerr, werr); err != nil || werr != nil {
		return said{failed: true}, err
	}
	want = about(want, x, a)
	if err := sameSamples(got, want); err != nil || spoil.name != "" {
		return said{}, q.excuse(err, got, want)
	}
	s := said{samples: len(want)}
	for l, v := range want {
		if x := got[l]; math.Float64bits(x) == math.Float64bits(v) || math.IsNaN(x) {
			s.equal++
		}
	}
	return s, q.fleet(m, e, x, a, want)
}

// excuse lets pass what another order of series explains: topk and bottomk take any of equal samples; and where series with
// several names become one when these go, what is added up in another order loses other digits.
func (q question) excuse(err error, got, want map[string]float64) error {
	tolerance := 1e-12
	if strings.Contains(q.expr, "__name__") && strings.Contains(q.expr, "std") {
		tolerance = 1e-6
	}
	near := func(a, b float64) bool { return within(tolerance, a, b) }
	switch {
	case strings.Contains(q.expr, "k ") && sameValues(got, want), maps.EqualFunc(got, want, near):
		return nil
	}
	return err
}

// sameValues tells whether the values are the same, whatever they are called.
func sameValues(got, want map[string]float64) bool {
	return slices.EqualFunc(slices.Sorted(maps.Values(got)), slices.Sorted(maps.Values(want)), same)
}

// said is what a question was answered with, by both.
type said struct {
	samples, equal int
	failed         bool
}

// about are the samples of a result that are about an asset: all when every selector names it.
func about(all map[string]float64, x *Expr, a window.Asset) map[string]float64 {
	out := map[string]float64{}
	for l, v := range all {
		if x.pinned == a.Name || x.pinned == "" && strings.Contains(l, fmt.Sprintf("instance=%q", a.Name)) {
			out[l] = v
		}
	}
	return out
}

// fleet compares what a program says of an asset with what the engine says of all assets together.
func (q question) fleet(m *Machine, e *promql.Engine, x *Expr, a window.Asset, want map[string]float64) error {
	got, err := reading(m, x, q.world.fleet, a, q.t, mutant{})
	if err != nil {
		return fmt.Errorf("among others: %w", err)
	}
	all, err := ask(e, q.world.fleet, q.expr, q.t)
	if err != nil {
		all = want // of another asset
	}
	if err := sameSamples(got, about(all, x, a)); err != nil {
		return fmt.Errorf("among others: %w", err)
	}
	return nil
}

func sameErrors(expr string, got, want error) error {
	if (got == nil) != (want == nil) {
		return fmt.Errorf("error is %w, want %w", got, want)
	}
	if want == nil || strings.Contains(expr, ":") {
		return nil // a subquery goes step by step, the engine operation by operation
	}
	class := ErrMatching
	switch text := want.Error(); {
	case strings.Contains(text, "same labelset"):
		class = ErrDuplicate
	case strings.Contains(text, "Parameter") || strings.Contains(text, "Scalar value"):
		class = ErrParameter
	}
	if !errors.Is(got, class) {
		return fmt.Errorf("error is %w, want %w", got, want)
	}
	return nil
}

func sameSamples(got, want map[string]float64) error {
	for l, v := range want {
		if x, ok := got[l]; !ok {
			return fmt.Errorf("%s is missing, want %v; got %v", l, v, got)
		} else if !same(x, v) {
			return fmt.Errorf("%s is %v (%x), want %v (%x)", l, x, math.Float64bits(x), v, math.Float64bits(v))
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

// questions draws questions about some worlds.
func questions(from, to uint64) *rapid.Generator[question] {
	return rapid.Custom(func(t *rapid.T) question { return draw(t, rapid.Uint64Range(from, to).Draw(t, "world")) })
}

// TestProgramsAreTheEngine draws expressions, and asks programs and the stock engine about the same samples at the same
// time.
func TestProgramsAreTheEngine(t *testing.T) {
	e, m, gen := newEngine(), &Machine{}, questions(0, 40)
	var c count
	rapid.Check(t, func(t *rapid.T) {
		for range 40 {
			if q := gen.Draw(t, "question"); c.ask(q, m, e) != nil {
				t.Fatal(c.err)
			}
		}
	})
	c.report(t)
}

// rare are expressions that are seldom drawn.
var rare = []string{
	`a - on () group_left () max_over_time(vector(time())[1m:15s])`, `a unless on () (hour() > 25)`, `a and on () (hour() > 2)`,
	`vector(2) * on () group_right () a`, `a * on () group_left (q) label_replace(vector(2), "q", "x", "", "")`, `+a`, `a == a`,
	`a + on (__name__, instance, d, m, job) a`, `{__name__=~"a|b"} + on (__name__, instance) {__name__=~"a|b"}`,
	`sum by (instance) (a) / count by (instance) (a)`,
	`quantile by (instance) (scalar(vector(0.5)), {__name__=~"a|b|c"})`, `histogram_quantile(0.9, rate(h_bucket[2m]))`,
	`histogram_quantile(0.9, sum by (instance, le) (rate(h_bucket[5m])))`, `stddev without (m) ({__name__=~"a|b|c|total"})`,
	`max_over_time(rate({__name__=~"swap."}[20s])[5m:15s])`, `sum by (instance) (rate(total[1m])) > 0.1 unless on (instance) c == 0`,
	`label_replace({__name__=~"a|b"}, "__name__", "z", "", "")`, `min_over_time(topk by (instance) (1, total)[2m:15s])`,
	`absent(a{instance="web1"} @ start())`, `sum by (instance) (sort_desc({__name__=~"a|b|c"}))`, `a{instance=~"web1|", site=~".+"}`,
	`topk(2, {__name__=~"a|b", instance="web1"})`, `max({__name__=~"a|b", instance="web2"}) or vector(0)`, `a ^ -(b)`, `a atan2 b`,
	`absent((a{instance="web1"}))`, `timestamp((a)) - time()`, `sum by (instance) (((a)))`, `rate((total[2m]))`, `timestamp(a @ end())`,
	`max_over_time((a @ end())[1m:15s])`, `max_over_time(timestamp(a)[1m:15s] @ end() offset 30s)`, `(a > 1) + on (instance, d) group_left (m, job) b`,
}

// TestRareExpressions asks them of several worlds.
func TestRareExpressions(t *testing.T) {
	e, m := newEngine(), &Machine{}
	for _, expr := range rare {
		t.Run(expr, func(t *testing.T) {
			for seed := range uint64(25) {
				w := worldOf(seed)
				for i := range 8 {
					q := question{world: w, asset: i % 2, expr: expr, t: w.ticks[len(w.ticks)*(i+1)/8-1] + int64(i%3)*7000}
					if _, err := q.check(m, e, mutant{}); err != nil {
						t.Fatalf("world %d, %s at %s: %v", seed, assets[q.asset].Name, time.UnixMilli(q.t).Sub(epoch), err)
					}
				}
			}
		})
	}
}

// TestManyProgramsAreTheEngine does so as often as -long says, with worlds that nobody else looks at.
func TestManyProgramsAreTheEngine(t *testing.T) {
	const perWorld = 2000
	e, m := newEngine(), &Machine{}
	var c count
	for seed := *first; c.asked < *long; seed++ {
		gen := questions(seed, seed)
		for i := range perWorld {
			if c.ask(gen.Example(int(seed)*perWorld+i), m, e) != nil {
				t.Fatal(c.err)
			}
		}
		worlds.Delete(seed)
	}
	if *long > 0 {
		c.report(t)
	}
}

// count is what became of questions.
type count struct {
	asked, placed, answered, failed, equal, samples int
	err                                             error
}

func (c *count) ask(q question, m *Machine, e *promql.Engine) error {
	c.asked++
	said, err := q.check(m, e, mutant{})
	switch {
	case errors.Is(err, errTimer):
		return nil
	case err != nil:
		c.err = fmt.Errorf("%s of %s at %s: %w", q.expr, assets[q.asset].Name, time.UnixMilli(q.t).Sub(epoch), err)
		return c.err
	}
	c.placed++
	c.samples += said.samples
	c.equal += said.equal
	if said.samples > 0 {
		c.answered++
	}
	if said.failed {
		c.failed++
	}
	return nil
}

func (c *count) report(t *testing.T) {
	t.Logf("of %d expressions %d were for arrival, %d gave samples, %d an error; of %d samples %d were equal to the bit",
		c.asked, c.placed, c.answered, c.failed, c.samples, c.equal)
	if c.placed < c.asked*3/4 || c.answered < c.asked/4 || c.failed == 0 {
		t.Error("that shows too little: want three quarters for arrival, a quarter with samples, and some errors")
	}
}
