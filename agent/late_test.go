package agent

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/wire"
)

// teller has a sampler tell of what happened, once: as the real ones do, it takes being read again for the proof that
// what it told last was taken.
type teller struct {
	h       *host
	release chan struct{}
	reads   int
	// reported is what had been in reports when it was read the second time.
	reported int
}

func (s *teller) Read(_ context.Context, now time.Time) (sample.Reading, error) {
	switch s.reads++; s.reads {
	case 1:
		<-s.release
		return sample.Reading{
			Samples: []wire.Sample{{Name: "stale", Value: 1}},
			Events:  []*wire.Event{{Kind: "kernel_oom", AtMs: now.UnixMilli(), Text: "The kernel killed java."}},
		}, nil
	case 2:
		s.reported = len(events(s.h.sent(), "kernel_oom"))
		return sample.Reading{
			Samples: []wire.Sample{{Name: "stale", Value: 2}},
			Events:  []*wire.Event{{Kind: "log_error", AtMs: now.UnixMilli(), Text: "partly read"}},
		}, errors.New("half of it is closed")
	}
	return sample.Reading{Samples: []wire.Sample{{Name: "fresh", Value: 3}}}, nil
}

// A host whose disks stall tells what happened meanwhile, although what it measured then is worth nothing.
func TestEventsOfALateReadingAreTold(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		s := &teller{h: h, release: make(chan struct{})}
		h.sources = append(h.sources, sample.Source{Name: "kmsg", Kind: "node", Every: 30 * time.Second, Sampler: s})
		h.run(nil, func() {
			time.Sleep(35 * time.Second)
			close(s.release)
			time.Sleep(80 * time.Second)
		})
		all := h.sent()
		if told := events(all, "kernel_oom"); len(told) != 1 {
			t.Errorf("the late reading's event was told %d times, want once", len(told))
		}
		if s.reported != 1 {
			t.Error("the sampler was read again before a report had its event: a crash in between would lose it")
		}
		if told := events(all, "log_error"); len(told) != 1 {
			t.Errorf("the event of a reading that failed in part was told %d times, want once", len(told))
		}
		for i, r := range all {
			b := block(r, "kmsg")
			if b.GetStatus() == wire.Block_STATUS_OK && (s.reads < 3 || b.Values[0] != 3) {
				t.Errorf("report %d: %v, want no samples of readings that were late or failed", i, b)
			}
		}
		if last := block(all[len(all)-3], "kmsg"); s.reads < 3 {
			t.Errorf("read %d times, last %v: want it to be read again", s.reads, last)
		}
	})
}
