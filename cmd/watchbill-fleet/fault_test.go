package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseFault(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want fault
		says string // part of the error; none when empty
	}{
		"a share":           {"value:0.01", fault{kind: faultValue, share: 0.01}, ""},
		"everybody":         {"silence:1", fault{kind: faultSilence, share: 1}, ""},
		"later":             {"site-cut:0.2@90s", fault{kind: faultSiteCut, share: 0.2, after: 90 * time.Second}, ""},
		"later, for long":   {"hostile:0.1@1m+2m", fault{kind: faultHostile, share: 0.1, after: time.Minute, lasts: 2 * time.Minute}, ""},
		"at once, for long": {"restart:0.5+10s", fault{kind: faultRestart, share: 0.5, lasts: 10 * time.Second}, ""},
		"no such kind":      {"flood:0.1", fault{}, `there is no kind "flood"`},
		"no share":          {"value", fault{}, "share is missing"},
		"an empty share":    {"value:", fault{}, `share ""`},
		"more than all":     {"value:1.01", fault{}, "not above 0 and at most 1"},
		"nothing":           {"value:0", fault{}, "not above 0"},
		"not a number":      {"value:NaN", fault{}, "not above 0"},
		"before the start":  {"value:0.1@-1s", fault{}, "how long after"},
		"no time":           {"value:0.1@soon", fault{}, "how long after"},
		"for no time":       {"value:0.1+0s", fault{}, "how long it lasts"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseFault(c.text)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "value:0.01@30s+2m") {
					t.Errorf("error %v, want one that says %q and shows how it is right", err, c.says)
				}
				return
			}
			if err != nil || got != c.want {
				t.Fatalf("got %+v, %v, want %+v", got, err, c.want)
			}
			if again, err := parseFault(got.String()); err != nil || again != got {
				t.Errorf("%s reads back as %+v, %v", got, again, err)
			}
		})
	}
}

func FuzzParseFault(f *testing.F) {
	f.Add("value:0.01@30s+2m")
	f.Add("hostile:1")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseFault(text)
		if err != nil {
			return
		}
		if !(got.share > 0 && got.share <= 1) || got.after < 0 || got.lasts < 0 {
			t.Fatalf("%q was taken as %+v", text, got)
		}
	})
}

// crowd is n agents of two customers with two sites each, every third a Windows host.
func crowd(n int) []victim {
	all := make([]victim, n)
	for i := range all {
		all[i] = victim{customer: []string{"a", "b"}[i%2], site: []string{"x", "y"}[i/2%2], breakable: i%3 != 0}
	}
	return all
}

func TestStrike(t *testing.T) {
	all := crowd(120)
	faults := []fault{{kind: faultSiteCut, share: 0.25}, {kind: faultValue, share: 0.1}, {kind: faultSilence, share: 0.001}, {kind: faultHostile, share: 0.05}}
	got, err := strike(faults, all, 1)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for n, who := range got {
		for _, i := range who {
			if seen[i] {
				t.Errorf("agent %d suffers twice", i)
			}
			seen[i] = true
			if faults[n].kind == faultValue && !all[i].breakable {
				t.Errorf("agent %d has no value that a rule reads", i)
			}
		}
	}
	for n, want := range []int{30, 8, 1, 6} {
		if len(got[n]) != want {
			t.Errorf("%s strikes %d agents, want %d", faults[n], len(got[n]), want)
		}
	}
	first := all[got[0][0]]
	for i, v := range all {
		if same := v.customer == first.customer && v.site == first.site; same != slices.Contains(got[0], i) {
			t.Errorf("agent %d at %s/%s: the site %s/%s is cut", i, v.customer, v.site, first.customer, first.site)
		}
	}
	again, err := strike(faults, all, 1)
	if err != nil || !slices.EqualFunc(got, again, slices.Equal) {
		t.Errorf("the same seed strikes others: %v, %v", again, err)
	}
	other, err := strike(faults, all, 2)
	if err != nil || slices.EqualFunc(got, other, slices.Equal) {
		t.Errorf("another seed strikes the same: %v", err)
	}
}

func TestStrikeWantsTooMany(t *testing.T) {
	for name, faults := range map[string][]fault{
		"more than all":     {{kind: faultSilence, share: 0.6}, {kind: faultRestart, share: 0.6}},
		"all sites and one": {{kind: faultSiteCut, share: 1}, {kind: faultValue, share: 0.01}},
		"no whole site":     {{kind: faultSilence, share: 0.9}, {kind: faultSiteCut, share: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := strike(faults, crowd(40), 1); !errors.Is(err, errShares) {
				t.Errorf("error %v, want errShares", err)
			}
		})
	}
}

func TestFaultOn(t *testing.T) {
	f := fault{kind: faultValue, share: 1, after: time.Minute, lasts: time.Minute}
	for at, want := range map[time.Duration]bool{0: false, time.Minute: true, 2*time.Minute - 1: true, 2 * time.Minute: false} {
		if f.on(at) != want {
			t.Errorf("after %v: %v, want %v", at, !want, want)
		}
	}
	if f.lasts = 0; !f.on(time.Hour) {
		t.Error("a fault without an end has ended")
	}
}

// However many hostile agents there are, each goes through all attacks before it begins again.
func TestHostileAgentsTakeTurns(t *testing.T) {
	ways := len(attacks())
	for agents := 1; agents <= 2*ways; agents++ {
		seen := map[[2]int]int{}
		for n := range agents * ways {
			who, way := turn(n, agents)
			seen[[2]int{who, way}]++
		}
		if len(seen) != agents*ways {
			t.Errorf("%d agents: %d of %d attacks are made", agents, len(seen), agents*ways)
		}
	}
}
