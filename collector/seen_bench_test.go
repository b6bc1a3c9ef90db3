package collector

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/store/bolt"
)

// BenchmarkKeepSeen is what keeping how 10,000 agents were seen costs, when all have to be written and when none.
func BenchmarkKeepSeen(b *testing.B) {
	s, err := bolt.Open(filepath.Join(b.TempDir(), "store"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	r, _ := manyAgents(b, s, 10000, now)
	for name, step := range map[string]time.Duration{"all": heardEvery, "none": 0} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(step)
				for asset, h := range r.facts.hosts {
					h.Heard = now
					r.facts.hosts[asset] = h
				}
				if err := r.all(b.Context(), false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
