package window

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

// said is what ended, a line for each series.
func said(all []Ended) string {
	var out []string
	for _, e := range all {
		out = append(out, fmt.Sprintf("%s %v", e.Labels, e.At.Sub(epoch)))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// Whoever keeps samples elsewhere learns what ended: series that are in a block no more, and all of an asset that is another's
// now, when something is heard of it as that. What is unknown, late, or over already has not ended so.
func TestEnded(t *testing.T) {
	const (
		a      = `{__name__="a", customer="acme", instance="web1", job="node", site="hq"} `
		b      = `{__name__="b", customer="acme", instance="web1", job="node", site="hq"} `
		beta   = `{__name__="a", customer="beta", instance="web1", job="node", site="hq"} `
		before = 10
	)
	ab, onlyA, empty := layout(t, "a", "b"), layout(t, "a"), &Layout{}
	moved, back := web1, web1
	moved.Customer, back.Site = "beta", "yard"
	memory := func(x Block) Block { x.Source = "memory"; return x }
	for name, test := range map[string]struct {
		by     Asset
		blocks []Block
		want   string
	}{
		"the same":                     {web1, []Block{ok(ab, 20, 1, 2)}, ""},
		"one series less":              {web1, []Block{ok(onlyA, 20, 1)}, b + "20s"},
		"no series":                    {web1, []Block{ok(empty, 20)}, a + "20s\n" + b + "20s"},
		"another order":                {web1, []Block{ok(layout(t, "b", "a"), 20, 2, 1)}, ""},
		"it is another source's":       {web1, []Block{ok(onlyA, 20, 1), memory(ok(layout(t, "b"), 20, 2))}, ""},
		"it could not look":            {web1, []Block{failed(20, "x")}, ""},
		"unchanged":                    {web1, []Block{unchanged(20)}, ""},
		"late":                         {web1, []Block{late(ok(onlyA, 5, 1))}, ""},
		"another customer's":           {moved, []Block{ok(ab, 20, 1, 2)}, a + "20s\n" + b + "20s"},
		"of which nothing live is yet": {moved, []Block{late(ok(ab, 5, 1, 2))}, ""},
		"after it was over":            {moved, []Block{ok(ab, before+300, 1, 2)}, ""},
		"at a time before":             {moved, []Block{ok(ab, before, 1, 2)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(Options{})
			if done := w.Apply(web1, at(before), []Block{ok(ab, before, 1, 2)}); len(done.Ended) != 0 {
				t.Errorf("at first %v ended", done.Ended)
			}
			var snap bytes.Buffer
			if err := w.Snapshot(&snap); err != nil {
				t.Fatal(err)
			}
			restarted := New(Options{})
			if _, err := restarted.Load(&snap, at(before)); err != nil {
				t.Fatal(err)
			}
			for what, w := range map[string]*Window{"": w, "after a restart ": restarted} {
				if got := said(w.Apply(test.by, at(20), test.blocks).Ended); got != test.want {
					t.Errorf("%sended\n%s\nwant\n%s", what, got, test.want)
				}
				if got := said(w.Apply(test.by, at(400), []Block{failed(400, "x")}).Ended); got != "" {
					t.Errorf("%sended again\n%s", what, got)
				}
			}
		})
	}

	t.Run("down in between", func(t *testing.T) {
		w := New(Options{})
		w.Apply(web1, at(0), []Block{ok(onlyA, 0, 1)})
		w.SetDown(moved, at(10))
		w.SetDown(back, at(15)) // it is moved on before it is heard
		if got, want := said(w.Apply(back, at(20), []Block{ok(onlyA, 20, 1)}).Ended), a+"20s"; got != want {
			t.Errorf("ended\n%s\nwant\n%s", got, want)
		}
	})
	t.Run("forgotten", func(t *testing.T) {
		w := New(Options{})
		w.Apply(moved, at(0), []Block{ok(onlyA, 0, 1), {Source: "shop", At: at(0), Status: OK, Layout: layout(t, "c"), Values: []float64{1}}})
		w.Record("web1", "r", &Layout{Series: []labels.Labels{labels.FromStrings("__name__", "r", "instance", OwnInstance)}}, at(0), []float64{1}, false)
		var got []string
		for _, l := range w.Forget("web1") {
			got = append(got, l.String())
		}
		slices.Sort(got)
		if want := []string{strings.TrimSpace(beta), `{__name__="r", instance="web1"}`}; !slices.Equal(got, want) {
			t.Errorf("forgotten %q, want %q", got, want)
		}
		if again := w.Forget("web1"); again != nil {
			t.Errorf("forgotten again: %v", again)
		}
	})
}
