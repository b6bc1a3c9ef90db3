package sample

import (
	"context"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// Bundle is evidence that is gathered when the collector asks for it by name. The list of bundles is built in; what a
// request can choose is one of them and, where it takes one, an argument out of what the agent itself has reported.
type Bundle struct {
	Name string
	// Source and Label say what the argument is: a value that this label has had in the last ok block of this source.
	// Both are empty for a bundle that takes none.
	Source, Label string
	// Needs says that it cannot be made without an argument.
	Needs bool
	// Make gathers it, within ctx, and changes nothing. The table's kind is Name, its texts are without secrets, and when
	// it has no rows it says why. It is slow on purpose: it works at the lowest priority there is, and rests as long as
	// it works. It may be called from any one goroutine.
	Make func(ctx context.Context, now time.Time, argument string) (*wire.Table, error)
}
