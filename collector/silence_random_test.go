package collector

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/rules"
)

// anyVillage is one of hosts at a few sites, each at a pace of its own, that go away alone and with their site, before a
// collector that is stopped now and then.
func anyVillage(r *rand.Rand, day time.Duration) *village {
	upTo := func(d time.Duration) time.Duration {
		return time.Duration(r.Int64N(int64(d/time.Second)+1)) * time.Second
	}
	length := func() time.Duration { return time.Duration(20<<r.IntN(8)) * time.Second }
	paces := []time.Duration{5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute}
	var all []*villager
	for site := range 2 + r.IntN(2) {
		var cuts []absence
		for range r.IntN(4) {
			from := upTo(day)
			cuts = append(cuts, absence{from, from + length()})
		}
		for h := range 1 + r.IntN(5) {
			f := &villager{asset: fmt.Sprintf("s%dh%d", site, h), site: fmt.Sprint("s", site), every: paces[r.IntN(len(paces))],
				back: upTo(32 * time.Second), leaves: r.IntN(6) == 0}
			for _, c := range cuts {
				f.away = append(f.away, absence{c.from + upTo(20*time.Second), c.to + upTo([]time.Duration{0, 90 * time.Second, day}[r.IntN(3)])})
			}
			for range r.IntN(3) {
				from := upTo(day)
				f.away = append(f.away, absence{from, from + length()})
			}
			all = append(all, f)
		}
	}
	v := newVillage(all)
	v.forgets = r.IntN(2) == 0
	for range r.IntN(6) {
		from := time.Minute + upTo(day)
		if f := all[r.IntN(len(all))]; len(f.away) > 0 { // while somebody is away
			from = f.away[r.IntN(len(f.away))].from + length()
		}
		v.stops = append(v.stops, absence{from, from + length()})
	}
	return v
}

// witness holds what a village is told against what is so.
type witness struct {
	v *village
	t *testing.T
	// told is, by host, the silence, by when it was heard last, of which it was told that it has a cause of its own.
	told map[string]time.Time
	// over are, by site, or "" for everything, the alerts about it that ended because it was back.
	over map[string]rules.Alert
	// everything is when the last host was heard before everything was silent.
	everything time.Time
}

func (w *witness) note(tr rules.Transition) {
	l := tr.Alert.Labels
	host, site := l.Get("instance"), l.Get("site")
	switch {
	case tr.Alert.State == rules.Firing && tr.From == rules.Firing:
	case tr.Alert.State == rules.Firing && host != "":
		if w.told[host].Equal(w.v.spoke[host]) {
			w.t.Errorf("%v: the silence of %s is told twice", w.v.at.Sub(w.v.began), host)
		}
		w.told[host] = w.v.spoke[host]
	case tr.Alert.State == rules.Firing:
		if was, ok := w.over[site]; ok {
			if n, of := w.away(site, was); n == of || site != "" && n > 2 && 2*n > of {
				w.t.Errorf("%v: %s %q is told twice: %d of %d were away all along", w.v.at.Sub(w.v.began), tr.Origin.Name, site, n, of)
			}
		}
		if site == "" {
			w.everything = w.lastWord()
		}
	case tr.Alert.End == rules.SeriesGone:
		w.t.Errorf("%v: %v ends as %s, and nobody left", w.v.at.Sub(w.v.began), l, tr.Alert.End)
	case tr.Alert.End == rules.Recovered && host != "":
		if !w.v.spoke[host].After(tr.Alert.FirstBadAt) {
			w.t.Errorf("%v: %s is told to be back, and was not heard", w.v.at.Sub(w.v.began), host)
		}
	case host != "": // drawn in, and may be told again when that is over
		delete(w.told, host)
		w.drawnIn(tr.Alert)
	case tr.Alert.End == rules.Recovered:
		w.over[site] = tr.Alert
		if n, of := w.away(site, tr.Alert); n == of {
			w.t.Errorf("%v: %s %q is told to be over, and nobody was heard", w.v.at.Sub(w.v.began), tr.Origin.Name, site)
		}
	default:
		w.drawnIn(tr.Alert)
		delete(w.over, site)
	}
}

// drawnIn holds that what everything is the cause of did not begin long before that.
func (w *witness) drawnIn(a rules.Alert) {
	if a.Annotations.Get(incident.SupersededBy) != "operator fleet availability" {
		return
	}
	fell := a.FirstBadAt
	if s := w.v.started; a.ActiveAt.After(s) && fell.Before(s) { // all that is known is that it was not heard since
		fell = s
	}
	if d := w.everything.Sub(fell); d > w.v.given.Together {
		w.t.Errorf("%v: %v is drawn into what began %v later", w.v.at.Sub(w.v.began), a.Labels, d)
	}
}

// lastWord is when the last of those was heard who are not excused.
func (w *witness) lastWord() (last time.Time) {
	for asset, l := range w.v.heard {
		if at := w.v.spoke[asset]; !l.Excused() && at.After(last) {
			last = at
		}
	}
	return last
}

// away is how many hosts of a site, or of all, fell silent for that cause and were not heard since it was told, of how many.
func (w *witness) away(site string, cause rules.Alert) (n, of int) {
	since := cause.FirstBadAt.Add(-w.v.given.Together)
	for asset, l := range w.v.heard {
		if site != "" && l.Site != site {
			continue
		}
		of++
		if spoke := w.v.spoke[asset]; !l.Excused() && !spoke.Before(since) && !spoke.After(cause.FiredAt) {
			n++
		}
	}
	return n, of
}

// look holds what stands against what is so.
func (w *witness) look(d time.Duration) {
	told, stands := map[string]bool{}, map[string]bool{}
	for _, tr := range w.v.standing() {
		l := tr.Alert.Labels
		if host := l.Get("instance"); host != "" {
			told[host] = true
		} else {
			stands[l.Get("site")] = true
		}
	}
	away := map[string]bool{}
	for asset, l := range w.v.heard {
		if l.Word == incident.Start || w.v.given.Silent(l, w.v.at) {
			away[l.Site], away[""] = true, true
		} else if told[asset] {
			w.t.Errorf("%v: %s is told to be silent, and is heard", d, asset)
		}
		if w.v.at.Sub(l.Heard) > longestUntold && !told[asset] && !stands[l.Site] && !stands[""] {
			w.t.Errorf("%v: nothing is told of %s, which is silent", d, asset)
		}
	}
	for at := range stands {
		if !away[at] {
			w.t.Errorf("%v: site %q is told to be silent, and everybody is heard", d, at)
		}
	}
}

// longestUntold is how long it may take, from its last report or a start on, until it is told that a host is silent: it may
// be the slowest, wait as long again for its site, and said goodbye before that came back.
const longestUntold = 25 * time.Minute

// Whatever hosts do and however often the collector is stopped, an unbroken silence is told once, nobody is said to be back
// who was not heard, who is heard is out of the silence with the next look, and nobody's silence is left untold.
func TestSilenceOfAnyKind(t *testing.T) {
	days := uint64(50)
	if *long {
		days = 2000
	}
	for seed := range days {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			const day = 3 * time.Hour
			v := anyVillage(rand.New(rand.NewPCG(seed, 6)), day) //nolint:gosec // a seed that can be played again
			w := &witness{v: v, t: t, told: map[string]time.Time{}, over: map[string]rules.Alert{}}
			v.witness = w.note
			v.live(t, day, w.look)
			if t.Failed() {
				for _, f := range v.folk {
					t.Logf("%+v", *f)
				}
				t.Logf("stops %v, forgets %v\n%s", v.stops, v.forgets, strings.Join(v.log, "\n"))
			}
		})
	}
}
