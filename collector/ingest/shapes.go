package ingest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules/window"
)

// shapeID is the SHA-256 that names a layout; the collector has always computed it itself.
type shapeID = [32]byte

// forgetShape is how long a shape must have been unused before it may make room for another.
const forgetShape = time.Hour

// shapes is the layouts known per customer: an agent cannot find out by an ID what another customer's hosts report. The
// layouts themselves are shared by all who know them.
type shapes struct {
	keeper fleet.Keeper
	// change is held from choosing which shapes go until store and memory show that they are gone, and shared by those who
	// only add some: what one puts into the store another must not take out of it.
	change sync.RWMutex
	// owed are shapes that memory has forgotten and the store has yet to, round the customers that are still to be looked
	// through. Both belong to who holds change alone.
	owed  []askKey
	round []string

	mu        sync.RWMutex
	layouts   map[shapeID]*shared
	customers map[string]*known
}

// shared is a layout and how many customers know it.
type shared struct {
	layout *window.Layout
	by     int
}

// known is what one customer's agents have reported.
type known struct {
	ids   map[shapeID]*use
	bytes int
}

// use is one shape of one customer.
type use struct {
	layout *window.Layout
	bytes  int
	// last is when it was last looked up, in Unix minutes: precise enough, and seldom written.
	last atomic.Int64
}

func newShapes(k fleet.Keeper) *shapes {
	return &shapes{keeper: k, layouts: map[shapeID]*shared{}, customers: map[string]*known{}}
}

func (s *shapes) count() float64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return float64(len(s.layouts))
}

// find is the layout of an ID, if this customer has it; it counts as used at now.
func (s *shapes) find(customer string, id shapeID, now time.Time) (*window.Layout, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, ok := s.customers[customer]
	if !ok {
		return nil, false
	}
	u, ok := c.ids[id]
	if !ok {
		return nil, false
	}
	if m := now.Unix() / 60; u.last.Load() < m {
		u.last.Store(m)
	}
	return u.layout, true
}

// has is find without counting as a use.
func (s *shapes) has(k askKey) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, ok := s.customers[k.customer]
	return ok && c.ids[k.id] != nil
}

// fit is which of these shapes a customer has room for, in their order, and which of its own, longest unused first, make
// that room.
func (s *shapes) fit(customer string, quotas CustomerQuotas, offered []wire.Layout, now time.Time) (fresh []wire.Layout, gone []shapeID) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, ok := s.customers[customer]
	if !ok {
		c = &known{}
	}
	count, bytes := len(c.ids), c.bytes
	idle := sync.OnceValue(func() []shapeID { return c.idle(now) })
	next := 0
	for _, l := range offered {
		count, bytes = count+1, bytes+size(l)
		for (count > quotas.Shapes || bytes > quotas.ShapeBytes) && next < len(idle()) {
			id := idle()[next]
			gone, next = append(gone, id), next+1
			count, bytes = count-1, bytes-c.ids[id].bytes
		}
		if count > quotas.Shapes || bytes > quotas.ShapeBytes {
			count, bytes = count-1, bytes-size(l)
			continue
		}
		fresh = append(fresh, l)
	}
	return fresh, gone
}

// idle are the shapes that nobody has used for long, the longest unused first.
func (c *known) idle(now time.Time) []shapeID {
	before := now.Add(-forgetShape).Unix() / 60
	var out []shapeID
	for id, u := range c.ids {
		if u.last.Load() < before {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(x, y shapeID) int {
		return cmp.Or(cmp.Compare(c.ids[x].last.Load(), c.ids[y].last.Load()), slices.Compare(x[:], y[:]))
	})
	return out
}

// keep makes shapes known for a customer as far as its quotas allow, and forgets those that make room for them, in the
// Keeper first.
func (s *shapes) keep(ctx context.Context, customer string, quotas CustomerQuotas, offered []wire.Layout, now time.Time) error {
	s.change.RLock()
	unlock := s.change.RUnlock
	fresh, gone := s.fit(customer, quotas, offered, now)
	if len(gone) > 0 { // one at a time, so that no two choose the same
		s.change.RUnlock()
		s.change.Lock()
		unlock = s.change.Unlock
		fresh, gone = s.fit(customer, quotas, offered, now)
	}
	defer unlock()
	if len(fresh) == 0 && len(gone) == 0 {
		return nil
	}
	if err := s.store(ctx, customer, fresh, gone); err != nil {
		return fmt.Errorf("keep shapes: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range gone {
		s.forget(customer, id)
	}
	for _, l := range fresh {
		s.learn(customer, l, now)
	}
	return nil
}

// store puts shapes into the Keeper and takes others out, in one change.
func (s *shapes) store(ctx context.Context, customer string, fresh []wire.Layout, gone []shapeID) error {
	encoded := make([][]byte, len(fresh))
	for i, l := range fresh {
		// Encoded anew: what the agent sent may hold more than it says.
		body, err := proto.MarshalOptions{Deterministic: true}.Marshal(l.Shape())
		if err != nil {
			return fmt.Errorf("encode shape %x: %w", l.ID, err)
		}
		encoded[i] = body
	}
	// Putting the same shape twice is harmless, so the change needs no name.
	return s.keeper.UpdateFleet(ctx, "", func(r fleet.Records) error {
		for _, id := range gone {
			if err := r.DeleteShape(customer, id); err != nil {
				return err
			}
		}
		for i, l := range fresh {
			if err := r.PutShape(customer, l.ID, encoded[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// forget takes one out of memory. Reports under way keep what they have found. The caller holds mu.
func (s *shapes) forget(customer string, id shapeID) {
	c := s.customers[customer]
	if c == nil || c.ids[id] == nil {
		return
	}
	c.bytes -= c.ids[id].bytes
	delete(c.ids, id)
	if l := s.layouts[id]; l.by > 1 {
		l.by--
	} else {
		delete(s.layouts, id)
	}
}

// learn puts one into memory. The caller holds mu.
func (s *shapes) learn(customer string, l wire.Layout, now time.Time) {
	c, ok := s.customers[customer]
	if !ok {
		c = &known{ids: map[shapeID]*use{}}
		s.customers[customer] = c
	}
	if _, ok := c.ids[l.ID]; ok {
		return
	}
	one, ok := s.layouts[l.ID]
	if !ok {
		one = &shared{layout: layout(l)}
		s.layouts[l.ID] = one
	}
	one.by++
	u := &use{layout: one.layout, bytes: size(l)}
	u.last.Store(now.Unix() / 60)
	c.ids[l.ID] = u
	c.bytes += u.bytes
}

// load reads what the Keeper has. All of it counts as used now: nothing is known of before.
func (s *shapes) load(ctx context.Context, max wire.Limits, now time.Time) (skipped int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.keeper.ViewFleet(ctx, func(r fleet.Records) error {
		skipped = 0
		return r.Shapes(func(customer string, id [32]byte, encoded []byte) error {
			var shape wire.Shape
			if proto.Unmarshal(encoded, &shape) != nil {
				skipped++
				return nil
			}
			l, err := wire.ReadShape(&shape, max)
			if err != nil || l.ID != id {
				skipped++
				return nil //nolint:nilerr // counted; the agents are asked again
			}
			s.learn(customer, l, now)
			return nil
		})
	})
	return skipped, err
}

// layout is l in the types that rules work with. Its strings are its own: those of a decoded message would keep the
// whole message alive.
func layout(l wire.Layout) *window.Layout {
	out := &window.Layout{ID: l.ID, Series: make([]labels.Labels, len(l.Series))}
	var b labels.ScratchBuilder
	for i, series := range l.Series {
		b.Reset()
		for _, label := range series {
			b.Add(label.Name, label.Value)
		}
		out.Series[i] = b.Labels()
	}
	return out
}

// size is what a layout takes spelled out, in bytes.
func size(l wire.Layout) int {
	n := 0
	for _, series := range l.Series {
		for _, label := range series {
			n += len(label.Name) + len(label.Value) + 2
		}
	}
	return n
}
