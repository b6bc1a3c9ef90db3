//go:build !linux

package main

import (
	"errors"
	"fmt"
)

// usageOf needs /proc.
func usageOf(pid int) (usage, error) {
	return usage{}, fmt.Errorf("process %d: %w: use --collector-url, which asks the collector itself", pid, errors.ErrUnsupported)
}
