package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/wire"
)

// asking gives the host two mounts, a unit and bundles that count what is made of them.
func (h *host) asking(makes map[string]int) {
	mount := func(point string) wire.Sample {
		return wire.Sample{Name: "node_filesystem_size_bytes", Labels: []wire.Label{{Name: "mountpoint", Value: point}}, Value: 1}
	}
	h.sources = []sample.Source{
		{Name: "filesystem", Kind: "node", Sampler: samples(mount("/"), mount("/srv"))},
		{Name: "systemd", Kind: "node", Sampler: samples(wire.Sample{Name: "node_systemd_unit_state", Labels: []wire.Label{{Name: "name", Value: "web.service"}}})},
	}
	make := func(name string) func(context.Context, time.Time, string) (*wire.Table, error) {
		return func(_ context.Context, now time.Time, argument string) (*wire.Table, error) {
			h.set(func() { makes[name+" "+argument]++ })
			return &wire.Table{Kind: name, SampledAtMs: now.UnixMilli(), Columns: []string{"path"}, Rows: []*wire.Row{{Cells: []string{argument + "/big"}}}}, nil
		}
	}
	h.bundles = []sample.Bundle{
		{Name: "disk_usage", Source: "filesystem", Label: "mountpoint", Needs: true, Make: make("disk_usage")},
		{Name: "logs", Source: "systemd", Label: "name", Make: make("logs")},
		{Name: "processes", Make: make("processes")},
	}
}

// ask has every Ack ask for these.
func (h *host) ask(all ...request) {
	h.set(func() {
		h.ack = func(a *wire.Ack) {
			for _, q := range all {
				a.Bundles = append(a.Bundles, &wire.BundleRequest{Name: q.name, Argument: q.argument})
			}
		}
	})
}

func (h *host) answers() []*wire.Report {
	var out []*wire.Report
	for _, r := range h.sent() {
		if len(r.Bundles) > 0 {
			out = append(out, r)
		}
	}
	return out
}

func TestBundleIsAnsweredOutOfTurn(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		makes := map[string]int{}
		h.asking(makes)
		h.ask(request{"disk_usage", "/srv"}, request{"logs", "web.service"}, request{"processes", ""})
		h.run(nil, func() { <-time.After(time.Second) }) // long before the second round
		got := h.answers()
		if len(got) != 1 || len(got[0].Bundles) != 3 {
			t.Fatalf("%d answers within a second, want one of three bundles: %v", len(got), got)
		}
		b := got[0].Bundles[0]
		if b.Request.Name != "disk_usage" || b.Request.Argument != "/srv" || b.Table.Rows[0].Cells[0] != "/srv/big" {
			t.Errorf("answer %v", b)
		}
	})
}

// However often and whatever a collector asks, what is made is bounded, and the same is not made again and again.
func TestBundlesAreRare(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		makes := map[string]int{}
		h.asking(makes)
		h.ask(request{"disk_usage", "/"}, request{"disk_usage", "/srv"}, request{"logs", "web.service"}, request{"logs", ""}, request{"processes", ""})
		h.run(nil, func() { <-time.After(time.Hour) })
		total := 0
		for what, n := range makes {
			total += n
			if n > int(time.Hour/bundleAgain) {
				t.Errorf("%s was made %d times in an hour", what, n)
			}
		}
		if most := bundlesAtOnce + int(time.Hour/bundlesEvery); total > most || total < most-1 {
			t.Errorf("%d bundles in an hour, want %d", total, most)
		}
	})
}

// A collector that has been taken over can make an agent do nothing: it counts, and says so now and then (PROMISES 18).
func TestMaliciousCollector(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		makes := map[string]int{}
		h.asking(makes)
		bad := []request{
			{"", ""}, {"shell", "rm -rf /"}, {"disk_usage", ""}, {"disk_usage", "/etc"}, {"disk_usage", "/srv/../etc"}, {"disk_usage", "/srv/"},
			{"disk_usage", "web.service"}, {"disk_usage", strings.Repeat("/", 100_000)}, {"logs", "/srv"}, {"logs", "web"}, {"logs", "web.service; reboot"},
			{"processes", "x"}, {"Disk_Usage", "/srv"}, {"disk_usage\x00", "/srv"}, {"../disk_usage", "/srv"}, {"sockets", ""},
		}
		h.set(func() {
			h.ack = func(a *wire.Ack) {
				for range 200 {
					for _, q := range bad {
						a.Bundles = append(a.Bundles, &wire.BundleRequest{Name: q.name, Argument: q.argument})
					}
					bad = append(bad[1:], bad[0])
					if len(a.Bundles) > 100 {
						return
					}
				}
			}
		})
		h.run(nil, func() { <-time.After(10 * time.Minute) })
		if len(makes) != 0 || len(h.answers()) != 0 {
			t.Errorf("made %v, answered %d times", makes, len(h.answers()))
		}
		if n := len(h.sent()); n < 60 {
			t.Errorf("only %d reports in ten minutes", n)
		}
		said := strings.Count(h.log.String(), "asks for evidence that is not given")
		if said == 0 || said > 11 {
			t.Errorf("the log says so %d times in ten minutes, want about one a minute", said)
		}
		if len(h.log.String()) > 100_000 {
			t.Errorf("the log holds %d bytes", h.log.Len())
		}
	})
}

// Whatever the words, nothing is made but what is built in, of what was reported.
func FuzzBundleRequest(f *testing.F) {
	for _, q := range []request{{"disk_usage", "/srv"}, {"processes", ""}, {"logs", "web.service"}, {"disk_usage", "/"}, {"x", "y"}} {
		f.Add(q.name, q.argument)
	}
	f.Fuzz(func(t *testing.T, name, argument string) {
		b := newBundles([]sample.Bundle{{Name: "disk_usage", Source: "filesystem", Label: "mountpoint", Needs: true}, {Name: "processes"}},
			&collector{}, time.Now, slog.New(slog.DiscardHandler))
		b.known = func(_, _, value string) bool { return value == "/srv" }
		why := b.judge(request{name, argument}, time.Now())
		fine := name == "disk_usage" && argument == "/srv" || name == "processes" && argument == ""
		if (why == "") != fine {
			t.Errorf("%q of %q: %q", name, argument, why)
		}
	})
}

func TestBundleThatGoesWrong(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		hang := make(chan struct{})
		defer close(hang)
		table := func(ctx context.Context, now time.Time, _ string) (*wire.Table, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("too slow: %w", ctx.Err())
		}
		h.bundles = []sample.Bundle{
			{Name: "fails", Make: func(context.Context, time.Time, string) (*wire.Table, error) { return nil, errors.New("no such luck") }},
			{Name: "panics", Make: func(context.Context, time.Time, string) (*wire.Table, error) { panic("over here") }},
			{Name: "slow", Make: table},
			{Name: "wild", Make: func(context.Context, time.Time, string) (*wire.Table, error) {
				return &wire.Table{Kind: "wild", SampledAtMs: 1, NoneBecause: strings.Repeat("x", 1<<20)}, nil
			}},
		}
		h.ask(request{"fails", ""}, request{"panics", ""}, request{"slow", ""}, request{"wild", ""})
		h.run(nil, func() { <-time.After(time.Minute) })
		var said []string
		for _, r := range h.answers() {
			for _, b := range r.Bundles {
				said = append(said, b.Table.NoneBecause)
			}
		}
		if first := h.answers()[0]; len(first.Bundles) != 2 {
			t.Errorf("the slow one held back the quick ones: %v", first)
		}
		all := strings.Join(said, "\n")
		for _, want := range []string{"no such luck", "over here", "too slow"} {
			if !strings.Contains(all, want) {
				t.Errorf("answers %.300q do not say %q", all, want)
			}
		}
		if len(said) != 3 || !strings.Contains(h.log.String(), "bundle not reported") {
			t.Errorf("%d answers; the wild one must be left out and logged", len(said))
		}
	})
}

// The end does not wait for a bundle.
func TestEndWhileABundleIsMade(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.bundles = []sample.Bundle{{Name: "slow", Make: func(ctx context.Context, _ time.Time, _ string) (*wire.Table, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}}
		h.ask(request{"slow", ""})
		h.run(nil, func() { <-time.After(5 * time.Second) })
		all := h.sent()
		if last := all[len(all)-1]; last.Goodbye == nil || len(h.answers()) != 0 {
			t.Errorf("last report %v", last)
		}
	})
}
