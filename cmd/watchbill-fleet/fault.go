package main

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// faultKind is something that goes wrong on request.
type faultKind string

// What can go wrong.
const (
	faultValue     faultKind = "value"      // a value that makes a shipped rule fire
	faultSilence   faultKind = "silence"    // agents say nothing, not even goodbye
	faultSiteCut   faultKind = "site-cut"   // all agents of a site say nothing
	faultRestart   faultKind = "restart"    // agents start anew, with a new epoch
	faultClockStep faultKind = "clock-step" // hosts' clocks jump by an hour
	faultHostile   faultKind = "hostile"    // agents attack
)

func faultKinds() []faultKind {
	return []faultKind{faultValue, faultSilence, faultSiteCut, faultRestart, faultClockStep, faultHostile}
}

// fault is one request: what happens to which share of the agents (of the sites, for a cut site), from when on, for how
// long.
type fault struct {
	kind  faultKind
	share float64
	// after is since the beginning of the run; lasts is 0 for: to its end.
	after, lasts time.Duration
}

// String is the fault as it is asked for.
func (f fault) String() string {
	s := fmt.Sprintf("%s:%g@%v", f.kind, f.share, f.after)
	if f.lasts > 0 {
		s += "+" + f.lasts.String()
	}
	return s
}

// parseFault reads KIND:SHARE[@AFTER][+FOR].
func parseFault(text string) (fault, error) {
	wrong := func(format string, args ...any) (fault, error) {
		return fault{}, fmt.Errorf("fault %q: %s: want KIND:SHARE[@AFTER][+FOR], as in value:0.01@30s+2m", text, fmt.Sprintf(format, args...))
	}
	kind, rest, ok := strings.Cut(text, ":")
	if !slices.Contains(faultKinds(), faultKind(kind)) {
		return wrong("there is no kind %q, but %v", kind, faultKinds())
	}
	if !ok {
		return wrong("the share is missing")
	}
	f := fault{kind: faultKind(kind)}
	rest, lasts, limited := strings.Cut(rest, "+")
	share, after, later := strings.Cut(rest, "@")
	var err error
	if f.share, err = strconv.ParseFloat(share, 64); err != nil || math.IsNaN(f.share) || f.share <= 0 || f.share > 1 {
		return wrong("share %q is not above 0 and at most 1", share)
	}
	if later {
		if f.after, err = time.ParseDuration(after); err != nil || f.after < 0 {
			return wrong("%q is not how long after the start it begins", after)
		}
	}
	if limited {
		if f.lasts, err = time.ParseDuration(lasts); err != nil || f.lasts <= 0 {
			return wrong("%q is not how long it lasts", lasts)
		}
	}
	return f, nil
}

// errShares: more agents are asked to fail than there are.
var errShares = errors.New("faults ask for more agents than there are")

// victim is who a fault may strike.
type victim struct {
	customer, site string
	breakable      bool
}

// strike chooses whom each fault strikes: for each fault the indices of its victims, no agent twice, the same for the
// same seed. A share of agents is rounded up, so that every fault strikes somebody.
func strike(faults []fault, all []victim, seed uint64) ([][]int, error) {
	r := rand.New(rand.NewPCG(seed, uint64(len(all)))) //nolint:gosec // chance, not secrecy
	free := r.Perm(len(all))
	chosen := make([][]int, len(faults))
	for i, f := range faults {
		if f.kind == faultSiteCut {
			chosen[i], free = cutSites(f.share, all, free)
		} else {
			chosen[i], free = takeSome(f, all, free)
		}
		if len(chosen[i]) == 0 {
			return nil, fmt.Errorf("fault %s: nobody is left for it: %w", f, errShares)
		}
	}
	return chosen, nil
}

// takeSome takes a share of all from those who are free and whom the fault can strike.
func takeSome(f fault, all []victim, free []int) (taken, left []int) {
	can := func(i int) bool { return f.kind != faultValue || all[i].breakable }
	possible := 0
	for i := range all {
		if can(i) {
			possible++
		}
	}
	want := int(math.Ceil(f.share * float64(possible)))
	for _, i := range free {
		if can(i) && len(taken) < want {
			taken = append(taken, i)
		} else {
			left = append(left, i)
		}
	}
	if len(taken) < want {
		return nil, free
	}
	return taken, left
}

// cutSites takes everybody at a share of the sites, of whom nobody may have another fault.
func cutSites(share float64, all []victim, free []int) (taken, left []int) {
	type place struct{ customer, site string }
	people, here := map[place]int{}, map[place]int{}
	for _, v := range all {
		people[place{v.customer, v.site}]++
	}
	var sites []place // in the order of chance
	for _, i := range free {
		p := place{all[i].customer, all[i].site}
		if here[p]++; here[p] == people[p] {
			sites = append(sites, p)
		}
	}
	want := int(math.Ceil(share * float64(len(people))))
	if want > len(sites) {
		return nil, free
	}
	cut := sites[:want]
	for _, i := range free {
		if slices.Contains(cut, place{all[i].customer, all[i].site}) {
			taken = append(taken, i)
		} else {
			left = append(left, i)
		}
	}
	return taken, left
}

// on tells whether a fault is under way so long after the start.
func (f fault) on(since time.Duration) bool {
	return since >= f.after && (f.lasts == 0 || since < f.after+f.lasts)
}
