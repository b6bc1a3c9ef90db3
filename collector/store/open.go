package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Format is the version of the format that this release writes, and the newest it reads. It counts the keys' and
// records' layout, not the engine's.
const Format = 3

// Options are what New can be told; the zero value is ready for use.
type Options struct {
	// Now is the clock that decisions age by; time.Now when nil.
	Now func() time.Time
	// BeforeMigration is called once before a store in an older format is changed, so that it can be backed up; an
	// error leaves it as it is. Nothing is called when nil.
	BeforeMigration func(from, to int) error

	// formats are the known ones; released when its newest is 0.
	formats formats
}

// New puts the typed layer on an engine: an empty one gets this release's format version; an older one is brought to it
// step by step, after BeforeMigration, going on where an interrupted start ended; a newer one is refused with ErrNewer. It starts nothing. Closing the Store closes
// the engine; when New fails, the engine stays open.
func New(e Engine, o Options) (Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.formats.newest == 0 {
		o.formats = released()
	}
	s := &layer{engine: e, now: o.Now}
	at, err := s.standing(o.formats)
	switch {
	case err != nil:
		return s.orNil(err)
	case at.format == 0:
		_, err := s.portion(o.formats.newest, nil)
		return s.orNil(err)
	}
	return s.orNil(s.migrate(at, o))
}

// mustBeEmpty: a store without a format version holds nothing, or it has lost something.
func (x *tx) mustBeEmpty() error {
	found := false
	err := x.kv.Scan(nil, nil, false, func([]byte, []byte) (bool, error) {
		found = true
		return false, nil
	})
	if err == nil && found {
		err = x.damaged("records without a format version")
	}
	return err
}

func metaKey(name string) key { return tableMeta.key().str(name) }

// layer is the Store over an Engine.
type layer struct {
	engine Engine
	now    func() time.Time
}

func (s *layer) orNil(err error) (Store, error) {
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

func (s *layer) Update(ctx context.Context, decision string, fn func(Tx) error) error {
	now := s.now()
	return s.engine.Update(ctx, func(kv KV) error {
		x := newTxAt(kv, s.engine.Name(), now)
		defer x.end()
		if decision != "" {
			if done, err := x.Decided(decision); err != nil || done {
				return err
			}
		}
		if err := fn(x); err != nil {
			return err
		}
		if decision != "" && x.broken == nil {
			x.broken = x.Decide(decision)
		}
		if x.broken == nil {
			x.broken = x.forgetDecisions()
		}
		return x.broken
	})
}

func (s *layer) View(ctx context.Context, fn func(Tx) error) error {
	return s.engine.View(ctx, func(kv KV) error {
		x := newTx(kv, s.engine.Name())
		defer x.end()
		return fn(x)
	})
}

func (s *layer) Close() error { return s.engine.Close() }

// errEnded: a transaction was used after its closure returned.
var errEnded = errors.New("the transaction has ended; a Tx must not outlive its closure")
