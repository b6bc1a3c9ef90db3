package agent

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// An agent must never be what its host runs out of memory for. Two things keep it below its limit: the runtime collects
// garbage more eagerly as it comes near (a soft limit), and when what is really in use comes near, the agent looks at
// less: first it leaves out tables (evidence), then also the sources that are read seldom. What is left out is said.

// The shares of the limit, in percent, at which a level begins and below which it ends again. The gap keeps a level from
// coming and going with every round.
var (
	shedFrom = [...]uint64{75, 90}
	shedTo   = [...]uint64{65, 80}
)

// The levels of looking at less.
const (
	shedNothing = iota
	shedTables
	shedSlow
)

// What the runtime of an agent is told; see "Footprint" in the room's README for what each is worth.
const (
	// gcPercent is how much garbage may lie about, against 100 by default. A round makes 60 kB of it and a megabyte
	// lives, so there is a collection every minute or so, and no 4 MB of heap before the first.
	gcPercent = 25
	// maxProcs is on how many processors goroutines run at once. The runtime keeps caches, threads and markers for
	// each, and an agent that works for milliseconds needs no more on the largest host; a second one, so that a
	// sampler that computes for long keeps nobody from sending.
	maxProcs = 2
)

// Frugal tells the runtime of this whole process that it serves a program which works for a few milliseconds every few
// seconds and should not be noticed in between. $GOGC and $GOMAXPROCS win. Call it, first of all, in a program that is an
// agent and nothing else.
func Frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(maxProcs, runtime.GOMAXPROCS(0)))
	}
}

// SetMemoryLimit sets the runtime's soft limit (runtime/debug.SetMemoryLimit) for this whole process and returns what
// measures against it, for Options.Memory. $GOMEMLIMIT wins over limit; 0 sets none, and nothing is ever shed. Call it
// in a program that is an agent and nothing else.
func SetMemoryLimit(limit Bytes) func() (used, limit uint64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		if limit == 0 {
			return nil
		}
		debug.SetMemoryLimit(int64(limit))
	}
	most := uint64(debug.SetMemoryLimit(-1)) //nolint:gosec // it is positive
	return func() (uint64, uint64) { return memoryInUse(), most }
}

// memoryInUse is how much of what the soft limit counts is needed: that (runtime/debug.SetMemoryLimit: all memory mapped
// by the runtime less what was given back) without free memory and garbage, with the heap as the last collection found
// it live.
func memoryInUse() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/released:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	plus := samples[0].Value.Uint64() + samples[1].Value.Uint64()
	var minus uint64
	for _, s := range samples[2:] {
		minus += s.Value.Uint64()
	}
	if minus > plus { // the figures are not of one moment
		return 0
	}
	return plus - minus
}

// memory decides how much to look at.
type memory struct {
	measure     func() (used, limit uint64) // nil: there is no limit
	level       int
	used, limit uint64
	shed        uint64 // readings left out
}

// look measures, and tells whether the level changed.
func (m *memory) look() (changed bool) {
	if m.measure == nil {
		return false
	}
	m.used, m.limit = m.measure()
	before := m.level
	for m.level < len(shedFrom) && m.used >= m.limit/100*shedFrom[m.level] {
		m.level++
	}
	for m.level > 0 && m.used < m.limit/100*shedTo[m.level-1] {
		m.level--
	}
	return m.level != before
}

// refuses says why a source is not read now; nil when it is. every is how often it is read, interval how often rounds
// are made.
func (m *memory) refuses(s *source, interval time.Duration) error {
	onlyTables, slow := s.Kind == "", s.Every > interval
	if m.level < shedTables || !onlyTables && (m.level < shedSlow || !slow) {
		return nil
	}
	m.shed++
	return fmt.Errorf("left out to keep within memory_limit: %s of %s are in use; raise memory_limit, or look at less (samplers.disabled)",
		Bytes(m.used>>20<<20), Bytes(m.limit)) //nolint:gosec // both are far below 2^63
}

// String says what is left out.
func (m *memory) String() string {
	return [...]string{"nothing is left out", "tables (evidence) are left out", "tables and sources that are read seldom are left out"}[m.level]
}
