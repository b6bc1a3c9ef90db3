package collector

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHistoryConfig(t *testing.T) {
	for text, want := range map[string]struct {
		size  Bytes
		fault string
	}{
		"{}":                           {4 << 30, ""},
		"{size: 512MB}":                {512 << 20, ""},
		"{size: 1GiB, retention: 30d}": {1 << 30, ""},
		"{size: 0}":                    {0, ""},
		"{size: 1MB, retention: 1d}":   {0, "history.size: must be 0 (no bound) or at least 64MiB, got 1MiB"},
		"{size: a lot}":                {0, `line 1: "a lot" is no size; write it like 512MB or 4GiB`},
		"{size: -1GB}":                 {0, "is no size"},
		"{size: [1GB]}":                {0, "is no size"},
		"{kept: 1d}":                   {0, "kept"},
	} {
		t.Run(text, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "watchbill.yml")
			if err := os.WriteFile(file, []byte("history: "+text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := LoadConfig(file)
			switch {
			case want.fault != "":
				if err == nil || !strings.Contains(err.Error(), want.fault) {
					t.Errorf("fault %v, want %q", err, want.fault)
				}
			case err != nil || c.History.Size != want.size:
				t.Errorf("size %v, %v; want %v", c.History.Size, err, want.size)
			case text == "{}" && time.Duration(c.History.Retention) != 15*24*time.Hour:
				t.Errorf("kept for %v by default", c.History.Retention)
			}
		})
	}
}
