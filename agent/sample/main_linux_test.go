package sample

import (
	"testing"

	"go.uber.org/goleak"
)

// No sampler leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
