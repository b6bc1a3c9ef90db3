package collector

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules/window"
)

// lateReport is one that was made so long before it is received.
func (s *stage) lateReport(asset string, age time.Duration, also ...func(*ingest.Report)) ingest.Report {
	s.seq++
	made := s.at.Add(-age)
	r := ingest.Report{
		Asset: window.Asset{Name: asset, Customer: "acme", Site: "london"}, Epoch: 1, Sequence: s.seq, MadeAt: made, ReceivedAt: s.at,
		Replayed: true, Lane: wire.LaneBacklog, Waiting: 1,
		Blocks: []window.Block{{Source: "filesystem", Kind: "node", At: made, Interval: 10 * time.Second, Status: window.OK,
			Layout: disk, Values: []float64{50, 100}, Late: true}},
	}
	for _, f := range also {
		f(&r)
	}
	return r
}

// noted is since when gaps of web1 are noted: in the store, zero when none is, and in memory.
func (s *stage) noted() (durable time.Time, memory []time.Time) {
	s.view(func(tx store.Tx) error {
		all, err := tx.Alerts()
		for _, a := range all {
			if incident.IsGap(a.Origin) {
				durable = a.Alert.ActiveAt
			}
		}
		return err
	})
	for _, g := range s.past.gaps.of("web1") {
		memory = append(memory, g.since)
	}
	return durable, memory
}

// gated is a store whose next update waits at the gate.
type gated struct {
	store.Store
	gate chan struct{} // nil: open
}

func (g *gated) Update(ctx context.Context, decision string, fn func(store.Tx) error) error {
	if gate := g.gate; gate != nil {
		g.gate = nil
		<-gate
	}
	return g.Store.Update(ctx, decision, fn)
}

// A second outage is noted while the first is told: whichever comes first, the second stays noted and the first does not.
func TestAGapNotedWhileAnotherIsTold(t *testing.T) {
	for name, play := range map[string]func(note, tell func(), s *stage){
		"noted while evidence is read": func(note, tell func(), s *stage) {
			gather, reading := s.past.gather, make(chan struct{})
			s.past.gather = func(ctx context.Context, u evaluate.Unseen) (func(context.Context, func(store.Tx) error) error, error) {
				<-reading
				return gather(ctx, u)
			}
			go tell()
			synctest.Wait()
			note()
			close(reading)
		},
		"told while the second is written": func(note, tell func(), s *stage) {
			g := &gated{s.past.store, make(chan struct{})}
			s.past.store = g
			gate := g.gate
			go note()
			synctest.Wait()
			go tell()
			synctest.Wait()
			close(gate)
		},
		"told before the second is written": func(note, tell func(), s *stage) {
			g := &gated{s.pipeline.store, make(chan struct{})}
			s.pipeline.store = g
			gate := g.gate
			go tell()
			synctest.Wait()
			go note()
			synctest.Wait()
			close(gate)
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t, diskRules)
			cfg.History.Retention = 0
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, cfg)
				defer s.Close()
				s.report("web1", 0, 50)
				s.at = s.at.Add(time.Hour)
				first, second := s.lateReport("web1", 50*time.Minute), s.lateReport("web1", 10*time.Minute)
				if err := s.past.before(t.Context(), first); err != nil {
					t.Fatal(err)
				}
				review, _, _ := s.past.reviews.Fed("web1")
				s.past.reviews.Close("web1")
				u := evaluate.Unseen{Review: review, Asset: first.Asset, From: first.MadeAt, To: first.MadeAt, Reports: 1}
				play(func() {
					if err := s.past.before(t.Context(), second); err != nil {
						t.Error(err)
					}
				}, func() {
					if err := s.past.told(t.Context(), u); err != nil {
						t.Error(err)
					}
				}, s)
				synctest.Wait()
				durable, memory := s.noted()
				if !durable.Equal(second.MadeAt) || len(memory) != 1 || !memory[0].Equal(second.MadeAt) {
					t.Errorf("noted in the store since %v, in memory %v; want %v alone", durable, memory, second.MadeAt)
				}
			})
		})
	}
}

// A review that nothing came for leaves its gap to the next, and that one leaves nothing.
func TestAReviewThatNothingCameForLeavesNoGapBehind(t *testing.T) {
	cfg := testConfig(t, diskRules)
	s := newStage(t, cfg)
	s.report("web1", 0, 50)
	s.at = s.at.Add(10 * time.Minute)
	if err := s.sink.Apply(t.Context(), s.lateReport("web1", 9*time.Minute)); err != nil {
		t.Fatal(err)
	}
	at, seq := s.at, s.seq
	since, _ := s.noted()
	s.Close()

	s = newStage(t, cfg)
	s.at, s.seq = at.Add(time.Minute), seq
	back := func(waiting int, replayed time.Time) func(*ingest.Report) {
		return func(r *ingest.Report) { r.Lane, r.Waiting, r.ReplayedSince = wire.LaneLive, waiting, replayed }
	}
	s.report("web1", 0, 50, back(3, time.Time{}))
	if _, _, open := s.past.reviews.Fed("web1"); !open {
		t.Fatal("what was not told before the restart is not reviewed")
	}
	s.at = s.at.Add(20 * time.Minute)
	for s.past.reviews.Step(t.Context()) {
	}
	if durable, memory := s.noted(); !durable.Equal(since) || len(memory) != 1 {
		t.Fatalf("noted since %v and %v after a review that nothing came for; want %v still", durable, memory, since)
	}
	s.report("web1", 10*time.Minute, 50, back(2, time.Time{}))
	for range 2 {
		if err := s.sink.Apply(t.Context(), s.lateReport("web1", 8*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	s.report("web1", 10*time.Second, 50, back(0, since.Add(-24*time.Hour)))
	for s.past.reviews.Step(t.Context()) {
	}
	if durable, memory := s.noted(); !durable.IsZero() || len(memory) != 0 {
		t.Errorf("still noted since %v and %v when all is told", durable, memory)
	}
}

// The gap of a review that came to nothing goes to the one that was opened meanwhile.
func TestAGapIsPassedOn(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	s.report("web1", 0, 50)
	s.at = s.at.Add(time.Hour)
	asset := window.Asset{Name: "web1", Customer: "acme", Site: "london"}
	first := s.past.open(asset, s.at, evaluate.Past{})
	if err := s.past.note(t.Context(), s.lateReport("web1", 50*time.Minute), first); err != nil {
		t.Fatal(err)
	}
	s.past.reviews.Close("web1")
	second := s.past.open(asset, s.at, evaluate.Past{})
	if err := s.past.told(t.Context(), evaluate.Unseen{Review: first, Asset: asset}); err != nil {
		t.Fatal(err)
	}
	if err := s.past.told(t.Context(), evaluate.Unseen{Review: second, Asset: asset, Reports: 1, From: s.at, To: s.at}); err != nil {
		t.Fatal(err)
	}
	if durable, memory := s.noted(); !durable.IsZero() || len(memory) != 0 {
		t.Errorf("still noted since %v and %v", durable, memory)
	}
}
