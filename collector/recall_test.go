package collector

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/agent"
	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/rules/window"
)

// writes runs the history's writing until stop is called.
func (n *town) writes() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	h := n.c.history
	go func() { ended <- h.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			n.t.Error(err)
		}
	}
}

// holes tells where a host's curve has gaps of more than half a minute in the first minutes.
func (n *town) holes(host string, minutes int) (out []string) {
	n.t.Helper()
	sel := []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, "__name__", "node_filesystem_avail_bytes"),
		labels.MustNewMatcher(labels.MatchEqual, "instance", host),
	}
	to := n.start.Add(time.Duration(minutes) * min1)
	curves, err := n.c.history.Series(context.Background(), sel, n.start, to, 1e6)
	if err != nil || len(curves) != 1 {
		n.t.Fatalf("read %d curves of %s, %v", len(curves), host, err)
	}
	last := n.start
	for _, p := range append(curves[0].Points, history.Point{T: to}) {
		if p.T.Sub(last) > 30*time.Second {
			out = append(out, fmt.Sprintf("%v to %v", last.Sub(n.start), p.T.Sub(n.start)))
		}
		last = p.T
	}
	return out
}

func keepingHistory(c *Config, _ *agent.Config) {
	c.History.Retention = policy.Duration(24 * time.Hour)
}

// stuff fills the history's queue with what is no report's.
func stuff(h *history.History) {
	for i := range 1 << 15 {
		h.AppendSamples([]history.Sample{{Labels: labels.FromStrings("__name__", "stuff"), T: int64(i), V: 1}})
	}
}

// What the history dropped because its queue was full is sent again by real agents, and nothing else learns of it.
func TestWhatHistoryDroppedComesAgain(t *testing.T) {
	inTown(t, diskRules, func(n *town) {
		h := n.hosts["web1"]
		h.set(func(h *citizen) { h.avail = dip(12*min1, 14*min1) })
		stop := n.writes()
		n.at(10 * min1)
		stop()
		stuff(n.c.history)
		n.at(20 * min1)
		lost := testutil.ToFloat64(n.c.recall.lost)
		if holes := n.holes("web1", 20); len(holes) == 0 || lost == 0 {
			t.Fatalf("holes %v, %v samples dropped: this test shows nothing", holes, lost)
		}
		tickets, symptoms := n.tickets(), ""
		if len(tickets) != 1 {
			t.Fatalf("%d tickets, want that of the full disk", len(tickets))
		}
		for _, tk := range tickets {
			symptoms = n.symptoms(tk)
		}
		alerts := standing(t, n.c)
		stop = n.writes()
		n.at(40 * min1)
		for _, host := range []string{"web1", "web2"} {
			if holes := n.holes(host, 39); len(holes) > 0 {
				t.Errorf("the curve of %s has holes: %v", host, holes)
			}
		}
		stop()
		if came := testutil.ToFloat64(n.c.recall.came); came != lost {
			t.Errorf("%v samples were dropped and %v came again", lost, came)
		}
		if n := len(n.c.recall.wants); n != 0 {
			t.Errorf("of %d assets something is wanted still", n)
		}
		if got := standing(t, n.c); got != alerts {
			t.Errorf("alerts are %q, were %q", got, alerts)
		}
		after := n.tickets()
		if len(after) != 1 || n.gaps() != 0 {
			t.Errorf("%d tickets and %d gaps, want the one ticket there was", len(after), n.gaps())
		}
		for _, tk := range after {
			if got := n.symptoms(tk); got != symptoms {
				t.Errorf("the ticket says %q, said %q", got, symptoms)
			}
		}
	}, keepingHistory)
}

// A second loss in one life of the collector is asked for, too.
func TestWhatHistoryDropsTwiceComesTwice(t *testing.T) {
	inTown(t, diskRules, func(n *town) {
		h := n.hosts["web1"]
		h.set(func(h *citizen) { h.avail = dip(0, 0) })
		for i := range 2 {
			stuff(n.c.history)
			n.at(time.Duration(20*i+5) * min1)
			stop := n.writes()
			n.at(time.Duration(20*i+20) * min1)
			stop()
		}
		if holes := n.holes("web1", 39); len(holes) > 0 {
			t.Errorf("the curve has holes: %v", holes)
		}
	}, keepingHistory)
}

// What was acknowledged and not written when the collector was killed comes again after the next start.
func TestWhatACrashTookFromHistoryComesAgain(t *testing.T) {
	inTown(t, diskRules, func(n *town) {
		h := n.hosts["web1"]
		h.set(func(h *citizen) { h.avail = dip(0, 0) })
		stop := n.writes()
		n.at(10 * min1)
		stop()
		if err := n.c.recall.look(); err != nil {
			t.Fatal(err)
		}
		n.at(40 * min1)
		n.c.recall.file = filepath.Join(t.TempDir(), "nobody reads this") // a kill does not close in order
		n.down()
		n.at(41 * min1)
		n.up()
		stop = n.writes()
		n.at(60 * min1)
		stop()
		if holes := n.holes("web1", 59); len(holes) > 0 {
			t.Errorf("the curve has holes: %v", holes)
		}
		if n := len(n.c.recall.wants); n != 0 {
			t.Errorf("of %d assets something is wanted still", n)
		}
	}, keepingHistory)
}

// shelf is a history that is well or not.
type shelf struct {
	well bool
	took int
}

func (s *shelf) Append(_ window.Asset, blocks []window.Block) { s.took += len(blocks) }
func (s *shelf) Well() bool                                   { return s.well }
func (s *shelf) Settled() bool                                { return s.well }

func TestRecall(t *testing.T) {
	noon := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	at := func(m int) time.Time { return noon.Add(time.Duration(m) * time.Minute) }
	now, s := noon, &shelf{well: true}
	fresh := func() *recall {
		return newRecall(&recall{history: s, keep: 24 * time.Hour, file: filepath.Join(t.TempDir(), "w"),
			now: func() time.Time { return now }}, prometheus.NewRegistry())
	}
	replayed := func(m int) ingest.Report {
		return ingest.Report{Asset: window.Asset{Name: "a"}, Lane: wire.LaneReplay, MadeAt: at(m),
			Blocks: []window.Block{{At: at(m), Status: window.OK, Values: []float64{1}}}}
	}
	wants := func(r *recall, since time.Time, round uint32) {
		t.Helper()
		if got, n := r.Wanted("a"); !got.Equal(since) || n != round {
			t.Errorf("wants reports since %v in round %d, want %v in %d", got, n, since, round)
		}
	}
	t.Run("when it is well again", func(t *testing.T) {
		r := fresh()
		now, s.well = at(10), false
		r.lose("a", at(5), at(6), 1)
		wants(r, time.Time{}, 0)
		s.well = true
		wants(r, time.Time{}, 0) // it may go on
		now = at(12)
		wants(r, at(5), 1)
		r.lose("a", at(4), at(11), 1) // found out since
		wants(r, at(5), 1)
		r.Again(replayed(3)) // of another replay
		r.Again(replayed(30))
		wants(r, at(5), 1)
		before := s.took
		for _, m := range []int{5, 6, 7, 9} {
			r.Again(replayed(m))
		}
		if got := s.took - before; got != 2 {
			t.Errorf("history took %d blocks again, want those that were lost", got)
		}
		wants(r, time.Time{}, 0)
		now = at(14)
		wants(r, at(4), 2)
	})
	t.Run("until the agent has sent all it holds", func(t *testing.T) {
		r := fresh()
		now = at(10)
		r.lose("a", at(5), at(6), 1)
		now = at(12)
		wants(r, at(5), 1)
		r.heard(ingest.Report{Asset: window.Asset{Name: "a"}, ReplayedSince: at(5), HeldSince: at(8)})
		wants(r, time.Time{}, 0)
		if n := testutil.ToFloat64(r.givenUp); n != 1 {
			t.Errorf("gave up %v times, want once: the agent had it no more", n)
		}
	})
	t.Run("until nobody holds it", func(t *testing.T) {
		r := fresh()
		now = at(10)
		r.lose("a", at(5), at(65), 1)
		now = at(35 + 24*60)
		wants(r, at(35), 1) // the rest of it
		now = at(66 + 24*60)
		if err := r.look(); err != nil {
			t.Fatal(err)
		}
		wants(r, time.Time{}, 0)
		if n := testutil.ToFloat64(r.givenUp); n != 1 {
			t.Errorf("gave up %v times, want once", n)
		}
	})
	t.Run("after a start", func(t *testing.T) {
		was, r := fresh(), fresh()
		now = at(10)
		was.lose("a", at(5), at(6), 1)
		if err := was.look(); err != nil { // written until at(9)
			t.Fatal(err)
		}
		now, r.file = at(20), was.file
		r.load([]string{"a", "b"})
		wants(r, at(5), 0)
		if since, _ := r.Wanted("b"); !since.Equal(at(9)) {
			t.Errorf("of b reports are wanted since %v, want what nobody knows to be written", since)
		}
	})
	t.Run("after damage to what it remembers", func(t *testing.T) {
		r := fresh()
		r.log = slog.New(slog.DiscardHandler)
		if err := os.WriteFile(r.file, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.load([]string{"a"})
		wants(r, time.Time{}, 0)
	})
}
