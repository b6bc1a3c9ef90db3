package route

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/collector/ticket"
)

// opened is a telling to somebody about ticket n.
func opened(to string, n, rank int) Telling {
	return Telling{What: ticket.Opened, Text: "x", Person: someone(to), Receivers: []string{"mail-" + to}, Urgent: rank == 0, At: t0,
		Item: Item{Ticket: fmt.Sprint("id", n), Number: fmt.Sprint("WB-", 1000+n), Priority: fmt.Sprint("P", rank+1), Rank: rank,
			Asset: fmt.Sprint("web", n), Title: "pool stopped", OpenedAt: t0.Add(time.Duration(n) * time.Second)}}
}

func TestDigestOfAStorm(t *testing.T) {
	var all []Telling
	for n := range 60 {
		all = append(all, opened("ivy", n, 1+n%3))
	}
	all = append(all, opened("ivy", 98, 0), opened("ivy", 99, 0), opened("ian", 5, 1))
	r := Digest(all, nil, t0)
	if len(r.Send) != 3 || len(r.Keep) != 0 || !r.Next.IsZero() {
		t.Fatalf("%d go out, %d wait until %v; want the first page, ivy's digest and ian's one: %v", len(r.Send), len(r.Keep), r.Next, say(r.Send))
	}
	page, many, single := r.Send[0], r.Send[1], r.Send[2]
	if page.What != ticket.Opened || page.Item.Number != "WB-1098" {
		t.Errorf("the first page is about %s (%s), want WB-1098 by itself", page.Item.Number, page.What)
	}
	if single.What != ticket.Opened || single.To() != "person:ian" {
		t.Errorf("ian is told %+v", single)
	}
	lines := strings.Split(many.Text, "\n")
	if many.What != Digested || many.To() != "person:ivy" || len(many.Of) != 61 || len(lines) != 42 || !many.Urgent {
		t.Fatalf("the digest stands for %d in %d lines: %s", len(many.Of), len(lines), many.Text)
	}
	for i, want := range map[int]string{
		0: "61 notices about 61 tickets:", 1: "WB-1099 P1 web99: pool stopped (opened)", 2: "WB-1000 P2 web0: pool stopped (opened)", 21: "WB-1057 P2 web57: pool stopped (opened)",
		22: "WB-1001 P3 web1: pool stopped (opened)", 41: "and 21 more, not named here: 1 P3, 20 P4. They are in the queue",
	} {
		if lines[i] != want {
			t.Errorf("line %d is %q, want %q", i, lines[i], want)
		}
	}
}

func TestDigest(t *testing.T) {
	ivy := func(told, urgent int) Pages { // seconds ago
		p := Page{}
		if told > 0 {
			p.Told = t0.Add(-time.Duration(told) * time.Second)
		}
		if urgent > 0 {
			p.Urgent = t0.Add(-time.Duration(urgent) * time.Second)
		}
		return Pages{"person:ivy": p}
	}
	night := opened("ivy", 3, 2)
	night.NotBefore = t0.Add(8 * time.Hour)
	urgentNight := opened("ivy", 4, 0)
	urgentNight.NotBefore = t0.Add(8 * time.Hour)
	over, waits := opened("ivy", 7, 1), opened("ivy", 8, 1)
	over.Until, waits.Until = t0, t0.Add(5*time.Second)
	draft := opened("ivy", 5, 2)
	draft.Draft, draft.External = &ticket.Draft{To: "x"}, true
	outside := opened("ivy", 6, 2)
	outside.External = true
	for _, tt := range []struct {
		name    string
		waiting []Telling
		pages   Pages
		send    []string
		keep    int
		next    time.Duration
	}{
		{"nothing", nil, nil, nil, 0, 0},
		{"one, after a quiet time", []Telling{opened("ivy", 1, 1)}, ivy(60, 0), []string{"opened"}, 0, 0},
		{"one, just after another", []Telling{opened("ivy", 1, 1)}, ivy(20, 0), nil, 1, 40 * time.Second},
		{"an urgent one, just after another", []Telling{opened("ivy", 1, 0)}, ivy(20, 0), []string{"opened"}, 0, 0},
		{"a second urgent one", []Telling{opened("ivy", 1, 0)}, ivy(20, 20), nil, 1, 40 * time.Second},
		{"an urgent one and two others", []Telling{opened("ivy", 1, 1), opened("ivy", 2, 2), opened("ivy", 3, 0)}, ivy(20, 0), []string{"opened"}, 2, 40 * time.Second},
		{"two of one ticket", []Telling{opened("ivy", 1, 1), opened("ivy", 1, 1)}, nil, []string{"digest"}, 0, 0},
		{"two people", []Telling{opened("ivy", 1, 1), opened("ian", 1, 1)}, nil, []string{"opened", "opened"}, 0, 0},
		{"put off by the night", []Telling{night}, nil, nil, 1, 8 * time.Hour},
		{"urgent ones are not", []Telling{urgentNight}, nil, []string{"opened"}, 0, 0},
		{"drafts and letters go as they are", []Telling{draft, outside, opened("ivy", 1, 1)}, ivy(1, 1), []string{"opened", "opened"}, 1, 59 * time.Second},
		{"its wait is over, though more was told since", []Telling{over}, ivy(1, 1), []string{"opened"}, 0, 0},
		{"one whose wait is over takes the others along", []Telling{opened("ivy", 1, 1), over, waits}, ivy(1, 1), []string{"digest"}, 0, 0},
		{"a wait grows no longer", []Telling{waits}, ivy(1, 1), nil, 1, 5 * time.Second},
		{"the clock was put back", []Telling{opened("ivy", 1, 1)}, Pages{"person:ivy": {Told: t0.Add(time.Hour)}}, []string{"opened"}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Digest(tt.waiting, tt.pages, t0)
			var sent []string
			for _, one := range r.Send {
				sent = append(sent, string(one.What))
			}
			next := time.Duration(0)
			if !r.Next.IsZero() {
				next = r.Next.Sub(t0)
			}
			if !slices.Equal(sent, tt.send) || len(r.Keep) != tt.keep || next != tt.next {
				t.Errorf("sent %v, kept %d, next in %v; want %v, %d, %v", sent, len(r.Keep), next, tt.send, tt.keep, tt.next)
			}
		})
	}
	old := Pages{"person:ivy": {Told: t0.Add(-time.Hour)}, "person:ian": {Told: t0.Add(-time.Second)}}
	if got := Digest(nil, old, t0).Pages; len(got) != 1 || len(old) != 2 {
		t.Errorf("pages %v: those that no longer matter are to go, from the new ones alone", got)
	}
}

func TestDigestJoinsReceivers(t *testing.T) {
	a, b := opened("ivy", 1, 1), opened("ivy", 2, 1)
	b.Receivers, b.Also = []string{"sms-ivy"}, []Person{someone("ian"), someone("ian")}
	got := Digest([]Telling{a, b}, nil, t0).Send[0]
	if !slices.Equal(got.Receivers, []string{"mail-ivy", "sms-ivy"}) || len(got.Also) != 1 {
		t.Errorf("through %v, also %v", got.Receivers, got.Also)
	}
	if !slices.Equal(a.Receivers, []string{"mail-ivy"}) {
		t.Errorf("the original was changed: %v", a.Receivers)
	}
}

// TestDigestDropsNothing plays tellings that arrive over time, Digest being asked whenever one does and at every Next:
// each goes out once, nobody waits longer than a Window, the first urgent page of a quiet person waits for nothing, and no
// digest names more than it may.
func TestDigestDropsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		arrive := map[time.Time][]Telling{}
		var times []time.Time
		n := rapid.IntRange(1, 120).Draw(t, "tellings")
		gap := rapid.SampledFrom([]int{0, 1, 30}).Draw(t, "gap")
		now := t0
		for i := range n {
			now = now.Add(time.Duration(rapid.IntRange(0, gap).Draw(t, "seconds")) * time.Second)
			one := opened(rapid.SampledFrom([]string{"ivy", "ian"}).Draw(t, "to"), i, rapid.IntRange(0, 2).Draw(t, "rank"))
			one.At = now
			if arrive[now] == nil {
				times = append(times, now)
			}
			arrive[now] = append(arrive[now], one)
		}
		sent := map[string]int{}
		lastUrgent := map[string]time.Time{}
		var waiting []Telling
		var pages Pages
		for now := times[0]; ; {
			waiting = append(waiting, arrive[now]...)
			r := Digest(waiting, pages, now)
			for _, one := range r.Send {
				all := one.Of
				if len(all) == 0 {
					all = []Telling{one}
				}
				for _, each := range all {
					sent[each.Item.Ticket]++
					if late := now.Sub(each.At); late > Window {
						t.Fatalf("%s waited for %v", each.Item.Number, late)
					}
				}
				if strings.Count(one.Text, "\n") > MaxNamed+1 {
					t.Fatalf("a digest of %d lines", strings.Count(one.Text, "\n"))
				}
			}
			for _, one := range r.Keep {
				if since := now.Sub(lastUrgent[one.To()]); one.Urgent && since >= Window && r.Pages[one.To()].Urgent != now {
					t.Fatalf("%s is urgent, the last page was %v ago, and it waits", one.Item.Number, since)
				}
			}
			for to, p := range r.Pages {
				lastUrgent[to] = p.Urgent
			}
			waiting, pages = r.Keep, r.Pages
			next := r.Next
			for _, at := range times {
				if at.After(now) {
					next = sooner(next, at)
					break
				}
			}
			if next.IsZero() {
				break
			}
			if !next.After(now) {
				t.Fatalf("next is %v at %v", next, now)
			}
			now = next
		}
		if len(waiting) > 0 || len(sent) != n {
			t.Fatalf("%d of %d went out, %d wait for ever", len(sent), n, len(waiting))
		}
		for id, times := range sent {
			if times != 1 {
				t.Fatalf("%s went out %d times", id, times)
			}
		}
	})
}

// FuzzDigestText: whatever a ticket's title and asset hold, it stays one line of a digest, printable and bounded.
func FuzzDigestText(f *testing.F) {
	for _, s := range []string{"pool stopped", "a\nWB-1 P1 b: forged", "\x1b[31mred", "\u202egnp.exe", strings.Repeat("é", 500), "\xff\xfe", "a\u2028b", "\r\nBcc: x@y", strings.Repeat("a", 120) + " " + strings.Repeat("b", 400)} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, title, asset string) {
		a, b := opened("ivy", 1, 1), opened("ivy", 2, 2)
		a.Item.Title, a.Item.Asset = title, asset
		text := Digest([]Telling{a, b}, nil, t0).Send[0].Text
		if strings.Count(text, "\n") != 2 {
			t.Fatalf("the digest has other lines than its own: %q", text)
		}
		if !utf8.ValidString(text) || utf8.RuneCountInString(text) > 350 {
			t.Fatalf("%d runes, valid %v", utf8.RuneCountInString(text), utf8.ValidString(text))
		}
		for _, r := range text {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Fatalf("%q in %q", r, text)
			}
		}
	})
}

func TestLine(t *testing.T) {
	for _, tt := range []struct {
		item     Item
		happened []string
		want     string
	}{
		{Item{Number: "WB-1", Priority: "P1", Asset: "web1", Title: "disk  full\n"}, []string{"priority changed", "opened"},
			"WB-1 P1 web1: disk full (priority changed; opened)"},
		{Item{Number: "WB-2", Title: "training"}, []string{"opened"}, "WB-2: training (opened)"},
		{Item{Number: "WB-3", Title: strings.Repeat("a", 200)}, []string{"closed"}, "WB-3: " + strings.Repeat("a", 120) + "… (closed)"},
	} {
		if d := cmp.Diff(tt.want, tt.item.line(tt.happened)); d != "" {
			t.Error(d)
		}
	}
}

// TestDigestOfOneTicket: what happened to it is told once each, the newest first, though its priority changed meanwhile.
func TestDigestOfOneTicket(t *testing.T) {
	a, b, c := opened("ivy", 1, 2), opened("ivy", 1, 1), opened("ivy", 1, 1)
	b.What, b.At, c.At = ticket.PriorityChanged, t0.Add(time.Second), t0.Add(2*time.Second)
	got := Digest([]Telling{a, b, c}, nil, t0).Send[0].Text
	if want := "3 notices about one ticket:\nWB-1001 P2 web1: pool stopped (opened; priority changed)"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestDigestOfClocks: what was missed stands first, then rungs, then the rest, each with its clock and when it is due.
func TestDigestOfClocks(t *testing.T) {
	telling := func(n, rank int, what ticket.Kind, text string) Telling {
		out := opened("ivy", n, rank)
		out.What, out.Text = what, text
		return out
	}
	got := Digest([]Telling{
		telling(1, 1, ticket.Opened, "pool stopped"),
		telling(2, 1, ticket.ClockAtRisk, "response is at risk: due Tue 24 Nov 11:00 GMT"),
		telling(3, 2, ticket.WasTold, "manager: 80 % of the clock response has run, it is due Tue 24 Nov 11:00 GMT\nA message waits to be sent."),
		telling(4, 3, ticket.ClockBreached, "access was due Tue 24 Nov 10:00 GMT and is not met"),
	}, nil, t0).Send[0].Text
	want := `4 notices about 4 tickets:
WB-1004 P4 web4: pool stopped (access was due Tue 24 Nov 10:00 GMT and is not met)
WB-1003 P3 web3: pool stopped (manager: 80 % of the clock response has run, it is due Tue 24 Nov 11:00 GMT)
WB-1001 P2 web1: pool stopped (opened)
WB-1002 P2 web2: pool stopped (response is at risk: due Tue 24 Nov 11:00 GMT)`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
