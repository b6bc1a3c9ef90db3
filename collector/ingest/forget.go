package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
)

// Shapes that nobody uses any more are forgotten, in memory and in the store: hosts change their disks and interfaces,
// and one that makes up new labels must not fill what its customer may have. Whoever comes back after that is asked again.
const (
	// expireShape is how long a shape must have been unused.
	expireShape = 24 * time.Hour
	// expireLook is how many shapes one pass looks at, but for the rest of a customer's; expireMost how many it forgets.
	expireLook = 20_000
	expireMost = 500
)

// expire forgets shapes that nobody has used for a day, as many as one pass may. In memory first, where their use is
// seen; what the store did not let go of is tried again with the next pass, unless somebody has brought it again.
func (s *shapes) expire(ctx context.Context, now time.Time) error {
	s.change.Lock()
	defer s.change.Unlock()
	s.owed = slices.DeleteFunc(s.owed, s.has)
	if len(s.owed) < expireMost {
		s.owed = append(s.owed, s.takeIdle(now)...)
	}
	if len(s.owed) == 0 {
		return nil
	}
	err := s.keeper.UpdateFleet(ctx, "", func(r fleet.Records) error {
		for _, k := range s.owed {
			if err := r.DeleteShape(k.customer, k.id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget %d shapes that nobody uses: %w", len(s.owed), err)
	}
	s.owed = nil
	return nil
}

// takeIdle takes shapes that have been idle for a day out of memory: those of the next few customers in turn.
func (s *shapes) takeIdle(now time.Time) (gone []askKey) {
	before := now.Add(-expireShape).Unix() / 60
	idle := s.findIdle(before)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range idle {
		c := s.customers[k.customer]
		if c == nil || c.ids[k.id] == nil || c.ids[k.id].last.Load() >= before {
			continue // it was used meanwhile
		}
		s.forget(k.customer, k.id)
		gone = append(gone, k)
	}
	return gone
}

func (s *shapes) findIdle(before int64) (idle []askKey) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.round) == 0 {
		for customer := range s.customers {
			s.round = append(s.round, customer)
		}
	}
	for looked := 0; len(s.round) > 0 && looked < expireLook; s.round = s.round[1:] {
		c := s.customers[s.round[0]]
		looked += len(c.ids)
		for id, u := range c.ids {
			if len(idle) >= expireMost {
				return idle // the rest of this customer's next time
			}
			if u.last.Load() < before {
				idle = append(idle, askKey{s.round[0], id})
			}
		}
	}
	return idle
}
