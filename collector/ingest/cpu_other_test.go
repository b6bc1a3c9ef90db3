//go:build !unix

package ingest

import (
	"testing"
	"time"
)

// cpuTime is not known here: benchmarks then report 0.
func cpuTime(testing.TB) time.Duration { return 0 }
