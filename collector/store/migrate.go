package store

import (
	"context"
	"fmt"
)

// step brings a store from one format to the next, in one transaction. It may meet any store that the older format
// allows, and may be run again after a crash that undid it.
type step func(*tx) error

// formats are the formats that can be opened: from oldest, each step leads to the next, the last to newest.
type formats struct {
	oldest, newest int
	steps          []step
}

// released are the formats of all releases. A new format gets its step here and a fixture in bolt/testdata; a fixture
// never changes.
func released() formats { return formats{oldest: 1, newest: Format} }

// format reads the version of the store's format: 0 when it is empty, an error when it cannot be opened.
func (s *layer) format(known formats) (format int, err error) {
	err = s.engine.View(context.Background(), func(kv KV) error {
		x := newTx(kv, s.engine.Name())
		f, ok, err := load[int](x, metaKey("format"))
		switch {
		case err != nil:
			return err
		case !ok:
			return x.mustBeEmpty()
		case f > known.newest:
			return fmt.Errorf("%w: %s has format %d, this release reads up to %d; start the release that wrote it, or "+
				"give another --storage.path", ErrNewer, s.engine.Name(), f, known.newest)
		case f < known.oldest || f < 1:
			return x.damaged(fmt.Sprintf("format version %d", f))
		}
		format = f
		return nil
	})
	return format, err
}

// setFormat runs do, if there is something to do, and writes the format it leads to, in one transaction.
func (s *layer) setFormat(format int, do step) error {
	return s.engine.Update(context.Background(), func(kv KV) error {
		x := newTx(kv, s.engine.Name())
		if do != nil {
			if err := do(x); err != nil {
				return err
			}
		}
		if x.broken != nil {
			return x.broken
		}
		return x.put(metaKey("format"), format)
	})
}

// migrate goes from format to the newest. It ends between two steps when one fails, and goes on there the next time.
func (s *layer) migrate(format int, o Options) error {
	if format == o.formats.newest {
		return nil
	}
	if o.BeforeMigration != nil {
		if err := o.BeforeMigration(format, o.formats.newest); err != nil {
			return fmt.Errorf("back up %s before it is brought from format %d to %d; nothing was changed: %w",
				s.engine.Name(), format, o.formats.newest, err)
		}
	}
	for ; format < o.formats.newest; format++ {
		if err := s.setFormat(format+1, o.formats.steps[format-o.formats.oldest]); err != nil {
			return fmt.Errorf("bring %s from format %d to %d; it stays at %d: %w", s.engine.Name(), format, format+1,
				format, err)
		}
	}
	return nil
}
