package store

import (
	"errors"
	"fmt"
	"time"
)

// This file keeps what policies and people add beside tickets: documents of terms, overrides of rotas, recurrences.

func termsKey(digest string) key { return tableTerms.key().str(digest) }

func (x *tx) PutTerms(digest string, document []byte) error {
	if digest == "" || len(document) == 0 {
		return errors.New("keep terms: a document has a digest and is not empty")
	}
	if _, known, err := x.bytes(termsKey(digest)); err != nil || known {
		return err
	}
	return x.putBytes(termsKey(digest), document)
}

func (x *tx) Terms(digest string) ([]byte, bool, error) { return x.bytes(termsKey(digest)) }

func overrideKey(id string) key { return tableOverride.key().str(id) }

func (x *tx) PutOverride(o Override) error {
	if o.ID == "" {
		return errors.New("keep an override of the on-call rota: it has no ID")
	}
	return x.put(overrideKey(o.ID), o)
}

func (x *tx) DeleteOverride(id string) error { return x.remove(overrideKey(id)) }
func (x *tx) Overrides() ([]Override, error) { return all[Override](x, tableOverride) }

func recurrenceKey(id string) key      { return tableRecurrence.key().str(id) }
func recurrenceAtKey(r Recurrence) key { return tableRecurrenceAt.key().time(r.At).str(r.ID) }
func (x *tx) Recurrence(id string) (Recurrence, bool, error) {
	return load[Recurrence](x, recurrenceKey(id))
}

func (x *tx) Recurrences() ([]Recurrence, error) { return all[Recurrence](x, tableRecurrence) }

func (x *tx) PutRecurrence(r Recurrence) error {
	if r.ID == "" || r.At.IsZero() {
		return fmt.Errorf("keep recurrence %q: it has an ID and a time", r.ID)
	}
	if err := x.DeleteRecurrence(r.ID); err != nil {
		return err
	}
	r.At = r.At.UTC()
	return errors.Join(x.put(recurrenceKey(r.ID), r), x.mark(recurrenceAtKey(r)))
}

func (x *tx) DeleteRecurrence(id string) error {
	old, ok, err := load[Recurrence](x, recurrenceKey(id))
	if err != nil || !ok {
		return err
	}
	return errors.Join(x.remove(recurrenceAtKey(old)), x.remove(recurrenceKey(id)))
}

func (x *tx) DueRecurrences(now time.Time, limit int) ([]Recurrence, time.Time, error) {
	ids, _, next, err := x.due(tableRecurrenceAt, now, atMost(limit))
	if err != nil {
		return nil, time.Time{}, err
	}
	var out []Recurrence
	for _, id := range ids {
		r, err := must[Recurrence](x, recurrenceKey(id))
		if err != nil {
			return nil, time.Time{}, err
		}
		out = append(out, r)
	}
	return out, next, nil
}

func heldKey(id string) key { return tableHeld.key().str(id) }
func heldAtKey(h Held) key  { return tableHeldAt.key().time(h.At).str(h.ID) }

func (x *tx) PutHeld(h Held) error {
	if h.ID == "" || h.At.IsZero() {
		return fmt.Errorf("hold notice %q: it has an ID and a time", h.ID)
	}
	if err := x.DeleteHeld(h.ID); err != nil {
		return err
	}
	h.At = h.At.UTC()
	return errors.Join(x.put(heldKey(h.ID), h), x.mark(heldAtKey(h)))
}

func (x *tx) DeleteHeld(id string) error {
	old, ok, err := load[Held](x, heldKey(id))
	if err != nil || !ok {
		return err
	}
	return errors.Join(x.remove(heldAtKey(old)), x.remove(heldKey(id)))
}

func (x *tx) DueHeld(now time.Time, limit int) ([]Held, time.Time, error) {
	ids, _, next, err := x.due(tableHeldAt, now, atMost(limit))
	if err != nil {
		return nil, time.Time{}, err
	}
	var out []Held
	for _, id := range ids {
		h, err := must[Held](x, heldKey(id))
		if err != nil {
			return nil, time.Time{}, err
		}
		out = append(out, h)
	}
	return out, next, nil
}
