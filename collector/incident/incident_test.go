package incident

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
)

var t0 = time.Date(2026, 3, 27, 17, 30, 0, 0, time.UTC)

func TestJudge(t *testing.T) {
	const window = 24 * time.Hour
	for name, tc := range map[string]struct {
		last *Last
		want Verdict
	}{
		"first time":                  {nil, OpenNew},
		"open":                        {&Last{Open: true}, Attach},
		"just resolved":               {&Last{ResolvedAt: t0, ReopenFor: window}, Reopen},
		"at the window's last moment": {&Last{ResolvedAt: t0.Add(-window), ReopenFor: window}, Reopen},
		"beyond the window":           {&Last{ResolvedAt: t0.Add(-window - 1), ReopenFor: window}, Recur},
		"closed by hand":              {&Last{Closed: true, ResolvedAt: t0, ReopenFor: window}, Recur},
	} {
		if got := Judge(tc.last, t0); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

func TestKeyTellsIncidentsApart(t *testing.T) {
	keys := map[string]string{}
	for _, a := range []Alert{
		{Customer: "a", Asset: "x", Site: "s", Service: "disk"},
		{Customer: "a", Asset: "x", Site: "s", Service: "cpu"},
		{Customer: "b", Asset: "x", Site: "s", Service: "disk"},
		{Customer: "a", Site: "s", Service: "disk"},
		{Customer: "a", Service: "disk"},
		{Customer: "a asset/x", Service: "disk"},
		{Customer: "a", Asset: "x disk", Service: ""},
		{Customer: "a", Asset: "x", Service: "disk "},
	} {
		k := KeyOf(a).String()
		if was, ok := keys[k]; ok {
			t.Errorf("%q names both %+v and %s", k, a, was)
		}
		keys[k] = fmt.Sprintf("%+v", a)
	}
}

// life is a host by its last report and, after a colon, its goodbye: "acme/london/web1 -12s:stopped"; or by what else
// it was last heard of: ":enrolled", ":started".
func life(s string) Life {
	name, rest, _ := strings.Cut(s, " ")
	ago, bye, _ := strings.Cut(rest, ":")
	d, err := time.ParseDuration(ago)
	if err != nil {
		panic(err)
	}
	p := strings.Split(name, "/")
	l := Life{Customer: p[0], Site: p[1], Asset: p[2], Heard: t0.Add(d), Interval: 5 * time.Second}
	switch bye {
	case "enrolled":
		l.Word = Enrolment
	case "started":
		l.Word = Start
	default:
		l.Goodbye = bye
	}
	return l
}

func TestSilence(t *testing.T) {
	for name, tc := range map[string]struct {
		lives  []string
		active []string
		want   []string
	}{
		"everybody speaks": {[]string{"a/x/1 -3s", "a/x/2 -14s"}, nil, nil},
		"a lone host": {[]string{"a/x/1 -16s"}, nil,
			[]string{"HostSilent 1 fires"}},
		"one host of two": {[]string{"a/x/1 -16s", "a/x/2 -1s"}, nil,
			[]string{"HostSilent 1 fires"}},
		"one silent, the other overdue: wait": {[]string{"a/x/1 -16s", "a/x/2 -9s", "b/y/3 -1s"}, nil, nil},
		"the whole site": {[]string{"a/x/1 -16s", "a/x/2 -18s", "b/y/3 -1s"}, nil,
			[]string{"SiteSilent a/x fires"}},
		"everything": {[]string{"a/x/1 -16s", "a/x/2 -18s", "b/y/3 -19s"}, nil,
			[]string{"CollectorBlind fires"}},
		"goodbye is given time": {[]string{"a/x/1 -60s:stopped", "a/x/2 -1s"}, nil, nil},
		"goodbye and never back": {[]string{"a/x/1 -121s:stopped", "a/x/2 -1s"}, nil,
			[]string{"AgentStopped 1 fires"}},
		"two goodbyes are no site failure": {[]string{"a/x/1 -121s:stopped", "a/x/2 -122s:stopped"}, nil,
			[]string{"AgentStopped 1 fires", "AgentStopped 2 fires"}},
		"enrolled, not started yet": {[]string{"a/x/1 -60s:enrolled", "a/x/2 -1s"}, nil, nil},
		"enrolled, never started": {[]string{"a/x/1 -901s:enrolled", "a/x/2 -1s"}, nil,
			[]string{"AgentNotSeen 1 fires"}},
		"a host that is being set up does not make a site silent": {[]string{"a/x/1 -901s:enrolled"}, nil,
			[]string{"AgentNotSeen 1 fires"}},
		"silent since the collector's start": {[]string{"a/x/1 -48s:started", "a/x/2 -1s"}, nil,
			[]string{"HostSilent 1 fires"}},
		"not back yet after the collector's start": {[]string{"a/x/1 -46s:started", "a/x/2 -1s"}, nil, nil},
		"one has had its time to come back, nobody of its site has come: wait": {
			[]string{"a/x/1 -48s:started", "a/x/2 -1s:started", "b/y/3 -1s"}, nil, nil},
		"a silence outlasts a restart":     {[]string{"a/x/1 -5s:started", "a/x/2 -1s"}, []string{"a/x/1 -60s"}, nil},
		"and a silence that is found anew": {[]string{"a/x/1 -50s:started", "a/x/2 -1s"}, []string{"a/x/1 -60s"}, nil},
		"enrolled anew is not heard":       {[]string{"a/x/1 -5s:enrolled", "a/x/2 -1s"}, []string{"a/x/1 -60s"}, nil},
		"enrolled anew, never started": {[]string{"a/x/1 -901s:enrolled", "a/x/2 -1s"}, []string{"a/x/1 -960s"},
			[]string{"AgentNotSeen 1 fires", "HostSilent 1 series gone"}},
		"still silent is no change": {[]string{"a/x/1 -16s"}, []string{"a/x/1 -15s"}, nil},
		"back": {[]string{"a/x/1 -1s"}, []string{"a/x/1 -15s"},
			[]string{"HostSilent 1 recovered"}},
		"the site takes over from its host": {[]string{"a/x/1 -60s", "a/x/2 -16s", "b/y/3 -1s"}, []string{"a/x/1 -60s"},
			[]string{"HostSilent 1 superseded", "SiteSilent a/x fires"}},
		"the host was revoked": {[]string{"a/x/2 -1s"}, []string{"a/x/1 -60s"},
			[]string{"HostSilent 1 series gone"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := DefaultPatience
			p.Return = 32 * time.Second
			var lives []Life
			for _, s := range tc.lives {
				lives = append(lives, life(s))
			}
			var active []rules.Alert
			for _, s := range tc.active {
				active = append(active, hostSilent(life(s), t0))
			}
			if d := cmp.Diff(tc.want, say(Silence(Scene{Lives: lives, Active: active, Patience: p}, t0).Transitions)); d != "" {
				t.Error(d)
			}
		})
	}
}

func say(ts []rules.Transition) []string {
	var out []string
	for _, tr := range ts {
		l := tr.Alert.Labels
		who := l.Get("instance")
		if who == "" && l.Get("site") != "" {
			who = l.Get("customer") + "/" + l.Get("site")
		}
		how := "fires"
		if tr.Alert.State == rules.Inactive {
			how = string(tr.Alert.End)
		}
		out = append(out, strings.Join(strings.Fields(l.Get(labels.AlertName)+" "+who+" "+how), " "))
	}
	sort.Strings(out)
	return out
}

// What is said of a silent host is what is known, and no more.
func TestSilenceSaysWhatIsKnown(t *testing.T) {
	for of, want := range map[string]string{
		"a/x/1 -60s":          "The last report came at 17:29:00 UTC; one is due every 5s.",
		"a/x/1 -60s:started":  "No report has come since the collector started at 17:29:00 UTC; when it last reported before that is not known.",
		"a/x/1 -60s:enrolled": "It enrolled at 17:29:00 UTC and not one report has come.",
		"a/x/1 -60s:reboot":   "Its last report, at 17:29:00 UTC, said goodbye: reboot.",
	} {
		if got := hostSilent(life(of), t0).Annotations.Get("description"); !strings.Contains(got, want) {
			t.Errorf("%s: %q does not say %q", of, got, want)
		}
	}
}

// A site whose line is cut reports host by host going silent; played in small steps it must end as one incident.
func TestCutSiteIsOneIncident(t *testing.T) {
	var active []rules.Alert
	fired := map[string]int{}
	for step := range 40 {
		now := t0.Add(time.Duration(step) * 500 * time.Millisecond)
		var lives []Life
		for i := range 5 { // reports of five hosts are spread over the interval; the cut comes at t0
			heard := t0.Add(-time.Duration(i) * time.Second)
			lives = append(lives, Life{Customer: "a", Site: "x", Asset: fmt.Sprint(i), Heard: heard, Interval: 5 * time.Second})
		}
		lives = append(lives, Life{Customer: "b", Site: "y", Asset: "far", Heard: now, Interval: 5 * time.Second})
		for _, tr := range Silence(Scene{Lives: lives, Active: active, Patience: DefaultPatience}, now).Transitions {
			if tr.Alert.State == rules.Firing {
				fired[tr.Origin.Name]++
				active = append(active, tr.Alert)
			}
		}
	}
	if d := cmp.Diff(map[string]int{SiteSilent: 1}, fired); d != "" {
		t.Error(d)
	}
}
