package store

import (
	"context"
	"errors"
	"fmt"
)

// step brings a store from one format to the next, in portions, each in one transaction: it does what begins at from, nil for
// the first, and answers where the next portion begins, nil when there is none. It may meet any store that the older format
// allows; a portion may be run again after a crash that undid it.
type step func(x *tx, from key) (next key, err error)

// formats are the formats that can be opened: from oldest, each step leads to the next, the last to newest.
type formats struct {
	oldest, newest int
	steps          []step
}

// released are the formats of all releases. A new format gets its step here and a fixture in bolt/testdata; a fixture
// never changes.
func released() formats {
	return formats{oldest: 1, newest: Format, steps: []step{indexTickets, nothingToBring}}
}

// standing is how far a store has come: the format that it has, 0 when it is empty. From the first portion of a step on that is
// the one the step leads to, so that an older release never works on it; resume is where the step goes on, nil when it is done.
type standing struct {
	format int
	resume key
}

// standing reads it, and refuses a format that cannot be opened.
func (s *layer) standing(known formats) (at standing, err error) {
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
				"give another --storage.path. What it was before that release first opened it, without all that came since, stands "+
				"beside it as NAME.format%d: `watchbill restore` puts that back", ErrNewer, s.engine.Name(), f, known.newest, known.newest)
		case f < known.oldest || f < 1:
			return x.damaged(fmt.Sprintf("format version %d", f))
		}
		at.format = f
		at.resume, err = x.resume()
		if err == nil && at.resume != nil && f == known.oldest {
			err = x.damaged(fmt.Sprintf("a migration to format %d, which is the oldest there is,", f))
		}
		return err
	})
	return at, err
}

// resume is where a step goes on that was interrupted.
func (x *tx) resume() (key, error) {
	from, _, err := load[[]byte](x, metaKey("migration"))
	return from, err
}

// portion runs the next portion of do, nil for nothing, and writes the format that it leads to, in one transaction. It answers
// whether there is more to do.
func (s *layer) portion(format int, do step) (more bool, err error) {
	err = s.engine.Update(context.Background(), func(kv KV) error {
		x := newTx(kv, s.engine.Name())
		var next key
		if do != nil {
			from, err := x.resume()
			if err == nil {
				next, err = do(x, from)
			}
			if err != nil {
				return err
			}
		}
		if x.broken != nil {
			return x.broken
		}
		more = next != nil
		if !more {
			return errors.Join(x.put(metaKey("format"), format), x.remove(metaKey("migration")))
		}
		return errors.Join(x.put(metaKey("format"), format), x.put(metaKey("migration"), []byte(next)))
	})
	return more, err
}

// migrate brings a store to the newest format. When it fails, or is killed, the next start goes on after the last portion.
func (s *layer) migrate(at standing, o Options) error {
	format := at.format
	switch {
	case at.resume != nil:
		format-- // backed up before the first portion
	case format == o.formats.newest:
		return nil
	case o.BeforeMigration != nil:
		if err := o.BeforeMigration(format, o.formats.newest); err != nil {
			return fmt.Errorf("back up %s before it is brought from format %d to %d; nothing was changed: %w",
				s.engine.Name(), format, o.formats.newest, err)
		}
	}
	for ; format < o.formats.newest; format++ {
		for more := true; more; {
			var err error
			if more, err = s.portion(format+1, o.formats.steps[format-o.formats.oldest]); err != nil {
				return fmt.Errorf("bring %s from format %d to %d; the next start goes on where this one ended: %w", s.engine.Name(),
					format, format+1, err)
			}
		}
	}
	return nil
}
