package store

import (
	"context"
	"fmt"
)

// KV is an ordered map of bytes inside one transaction. Slices handed out belong to the receiver; slices handed in must
// not be changed afterwards. An error is the engine's (damage, a lost connection), never "no such key".
type KV interface {
	// Get returns nil when the key is absent.
	Get(key []byte) ([]byte, error)
	Put(key, value []byte) error
	// Delete of an absent key does nothing.
	Delete(key []byte) error
	// Scan calls fn for every key in [from, to), in order or in reverse, until fn returns false or an error, which is
	// returned as it is. A nil to means the end. fn must not use the transaction.
	Scan(from, to []byte, reverse bool, fn func(key, value []byte) (more bool, err error)) error
}

// Engine keeps an ordered map of bytes durably. It knows nothing of what the bytes mean.
type Engine interface {
	// Update runs fn, perhaps more than once and perhaps together with other callers' in one transaction, and returns
	// when what it did is durable. fn's error undoes what fn did and is returned as it is; a panic of fn does the same
	// and goes on in the caller. When ctx ends before fn's turn came, ctx's error is returned and fn has no effect;
	// afterwards the real outcome is returned.
	Update(ctx context.Context, fn func(KV) error) error
	// View runs fn on one consistent state; writes fail.
	View(ctx context.Context, fn func(KV) error) error
	// Name says where the bytes are, for messages: a path, an address.
	Name() string
	Close() error
}

// Damaged is the error for bytes that are not what was written: what it was, where it was found and what a person can
// do. It wraps ErrDamaged.
func Damaged(where, what string) error {
	return fmt.Errorf("%w: %s in %s; nothing of it was used. Stop the collector, put the newest good backup in its place "+
		"with `watchbill restore BACKUP`, which keeps %s aside, and start again", ErrDamaged, what, where, where)
}
