package ticket

import (
	"strings"
	"testing"
	"time"
)

func TestCheckGates(t *testing.T) {
	good := gateTerms()
	for kind, gc := range gateCases() {
		gc.need.Kind = kind
		good.Gates = append(good.Gates, Gate{Name: kind, Before: []Verb{gc.action.Verb}, Needs: []Need{gc.need}})
	}
	if err := good.CheckGates(); err != nil {
		t.Errorf("what the table shows is refused: %v", err)
	}
	one := func(n Need) Terms {
		return gateTerms(Gate{Name: "g", Before: []Verb{Start}, Needs: []Need{n}})
	}
	for want, bad := range map[string]Terms{
		`need "third-eye": there is none`:         one(Need{Kind: "third-eye"}),
		`need "role": names no roles`:             one(Need{Kind: needRole}),
		`need "child": names nothing`:             one(Need{Kind: needChild}),
		`"nothing": is no type of ticket`:         one(Need{Kind: needChild, Names: []string{"nothing"}}),
		`"shape": is no part of the record`:       one(Need{Kind: needRecord, Names: []string{"shape"}}),
		`"P9": is no priority`:                    one(Need{Kind: needVersion, Names: []string{"P9"}}),
		`"opening": is no checklist`:              one(Need{Kind: needChecklist, Names: []string{"opening"}}),
		`takes no roles, and has engineer`:        one(Need{Kind: needOrder, Roles: []string{"engineer"}}),
		`takes no names, and has x`:               one(Need{Kind: needOrder, Names: []string{"x"}}),
		`wants a type deliver-version`:            {Gates: []Gate{{Name: "g", Before: []Verb{Start}, Needs: []Need{{Kind: needVersion}}}}},
		`stands before "explode"`:                 gateTerms(Gate{Name: "g", Before: []Verb{"explode"}, Needs: []Need{{Kind: needOrder}}}),
		`gate "g": stands before nothing`:         gateTerms(Gate{Name: "g", Needs: []Need{{Kind: needOrder}}}),
		`gate "g": needs nothing`:                 gateTerms(Gate{Name: "g", Before: []Verb{Start}}),
		`gate "": has no name`:                    gateTerms(Gate{Before: []Verb{Start}, Needs: []Need{{Kind: needOrder}}}),
		`gate "g": stands twice`:                  gateTerms(Gate{Name: "g"}, Gate{Name: "g"}),
		`type "t": stands twice`:                  {Types: []Type{{Name: "t", Kind: KindTask}, {Name: "t", Kind: KindTask}}},
		`kind "party": expected one of`:           {Types: []Type{{Name: "t", Kind: "party"}}},
		`chargeable "perhaps": expected`:          {Types: []Type{{Name: "t", Kind: KindTask, Chargeable: "perhaps"}}},
		`priority "P9": expected`:                 {Types: []Type{{Name: "t", Kind: KindTask, Priority: "P9"}}},
		`every -1s: expected`:                     {Types: []Type{{Name: "t", Kind: KindTask, Every: -time.Second}}},
		`a part of the incident record cannot be`: {Types: []Type{{Name: "t", Kind: KindTask, Evidence: []string{"time"}}}},
		`checklist "c" version "": wants`:         {Checklists: []Checklist{{Name: "c", Items: []string{"x"}}}},
	} {
		if err := bad.CheckGates(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a fault that says %q", err, want)
		}
	}
}
