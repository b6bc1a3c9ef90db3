package program

import (
	"errors"
	"flag"
	"fmt"
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

// check compares what a program says with what the engine says; change spoils the program first.
func (q question) check(m *Machine, e *promql.Engine, change func(*Program)) error {
	expr, err := newParser().ParseExpr(q.expr)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	x, timer := options.Prepare(expr)
	if timer != nil {
		return errTimer
	}
	a := assets[q.asset]
	want, werr := ask(e, q.world.alone[q.asset], q.expr, q.t)
	got, gerr := reading(m, x, q.world.alone[q.asset], a, q.t, change)
	if werr != nil && gerr == nil && slices.ContainsFunc(x.instances, func(name string) bool { return name != a.Name }) {
		return nil // it can be about the other asset
	}
	if err := sameErrors(q.expr, gerr, werr); err != nil || werr != nil {
		return err
	}
	want = about(want, x, a)
	if err := sameSamples(got, want); err != nil || change != nil {
		return err
	}
	return q.fleet(m, e, x, a, want)
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
	got, err := reading(m, x, q.world.fleet, a, q.t, nil)
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

// TestProgramsAreTheEngine draws expressions, and asks programs and the stock engine about the same samples at the same
// time.
func TestProgramsAreTheEngine(t *testing.T) {
	e := newEngine()
	m := &Machine{}
	checked, placed := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			q := draw(t, rapid.Uint64Range(0, 40).Draw(t, "world"))
			checked++
			switch err := q.check(m, e, nil); {
			case err == nil:
				placed++
			case !errors.Is(err, errTimer):
				t.Fatalf("%s of %s at %s: %v", q.expr, assets[q.asset].Name, time.UnixMilli(q.t).Sub(epoch), err)
			}
		}
	})
	t.Logf("%d of %d expressions were for arrival", placed, checked)
	if placed < checked*3/4 {
		t.Errorf("only %d of %d expressions were for arrival", placed, checked)
	}
}
