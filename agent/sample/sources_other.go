//go:build !linux

package sample

import (
	"context"
	"fmt"
	"runtime"

	"github.com/watchbill/watchbill/agent/wire"
)

// Sources returns ErrUnsupported: a guess under a well-known metric name would be worse than none.
func Sources(Config) ([]Source, error) {
	return nil, fmt.Errorf("sources for %s: %w; run the agent on Linux", runtime.GOOS, ErrUnsupported)
}

// Inventory returns ErrUnsupported.
func Inventory(context.Context, Config) (*wire.Inventory, error) {
	return nil, fmt.Errorf("inventory of %s: %w; run the agent on Linux", runtime.GOOS, ErrUnsupported)
}
