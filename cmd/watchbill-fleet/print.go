package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// report runs the fleet and tells how it goes: every few seconds, and at the end as a whole.
func (f *fleet) report(ctx context.Context, out, log io.Writer) error {
	print := printText
	if f.c.output == "json" {
		print = printJSON
	} else {
		fmt.Fprintf(log, "%d agents (%d with a spool), %d series each, report to %s for %v\n", len(f.people), len(f.spooled), f.c.series,
			f.road.address, f.c.duration)
	}
	o := newObserver(f, time.Now())
	o.read(ctx)
	first := o.mark(o.start)
	ended := make(chan error, 1)
	go func() { ended <- f.run(ctx) }()
	tick := time.NewTicker(f.c.every)
	defer tick.Stop()
	last := first
	for {
		select {
		case now := <-tick.C:
			o.read(ctx)
			next := o.mark(now)
			if err := print(out, o.between(last, next)); err != nil {
				return err
			}
			last = next
		case err := <-ended:
			if err != nil {
				return err
			}
			o.read(context.WithoutCancel(ctx))
			s := o.between(first, o.mark(time.Now()))
			s.Final = true
			return print(out, s)
		}
	}
}

// read takes a reading of all processes.
func (o *observer) read(ctx context.Context) {
	for _, m := range []*meter{o.own, o.collector, o.remote} {
		m.read(ctx)
	}
}

func printJSON(w io.Writer, s summary) error {
	if err := json.NewEncoder(w).Encode(s); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// printText is a line, or, for the whole run, a page.
func printText(w io.Writer, s summary) error {
	var b strings.Builder
	if s.Final {
		page(&b, s)
	} else {
		fmt.Fprintf(&b, "%6.0fs  %d/%d connected  %.1f reports/s  %s samples/s  %s/s  ack p50 %s p99 %s max %s", s.At, s.Connected, s.Agents,
			s.ReportsPerSecond, thousands(s.SamplesPerSecond), bytesText(s.BytesPerSecond), short(s.Latency.P50), short(s.Latency.P99), short(s.Latency.Max))
		fmt.Fprintf(&b, "  fleet %.0f %% cpu", 100*s.Fleet.CPUSeconds/s.Seconds)
		if c := s.Collector; c != nil {
			fmt.Fprintf(&b, "  collector %.0f %% cpu %s", 100*c.CPUSeconds/s.Seconds, bytesText(float64(c.RSS)))
		}
		if n := sum(s.Refused) + sum(s.Failed); n > 0 {
			fmt.Fprintf(&b, "  refused %d failed %d", sum(s.Refused), sum(s.Failed))
		}
		b.WriteByte('\n')
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// page is the end of a run.
func page(b *strings.Builder, s summary) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(b, "  %-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(b, "\n%d agents, %d series each, %.1f s\n", s.Agents, s.Series, s.Seconds)
	row("reports", "%d (%.1f/s)", s.Reports, s.ReportsPerSecond)
	row("samples", "%d (%s/s)", s.Samples, thousands(s.SamplesPerSecond))
	row("bodies", "%s (%s/s, %.2f B/sample)", bytesText(float64(s.SentBytes)), bytesText(s.BytesPerSecond), s.BytesPerSample)
	row("sample to ack", "p50 %s, p99 %s, max %s", short(s.Latency.P50), short(s.Latency.P99), short(s.Latency.Max))
	row("connections", "%d made, %d stand", s.Connects, s.Connected)
	row("not delivered in time", "%d gave way to newer reports, %d were made late", s.Superseded, s.Late)
	row("asked for shapes", "%d times", s.Shapes)
	if s.Backlog+s.Replayed > 0 {
		row("of the past", "%d reports of the backlog, %d sent again on demand", s.Backlog, s.Replayed)
	}
	if s.Broken > 0 {
		row("broken hosts", "%d", s.Broken)
	}
	for _, part := range []struct {
		name   string
		counts map[string]uint64
	}{{"refused", s.Refused}, {"failed", s.Failed}, {"attacks", s.Attacks}} {
		for _, k := range slices.Sorted(maps.Keys(part.counts)) {
			row(part.name, "%d × %s", part.counts[k], k)
		}
	}
	returns(s.Returns, row)
	processes(s, row)
}

// returns tells how the fleet came to each incarnation of the collector.
func returns(all []comingBack, row func(name, format string, args ...any)) {
	for i, r := range all {
		name := "at first"
		if i > 0 {
			name = fmt.Sprintf("return %d", i)
		}
		row(name, "%s", r.Back.text("had an answer"))
		row("", "%s", r.Live.text("had a live report accepted"))
		if r.Replayed != nil {
			row("", "%s", r.Replayed.text("of those with a spool were replayed"))
		}
	}
}

func (t stageTimes) text(what string) string {
	who := fmt.Sprintf("all %d", t.Agents)
	if !t.Whole {
		who = fmt.Sprintf("only %d of %d", t.Agents, t.Expected)
	}
	if t.Agents == 0 {
		return fmt.Sprintf("none of %d %s", t.Expected, what)
	}
	text := fmt.Sprintf("%s %s, the last %s after the first answer", who, what, short(t.FromFirst))
	if t.FromLost > 0 {
		text += ", " + short(t.FromLost) + " after the first failure"
	}
	return text
}

func processes(s summary, row func(name, format string, args ...any)) {
	of := func(name string, p process) {
		row(name, "%.1f CPU-s (%.0f %%), %.2f CPU-s per million samples, RSS %s (most %s), %s more per host", p.CPUSeconds,
			100*p.CPUSeconds/s.Seconds, p.CPUPerMillion, bytesText(float64(p.RSS)), bytesText(float64(p.RSSMost)), bytesText(p.RSSPerHost))
		if p.Error != "" {
			row("", "last reading: %s", p.Error)
		}
	}
	of("this process", *s.Fleet)
	if c := s.Collector; c != nil {
		of("collector", c.process)
		if c.Routines > 0 {
			row("", "arrival to applied p50 %s, p99 %s; %.0f tickets opened; heap %s, %.0f goroutines", short(c.Arrival.P50),
				short(c.Arrival.P99), c.Tickets, bytesText(c.Heap), c.Routines)
		}
		for _, k := range slices.Sorted(maps.Keys(c.Refusals)) {
			row("", "refused %.0f × %s", c.Refusals[k], k)
		}
	}
	if p := s.Peer; p != nil {
		of("remote write", p.process)
		row("", "%d samples, %.1f B/sample, %d requests failed", p.Samples, p.BytesPerSample, p.Failures)
	}
}

func sum(counts map[string]uint64) uint64 {
	var n uint64
	for _, c := range counts {
		n += c
	}
	return n
}

// short is seconds for a person: three digits.
func short(seconds float64) string {
	switch {
	case seconds <= 0:
		return "–"
	case seconds < 1e-3:
		return fmt.Sprintf("%.0fµs", seconds*1e6)
	case seconds < 0.1:
		return fmt.Sprintf("%.1fms", seconds*1e3)
	case seconds < 1:
		return fmt.Sprintf("%.0fms", seconds*1e3)
	}
	return fmt.Sprintf("%.1fs", seconds)
}

func bytesText(n float64) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if n < 1024 || unit == "GiB" {
			if unit == "B" {
				return fmt.Sprintf("%s%.0f B", sign, n)
			}
			return fmt.Sprintf("%s%.1f %s", sign, n, unit)
		}
		n /= 1024
	}
	return ""
}

func thousands(n float64) string {
	if n < 1e4 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.1fk", n/1e3)
}
