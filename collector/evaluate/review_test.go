package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// past is a house with reviews beside it.
type past struct {
	house
	*Reviews
	now  time.Time
	seq  uint64
	mu   sync.Mutex
	told []Unseen
	fail error
}

func newPast(t testing.TB, text string, change ...func(*ReviewOptions)) *past {
	p := &past{now: at(0)}
	p.house = newHouse(t, text, func(o *Options) { o.Now = func() time.Time { return p.now } })
	o := ReviewOptions{Live: p.Evaluator, Now: func() time.Time { return p.now }, Tell: p.tell}
	for _, c := range change {
		c(&o)
	}
	p.Reviews = NewReviews(o)
	return p
}

func (p *past) tell(_ context.Context, u Unseen) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	p.told = append(p.told, u)
	return nil
}

// live is a report that comes in time, and the evaluation after it.
func (p *past) live(seconds int, x float64) {
	p.t.Helper()
	p.now = at(seconds)
	p.seq++
	p.report(seconds, x, 0)
	if err := p.EvaluateOnce(p.t.Context(), p.now); err != nil {
		p.t.Fatal(err)
	}
}

// open begins a review at the return of the asset with this value.
func (p *past) open(seconds int, x float64) {
	p.now = at(seconds)
	p.Open(web1, at(seconds), p.of(seconds, x, false), func() *window.Window { return p.w.Fork("web1", at(seconds)) })
}

func (p *past) of(seconds int, x float64, unseen bool) Past {
	b := window.Block{Source: "cpu", Kind: "node", At: at(seconds), Interval: 10 * time.Second, Status: window.OK, Layout: full, Values: []float64{x, 0}}
	return Past{At: at(seconds), Epoch: 1, Sequence: uint64(seconds/10 + 1), Blocks: []window.Block{b}, Unseen: unseen}
}

func (p *past) late(from, to int, x func(s int) float64) {
	for s := from; s <= to; s += 10 {
		p.Add("web1", p.of(s, x(s), true))
	}
}

func (p *past) steps() {
	for p.Step(p.t.Context()) {
	}
}

func is(v float64) func(int) float64 { return func(int) float64 { return v } }

// say is what was told, readable.
func (p *past) say() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, u := range p.told {
		line := fmt.Sprintf("%v-%v", u.From.Sub(epoch).Seconds(), u.To.Sub(epoch).Seconds())
		for _, e := range u.Found {
			end := "standing"
			if !e.Alert.EndedAt.IsZero() {
				end = fmt.Sprint(e.Alert.EndedAt.Sub(epoch).Seconds())
			}
			line += fmt.Sprintf(" %s %v-%s worst %v times %d", e.Origin.Name, e.Since.Sub(epoch).Seconds(), end, e.Worst, e.Times)
		}
		for _, e := range u.Live {
			line += " live " + e.Origin.Name
		}
		if u.More > 0 {
			line += fmt.Sprintf(" and %d", u.More)
		}
		out = append(out, strings.TrimSpace(line+" "+u.Unjudged))
	}
	p.told = nil
	return strings.Join(out, "; ")
}

func (p *past) want(what, want string) {
	p.t.Helper()
	if got := p.say(); got != want {
		p.t.Errorf("%s: told %q, want %q", what, got, want)
	}
}

const above = "groups: [{name: g, rules: [{alert: High, expr: x > 5}]}]"

func TestAFaultNobodySawIsTold(t *testing.T) {
	p := newPast(t, above)
	p.live(0, 1)
	p.open(600, 1)
	p.live(600, 1)
	p.late(10, 590, func(s int) float64 {
		if s >= 100 && s < 200 {
			return float64(s)
		}
		return 1
	})
	p.steps()
	p.want("before it is closed", "")
	p.Close("web1")
	p.steps()
	p.want("once", "10-590 High 100-200 worst 190 times 1")
	if _, _, open := p.Fed("web1"); open || p.Step(t.Context()) {
		t.Error("the review goes on")
	}
	if p.l.take() != "" || len(p.Alerts()) != 0 {
		t.Error("live alerts were touched")
	}
}

func TestWhatIsWorseDependsOnTheRule(t *testing.T) {
	p := newPast(t, "groups: [{name: g, rules: [{alert: Low, expr: x < 5, for: 20s}]}]")
	p.live(0, 9)
	p.open(600, 9)
	p.live(600, 9)
	p.late(10, 590, func(s int) float64 {
		switch {
		case s == 150:
			return -3
		case s >= 100 && s < 300:
			return 4
		}
		return 9
	})
	p.Close("web1")
	p.steps()
	if c := p.told[0].Found[0].Curves; len(c) != 1 || c[0].Labels.Get("__name__") != "x" || c[0].Points[0].V != 9 || !c[0].Points[0].T.Equal(at(0)) {
		t.Errorf("curves %+v", c)
	}
	p.want("low", "10-590 Low 100-300 worst -3 times 1")
}

// What is still so when the asset is seen again is a live alert, and waits for the live rules to say so.
func TestWhatStillFiresIsLive(t *testing.T) {
	for name, c := range map[string]struct {
		live func(*past)
		want string
	}{
		"fires": {func(p *past) { p.live(620, 9) }, "10-590 live High"},
		"over when it came to it": {func(p *past) { p.live(610, 1); p.live(620, 1) },
			"10-590 High 100-standing worst 9 times 1"},
		"unknown for too long": {func(p *past) { p.now = at(600 + 7*60) }, "10-590 High 100-standing worst 9 times 1"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPast(t, "groups: [{name: g, rules: [{alert: High, expr: x > 5, for: 20s}]}]")
			p.live(0, 1)
			p.open(600, 9)
			p.live(600, 9)
			p.late(10, 590, func(s int) float64 {
				if s >= 100 {
					return 9
				}
				return 1
			})
			p.Close("web1")
			p.steps()
			p.want("pending in live rules", "")
			c.live(p)
			p.now = p.now.Add(2 * time.Second)
			p.steps()
			p.want("then", c.want)
		})
	}
}

func TestWhatWasKnownBeforeIsNotTold(t *testing.T) {
	p := newPast(t, above)
	p.live(0, 9)
	p.open(600, 1)
	p.live(600, 1)
	p.late(10, 590, func(s int) float64 {
		switch {
		case s < 100, s >= 300 && s < 350:
			return 9 // first what was known, then anew
		}
		return 1
	})
	p.Close("web1")
	p.steps()
	p.want("known", "10-590 High 300-350 worst 9 times 1")
	if got := p.l.take(); got != "0s High(web1) inactive>firing, 600s High(web1) firing>inactive recovered" {
		t.Errorf("live transitions %q", got)
	}
}

func TestLookingBackNeedsWhatWasBefore(t *testing.T) {
	const rule = "groups: [{name: g, rules: [{alert: Grew, expr: 'increase(x[1m]) > 50'}]}]"
	grow := func(s int) float64 { return map[bool]float64{true: 100}[s >= 30] }
	t.Run("from the window", func(t *testing.T) {
		p := newPast(t, rule)
		p.w.SetCompleteSince("web1", at(-3600))
		for s := -120; s <= 0; s += 10 {
			p.live(s, 0)
		}
		p.w.SetCompleteSince("web1", at(-3600))
		p.open(600, 100)
		p.live(600, 100)
		p.late(10, 590, grow)
		p.Close("web1")
		p.steps()
		p.want("with the past", "10-590 Grew 30-80 worst 100 times 1")
	})
	t.Run("nothing before", func(t *testing.T) {
		p := newPast(t, rule)
		p.open(600, 100)
		p.live(600, 100)
		p.late(10, 590, grow)
		p.Close("web1")
		p.steps()
		p.want("without, known only once it looks back no further than the gap", "10-590 Grew 70-80 worst 100 times 1")
	})
	t.Run("from what was acknowledged", func(t *testing.T) {
		p := newPast(t, rule)
		p.open(600, 100)
		p.live(600, 100)
		for s := -120; s <= 0; s += 10 {
			p.Add("web1", p.of(s, 0, false))
		}
		p.late(10, 590, grow)
		p.Close("web1")
		p.steps()
		p.want("with the replay", "10-590 Grew 30-80 worst 100 times 1")
	})
}

// A gap played live and a gap reviewed afterwards show the same alerts at the same times.
func TestReviewIsWhatLiveWouldHaveSeen(t *testing.T) {
	const file = `groups:
- name: g
  rules:
  - {record: "x:big", expr: x > 4}
  - {alert: Now, expr: x > 5}
  - {alert: Wait, expr: x > 5, for: 20s}
  - {alert: Keep, expr: x > 7, keep_firing_for: 30s}
  - {alert: Grew, expr: 'max_over_time(x[40s]) - min_over_time(x[40s]) > 7'}
  - {alert: Made, expr: 'count_over_time(x:big[1m]) > 3'}
  - {alert: Fleet, expr: sum(x) > 5}
`
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		values := map[int]float64{}
		v := 4.0
		for s := 0; s <= 1200; s += 10 {
			v = min(max(v+rnd.Float64()*6-3, 0), 10)
			values[s] = v
			if s > 1100 {
				values[s] = 0
			}
		}
		value := func(s int) float64 { return values[s] }
		seen := newHouse(t, file)
		for s := 0; s <= 1200; s += 10 {
			seen.report(s, value(s), 0)
			if err := seen.EvaluateOnce(t.Context(), at(s)); err != nil {
				t.Fatal(err)
			}
		}
		var want []string
		for _, line := range strings.Split(seen.l.take(), ", ") {
			if strings.Contains(line, ">firing") && !strings.Contains(line, "firing>firing") && !strings.Contains(line, "Fleet") {
				want = append(want, line)
			}
		}
		p := newPast(t, file)
		p.live(0, value(0))
		p.open(1200, 0)
		p.live(1200, 0)
		fired := map[string]int{}
		var got []string
		spy := p.all["web1"]
		spy.eval = p.Evaluator.apart(spy.window, spy)
		spy.eval.Restore(spy.known)
		spy.eval.opts.Commit = tee{spy, func(when time.Time, ts []rules.Transition) {
			for _, x := range ts {
				if x.Alert.State == rules.Firing && x.From != rules.Firing {
					fired[x.Origin.Name]++
					got = append(got, fmt.Sprintf("%vs %s(web1) %s>firing", when.Sub(epoch).Seconds(), x.Origin.Name, x.From))
				}
			}
		}}
		p.late(10, 1190, value)
		p.Close("web1")
		p.steps()
		want = slices.DeleteFunc(want, func(s string) bool { return strings.HasPrefix(s, "0s ") })
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: reviewed\n%s\nlive\n%s", seed, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, e := range p.told[0].Found {
			if e.Times != fired[e.Origin.Name] || e.Alert.EndedAt.IsZero() {
				t.Errorf("seed %d: %+v, fired %d times", seed, e, fired[e.Origin.Name])
			}
		}
	}
}

type tee struct {
	Committer
	also func(time.Time, []rules.Transition)
}

func (x tee) Commit(ctx context.Context, at time.Time, ts []rules.Transition) error {
	x.also(at, ts)
	return x.Committer.Commit(ctx, at, ts)
}

func TestReviewIsToldAgainUntilItIsKept(t *testing.T) {
	p := newPast(t, above)
	p.fail = errors.New("disk full")
	p.live(0, 1)
	p.open(60, 1)
	p.live(60, 1)
	p.late(10, 50, func(s int) float64 { return float64(s) })
	p.Close("web1")
	p.steps()
	if p.Step(t.Context()) || len(p.line) != 1 {
		t.Error("a review that could not be kept was let go, or is tried without a pause")
	}
	p.fail = nil
	p.now = p.now.Add(time.Second)
	p.steps()
	p.want("kept", "10-50 High 10-60 worst 50 times 1")
}

func TestReviewsAreBounded(t *testing.T) {
	p := newPast(t, above, func(o *ReviewOptions) { o.MaxBytes, o.MaxQueued = 40<<10, 10<<10 })
	var names []string
	for i := range 100 {
		name := fmt.Sprintf("host%d", i)
		if !p.Room(name) {
			break
		}
		names = append(names, name)
		p.Open(window.Asset{Name: name}, at(0), Past{}, nil)
		for p.Room(name) {
			p.Add(name, p.of(10, 1, true))
		}
	}
	if n := len(names); n < 2 || n == 100 {
		t.Fatalf("%d reviews began", n)
	}
	if open, bytes := p.Reviews.count(); open != len(names) || bytes > 60<<10 {
		t.Errorf("%d reviews of %d bytes", open, bytes)
	}
	if p.Room("another") {
		t.Error("another may send over the limit")
	}
	p.steps()
	if !p.Room(names[0]) {
		t.Error("the one that waits longest must get on, or nobody does")
	}
	p.now = p.now.Add(time.Hour)
	p.steps()
	if n := len(p.told); n != len(names) {
		t.Errorf("%d of %d reviews were told without their ends", n, len(names))
	}
	if open, bytes := p.Reviews.count(); open != 0 || bytes != 0 || !p.Room("another") {
		t.Errorf("%d reviews of %d bytes are left of assets that do not come", open, bytes)
	}
}

func TestAReviewThatIsTooMuchSaysSo(t *testing.T) {
	p := newPast(t, above, func(o *ReviewOptions) { o.MaxBytes = 200 << 10 })
	wide := &window.Layout{ID: [32]byte{9}}
	for i := range 400 {
		wide.Series = append(wide.Series, labels.FromStrings("__name__", "w", "i", fmt.Sprint(i)))
	}
	p.Open(web1, at(0), Past{}, nil)
	b := window.Block{Source: "w", Kind: "node", At: at(10), Interval: 10 * time.Second, Status: window.OK, Layout: wide, Values: make([]float64, 400)}
	p.Add("web1", Past{At: at(10), Blocks: []window.Block{b}, Unseen: true})
	p.late(20, 60, is(1))
	p.Close("web1")
	p.steps()
	if got := p.say(); !strings.Contains(got, "10-60 its reports need more memory") {
		t.Errorf("told %q", got)
	}
}

// A whole fleet comes back when reviews have all their memory: nobody's window is copied, and all are told.
func TestAFullHouseCopiesNoWindow(t *testing.T) {
	const n = 200
	p := newPast(t, above, func(o *ReviewOptions) { o.MaxBytes = 4 * forkBytes })
	wide := &window.Layout{ID: [32]byte{9}}
	for i := range 100 {
		wide.Series = append(wide.Series, labels.FromStrings("__name__", "w", "i", fmt.Sprint(i)))
	}
	full := window.New(window.Options{})
	for s := 0; s < 200; s += 10 {
		b := window.Block{Source: "w", Kind: "node", At: at(s), Interval: 10 * time.Second, Status: window.OK, Layout: wide, Values: make([]float64, 100)}
		full.Apply(web1, at(s), []window.Block{b})
	}
	copies := 0
	back := p.of(600, 1, false)
	ids := map[uint64]bool{}
	for i := range n {
		ids[p.Open(window.Asset{Name: fmt.Sprint("host", i)}, at(590), back, func() *window.Window {
			copies++
			return full.Fork("web1", at(590))
		})] = true
	}
	if _, bytes := p.Reviews.count(); copies == 0 || copies > n/4 || bytes > p.Reviews.o.MaxBytes+n*8<<10 {
		t.Errorf("%d windows were copied, %d bytes of %d are held", copies, bytes, p.Reviews.o.MaxBytes)
	}
	for i := range n {
		name := fmt.Sprint("host", i)
		p.Add(name, p.of(590, 9, true))
		p.Close(name)
	}
	p.steps()
	if _, bytes := p.Reviews.count(); bytes > n*8<<10 {
		t.Errorf("%d bytes are held while the live rules have not spoken", bytes)
	}
	p.now = p.now.Add(6 * time.Minute)
	p.steps()
	for _, u := range p.told {
		if len(u.Found) != 1 || !ids[u.Review] || p.Going(u.Review) {
			t.Fatalf("told %+v", u)
		}
		delete(ids, u.Review)
	}
	if open, bytes := p.Reviews.count(); len(ids) != 0 || open != 0 || bytes != 0 {
		t.Errorf("%d reviews were not told, %d are open, %d bytes are held", len(ids), open, bytes)
	}
}

// A review that is told late, and one that was opened since, are told apart.
func TestTwoReviewsOfOneAssetAreToldApart(t *testing.T) {
	p := newPast(t, above)
	first := p.Open(web1, at(0), Past{}, nil)
	if again := p.Open(web1, at(10), Past{}, nil); again != first {
		t.Errorf("an open review was opened again, as %d instead of %d", again, first)
	}
	if other := p.Another("web1", first); other != 0 {
		t.Errorf("another is %d, want none", other)
	}
	p.Close("web1")
	second := p.Open(web1, at(20), Past{}, nil)
	if id, _, _ := p.Fed("web1"); id != second || p.Another("web1", first) != second || !p.Going(first) || !p.Going(second) {
		t.Errorf("%d is open after %d", id, second)
	}
	p.steps()
	if p.Going(first) || !p.Going(second) || len(p.told) != 1 || p.told[0].Review != first {
		t.Errorf("told %+v, want the first", p.told)
	}
}

// What was judged is let go of, though more of its queue waits.
func TestJudgedReportsAreLetGoOf(t *testing.T) {
	p := newPast(t, above)
	p.open(0, 1)
	p.late(10, 10*(2*batch), is(1))
	queue := p.all["web1"].queue
	if !p.Step(t.Context()) {
		t.Fatal("nothing is left to be judged")
	}
	for i := range queue {
		if kept := queue[i].Blocks != nil; kept != (i >= batch) {
			t.Fatalf("report %d of %d, of which %d are judged: kept %v", i, len(queue), batch, kept)
		}
	}
	p.steps()
	if p.all["web1"].queue != nil {
		t.Error("an empty queue is kept")
	}
}

// A thousand assets come back at once: all are told, and the live rules have most of the processor.
func TestManyReviewsLeaveTheProcessorToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPast(t, above)
		var spent time.Duration
		began := time.Now()
		p.Reviews.o.Now = func() time.Time { return began.Add(time.Since(began)) }
		p.Reviews.o.Tell = func(ctx context.Context, u Unseen) error {
			time.Sleep(10 * time.Millisecond) // what a review costs
			spent += 10 * time.Millisecond
			return p.tell(ctx, u)
		}
		const n = 1000
		for i := range n {
			name := fmt.Sprintf("host%d", i)
			p.Open(window.Asset{Name: name}, at(0), Past{}, nil)
			for s := 10; s <= 50; s += 10 {
				p.Add(name, p.of(s, 1, true))
			}
			p.Close(name)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(p.told) != n {
			t.Errorf("%d of %d were told", len(p.told), n)
		}
		if spent != n*10*time.Millisecond {
			t.Errorf("spent %v", spent)
		}
	})
}

// Run rests in proportion to what it worked.
func TestReviewsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPast(t, above)
		began := time.Now()
		p.Reviews.o.Now = time.Now
		var turns []time.Duration
		p.Reviews.o.Tell = func(context.Context, Unseen) error {
			time.Sleep(time.Second)
			turns = append(turns, time.Since(began))
			return nil
		}
		for i := range 5 {
			name := fmt.Sprintf("host%d", i)
			p.Open(window.Asset{Name: name}, at(0), Past{}, nil)
			p.Close(name)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(time.Minute)
		stop()
		<-done
		if len(turns) != 5 || turns[4] < 17*time.Second {
			t.Errorf("five seconds of work at a quarter of the processor were done at %v", turns)
		}
	})
}
