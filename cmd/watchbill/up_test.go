package main

import (
	"path/filepath"
	"testing"

	"github.com/watchbill/watchbill/collector"
)

// TestOwnAgentOfARelativeStorage: a configuration that names its storage relative to itself can be given to up, whose agent
// wants a whole path.
func TestOwnAgentOfARelativeStorage(t *testing.T) {
	c := collector.DefaultConfig()
	c.Storage.Path = "data"
	own := ownAgent(c, upOptions{interval: 1e9})
	if err := own.Validate(); err != nil || !filepath.IsAbs(own.DataDir) {
		t.Errorf("%s: %v", own.DataDir, err)
	}
}
