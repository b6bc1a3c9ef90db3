package ticket

import (
	"errors"
	"strings"
	"testing"
)

// TestTickWhatStandsTwice: an item that stands in several lists is ticked in all of them by its name, and in one by the list's.
func TestTickWhatStandsTwice(t *testing.T) {
	terms := gateTerms()
	terms.Checklists = append(terms.Checklists,
		Checklist{Name: "quality", Version: "1", When: When{"type": {"setup"}}, Items: []string{"configure", "tidy: cables"}},
		Checklist{Name: "second", Version: "1", When: When{"type": {"setup"}}, Items: []string{"configure"}})
	const step, list, second = "step/configure", "checklist/quality@1/configure", "checklist/second@1/configure"
	for name, c := range map[string]struct {
		ticks []string
		want  []string
		then  string // the refusal of the last one once more
	}{
		"its name alone":      {[]string{"configure"}, []string{step, list, second}, "ticked by anna"},
		"the step":            {[]string{"steps: configure"}, []string{step}, "ticked by anna"},
		"the list":            {[]string{"quality: configure"}, []string{list}, "ticked by anna"},
		"what is left of it":  {[]string{"second: configure", "configure"}, []string{step, list, second}, "ticked by anna"},
		"a name with a colon": {[]string{"tidy: cables"}, []string{"checklist/quality@1/tidy: cables"}, "ticked by anna"},
	} {
		t.Run(name, func(t *testing.T) {
			l := at(t, KindRequest, "setup", Facts{}, ready(t, terms))
			for _, what := range c.ticks {
				l.act(Action{Verb: Tick, What: what}, anna)
			}
			if len(l.ticket.Ticks) != len(c.want) {
				t.Errorf("ticked are %v, want %v", l.ticket.Ticks, c.want)
			}
			for _, key := range c.want {
				if l.ticket.Ticks[key].By != "anna" {
					t.Errorf("%s is not ticked", key)
				}
			}
			if _, err := l.try(Action{Verb: Tick, What: c.ticks[len(c.ticks)-1]}, anna); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.then) {
				t.Errorf("once more: %v", err)
			}
		})
	}
	l := at(t, KindRequest, "setup", Facts{}, ready(t, terms))
	_, err := l.try(Action{Verb: Tick, What: "nothing"}, anna)
	if want := `left are "get hardware", "quality: configure", "second: configure", "steps: configure", "tidy: cables"`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestStepsAreWork: to tick a step says that the work was done, which passes the gates before work; an item of a checklist
// may be looked at before.
func TestStepsAreWork(t *testing.T) {
	terms := gateTerms(Gate{Name: "order-number", Before: []Verb{Did}, Needs: []Need{{Kind: needOrder}}, Source: "set"})
	terms.Checklists = append(terms.Checklists, Checklist{Name: "quality", Version: "1", When: When{"type": {"setup"}}, Items: []string{"configure"}})
	l := at(t, KindRequest, "setup", Facts{"chargeable": "yes"}, ready(t, terms))
	for _, what := range []string{"get hardware", "configure", "steps: configure"} {
		var gate *GateError
		if _, err := l.try(Action{Verb: Tick, What: what}, anna); !errors.As(err, &gate) || gate.Gate != "order-number" {
			t.Errorf("tick %s: %v", what, err)
		}
	}
	l.act(Action{Verb: Tick, What: "quality: configure"}, anna)
	l.act(Action{Verb: Order, What: "4711"}, anna)
	l.act(Action{Verb: Tick, What: "get hardware"}, anna)
	l.act(Action{Verb: Tick, What: "configure"}, anna)
}
