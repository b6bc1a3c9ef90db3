package sla_test

import (
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

func BenchmarkAddTenWorkingDays(b *testing.B) {
	cal := calendar(b, "Europe/London", "GB-ENG", "08:00-18:00")
	from := at(b, "2026-12-18 17:30")
	b.Run("hours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := cal.Add(from, 100*time.Hour); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("days", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := cal.AddDays(from, 10); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkBegin(b *testing.B) {
	cal := calendar(b, "Europe/London", "GB-ENG", "08:00-18:00")
	eight := target(b, "response", "8h,business")
	start := at(b, "2026-12-24 17:50")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sla.Begin(eight, cal, start, 0.8, start); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTick looks at 100,000 clocks per round; of a tenth of them something is found.
func BenchmarkTick(b *testing.B) {
	cal := calendar(b, "Europe/London", "GB-ENG", "08:00-18:00")
	start := at(b, "2026-11-16 09:00")
	clocks := make([]sla.Clock, 100_000)
	for i := range clocks {
		clocks[i] = begin(b, "4h,business", cal, start.Add(time.Duration(i%36_000)*time.Second), 0.8)
	}
	now := at(b, "2026-11-16 13:12") // 3600 of 36,000 starts are at risk by then
	b.ReportAllocs()
	for b.Loop() {
		found := 0
		for _, c := range clocks {
			if next := c.Next(); !next.IsZero() && !next.After(now) {
				_, facts := c.Tick(now)
				found += len(facts)
			}
		}
		if found == 0 {
			b.Fatal("nothing found")
		}
	}
}

func BenchmarkExplain(b *testing.B) {
	cal := calendar(b, "Europe/London", "GB-ENG", "08:00-18:00")
	c := begin(b, "100h,business", cal, at(b, "2026-12-18 17:30"), 0)
	b.ReportAllocs()
	for b.Loop() {
		if len(c.Explain(cal, time.Time{})) < 10 {
			b.Fatal("explained too little")
		}
	}
}

func BenchmarkNewCalendar(b *testing.B) {
	s := calendar(b, "Europe/London", "GB-ENG", "08:00-18:00").Spec()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sla.NewCalendar(s); err != nil {
			b.Fatal(err)
		}
	}
}
