package route

import (
	"fmt"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/ticket"
)

// long is a ticket folded from a timeline of n notes, with a business clock on which a rung was told again n times.
func long(b *testing.B, n int) ticket.Ticket {
	b.Helper()
	first := running(b, "4h,business", t0)
	timeline := []ticket.Event{{Seq: 1, At: t0, Kind: ticket.Opened, Opening: &first.Opening}}
	for i := range n {
		timeline = append(timeline, ticket.Event{Seq: i + 2, At: t0.Add(time.Duration(i) * time.Second), Kind: ticket.Noted, Text: "looked again",
			Actor: ticket.Actor{Kind: ticket.Person, Name: "ivy"}})
	}
	tk, err := ticket.Fold(timeline)
	if err != nil {
		b.Fatal(err)
	}
	tk.Clocks, tk.Priority, tk.Facts = first.Clocks, "P2", first.Facts
	for i := range n {
		at := t0.Add(time.Duration(i) * time.Minute)
		tk.Told = append(tk.Told, ticket.Told{Step: "response/warn", At: at, To: []string{"sam"}, AckUntil: at.Add(30 * time.Minute)})
	}
	return tk
}

func BenchmarkDue(b *testing.B) {
	cal := calendar(b)
	for _, n := range []int{10, 10_000} {
		tk := long(b, n)
		for _, when := range []struct {
			name string
			now  time.Time
		}{{"early", t0.Add(time.Minute)}, {"late", t0.Add(90 * time.Hour)}} {
			b.Run(fmt.Sprintf("events=%d/%s", n, when.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := Due(tk, steps(), cal, when.now); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkTell(b *testing.B) {
	terms := boundary()
	terms.Drafts, terms.Templates = true, map[string]string{"ack": "dear client, {{number}}"}
	terms.Quiet = &QuietHours{Zone: "Europe/London", From: "22:00", To: "07:00", Priorities: []string{"P2", "P3"}}
	terms.Notices = []NoticeRule{
		{Name: "watch", On: []string{"*"}, To: []Target{{Role: "team-leader"}}}, {Name: "owner", On: []string{"opened"}, To: []Target{{Party: "owner"}, {Rota: "week"}}},
		{Name: "escalated", On: []string{"handed_off"}, When: ticket.When{"environment": {"*"}}, To: []Target{{Role: "delivery-manager"}, {Role: "product-owner"}}},
		{Name: "client", On: []string{"opened"}, To: []Target{{Role: "client-owner-user"}}, Template: "ack"},
	}
	a := audience(b, terms, desk())
	for _, n := range []int{10, 10_000} {
		c, notice := happened(long(b, n), ticket.Opened, "pool stopped", nil)
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := a.Tell(c, notice, t0); len(got) != 6 {
					b.Fatalf("%d told: %v", len(got), say(got))
				}
			}
		})
	}
}

func BenchmarkOnDuty(b *testing.B) {
	always := ready(b, week())
	outside := week()
	outside.Hours, outside.Calendar = HoursOutside, office()
	outside = ready(b, outside)
	for name, r := range map[string]Rota{"always": always, "outside-hours": outside} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, ok := r.OnDuty(t0.Add(12 * time.Hour)); !ok {
					b.Fatal("nobody is on duty")
				}
			}
		})
	}
	b.Run("gaps-of-8-weeks", func(b *testing.B) {
		for b.Loop() {
			if len(outside.Gaps(t0, t0.Add(8*7*24*time.Hour))) == 0 {
				b.Fatal("no gaps")
			}
		}
	})
}

func BenchmarkDigest(b *testing.B) {
	for _, n := range []int{40, 10_000} {
		var all []Telling
		for i := range n {
			all = append(all, opened("ivy", i, 1+i%3))
		}
		b.Run(fmt.Sprintf("tellings=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := Digest(all, nil, t0); len(r.Send) != 1 {
					b.Fatalf("%d go out", len(r.Send))
				}
			}
		})
	}
}

func BenchmarkQueueKey(b *testing.B) {
	tk, terms := running(b, "4h,business", t0), ordered(QueueKeys()...)
	b.ReportAllocs()
	for b.Loop() {
		if len(QueueKey(tk, terms)) == 0 {
			b.Fatal("no key")
		}
	}
}
