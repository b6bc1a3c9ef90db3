package ingest

import (
	"context"
	"fmt"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules/window"
)

// shapeID is the SHA-256 that names a layout; the collector has always computed it itself.
type shapeID = [32]byte

// shapes is the layouts known per customer: an agent cannot find out by an ID what another customer's hosts report. The
// layouts themselves are shared by all who know them.
type shapes struct {
	keeper fleet.Keeper

	mu        sync.RWMutex
	layouts   map[shapeID]*window.Layout
	customers map[string]*known
}

// known is what one customer's agents have reported.
type known struct {
	ids   map[shapeID]bool
	bytes int
}

func newShapes(k fleet.Keeper) *shapes {
	return &shapes{keeper: k, layouts: map[shapeID]*window.Layout{}, customers: map[string]*known{}}
}

func (s *shapes) count() float64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return float64(len(s.layouts))
}

// find is the layout of an ID, if this customer has it.
func (s *shapes) find(customer string, id shapeID) (*window.Layout, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, ok := s.customers[customer]
	if !ok || !c.ids[id] {
		return nil, false
	}
	l, ok := s.layouts[id]
	return l, ok
}

// bytes is what a customer's shapes take, spelled out.
func (s *shapes) bytes(customer string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if c, ok := s.customers[customer]; ok {
		return c.bytes
	}
	return 0
}

// keep makes shapes known for a customer, in the Keeper first.
func (s *shapes) keep(ctx context.Context, customer string, fresh []wire.Layout) error {
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
	err := s.keeper.UpdateFleet(ctx, "", func(r fleet.Records) error {
		for i, l := range fresh {
			if err := r.PutShape(customer, l.ID, encoded[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep shapes: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range fresh {
		s.learn(customer, l)
	}
	return nil
}

// learn puts one into memory. The caller holds mu.
func (s *shapes) learn(customer string, l wire.Layout) {
	if _, ok := s.layouts[l.ID]; !ok {
		s.layouts[l.ID] = layout(l)
	}
	c, ok := s.customers[customer]
	if !ok {
		c = &known{ids: map[shapeID]bool{}}
		s.customers[customer] = c
	}
	if !c.ids[l.ID] {
		c.ids[l.ID] = true
		c.bytes += size(l)
	}
}

func (s *shapes) load(ctx context.Context, max wire.Limits) (skipped int, err error) {
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
			s.learn(customer, l)
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
