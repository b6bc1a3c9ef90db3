package program

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"

	"github.com/watchbill/watchbill/rules/window"
)

func parsed(t *testing.T, expr string) parser.Expr {
	t.Helper()
	e, err := newParser().ParseExpr(expr)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func prepared(t *testing.T, expr string) *Expr {
	t.Helper()
	x, timer := Prepare(parsed(t, expr))
	if timer != nil {
		t.Fatalf("%s: %s: %s", expr, timer.Expr, timer.Why)
	}
	return x
}

// TestWhatIsForTheTimer, which part of it decides, and why.
func TestWhatIsForTheTimer(t *testing.T) {
	for _, c := range []struct{ expr, part, why string }{
		{`sum(a) > 1`, `sum(a)`, "does not keep instance"},
		{`sum by (job) (a) > 1`, `sum by (job) (a)`, "does not keep instance"},
		{`sum without (instance, cpu) (a)`, ``, "without (instance)"},
		{`topk(3, a)`, ``, "does not keep instance"},
		{`a and on (job) b`, ``, "matches on labels without instance"},
		{`a / on () b`, ``, "matches on labels without instance"},
		{`a / ignoring (instance) b`, ``, "ignores instance"},
		{`a * on (instance) group_left () sum by (instance) (b) + sum(c)`, `sum(c)`, "does not keep instance"},
		{`a or vector(0)`, ``, "some that are of none"},
		{`vector(1) and a`, ``, "some that are of none"},
		{`a * on () group_left (instance) vector(1)`, ``, "some that are of none"},
		{`a > scalar(b)`, `scalar(b)`, "scalar looks at all assets"},
		{`a > scalar(b{instance="web1"})`, `scalar(b{instance="web1"})`, "every selector of the rule to name one instance"},
		{`absent(a)`, ``, "looks at all assets"},
		{`absent(a{instance=~"web1"})`, ``, "looks at all assets"},
		{`absent(a{instance="web1", instance!="x"})`, ``, "looks at all assets"},
		{`absent(a{instance="web1"} > 1) or a`, `absent(a{instance="web1"} > 1)`, "looks at all assets"},
		{`label_replace(a, "host", "$1", "instance", "(.*)")`, ``, "reads instance"},
		{`label_replace(a, "instance", "$1", "host", "(.*)")`, ``, "writes instance"},
		{`label_replace(a, "x", "$1", "y", "(")`, ``, "no regular expression"},
		{`label_join(a, "x", "-", "site", "y")`, ``, "reads site"},
		{`label_join(a, "customer", "-", "y")`, ``, "writes customer"},
		{`count_values by (instance) ("v", a)`, ``, "makes labels of values"},
		{`ALERTS{alertname="x"}`, ``, "which the timer writes"},
		{`count by (instance) ({__name__=~".+"})`, `{__name__=~".+"}`, "ALERTS"},
		{`histogram_fraction(0, 1, a)`, ``, "function histogram_fraction"},
		{`a @ 100`, `a @ 100.000`, "fixed time"},
		{`max_over_time(a[5m:15s] @ 100)`, `a[5m:15s] @ 100.000`, "fixed time"},
		{`max_over_time(a[5m:])`, `a[5m:]`, "without one"},
		{`max_over_time(a[1d:1s])`, `a[1d:1s]`, "86400 steps"},
		{`max_over_time(min_over_time(a[1m:15s])[5m:15s])`, `a[1m:15s]`, "within a subquery"},
		{`timestamp(a @ end() offset 1m)`, ``, "forgets the offset"},
		{`vector(1) > 0`, ``, "reads no series"},
		{`"a"`, ``, "gives a string"},
		{`a[5m]`, ``, "gives a range vector"},
		{`a + fill (0) b`, ``, "fill modifiers"},
		{`rate(a[5m] anchored)`, `a anchored`, "experimental"},
		{`a offset (5m + 1m)`, `a offset (5m + 1m)`, "durations that are computed"},
		{`rate(a[5m + 1m])`, `a[5m + 1m]`, "durations that are computed"},
		{`max_over_time(a[5m + 1m:1m])`, `a[5m + 1m:1m]`, "durations that are computed"},
		{`limitk by (instance) (1, a)`, ``, "limitk"},
		{`mad_over_time(a[5m])`, ``, "mad_over_time"},
		{`a </ b`, ``, "native histograms"},
		{`label_join(a, "x\xff", "-", "y")`, ``, "no label"},
		{`time() > bool 5`, ``, "reads no series"},
	} {
		t.Run(c.expr, func(t *testing.T) {
			e, err := parser.NewParser(promqltest.TestParserOpts).ParseExpr(c.expr)
			if err != nil {
				t.Fatal(err)
			}
			x, timer := Prepare(e)
			if timer == nil {
				t.Fatalf("it is for arrival: %v", x.Instances())
			}
			if c.part == "" {
				c.part = e.String()
			}
			if timer.Expr.String() != c.part || !strings.Contains(timer.Why, c.why) {
				t.Errorf("%s decided: %s; want %s: %s", timer.Expr, timer.Why, c.part, c.why)
			}
		})
	}
}

// TestWhatIsKnownOfAnExpression without any series.
func TestWhatIsKnownOfAnExpression(t *testing.T) {
	for _, c := range []struct {
		expr      string
		timed     bool
		instances []string
		maxRange  time.Duration
		longest   time.Duration
	}{
		{`a > 1`, false, nil, 0, 0},
		{`time() - a > 600`, true, nil, 0, 0},
		{`timestamp(a) < 5`, true, nil, 0, 0},
		{`a and on () hour() > 8`, true, nil, 0, 0},
		{`hour(a) > 8`, false, nil, 0, 0},
		{`predict_linear(a[6h], 3600) < 0`, true, nil, 6 * time.Hour, 6 * time.Hour},
		{`rate(a[5m] offset 1h) > 0`, true, nil, 65 * time.Minute, 5 * time.Minute},
		{`a offset -5m`, true, nil, 0, 0},
		{`max_over_time(rate(a[5m])[1h:1m] offset 10m)`, true, nil, 75 * time.Minute, time.Hour},
		{`absent(a{instance="web1"})`, true, []string{"web1"}, 0, 0},
		{`a unless absent(b{instance="web2"}) or absent_over_time(c{instance="web1"}[5m])`, true, []string{"web2", "web1"}, 5 * time.Minute, 5 * time.Minute},
		{`sum(a{instance="web1"}) > scalar(b{instance="web1"}) or vector(0)`, false, []string{"web1"}, 0, 0},
		{`a{instance="web1"}`, false, []string{"web1"}, 0, 0},
		{`a{instance=~"web1|web2"}`, false, nil, 0, 0},
	} {
		t.Run(c.expr, func(t *testing.T) {
			x := prepared(t, c.expr)
			if x.Timed() != c.timed || !slices.Equal(x.Instances(), c.instances) || x.MaxRange() != c.maxRange || x.LongestRange() != c.longest {
				t.Errorf("timed %v, instances %v, ranges %v, %v; want %v, %v, %v, %v",
					x.Timed(), x.Instances(), x.MaxRange(), x.LongestRange(), c.timed, c.instances, c.maxRange, c.longest)
			}
			if len(x.Selectors()) == 0 {
				t.Error("no selectors")
			}
		})
	}
}

// TestAssetsOfOneIdentityShareAProgram, and those of which a selector wants something else do not.
func TestAssetsOfOneIdentityShareAProgram(t *testing.T) {
	w := window.New(window.Options{})
	l := &window.Layout{ID: [32]byte{1}, Series: []labels.Labels{labels.FromStrings("__name__", "a")}}
	names := []string{"web1", "web2", "db1"}
	for i, name := range names {
		w.Apply(window.Asset{Name: name, Customer: "acme", Site: "hq"}, epoch, []window.Block{{
			Source: "s", Kind: "node", At: epoch, Status: window.OK, Layout: l, Values: []float64{float64(i)},
		}})
	}
	x := prepared(t, `a{instance=~"web.*"}`)
	m := &Machine{}
	var shared *Program
	for i, name := range names {
		w.View(name, func(v window.View) {
			p := v.Parts()[:1]
			id := x.Identity(v.Asset())
			if name == "db1" {
				if id == x.Identity(window.Asset{Name: "web1", Customer: "acme", Site: "hq"}) || x.Reads(p[0], v.Asset()) {
					t.Error("db1 is taken for a web server")
				}
				return
			}
			if shared == nil {
				var err error
				if shared, err = x.Compile(p, id); err != nil {
					t.Fatal(err)
				}
			}
			got, err := m.Run(shared, v, []int{0}, epoch.UnixMilli())
			if err != nil || len(got) != 1 || got[0].V != float64(i) {
				t.Fatalf("%s: %v, %v", name, got, err)
			}
			want := `{__name__="a", customer="acme", instance="` + name + `", job="node", site="hq"}`
			if l := v.Asset().Labels(shared.Labels(0)).String(); l != want {
				t.Errorf("labels are %s, want %s", l, want)
			}
			if shared.Lanes() != 1 || shared.Bytes() < 200 {
				t.Errorf("%d lanes, %d bytes", shared.Lanes(), shared.Bytes())
			}
			if _, err := m.Run(shared, v, nil, 0); err == nil {
				t.Error("a program runs without its parts")
			}
		})
	}
}

// TestHardBits: what arithmetic on bits makes of a number that is nearly a stale marker is no stale marker.
func TestHardBits(t *testing.T) {
	near := -nothing
	w := window.New(window.Options{})
	l := &window.Layout{ID: [32]byte{1}, Series: []labels.Labels{labels.FromStrings("__name__", "a")}}
	w.Apply(assets[0], epoch, []window.Block{{
		Source: "s", Kind: "node", At: epoch, Status: window.OK, Layout: l, Values: []float64{near},
	}})
	for _, expr := range []string{"-a", "abs(a)", "sgn(a)", "ceil(a)", "last_over_time(a[1m])", "sort(a)"} {
		want, err := ask(newEngine(), w, expr, epoch.UnixMilli())
		if err != nil || len(want) != 1 {
			t.Fatalf("%s: the engine gives %v, %v", expr, want, err)
		}
		got, err := reading(&Machine{}, prepared(t, expr), w, assets[0], epoch.UnixMilli(), mutant{})
		if err != nil {
			t.Fatal(err)
		}
		if err := sameSamples(got, want); err != nil {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

// TestProgramsAreBounded: what would take too much memory is no program.
func TestProgramsAreBounded(t *testing.T) {
	p := &window.Part{Name: "s"}
	for i := range 5000 {
		p.Series = append(p.Series, labels.FromStrings("__name__", "a", "i", string(rune(0x4e00+i)), "instance", window.OwnInstance))
	}
	p.Live = len(p.Series)
	x := prepared(t, `max_over_time(a[1000m:1m])`)
	id := x.Identity(assets[0])
	if _, err := x.Compile([]*window.Part{p}, id); err == nil || !strings.Contains(err.Error(), "32 MiB") {
		t.Errorf("5000 series at 1000 steps: %v", err)
	}
	x = prepared(t, `a * on (instance) group_left (i) a`)
	if _, err := x.Compile([]*window.Part{p}, x.Identity(assets[0])); err == nil || !strings.Contains(err.Error(), "match each other") {
		t.Errorf("5000 series that match 5000: %v", err)
	}
	for _, expr := range []string{`max_over_time(a[10m:1m])`, `a * on (instance) a`} {
		x := prepared(t, expr)
		if _, err := x.Compile([]*window.Part{p}, x.Identity(assets[0])); err != nil {
			t.Error(err)
		}
	}
}

// TestErrorsNameTheirPart and can be told apart.
func TestErrorsNameTheirPart(t *testing.T) {
	w := window.New(window.Options{})
	l := &window.Layout{ID: [32]byte{1}}
	for _, s := range [][]string{{"a", "1"}, {"a", "2"}, {"b", "1"}, {"b", "2"}} {
		l.Series = append(l.Series, labels.FromStrings("__name__", s[0], "d", s[1]))
	}
	w.Apply(assets[0], epoch, []window.Block{{
		Source: "s", Kind: "node", At: epoch, Status: window.OK, Layout: l, Values: []float64{1, 2, 3, 4},
	}})
	for expr, want := range map[string]error{
		`1 + abs({__name__=~"a|b"})`:              ErrDuplicate,
		`1 + (a / on (instance) b)`:               ErrMatching,
		`1 + topk by (instance) (NaN, a)`:         ErrParameter,
		`1 + (a / on (instance) group_left () b)`: ErrMatching,
	} {
		_, err := reading(&Machine{}, prepared(t, expr), w, assets[0], epoch.UnixMilli(), mutant{})
		if !errors.Is(err, want) || strings.HasPrefix(err.Error(), "1") || !strings.Contains(err.Error(), "(") {
			t.Errorf("%s: %v, want %v of its part", expr, err, want)
		}
	}
}

// TestServerExpressionsAreForArrival reads public expressions where they lie beside this project; it skips without them.
func TestServerExpressionsAreForArrival(t *testing.T) {
	f, err := os.Open("../../../shared/rules/server-expressions.jsonl")
	if err != nil {
		t.Skip("no public expressions here: ", err)
	}
	defer f.Close()
	local, placed := 0, 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var x struct {
			Expr  string `json:"expr"`
			Local bool   `json:"asset_local"`
		}
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
		_, timer := options.Prepare(parsed(t, x.Expr))
		switch {
		case !x.Local:
		case timer == nil:
			local, placed = local+1, placed+1
		default:
			local++
			t.Logf("%s: %s: %s", x.Expr, timer.Expr, timer.Why)
		}
	}
	t.Logf("%d of %d", placed, local)
	if placed*100 < local*95 {
		t.Errorf("%d of %d expressions about one asset are for arrival, want 95 %%", placed, local)
	}
}
