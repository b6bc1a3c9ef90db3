package evaluate

import (
	"testing"

	"github.com/watchbill/watchbill/rules/window"
)

// TestAReviewLetsItsProgramsGo: it runs those of live evaluation, which would hold them for an asset that nobody has.
func TestAReviewLetsItsProgramsGo(t *testing.T) {
	p := newPast(t, above)
	p.open(600, 1)
	p.late(10, 590, is(9))
	p.steps()
	if n, _ := p.programs(); n == 0 {
		t.Fatal("the review runs no program")
	}
	p.Close("web1")
	p.steps()
	if n, _ := p.programs(); n != 0 {
		t.Errorf("%d programs are held in the end", n)
	}
}

// TestAReviewOfWhoSaysNothing ends: an alert is pending from before, and none of the reports says anything to judge it by.
func TestAReviewOfWhoSaysNothing(t *testing.T) {
	p := newPast(t, "groups: [{name: g, rules: [{alert: High, expr: x > 5, for: 1m}]}]")
	p.live(0, 9)
	p.now = at(600)
	back := p.of(600, 1, false)
	p.Open(web1, at(600), back, func() *window.Window { return window.New(window.Options{}) })
	for s := 10; s < 590; s += 10 {
		r := p.of(s, 1, true)
		r.Blocks[0].Status, r.Blocks[0].Layout, r.Blocks[0].Values, r.Blocks[0].Reason = window.Failed, nil, nil, "no right"
		p.Add("web1", r)
	}
	p.Close("web1")
	p.steps()
	if _, _, open := p.Fed("web1"); open {
		t.Error("it goes on")
	}
}
