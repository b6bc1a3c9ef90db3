package incident

import (
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/rules"
)

// What is known from before the collector's start is said, and counts for a goodbye; who may be late still may.
func TestWhatIsKnownFromBeforeTheStart(t *testing.T) {
	const pace = 10 * time.Second
	p := DefaultPatience
	p.Return = 32 * time.Second // with three reports 62 s
	for name, tc := range map[string]struct {
		before  time.Duration // ago at the start; 0: not known
		goodbye string
		patient time.Duration // from the start on
		says    string
		since   time.Duration // before the start
	}{
		"nothing is":              {0, "", 62 * time.Second, "when it last reported before that is not known", 0},
		"its last report":         {5 * time.Minute, "", 62 * time.Second, "the last one that is known of came at 2026-03-27 17:25:00 UTC", 5 * time.Minute},
		"a goodbye just now":      {5 * time.Second, "reboot", 115 * time.Second, "Its last report, at 17:29:55 UTC, said goodbye: reboot.", 5 * time.Second},
		"a goodbye long ago":      {time.Hour, "reboot", 62 * time.Second, "Its last report, at 16:30:00 UTC, said goodbye: reboot.", time.Hour},
		"a goodbye, but not when": {0, "reboot", 2 * time.Minute, "It said goodbye: reboot.", 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := Life{Asset: "web1", Customer: "a", Site: "x", Interval: pace, Heard: t0, Word: Start, Goodbye: tc.goodbye}
			if tc.before > 0 {
				l.Before = t0.Add(-tc.before)
			}
			if got := p.Of(l); got != tc.patient {
				t.Errorf("it may be silent for %v after the start, want %v", got, tc.patient)
			}
			a := hostSilent(l, t0.Add(tc.patient))
			if got := a.Annotations.Get("description"); !strings.Contains(got, tc.says) {
				t.Errorf("%q does not say %q", got, tc.says)
			}
			if got := t0.Sub(a.FirstBadAt); got != tc.since {
				t.Errorf("silent since %v before the start, want %v", got, tc.since)
			}
		})
	}
}

// That some hosts are known to have reported longer ago than others, before a start, parts no site: what is kept of them is
// not of the same age.
func TestWhatIsKeptPartsNoSite(t *testing.T) {
	p := DefaultPatience
	p.Return = 32 * time.Second
	lives := []Life{
		{Asset: "fast", Before: t0.Add(-time.Hour), Interval: time.Second},
		{Asset: "slow", Before: t0.Add(-time.Minute), Interval: time.Minute},
		{Asset: "other", Before: t0.Add(-time.Minute), Interval: time.Minute},
	}
	for i := range lives {
		lives[i].Customer, lives[i].Site, lives[i].Heard, lives[i].Word = "a", "x", t0, Start
	}
	now := t0.Add(20 * time.Minute)
	early := hostSilent(lives[0], t0.Add(time.Minute))
	found := Silence(Scene{Lives: lives, Elsewhere: SomeHeard, Patience: p, Active: []rules.Alert{early}}, now)
	if len(found.Transitions) != 2 || found.Transitions[0].Origin.Name != SiteSilent || found.Transitions[1].Alert.End != Superseded {
		t.Fatalf("%v", found.Transitions)
	}
	if got := found.Transitions[0].Alert.Annotations.Get("description"); !strings.Contains(got, "The last report of them came at 17:29:00 UTC") {
		t.Errorf("%q", got)
	}
	if made := siteSilent(place{"a", "x"}, group{silent: []Life{{Heard: t0, Word: Start}}, total: 1}, now); !strings.Contains(made.Annotations.Get("description"), "No report of them has come since 17:30:00 UTC") {
		t.Errorf("%q", made.Annotations.Get("description"))
	}
}
