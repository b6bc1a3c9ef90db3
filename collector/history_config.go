package collector

import (
	"fmt"
	"time"

	"github.com/alecthomas/units"
	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/collector/policy"
)

// HistoryConfig says how long and how much of the samples is kept beside the collector.
type HistoryConfig struct {
	// Retention is how long; 0 switches history off.
	Retention policy.Duration `yaml:"retention"`
	// Size is how many bytes of the disk it may take, the oldest dropped first; 0 for no bound. The newest hour and a half
	// stays whatever it takes.
	Size Bytes `yaml:"size"`
	// Instance is the label that the collector's own series have; host and port of the operators' listener when empty.
	Instance string `yaml:"instance"`
}

// Bytes is a size as Prometheus writes it: 512MB, 4GiB, of 1024 each.
type Bytes int64

// Set reads a size; it is how a flag gives it.
func (b *Bytes) Set(s string) error {
	v, err := units.ParseBase2Bytes(s)
	if s == "0" {
		v, err = 0, nil
	}
	if err != nil || v < 0 {
		return fmt.Errorf("%q is no size; write it like 512MB or 4GiB", s)
	}
	*b = Bytes(v)
	return nil
}

// UnmarshalYAML reads a size. Its faults are gathered with those of other fields.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	if err := b.Set(n.Value); n.Kind != yaml.ScalarNode || err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is no size; write it like 512MB or 4GiB", n.Line, n.Value)}}
	}
	return nil
}

// String is the size in the largest unit that leaves nothing over.
func (b Bytes) String() string {
	if b == 0 {
		return "0"
	}
	return units.Base2Bytes(b).String()
}

// Type is what the help of a flag calls it.
func (b Bytes) Type() string { return "size" }

// leastHistory is what the log and the newest samples of a small fleet take.
const leastHistory = 64 << 20

func defaultHistory() HistoryConfig {
	return HistoryConfig{Retention: policy.Duration(15 * 24 * time.Hour), Size: 4 << 30}
}

func (c HistoryConfig) validate(fault func(format string, args ...any)) {
	if c.Retention < 0 {
		fault("history.retention: must be zero (off) or positive")
	}
	if c.Size != 0 && c.Size < leastHistory {
		fault("history.size: must be 0 (no bound) or at least %v, got %v", Bytes(leastHistory), c.Size)
	}
}

// maxBytes is Size as the history takes it.
func (c HistoryConfig) maxBytes() int64 {
	if c.Size == 0 {
		return history.Unbounded
	}
	return int64(c.Size)
}
