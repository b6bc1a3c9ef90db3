package collector

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/rules"
)

// fakePinger answers for the addresses it knows, after a while.
type fakePinger struct {
	answers map[string]error // nil answers
	takes   time.Duration

	mu             sync.Mutex
	asked          []string
	atOnce, widest int
}

func (f *fakePinger) Ping(ctx context.Context, to netip.Addr, n int) (echoes, error) {
	f.mu.Lock()
	f.asked = append(f.asked, to.String())
	f.atOnce++
	f.widest = max(f.widest, f.atOnce)
	f.mu.Unlock()
	defer func() { f.mu.Lock(); f.atOnce--; f.mu.Unlock() }()
	err, known := f.answers[to.String()]
	if known && f.takes == 0 {
		return echoes{sent: n, answered: n, fastest: 400 * time.Microsecond}, err
	}
	select {
	case <-ctx.Done():
	case <-time.After(f.takes):
		if known {
			return echoes{sent: n, answered: n, fastest: 400 * time.Microsecond}, err
		}
		<-ctx.Done()
	}
	return echoes{sent: n}, nil
}

// asker is a reach over hosts with addresses.
type asker struct {
	reach
	fake  *fakePinger
	lives []incident.Life
	facts *facts
}

func newAsker(answers map[string]error) *asker {
	a := &asker{fake: &fakePinger{answers: answers}, facts: newFacts()}
	terms := &atomic.Pointer[pingTerms]{}
	terms.Store(&pingTerms{Count: 3, Timeout: time.Second, Most: 64})
	a.reach = reach{
		pinger: a.fake, terms: terms, sign: a.facts.sign, now: time.Now, pings: newPings(),
		self: func(context.Context, []incident.Life, time.Time) []string { return []string{"of itself: fine"} },
	}
	return a
}

// host adds a silent host: "acme/york/web1 10.0.0.5", or without an address.
func (a *asker) host(s string) {
	name, addr, _ := strings.Cut(s, " ")
	p := strings.Split(name, "/")
	h := hostFacts{Heard: time.Now().Add(-time.Minute)}
	if addr != "" {
		h.From = netip.MustParseAddr(addr)
		a.facts.moved(netip.Addr{}, h.From)
	}
	a.facts.hosts[p[2]] = h
	l := incident.Life{Customer: p[0], Site: p[1], Asset: p[2], Heard: h.Heard, Interval: time.Second}
	if p[2] == "left" { // it said goodbye
		l.Heard, l.Goodbye = l.Heard.Add(-time.Hour), "reboot"
	}
	a.lives = append(a.lives, l)
}

func (a *asker) silence(t *testing.T) []rules.Transition {
	t.Helper()
	now := time.Now()
	found := incident.Silence(incident.Scene{Lives: a.lives, Elsewhere: incident.SomeHeard, Patience: incident.DefaultPatience}, now)
	return a.ask(t.Context(), found.Transitions, a.lives, now)
}

// The answer decides what the silence of a host is told as, and stands in the record; what it does not prove is not said.
func TestReachDecides(t *testing.T) {
	for name, tc := range map[string]struct {
		hosts          []string
		answers        map[string]error
		summary, looks string
	}{
		"it answers": {[]string{"a/x/web1 10.0.0.5"}, map[string]error{"10.0.0.5": nil},
			"web1 is up, but its agent is silent", "3 of 3 answered in 0.4 ms: the host is up, its agent is not"},
		"over IPv6": {[]string{"a/x/web1 2001:db8::5"}, map[string]error{"2001:db8::5": nil},
			"web1 is up, but its agent is silent", "pinged 2001:db8::5, the address that the reports of web1 came from"},
		"it does not": {[]string{"a/x/web1 10.0.0.5"}, nil,
			"web1 is silent and cannot be reached", "timed out, 3 of 3: the host is down, or the line to it, or something on the way drops pings"},
		"behind a shared address that answers": {[]string{"a/x/web1 10.0.0.5", "b/y/other 10.0.0.5"}, map[string]error{"10.0.0.5": nil},
			"web1 is silent", "that does not prove that the host is up"},
		"behind a shared address that does not": {[]string{"a/x/web1 10.0.0.5", "b/y/other 10.0.0.5"}, nil,
			"web1 is silent and cannot be reached", "it does not answer either"},
		"denied": {[]string{"a/x/web1 10.0.0.5"}, map[string]error{"10.0.0.5": errors.New("this process may not ping")},
			"web1 is silent", "no answer to go by: this process may not ping"},
		"no address": {[]string{"a/x/web1"}, nil,
			"web1 is silent", "web1 was not pinged: the address its reports came from is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAsker(tc.answers)
				for _, h := range tc.hosts {
					a.host(h)
				}
				for _, tr := range a.silence(t) {
					if tr.Alert.Labels.Get("instance") != "web1" {
						continue
					}
					notes := tr.Alert.Annotations
					if got := notes.Get("summary"); got != tc.summary {
						t.Errorf("summary %q, want %q", got, tc.summary)
					}
					for _, in := range []string{"description", incident.Looked} {
						if got := notes.Get(in); !strings.Contains(strings.ToLower(got), strings.ToLower(tc.looks)) {
							t.Errorf("%s %q does not say %q", in, got, tc.looks)
						}
					}
					if sev := tr.Alert.Labels.Get("severity"); sev != "critical" {
						t.Errorf("severity %s: a host that hangs answers pings, too", sev)
					}
					return
				}
				t.Error("no alert about web1")
			})
		})
	}
}

// What pings came to is counted, an address once however many hosts report from it.
func TestPingsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsker(map[string]error{"10.0.0.1": nil, "10.0.0.3": errors.New("this process may not ping"), "10.0.0.4": nil})
		for _, h := range []string{"a/x/h1 10.0.0.1", "b/x/h2 10.0.0.2", "c/x/h3 10.0.0.3", "d/x/h4 10.0.0.4", "e/x/h5 10.0.0.4", "f/x/h6"} {
			a.host(h)
		}
		a.silence(t)
		a.fake.takes = reachBudget
		for n := range 64 { // two turns of as many as are asked at once, the second of which has no time left
			a.host(fmt.Sprintf("g%d/x/i%d 10.1.0.%d", n, n, n))
		}
		a.terms.Store(&pingTerms{Count: 30, Timeout: reachBudget, Most: 64})
		a.known, a.knownAt = nil, time.Time{}
		a.lives = a.lives[6:]
		a.silence(t)
		for result, want := range map[string]float64{pingAnswered: 2, pingUnanswered: 1 + pingsAtOnce, pingFailed: 1, pingLeftOut: 64 - pingsAtOnce} {
			if got := testutil.ToFloat64(a.pings.WithLabelValues(result)); got != want {
				t.Errorf("%s: %v, want %v", result, got, want)
			}
		}
		if n := testutil.CollectAndCount(a.pings); n != 4 {
			t.Errorf("%d series, want one for each result", n)
		}
	})
}

// However many fall silent at one moment, few are pinged, few at a time, each address once, and the ticket does not wait.
func TestReachIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsker(nil)
		for i := range 10000 {
			a.host(fmt.Sprintf("c%d/x/h%05d 10.%d.%d.9", i, i, i/250, i%250))
		}
		began := time.Now()
		ts := a.silence(t)
		if d := time.Since(began); d > reachBudget {
			t.Errorf("it took %v", d)
		}
		if n := len(a.fake.asked); n != 64 || a.fake.widest > pingsAtOnce || len(ts) != 10000 {
			t.Errorf("%d pings, %d at once, %d alerts", n, a.fake.widest, len(ts))
		}
		last := ts[len(ts)-1].Alert.Annotations.Get(incident.Looked)
		if last != "not pinged: 1 more fell silent at the same moment, and 64 at most are pinged" {
			t.Errorf("the last says %q", last)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a pinger that is slow, for whatever reason
		a := newAsker(nil)
		terms := *a.terms.Load()
		terms.Timeout, terms.Most = reachBudget, 200
		a.terms.Store(&terms)
		for i := range 200 {
			a.host(fmt.Sprintf("c%d/x/h%d 10.0.0.%d", i, i, i))
		}
		began := time.Now()
		ts := a.silence(t)
		if d := time.Since(began); d > reachBudget {
			t.Errorf("it took %v", d)
		}
		late := 0
		for _, tr := range ts {
			if strings.Contains(tr.Alert.Annotations.Get(incident.Looked), "its turn did not come in 3s") {
				late++
			}
		}
		if late != 200-pingsAtOnce {
			t.Errorf("%d were not asked in time, want %d", late, 200-pingsAtOnce)
		}
	})
}

// Of a site that is silent three hosts are asked, and what they say points to the line or past it.
func TestReachOfASite(t *testing.T) {
	for name, tc := range map[string]struct {
		answers map[string]error
		says    string
	}{
		"nobody answers": {nil, "None of the hosts that were pinged answers."},
		"some answer":    {map[string]error{"10.0.0.1": nil}, "Some of the hosts that were pinged answer and some do not"},
		"they answer":    {map[string]error{"10.0.0.1": nil, "10.0.0.2": nil, "10.0.0.3": nil, "10.0.0.4": nil}, "Hosts there can be reached, so the line is up"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAsker(tc.answers)
				for i := range 4 {
					a.host(fmt.Sprintf("a/x/h%d 10.0.0.%d", i+1, i+1))
				}
				ts := a.silence(t)
				if len(ts) != 1 || len(a.fake.asked) != pingsOfSite {
					t.Fatalf("%d alerts, pinged %v", len(ts), a.fake.asked)
				}
				said := ts[0].Alert.Annotations.Get("description")
				// The only site there is: what cuts it off may be the collector's own.
				if !strings.Contains(said, tc.says) || !strings.Contains(said, "Of itself: fine.") {
					t.Errorf("%q does not say %q", said, tc.says)
				}
			})
		})
	}
}

// An alert that could not be committed is told with what is known already; one that ends or goes on is not asked about.
func TestReachAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsker(map[string]error{"10.0.0.5": nil})
		a.host("a/x/web1 10.0.0.5")
		first := a.silence(t)
		again := a.silence(t)
		if len(a.fake.asked) != 1 || again[0].Alert.Annotations.Get("summary") != first[0].Alert.Annotations.Get("summary") {
			t.Errorf("asked %v", a.fake.asked)
		}
		time.Sleep(2 * asksKept)
		a.silence(t)
		if len(a.fake.asked) != 2 {
			t.Errorf("asked %v, a minute later want once more", a.fake.asked)
		}
		over := first[0]
		over.From, over.Alert.State = rules.Firing, rules.Inactive
		if got := a.ask(t.Context(), []rules.Transition{over}, a.lives, time.Now()); len(a.fake.asked) != 2 || len(got) != 1 {
			t.Errorf("asked %v for one that ended", a.fake.asked)
		}
	})
}

// Pings can be switched off.
func TestReachOff(t *testing.T) {
	a := newAsker(nil)
	a.terms.Store(&pingTerms{})
	a.host("a/x/web1 10.0.0.5")
	if ts := a.silence(t); len(a.fake.asked) != 0 || ts[0].Alert.Annotations.Get("summary") != "web1 is silent" || ts[0].Alert.Annotations.Get(incident.Looked) != "" {
		t.Errorf("asked %v, told %v", a.fake.asked, ts[0].Alert.Annotations)
	}
}

// Of itself a collector says what it found.
func TestOfItself(t *testing.T) {
	cfg := testConfig(t, diskRules)
	s := newStage(t, cfg)
	said := strings.Join(s.ofItself(t.Context(), nil, s.at), "\n")
	for _, want := range []string{"its listener for agents accepts connections at 127.0.0.1:", "interface", "no agent on its own host is known"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q does not say %q", said, want)
		}
	}
	if got := acceptsAt(t.Context(), "127.0.0.1:1"); !strings.Contains(got, "does not accept connections at 127.0.0.1:1") {
		t.Errorf("of a closed port: %q", got)
	}
	now := time.Now()
	own := incident.Life{Asset: "watch", Own: true, Heard: now, Interval: time.Second}
	for d, want := range map[time.Duration]string{0: "watch, is heard", time.Hour: "watch, is not heard either"} {
		if got := ownAgent([]incident.Life{own}, incident.DefaultPatience, now.Add(d)); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
	if s.learnOwnAddresses(); !s.ownAddress(netip.MustParseAddr("127.0.0.1")) || !s.ownAddress(netip.IPv6Loopback()) || s.ownAddress(netip.MustParseAddr("203.0.113.7")) {
		t.Error("it does not know its own addresses")
	}
}

// Of a host whose agent said goodbye the answer says whether it is the agent that did not come back, or the host.
func TestReachAfterAGoodbye(t *testing.T) {
	const stopped, warns = "The agent on left stopped and has not come back", "warning"
	for name, tc := range map[string]struct {
		host                      string
		answers                   map[string]error
		summary, severity, checks string
		key                       string
		asksIfUp                  bool
	}{
		"it answers": {"a/x/left 10.0.0.5", map[string]error{"10.0.0.5": nil}, stopped, warns, "start the agent", "agent/monitoring", false},
		"it does not": {"a/x/left 10.0.0.5", nil,
			"left stopped in order and cannot be reached since", "critical", "console or hypervisor", "availability/server", false},
		"denied":     {"a/x/left 10.0.0.5", map[string]error{"10.0.0.5": errors.New("no right")}, stopped, warns, "start the agent", "agent/monitoring", true},
		"no address": {"a/x/left", nil, stopped, warns, "start the agent", "agent/monitoring", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAsker(tc.answers)
				a.host(tc.host)
				ts := a.silence(t)
				if len(ts) != 1 || ts[0].Origin.Name != incident.AgentStopped {
					t.Fatalf("transitions %v", ts)
				}
				l, notes := ts[0].Alert.Labels, ts[0].Alert.Annotations
				if got := notes.Get("summary"); got != tc.summary {
					t.Errorf("summary %q, want %q", got, tc.summary)
				}
				if got := l.Get("severity"); got != tc.severity {
					t.Errorf("severity %s, want %s", got, tc.severity)
				}
				if got := l.Get("service") + "/" + l.Get("system"); got != tc.key {
					t.Errorf("about %s, want %s", got, tc.key)
				}
				checks := notes.Get("first_checks")
				if !strings.Contains(checks, tc.checks) || strings.Contains(checks, "Is the host up?") != tc.asksIfUp {
					t.Errorf("first checks %q", checks)
				}
				if got := notes.Get("description"); !strings.Contains(got, "said goodbye: reboot") {
					t.Errorf("description %q does not say what the goodbye said", got)
				}
				// It stands until the host is heard, whatever its severity, and ends then.
				now := time.Now()
				scene := incident.Scene{Lives: a.lives, Elsewhere: incident.SomeHeard, Patience: incident.DefaultPatience, Active: []rules.Alert{ts[0].Alert}}
				if again := incident.Silence(scene, now.Add(time.Hour)).Transitions; len(again) != 0 {
					t.Errorf("an hour later %v", again)
				}
				scene.Lives[0].Heard, scene.Lives[0].Goodbye = now, ""
				if over := incident.Silence(scene, now).Transitions; len(over) != 1 || over[0].ID() != ts[0].ID() || over[0].Alert.End != rules.Recovered {
					t.Errorf("when it is back %v", over)
				}
			})
		})
	}
}

// Whom it concerns that nothing is heard from anybody is not known, which is not nobody.
func TestWhomABlindCollectorConcerns(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	got := s.pipeline.evidence.users(incident.Alert{Name: incident.CollectorBlind, Source: "watchbill", Customer: incident.OwnCustomer}, hostFacts{}, false)
	if got.None != "" || len(got.Entries) != 1 || !strings.HasPrefix(got.Entries[0].Text, "not known") {
		t.Errorf("it says %q %v", got.None, got.Entries)
	}
}

// What is left open while nobody knows is not said beside an answer.
func TestAnAnswerLeavesNothingOpen(t *testing.T) {
	const open = "The agent, the host or the line to it is down"
	for addr, left := range map[string]bool{"10.0.0.5": false, "10.0.0.6": false, "": true} {
		synctest.Test(t, func(t *testing.T) {
			a := newAsker(map[string]error{"10.0.0.5": nil})
			a.host(strings.TrimSpace("a/x/web1 " + addr))
			if got := a.silence(t)[0].Alert.Annotations.Get("description"); strings.Contains(got, open) != left {
				t.Errorf("of %q: %q", addr, got)
			}
		})
	}
}
