package collector

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/rules/window"
)

func second(s int) time.Time { return time.Unix(1_700_000_000+int64(s), 0).UTC() }

// marks reads "1/3@20" as report 3 of epoch 1 at 20 s; "=" behind it is one that is linked.
func marks(t *testing.T, text string) []mark {
	t.Helper()
	var out []mark
	for _, f := range strings.Fields(text) {
		var m mark
		var s int
		if _, err := fmt.Sscanf(strings.TrimRight(f, "="), "%d/%d@%d", &m.epoch, &m.sequence, &s); err != nil {
			t.Fatal(err)
		}
		m.at, m.linked = second(s), strings.HasSuffix(f, "=")
		out = append(out, m)
	}
	return out
}

func TestSpans(t *testing.T) {
	for name, c := range map[string]struct{ reports, want string }{
		"in order":                                        {"1/1@0 1/2@10 1/3@20", "0-20"},
		"newest first":                                    {"1/9@80 1/1@0 1/2@10", "0-10 80-80"},
		"the hole is filled":                              {"1/4@400 1/1@100 1/2@200 1/3@300", "100-400"},
		"one is missing, but not for long":                {"1/1@0 1/2@10 1/4@30", "0-30"},
		"one is missing for long":                         {"1/1@0 1/2@10 1/4@50", "0-10 50-50"},
		"numbered on, however slow":                       {"1/1@0 1/2@1000", "0-1000"},
		"twice":                                           {"1/1@0 1/2@10 1/1@0 1/2@10", "0-10"},
		"the agent was started anew":                      {"1/1@0 1/2@10 2/1@500 2/2@510", "0-10 500-510"},
		"anew, and says that nothing is missing":          {"1/1@0 1/2@10 2/1@500=", "0-500"},
		"the clock was set back":                          {"1/1@500 2/1@100= 2/2@110", "100-110"},
		"the middle joins both":                           {"1/1@0 1/3@200 1/2@100", "0-200"},
		"a new process comes before the old one's end":    {"2/1@100 1/8@70 1/9@80 2/2@110", "70-110"},
		"what came late belongs before the clock was set": {"2/1@10 2/2@20 1/1@1000 1/2@1010", "1000-1010 10-20"},
	} {
		t.Run(name, func(t *testing.T) {
			var s spans
			for _, m := range marks(t, c.reports) {
				s = s.add(m, 30*time.Second)
			}
			var got []string
			for _, p := range s {
				got = append(got, fmt.Sprintf("%d-%d", p.from.Unix()-second(0).Unix(), p.last.at.Unix()-second(0).Unix()))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%v, want %s", got, c.want)
			}
		})
	}
}

// In whatever order reports come, and however often: what is called complete has every report.
func TestCompleteMeansComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "reports")
		made := make([]mark, n)
		epoch, seq, at := uint64(1), uint64(0), 0
		for i := range made {
			if seq++; i > 0 && rapid.IntRange(0, 7).Draw(t, "new process") == 0 {
				epoch, seq = epoch+1, 1
			}
			at += rapid.IntRange(10, 60).Draw(t, "pause") // never twice within a gap of nothing
			made[i] = mark{epoch: epoch, sequence: seq, at: second(at)}
		}
		order := rapid.SliceOfN(rapid.IntRange(0, n-1), 1, 3*n).Draw(t, "order")
		var s spans
		here := map[int]bool{}
		newest := 0
		for _, i := range order {
			s = s.add(made[i], 0)
			here[i], newest = true, max(newest, i)
			since := s.last().from
			for j := newest; j >= 0 && !made[j].at.Before(since); j-- {
				if !here[j] {
					t.Fatalf("complete since %v, but report %d of %v is not here: %v", since, j, made, order)
				}
			}
		}
	})
}

func TestSpansAreBounded(t *testing.T) {
	var s spans
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 10_000 {
		s = s.add(mark{epoch: uint64(rnd.IntN(100)), sequence: uint64(rnd.IntN(1000)), at: second(i * 100)}, time.Second)
	}
	if len(s) > maxSpans {
		t.Errorf("%d spans", len(s))
	}
}

// CompleteSince as rules hear it, through what happens to hosts.
func TestCompleteSince(t *testing.T) {
	f := newFacts()
	seq := uint64(0)
	enrolled := second(-1_000_000)
	hear := func(s int, change ...func(*ingest.Report)) time.Time {
		seq++
		r := ingest.Report{
			Agent: fleet.Agent{EnrolledAt: enrolled}, Asset: window.Asset{Name: "web1"}, Epoch: 1, Sequence: seq, MadeAt: second(s),
			ReceivedAt: second(s), Waiting: 0, Blocks: []window.Block{{Interval: 10 * time.Second}},
		}
		for _, c := range change {
			c(&r)
		}
		f.learn(r)
		return f.completeSince(r)
	}
	want := func(what string, got, want time.Time) {
		t.Helper()
		if !got.Equal(want) {
			t.Errorf("%s: complete since %v, want %v", what, got, want)
		}
	}
	again := func(r *ingest.Report) { r.Replayed = true }
	epoch := func(e, s uint64) func(*ingest.Report) {
		return func(r *ingest.Report) { r.Epoch, r.Sequence = e, s; seq = s }
	}
	want("first since the start", hear(1000, epoch(1, 100)), second(1000))
	hear(1010)
	want("a replay of before", hear(990, again, epoch(1, 99)), second(990))
	seq = 101
	want("a gap", hear(1200, epoch(1, 120), func(r *ingest.Report) { r.Waiting = 18 }), second(1200))
	for s := uint64(102); s < 120; s++ {
		want("while it fills", hear(1010+10*int(s-101), again, epoch(1, s)), map[bool]time.Time{true: second(990), false: second(1200)}[s > 116])
	}
	seq = 120
	want("the agent died and came back, all delivered", hear(2000, epoch(2, 1)), second(990))
	past := func(r *ingest.Report) { r.Replayed, r.Lane = true, "replay" }
	want("a replay of a process before", hear(500, past, epoch(0, 0), func(r *ingest.Report) { r.Epoch, r.Sequence = 1, 50 }), second(990))
	seq = 1
	want("its spool lost something", hear(3000, epoch(3, 1), func(r *ingest.Report) { r.HeldSince = second(2500) }), second(3000))
	enrolled = second(3000)
	want("a new host lacks nothing", hear(3010, epoch(3, 2)), time.Time{})
}
