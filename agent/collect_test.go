package agent

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/wire"
)

// How often a source is read is a number of rounds, the same one always: not what the jitter of a ticker, or of the
// sources before it, makes of it. What a block says of its interval is the truth.
func TestCadence(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name            string
		every, interval time.Duration
		want            time.Duration
	}{
		{"each round", 0, 10 * time.Second, 10 * time.Second},
		{"oftener than there are rounds", 5 * time.Second, 10 * time.Second, 10 * time.Second},
		{"as often", 10 * time.Second, 10 * time.Second, 10 * time.Second},
		{"between one round and two", 15 * time.Second, 10 * time.Second, 20 * time.Second},
		{"one of the configured interval", 15 * time.Second, 15 * time.Second, 15 * time.Second},
		{"three rounds", 30 * time.Second, 10 * time.Second, 30 * time.Second},
		{"two of fifteen seconds", 30 * time.Second, 15 * time.Second, 30 * time.Second},
		{"a minute", time.Minute, 10 * time.Second, time.Minute},
		{"seldom asked", 30 * time.Second, time.Minute, time.Minute},
		{"of odd rounds", time.Minute, 7 * time.Second, 63 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := start
			now := func() time.Time { return at }
			slow := sampler(func(context.Context, time.Time) (sample.Reading, error) {
				at = at.Add(time.Duration(at.Second()%4) * 50 * time.Millisecond)
				return sample.Reading{}, nil
			})
			c := newCollector([]sample.Source{
				{Name: "before", Sampler: slow},
				{Name: "it", Kind: "node", Every: tt.every, Sampler: samples(wire.Sample{Name: "x"})},
			}, tt.interval, slog.New(slog.DiscardHandler))
			var last time.Time
			for round := range 60 {
				// Rounds come up to a twentieth of their interval early or late.
				jitter := time.Duration((round*7)%11-5) * tt.interval / 100
				tick := start.Add(time.Duration(round) * tt.interval)
				at = tick.Add(jitter)
				for _, b := range c.collect(t.Context(), now).blocks {
					if b.Status != wire.Block_STATUS_OK {
						continue
					}
					if told := fmt.Sprint(time.Duration(b.IntervalMs) * time.Millisecond); told != tt.want.String() {
						t.Errorf("round %d: the block says it is read every %s, want %v", round, told, tt.want)
					}
					if got := tick.Sub(last); round > 0 && got != tt.want {
						t.Errorf("round %d: read %v after the time before, want %v", round, got, tt.want)
					}
					last = tick
				}
			}
			if last.IsZero() {
				t.Error("it was never read")
			}
		})
	}
}
